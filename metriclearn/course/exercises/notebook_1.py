"""Scarce labels: draws, augmentation, and the interval of a difference."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from metriclearn.course.exercises import (
    NotYet,
    array,
    call,
    choice,
    entries,
    is_of_test,
    of_guess,
    percent,
    percents,
)
from metriclearn.metrics import Interval, t_interval

# 1-NN on raw pixels, with one and with fifty labels per class, for the seeds 0 to 19.
ONE_LABEL = [43.0, 43.2, 31.9, 46.7, 48.2, 41.2, 52.2, 37.6, 48.6, 49.9]
ONE_LABEL += [37.1, 50.3, 38.6, 40.7, 45.4, 44.5, 53.8, 47.3, 39.0, 45.8]
FIFTY_LABELS = [82.8, 85.6, 84.1, 84.2, 86.1, 85.3, 85.1, 87.1, 86.7, 86.2]
FIFTY_LABELS += [84.6, 85.3, 87.6, 86.0, 85.4, 86.1, 86.0, 84.6, 86.2, 87.4]


def exercise_1_1(guess: object, measured: object) -> str:
    """One label or fifty: the fewer labels, the wider the interval."""
    guessed = percent(guess, "your guess")
    few, many = (
        percents(given, f"the accuracy with {n} per class", 5)
        for n, given in entries(measured, "measured", (1, 50)).items()
    )
    for n, found in ((1, few), (50, many)):
        if np.ptp(found) == 0:
            raise NotYet(f"All five accuracies with {n} per class are the same: has each draw its own seed?")
    if many.mean() > 90:
        raise NotYet("With 50 per class that is too good: did the model see labels outside the budget?")
    if few.mean() < 20:
        raise NotYet("With 1 per class that is near chance: are images labelled -1 in what you fit on?")
    if few.mean() > many.mean():
        raise NotYet("More labels came out worse: are the two keys swapped?")
    if not all(is_of_test(share) for share in (*few, *many)):
        raise NotYet("No such share of 1,000 images is possible: are you right on the *test* images?")
    if not (_are_draws(few, ONE_LABEL) and _are_draws(many, FIFTY_LABELS)):
        raise NotYet(
            "These are not 1-NN's accuracies on raw pixels: check the model, the distance, the two budgets "
            "and the five seeds."
        )
    width = [(interval := t_interval(found)).high - interval.low for found in (few, many)]
    return (
        f"{of_guess(guessed, many.mean())} The interval is {width[0] / width[1]:.0f} times as wide "
        "with one label per class: there, one odd image speaks for a whole class."
    )


def exercise_1_2(accuracy_without: object, lead_comes_from: object) -> str:
    """The CNN without augmentation."""
    accuracy = percent(accuracy_without, "the accuracy")
    answer = choice(lead_comes_from, "where the lead comes from", ("network", "augmentation"))
    if accuracy > 90:
        raise NotYet("That is as good as before: did `augment=False` reach the training?")
    if accuracy < 50:
        raise NotYet("That is far too low: compare predicted classes with the labels of the test images.")
    if not is_of_test(accuracy):
        raise NotYet("No such share of 1,000 images is possible: measure on the *test* images.")
    if answer != "augmentation":
        raise NotYet("Is your accuracy nearer to raw pixels (74 %) or to the notebook's CNN (95 %)?")
    return (
        "Without variants of its images the same network loses its lead over raw pixels, or nearly all of it."
    )


def exercise_1_3(interval_of_difference: Callable[..., object]) -> str:
    """The interval of a difference, draw by draw."""
    first, second = [90.0, 80.0, 70.0, 85.0, 75.0], [88.0, 79.0, 66.0, 82.0, 73.0]
    found = call(interval_of_difference, list(first), list(second))
    if isinstance(found, Interval):
        found = found.mean, found.low, found.high
    if isinstance(found, list | tuple) and any(isinstance(part, Interval) for part in found):
        raise NotYet("You return intervals of each method. Subtract accuracies, then take one interval.")
    got = array(found, "what it returns", (3,)).astype(float)
    truth = t_interval(np.subtract(first, second))
    a, b = t_interval(first), t_interval(second)
    wanted = np.array([truth.mean, truth.low, truth.high])
    if np.allclose(got, wanted, atol=0.01):
        return "The two intervals overlap widely, but the difference is clear: the luck of the draw is out."
    if np.allclose(got, wanted[[0, 2, 1]], atol=0.01):
        raise NotYet("The lower end comes before the upper one.")
    if np.allclose(got[0], -wanted[0], atol=0.01):
        raise NotYet("The sign is the other way round: first minus second.")
    if np.allclose(np.sort(got), np.sort(wanted), atol=0.01):
        raise NotYet("These are the right three numbers, in another order: mean, lower end, upper end.")
    if np.allclose(got, [truth.mean, truth.mean - truth.low, truth.high - truth.mean], atol=0.01):
        raise NotYet("You return how far the ends lie from the mean: return the two ends themselves.")
    if not np.isclose(got[0], truth.mean, atol=0.01):
        raise NotYet("The mean of the difference is not right yet.")
    if np.isclose(got[1], a.low - b.low, atol=0.01) or np.isclose(got[2], a.high - b.high, atol=0.01):
        raise NotYet("You subtracted the ends of two intervals. Subtract accuracies, then take one interval.")
    if got[2] - got[1] > 2 * (truth.high - truth.low):
        raise NotYet("The mean is right, the interval is too wide: subtract draw by draw before all else.")
    raise NotYet("The mean is right, the interval is not: think of Student's t and of ddof=1.")


def _are_draws(found: npt.NDArray[np.float64], truth: list[float]) -> bool:
    """Return whether these are the accuracies of five seeds in a row, in any order."""
    rows = [sorted(truth[start : start + 5]) for start in range(len(truth) - 4)]
    return any(np.allclose(sorted(found), row, rtol=0, atol=0.15) for row in rows)
