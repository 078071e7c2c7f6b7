"""Label spreading: the package's `spread_labels` beside scikit-learn's `LabelSpreading`, on the same points.

Which share of the pool's unlabelled images gets the right label? Two spaces: the metric embedding, and
principal components, where nothing was trained. scikit-learn's are tuned: the best of a grid on draws 100 to
102, for each space and budget; and untuned, with its default kernel and with its sparse one. Ours has its
defaults, as everywhere in the course.

    python -m benchmarks.studies.spreading            # about five minutes on one core
    python -m benchmarks.studies.spreading --fresh    # forget earlier results first
"""

import warnings
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.semi_supervised import LabelSpreading

from benchmarks.common import DRAWS, Ledger, command_line, timed, unit
from benchmarks.digits import POOL, pca_views
from metriclearn import MetricEmbedding, scarce_labels
from metriclearn.checks.arrays import FloatArray
from metriclearn.label_propagation import spread_labels

BUDGETS, CHOSEN_ON, STEPS = [1, 10], [100, 101, 102], 300
SPACES = ["metric embedding", "principal components"]
ROUNDS = {"max_iter": 300}  # ten times the default
KNN = product((5, 10, 20), (0.2, 0.8, 0.99))
RBF = product((5, 20, 80), (0.2, 0.8))
GRID: list[dict[str, Any]] = [
    *({"kernel": "knn", "n_neighbors": k, "alpha": alpha} | ROUNDS for k, alpha in KNN),
    *({"kernel": "rbf", "gamma": gamma, "alpha": alpha} | ROUNDS for gamma, alpha in RBF),
]
OURS, TUNED = "spread_labels", "LabelSpreading, tuned"
UNTUNED: dict[str, dict[str, Any]] = {
    "LabelSpreading, defaults": {},
    "LabelSpreading, kernel knn": {"kernel": "knn"},
}
PROTOCOL: dict[str, Any] = {
    "data": "mnist-5k: 4,000 pool images; judged on those without a label",
    "spaces": f"MetricEmbedding trained with the same labels, {STEPS} steps; 32 components at unit length",
    "grid": GRID,
}


@cache
def points(space: str, budget: int, draw: int) -> tuple[FloatArray, np.ndarray]:
    """Return the pool in a space, and the labels of a draw."""
    labels = scarce_labels(POOL.labels, budget, draw)
    if space == "metric embedding":
        encoder = MetricEmbedding(steps=STEPS, random_state=draw).fit(POOL.pixels, labels)
        return encoder.transform(POOL.pixels), labels
    return unit(pca_views()[0]), labels


def right(spread: np.ndarray, labels: np.ndarray) -> float:
    """Return how many of the spread labels are right, in percent of the unlabelled images."""
    free = labels < 0
    return 100 * float(np.mean(spread[free] == POOL.labels[free]))


def ours(space: str, budget: int, draw: int) -> tuple[float, float]:
    """Return what this package's spreading gets right, and its CPU seconds."""
    pool, labels = points(space, budget, draw)
    (spread, _), seconds = timed(lambda: spread_labels(pool, labels))
    return right(spread, labels), seconds


def theirs(space: str, budget: int, draw: int, settings: dict[str, Any]) -> tuple[float, float]:
    """Return what scikit-learn's spreading gets right with these settings, and its CPU seconds."""
    pool, labels = points(space, budget, draw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what has not settled is judged as it is
        warnings.simplefilter("ignore", RuntimeWarning)  # a point that no label reaches divides 0 by 0
        model, seconds = timed(lambda: LabelSpreading(**settings).fit(pool, labels))
    return right(model.transduction_, labels), seconds


def main() -> None:
    """Run what is not done yet."""
    fresh = command_line(__doc__).parse_args().fresh
    ledger = Ledger("spreading", "methods", fresh, {"protocol": PROTOCOL, "draws": DRAWS})
    for space, budget in product(SPACES, BUDGETS):
        keys = [space, str(budget)]
        if all(ledger.has([TUNED, *keys], draw) for draw in DRAWS):
            continue
        scores = [np.mean([theirs(space, budget, draw, s)[0] for draw in CHOSEN_ON]) for s in GRID]
        best = GRID[int(np.argmax(scores))]
        for draw in DRAWS:
            ledger.add([OURS, *keys], draw, *ours(space, budget, draw))
            for name, settings in UNTUNED.items():
                ledger.add([name, *keys], draw, *theirs(space, budget, draw, settings))
            ledger.add([TUNED, *keys], draw, *theirs(space, budget, draw, best))
        ledger.results["methods"][TUNED][space][str(budget)]["settings"] = best
        ledger.write()


if __name__ == "__main__":
    main()
