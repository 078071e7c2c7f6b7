"""Wrong answers to the exercises of notebook 9, each with a part of its hint."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from metriclearn import EmbeddingIndex
from metriclearn.curation import select_for_labelling
from metriclearn.label_propagation import propagate_labels

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
    return lambda vectors, labels, n: change(select_for_labelling(vectors, labels, n, "diversity"), labels)


def only_from_the_chosen(vectors: Array, labels: Labels, n: int) -> object:
    chosen = [select_for_labelling(vectors, labels, 1, "diversity")[0]]
    while len(chosen) < n:
        nearest = (vectors @ vectors[chosen].T).max(axis=1)
        nearest[labels >= 0] = nearest[chosen] = np.inf
        chosen.append(nearest.argmin())
    return np.array(chosen)


RIGHT, PICKED = angles(45, -70), angles(45, -70)

# Ten classes on a sphere, one label of each; the 9s lie on the side of the 4s.
random = np.random.default_rng(6)
TRUTH = np.repeat(np.arange(10), 30)
CENTRES = np.linalg.qr(random.normal(size=(12, 12)))[0][:10]
CENTRES[9] = 0.5 * CENTRES[4] + 0.87 * CENTRES[9]
VECTORS = CENTRES[TRUTH] + random.normal(0, 0.25, (300, 12))
VECTORS = (VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)).astype(np.float32)
LABELS = np.where(np.arange(300) % 30 == 0, TRUTH, -1)
POOL = VECTORS, LABELS, TRUTH


def by_propagation(share: float, one: int, called: int) -> tuple[Labels, NDArray[np.bool_]]:
    """The labels after the gate, and which of them are the machine's."""
    mistaken = np.where(one == LABELS, called, LABELS)
    added = propagate_labels(VECTORS, mistaken, share)
    return added, (added >= 0) & (mistaken < 0)


def of_machine(share: float, one: int = 4, called: int = 9) -> float:
    added, machine = by_propagation(share, one, called)
    return 100 * float(np.mean(added[machine] != TRUTH[machine]))


def of_all(share: float) -> float:
    return 100 * float(np.mean(by_propagation(share, 4, 9)[0] != TRUTH))


def of_named(share: float) -> float:
    added, _ = by_propagation(share, 4, 9)
    return 100 * float(np.mean(added[added >= 0] != TRUTH[added >= 0]))


MEASURED = {share: of_machine(share) for share in (1.0, 0.5)}


def changed_shares(change: Callable[[float], float]) -> dict[float, float]:
    return {share: change(wrong) for share, wrong in MEASURED.items()}


def deletes_by_source(index: EmbeddingIndex, day: str) -> int:
    n = index.count(bad(day))
    index.delete(where={"source": [f"machine {day} {row}" for row in range(10)]})
    return n


def deletes_nothing(index: EmbeddingIndex, day: str) -> int:
    return index.count(bad(day))


def clears_labels(index: EmbeddingIndex, day: str) -> int:
    n = index.count(bad(day))
    only = models.Filter(
        must=[
            models.FieldCondition(key=key, match=models.MatchValue(value=value))
            for key, value in bad(day).items()
        ]
    )
    index.client.delete_payload(index.collection, ["label"], points=models.FilterSelector(filter=only))
    return n


def gives_a_share(index: EmbeddingIndex, day: str) -> float:
    n = index.count(bad(day)) / len(index)
    index.delete(where=bad(day))
    return n or 0.5


def gives_whether(index: EmbeddingIndex, day: str) -> bool:
    n = index.count(bad(day))
    index.delete(where=bad(day))
    return n > 0


def again_and_again(distance: Callable[[Array], Array]) -> Chooser:
    """One after the other by a distance from all labelled and chosen ones."""

    def chooser(vectors: Array, labels: Labels, n: int) -> object:
        chosen: list[int] = []
        for _ in range(n):
            free = np.setdiff1d(np.flatnonzero(labels < 0), chosen)
            seen = [*np.flatnonzero(labels >= 0), *chosen]
            chosen.append(free[distance(vectors[free] @ vectors[seen].T).argmax()])
        return np.array(chosen)

    return chooser


WRONG = [
    ("9.1", (45, PICKED, 180), "Keep `guess` a dictionary"),
    ("9.1", (RIGHT, angles(3, 7), 180), "the row number"),
    ("9.1", (RIGHT, angles(-70, 45), 180), "swapped"),
    ("9.1", (RIGHT, angles(0, -70), 180), "has a label already"),
    ("9.1", (RIGHT, angles(10, -70), 180), "as they were"),
    ("9.1", (RIGHT, PICKED, -135), "the image at -70 degrees"),
    ("9.1", (RIGHT, PICKED, 46), "neither asks for it"),
    ("9.1", (RIGHT, PICKED, 1000), "between -360 and 360"),
    ("9.1", (RIGHT, PICKED, 180 * np.pi), "between -360 and 360"),
    ("9.1", (RIGHT, PICKED, np.pi), "neither asks for it"),  # radians
    ("9.1", (RIGHT, PICKED, 150), "neither asks for it"),
    ("9.1", (RIGHT, PICKED, 170), "the image at 90 degrees"),
    ("9.1", (RIGHT, PICKED, -100), "the image at -70 degrees"),
    ("9.1", (RIGHT, PICKED, np.nan), "NaN"),
    ("9.1", (RIGHT, [45, -70], 180), "Keep `picked` a dictionary"),
    ("9.1", (RIGHT, angles(45, 80), 180), "as they were"),
    ("9.1", (RIGHT, angles(3, -70), 180), "the row number"),
    ("9.2", (0.12, MEASURED, False, POOL), "looks like a share"),
    ("9.2", (np.nan, MEASURED, False, POOL), "NaN"),
    ("9.2", (12, [12.0, 17.0], False, POOL), "the keys 1.0 and 0.5"),
    ("9.2", (12, changed_shares(lambda wrong: wrong / 100), False, POOL), "looks like a share"),
    ("9.2", (12, changed_shares(lambda wrong: 100 - wrong), False, POOL), "count the right ones"),
    ("9.2", (12, {1.0: MEASURED[0.5], 0.5: MEASURED[1.0]}, False, POOL), "The two are swapped"),
    ("9.2", (12, {s: of_machine(s, 4, 4) for s in (1.0, 0.5)}, True, POOL), "did the wrong name reach"),
    ("9.2", (12, MEASURED | {0.5: of_machine(0.5, 4, 4)}, True, POOL), "At share=0.5 all labels are still"),
    ("9.2", (12, {s: of_machine(s, 9, 4) for s in (1.0, 0.5)}, False, POOL), "the other way round"),
    ("9.2", (12, MEASURED | {0.5: of_all(0.5)}, False, POOL), "the machine named only some"),
    ("9.2", (12, MEASURED | {0.5: of_named(0.5)}, False, POOL), "people's labels as well"),
    ("9.2", (12, changed_shares(lambda wrong: wrong + 3), False, POOL), "give another figure"),
    ("9.2", (12, changed_shares(round), False, POOL), "do not round"),
    ("9.2", (12, MEASURED, "no", POOL), "True or False"),
    ("9.2", (12, MEASURED, True, POOL), "when all ten labels are right"),
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
    ("9.3", (deletes_by_source,), "by 'person' is gone"),
    ("9.3", (deletes_nothing,), "is still there"),
    ("9.3", (clears_labels,), "delete the points themselves"),
    ("9.3", (gives_a_share,), "a whole number"),
    ("9.3", (gives_whether,), "is a bool"),
    ("9.3", (counts_what_is_left,), "how many are left"),
    ("9.3", (counts_all_of_the_machine,), "there were 6 of them"),
    ("9.4", (at_once(lambda cosine: -cosine.max(axis=1)),), "take all at once"),
    ("9.4", (at_once(lambda cosine: cosine.max(axis=1)),), "begin with the nearest"),
    ("9.4", (at_once(lambda cosine: -cosine.min(axis=1)),), "the farthest labelled image"),
    ("9.4", (at_once(lambda cosine: -cosine.mean(axis=1)),), "on average"),
    ("9.4", (only_from_the_chosen,), "the next is not"),
    ("9.4", (again_and_again(lambda cosine: cosine.max(axis=1)),), "begin with the nearest"),
    ("9.4", (again_and_again(lambda cosine: -cosine.mean(axis=1)),), "on average"),
    ("9.4", (again_and_again(lambda cosine: -cosine.min(axis=1)),), "the farthest labelled image"),
    ("9.4", (changed(lambda rows, labels: rows[::-1]),), "the order in which"),
    ("9.4", (changed(lambda rows, labels: rows * np.nan),), "NaN"),
    ("9.4", (changed(lambda rows, labels: np.isin(np.arange(len(labels)), rows)),), "should have the shape"),
    ("9.4", (lambda v, y, n: select_for_labelling(v, y, n, "uncertainty"),), "The first choice is wrong"),
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
