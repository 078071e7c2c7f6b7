"""Wrong answers to the exercises of notebook 9, each with a part of its hint."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from metriclearn import EmbeddingIndex
from metriclearn.explore import what_to_label_next

Array = NDArray[np.floating]
Labels = NDArray[np.int64]
Chooser = Callable[[Array, Labels, int], object]


def angles(uncertainty: float, diversity: float) -> dict[str, float]:
    return {"uncertainty": uncertainty, "diversity": diversity}


def filtered(where: Callable[[str], dict[str, object]]) -> Callable[[EmbeddingIndex, str], int]:
    """A roll back with another condition."""

    def roll_back(index: EmbeddingIndex, day: str) -> int:
        n = index.count(where(day))
        index.delete(where=where(day))
        return n

    return roll_back


def bad(day: str) -> dict[str, object]:
    return {"label_by": "machine", "labelled": day}


def counts_too_late(index: EmbeddingIndex, day: str) -> int:
    index.delete(where=bad(day))
    return index.count(bad(day))


def counts_what_is_left(index: EmbeddingIndex, day: str) -> int:
    index.delete(where=bad(day))
    return len(index)


def counts_all_of_the_machine(index: EmbeddingIndex, day: str) -> int:
    n = index.count({"label_by": "machine"})
    index.delete(where=bad(day))
    return n


def at_once(distance: Callable[[Array], Array]) -> Chooser:
    """The n first by a distance from the labelled images, without looking again."""

    def chooser(vectors: Array, labels: Labels, n: int) -> object:
        free = np.flatnonzero(labels < 0)
        return free[np.argsort(-distance(vectors[free] @ vectors[labels >= 0].T))[:n]]

    return chooser


def changed(change: Callable[[Labels, Labels], object]) -> Chooser:
    """The right rows, changed by a function of rows and labels."""
    return lambda vectors, labels, n: change(what_to_label_next(vectors, labels, n, "diversity"), labels)


def only_from_the_chosen(vectors: Array, labels: Labels, n: int) -> object:
    chosen = [what_to_label_next(vectors, labels, 1, "diversity")[0]]
    while len(chosen) < n:
        nearest = (vectors @ vectors[chosen].T).max(axis=1)
        nearest[labels >= 0] = nearest[chosen] = np.inf
        chosen.append(nearest.argmin())
    return np.array(chosen)


RIGHT, PICKED = angles(45, -70), angles(45, -70)

WRONG = [
    ("9.1", (45, PICKED, 180), "Keep `guess` a dictionary"),
    ("9.1", (RIGHT, angles(3, 7), 180), "the row number"),
    ("9.1", (RIGHT, angles(-70, 45), 180), "swapped"),
    ("9.1", (RIGHT, angles(0, -70), 180), "has a label already"),
    ("9.1", (RIGHT, angles(10, -70), 180), "as they were"),
    ("9.1", (RIGHT, PICKED, -135), "only diversity asks for it"),
    ("9.1", (RIGHT, PICKED, 46), "neither asks for it"),
    ("9.1", (RIGHT, PICKED, 1000), "between -360 and 360"),
    ("9.2", (0.12, {1.0: 12.0, 0.5: 17.0}, False), "looks like a share"),
    ("9.2", (12, [12.0, 17.0], False), "the keys 1.0 and 0.5"),
    ("9.2", (12, {1.0: 0.12, 0.5: 0.17}, False), "looks like a share"),
    ("9.2", (12, {1.0: 2.2, 0.5: 0.2}, True), "did the wrong name reach"),
    ("9.2", (12, {1.0: 12.0, 0.5: 0.2}, True), "same mistaken labels"),
    ("9.2", (12, {1.0: 12.0, 0.5: 58.0}, False), "which means no label"),
    ("9.2", (12, {1.0: 90.0, 0.5: 20.0}, False), "change one label of the ten"),
    ("9.2", (12, {1.0: 12.0, 0.5: 17.0}, "no"), "True or False"),
    ("9.2", (12, {1.0: 12.0, 0.5: 17.0}, True), "where all labels were right"),
    ("9.3", (filtered(lambda day: {"label_by": "machine"}),), "label of 2026-01-15 by 'machine' is gone"),
    ("9.3", (filtered(lambda day: {"labelled": day}),), "of 2026-01-16 by 'person' is gone"),
    (
        "9.3",
        (filtered(lambda day: {"label_by": ["machine", "import"], "labelled": day}),),
        "by 'import' is gone",
    ),
    ("9.3", (filtered(lambda day: {"label_by": "the machine", "labelled": day}),), "is still there"),
    ("9.3", (filtered(lambda day: {"label_by": "machine", "labelled": "2026-01-16"}),), "is still there"),
    ("9.3", (counts_too_late,), "before you delete"),
    ("9.3", (counts_what_is_left,), "how many are left"),
    ("9.3", (counts_all_of_the_machine,), "there were 6 of them"),
    ("9.4", (at_once(lambda cosine: -cosine.max(axis=1)),), "take all at once"),
    ("9.4", (at_once(lambda cosine: cosine.max(axis=1)),), "begin with the nearest"),
    ("9.4", (at_once(lambda cosine: -cosine.min(axis=1)),), "the farthest labelled image"),
    ("9.4", (at_once(lambda cosine: -cosine.mean(axis=1)),), "on average"),
    ("9.4", (only_from_the_chosen,), "the next is not"),
    ("9.4", (changed(lambda rows, labels: np.sort(rows)),), "the order in which"),
    ("9.4", (changed(lambda rows, labels: np.repeat(rows[0], len(rows))),), "chosen twice"),
    ("9.4", (changed(lambda rows, labels: rows[:1].repeat(len(rows) + 1)),), "should have the shape"),
    (
        "9.4",
        (changed(lambda rows, labels: np.searchsorted(np.flatnonzero(labels < 0), rows)),),
        "places among",
    ),
    (
        "9.4",
        (changed(lambda rows, labels: np.full(len(rows), np.argmax(labels >= 0))),),
        "has a label already",
    ),
    ("9.4", (changed(lambda rows, labels: rows + 1000),), "no list of row numbers"),
]
