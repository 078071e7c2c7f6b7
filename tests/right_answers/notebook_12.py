"""Right answers to the exercises of notebook 12, in other forms."""

from typing import Any

import numpy as np
import torch

from metriclearn.course.engine import recall

BEGINS = {"32 numbers, 100 KB": 800, "768 numbers, 10,000 KB": 3333}
INDEXED = {700: 0, 900: 900}
GUESS = {"graph": "worse", "int8": "better"}


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


def one_at_a_time(engine: Any, questions: Any, goal: float, efs: Any = (10, 16), k: int = 10) -> Any:
    truth = [{*engine.ask(question[None], k, exact=True).ids[0].tolist()} for question in questions]
    for ef in efs:
        found = [{*engine.ask(question[None], k, ef=ef).ids[0].tolist()} for question in questions]
        if sum(len(a & b) for a, b in zip(found, truth, strict=True)) / (k * len(truth)) >= goal - 1e-9:
            return ef
    return None


def in_tensors(engine: Any, questions: Any, goal: float, efs: Any = (10, 16), k: int = 10) -> Any:
    found = in_a_loop(engine, questions, goal, torch.tensor(efs), k)
    return None if found is None else torch.tensor(found)


def in_floats(engine: Any, questions: Any, goal: float, efs: Any = (10, 16), k: int = 10) -> Any:
    found = in_a_loop(engine, questions, goal, [float(ef) for ef in efs], k)
    return None if found is None else np.float64(found)


def measure(plain: Any, small: Any, questions: Any) -> dict[str, float]:
    truth = plain.ask(questions, exact=True).ids
    return {
        "graph": 100 * recall(plain.ask(questions, ef=32).ids, truth),
        "int8": 100 * recall(small.ask(questions, ef=64).ids, truth),
        "int8, rescored": 100 * recall(small.ask(questions, ef=64, rescore=2).ids, truth),
    }


def truth_of_each(plain: Any, small: Any, questions: Any) -> dict[str, Any]:
    def share(engine: Any, **words: Any) -> Any:
        truth = engine.ask(questions, 10, exact=True).ids
        pairs = zip(engine.ask(questions, 10, **words).ids, truth, strict=True)
        return torch.tensor(np.mean([10 * len({*found} & {*wanted}) for found, wanted in pairs]))

    return {
        "int8, rescored": share(small, ef=64, rescore=2.0),
        "int8": share(small, ef=64, rescore=None),
        "graph": share(plain, ef=32),
    }


def each_question(plain: Any, small: Any, questions: Any) -> dict[str, Any]:
    found: dict[str, list[float]] = {"graph": [], "int8": [], "int8, rescored": []}
    for question in torch.tensor(questions):
        for name, share in measure(plain, small, question[None]).items():
            found[name].append(share)
    return {name: np.mean(shares) for name, shares in found.items()}


def rounded(plain: Any, small: Any, questions: Any) -> dict[str, float]:
    return {name: round(share, 1) for name, share in measure(plain, small, questions).items()}


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
    ("12.2", (one_at_a_time,)),
    ("12.2", (in_tensors,)),
    ("12.2", (in_floats,)),
    ("12.3", (GUESS, measure)),
    ("12.3", ({"graph": "Better", "int8": "WORSE"}, truth_of_each)),
    ("12.3", (dict(reversed(GUESS.items())), each_question)),
    ("12.3", (GUESS, rounded)),
    (
        "12.3",
        ({"graph": " worse ", "int8": "better"}, lambda *given: dict(reversed(measure(*given).items()))),
    ),
]
