"""Classes that nobody trained on: are they noticed, and what do a few examples of each change?

Everything is trained with ten labels for each of the digits 0 to 6. Then 7, 8 and 9 arrive. Two pools:

* closed: no image of 7, 8 or 9 lies in the pool: nothing has ever seen one;
* open: they lie in the pool, and none of them has a label: nobody has noticed them yet.

Before: how well does the score tell the new digits from the old? After: 1, 5 and 10 examples of each
new digit are added to a `QdrantClassifier`, with no gradient step, and all test images are asked again.
In the open pool, labels can also be spread anew over the whole pool and stored, again without a gradient
step. Beside it stands what training again on all labels takes and gives.

    python -m benchmarks.new_classes            # about twenty minutes on one core
    python -m benchmarks.new_classes --fresh    # forget earlier results first
"""

import time
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.common import DRAWS, Ledger, command_line, timed, unit
from benchmarks.digits import POOL, TEST, pca_views
from benchmarks.label_efficiency import RECONSTRUCTION
from metriclearn import MetricEmbedding, QdrantClassifier, scarce_labels
from metriclearn.label_propagation import spread_labels
from metriclearn.models import Encoder
from metriclearn.training import predict_logits, train_classifier

OLD, NEW = np.arange(7), np.arange(7, 10)
LABELS, EXAMPLES, FALSE_REJECTS = 10, [1, 5, 10], 0.05
IS_NEW = TEST.labels >= len(OLD)
EACH_NEW = [~IS_NEW | (TEST.labels == label) for label in NEW]  # all old digits, and one of the new
RECONSTRUCTED = "open pool, reconstruction in place of pseudo-labels"
# How the encoder is trained, and whether images of the new digits lie in its pool.
WORLDS: dict[str, tuple[bool, dict[str, Any]]] = {
    "closed pool": (False, {}),
    "open pool": (True, {}),
    RECONSTRUCTED: (True, {"pseudo_labels": False, "reconstruction": RECONSTRUCTION}),
}
PROTOCOL: dict[str, Any] = {
    "data": "mnist-5k: 4,000 pool images, 1,000 test images; trained with digits 0 to 6, 10 labels for each",
    "draws": "the labelled images, the added examples and the training seed of draw s all come from seed s",
    "new, old": "accuracy on the test images of the digits 7 to 9 and 0 to 6, %, each class counts the same",
    "auroc": "how often an old test digit scores higher than a new one, %",
    "false_accepts": "share of new test digits above the score that 5 % of the old ones miss, %",
    "by_class": "accuracy on each digit, or the auroc of each new digit against all old ones, %",
    "taken_for": "how many 7s, 8s and 9s (rows) have a 0, 1, … 6 (columns) as nearest labelled image",
    "milliseconds": "adding the examples to the store, wall clock",
    "seconds": "training, or spreading labels over the pool and letting neighbours vote, CPU",
    "chosen on": "draw 100, with the last 1,000 pool images as judges: MetricEmbedding's defaults, the "
    "nearest labelled image as the score, class means, and the layer to spread labels on",
}
Figures = dict[str, Any]


class Notes(Ledger):
    """A ledger whose entries hold several figures for each draw."""

    def note(self, keys: list[str], draw: int, figures: Figures) -> None:
        """Write the figures of one draw."""
        entry = self.at(keys)
        for name, value in {"draws": draw, **figures}.items():
            entry.setdefault(name, []).append(np.round(value, 2).tolist())
        self.write()
        shown = {name: np.round(value, 1).tolist() for name, value in figures.items() if np.ndim(value) < 2}
        print(f"draw {draw}  {', '.join(keys):60} {shown}", flush=True)


def shares(predicted: np.ndarray) -> Figures:
    """Return the accuracy on the new and on the old classes, and on each, in percent."""
    by_class = [100 * float(np.mean(predicted[TEST.labels == c] == c)) for c in range(10)]
    return {"new": np.mean(by_class[len(OLD) :]), "old": np.mean(by_class[: len(OLD)]), "by_class": by_class}


def warnings(scores: np.ndarray) -> Figures:
    """Return how well scores (high = known) tell old digits from new ones, in percent."""
    false_accepts, accepted, _ = roc_curve(~IS_NEW, scores, drop_intermediate=False)
    at = np.searchsorted(accepted, 1 - FALSE_REJECTS)
    return {
        "auroc": 100 * roc_auc_score(~IS_NEW, scores),
        "false_accepts": 100 * false_accepts[at],
        "by_class": [100 * roc_auc_score(~IS_NEW[rows], scores[rows]) for rows in EACH_NEW],
    }


def old_labels(draw: int) -> np.ndarray:
    """Return the labels to train with: those of the old classes."""
    labels = scarce_labels(POOL.labels, LABELS, draw)
    return np.where(labels < len(OLD), labels, -1)


def new_rows(draw: int, examples: int) -> np.ndarray:
    """Return the pool rows of the examples of each new class; fewer are the first of more."""
    random = np.random.default_rng(draw)
    drawn = [random.permutation(np.flatnonzero(POOL.labels == label)) for label in NEW]
    return np.concatenate([rows[:examples] for rows in drawn])


def features(encoder: Encoder, pixels: np.ndarray) -> np.ndarray:
    """Return what the encoder's last layer reads: its body's output at unit length, 2,048 numbers."""
    with torch.inference_mode():
        parts = [encoder.body(x) for x in torch.split(torch.as_tensor(pixels), 1000)]
        return torch.nn.functional.normalize(torch.cat(parts), dim=1).numpy()


def class_means(vectors: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean embedding of each class, and the classes (Snell et al. 2017, arXiv:1703.05175)."""
    classes = np.unique(labels)
    return np.stack([vectors[labels == label].mean(axis=0) for label in classes]), classes


def before(stored: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> Figures:
    """Return the warnings of the nearest score, and which old digit each new one is taken for."""
    cosine = asked @ stored.T
    taken_for = labels[cosine.argmax(axis=1)]
    counts = [[int(np.sum(taken_for[TEST.labels == n] == o)) for o in OLD] for n in NEW]
    return warnings(cosine.max(axis=1)) | {"taken_for": counts}


def add_examples(
    old: tuple[np.ndarray, np.ndarray], new: tuple[np.ndarray, np.ndarray], asked: np.ndarray
) -> Figures:
    """Return the figures of a store of old examples to which new ones are added."""
    with QdrantClassifier(n_neighbors=1).fit(*old) as classifier:
        old_before = shares(classifier.predict(asked))["old"]
        start = time.perf_counter()
        classifier.partial_fit(*new)
        milliseconds = 1000 * (time.perf_counter() - start)
        return shares(classifier.predict(asked)) | {"old_before": old_before, "milliseconds": milliseconds}


def spread_again(pool: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> Figures:
    """Return the figures of neighbours in the whole pool, once labels have been spread over it."""

    def vote() -> Any:
        return KNeighborsClassifier(5).fit(pool, spread_labels(pool, labels)[0]).predict(asked)

    predicted, seconds = timed(vote)
    return shares(predicted) | {"seconds": seconds}


def noticed_by_cnn(draw: int) -> Figures:
    """Return the warnings of the largest softmax of a CNN trained on the same labels."""
    network, seconds = timed(lambda: train_classifier(POOL.pixels, old_labels(draw), seed=draw))
    probabilities = torch.as_tensor(predict_logits(network, TEST.pixels)).softmax(dim=1).amax(dim=1)
    return warnings(probabilities.numpy()) | {"seconds": seconds}


def train(draw: int, new_in_pool: bool, options: dict[str, Any]) -> tuple[MetricEmbedding, float]:
    """Return an encoder that knows the labels of the old digits only, and its CPU seconds."""
    rows = np.arange(len(POOL.labels)) if new_in_pool else np.flatnonzero(POOL.labels < len(OLD))
    embedding = MetricEmbedding(random_state=draw, **options)
    return timed(lambda: embedding.fit(POOL.pixels[rows], old_labels(draw)[rows]))


def one_world(draw: int, world: str) -> dict[tuple[str, ...], Figures]:
    """Train once, then return the figures before and after examples of the new digits come."""
    embedding, seconds = train(draw, *WORLDS[world])
    labels = old_labels(draw)
    known, asked = labels >= 0, embedding.transform(TEST.pixels)
    old = embedding.transform(POOL.pixels[known]), labels[known]
    in_pool, in_test = (features(embedding.encoder_, images.pixels) for images in (POOL, TEST))
    found: dict[tuple[str, ...], Figures] = {("before",): before(*old, asked) | {"seconds": seconds}}
    for examples in EXAMPLES:
        rows = new_rows(draw, examples)
        new = embedding.transform(POOL.pixels[rows]), POOL.labels[rows]
        labels[rows] = POOL.labels[rows]
        found |= {
            ("all examples stored", str(examples)): add_examples(old, new, asked),
            ("class means stored", str(examples)): add_examples(class_means(*old), class_means(*new), asked),
            ("spread, embedding", str(examples)): spread_again(
                embedding.transform(POOL.pixels), labels, asked
            ),
            ("spread, layer before", str(examples)): spread_again(in_pool, labels, in_test),
        }
        labels[rows] = -1
    return found


def untrained(draw: int) -> dict[tuple[str, ...], Figures]:
    """Return what spreading labels over the pool's principal components gives, with no network at all."""
    pool, test = map(unit, pca_views())
    found = {}
    for examples in reversed(EXAMPLES):
        labels, rows = old_labels(draw), new_rows(draw, examples)
        labels[rows] = POOL.labels[rows]
        found["spread, principal components", str(examples)] = spread_again(pool, labels, test)
    return found


def retrained(draw: int, examples: int) -> Figures:
    """Return what training again on all labels and the whole pool gives, by the nearest labelled image."""
    labels, rows = old_labels(draw), new_rows(draw, examples)
    labels[rows] = POOL.labels[rows]
    known, embedding = labels >= 0, MetricEmbedding(random_state=draw)
    _, seconds = timed(lambda: embedding.fit(POOL.pixels, labels))
    nearest = KNeighborsClassifier(1).fit(embedding.transform(POOL.pixels[known]), labels[known])
    return shares(nearest.predict(embedding.transform(TEST.pixels))) | {"seconds": seconds}


def main() -> None:
    """Run what is not done yet; the most telling parts come first."""
    fresh = command_line(__doc__).parse_args().fresh
    notes = Notes("new_classes", "worlds", fresh, {"protocol": PROTOCOL, "draws": DRAWS})
    # Each part under the first keys that it yields, which are written last: with them, all are.
    parts: list[dict[tuple[str, ...], Callable[[int], dict[tuple[str, ...], Figures]]]] = [
        {("no training", "spread, principal components", "10"): untrained},
        {("closed pool", "before"): lambda draw: one_world(draw, "closed pool")},
        {("supervised CNN", "before"): lambda draw: {("before",): noticed_by_cnn(draw)}},
        {
            ("open pool", "before"): lambda draw: one_world(draw, "open pool"),
            ("trained again", "5"): lambda draw: {("5",): retrained(draw, 5)},
        },
        {(RECONSTRUCTED, "before"): lambda draw: one_world(draw, RECONSTRUCTED)},
    ]
    for part, draw in product(parts, DRAWS):
        for (world, *first), run in part.items():
            if notes.has([world, *first], draw):
                continue
            for keys, figures in reversed(run(draw).items()):
                if not notes.has([world, *keys], draw):
                    notes.note([world, *keys], draw, figures)


if __name__ == "__main__":
    main()
