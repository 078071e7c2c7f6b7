"""Which labels are wrong? Labels are flipped on purpose, and each method ranks its suspects.

All 4,000 pool images have a label, of which 2, 5 or 10 % are replaced by another class at random.
Nothing else is told. Neighbours vote in four spaces (k chosen for each on draws 100 to 102, of 5 to 50);
cleanlab ranks by the probabilities of a classifier that has not seen the image (cross-validated).
Precision is the share of flipped labels among as many suspects as labels were flipped.

    python -m benchmarks.label_errors    # about half an hour on one core
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from cleanlab.rank import get_label_quality_scores
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import as_tensor

from benchmarks.common import DRAWS, timed, write_results
from benchmarks.digits import POOL, autoencoder, rows
from metriclearn import MetricEmbedding
from metriclearn.curation import label_errors
from metriclearn.training import embed, predict_logits, train_classifier

SHARES = [0.02, 0.05, 0.10]
INSPECTED = [25, 50, 100, 200, 400, 800]
K_RAW, K_PCA, K_AUTOENCODER, K_METRIC = 50, 35, 50, 20


def flipped(share: float, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which this share is wrong, and the rows of the wrong ones."""
    random, labels = np.random.default_rng(draw), POOL.labels.copy()
    wrong = random.choice(len(labels), round(share * len(labels)), replace=False)
    labels[wrong] = (labels[wrong] + random.integers(1, 10, len(wrong))) % 10
    return labels, wrong


@cache
def components() -> np.ndarray:
    """Return the pool as 32 principal components."""
    return PCA(32, svd_solver="full").fit_transform(rows(POOL.pixels))


def by_pixels(labels: np.ndarray, draw: int) -> np.ndarray:
    """Ask the neighbours among raw pixels."""
    return label_errors(rows(POOL.pixels), labels, K_RAW)


def by_components(labels: np.ndarray, draw: int) -> np.ndarray:
    """Ask the neighbours among principal components."""
    return label_errors(components(), labels, K_PCA)


def by_autoencoder(labels: np.ndarray, draw: int) -> np.ndarray:
    """Ask the neighbours among the codes of an autoencoder alone."""
    return label_errors(embed(autoencoder(draw), POOL.pixels), labels, K_AUTOENCODER)


def by_embedding(labels: np.ndarray, draw: int) -> np.ndarray:
    """Ask the neighbours in a metric embedding that was trained on these very labels."""
    embedding = MetricEmbedding(random_state=draw, pseudo_labels=False).fit(POOL.pixels, labels)
    return label_errors(embedding.transform(POOL.pixels), labels, K_METRIC)


def cleanlab_regression(labels: np.ndarray, draw: int) -> np.ndarray:
    """Rank by cleanlab with a logistic regression on pixels, five folds."""
    folds = StratifiedKFold(5, shuffle=True, random_state=draw)
    model = LogisticRegression(C=0.1, max_iter=500)
    chances = cross_val_predict(model, rows(POOL.pixels), labels, cv=folds, method="predict_proba")
    return 1 - get_label_quality_scores(labels, chances)


def cleanlab_network(labels: np.ndarray, draw: int) -> np.ndarray:
    """Rank by cleanlab with the supervised CNN, three folds."""
    chances = np.zeros((len(labels), 10))
    for learn, ask in StratifiedKFold(3, shuffle=True, random_state=draw).split(POOL.pixels, labels):
        model = train_classifier(POOL.pixels[learn], labels[learn], seed=draw)
        chances[ask] = as_tensor(predict_logits(model, POOL.pixels[ask])).softmax(dim=1).numpy()
    return 1 - get_label_quality_scores(labels, chances)


METHODS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "neighbours in raw pixels": by_pixels,
    "neighbours in PCA": by_components,
    "neighbours in the autoencoder": by_autoencoder,
    "neighbours in the metric embedding": by_embedding,
    "cleanlab, logistic regression": cleanlab_regression,
    "cleanlab, supervised CNN": cleanlab_network,
}


def main() -> None:
    """Measure everything anew, and write after each draw."""
    results: dict[str, Any] = {"draws": DRAWS, "shares": SHARES, "inspected": INSPECTED, "methods": {}}
    for draw in DRAWS:
        for share in sorted(SHARES, key=lambda value: value != 0.05):
            labels, wrong = flipped(share, draw)
            for name, method in METHODS.items():
                suspicion, seconds = timed(partial(method, labels, draw))
                found = np.isin(np.argsort(-suspicion, kind="stable"), wrong)
                entry = results["methods"].setdefault(name, {}).setdefault(f"{share:.2f}", {})
                entry.setdefault("precision", []).append(round(100 * float(found[: len(wrong)].mean()), 2))
                recall = [round(100 * float(found[:n].sum() / len(wrong)), 2) for n in INSPECTED]
                entry.setdefault("recall", []).append(recall)
                entry.setdefault("cpu_seconds", []).append(round(seconds, 2))
                print(f"draw {draw}  {share:.0%}  {name:36} {entry['precision'][-1]:5.1f} %", flush=True)
        write_results("label_errors", results)


if __name__ == "__main__":
    main()
