"""Scarce labels: draws, augmentation, and the interval of a difference."""

import os
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
from torch import nn

from metriclearn.course.dataset import OWN
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
from metriclearn.data import ImageSet, load_images, scarce_labels
from metriclearn.metrics import Interval, t_interval
from metriclearn.models import count_parameters
from metriclearn.training import predict_logits

# 1-NN on raw pixels, with one and with fifty labels per class, for the seeds 0 to 19.
ONE_LABEL = [43.0, 43.2, 31.9, 46.7, 48.2, 41.2, 52.2, 37.6, 48.6, 49.9]
ONE_LABEL += [37.1, 50.3, 38.6, 40.7, 45.4, 44.5, 53.8, 47.3, 39.0, 45.8]
FIFTY_LABELS = [82.8, 85.6, 84.1, 84.2, 86.1, 85.3, 85.1, 87.1, 86.7, 86.2]
FIFTY_LABELS += [84.6, 85.3, 87.6, 86.0, 85.4, 86.1, 86.0, 84.6, 86.2, 87.4]
# Two pairs of methods: the first always ahead, and the second mostly; another number of draws each.
AHEAD = [90.0, 80.0, 70.0, 85.0, 75.0], [88.0, 79.0, 66.0, 82.0, 73.0]
BEHIND = [71.0, 68.5, 90.0, 83.0, 77.0, 80.5, 92.0], [75.0, 66.0, 91.5, 88.0, 76.0, 84.0, 95.5]
AS_PRINTED = 0.051  # one decimal


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
        "with one label per class: there, one odd image stands for a whole class."
    )


def exercise_1_2(network: object, lead_comes_from: object) -> str:
    """The CNN without augmentation, measured here."""
    answer = choice(lead_comes_from, "where the lead comes from", ("network", "augmentation"))
    if not isinstance(network, nn.Module) or not count_parameters(network):
        raise NotYet("Hand over the trained network that your function returns: the check measures it.")
    pool, test = _images(os.environ.get("METRICLEARN_DATASET", OWN))
    seed = int(os.environ.get("METRICLEARN_SEED", "0"))
    budget = scarce_labels(pool.labels, per_class=10, seed=10 * seed)
    known = budget >= 0
    logits = predict_logits(network, test.pixels)
    if logits.shape != (len(test), len(pool.class_names)):
        raise NotYet(f"A classifier gives ten logits for each image. The shape of yours is {logits.shape}.")
    accuracy = 100 * float(np.mean(logits.argmax(axis=1) == test.labels))
    if accuracy > 88:
        raise NotYet(f"It is right in {accuracy:.1f} %, as before: does it still see random copies?")
    learned = predict_logits(network, pool.pixels[known]).argmax(axis=1) == budget[known]
    if learned.mean() < 0.97:
        raise NotYet("It gets some of its own hundred images wrong: all of `budget`, for all 600 steps?")
    if answer != "augmentation":
        raise NotYet(
            f"Yours is right in {accuracy:.1f} %: is that nearer to raw pixels (74 %) or to the CNN (95 %)?"
        )
    return (
        f"Without random copies the same network is right in {accuracy:.1f} %, about as often as raw pixels. "
        "It knows its hundred images by heart, and does not know what may differ."
    )


def exercise_1_3(interval_of_difference: Callable[..., object]) -> str:
    """The interval of a difference, draw by draw."""
    _difference(interval_of_difference, *AHEAD)
    try:
        _difference(interval_of_difference, *BEHIND)
    except NotYet as hint:
        raise NotYet(f"With seven draws, and the second method mostly ahead: {hint}") from None
    return "The two intervals overlap, but the difference is clear: both methods share the luck of a draw."


def _difference(
    interval_of_difference: Callable[..., object], first: list[float], second: list[float]
) -> None:
    """Raise a hint unless a function gives the interval of the difference, at least to one decimal."""
    found = call(interval_of_difference, list(first), list(second))
    if isinstance(found, Interval):
        found = found.mean, found.low, found.high
    if isinstance(found, list | tuple) and any(isinstance(part, Interval) for part in found):
        raise NotYet("You return intervals of each method. Subtract accuracies, then take one interval.")
    got = array(found, "what it returns", (3,)).astype(float)
    gaps = np.subtract(first, second)
    truth, sizes = t_interval(gaps), t_interval(np.abs(gaps))
    a, b = t_interval(first), t_interval(second)
    wanted = np.array([truth.mean, truth.low, truth.high])
    if np.allclose(got, wanted, atol=AS_PRINTED, rtol=0):
        return
    if np.allclose(got, wanted.round(), atol=0.01):
        raise NotYet("Do not round to whole points: one decimal at least.")
    if np.allclose(got, wanted[[0, 2, 1]], atol=AS_PRINTED):
        raise NotYet("The lower end comes before the upper one.")
    if np.isclose(got[0], sizes.mean, atol=AS_PRINTED) and not np.isclose(sizes.mean, truth.mean):
        raise NotYet("You average the sizes of the differences: keep the sign of each.")
    if np.isclose(got[0], -truth.mean, atol=AS_PRINTED):
        raise NotYet("The sign is the other way round, or lost: first minus second.")
    if np.allclose(np.sort(got), np.sort(wanted), atol=AS_PRINTED):
        raise NotYet("These are the right three numbers, in another order: mean, lower end, upper end.")
    if np.allclose(got, [truth.mean, truth.mean - truth.low, truth.high - truth.mean], atol=AS_PRINTED):
        raise NotYet("You return how far the ends lie from the mean: return the two ends themselves.")
    if not np.isclose(got[0], truth.mean, atol=AS_PRINTED):
        raise NotYet("The mean of the difference is not right yet.")
    if np.isclose(got[1], a.low - b.low, atol=0.01) or np.isclose(got[2], a.high - b.high, atol=0.01):
        raise NotYet("You subtracted the ends of two intervals. Subtract accuracies, then take one interval.")
    if got[2] - got[1] > 2 * (truth.high - truth.low):
        raise NotYet("The mean is right, the interval is too wide: subtract draw by draw before all else.")
    raise NotYet(
        "The mean is right, the interval is not: think of Student's t, of ddof=1, and of the number of draws."
    )


@cache
def _images(name: str) -> tuple[ImageSet, ImageSet]:
    """Return pool and test images of a set."""
    return load_images(name)


def _are_draws(found: npt.NDArray[np.float64], truth: list[float]) -> bool:
    """Return whether these are the accuracies of five seeds in a row, in any order."""
    rows = [sorted(truth[start : start + 5]) for start in range(len(truth) - 4)]
    return any(np.allclose(sorted(found), row, rtol=0, atol=0.15) for row in rows)
