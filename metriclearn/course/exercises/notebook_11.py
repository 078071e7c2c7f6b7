"""One's own folder: how many must be held out, how alike is the same, and which of two methods is better."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from metriclearn.course.exercises import (
    NoAnswer,
    NotYet,
    call,
    choice,
    compare,
    count,
    entries,
    is_missing,
    number,
    of_guess,
)
from metriclearn.course.own_folder import Planted
from metriclearn.curation import DuplicatePair, duplicates

NEEDED = {"5 in 100": 19, "1 in 100": 99}
THRESHOLDS = (0.95, 0.98, 0.99)
LOOKED_AT = 0.98
ANSWERS = ("ours", "simpler", "no telling")


def exercise_11_1(guess: object, needed: object) -> str:
    """How many held-out scores a threshold needs."""
    guessed = number(guess, "your guess", 0, 1e6)
    given = entries(needed, "needed", tuple(NEEDED))
    for name, truth in NEEDED.items():
        other = next(n for key, n in NEEDED.items() if key != name)
        found = count(given[name], f"the number for {name!r}", 1)
        mistakes = [
            (truth + 1, "One fewer is enough: the picture to come counts as well, n + 1 in all."),
            (truth - 1, "With so few the rank, the share times n + 1 rounded down, is still 0."),
            (other, "That is the number for the other aim."),
            (2 * truth + 1, "That is a rank of 2: the smallest score alone can be the threshold."),
            (truth + 2, "A few fewer are enough: try them one by one."),
            (100, "That would be so if one in a hundred needed a hundred: try fewer."),
        ]
        compare(found, truth, mistakes, f"For {name!r} it is another number: when is share * (n + 1) 1?", 0.5)
    said = of_guess(guessed, NEEDED["1 in 100"], "pictures")
    return f"{said} To aim at a rarer mistake takes more pictures: five times as rare, five times as many."


def exercise_11_2(pairs: object, one_picture: object, photographs: Any, planted: Any) -> str:
    """Pairs of alike pictures at three thresholds, and which of them are one picture."""
    given = entries(pairs, "pairs", THRESHOLDS)
    found = {at: count(given[at], f"the number of pairs at {at}") for at in THRESHOLDS}
    found_pairs = {at: duplicates(photographs, at) for at in THRESHOLDS}
    truth = {at: len(some) for at, some in found_pairs.items()}
    if found != truth and [*found.values()] == [*truth.values()][::-1]:
        raise NotYet("The order is turned round: a lower threshold takes more pictures for one.")
    for at in THRESHOLDS:
        mistakes = [
            (2 * truth[at], f"At {at} these are files: two of them make one pair."),
            (
                len({row for pair in found_pairs[at] for row in (pair.first, pair.second)}),
                f"At {at} these are the files that have a duplicate: count pairs.",
            ),
            (truth[at] / 2, f"At {at} you halved them: each pair is listed once."),
            (
                sum(pair.same_file for pair in found_pairs[at]),
                f"At {at} equal files are not all: nearly equal ones count.",
            ),
            (
                sum(pair.labels_differ for pair in found_pairs[at]),
                f"At {at} those with two labels are not all.",
            ),
            *(
                (truth[other], f"At {at} that is the number at {other}.")
                for other in THRESHOLDS
                if other != at
            ),
        ]
        compare(found[at], truth[at], mistakes, f"At {at} it is another number: len(duplicates(...)).", 0.1)
    looked_at = {frozenset((pair.first, pair.second)) for pair in found_pairs[LOOKED_AT]}
    same = _pairs_of(one_picture, photographs)
    if same - looked_at:
        raise NotYet(f"One of yours is no pair of duplicates(photographs, {LOOKED_AT}): choose among these.")
    if isinstance(planted, Planted):  # of a folder of one's own nobody knows
        row_of = {file: row for row, file in enumerate(photographs.files)}
        one = {frozenset(row_of[file] for file in files) for files in planted.duplicates}
        if same == looked_at:
            raise NotYet("Not all of them are one picture: enlarge each pair, and compare grain and cracks.")
        if same - one:
            raise NotYet("One of your pairs is two pictures: enlarge it, and compare grain and cracks.")
        if one - same:
            raise NotYet("A pair is missing: a smaller copy, or one in another format, is one picture, too.")
    n, fewer = truth[THRESHOLDS[0]], truth[THRESHOLDS[-1]]
    return (
        f"From {fewer} to {n} pairs: a lower threshold lets in pictures that only look alike. It is set by "
        "looking at what it lets in, and a person decides about each pair."
    )


def _pairs_of(answer: object, photographs: Any) -> set[frozenset[int]]:
    """Return pairs of rows; given are pairs as `duplicates` returns them, two rows, or two files."""
    if is_missing(answer):
        raise NoAnswer
    if isinstance(answer, str) or not isinstance(answer, Iterable):
        raise NotYet(
            "`one_picture` should be a list of pairs, such as some of duplicates(photographs, 0.98)."
        )
    row_of = {file: row for row, file in enumerate(photographs.files)}
    found = set()
    for pair in answer:
        if isinstance(pair, DuplicatePair):
            both: list[Any] = [pair.first, pair.second]
        elif isinstance(pair, str) or not isinstance(pair, Iterable):
            raise NotYet(
                "Each entry of `one_picture` should be a pair: two pictures, not a number or a name."
            )
        else:
            both = [row_of.get(one) if isinstance(one, str) else count(one, "a row") for one in pair]
        if len(both) != 2 or None in both:
            raise NotYet("Each entry of `one_picture` should be two pictures of this folder.")
        found.add(frozenset(both))
    return found


# Pictures that ours alone named rightly, the simpler method alone, both, and neither; and what can be said.
CASES = (
    (16, 0, 200, 20, "ours"),
    (9, 1, 80, 10, "ours"),
    (1, 9, 80, 10, "simpler"),
    (0, 0, 90, 10, "no telling"),
    (4, 0, 20, 0, "no telling"),
    (30, 20, 40, 10, "no telling"),
    (0, 12, 3, 3, "simpler"),
    (6, 0, 400, 30, "ours"),
    (5, 0, 400, 30, "no telling"),
    (60, 38, 900, 0, "ours"),
    (40, 60, 900, 0, "no telling"),
    (8, 2, 0, 0, "no telling"),
    (0, 6, 400, 30, "simpler"),
    (13, 4, 60, 10, "ours"),
    (10, 22, 60, 10, "no telling"),
)


def exercise_11_3(which: Callable[..., object]) -> str:
    """The better of two methods by McNemar's exact test, or no telling."""
    for case in CASES:
        won, lost, _, _, truth = case
        try:
            said = choice(call(which, *_met(case)), "what which returns", ANSWERS)
        except (ValueError, ZeroDivisionError):
            if won + lost:
                raise
            raise NotYet('Where the two never disagree there is no toss: return "no telling" then.') from None
        if said == truth:
            continue
        where = f"Where ours alone is right on {won} pictures and the simpler method alone on {lost}"
        if {said, truth} == {"ours", "simpler"}:
            raise NotYet(f"{where}: the two are swapped.")
        if truth == "no telling" and _beats_on_one_side(won, lost):
            raise NotYet(f"{where}, a coin does as much for one of the two in more than 1 run of 20.")
        if truth == "no telling":
            raise NotYet(f"{where}, a coin would do as much in one run of 20 or more: that is no telling.")
        if (won, lost) == (16, 0):
            raise NotYet(f"{where}, it is no toss: pictures on which both agree must not count.")
        raise NotYet(f"{where}, a coin would rarely do as much: what does binomtest say?")
    return (
        "Two intervals that overlap would have said less: on the same pictures only the disagreements tell "
        "anything."
    )


def _beats_on_one_side(won: int, lost: int) -> bool:
    """Return whether the better way wins if asked for alone, as a one-sided test does."""
    n = won + lost
    return n > 0 and bool(binomtest(max(won, lost), n, alternative="greater").pvalue < 0.05)


def _met(case: tuple[int, int, int, int, str]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    won, lost, both, neither, _ = case
    ours = np.repeat([True, False, True, False], [won, lost, both, neither])
    simpler = np.repeat([False, True, True, False], [won, lost, both, neither])
    order = np.random.default_rng(won).permutation(len(ours))
    return ours[order], simpler[order]
