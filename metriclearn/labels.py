"""Labels: class numbers from 0 on, and -1 for an image that nobody has labelled. This module owns the -1.

What the others do with an unlabelled row:

* `train_metric` and `MetricEmbedding` learn from it as a part of the pool, `train_classifier` leaves it out;
* the losses and the measures of `evaluate.py` leave it out: nobody knows whose positive it is;
* `spread_labels` and `propagate_labels` give it the label that reaches it, and -1 if none does;
* `suspicious_labels` gives it the score 0 and no vote, `what_to_label_next` chooses among such rows;
* `EmbeddingIndex` stores it and may find it as a neighbour, whose label is then -1;
* `QdrantClassifier` leaves it out: it is no class, and nobody could vote for it.

NaN, None, an empty text or -100 mean nothing here; the message says what to write instead.
"""

import warnings
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from metriclearn.validate import as_array

LabelArray = npt.NDArray[np.int64]
UNLABELLED = -1
MARKERS = ("", "-1", "?", "nan", "NaN", "None", "<NA>", "unlabelled", "unlabeled")  # texts that name no class


def is_labelled(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which rows have a label, bool of shape `(n,)`; names of classes are labels all of them.

    Args:
        labels: int64 or texts, shape `(n,)`, as the functions below return them.
    """
    return np.ones(len(labels), dtype=bool) if labels.dtype.kind == "U" else labels != UNLABELLED


def check_labels(labels: Any, n: int) -> LabelArray:
    """Return the labels of n images as int64, shape `(n,)`, -1 = unlabelled: a copy.

    Args:
        labels: whole numbers of any type, shape `(n,)` or `(n, 1)`.
        n: how many there should be.

    Raises:
        ValueError: for another number than n, or anything but class numbers and -1.
    """
    given = _one_row(labels, n, "image")
    if given.dtype.kind not in "iuf":
        raise ValueError(
            f"Labels of type {given.dtype} are not class numbers: pass integers, as made from names by "
            "np.unique(names, return_inverse=True)[1], and -1 = unlabelled."
        )
    return _class_numbers(given)


def check_class_labels(y: Any, n: int) -> LabelArray:
    """Return the labels to learn from as int64, shape `(n,)`, -1 = unlabelled: a copy.

    Args:
        y: whole numbers of any type, shape `(n,)`.
        n: how many there should be.

    Raises:
        ValueError: for no labels, another number than n, anything but class numbers and -1, or fewer
            than two labelled classes.
    """
    if y is None:
        raise ValueError(
            "fit requires y to be passed, but the target y is None: give labels, -1 = unlabelled."
        )
    labels = check_labels(y, n)
    classes = np.unique(labels[is_labelled(labels)])
    if len(classes) < 2:
        found = "no label" if len(classes) == 0 else f"only one class ({classes[0]})"
        raise ValueError(f"y holds {found}: label images of at least two classes.")
    return labels


def check_targets(y: Any, n: int, *, beside: bool = False) -> npt.NDArray[Any]:
    """Return a classifier's targets, shape `(n,)`: int64 with -1 = unlabelled, or the names of classes.

    Args:
        y: whole numbers of any type, bools, or texts; shape `(n,)`.
        n: how many there should be.
        beside: whether other classes are known already; -1 can then only mean unlabelled.

    Raises:
        ValueError: for no targets, another number than n, anything but class numbers, -1 and names, or
            unless `beside`, for -1 and a single class, where it more likely is a class of its own.
    """
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None: give the class of each row.")
    given = as_array(y, "The labels")
    if given.dtype.kind == "S":
        raise ValueError("The labels are bytes, which name no class: pass texts, as made by .decode().")
    given = _one_row(given, n, "row")
    if given.dtype.kind == "U" and (marked := np.flatnonzero(np.isin(given, MARKERS))).size:
        raise ValueError(
            f"The label in row {marked[0]} is {str(given[marked[0]])!r}, which names no class: leave "
            "unlabelled rows out, or use class numbers for all, with -1 = unlabelled."
        )
    if given.dtype.kind in "Ub":
        return given.copy()
    labels = _class_numbers(given)
    classes = np.unique(labels)
    if UNLABELLED in classes and len(classes) < 3 and not beside:
        found = "nothing but -1" if len(classes) == 1 else f"-1 and the single class {classes[1]}"
        raise ValueError(
            f"y holds {found}, and -1 means unlabelled: if it is a class of yours, number the classes from 0."
        )
    return labels


def check_point_labels(labels: Any, n: int) -> LabelArray:
    """Return the labels of n points as int64; None gives -1 for all, and any number of classes will do.

    Args:
        labels: integers of any width, shape `(n,)`, or None.
        n: how many points there are.

    Raises:
        ValueError: for another number than n, or anything but class numbers and -1.
    """
    if labels is None:
        return np.full(n, UNLABELLED, dtype=np.int64)
    given = as_array(labels, "The labels")
    if given.shape != (n,):
        raise ValueError(
            f"There are {n} embeddings but labels of shape {given.shape}: pass one label for each."
        )
    _refuse_markers(given)
    if given.dtype.kind not in "iu" or not np.can_cast(given.dtype, np.int64):
        raise ValueError(f"The labels are of type {given.dtype}: pass int64, -1 = unlabelled.")
    return _class_numbers(given)


def _one_row(labels: Any, n: int, thing: str) -> npt.NDArray[Any]:
    given = as_array(labels, "The labels")
    if given.ndim == 2 and given.shape[1] > 1:
        raise ValueError(
            f"The labels have shape {given.shape}, but y should be a 1d array: pass one class number per "
            "row; from a column per class, labels.argmax(axis=1) makes them."
        )
    row: npt.NDArray[Any] = column_or_1d(given, warn=True)
    if len(row) != n:
        raise ValueError(
            f"There are {n} {thing}s but {len(row)} labels: pass one label per {thing}, -1 = unlabelled."
        )
    _refuse_markers(row)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes")  # few labels: just so
        check_classification_targets(row)
    return row


def _refuse_markers(given: npt.NDArray[Any]) -> None:
    """Say so if something else than -1 stands for "unlabelled"."""
    if given.dtype == object:
        usual = Counter(type(label) for label in given).most_common(1)[0][0]
        row = next((i for i, label in enumerate(given) if type(label) is not usual), 0)
        raise ValueError(
            f"The label in row {row} is {given[row]!r}, unlike the others: use class numbers for all, and "
            "-1 = unlabelled."
        )
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        row = np.flatnonzero(~np.isfinite(given))[0]
        what = "NaN" if np.isnan(given[row]) else "infinity"
        raise ValueError(f"The label in row {row} is {what}: write -1 where an image is unlabelled.")


def _class_numbers(given: npt.NDArray[Any]) -> LabelArray:
    """Return whole numbers from -1 on as int64, in a copy: PyTorch wants to own what it reads."""
    if given.dtype.kind not in "iuf":
        raise ValueError(f"Labels of type {given.dtype} are not class numbers: pass integers or names.")
    if given.dtype.kind == "f" and len(given) and np.abs(given).max() >= 2**53:
        raise ValueError("A label is too large for a class number: pass integers, numbered from 0.")
    labels: LabelArray = np.array(given, dtype=np.int64)
    if not np.array_equal(given, labels):
        row = np.flatnonzero(given != labels)[0]
        raise ValueError(f"The label in row {row} is {given[row]}: pass whole numbers, -1 = unlabelled.")
    if (bad := np.flatnonzero(labels < UNLABELLED)).size:
        raise ValueError(
            f"The label in row {bad[0]} is {labels[bad[0]]}: number the classes from 0, and write -1 where "
            "an image is unlabelled."
        )
    return labels
