"""What happens when the pool is not as tidy as the course's: unequal classes, and classes nobody labelled.

Two pools made from the same 4,000 images, each with pseudo-labels and without:

* unequal: the largest class has ten times the images and ten times the labels of the smallest
  (20 labels down to 2, in geometric steps; which class is which changes with the draw);
* open: digits 0 to 6 have ten labels each; 7, 8 and 9 lie in the pool, and none of them has a label.
  The same pool without 7, 8 and 9 stands beside it.

Judged by 1-NN on the test images of the labelled classes; every class counts the same.

    python -m benchmarks.studies.robustness            # about ten minutes on two cores
    python -m benchmarks.studies.robustness --fresh    # forget earlier results first
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.common import DRAWS, Ledger, command_line
from benchmarks.digits import POOL, TEST
from metriclearn import MetricEmbedding, scarce_labels

LABELLED = 7
LARGEST, MOST_LABELS, RATIO = 350, 20, 10

Pool = tuple[np.ndarray, np.ndarray]


def unequal_pool(draw: int) -> Pool:
    """Return pixels and labels of a pool whose classes differ tenfold in images and in labels."""
    random = np.random.default_rng(draw)
    shares = random.permutation(np.geomspace(1, 1 / RATIO, 10))
    labels, kept = np.full(len(POOL.labels), -1), []
    for label, share in enumerate(shares):
        members = random.permutation(np.flatnonzero(POOL.labels == label))[: round(LARGEST * share)]
        labels[members[: round(MOST_LABELS * share)]] = label
        kept.append(members)
    rows = np.sort(np.concatenate(kept))
    return POOL.pixels[rows], labels[rows]


def open_pool(draw: int) -> Pool:
    """Return the whole pool with labels of the first classes only."""
    labels = scarce_labels(POOL.labels, 10, draw)
    return POOL.pixels, np.where(labels < LABELLED, labels, -1)


def closed_pool(draw: int) -> Pool:
    """Return the open pool without the images of the unlabelled classes."""
    pixels, labels = open_pool(draw)
    rows = POOL.labels < LABELLED
    return pixels[rows], labels[rows]


def accuracy(make: Callable[[int], Pool], draw: int, **options: Any) -> float:
    """Return the mean over classes of the share of test images named rightly, in percent."""
    pixels, labels = make(draw)
    known = labels >= 0
    embedding = MetricEmbedding(random_state=draw, **options).fit(pixels, labels)
    nearest = KNeighborsClassifier(1).fit(embedding.transform(pixels[known]), labels[known])
    asked = np.isin(TEST.labels, embedding.classes_)
    predicted = nearest.predict(embedding.transform(TEST.pixels[asked]))
    return 100 * float(balanced_accuracy_score(TEST.labels[asked], predicted))


POOLS = {
    "unequal, 10 to 1": (unequal_pool, True),
    "unequal, 10 to 1, without pseudo-labels": (unequal_pool, False),
    "open": (open_pool, True),
    "open, without pseudo-labels": (open_pool, False),
    "the same without the unlabelled classes": (closed_pool, True),
}


def main() -> None:
    """Run what is not done yet."""
    ledger = Ledger("robustness", "pools", command_line(__doc__).parse_args().fresh, {"draws": DRAWS})
    for draw in DRAWS:
        for name, (make, pseudo_labels) in POOLS.items():
            ledger.run([name], draw, partial(accuracy, make, draw, pseudo_labels=pseudo_labels))


if __name__ == "__main__":
    main()
