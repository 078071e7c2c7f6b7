"""New classes: a wrong label in the store, scores that tell old from new, and the fifth neighbour."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score, roc_curve

from metriclearn.checks.arrays import FloatArray
from metriclearn.checks.labels import LabelArray
from metriclearn.course.exercises import NotYet, array, call, choice, compare, entries, number, plain
from metriclearn.unknown import unknown_threshold

Scores = npt.NDArray[np.float64]
WAYS = ("all examples", "class means")


def exercise_8_1(
    guess: object, moves_by: object, lost: object, stored: tuple[FloatArray, LabelArray, FloatArray]
) -> str:
    """One wrong label: a mean hardly moves, a wrong point keeps all that is near it."""
    guessed = choice(guess, "your guess", WAYS)
    share = number(moves_by, "the share of the way", 0, 1)
    given = entries(lost, "lost", WAYS)
    found = {way: number(points, f"what {way} lose", -500, 500) for way, points in given.items()}
    if np.isclose(share, 1 / 5, atol=0.005):
        raise NotYet("A mean of five would move by a fifth. How many images are called 7 now?")
    if not np.isclose(share, 1 / 6, atol=0.005):
        raise NotYet(
            "Write the mean of the 7s as a sum: five right ones, and the wrong one. What is its weight?"
        )
    nines = np.flatnonzero(stored[1] == 9)
    each = {way: [_lost(*stored, way == WAYS[1], int(row)) for row in nines] for way in WAYS}
    truth = {way: sum(points) / len(points) for way, points in each.items()}
    if found[WAYS[0]] == found[WAYS[1]] == 0 != truth[WAYS[0]]:
        raise NotYet(
            "Nothing is lost at all: did the wrong name reach the store, or only a copy of the labels?"
        )
    if np.allclose([found[way] for way in WAYS], [truth[way] for way in WAYS[::-1]], rtol=0, atol=0.06):
        raise NotYet("The two are swapped: are the keys those of the stores?")
    together = "the sum of the five, or all five wrong at once: take each in turn, and their mean."
    for way in WAYS:
        if found[way] and np.isclose(found[way], truth[way] / 100, rtol=0.02, atol=0):
            raise NotYet(f"For {way} that looks like a share: give points, so 100 times as much.")
        if found[way] == round(truth[way]) != truth[way]:
            raise NotYet(f"For {way} do not round: hand over the figure as it is.")
        mistakes = [
            (-truth[way], f"For {way} the sign is the other way round: take before minus after."),
            (sum(each[way]), f"For {way} that is {together}"),
            (_lost(*stored, way == WAYS[1], nines), f"For {way} that is {together}"),
            (max(each[way]), f"For {way} that is the worst of the five: take their mean."),
            (each[way][0], f"For {way} that is the first 9 alone: let each of the five be the wrong one."),
            (truth[WAYS[way == WAYS[0]]], f"For {way} that is what the other store loses."),
        ]
        otherwise = (
            f"For {way} it is another loss: one 9 at a time is called 7, all else is as in `names`, and "
            "of the test images the 9s alone count. Do not round."
        )
        compare(found[way], truth[way], mistakes, otherwise, atol=0.06)
    said = "You guessed it." if guessed == WAYS[0] else "You guessed the other one."
    return (
        f"{said} A wrong point takes all 9s that are nearest to it. "
        "The mean of the 7s moves a sixth of the way, and the mean of the 9s rests on four right ones."
    )


def _lost(
    vectors: FloatArray, names: LabelArray, nines: FloatArray, means: bool, rows: npt.NDArray[np.int_] | int
) -> float:
    """Return how many points of the 9s are lost when the examples in these rows are called 7."""

    def nines_right(names: LabelArray) -> float:
        kinds, points = names, vectors
        if means:
            kinds = np.unique(names)
            points = np.stack([vectors[names == kind].mean(axis=0) for kind in kinds])
            points /= np.linalg.norm(points, axis=1, keepdims=True)
        return float(100 * np.mean(kinds[(nines @ points.T).argmax(axis=1)] == 9))

    return nines_right(names) - nines_right(np.where(np.isin(np.arange(len(names)), rows), 7, names))


def exercise_8_2(tells_apart: Callable[..., object]) -> str:
    """AUROC and false accepts by counting."""
    random = np.random.default_rng(0)
    apart = np.linspace(0.6, 0.99, 30), np.linspace(0.1, 0.59, 20)
    mixed = random.normal(1, 1, 119), random.normal(0, 1, 400)
    coarse = np.round(random.normal(1, 1, 90)), np.round(random.normal(0, 1, 50))
    few, even, none = ((random.normal(1, 1, n), random.normal(0, 1, 300)) for n in (40, 100, 15))
    tied = np.repeat([1.0, 2.0, 3.0, 4.0], [3, 20, 30, 47]), random.integers(0, 5, 60).astype(float)
    for old, new in (mixed, few, even, apart, coarse, (coarse[0], coarse[0][:40]), tied, none):
        found = array(call(tells_apart, old.copy(), new.copy()), "what it returns", (2,)).astype(float)
        _compare(found, old, new)
    return "Two sorts of counting, and no library: it agrees with scikit-learn, ties and all."


def _compare(found: Scores, old: Scores, new: Scores) -> None:
    """Raise the hint that fits, unless both figures are right."""
    is_old = np.repeat([True, False], [len(old), len(new)])
    scores = np.concatenate([old, new])
    area = 100 * roc_auc_score(is_old, scores)
    accepts, kept, _ = roc_curve(is_old, scores, drop_intermediate=False)
    rank = int(0.05 * len(old))
    through = 100 * accepts[np.argmax(kept >= 1 - rank / len(old) - 1e-9)]
    wanted = np.array([area, through])
    if np.allclose(found, wanted, atol=0.01):
        return
    if np.allclose(found, wanted / 100, atol=1e-4):
        raise NotYet("These are shares: both figures are asked for in percent.")
    if np.allclose(found, wanted[::-1], atol=0.01):
        raise NotYet("Both figures are right, in the other order: the AUROC comes first.")
    ties = 100 * np.mean(old[:, None] == new)
    ranked = np.sort(old)
    compare(
        found[0],
        area,
        [
            (100 - area, "Your AUROC counts the pairs that the new image wins: count the old one's."),
            (area - ties / 2, "Your AUROC leaves out ties: one counts one half."),
            (area + ties / 2, "Your AUROC counts a tie as won: it counts one half."),
        ],
        "The AUROC is not right yet: compare each old score with each new one, and take the share.",
    )
    compare(
        found[1],
        through,
        [
            (
                100 - through,
                "You count new images that are rejected. False accepts are those that get through.",
            ),
            (100 * np.mean(new > ranked[rank]), "A score that equals the threshold reaches it."),
            (_reach(new, ranked[-1 - rank]), "You reject all but the highest old scores: reject the lowest."),
            (
                _reach(new, np.sort(new)[int(0.05 * len(new))]),
                "Nobody has the new scores in advance: the old ones decide.",
            ),
            (
                _reach(new, np.unique(old)[int(0.05 * len(np.unique(old)))]),
                "Images count, not values: an old score that occurs three times is three images.",
            ),
            (_reach(new, ranked[0]), "You reject nobody: round 5 % of the old images down to whole ones."),
            (
                _reach(new, ranked[max(rank, 1)]),
                f"Of {len(old)} old images 5 %, rounded down, are none: then nobody is rejected.",
            ),
            (
                _reach(new, ranked[max(int(0.05 * (len(old) + 1)) - 1, 0)]),
                "That is the rank of notebook 6's `cut`: here it is the lowest score that is *left*.",
            ),
            (_reach(new, np.quantile(old, 0.05)), "np.quantile may land between two scores: sort and count."),
            (_reach(new, ranked[max(rank - 1, 0)]), "The threshold is the lowest score that is *left*."),
        ],
        "The AUROC is right, the false accepts are not: look for the threshold in the sorted old scores.",
    )


def _reach(scores: Scores, threshold: float) -> float:
    return float(100 * np.mean(scores >= threshold))


def exercise_8_3(
    rejected: Callable[..., object],
    measured_with: object,
    groups: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
) -> str:
    """The threshold by the fifth neighbour."""
    random = np.random.default_rng(1)
    known, aside, these = (_near_three_places(random, n) for n in (60, 60, 400))
    for k in (1, 2, 5):
        share = number(
            call(rejected, known.copy(), aside.copy(), these.copy(), k), "what `rejected` returns", 0, 100
        )
        _compare_rejected(share, known, aside, these, k)
    for k, pair in entries(measured_with, "measured_with", (1, 5)).items():
        if plain(pair).shape != (2,):
            raise NotYet(f"For k={k}, give two numbers: old digits rejected, and new digits caught.")
        found = [number(share, f"a share with k={k}", 0, 100) for share in pair]
        _compare_measured(found, groups, k)
    return (
        "The fifth nearest is farther away, so scores and threshold sink together: about as many old digits "
        "are rejected. "
        "A few points more or fewer of the new ones, on one draw, are no reason to change k."
    )


def _compare_measured(found: list[float], groups: Sequence[FloatArray], k: int) -> None:
    """Raise the hint that fits, unless these are the shares of old and of new digits that are rejected."""
    known, aside, judges, new = groups
    of = {
        (name, at): float(100 * np.mean(_kth(these, known, at) < unknown_threshold(known, aside, k=at)))
        for name, these in (("old", judges), ("new", new), ("aside", aside))
        for at in (1, 5)
    }
    truth = [of["old", k], of["new", k]]
    if np.allclose(found, truth, rtol=0, atol=0.06):
        return
    if np.allclose(found, truth[::-1], rtol=0, atol=0.06):
        raise NotYet(f"With k={k} the two shares are swapped: old digits come first.")
    if np.allclose(found, np.divide(truth, 100), rtol=0, atol=0.0006):
        raise NotYet(f"With k={k} these look like shares: give percent.")
    if np.allclose(found, [of["old", 6 - k], of["new", 6 - k]], rtol=0, atol=0.06):
        raise NotYet(f"With k={k} these are the figures of the other k: did `k` arrive?")
    everything = np.concatenate([judges, new])
    mixed = float(100 * np.mean(_kth(everything, known, k) < unknown_threshold(known, aside, k=k)))
    compare(
        found[0],
        truth[0],
        [
            (100 - truth[0], f"With k={k} you count the old digits that stay: count the rejected ones."),
            (of["aside", k], f"With k={k} those set aside judge themselves: use the old digits in `judges`."),
            (mixed, f"With k={k} new digits are among the old ones: use those in `judges`."),
        ],
        f"With k={k} your `rejected` is right, its figure for old digits is not: `aside` or `judges`?",
        atol=0.06,
    )
    compare(
        found[1],
        truth[1],
        [
            (100 - truth[1], f"With k={k} you count the new digits that get through: count the caught ones."),
            (mixed, f"With k={k} old digits are among the new ones: pass the new ones alone."),
        ],
        f"With k={k} the old digits are right, the new ones are not: pass their embeddings alone.",
        atol=0.06,
    )


def _kth(vectors: FloatArray, known: FloatArray, k: int) -> FloatArray:
    """Return the cosine of every vector to its k-th nearest among the known."""
    cosines: FloatArray = -np.sort(-(vectors @ known.T), axis=1)[:, k - 1]
    return cosines


def _near_three_places(random: np.random.Generator, n: int) -> FloatArray:
    vectors = np.eye(3, 8)[np.arange(n) % 3] + random.normal(0, 0.35, (n, 8))
    unit: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _compare_rejected(found: float, known: FloatArray, aside: FloatArray, these: FloatArray, k: int) -> None:
    """Raise the hint that fits, unless the share is right."""
    ranked = -np.sort(-(these @ known.T), axis=1)

    def share(scores: FloatArray, at: int = k, held_out: FloatArray | None = aside) -> float:
        return float(100 * np.mean(scores < unknown_threshold(known, held_out, k=at)))

    right = share(ranked[:, k - 1])
    compare(
        found,
        right,
        [
            (right / 100, "That is a share: it is asked for in percent."),
            (100 - right, "You count those that are accepted: unknown is what scores below the threshold."),
            (share(ranked[:, 0]), f"With k={k}, your scores are still those of the nearest."),
            (share(ranked[:, k - 1], 1), f"With k={k}, your threshold is still that of the nearest."),
            (share(ranked[:, k]), "You took the neighbour after the k-th: NumPy counts from 0, or from -1."),
            (share(ranked[:, -k]), "You took the k-th of the farthest: count from the largest cosine."),
            (
                share(ranked[:, :k].mean(axis=1)),
                "You score by the mean of the k nearest: take the k-th alone.",
            ),
            (share(ranked[:, k - 1], held_out=None), "Your threshold does not use the images set aside."),
        ],
        f"With k={k} the share is not right yet: cosine to the k-th nearest, threshold for the same k.",
    )
