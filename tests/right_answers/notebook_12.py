"""Right answers to the exercises of notebook 12, in other forms."""

from typing import Any

import numpy as np
import torch

from metriclearn.course.engine import recall

BEGINS = {"32 numbers, 100 KB": 800, "768 numbers, 10,000 KB": 3333}
INDEXED = {700: 0, 900: 900}
GUESS = {"graph": "worse", "int8": "better"}
RECALLS = {"graph": 90.6, "int8": 94.1, "int8, rescored": 98.1}


def in_a_loop(engine: Any, questions: Any, goal: float, efs: Any = (10, 16), k: int = 10) -> int | None:
    truth = engine.ask(questions, k, exact=True).ids
    for ef in efs:
        if recall(engine.ask(questions, k=k, ef=ef).ids, truth) >= goal:
            return int(ef)
    return None


def all_first(engine: Any, questions: Any, goal: float, efs: Any = (10, 16), k: int = 10) -> int | None:
    truth = engine.ask(questions, k=k, exact=True).ids
    shares = [recall(engine.ask(questions, k, ef=ef).ids, truth) for ef in efs]
    return next((ef for ef, share in zip(efs, shares, strict=True) if share >= goal), None)


def with_sets(engine: Any, questions: Any, goal: float, efs: Any = (10, 16), k: int = 10) -> int | None:
    truth = engine.ask(questions, k, exact=True).ids
    for ef in efs:
        found = engine.ask(questions, k, ef=ef).ids
        if np.mean([len(set(a) & set(b)) / k for a, b in zip(found, truth, strict=True)]) > goal - 1e-9:
            return int(ef)
    return None


def from_the_end(engine: Any, questions: Any, goal: float, efs: Any = (10, 16), k: int = 10) -> Any:
    truth, enough = engine.ask(questions, k, exact=True).ids, None
    for ef in reversed(efs):
        if recall(engine.ask(questions, k, ef=ef).ids, truth) < goal:
            break
        enough = np.int64(ef)
    return enough


def halving(engine: Any, questions: Any, goal: float, efs: Any = (10, 16), k: int = 10) -> int | None:
    truth = engine.ask(questions, k, exact=True).ids
    low, high = 0, len(efs)
    while low < high:
        middle = (low + high) // 2
        if recall(engine.ask(questions, k, ef=efs[middle]).ids, truth) >= goal:
            high = middle
        else:
            low = middle + 1
    return int(efs[low]) if low < len(efs) else None


RIGHT = [
    ("12.1", (BEGINS, INDEXED)),
    ("12.1", ({**BEGINS, "768 numbers, 10,000 KB": 10_000 * 1024 / 3072}, INDEXED)),
    ("12.1", ({**BEGINS, "768 numbers, 10,000 KB": 3334}, dict(reversed(INDEXED.items())))),
    ("12.1", ({name: np.float64(n) for name, n in BEGINS.items()}, {700: np.int64(0), 900: np.int64(900)})),
    ("12.1", ({name: torch.tensor(n) for name, n in BEGINS.items()}, {700: 0.0, 900: 900.0})),
    ("12.2", (in_a_loop,)),
    ("12.2", (all_first,)),
    ("12.2", (with_sets,)),
    ("12.2", (from_the_end,)),
    ("12.2", (halving,)),
    ("12.3", (GUESS, RECALLS)),
    ("12.3", ({"graph": "Better", "int8": "WORSE"}, {"graph": 88.0, "int8": 93, "int8, rescored": 97.6})),
    ("12.3", (GUESS, {"graph": 92.0, "int8": 95.6, "int8, rescored": 98.8})),
    ("12.3", (dict(reversed(GUESS.items())), {name: np.float32(share) for name, share in RECALLS.items()})),
    ("12.3", ({"graph": "worse", "int8": "worse"}, {n: torch.tensor(share) for n, share in RECALLS.items()})),
]
