"""To production: where a graph begins, an ef that is measured, and vectors that lie apart."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from metriclearn.course.engine import Answers
from metriclearn.course.exercises import NoAnswer, NotYet, choice, count, entries, number, percent


def exercise_12_1(begins: object, indexed: object) -> str:
    """Thresholds are kilobytes of vectors: arithmetic, then a look at two graphs."""
    keys = ("32 numbers, 100 KB", "768 numbers, 10,000 KB")
    given = {
        key: number(one, f"the number of points for {key!r}", 0) for key, one in _of(begins, "begins", keys)
    }
    for key, truth in zip(keys, (800, 10_000 / 3), strict=True):
        found = given[key]
        if abs(found - truth) < 1:
            continue
        if abs(found - 1000 * truth / 1024) < 1:
            raise NotYet(f"For {key!r} you took 1,000 bytes a kilobyte; here it is 1,024.")
        if abs(found - 4 * truth) < 1:
            raise NotYet(f"For {key!r}: each number takes 4 bytes.")
        if abs(found - truth / 2) < 1:
            raise NotYet(f"For {key!r}: float32 takes 4 bytes, not 8.")
        if abs(found - truth * (32 if key == keys[0] else 768)) < 32:
            raise NotYet(f"For {key!r} that counts numbers: how many of them has a vector?")
        if abs(found - truth / 1024) < 1:
            raise NotYet(f"For {key!r}: the threshold is in kilobytes, not in bytes.")
        raise NotYet(f"For {key!r}: how many bytes has a vector, and how many of them fill the threshold?")
    counts = {
        n: count(one, f"the graph over {n} points", 0, 1e6) for n, one in _of(indexed, "indexed", (700, 900))
    }
    if counts == {700: 700, 900: 900}:
        raise NotYet("These are the points that are stored. How many does the graph hold: `engine.indexed`?")
    if counts == {700: 0, 900: 0}:
        raise NotYet("No graph at 900? Pass `Settings(threshold_kb=100)` to `fill`: its own unit is KB, too.")
    if counts == {700: 700, 900: 0}:
        raise NotYet("A graph for the smaller one alone? Are the two swapped?")
    if counts != {700: 0, 900: 900}:
        raise NotYet(
            "A graph holds all points of a segment, or none: fill one engine with 700, one with 900."
        )
    return (
        "Below the threshold every search is a scan, above it a walk. With 768 numbers a few thousand points "
        "get a graph; with our 32 it takes 80,000."
    )


def exercise_12_2(smallest_ef: Callable[..., object]) -> str:
    """The first ef that is enough, asked of engines whose recall is known."""
    questions = np.eye(8, 32, dtype=np.float32)
    efs = (10, 16, 32, 64, 128)
    steps = {10: 0.5, 16: 0.8, 32: 0.9, 64: 1.0, 128: 1.0}
    cases: list[tuple[dict[int, float], float, tuple[int, ...], int, int | None]]
    cases = [(steps, 0.75, efs, 10, 16), (steps, 0.8, efs, 10, 16), (steps, 0.85, efs, 10, 32)]
    cases += [(steps, 0.95, efs, 10, 64), (steps, 0.2, (16, 64), 10, 16), (steps, 0.99, (10, 32), 10, None)]
    cases += [({10: 0.4, 16: 0.8, 32: 1.0}, 0.9, (10, 16, 32), 5, 32)]
    for shares, goal, listed, k, wanted in cases:
        engine = _Engine(shares)
        if not callable(smallest_ef):
            raise NotYet("Hand over the function itself, without calling it.")
        found = smallest_ef(engine, questions, goal, listed, k)
        if found is ... or (found is None and not engine.asked):
            raise NoAnswer
        known = ", ".join(f"{shares[ef]:g} at ef={ef}" for ef in listed)
        asked = f"With recalls of {known} and a goal of {goal:g}"
        if found is not None and (isinstance(found, bool) or not isinstance(found, int | np.integer)):
            raise NotYet(f"Return the ef, a whole number, or None; yours is a {type(found).__name__}.")
        if not any(how["exact"] for how in engine.asked):
            raise NotYet("Truth is the exact search: ask the engine once with exact=True.")
        if any(how["k"] != k for how in engine.asked):
            raise NotYet(f"With k={k} you ask for {engine.asked[-1]['k']} neighbours: pass k on.")
        if any(how["n"] != len(questions) for how in engine.asked):
            raise NotYet("Ask all questions each time: recall is a mean over them.")
        if any(how["ef"] is None and not how["exact"] for how in engine.asked):
            raise NotYet("One of your searches names no ef: pass it, or the engine takes its own.")
        if found is None and wanted is not None:
            raise NotYet(f"{asked} you return None, but ef={wanted} is enough.")
        if found is not None and found not in listed:
            raise NotYet(f"{asked} you return {found}, which is not in the list of efs.")
        if wanted is None and found is not None:
            raise NotYet(f"{asked} none is enough: return None then, not the last one.")
        if found is not None and wanted is not None and found > wanted:
            raise NotYet(f"{asked} you return {found}, but a smaller one is enough: at least means >=.")
        if found != wanted:
            raise NotYet(f"{asked} you return {found}, which finds too few.")
        if sum(how["exact"] for how in engine.asked) > 1:
            raise NotYet("Right, but the exact search is the dear one: once is enough, before the loop.")
    return (
        "Run it each night on a few hundred logged questions: when data grow denser or more numerous, the ef "
        "that was enough last month may not be."
    )


class _Engine:
    """An engine whose recall at each ef is known, and which notes what it is asked."""

    def __init__(self, shares: dict[int, float]) -> None:
        self.shares = shares
        self.asked: list[dict[str, Any]] = []

    def ask(
        self, questions: npt.ArrayLike, k: int = 10, *, ef: int | None = None, exact: bool = False, **_: Any
    ) -> Answers:
        n = len(np.asarray(questions))
        self.asked.append({"k": k, "ef": ef, "exact": exact, "n": n})
        ids = np.tile(np.arange(k, dtype=np.int64), (n, 1))
        if not exact:
            share = self.shares.get(ef if ef is not None else 64, 1.0)
            ids[:, round(share * k) :] += 1000  # as many are missed, and others come in their place
        return Answers(ids, np.zeros(n))


def exercise_12_3(guess: object, recalls: object) -> str:
    """Vectors that lie apart: the graph finds fewer, int8 confuses fewer."""
    keys = ("graph", "int8")
    guesses = {
        key: choice(one, f"your guess for {key}", ("better", "worse"))
        for key, one in _of(guess, "guess", keys)
    }
    found = _of(recalls, "recalls", ("graph", "int8", "int8, rescored"))
    graph, int8, rescored = (percent(one, f"the recall of {key!r}") for key, one in found)
    if graph > 99.5 and int8 < 70:
        raise NotYet(
            "These are the notebook's digits: fill engines with `apart`, and ask `random_questions`."
        )
    if int8 < 70:
        raise NotYet("int8 finds more than that among random vectors: is truth the exact search of `apart`?")
    if graph > 99:
        raise NotYet("That graph finds too much: was it `exact=True`, a larger ef, or a full scan?")
    if 96 < graph <= 99:
        raise NotYet("That is about what ef=64 finds: ask the graph with ef=32.")
    if graph < 80:
        raise NotYet("That is about what ef=10 finds: ask the graph with ef=32.")
    if rescored + 0.2 < int8:
        raise NotYet("Rescoring cannot find fewer: are the two swapped?")
    if abs(rescored - int8) < 0.5:
        raise NotYet("Rescored and not rescored are the same: pass `rescore=2` to `ask`.")
    if int8 < 91:
        raise NotYet("That is less than int8 finds with ef=64: which ef did you pass?")
    if int8 > 97:
        raise NotYet("int8 alone does not find so many: leave `rescore` out, and pass ef=64.")
    if not 85 < graph < 96:
        raise NotYet("With ef=32 the graph finds about nine in ten: 500 questions, 10 neighbours each?")
    if not 96.5 < rescored < 99.4:
        raise NotYet("Rescored with ef=64 it should find about 98 %: which ef, and which rescore?")
    right = (guesses["graph"] == "worse") + (guesses["int8"] == "better")
    said = ("Both guesses were wrong.", "One guess was right.", "Both guesses were right.")[right]
    return (
        f"{said} Random vectors have no heaps: a walk is easily led astray, but neighbours differ by more "
        "than int8 blurs. A benchmark on other data than yours may be wrong in either direction."
    )


def _of(answer: object, name: str, keys: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    return list(entries(answer, name, keys).items())
