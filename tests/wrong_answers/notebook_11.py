"""Wrong answers to the exercises of notebook 11, each with a part of its hint."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import binomtest


class Pictures:
    """What `duplicates` asks of photographs: 4 pairs at 0.99, 2 more at 0.95 and 3 more at 0.9."""

    def __init__(self) -> None:
        eye = np.eye(40, dtype=np.float32)
        rows = [*eye[:3] * 0.05 + eye[3]]  # a triple
        rows += [eye[4], eye[4]]  # the same file twice
        for number, cosine in enumerate((0.97, 0.97, 0.92, 0.92, 0.92)):
            one, other = eye[10 + 2 * number], eye[11 + 2 * number]
            rows += [one, cosine * one + np.sqrt(1 - cosine**2) * other]
        self.vectors = np.stack(rows)
        self.digests = tuple(str(row if row != 4 else 3) for row in range(len(rows)))
        self.labels = np.full(len(rows), -1)

    def __len__(self) -> int:
        return len(self.vectors)

    def thumbnails(self) -> Any:
        return self.vectors


PICTURES = Pictures()
PAIRS = {0.9: 9, 0.95: 6, 0.99: 4}


def needed(five: object, one: object) -> dict[str, object]:
    return {"5 in 100": five, "1 in 100": one}


def of_counts(say: Callable[[int, int, int], str]) -> Callable[..., str]:
    """A function of how many ours alone, the simpler way alone, and anyone met."""
    return lambda ours, simpler: say(int((ours & ~simpler).sum()), int((simpler & ~ours).sum()), len(ours))


def exact(won: int, lost: int, alternative: str, limit: float = 0.05) -> str:
    if won == lost:
        return "no telling"
    likely = binomtest(max(won, lost), won + lost, alternative=alternative).pvalue
    return "no telling" if likely >= limit else "ours" if won > lost else "simpler"


def by_share(won: int, lost: int, n: int) -> str:
    if won + lost < 6 or max(won, lost) <= 0.8 * (won + lost):
        return "no telling"
    return "ours" if won > lost else "simpler"


def by_accuracy(ours: np.ndarray, simpler: np.ndarray) -> str:
    gap = int(ours.sum()) - int(simpler.sum())
    return "no telling" if gap == 0 else "ours" if gap > 0 else "simpler"


def by_intervals(ours: np.ndarray, simpler: np.ndarray) -> str:
    halves = [1.96 * np.sqrt(way.mean() * (1 - way.mean()) / len(way)) for way in (ours, simpler)]
    gap = ours.mean() - simpler.mean()
    return "no telling" if abs(gap) <= sum(halves) else "ours" if gap > 0 else "simpler"


def all_pictures(ours: np.ndarray, simpler: np.ndarray) -> str:
    return exact(int(ours.sum()), int(simpler.sum()), "two-sided")


WRONG = [
    ("11.1", (100, needed(20, 99)), "One fewer is enough"),
    ("11.1", (100, needed(19, 100)), "One fewer is enough"),
    ("11.1", (100, needed(18, 99)), "is still 0"),
    ("11.1", (100, needed(19, 98)), "is still 0"),
    ("11.1", (100, needed(99, 99)), "for the other promise"),
    ("11.1", (100, needed(19, 19)), "for the other promise"),
    ("11.1", (100, needed(39, 99)), "a rank of 2"),
    ("11.1", (100, needed(100, 99)), "try fewer"),
    ("11.1", (100, needed(5, 99)), "when is share * (n + 1) 1"),
    ("11.1", (100, needed(0.05, 99)), "between 1 and inf"),
    ("11.1", (100, needed(19.5, 99)), "a whole number"),
    ("11.1", ("many", needed(19, 99)), "is a str"),
    ("11.1", (100, {"5 in 100": 19}), "with the keys '5 in 100' and '1 in 100'"),
    ("11.2", (dict(zip(PAIRS, (4, 6, 9), strict=True)), PICTURES), "The order is turned round"),
    ("11.2", (PAIRS | {0.99: 8}, PICTURES), "two of them make one pair"),
    ("11.2", (PAIRS | {0.95: 12}, PICTURES), "two of them make one pair"),
    ("11.2", (PAIRS | {0.99: 5}, PICTURES), "files that have a duplicate"),
    ("11.2", (PAIRS | {0.9: 15}, PICTURES), "files that have a duplicate"),
    ("11.2", (PAIRS | {0.99: 2}, PICTURES), "you halved them"),
    ("11.2", (PAIRS | {0.95: 3}, PICTURES), "you halved them"),
    ("11.2", (PAIRS | {0.99: 1}, PICTURES), "equal files are not all"),
    ("11.2", (PAIRS | {0.99: 0}, PICTURES), "those with two labels are not all"),
    ("11.2", (PAIRS | {0.9: 6}, PICTURES), "that is the number at 0.95"),
    ("11.2", (PAIRS | {0.99: 6}, PICTURES), "that is the number at 0.95"),
    ("11.2", (PAIRS | {0.95: 7}, PICTURES), "it is another number"),
    ("11.2", (PAIRS | {0.95: 0.5}, PICTURES), "a whole number"),
    ("11.2", ([9, 6, 4], PICTURES), "Keep `pairs` a dictionary"),
    ("11.3", (by_accuracy,), "that is no telling"),
    ("11.3", (by_intervals,), "pictures on which both agree must not count"),
    ("11.3", (all_pictures,), "pictures on which both agree must not count"),
    ("11.3", (of_counts(lambda won, lost, n: exact(won, lost, "greater")),), "for one of the two"),
    ("11.3", (of_counts(lambda won, lost, n: exact(lost, won, "two-sided")),), "the wrong way round"),
    ("11.3", (of_counts(lambda won, lost, n: exact(won, lost, "two-sided", 0.01)),), "it is no toss"),
    ("11.3", (of_counts(lambda won, lost, n: exact(won, lost, "two-sided", 0.065)),), "for one of the two"),
    ("11.3", (of_counts(by_share),), "what does binomtest say"),
    ("11.3", (lambda ours, simpler: "ours",), "the wrong way round"),
    ("11.3", (lambda ours, simpler: "no telling",), "it is no toss"),
    ("11.3", (lambda ours, simpler: True,), "should be one of"),
    ("11.3", (lambda ours, simpler: "better",), "should be one of"),
    ("11.3", ("ours",), "function itself"),
]
