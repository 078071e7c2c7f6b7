"""Validation of labels: class numbers from 0 on, and -1 for an unlabelled image.

What the others do with an unlabelled row:

* `train_metric` and `MetricEmbedding` learn from it as a part of the pool, `train_classifier` leaves it out;
* the losses and the measures of `metrics.py` leave it out: nobody knows whose positive it is;
* `spread_labels` and `propagate_labels` give it the label that reaches it, and -1 if none does;
* `label_errors` gives it the score 0 and no vote, `select_for_labelling` chooses among such rows;
* `EmbeddingIndex` stores it and may find it as a neighbour, whose label is then -1;
* `QdrantClassifier` leaves it out: it is no class, and nobody could vote for it.

NaN, None, an empty text or -100 mean nothing here; the message says what to write instead.
"""

import unicodedata
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import column_or_1d

from metriclearn.checks.arguments import shown
from metriclearn.checks.arrays import as_array, is_broken

LabelArray = npt.NDArray[np.int64]
UNLABELLED = -1
NO_LABEL = {"unlabelled", "unlabeled"}
NO_CLASS = {"na", "nan", "nat", "nil", "none", "null", "nolabel"}  # what programs write for a missing value


def means_unlabelled(text: str) -> bool:
    """Return whether a text says that there is no label, such as "", "unlabelled" or "_Unlabeled"."""
    return not text.strip() or _letters(text) in NO_LABEL


def names_no_class(text: str) -> bool:
    """Return whether a text cannot be the name of a class: a missing value in any spelling, or no label.

    Such as "", "-1", "?", "None", "NA", "n/a", "#N/A", "<NA>", "NaN", "(null)".
    """
    given = text.strip()
    return means_unlabelled(text) or _letters(text) in NO_CLASS or given == "-1" or set(given) <= set("-?._")


def _letters(text: str) -> str:
    """Return the letters and digits of a text alone, in small letters."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def is_labelled(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which rows of checked labels have one, bool of shape `(n,)`; all names of classes do."""
    return np.ones(len(labels), dtype=bool) if labels.dtype.kind == "U" else labels != UNLABELLED


def check_labels(labels: Any, n: int, thing: str = "image") -> LabelArray:
    """Return the labels of n images, whole numbers of any type, as int64 of shape `(n,)`: a copy.

    Anything but n class numbers, -1 among them, raises a ValueError, which calls what is labelled `thing`.
    """
    return _class_numbers(_column(labels, n, thing))


def check_class_labels(y: Any, n: int) -> LabelArray:
    """Return labels to learn from, as `check_labels` does, of at least two classes."""
    labels = check_labels(y, n)
    classes = np.unique(labels[is_labelled(labels)])
    if len(classes) < 2:
        found = f"only one class ({classes[0]})" if len(classes) else "no label"
        raise ValueError(f"y holds {found}: label images of at least two classes.")
    return labels


def check_groups(groups: Any, n: int) -> LabelArray:
    """Return the groups of n images as numbers from 0 on, int64 of shape `(n,)`.

    A group is named by a whole number or a text; blanks at the ends do not count, nor how Unicode writes a
    letter. Each image of no group, which is -1, None, NaN or an empty text, becomes a group of its own.
    Anything else raises a ValueError.
    """
    given = as_array(groups, "The groups")
    if given.shape != (n,):
        raise ValueError(f"The groups have shape {given.shape}: pass one for each of the {n} images.")
    found, numbers = np.empty(n, dtype=np.int64), dict[Any, int]()
    for row, name in enumerate(given.tolist()):
        if isinstance(name, str):
            name = unicodedata.normalize("NFC", name.strip())
        elif type(name).__name__ in ("NAType", "NaTType") or (isinstance(name, float) and name != name):
            name = None
        if not (
            name is None or isinstance(name, int | str) or (isinstance(name, float) and name.is_integer())
        ):
            raise ValueError(
                f"The group in row {row} is {shown(name)}: name it by a whole number or a text, or write "
                "None where an image is in no group."
            )
        key = ("alone", row) if name in (None, UNLABELLED, "") else name
        found[row] = numbers.setdefault(key, len(numbers))
    return found


def check_targets(y: Any, n: int, *, beside: bool = False) -> npt.NDArray[Any]:
    """Return a classifier's n targets, a copy: bools, texts, or int64 with -1 = unlabelled.

    Anything else raises a ValueError. So does -1 and a single class, where it more likely is a class of its
    own, unless they stand `beside` other classes that are known already.
    """
    given = _column(y, n, "row")
    if given.dtype.kind == "U":
        for row, name in enumerate(given.tolist()):
            if names_no_class(name) or is_broken(name):
                raise ValueError(f"The label in row {row} is {name!r}, which names no class: leave it out.")
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


def _column(labels: Any, n: int, thing: str) -> npt.NDArray[Any]:
    """Return labels of any type as an array of shape `(n,)`."""
    if labels is None:  # the first words are those that scikit-learn asks of an estimator
        raise ValueError("fit requires y to be passed, but the target y is None: pass labels.")
    column: npt.NDArray[Any] = column_or_1d(as_array(labels, "The labels"), warn=True)
    if len(column) != n:
        raise ValueError(f"There are {n} {thing}s but {len(column)} labels: pass one for each.")
    return column


def _class_numbers(given: npt.NDArray[Any]) -> LabelArray:
    """Return whole numbers from -1 on as int64, in a copy: PyTorch wants to own what it reads."""
    row = 0
    if given.dtype.kind in "iuf":
        with np.errstate(invalid="ignore"):  # NaN becomes some number, and is found in the next line
            labels: LabelArray = given.astype(np.int64)
        wrong = (labels != given) | (labels < UNLABELLED)
        if not wrong.any():
            return labels
        row = int(wrong.argmax())
    elif given.dtype.kind == "O":
        kinds = [type(label) for label in given]
        row = kinds.index(Counter(kinds).most_common()[-1][0])  # the kind that is rarest
    raise ValueError(  # the first words are those that scikit-learn asks of a classifier
        f"Unknown label type: the label in row {row} is {shown(given[row])}; number the classes from 0, as "
        "np.unique(names, return_inverse=True)[1] does, and write -1 where an image is unlabelled."
    )
