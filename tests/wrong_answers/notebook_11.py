"""Wrong answers to the exercises of notebook 11, each with a part of its hint."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import binomtest

from metriclearn.course.own_folder import Planted
from metriclearn.curation import duplicates


class Pictures:
    """What `duplicates` asks of photographs: 4 pairs at 0.99, 2 more at 0.98 and 3 more at 0.95."""

    def __init__(self) -> None:
        eye = np.eye(40, dtype=np.float32)
        rows = [*eye[:3] * 0.05 + eye[3]]  # a triple
        rows += [eye[4], eye[4]]  # the same file twice
        for number, cosine in enumerate((0.985, 0.985, 0.96, 0.96, 0.96)):
            one, other = eye[10 + 2 * number], eye[11 + 2 * number]
            rows += [one, cosine * one + np.sqrt(1 - cosine**2) * other]
        self.vectors = np.stack(rows)
        self.digests = tuple(str(row if row != 4 else 3) for row in range(len(rows)))
        self.labels = np.full(len(rows), -1)
        self.files = tuple(f"{row}.jpg" for row in range(len(rows)))

    def __len__(self) -> int:
        return len(self.vectors)

    def thumbnails(self) -> Any:
        return self.vectors


PICTURES = Pictures()
PAIRS = {0.95: 9, 0.98: 6, 0.99: 4}
PLANTED = Planted({}, (), (("3.jpg", "4.jpg"), ("1.jpg", "0.jpg")), "")
SAME = [(3, 4), (0, 1)]


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


def never_apart(won: int, lost: int, n: int) -> str:
    likely = binomtest(max(won, lost), won + lost).pvalue
    return "no telling" if likely >= 0.05 else "ours" if won > lost else "simpler"


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
    ("11.1", (100, needed(99, 99)), "for the other aim"),
    ("11.1", (100, needed(19, 19)), "for the other aim"),
    ("11.1", (100, needed(39, 99)), "a rank of 2"),
    ("11.1", (100, needed(100, 99)), "try fewer"),
    ("11.1", (100, needed(5, 99)), "when is share * (n + 1) 1"),
    ("11.1", (100, needed(0.05, 99)), "between 1 and inf"),
    ("11.1", (100, needed(19.5, 99)), "a whole number"),
    ("11.1", ("many", needed(19, 99)), "is a str"),
    ("11.1", (100, {"5 in 100": 19}), "with the keys '5 in 100' and '1 in 100'"),
    (
        "11.2",
        (dict(zip(PAIRS, (4, 6, 9), strict=True)), SAME, PICTURES, PLANTED),
        "The order is turned round",
    ),
    ("11.2", (PAIRS | {0.99: 8}, SAME, PICTURES, PLANTED), "two of them make one pair"),
    ("11.2", (PAIRS | {0.98: 12}, SAME, PICTURES, PLANTED), "two of them make one pair"),
    ("11.2", (PAIRS | {0.99: 5}, SAME, PICTURES, PLANTED), "files that have a duplicate"),
    ("11.2", (PAIRS | {0.95: 15}, SAME, PICTURES, PLANTED), "files that have a duplicate"),
    ("11.2", (PAIRS | {0.99: 2}, SAME, PICTURES, PLANTED), "you halved them"),
    ("11.2", (PAIRS | {0.98: 3}, SAME, PICTURES, PLANTED), "you halved them"),
    ("11.2", (PAIRS | {0.99: 1}, SAME, PICTURES, PLANTED), "equal files are not all"),
    ("11.2", (PAIRS | {0.99: 0}, SAME, PICTURES, PLANTED), "those with two labels are not all"),
    ("11.2", (PAIRS | {0.95: 6}, SAME, PICTURES, PLANTED), "that is the number at 0.98"),
    ("11.2", (PAIRS | {0.99: 6}, SAME, PICTURES, PLANTED), "that is the number at 0.98"),
    ("11.2", (PAIRS | {0.98: 7}, SAME, PICTURES, PLANTED), "it is another number"),
    ("11.2", (PAIRS | {0.98: 0.5}, SAME, PICTURES, PLANTED), "a whole number"),
    ("11.2", ([9, 6, 4], SAME, PICTURES, PLANTED), "Keep `pairs` a dictionary"),
    ("11.2", (PAIRS, 2, PICTURES, PLANTED), "a list of pairs"),
    ("11.2", (PAIRS, [2, 3], PICTURES, PLANTED), "should be a pair"),
    ("11.2", (PAIRS, [(3, 4, 5)], PICTURES, PLANTED), "two pictures of this folder"),
    ("11.2", (PAIRS, [("3.jpg", "none.jpg")], PICTURES, PLANTED), "two pictures of this folder"),
    ("11.2", (PAIRS, [(3, 9)], PICTURES, PLANTED), "is no pair of"),
    ("11.2", (PAIRS, [(3, 4)], PICTURES, PLANTED), "A pair is missing"),
    ("11.2", (PAIRS, [], PICTURES, PLANTED), "A pair is missing"),
    ("11.2", (PAIRS, [*SAME, (0, 2)], PICTURES, PLANTED), "is two pictures"),
    ("11.2", (PAIRS, duplicates(PICTURES, 0.98), PICTURES, PLANTED), "Not all of them"),
    ("11.2", (PAIRS, duplicates(PICTURES, 0.99), PICTURES, PLANTED), "is two pictures"),
    ("11.3", (by_accuracy,), "that is no telling"),
    ("11.3", (by_intervals,), "pictures on which both agree must not count"),
    ("11.3", (all_pictures,), "pictures on which both agree must not count"),
    ("11.3", (of_counts(lambda won, lost, n: exact(won, lost, "greater")),), "for one of the two"),
    ("11.3", (of_counts(lambda won, lost, n: exact(lost, won, "two-sided")),), "the two are swapped"),
    (
        "11.3",
        (of_counts(lambda won, lost, n: exact(won, lost, "two-sided", 0.01)),),
        "what does binomtest say",
    ),
    ("11.3", (of_counts(lambda won, lost, n: exact(won, lost, "two-sided", 0.065)),), "for one of the two"),
    ("11.3", (of_counts(by_share),), "what does binomtest say"),
    ("11.3", (lambda ours, simpler: "ours",), "the two are swapped"),
    ("11.3", (lambda ours, simpler: "no telling",), "it is no toss"),
    ("11.3", (of_counts(lambda won, lost, n: exact(won, lost, "two-sided", 0.035)),), "binomtest"),
    ("11.3", (of_counts(lambda won, lost, n: exact(won, lost, "two-sided", 0.056)),), "1 run of 20"),
    ("11.3", (of_counts(never_apart),), "no toss: return"),
    ("11.3", (lambda ours, simpler: True,), "should be one of"),
    ("11.3", (lambda ours, simpler: "better",), "should be one of"),
    ("11.3", ("ours",), "function itself"),
]
