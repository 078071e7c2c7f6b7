"""Wrong answers to the exercises of notebook 8, each with a part of its hint."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from metriclearn.unknown import unknown_threshold

Array = NDArray[np.floating]
SIXTH = 1 / 6


def losses(by_examples: float, by_means: float) -> dict[str, float]:
    return {"all examples": by_examples, "class means": by_means}


def counted(
    ties: float = 0.5, threshold: Callable[[Array, Array], float] = lambda old, new: low(old)
) -> Callable[[Array, Array], tuple[float, float]]:
    """Both figures, with a mistake in the ties or in the threshold."""

    def tells_apart(old: Array, new: Array) -> tuple[float, float]:
        area = np.mean(old[:, None] > new) + ties * np.mean(old[:, None] == new)
        return 100 * area, 100 * np.mean(new >= threshold(old, new))

    return tells_apart


def low(scores: Array) -> float:
    return float(np.sort(scores)[int(0.05 * len(scores))])


def strict(old: Array, new: Array) -> tuple[float, float]:
    return counted()(old, new)[0], 100 * np.mean(new > low(old))


def of_old_and_new(kind: Callable[[float, float], object]) -> Callable[[Array, Array], object]:
    return lambda old, new: kind(*counted()(old, new))


def rejected_by(
    score: Callable[[Array, int], Array] = lambda cosine, k: np.sort(cosine, axis=1)[:, -k],
    same_k: bool = True,
    use_aside: bool = True,
) -> Callable[[Array, Array, Array, int], float]:
    """The share rejected, with a mistake in the score or in the threshold."""

    def rejected(known: Array, aside: Array, these: Array, k: int) -> float:
        threshold = unknown_threshold(known, aside if use_aside else None, k=k if same_k else 1)
        return float(100 * np.mean(score(these @ known.T, k) < threshold))

    return rejected


CORRECT = rejected_by()
nearest = rejected_by(lambda cosine, k: cosine.max(axis=1))


def kth(of_sorted: Callable[[Array, int], Array]) -> Callable[[Array, Array, Array, int], float]:
    """A score of the cosines in rising order."""
    return rejected_by(lambda cosine, k: of_sorted(np.sort(cosine, axis=1), k))


def at(rank: Callable[[int], int]) -> Callable[[Array, Array], float]:
    """The old score at a rank that depends on their number."""
    return lambda old, new: float(np.sort(old)[max(rank(len(old)), 0)])


def near(centres: Array, n: int, spread: float) -> Array:
    """n unit vectors around each centre."""
    points = np.repeat(centres, n, axis=0)
    points = points + random.normal(0, spread, points.shape)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


# Ten classes on a sphere: five examples of each are stored, and the 9s lie near the 7s.
random = np.random.default_rng(3)
CENTRES = np.linalg.qr(random.normal(size=(12, 12)))[0][:10]
CENTRES[9] = 0.8 * CENTRES[7] + 0.6 * CENTRES[9]
NAMES = np.repeat(np.arange(10), 5)
STORED = near(CENTRES, 5, 0.15), NAMES, near(CENTRES[9:], 100, 0.15)


def lost_by(
    vectors: Callable[[Array, Array], tuple[Array, Array]], wrong: Sequence[NDArray[np.bool_]] | None = None
) -> list[float]:
    """Points of the 9s that are lost when these are called 7, by default each of the five in turn."""

    def right(names: Array) -> float:
        points, kinds = vectors(STORED[0], names)
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
        return 100 * float(np.mean(kinds[(STORED[2] @ points.T).argmax(axis=1)] == 9))

    turns = [np.arange(len(NAMES)) == row for row in np.flatnonzero(NAMES == 9)]
    return [right(NAMES) - right(np.where(rows, 7, NAMES)) for rows in wrong or turns]


def class_means(vectors: Array, names: Array) -> tuple[Array, Array]:
    kinds = np.unique(names)
    return np.stack([vectors[names == kind].mean(axis=0) for kind in kinds]), kinds


FIRST, *_ = BY_EXAMPLES = lost_by(lambda vectors, names: (vectors, names))
EXAMPLES, MEANS = float(np.mean(BY_EXAMPLES)), float(np.mean(lost_by(class_means)))
LOST = losses(EXAMPLES, MEANS)
AT_ONCE = tuple(lost_by(vectors, [NAMES == 9])[0] for vectors in (lambda v, names: (v, names), class_means))


def changed_losses(by_examples: float, by_means: float) -> dict[str, float]:
    return losses(by_examples * EXAMPLES, by_means * MEANS)


KNOWN, HELD_OUT, JUDGES = (near(CENTRES[:7], n, 0.25) for n in (10, 30, 40))
NEW = near(CENTRES[7:], 50, 0.25)
GROUPS = KNOWN, HELD_OUT, JUDGES, NEW
MEASURED = {k: (CORRECT(KNOWN, HELD_OUT, JUDGES, k), CORRECT(KNOWN, HELD_OUT, NEW, k)) for k in (1, 5)}
ASIDE = CORRECT(KNOWN, HELD_OUT, HELD_OUT, 1)
MIXED = CORRECT(KNOWN, HELD_OUT, np.concatenate([JUDGES, NEW]), 1)


def pairs(change: Callable[[float, float], tuple[float, float]]) -> dict[int, tuple[float, float]]:
    return {k: change(*pair) for k, pair in MEASURED.items()}


WRONG = [
    ("8.1", ("both", SIXTH, LOST, STORED), "one of 'all examples', 'class means'"),
    ("8.1", ("all examples", 0.2, LOST, STORED), "How many images are called 7 now"),
    ("8.1", ("all examples", 5 / 6, LOST, STORED), "What is its weight"),
    ("8.1", ("all examples", 100 / 6, LOST, STORED), "between 0 and 1"),
    ("8.1", ("all examples", np.nan, LOST, STORED), "NaN"),
    ("8.1", ("all examples", SIXTH, [16, 0], STORED), "the keys 'all examples' and"),
    ("8.1", ("all examples", SIXTH, losses(0, 0), STORED), "did the wrong name reach"),
    ("8.1", ("all examples", SIXTH, changed_losses(0.01, 0.01), STORED), "looks like a share"),
    ("8.1", ("all examples", SIXTH, changed_losses(-1, 1), STORED), "take before minus after"),
    ("8.1", ("all examples", SIXTH, changed_losses(5, 5), STORED), "sum of the five"),
    ("8.1", ("class means", SIXTH, losses(MEANS, EXAMPLES), STORED), "The two are swapped"),
    ("8.1", ("all examples", SIXTH, losses(MEANS, MEANS), STORED), "what the other store loses"),
    ("8.1", ("all examples", SIXTH, losses(EXAMPLES, EXAMPLES), STORED), "what the other store loses"),
    ("8.1", ("all examples", SIXTH, losses(FIRST, MEANS), STORED), "the first 9 alone"),
    ("8.1", ("all examples", SIXTH, losses(85, 83), STORED), "one 9 at a time"),
    ("8.1", ("all examples", SIXTH, changed_losses(0.28, 1), STORED), "the 9s alone count"),
    ("8.1", ("all examples", SIXTH, changed_losses(1, np.nan), STORED), "NaN"),
    ("8.1", ("all examples", SIXTH, losses(round(EXAMPLES), round(MEANS)), STORED), "do not round"),
    ("8.1", ("all examples", SIXTH, losses(*AT_ONCE), STORED), "all five wrong at once"),
    ("8.1", ("all examples", SIXTH, losses(0, MEANS), STORED), "one 9 at a time"),
    ("8.1", ("all examples", SIXTH, losses(EXAMPLES, 0), STORED), "one 9 at a time"),
    ("8.2", (counted(ties=0),), "leaves out ties"),
    ("8.2", (counted(ties=1),), "counts a tie as won"),
    ("8.2", (of_old_and_new(lambda area, through: (100 - area, through)),), "that the new image wins"),
    ("8.2", (of_old_and_new(lambda area, through: (area, 100 - through)),), "that are rejected"),
    ("8.2", (of_old_and_new(lambda area, through: (area / 100, through / 100)),), "These are shares"),
    ("8.2", (of_old_and_new(lambda area, through: (through, area)),), "in the other order"),
    ("8.2", (of_old_and_new(lambda area, _: area),), "the shape (2,)"),
    ("8.2", (of_old_and_new(lambda area, through: (50.0, through)),), "each old score with each new"),
    ("8.2", (of_old_and_new(lambda area, through: (area, 50.0)),), "the sorted old scores"),
    ("8.2", (strict,), "equals the threshold"),
    ("8.2", (counted(threshold=lambda old, new: low(new)),), "in advance"),
    ("8.2", (counted(threshold=lambda old, new: float(np.quantile(old, 0.05))),), "between two scores"),
    ("8.2", (counted(threshold=lambda old, new: -low(-old)),), "reject the lowest"),
    ("8.2", (counted(threshold=lambda old, new: np.sort(old)[int(0.05 * len(old)) - 1]),), "is *left*"),
    ("8.2", (counted(threshold=at(lambda n: int(0.05 * (n + 1)) - 1)),), "is *left*"),  # notebook 6's cut
    ("8.2", (counted(threshold=at(lambda n: 0)),), "You reject nobody"),
    ("8.2", (counted(threshold=at(lambda n: int(0.05 * n) + 1)),), "in the sorted old scores"),
    ("8.2", (counted(threshold=at(lambda n: int(np.ceil(0.05 * n)))),), "in the sorted old scores"),
    ("8.2", (of_old_and_new(lambda area, _: (area, np.nan)),), "NaN"),
    ("8.2", (counted(threshold=lambda old, new: low(np.unique(old))),), "Images count, not values"),
    ("8.2", (counted(threshold=at(lambda n: max(1, int(0.05 * n)))),), "Of 15 old images"),
    ("8.2", (lambda old, new: counted()(new, old),), "that the new image wins"),
    ("8.3", (nearest, MEASURED, GROUPS), "scores are still those"),
    ("8.3", (rejected_by(same_k=False), MEASURED, GROUPS), "threshold is still that"),
    ("8.3", (rejected_by(use_aside=False), MEASURED, GROUPS), "images set aside"),
    ("8.3", (kth(lambda c, k: c[:, -k - 1]), MEASURED, GROUPS), "after the k-th"),
    ("8.3", (kth(lambda c, k: c[:, k - 1]), MEASURED, GROUPS), "of the farthest"),
    ("8.3", (kth(lambda c, k: c[:, -k:].mean(axis=1)), MEASURED, GROUPS), "the k-th alone"),
    ("8.3", (lambda *given: CORRECT(*given) / 100, MEASURED, GROUPS), "That is a share"),
    ("8.3", (lambda *given: 100 - CORRECT(*given), MEASURED, GROUPS), "that are accepted"),
    ("8.3", (lambda *given: 50, MEASURED, GROUPS), "threshold for the same k"),
    ("8.3", (lambda *given: np.nan, MEASURED, GROUPS), "NaN"),
    ("8.3", (CORRECT, [4.0, 90.0], GROUPS), "the keys 1 and 5"),
    ("8.3", (CORRECT, {1: 90.0, 5: 91.0}, GROUPS), "give two numbers"),
    ("8.3", (CORRECT, pairs(lambda old, new: (old / 100, new / 100)), GROUPS), "look like shares"),
    ("8.3", (CORRECT, pairs(lambda old, new: (new, old)), GROUPS), "are swapped"),
    ("8.3", (CORRECT, {1: MEASURED[5], 5: MEASURED[1]}, GROUPS), "the other k"),
    ("8.3", (CORRECT, pairs(lambda old, new: (100 - old, new)), GROUPS), "old digits that stay"),
    ("8.3", (CORRECT, pairs(lambda old, new: (old, 100 - new)), GROUPS), "that get through"),
    ("8.3", (CORRECT, pairs(lambda old, new: (ASIDE, new)), GROUPS), "judge themselves"),
    ("8.3", (CORRECT, pairs(lambda old, new: (old, MIXED)), GROUPS), "the new ones alone"),
    ("8.3", (CORRECT, pairs(lambda old, new: (MIXED, new)), GROUPS), "new digits are among the old"),
    ("8.3", (CORRECT, pairs(lambda old, new: (old + 1, new)), GROUPS), "its figure for old digits"),
    ("8.3", (CORRECT, pairs(lambda old, new: (old, new - 1)), GROUPS), "the new ones are not"),
    ("8.3", (CORRECT, pairs(lambda old, new: (old, np.nan)), GROUPS), "NaN"),
]
