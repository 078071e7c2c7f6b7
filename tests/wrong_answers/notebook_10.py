"""Wrong answers to the exercises of notebook 10, each with a part of its hint."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from metriclearn.course.exercises.notebook_10 import _sureness

SURE = _sureness()
RIGHT, SWAPPED = SURE["as trained"], SURE["swapped"]


def palace(trained: object, swapped: object) -> dict[str, object]:
    return {"as trained": trained, "swapped": swapped}


WAYS: Mapping[str, Any] = {
    "TrashNet": {
        "head + pool": {
            "10": {"accuracy": [70.0, 72.0, 71.5, 69.0, 70.0]},
            "50": {"accuracy": [80.0, 81.0, 79.0, 80.0, 82.0]},
        },
        "logistic regression": {
            "10": {"accuracy": [67.0, 70.0, 69.0, 66.0, 67.5]},
            "50": {"accuracy": [80.5, 80.0, 79.5, 79.0, 82.5]},
        },
    },
    "ELPV": {
        "head + pool": {
            "10": {"accuracy": [60.0, 62.0, 61.5, 59.0, 60.0]},
            "50": {"accuracy": [70.0, 71.0, 69.0, 70.0, 72.0]},
        },
        "logistic regression": {
            "10": {"accuracy": [64.0, 66.0, 65.5, 63.0, 64.0]},
            "50": {"accuracy": [72.0, 73.0, 71.0, 72.0, 74.0]},
        },
    },
}
LEAD, CLEAR = {"10": 2.6, "50": 0.1}, {"10": True, "50": False}


def forecast(change: Callable[[np.ndarray, np.ndarray, float], object]) -> Callable[..., object]:
    """A forecast that does something else."""
    return lambda labels, aurocs, wanted: change(np.asarray(labels, float), np.asarray(aurocs, float), wanted)


def line(x: np.ndarray, y: np.ndarray, at: float) -> float:
    slope, start = np.polyfit(x, y, 1)
    return float((at - start) / slope)


def needed(labels: np.ndarray, aurocs: np.ndarray, wanted: float) -> float:
    return float(np.exp(line(np.log(labels), np.log(100 - aurocs), np.log(100 - wanted))))


def guarded(refuse: Callable[[np.ndarray, np.ndarray, float], object], never: float = np.inf) -> Callable:
    """A right forecast, but for when it says that no number of labels will do."""

    def labels_needed(labels: np.ndarray, aurocs: np.ndarray, wanted: float) -> float:
        slope, start = np.polyfit(np.log(labels), np.log(100 - aurocs), 1)
        if refuse(labels, aurocs, slope):
            return never
        with np.errstate(over="ignore"):
            return int(np.ceil(np.exp((np.log(100 - wanted) - start) / slope)))

    return labels_needed


WRONG = [
    ("10.1", (10, palace(SWAPPED, RIGHT)), "That is the figure of 'swapped'"),
    ("10.1", (10, palace(RIGHT, RIGHT)), "That is the figure of 'as trained'"),
    ("10.1", (10, palace(RIGHT / 100, SWAPPED / 100)), "looks like a share"),
    ("10.1", (0.1, palace(RIGHT, SWAPPED)), "looks like a share"),
    ("10.1", (10, palace(RIGHT, SURE["upside down"])), "stands on its head"),
    ("10.1", (10, palace(SURE["upside down"], SWAPPED)), "stands on its head"),
    ("10.1", (10, palace(100 - RIGHT, SWAPPED)), "all other kinds get together"),
    ("10.1", (-5, palace(RIGHT, SWAPPED)), "should lie between 0 and 100"),
    ("10.1", (10, palace(55, SWAPPED)), "softmax over the logits"),
    ("10.1", (10, palace(RIGHT, SURE["0 to 255"])), "should go from 0 to 1"),
    ("10.1", (10, palace(SURE["0 to 255"], SWAPPED)), "should go from 0 to 1"),
    ("10.1", (10, palace(RIGHT, SURE["mirrored"])), "is mirrored"),
    ("10.1", (10, palace(SURE["whole"], SURE["whole, swapped"])), "the whole picture"),
    ("10.1", (10, palace(RIGHT, SURE["whole, swapped"])), "the whole picture"),
    ("10.1", (10, palace(SURE["logit"], SWAPPED)), "That is the logit"),
    ("10.1", (10, {"as trained": RIGHT}), "with the keys 'as trained' and 'swapped'"),
    ("10.1", ("ten", palace(RIGHT, SWAPPED)), "is a str"),
    ("10.2", (LEAD | {"10": -2.6}, CLEAR, WAYS), "The sign is turned round"),
    ("10.2", (LEAD | {"10": 70.5}, CLEAR, WAYS), "That is an accuracy"),
    ("10.2", (LEAD | {"10": 67.9}, CLEAR, WAYS), "That is an accuracy"),
    ("10.2", (LEAD | {"10": 0.026}, CLEAR, WAYS), "That is a share"),
    ("10.2", (LEAD | {"50": -0.5}, CLEAR, WAYS), "That is the median"),
    ("10.2", (LEAD | {"10": 2.5}, CLEAR, WAYS), "That is the median"),
    ("10.2", (LEAD | {"10": 3.0}, CLEAR, WAYS), "the first draw alone"),
    ("10.2", ({"10": -4.0, "50": -2.0}, CLEAR, WAYS), "the lead on the cells"),
    ("10.2", (LEAD | {"50": 5}, CLEAR, WAYS), "which method, which n"),
    ("10.2", (LEAD, CLEAR | {"10": False}, WAYS), "does it hold zero"),
    ("10.2", (LEAD, CLEAR | {"50": True}, WAYS), "does it hold zero"),
    ("10.2", (LEAD, CLEAR | {"50": "maybe"}, WAYS), "should be one of True, False"),
    ("10.2", ([2.6, 0.1], CLEAR, WAYS), "Keep `lead` a dictionary"),
    ("10.2", (LEAD | {"10": [2.0, 3.0]}, CLEAR, WAYS), "one number"),
    ("10.3", (forecast(needed),), "Round up to a whole number"),
    ("10.3", (forecast(lambda *a: int(needed(*a))),), "Round up: with fewer"),
    ("10.3", (forecast(lambda *a: int(np.ceil(np.log(needed(*a))))),), "take exp"),
    (
        "10.3",
        (forecast(lambda x, y, w: np.ceil(np.exp(line(np.log(x), y, w)))),),
        "Take the logarithm of what is missing",
    ),
    ("10.3", (forecast(lambda x, y, w: np.ceil(line(x, y, w))),), "straight on logarithmic axes only"),
    (
        "10.3",
        (forecast(lambda x, y, w: np.ceil(np.exp(line(np.log(x), np.log(y), np.log(w))))),),
        "Fit what is missing to 100",
    ),
    (
        "10.3",
        (forecast(lambda x, y, w: np.ceil(np.exp(line(np.log(x), np.log(100 - y), np.log(w))))),),
        "Ask the line for what may be missing",
    ),
    ("10.3", (forecast(lambda *a: int(np.ceil(needed(*a)))),), "return np.inf"),
    ("10.3", (guarded(lambda x, y, slope: slope > 0),), "return np.inf"),
    ("10.3", (guarded(lambda x, y, slope: y[-1] <= y[0]),), "the fitted line falls"),
    ("10.3", (guarded(lambda x, y, slope: (np.diff(y) <= 0).any()),), "the fitted line falls"),
    ("10.3", (guarded(lambda x, y, slope: slope >= 0, never=-np.inf),), "return np.inf"),
    ("10.3", (guarded(lambda x, y, slope: slope > -1e-9, never=float("nan")),), "return np.inf"),
    ("10.3", (guarded(lambda x, y, slope: slope > -1e-9, never=1000),), "return np.inf"),
    ("10.3", (forecast(lambda x, y, w: x),), "one number"),
    ("10.3", (forecast(lambda x, y, w: -1),), "should lie between 0"),
    ("10.3", (forecast(lambda x, y, w: 12345),), "it is another number"),
    ("10.3", (100,), "function itself"),
]
