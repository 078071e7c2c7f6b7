"""Photographs: channels in the wrong order, a paired lead, and a forecast of labels."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_sample_images

from metriclearn.backbones import load_backbone
from metriclearn.course.exercises import (
    NotYet,
    call,
    choice,
    compare,
    entries,
    number,
    of_guess,
    percent,
    plain,
)
from metriclearn.metrics import t_interval

PALACE = 698
BUDGETS = ("10", "50")


def exercise_10_1(guess: object, palace: object) -> str:
    """Red for blue: the answer stays, and the network is no less sure."""
    guessed = percent(guess, "your guess")
    given = entries(palace, "palace", ("as trained", "swapped"))
    found = {name: number(value, f"'palace', {name},", 0, 100) for name, value in given.items()}
    truth = _sureness()
    for name, other in (("as trained", "swapped"), ("swapped", "as trained")):
        if np.isclose(found[name], truth["0 to 255"], rtol=0, atol=0.05):
            raise NotYet("The pixels should go from 0 to 1: what did you multiply?")
        percent(found[name], f"'palace', {name},")
        mistakes = [
            (truth[other], f"That is the figure of '{other}': what was fed for '{name}'?"),
            (truth["upside down"], "The picture stands on its head: the channels are axis 1 of four."),
            (truth["mirrored"], "The picture is mirrored: the channels are axis 1 of four."),
            (truth["whole"], "That is the whole picture: ask `backbone` as it is, not `whole()`."),
            (truth["whole, swapped"], "That is the whole picture: ask `backbone` as it is, not `whole()`."),
            (truth["logit"], "That is the logit: take the softmax over all kinds first."),
            (100 - truth[name], "That is what all other kinds get together."),
        ]
        otherwise = f"For '{name}' it is another one: softmax over the logits, entry {PALACE}, in percent."
        compare(found[name], truth[name], mistakes, otherwise, atol=0.5)
    said = of_guess(guessed, truth["swapped"])
    return (
        f"{said} It is still a palace, and the network is no less sure, also if it sees the whole picture. "
        "One answer does not show this mistake: compare accuracies on pictures whose labels you know."
    )


@cache
def _sureness() -> dict[str, float]:
    """Return how sure the network is of a palace, in percent, for the right picture and for wrong ones."""
    backbone = load_backbone()
    scene = torch.from_numpy(load_sample_images().images[0].copy()).permute(2, 0, 1)[None] / 255
    whole = backbone.whole()
    pictures = {
        "as trained": (backbone, scene),
        "swapped": (backbone, scene.flip(1)),
        "upside down": (backbone, scene.flip(2)),
        "mirrored": (backbone, scene.flip(3)),
        "0 to 255": (backbone, 255 * scene),
        "whole": (whole, scene),
        "whole, swapped": (whole, scene.flip(1)),
    }
    classifier = backbone.classifier
    if classifier is None:
        raise AssertionError("this backbone has kept its classifier")
    with torch.inference_mode():
        logits = {name: classifier(network(picture))[0] for name, (network, picture) in pictures.items()}
    found = {name: 100 * float(values.softmax(dim=0)[PALACE]) for name, values in logits.items()}
    return found | {"logit": float(logits["as trained"][PALACE])}


def exercise_10_2(lead: object, clear: object, sets: Mapping[str, Any]) -> str:
    """The lead of the head over logistic regression, with the interval of the difference."""
    given, said = entries(lead, "lead", BUDGETS), entries(clear, "clear", BUDGETS)
    words = []
    for n in BUDGETS:
        ours, theirs = (
            np.array(sets["TrashNet"][way][n]["accuracy"]) for way in ("head + pool", "logistic regression")
        )
        cells = (sets["ELPV"][way][n]["accuracy"] for way in ("head + pool", "logistic regression"))
        interval = t_interval(ours - theirs)
        found = number(given[n], f"the lead at {n} per class", -100, 100)
        mistakes = [
            (-interval.mean, "The sign is turned round: a lead is ours minus theirs."),
            (float(ours.mean()), "That is an accuracy: a lead is a difference."),
            (float(theirs.mean()), "That is an accuracy: a lead is a difference."),
            (interval.mean / 100, "That is a share: the lead is asked for in points of a percentage."),
            (float(np.mean(np.subtract(*cells))), "That is the lead on the cells: TrashNet is asked for."),
            (float(np.median(ours - theirs)), "That is the median: the mean is asked for."),
            (float((ours - theirs)[0]), "That is the first draw alone: the mean of all is asked for."),
        ]
        compare(
            found, interval.mean, mistakes, f"At {n} per class it is another: which method, which n?", 0.06
        )
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
    ([5, 20, 50, 100], [62.0, 60.0, 85.0, 61.0], 80.0),  # its end is below its start, and yet the line falls
)
NEVER = (  # what is missing grows, or stays: the last one ends above its start
    ([10, 20, 50], [70.0, 69.0, 68.0]),
    ([10, 20, 50], [70.0, 70.0, 70.0]),
    ([1, 2, 100, 200], [60.0, 85.0, 60.0, 61.0]),
)
HUGE = 1e9  # a flat curve whose slope is rounded to less than nothing


def exercise_10_3(labels_needed: Callable[..., object]) -> str:
    """A forecast from a straight line on logarithmic axes."""
    for labels, aurocs, wanted in CASES:
        answer = call(labels_needed, np.array(labels), np.array(aurocs), wanted)
        if _is_never(answer):
            raise NotYet(f"For {labels} with {aurocs} the fitted line falls: it does reach {wanted:g}.")
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
    for labels, aurocs in NEVER:
        try:
            answer = call(labels_needed, np.array(labels), np.array(aurocs), 90.0)
        except (OverflowError, ZeroDivisionError):
            raise NotYet(
                f"For the AUROCs {aurocs} the slope is 0, or rounded to something like -1e-17: return np.inf "
                "before you divide by it."
            ) from None
        if not _is_never(answer):
            raise NotYet(f"The AUROCs {aurocs} never reach 90: where the line does not fall return np.inf.")
    return (
        "It is a size and no promise. Fitted to one draw of the cells at a time, this line asks for 46, 568, "
        "653, 79 and 52 labels per class."
    )


def _is_never(answer: object) -> bool:
    """Return whether an answer, a number or an array of one number, says that no number of labels will do."""
    values = plain(answer)
    return values.size == 1 and values.dtype.kind in "iuf" and float(values.item()) > HUGE


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
