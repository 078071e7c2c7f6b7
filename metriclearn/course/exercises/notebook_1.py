"""Scarce labels: draws, augmentation, and the interval of a difference."""

from collections.abc import Callable

import numpy as np

from metriclearn.course.exercises import NotYet, array, call, choice, entries, of_guess, percent, percents
from metriclearn.evaluate import mean_interval


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
    if not (30 < few.mean() < 60 and 75 < many.mean() < 90):
        raise NotYet("These are not 1-NN's accuracies on raw pixels: check the model and the two budgets.")
    width = [(interval := mean_interval(found)).high - interval.low for found in (few, many)]
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
    if answer != "augmentation":
        raise NotYet("Is your accuracy nearer to raw pixels (74 %) or to the notebook's CNN (95 %)?")
    return "Without variants of its images the same network loses most of its lead over raw pixels."


def exercise_1_3(interval_of_difference: Callable[..., object]) -> str:
    """The interval of a difference, draw by draw."""
    first, second = [90.0, 80.0, 70.0, 85.0, 75.0], [88.0, 79.0, 66.0, 82.0, 73.0]
    got = array(call(interval_of_difference, first, second), "what it returns", (3,)).astype(float)
    truth = mean_interval(np.subtract(first, second))
    a, b = mean_interval(first), mean_interval(second)
    wanted = np.array([truth.mean, truth.low, truth.high])
    if np.allclose(got, wanted, atol=0.01):
        return "The two intervals overlap widely, but the difference is clear: the luck of the draw is out."
    if np.allclose(got[0], -wanted[0], atol=0.01):
        raise NotYet("The sign is the other way round: first minus second.")
    if not np.isclose(got[0], truth.mean):
        raise NotYet("The mean of the difference is not right yet.")
    if np.isclose(got[1], a.low - b.low, atol=0.01) or np.isclose(got[2], a.high - b.high, atol=0.01):
        raise NotYet("You subtracted the ends of two intervals. Subtract accuracies, then take one interval.")
    if got[2] - got[1] > 2 * (truth.high - truth.low):
        raise NotYet("The mean is right, the interval is too wide: subtract draw by draw before all else.")
    if got[1] > got[2]:
        raise NotYet("The lower end comes before the upper one.")
    raise NotYet("The mean is right, the interval is not: think of Student's t and of ddof=1.")
