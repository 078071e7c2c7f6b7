"""Photographs: channels in the wrong order, a paired lead, and a forecast of labels."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_sample_images

from metriclearn.backbones import load_backbone
from metriclearn.course.exercises import NotYet, call, choice, compare, entries, number, of_guess, percent
from metriclearn.metrics import t_interval

DAISY = 985
BUDGETS = ("10", "50")


def exercise_10_1(guess: object, daisy: object) -> str:
    """Red for blue: the answer stays, and the network is less sure."""
    guessed = percent(guess, "your guess")
    given = entries(daisy, "daisy", ("as trained", "swapped"))
    found = {name: percent(value, f"'daisy', {name},") for name, value in given.items()}
    truth = _sureness()
    for name, other in (("as trained", "swapped"), ("swapped", "as trained")):
        mistakes = [
            (truth[other], f"That is the figure of '{other}': what was fed for '{name}'?"),
            (truth["upside down"], "The picture stands on its head: the channels are axis 1 of four."),
            (truth["0 to 255"], "The pixels should go from 0 to 1: what did you multiply?"),
            (100 - truth[name], "That is what all other kinds get together."),
        ]
        otherwise = f"For '{name}' it is another one: softmax over the logits, entry {DAISY}, in percent."
        compare(found[name], truth[name], mistakes, otherwise, atol=0.5)
    said = of_guess(guessed, truth["swapped"])
    return f"{said} It is still called a daisy, only less surely: such a mistake can live for years."


@cache
def _sureness() -> dict[str, float]:
    """Return how sure the network is of a daisy, in percent, for the right picture and for wrong ones."""
    backbone = load_backbone()
    flower = torch.from_numpy(load_sample_images().images[1].copy()).permute(2, 0, 1)[None] / 255
    pictures = {
        "as trained": flower,
        "swapped": flower.flip(1),
        "upside down": flower.flip(2),
        "0 to 255": 255 * flower,
    }
    classifier = backbone.classifier
    if classifier is None:
        raise AssertionError("this backbone has kept its classifier")
    with torch.inference_mode():
        return {
            name: 100 * float(classifier(backbone(picture)).softmax(dim=1)[0, DAISY])
            for name, picture in pictures.items()
        }


def exercise_10_2(lead: object, clear: object, ways: Mapping[str, Any]) -> str:
    """The lead of the head over logistic regression, with the interval of the difference."""
    given, said = entries(lead, "lead", BUDGETS), entries(clear, "clear", BUDGETS)
    words = []
    for n in BUDGETS:
        ours, theirs = (np.array(ways[way][n]["accuracy"]) for way in ("head + pool", "logistic regression"))
        interval = t_interval(ours - theirs)
        found = number(given[n], f"the lead at {n} per class", -100, 100)
        mistakes = [
            (-interval.mean, "The sign is turned round: a lead is ours minus theirs."),
            (float(ours.mean()), "That is an accuracy: a lead is a difference."),
            (float(theirs.mean()), "That is an accuracy: a lead is a difference."),
            (interval.mean / 100, "That is a share: the lead is asked for in points of a percentage."),
            (float(np.median(ours - theirs)), "That is the median: the mean is asked for."),
        ]
        compare(found, interval.mean, mistakes, f"At {n} per class it is another: which ways, which n?", 0.06)
        is_clear = not interval.low <= 0 <= interval.high
        if choice(said[n], f"`clear` at {n}", (True, False)) != is_clear:
            raise NotYet(
                f"At {n} per class look at the ends of the interval of the difference, draw by draw: "
                "does it hold zero?"
            )
        words.append(f"{interval} with {n}")
    return f"The lead is {' and '.join(words)} labels per class. Only draw by draw can one see it."


# Starts, slopes and wanted figures: a curve that is exactly a line on logarithmic axes, and others.
CASES = (
    ([10, 20, 50], [60.0, 70.0, 78.0], 90.0),
    ([5, 10, 20, 50, 100], [52.0, 61.0, 66.0, 75.0, 79.0], 85.0),
    ([1, 10, 100], [50.0, 75.0, 87.5], 95.0),
)


def exercise_10_3(labels_needed: Callable[..., object]) -> str:
    """A forecast from a straight line on logarithmic axes."""
    for labels, aurocs, wanted in CASES:
        answer = call(labels_needed, np.array(labels), np.array(aurocs), wanted)
        found = number(answer, f"labels_needed for {wanted:g}", 0)
        truth, mistakes = _forecast(labels, aurocs, wanted)
        otherwise = f"For {labels} with {aurocs} and {wanted:g} wanted it is another number."
        if found == truth:
            continue
        if np.ceil(found) == truth and found != int(found):
            raise NotYet("Round up to a whole number.")
        for value, hint in mistakes:
            if np.ceil(value) == np.ceil(found):
                raise NotYet(hint)
        raise NotYet(otherwise)
    answer = call(labels_needed, np.array([10, 20, 50]), np.array([70.0, 69.0, 68.0]), 90.0)
    if not (isinstance(answer, float | int | np.number) and np.isinf(float(answer)) and float(answer) > 0):
        raise NotYet("A curve that gets worse never reaches what is wanted: return np.inf there.")
    return (
        "It is a size and no promise: the line is fitted where you have been, and asked where you have not."
    )


def _forecast(labels: list[int], aurocs: list[float], wanted: float) -> tuple[int, list[tuple[float, str]]]:
    """Return the right number, and what mistakes would give, with their hints."""
    x, y, missing = np.array(labels, float), np.array(aurocs), 100 - np.array(aurocs)
    slope, start = np.polyfit(np.log(x), np.log(missing), 1)
    right = np.exp((np.log(100 - wanted) - start) / slope)
    half, half_start = np.polyfit(np.log(x), y, 1)
    plain, plain_start = np.polyfit(x, y, 1)
    upward, upward_start = np.polyfit(np.log(x), np.log(y), 1)
    return int(np.ceil(right)), [
        (float(np.floor(right)), "Round up: with fewer labels the line is not there yet."),
        (float((np.log(100 - wanted) - start) / slope), "That is the logarithm of the labels: take exp."),
        (float(np.exp((wanted - half_start) / half)), "Take the logarithm of what is missing, too."),
        (float((wanted - plain_start) / plain), "The line is straight on logarithmic axes only."),
        (
            float(np.exp((np.log(wanted) - upward_start) / upward)),
            "Fit what is missing to 100, not the AUROC itself.",
        ),
        (
            float(np.exp((np.log(wanted) - start) / slope)),
            "Ask the line for what may be missing: 100 - wanted.",
        ),
    ]
