"""Stratified cross-validation of a nearest-neighbour classifier, and its threshold for "unknown".

The labelled images are split into folds. For each fold an encoder is trained without it, and each of its
images is classified by its nearest labelled ones among the others. So every labelled image is judged once, by
a classifier that has not met it, neither with nor without its label.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold

from metriclearn.checks.arguments import check_count, check_seed
from metriclearn.checks.arrays import FloatArray, check_embeddings
from metriclearn.checks.labels import UNLABELLED, LabelArray, check_class_labels, is_labelled
from metriclearn.metrics import Interval, wilson_interval
from metriclearn.neighbours import Predictions, nearest, votes
from metriclearn.unknown import conformal_threshold

FOLDS, NEIGHBOURS = 5, 5
RowArray = npt.NDArray[np.int_]

# Trains on some rows with their labels, and returns the embeddings of all rows.
Learn = Callable[[RowArray, LabelArray], FloatArray]


@dataclass(frozen=True)
class CrossValidation:
    """Held-out predictions: what was said of each labelled image by a classifier that had not met it.

    Attributes:
        rows: int, shape `(n,)`: which images, in rising order.
        labels: int64, shape `(n,)`: their labels.
        predictions: what was said; `predictions.nearest` holds row numbers among all images.
        folds: number of folds.
    """

    rows: RowArray
    labels: LabelArray
    predictions: Predictions
    folds: int

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Bool, shape `(n,)`: which images were given their own label."""
        same: npt.NDArray[np.bool_] = self.predictions.labels == self.labels
        return same

    @property
    def accuracy(self) -> Interval:
        """In percent, with Wilson's interval. The folds share examples, so it is a little narrow."""
        return wilson_interval(int(self.correct.sum()), len(self.rows))

    @property
    def per_class(self) -> dict[int, Interval]:
        """Recall of each class, in percent, with Wilson's interval."""
        return {
            int(label): wilson_interval(int(self.correct[self.labels == label].sum()), int(n))
            for label, n in zip(*np.unique(self.labels, return_counts=True), strict=True)
        }

    def threshold(self, quantile: float = 0.05) -> float | None:
        """Return the cosine below which an image is called unknown, or None if too few were held out.

        It aims at the share `quantile` of future images of the known classes that are called unknown by
        mistake, as long as they resemble these. The promise of `metriclearn.unknown.unknown_threshold` is
        firmer: there one encoder is asked, here the scores of several folds are pooled (cross-conformal
        prediction, Vovk 2015, https://doi.org/10.1007/s10472-013-9368-4), each with an encoder of its own.
        """
        if len(self.rows) + 1 < 1 / quantile:
            return None
        return conformal_threshold(self.predictions.similarity, quantile)


def predict_by_neighbours(
    examples: FloatArray, labels: LabelArray, asked: FloatArray, k: int = NEIGHBOURS
) -> Predictions:
    """k-nearest-neighbour classification: the k nearest examples vote, the nearer the heavier.

    It is the vote of `QdrantClassifier`, without a database; see `metriclearn.neighbours.votes`.

    Args:
        examples: embeddings of the labelled examples, float, shape `(m, N)`.
        labels: int64, shape `(m,)`: their classes.
        asked: embeddings of the images to classify, float, shape `(n, N)`.
        k: how many vote; of fewer examples, all do.

    Raises:
        ValueError: for embeddings that do not fit, or k below 1.
    """
    stored = check_embeddings(examples, unit_length=True)
    queries = check_embeddings(asked, stored.shape[1], unit_length=True)
    rows, cosines = nearest(queries, stored, min(check_count(k, "k"), len(stored)))
    classes, shares = votes(labels[rows], cosines)
    similar = cosines.astype(np.float32)
    return Predictions(classes[shares.argmax(axis=1)], shares.max(axis=1), similar[:, 0], rows, similar)


def cross_validate(
    learn: Learn,
    labels: npt.ArrayLike,
    *,
    folds: int = FOLDS,
    k: int = NEIGHBOURS,
    seed: int = 0,
    stop: Callable[[CrossValidation], bool] | None = None,
) -> CrossValidation:
    """Stratified cross-validation: classify every labelled image by a classifier that has not met it.

    Args:
        learn: takes the rows to learn from, int, and their labels, int64 with -1 = unlabelled; returns the
            embeddings of all rows, float of shape `(n, N)` (of unlabelled rows nothing is read). Rows of the
            fold that is held out are not among those to learn from, not even without their label.
        labels: int64, shape `(n,)`, -1 = unlabelled; at least two classes, two images of each.
        folds: how many; no more than the smallest class has images.
        k: number of neighbours that vote.
        seed: of the split into folds.
        stop: called after each fold but the last with the result so far; True ends the cross-validation.

    Raises:
        ValueError: for labels that do not fit, or a class with one labelled image.
    """
    classes = check_class_labels(labels, len(np.asarray(labels)))
    split = stratified_folds(classes, folds, seed)
    parts: list[tuple[RowArray, Predictions]] = []
    for number, (examples, held_out) in enumerate(split, 1):
        rest = np.setdiff1d(np.arange(len(classes)), held_out)
        embeddings = learn(rest, classes[rest])
        found = predict_by_neighbours(embeddings[examples], classes[examples], embeddings[held_out], k)
        parts.append((held_out, replace(found, nearest=examples[found.nearest])))  # rows among all images
        if stop and number < len(split) and stop(_joined(parts, classes)):
            break
    return _joined(parts, classes)


def _joined(parts: list[tuple[RowArray, Predictions]], classes: LabelArray) -> CrossValidation:
    """Return the results of several folds as one, in the order of the rows."""
    rows = np.concatenate([rows for rows, _ in parts])
    order = np.argsort(rows)
    k = min(found.nearest.shape[1] for _, found in parts)  # where a fold has fewer examples than k
    joined = Predictions(
        np.concatenate([found.labels for _, found in parts])[order],
        np.concatenate([found.confidence for _, found in parts])[order],
        np.concatenate([found.similarity for _, found in parts])[order],
        np.concatenate([found.nearest[:, :k] for _, found in parts])[order],
        np.concatenate([found.cosines[:, :k] for _, found in parts])[order],
    )
    return CrossValidation(rows[order], classes[rows[order]], joined, len(parts))


def leave_one_class_out(
    learn: Learn, labels: npt.ArrayLike, threshold: float, *, max_classes: int = 5, k: int = NEIGHBOURS
) -> Interval:
    """Open-set recognition rate: the share of images of an unseen class that are called unknown.

    One class after another is left out of training and of the examples, and its images are asked for. That is
    easier than in use in one way, since they come from the same camera, and harder in another, since the
    classes of one folder often resemble each other.

    Args:
        learn: as for `cross_validate`.
        labels: int64, shape `(n,)`, -1 = unlabelled; at least three classes.
        threshold: the cosine below which an image is unknown.
        max_classes: how many classes to leave out, at most; they are spread over all.
        k: number of neighbours that are looked at.

    Returns:
        The share in percent, with Wilson's interval.

    Raises:
        ValueError: for fewer than three classes.
    """
    given = check_class_labels(labels, len(np.asarray(labels)))
    known = is_labelled(given)
    classes = np.unique(given[known])
    if len(classes) < 3:
        raise ValueError("To leave one class out, label pictures of at least three classes.")
    chosen = np.unique(np.linspace(0, len(classes) - 1, min(max_classes, len(classes))).astype(int))
    unknown = n = 0
    for unseen in classes[chosen]:
        rows = np.flatnonzero(given != unseen)
        embeddings = learn(rows, given[rows])
        examples, asked = np.flatnonzero(known & (given != unseen)), given == unseen
        found = predict_by_neighbours(embeddings[examples], given[examples], embeddings[asked], k)
        unknown += int((found.similarity < threshold).sum())
        n += int(asked.sum())
    return wilson_interval(unknown, n)


def stratified_folds(
    labels: LabelArray, folds: int = FOLDS, seed: int = 0
) -> list[tuple[RowArray, RowArray]]:
    """Stratified k-fold split of the labelled rows; see scikit-learn's `StratifiedKFold`.

    Args:
        labels: int64, shape `(n,)`, -1 = unlabelled.
        folds: how many; no more than the smallest class has rows.
        seed: of the shuffle.

    Returns:
        For each fold the labelled rows that stay, and those that are held out, int, in rising order.

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
    split = StratifiedKFold(folds, shuffle=True, random_state=check_seed(seed))
    return [(known[stay], known[held_out]) for stay, held_out in split.split(known, labels[known])]


def without_duplicates(labels: LabelArray, digests: Sequence[str]) -> LabelArray:
    """Return the labels, where of equal images, which have one digest, only the first keeps its own."""
    first = np.zeros(len(labels), dtype=bool)
    first[np.unique(np.array(digests), return_index=True)[1]] = True
    without = np.where(first, labels, UNLABELLED)
    enough = [(without == label).sum() > 1 for label in np.unique(labels[is_labelled(labels)])]
    return without if all(enough) else labels  # a class may be nothing but duplicates
