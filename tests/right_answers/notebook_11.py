"""Right answers to the exercises of notebook 11, in forms that a learner may choose."""

from collections.abc import Callable
from math import comb
from pathlib import Path

import numpy as np
import torch
from loaded import loaded
from scipy.stats import binom, binomtest

from metriclearn.curation import duplicates

wrong = loaded(Path(__file__).parent.parent / "wrong_answers" / "notebook_11.py")
PICTURES, PAIRS, needed = wrong.PICTURES, wrong.PAIRS, wrong.needed
PLANTED, SAME = wrong.PLANTED, wrong.SAME


def by_the_test(ours: np.ndarray, simpler: np.ndarray) -> str:
    won, lost = int((ours & ~simpler).sum()), int((simpler & ~ours).sum())
    if won + lost == 0 or binomtest(won, won + lost).pvalue >= 0.05:
        return "no telling"
    return "ours" if won > lost else "simpler"


def by_counting_tosses(ours: np.ndarray, simpler: np.ndarray) -> str:
    won, lost = int((ours > simpler).sum()), int((simpler > ours).sum())
    n, most = won + lost, max(won, lost)
    if 2 * sum(comb(n, k) for k in range(most, n + 1)) >= 0.05 * 2**n:
        return "no telling"
    return "ours" if most == won else "simpler"


def by_the_tail(ours: np.ndarray, simpler: np.ndarray) -> str:
    apart = ours[ours != simpler]
    won, lost = int(apart.sum()), int((~apart).sum())
    for name, more, n in (("ours", won, won + lost), ("simpler", lost, won + lost)):
        if n and binom.sf(more - 1, n, 0.5) < 0.025:
            return name
    return "no telling"


def in_capitals(way: Callable[..., str]) -> Callable[..., str]:
    return lambda *given: f" {way(*given).upper()} "


RIGHT = [
    ("11.1", (100, needed(19, 99))),
    ("11.1", (20, needed(np.int64(19), np.float64(99)))),
    ("11.1", (torch.tensor(99), needed(torch.tensor(19), torch.tensor(99.0)))),
    ("11.1", (0, dict(reversed(needed(19, 99).items())))),
    ("11.1", (np.float32(500), needed(19.0, np.array([99])))),
    ("11.2", (PAIRS, SAME, PICTURES, PLANTED)),
    ("11.2", ({at: len(duplicates(PICTURES, at)) for at in PAIRS}, SAME[::-1], PICTURES, PLANTED)),
    ("11.2", ({at: np.int64(n) for at, n in PAIRS.items()}, np.array(SAME), PICTURES, PLANTED)),
    (
        "11.2",
        ({at: torch.tensor(n) for at, n in reversed(PAIRS.items())}, {(4, 3), (1, 0)}, PICTURES, PLANTED),
    ),
    ("11.2", ({at: float(n) for at, n in PAIRS.items()}, PLANTED.duplicates, PICTURES, PLANTED)),
    ("11.2", (PAIRS, [one for one in duplicates(PICTURES) if one.first in (0, 3)][:2], PICTURES, {})),
    ("11.2", (PAIRS, [], PICTURES, {})),
    ("11.3", (by_the_test,)),
    ("11.3", (by_counting_tosses,)),
    ("11.3", (by_the_tail,)),
    ("11.3", (in_capitals(by_the_test),)),
    ("11.3", (lambda ours, simpler: by_the_test(np.asarray(ours), np.asarray(simpler)),)),
]
