"""Wrong answers to the exercises of notebook 8, each with a part of its hint."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from metriclearn.explore import unknown_threshold

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


RIGHT = rejected_by()
MEASURED = {1: (4.0, 90.0), 5: (4.0, 91.0)}

WRONG = [
    ("8.1", ("both", SIXTH, losses(16, 0)), "one of 'all examples', 'class means'"),
    ("8.1", ("all examples", 0.2, losses(16, 0)), "How many images are called 7 now"),
    ("8.1", ("all examples", 5 / 6, losses(16, 0)), "What is its weight"),
    ("8.1", ("all examples", 100 / 6, losses(16, 0)), "between 0 and 1"),
    ("8.1", ("all examples", SIXTH, [16, 0]), "the keys 'all examples' and"),
    ("8.1", ("all examples", SIXTH, losses(0, 0)), "did the wrong name reach"),
    ("8.1", ("all examples", SIXTH, losses(0.16, 0.01)), "looks like a share"),
    ("8.1", ("all examples", SIXTH, losses(-16, 0)), "before minus after"),
    ("8.1", ("class means", SIXTH, losses(1, 16)), "two keys swapped"),
    ("8.1", ("all examples", SIXTH, losses(1.7, 0.1)), "count the 9s alone"),
    ("8.1", ("all examples", SIXTH, losses(85, 83)), "one 9 at a time"),
    ("8.1", ("all examples", SIXTH, losses(16, 12)), "the mean of each class anew"),
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
    ("8.3", ("lower", rejected_by(lambda cosine, k: cosine.max(axis=1)), MEASURED), "scores are still those"),
    ("8.3", ("lower", rejected_by(same_k=False), MEASURED), "threshold is still that"),
    ("8.3", ("lower", rejected_by(use_aside=False), MEASURED), "images set aside"),
    ("8.3", ("lower", rejected_by(lambda c, k: np.sort(c, axis=1)[:, -k - 1]), MEASURED), "after the k-th"),
    ("8.3", ("lower", rejected_by(lambda c, k: np.sort(c, axis=1)[:, k - 1]), MEASURED), "of the farthest"),
    (
        "8.3",
        ("lower", rejected_by(lambda c, k: np.sort(c, axis=1)[:, -k:].mean(axis=1)), MEASURED),
        "the k-th alone",
    ),
    ("8.3", ("lower", lambda *given: RIGHT(*given) / 100, MEASURED), "That is a share"),
    ("8.3", ("lower", lambda *given: 100 - RIGHT(*given), MEASURED), "that are accepted"),
    ("8.3", ("lower", lambda *given: 50, MEASURED), "threshold for the same k"),
    ("8.3", ("higher", RIGHT, MEASURED), "be nearer than the nearest"),
    ("8.3", ("lower", RIGHT, [4.0, 90.0]), "the keys 1 and 5"),
    ("8.3", ("lower", RIGHT, {1: 90.0, 5: 91.0}), "give two numbers"),
    ("8.3", ("lower", RIGHT, {1: (0.04, 0.9), 5: (0.04, 0.91)}), "looks like a share"),
    ("8.3", ("lower", RIGHT, {1: (90.0, 4.0), 5: (91.0, 4.0)}), "are the two swapped"),
    ("8.3", ("lower", RIGHT, {1: (21.0, 98.0), 5: (22.0, 97.0)}), "who was set aside"),
    ("8.3", ("lower", RIGHT, {1: (4.0, 28.0), 5: (4.0, 27.0)}), "pass their embeddings alone"),
]
