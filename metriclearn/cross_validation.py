"""Stratified cross-validation of a nearest-neighbour classifier, and its threshold for "unknown".

The labelled images are split into folds. For each fold an encoder is trained without it, and each of its
images is classified by its nearest labelled ones among the others. So every labelled image is judged once, by
a classifier that has not met it, neither with nor without its label.

Images that are alike in what new ones will not share, such as the frames of one scene or the pictures of one
part or plant, are a group, and `groups` keeps each on one side: while some of its images are held out, none
of the others is learned from, not even one without a label, and none is an example.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import check_random_state

from metriclearn.checks.arguments import check_count, check_seed
from metriclearn.checks.arrays import FloatArray, check_embeddings
from metriclearn.checks.labels import UNLABELLED, LabelArray, check_class_labels, check_groups, is_labelled
from metriclearn.metrics import Interval, clustered_interval
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
        groups: int64, shape `(n,)`: equal numbers for images of one group; None if each is judged alone.
    """

    rows: RowArray
    labels: LabelArray
    predictions: Predictions
    folds: int
    groups: LabelArray | None = None

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Bool, shape `(n,)`: which images were given their own label."""
        same: npt.NDArray[np.bool_] = self.predictions.labels == self.labels
        return same

    @property
    def accuracy(self) -> Interval:
        """In percent, with Wilson's interval. The folds share examples, so it is a little narrow.

        With groups it is the wider one of `metriclearn.metrics.clustered_interval`.
        """
        return clustered_interval(self.correct, self.groups)

    @property
    def per_class(self) -> dict[int, Interval]:
        """Recall of each class that was judged, in percent, with an interval as that of `accuracy`."""
        found = {}
        for label in np.unique(self.labels):
            own = self.labels == label
            groups = None if self.groups is None else self.groups[own]
            found[int(label)] = clustered_interval(self.correct[own], groups)
        return found

    def threshold(self, quantile: float = 0.05) -> float | None:
        """Return the cosine below which an image is called unknown, or None if too few were held out.

        It aims at the share `quantile` of future images of the known classes that are called unknown by
        mistake, as long as they resemble these. The promise of `metriclearn.unknown.unknown_threshold` is
        firmer: there one encoder is asked, here the scores of several folds are pooled (cross-conformal
        prediction, Vovk 2015, https://doi.org/10.1007/s10472-013-9368-4), each with an encoder of its own.
        With groups the scores are those of images none of whose group was met: it aims at new groups.
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
    groups: npt.ArrayLike | None = None,
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
        groups: whole numbers or texts, shape `(n,)`; images of one group are kept together, unlabelled ones
            included, and -1 or None is a group of its own. See `stratified_folds`.
        folds: how many; no more than the smallest class has images.
        k: number of neighbours that vote.
        seed: of the split into folds.
        stop: called after each fold but the last with the result so far; True ends the cross-validation.

    Raises:
        ValueError: for labels or groups that do not fit, a class with one labelled image, or groups of which
            fewer than two classes have two.
    """
    classes = check_class_labels(labels, len(np.asarray(labels)))
    members = None if groups is None else check_groups(groups, len(classes))
    split = stratified_folds(classes, folds, seed, groups=members)
    parts: list[tuple[RowArray, Predictions]] = []
    for number, (examples, held_out) in enumerate(split, 1):
        rest = _apart_from(held_out, len(classes), members)
        embeddings = learn(rest, classes[rest])
        found = predict_by_neighbours(embeddings[examples], classes[examples], embeddings[held_out], k)
        parts.append((held_out, replace(found, nearest=examples[found.nearest])))  # rows among all images
        if stop and number < len(split) and stop(_joined(parts, classes, members)):
            break
    return _joined(parts, classes, members)


def _apart_from(held_out: RowArray, n: int, groups: LabelArray | None) -> RowArray:
    """Return the rows, of n, that share no group with those held out."""
    members = np.arange(n) if groups is None else groups
    return np.flatnonzero(~np.isin(members, members[held_out]))


def _joined(
    parts: list[tuple[RowArray, Predictions]], classes: LabelArray, groups: LabelArray | None
) -> CrossValidation:
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
    rows = rows[order]
    return CrossValidation(rows, classes[rows], joined, len(parts), None if groups is None else groups[rows])


def leave_one_class_out(
    learn: Learn,
    labels: npt.ArrayLike,
    threshold: float,
    *,
    groups: npt.ArrayLike | None = None,
    max_classes: int = 5,
    k: int = NEIGHBOURS,
) -> Interval | None:
    """Open-set recognition rate: the share of images of an unseen class that are called unknown.

    One class after another is left out of training and of the examples, and its images are asked for. That is
    easier than in use in one way, since they come from the same camera, and harder in another, since the
    classes of one folder often resemble each other.

    Args:
        learn: as for `cross_validate`.
        labels: int64, shape `(n,)`, -1 = unlabelled; at least three classes.
        threshold: the cosine below which an image is unknown.
        groups: as for `cross_validate`; with a class all groups that it lies in are left out.
        max_classes: how many classes to leave out, at most; they are spread over all.
        k: number of neighbours that are looked at.

    Returns:
        The share in percent, with an interval as for `CrossValidation.accuracy`; None if no class can be left
        out, since its groups hold all others but one.

    Raises:
        ValueError: for fewer than three classes, or groups that do not fit.
    """
    given = check_class_labels(labels, len(np.asarray(labels)))
    members = None if groups is None else check_groups(groups, len(given))
    known = is_labelled(given)
    classes = np.unique(given[known])
    if len(classes) < 3:
        raise ValueError("To leave one class out, label pictures of at least three classes.")
    chosen = np.unique(np.linspace(0, len(classes) - 1, min(max_classes, len(classes))).astype(int))
    unknown, asked_for = list[npt.NDArray[np.bool_]](), list[RowArray]()
    for unseen in classes[chosen]:
        asked = np.flatnonzero(given == unseen)
        rows = _apart_from(asked, len(given), members)
        examples = rows[known[rows]]
        if len(np.unique(given[examples])) < 2:
            continue
        embeddings = learn(rows, given[rows])
        found = predict_by_neighbours(embeddings[examples], given[examples], embeddings[asked], k)
        unknown.append(found.similarity < threshold)
        asked_for.append(asked)
    if not unknown:
        return None
    every = np.concatenate(asked_for)
    return clustered_interval(np.concatenate(unknown), None if members is None else members[every])


def stratified_folds(
    labels: LabelArray, folds: int = FOLDS, seed: int = 0, *, groups: npt.ArrayLike | None = None
) -> list[tuple[RowArray, RowArray]]:
    """Stratified k-fold split of the labelled rows; see scikit-learn's `StratifiedKFold`.

    With groups it is that of `StratifiedGroupKFold`: no group lies on both sides of a fold. A class whose
    rows all lie in one group, and so in one fold, is an example in the other folds, but never held out: who
    has not met it cannot name it. If no two labelled rows share a group, the split is that without groups.

    Args:
        labels: int64, shape `(n,)`, -1 = unlabelled.
        folds: how many; no more than the smallest class has rows, or any class has groups.
        seed: of the shuffle.
        groups: whole numbers or texts, shape `(n,)`; -1 or None is a group of its own.

    Returns:
        For each fold the labelled rows that stay, and those that are held out, int, in rising order.

    Raises:
        ValueError: for a class with one labelled row, groups that do not fit, or fewer than two classes that
            lie in two groups or more.
    """
    members = np.arange(len(labels)) if groups is None else check_groups(groups, len(labels))
    known = np.flatnonzero(is_labelled(labels))
    classes, counts = np.unique(labels[known], return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            f"Class {classes[counts.argmin()]} has one labelled picture, which cannot be held out: label a "
            "second one."
        )
    folds, seed = check_count(folds, "folds", 2), check_seed(seed)
    if len(np.unique(members[known])) < len(known):
        return _group_folds(known, labels[known], members[known], folds, seed)
    split = StratifiedKFold(min(folds, int(counts.min())), shuffle=True, random_state=seed)
    return [(known[stay], known[held_out]) for stay, held_out in split.split(known, labels[known])]


def _group_folds(
    rows: RowArray, labels: LabelArray, groups: LabelArray, folds: int, seed: int
) -> list[tuple[RowArray, RowArray]]:
    """Return the folds of rows with a label and a group each, as `stratified_folds` does."""
    names, codes = np.unique(groups, return_inverse=True)
    spread = [len(np.unique(codes[labels == label])) for label in np.unique(labels)]
    found = []
    if (folds := min(folds, max(spread))) > 1:
        # Shuffled here: before scikit-learn 1.8, its own shuffle lost the stratification
        # (https://github.com/scikit-learn/scikit-learn/pull/32540).
        codes = check_random_state(seed).permutation(len(names))[codes]
        with warnings.catch_warnings():  # that a class has fewer rows than there are folds
            warnings.simplefilter("ignore", UserWarning)
            split = [*StratifiedGroupKFold(folds).split(rows, labels, codes)]
        for stay, held_out in split:
            able = held_out[np.isin(labels[held_out], labels[stay])]
            if len(able) and len(np.unique(labels[stay])) > 1:
                found.append((rows[stay], rows[able]))
    judged = np.concatenate([held_out for _, held_out in found]) if found else rows[:0]
    if len(np.unique(labels[np.isin(rows, judged)])) < 2:
        raise ValueError(
            f"The labelled pictures lie in {len(names)} groups, but fewer than two classes in more than one: "
            "nothing can be held out, so choose smaller groups, or none."
        )
    return found


class Judged(Protocol):
    """What one method said of some images: a `CrossValidation`, or a `metriclearn.model_selection.Score`."""

    @property
    def rows(self) -> RowArray:
        """Which images, int, shape `(n,)`."""

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Bool, shape `(n,)`: which of these were named correctly."""

    @property
    def groups(self) -> LabelArray | None:
        """Int64, shape `(n,)`, or None."""


def significantly_better(one: Judged, other: Judged) -> bool:
    """McNemar's exact test at 5 %: is one method better on the images that both were asked for?

    Only images on which the two disagree tell anything (McNemar 1947,
    https://doi.org/10.1007/BF02295996): without a difference each of these is won by a toss of a coin. The
    test is two-sided, since nobody named the better method beforehand. Images of one group are right or wrong
    together, so a group tosses one coin: it is won by the method that is right on more of its images, and the
    test is a sign test of the groups.

    Args:
        one: a `Score` or a `CrossValidation`.
        other: likewise, of the same images and groups.
    """
    rows, mine, theirs = np.intersect1d(one.rows, other.rows, return_indices=True)
    members = rows if one.groups is None else one.groups[mine]
    lead = np.zeros(members.max(initial=0) + 1, dtype=int)
    np.add.at(lead, members, one.correct[mine].astype(int) - other.correct[theirs])
    won, lost = int((lead > 0).sum()), int((lead < 0).sum())
    return won > lost and bool(binomtest(won, won + lost).pvalue < 0.05)


def without_duplicates(labels: LabelArray, digests: Sequence[str]) -> LabelArray:
    """Return the labels; of equal images, of one digest, only the first labelled one keeps its own."""
    first, known = np.zeros(len(labels), dtype=bool), np.flatnonzero(is_labelled(labels))
    first[known[np.unique(np.array(digests)[known], return_index=True)[1]]] = True
    without = np.where(first, labels, UNLABELLED)
    enough = [(without == label).sum() > 1 for label in np.unique(labels[is_labelled(labels)])]
    return without if all(enough) else labels  # a class may be nothing but duplicates
