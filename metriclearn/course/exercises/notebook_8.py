"""New classes: a wrong label in the store, scores that tell old from new, and the fifth neighbour."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score, roc_curve

from metriclearn.course.exercises import NotYet, array, call, choice, entries, number, percent
from metriclearn.explore import unknown_threshold
from metriclearn.validate import FloatArray

Scores = npt.NDArray[np.float64]
WAYS = ("all examples", "class means")


def exercise_8_1(guess: object, moves_by: object, lost: object) -> str:
    """One wrong label: a mean hardly moves, a wrong point keeps all that is near it."""
    guessed = choice(guess, "your guess", WAYS)
    share = number(moves_by, "the share of the way", 0, 1)
    given = entries(lost, "lost", WAYS)
    by_examples, by_means = (number(points, f"what {way} lose", -100, 100) for way, points in given.items())
    if np.isclose(share, 1 / 5, atol=0.005):
        raise NotYet("A mean of five would move by a fifth. How many images are called 7 now?")
    if not np.isclose(share, 1 / 6, atol=0.005):
        raise NotYet(
            "Write the mean of the 7s as a sum: five right ones, and the wrong one. What is its weight?"
        )
    if by_examples == by_means == 0:
        raise NotYet(
            "Nothing is lost at all: did the wrong name reach the store, or only a copy of the labels?"
        )
    if 0 < abs(by_examples) < 1:
        raise NotYet("That looks like a share: give points, so 100 times as much.")
    if by_examples < 0:
        raise NotYet("Your store of all examples gains from a wrong label: take before minus after.")
    if by_means > by_examples:
        raise NotYet("Your class means lose more than all examples: are the two keys swapped?")
    if by_examples < 8:
        raise NotYet("All examples lose more than that: count the 9s alone, and average over the five.")
    if by_examples > 35:
        raise NotYet("All examples lose less than that: one 9 at a time is wrong, the four others are right.")
    if not -8 < by_means < 8:
        raise NotYet("Class means lose less than that: take the mean of each class anew, and the 9s alone.")
    said = "You guessed it." if guessed == WAYS[0] else "You guessed the other one."
    return (
        f"{said} A wrong point takes all 9s that are nearest to it. "
        "The mean of the 7s moves a sixth of the way, and the mean of the 9s rests on four right ones."
    )


def exercise_8_2(tells_apart: Callable[..., object]) -> str:
    """AUROC and false accepts by counting."""
    random = np.random.default_rng(0)
    apart = np.linspace(0.6, 0.99, 30), np.linspace(0.1, 0.59, 20)
    mixed = random.normal(1, 1, 119), random.normal(0, 1, 400)
    coarse = np.round(random.normal(1, 1, 90)), np.round(random.normal(0, 1, 50))
    for old, new in (mixed, apart, coarse, (coarse[0], coarse[0][:40])):
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
    _raise_hint(
        found[0],
        area,
        [
            (100 - area, "Your AUROC counts the pairs that the new image wins: count the old one's."),
            (area - ties / 2, "Your AUROC leaves out ties: one counts one half."),
            (area + ties / 2, "Your AUROC counts a tie as won: it counts one half."),
        ],
        "The AUROC is not right yet: compare each old score with each new one, and take the share.",
    )
    _raise_hint(
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
            (_reach(new, np.quantile(old, 0.05)), "np.quantile may land between two scores: sort and count."),
            (_reach(new, ranked[max(rank - 1, 0)]), "The threshold is the lowest score that is *left*."),
        ],
        "The AUROC is right, the false accepts are not: look for the threshold in the sorted old scores.",
    )


def _reach(scores: Scores, threshold: float) -> float:
    return float(100 * np.mean(scores >= threshold))


def _raise_hint(found: float, truth: float, mistakes: Sequence[tuple[float, str]], otherwise: str) -> None:
    """Raise the hint of the first mistake that would give what was found, unless it is the truth."""
    if np.isclose(found, truth, atol=0.01):
        return
    for value, hint in mistakes:
        if np.isclose(found, value, atol=0.01):
            raise NotYet(hint)
    raise NotYet(otherwise)


def exercise_8_3(moves: object, rejected: Callable[..., object], measured_with: object) -> str:
    """The threshold by the fifth neighbour."""
    direction = choice(moves, "how the threshold moves", ("higher", "lower"))
    random = np.random.default_rng(1)
    known, aside, these = (_near_three_places(random, n) for n in (60, 60, 400))
    for k in (1, 2, 5):
        share = number(call(rejected, known, aside, these, k), "what `rejected` returns", 0, 100)
        _compare_rejected(share, known, aside, these, k)
    if direction == "higher":
        raise NotYet("Can the fifth nearest be nearer than the nearest? So what happens to all scores?")
    for k, pair in entries(measured_with, "measured_with", (1, 5)).items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise NotYet(f"For k={k}, give two numbers: old digits rejected, and new digits caught.")
        old = percent(pair[0], f"the share of old digits rejected with k={k}")
        new = percent(pair[1], f"the share of new digits caught with k={k}")
        if old > new:
            raise NotYet(f"With k={k} more old digits than new ones are rejected: are the two swapped?")
        if old > 15:
            raise NotYet(f"With k={k} far more than 5 % of the old digits are rejected: who was set aside?")
        if new < 40:
            raise NotYet(f"With k={k} more new digits are caught than that: pass their embeddings alone.")
    return (
        "Score and threshold sink together, so that about as many old digits are rejected. "
        "A few points more or fewer of the new ones, on one draw, are no reason to change k."
    )


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
    _raise_hint(
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
