"""How far can answers be trusted? Measured on the reader's own labels, and never on a picture learned from.

The labelled pictures are dealt into folds. For each fold an encoder is trained and an index is filled
without it; then its pictures are asked for. So every labelled picture is judged once, by a classifier that
has not met it: cross-validation for the accuracy, cross-fitted scores for the threshold of "unknown".
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from metriclearn.evaluate import Interval, share_interval
from metriclearn.explore import lowest_allowed
from metriclearn.labels import LabelArray, check_class_labels, is_labelled
from metriclearn.settings import check_count, check_seed
from metriclearn.validate import FloatArray, check_embeddings

TEMPERATURE = 0.1  # of the votes, as in `QdrantClassifier`

# Trains on some rows with their labels, and returns the embeddings of all rows.
Learn = Callable[[npt.NDArray[np.int_], LabelArray], FloatArray]


@dataclass(frozen=True)
class Votes:
    """What the nearest labelled examples say of some pictures.

    Attributes:
        labels: int64, shape `(n,)`: the class with the most votes.
        confidence: float64, shape `(n,)`: its share of the votes.
        similarity: float32, shape `(n,)`: cosine to the nearest example; what "unknown" is judged by.
        nearest: int64, shape `(n, k)`: which examples voted, the nearest first.
        cosines: float32, shape `(n, k)`: theirs.
    """

    labels: LabelArray
    confidence: npt.NDArray[np.float64]
    similarity: FloatArray
    nearest: npt.NDArray[np.int64]
    cosines: FloatArray


@dataclass(frozen=True)
class HeldOut:
    """What was said of each labelled picture by a classifier that had not met it.

    Attributes:
        rows: int, shape `(n,)`: which pictures, in rising order.
        labels: int64, shape `(n,)`: their labels.
        votes: what was said.
        folds: how many folds there were.
    """

    rows: npt.NDArray[np.int_]
    labels: LabelArray
    votes: Votes
    folds: int

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which were given their own label."""
        same: npt.NDArray[np.bool_] = self.votes.labels == self.labels
        return same

    @property
    def accuracy(self) -> Interval:
        """In percent, with Wilson's interval. The folds share examples, so it is a little narrow."""
        return share_interval(int(self.right.sum()), len(self.rows))

    @property
    def per_class(self) -> dict[int, Interval]:
        """Of each class, how many of its pictures were given its label."""
        return {
            int(label): share_interval(int(self.right[self.labels == label].sum()), int(n))
            for label, n in zip(*np.unique(self.labels, return_counts=True), strict=True)
        }

    def threshold(self, quantile: float = 0.05) -> float | None:
        """Return the cosine below which a picture is called unknown, or None if too few were held out.

        It aims at the share `quantile` of future pictures of the known classes that are called unknown for
        nothing, as long as they resemble these. The promise of `metriclearn.explore.unknown_threshold` is
        firmer: there one encoder is asked, here the scores of several folds are pooled (cross-conformal
        prediction, Vovk 2015, https://doi.org/10.1007/s10472-013-9368-4), each with an encoder of its own.
        """
        if len(self.rows) + 1 < 1 / quantile:
            return None
        return lowest_allowed(self.votes.similarity, quantile)


def vote(known: FloatArray, labels: LabelArray, asked: FloatArray, k: int = 5, *, batch: int = 1000) -> Votes:
    """Let the k nearest examples vote, the nearer the heavier, as `QdrantClassifier` does.

    Args:
        known: embeddings of the examples, float, shape `(m, N)`.
        labels: int64, shape `(m,)`: their classes.
        asked: embeddings of the pictures, float, shape `(n, N)`.
        k: how many vote; at most m.
        batch: how many are compared at a time.
    """
    examples = check_embeddings(known, unit_length=True)
    queries = check_embeddings(asked, examples.shape[1], unit_length=True)
    k = min(check_count(k, "k"), len(examples))
    nearest = np.empty((len(queries), k), dtype=np.int64)
    cosines = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), batch):
        cosine = queries[start : start + batch] @ examples.T
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        nearest[start : start + batch] = order
        cosines[start : start + batch] = np.take_along_axis(cosine, order, axis=1)
    return votes_of(labels[nearest], cosines, nearest)


def votes_of(labels: LabelArray, cosines: FloatArray, nearest: npt.NDArray[np.int64]) -> Votes:
    """Count the votes of neighbours that were found, as `EmbeddingIndex.query` gives them.

    Args:
        labels: int64, shape `(n, k)`: the neighbours' classes, of the nearest first.
        cosines: float32, shape `(n, k)`: their similarities.
        nearest: int64, shape `(n, k)`: which examples they are.
    """
    classes = np.unique(labels)
    weights = np.exp((cosines.astype(np.float64) - 1) / TEMPERATURE)
    shares = np.stack([(weights * (labels == label)).sum(axis=1) for label in classes], axis=1)
    shares /= shares.sum(axis=1, keepdims=True)
    return Votes(classes[shares.argmax(axis=1)], shares.max(axis=1), cosines[:, 0], nearest, cosines)


def cross_fit(
    learn: Learn,
    labels: npt.ArrayLike,
    *,
    folds: int = 5,
    k: int = 5,
    seed: int = 0,
    enough: Callable[[HeldOut], bool] | None = None,
) -> HeldOut:
    """Judge every labelled picture by a classifier that has not met it.

    Args:
        learn: takes the rows to learn from and their labels, int64 with -1 = unlabelled, and returns the
            embeddings of all rows, float of shape `(n, N)`. Rows of the fold that is held out are not among
            those to learn from, not even without their label.
        labels: int64, shape `(n,)`, -1 = unlabelled; at least two classes, two pictures of each.
        folds: how many; no more than the smallest class has pictures.
        k: how many neighbours vote.
        seed: how the folds are dealt.
        enough: is shown after each fold what was found so far, and may end it there.

    Raises:
        ValueError: for labels that do not fit.
    """
    given = np.asarray(labels)
    classes = check_class_labels(given, len(given))
    dealt = deal(classes, folds, seed)
    said: list[Votes] = []
    asked: list[npt.NDArray[np.int_]] = []
    for examples, held_out in dealt:
        rest = np.setdiff1d(np.arange(len(classes)), held_out)
        embeddings = learn(rest, classes[rest])
        votes = vote(embeddings[examples], classes[examples], embeddings[held_out], k)
        said.append(
            Votes(votes.labels, votes.confidence, votes.similarity, examples[votes.nearest], votes.cosines)
        )
        asked.append(held_out)
        if enough and len(asked) < len(dealt) and enough(_together(said, asked, classes)):
            break
    return _together(said, asked, classes)


def _together(said: list[Votes], asked: list[npt.NDArray[np.int_]], classes: LabelArray) -> HeldOut:
    """Return what several folds have found, in the order of the rows."""
    rows = np.concatenate(asked)
    order = np.argsort(rows)
    width = min(votes.nearest.shape[1] for votes in said)
    joined = Votes(
        np.concatenate([votes.labels for votes in said])[order],
        np.concatenate([votes.confidence for votes in said])[order],
        np.concatenate([votes.similarity for votes in said])[order],
        np.concatenate([votes.nearest[:, :width] for votes in said])[order],
        np.concatenate([votes.cosines[:, :width] for votes in said])[order],
    )
    return HeldOut(rows[order], classes[rows[order]], joined, len(asked))


def caught(learn: Learn, labels: npt.ArrayLike, threshold: float, *, most: int = 5, k: int = 5) -> Interval:
    """Return how many pictures of a class without examples are called unknown, in percent with an interval.

    One class after another is left out, its pictures play the strangers, and an encoder is trained on the
    rest. That is kinder than the world in one way, since they come from the same camera, and harder in
    another, since the classes of one folder often resemble each other.

    Args:
        learn: as for `cross_fit`.
        labels: int64, shape `(n,)`, -1 = unlabelled; at least three classes.
        threshold: the cosine below which a picture is unknown.
        most: how many classes to leave out, at most; they are spread over all.
        k: how many neighbours are looked at.

    Raises:
        ValueError: for fewer than three classes.
    """
    given = check_class_labels(labels, len(np.asarray(labels)))
    known = is_labelled(given)
    classes = np.unique(given[known])
    if len(classes) < 3:
        raise ValueError("With two classes none can be left out: one alone is no question.")
    chosen = classes[np.unique(np.linspace(0, len(classes) - 1, min(most, len(classes))).astype(int))]
    hits = n = 0
    for stranger in chosen:
        rows = np.flatnonzero(given != stranger)
        embeddings = learn(rows, given[rows])
        examples, asked = np.flatnonzero(known & (given != stranger)), given == stranger
        said = vote(embeddings[examples], given[examples], embeddings[asked], k)
        hits += int((said.similarity < threshold).sum())
        n += int(asked.sum())
    return share_interval(hits, n)


def deal(
    labels: LabelArray, folds: int = 5, seed: int = 0
) -> list[tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]]:
    """Deal the labelled rows into folds; return for each the rows that stay, and those that are held out.

    Args:
        labels: int64, shape `(n,)`, -1 = unlabelled.
        folds: how many; no more than the smallest class has rows.
        seed: how they are dealt.

    Raises:
        ValueError: for a class with one labelled row.
    """
    known = np.flatnonzero(is_labelled(labels))
    classes, counts = np.unique(labels[known], return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"Class {classes[counts.argmin()]} has one labelled picture, which cannot be held out: label a "
            "second one."
        )
    folds = min(check_count(folds, "folds", 2), int(counts.min()))
    parts = StratifiedKFold(folds, shuffle=True, random_state=check_seed(seed))
    return [(known[stay], known[leave]) for stay, leave in parts.split(known, labels[known])]
