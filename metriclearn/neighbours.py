"""k-nearest-neighbour search and the weighted vote of the neighbours, by brute force and in view.

`nearest` finds the neighbours, `votes` lets them vote. Classification, cross-validation, retrieval metrics
and curation call these two; label propagation builds a sparse graph of its own. A vector database finds the
same neighbours (`metriclearn.index`), and its answers go through the same vote.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from metriclearn.checks.arrays import FloatArray
from metriclearn.checks.labels import LabelArray

TEMPERATURE = 0.1  # of the votes; see `votes`


@dataclass(frozen=True)
class Predictions:
    """What the nearest labelled examples say of some images.

    Attributes:
        labels: shape `(n,)`: the class with the most votes, as a number (int64) or by its name.
        confidence: float64, shape `(n,)`: its share of the votes.
        similarity: float32, shape `(n,)`: cosine to the nearest example; what "unknown" is judged by.
        nearest: int64, shape `(n, k)`: row numbers of the examples that voted, the nearest first.
        cosines: float32, shape `(n, k)`: their cosines.
    """

    labels: npt.NDArray[Any]
    confidence: npt.NDArray[np.float64]
    similarity: FloatArray
    nearest: npt.NDArray[np.int64]
    cosines: FloatArray

    def chosen(self, rows: npt.NDArray[np.int_]) -> "Predictions":
        """Return what was said of some of the images."""
        return Predictions(*(getattr(self, field.name)[rows] for field in fields(self)))


def nearest(
    asked: FloatArray, stored: FloatArray, k: int, *, skip_self: bool = False
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the k nearest stored embeddings of each asked one, the nearest first.

    Args:
        asked: float, shape `(n, N)`, unit length.
        stored: float, shape `(m, N)`, unit length.
        k: how many, from 1 to m; with `skip_self` to m - 1.
        skip_self: whether `asked` is `stored`, and each row is left out of its own neighbours.

    Returns:
        `rows, cosines`: row numbers in `stored`, int64 of shape `(n, k)`, and their cosine similarities,
        float64 of shape `(n, k)`.
    """
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(stored)
    distances, rows = search.kneighbors(None if skip_self else asked)
    return rows, 1 - distances**2 / 2  # on the unit sphere d² = 2 - 2 cos


def votes(
    labels: LabelArray,
    similarities: npt.NDArray[np.floating],
    classes: LabelArray | None = None,
    *,
    temperature: float = TEMPERATURE,
) -> tuple[LabelArray, npt.NDArray[np.float64]]:
    """Return the share of the votes that each class gets from the neighbours of each query.

    A neighbour of similarity s votes for its class with weight exp(s / temperature), the vote of Wu et al.
    2018 (https://arxiv.org/abs/1805.01978).

    Args:
        labels: int64, shape `(n, k)`: the class of each neighbour.
        similarities: float, shape `(n, k)`: cosines, or minus half the squared Euclidean distances, which
            on the unit sphere give the same vote.
        classes: int64, shape `(c,)`, each once; by default those in `labels`, sorted.
        temperature: the lower, the more the nearest neighbours count.

    Returns:
        `classes, shares`: int64 of shape `(c,)`, and float64 of shape `(n, c)`, whose rows add up to 1.
    """
    if classes is None:
        classes = np.unique(labels)
    # Only ratios count, so the nearest neighbour may weigh 1: no vote can vanish altogether.
    scores = similarities.astype(np.float64)
    with np.errstate(over="ignore"):  # divided by next to nothing: infinitely far, and without a vote
        weights = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    order = np.argsort(classes)
    place = order[np.searchsorted(classes, labels, sorter=order)]
    shares = np.zeros((len(labels), len(classes)))
    np.add.at(shares, (np.arange(len(labels))[:, None], place), weights)
    return classes, shares / shares.sum(axis=1, keepdims=True)
