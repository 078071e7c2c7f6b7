"""Right answers to the exercises of notebook 10, in forms that a learner may choose."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from loaded import loaded

from metriclearn.course.exercises.notebook_10 import _sureness

wrong = loaded(Path(__file__).parent.parent / "wrong_answers" / "notebook_10.py")
WAYS, LEAD, CLEAR = wrong.WAYS, wrong.LEAD, wrong.CLEAR
SURE = {name: _sureness()[name] for name in ("as trained", "swapped")}


def rounded_up(labels: object, aurocs: object, wanted: float) -> float:
    slope, start = np.polyfit(np.log(labels), np.log(100 - np.asarray(aurocs)), 1)  # type: ignore[call-overload]
    return float("inf") if slope > -1e-9 else np.ceil(np.exp((np.log(100 - wanted) - start) / slope))


def by_least_squares(labels: object, aurocs: object, wanted: float) -> float:
    x = np.log10(np.asarray(labels))
    y = np.log10(100 - np.asarray(aurocs))
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    if slope > -1e-9:
        return np.inf
    return int(np.ceil(10 ** (x.mean() + (np.log10(100 - wanted) - y.mean()) / slope)))


def not_rounded_to_an_integer(labels: object, aurocs: object, wanted: float) -> float:
    slope, start = np.polyfit(np.log(labels), np.log(100 - np.asarray(aurocs)), 1)  # type: ignore[call-overload]
    with np.errstate(over="ignore"):
        return np.inf if slope >= 0 else np.ceil(np.exp((np.log(100 - wanted) - start) / slope))


def as_kind(kind: Callable[[float], object]) -> Callable[..., object]:
    return lambda *given: kind(rounded_up(*given))


RIGHT = [
    ("10.1", (10, SURE)),
    ("10.1", (np.float32(30), {name: round(value, 1) for name, value in SURE.items()})),
    ("10.1", (24, {name: torch.tensor(value) for name, value in SURE.items()})),
    ("10.1", (99, dict(reversed(SURE.items())))),
    ("10.1", (torch.tensor(50.0), {name: np.array([value]) for name, value in SURE.items()})),
    ("10.2", (LEAD, CLEAR, WAYS)),
    ("10.2", ({"50": np.float64(0.1), "10": 2.6}, CLEAR, WAYS)),
    ("10.2", (LEAD, {"10": np.True_, "50": np.False_}, WAYS)),
    ("10.2", ({name: torch.tensor(value) for name, value in LEAD.items()}, CLEAR, WAYS)),
    ("10.2", ({"10": 2.62, "50": 0.12}, CLEAR, WAYS)),
    ("10.2", (LEAD, {"10": 1, "50": 0}, WAYS)),
    ("10.3", (rounded_up,)),
    ("10.3", (by_least_squares,)),
    ("10.3", (as_kind(float),)),
    ("10.3", (as_kind(np.float64),)),
    ("10.3", (as_kind(torch.tensor),)),
    ("10.3", (as_kind(np.array),)),
    ("10.3", (as_kind(lambda value: np.array([value])),)),
    ("10.3", (as_kind(lambda value: torch.tensor([[value]])),)),
    ("10.3", (not_rounded_to_an_integer,)),
    ("10.3", (lambda labels, aurocs, wanted: rounded_up(list(labels), list(aurocs), wanted),)),
]
