"""To production: where a graph begins, an ef that is measured, and vectors that lie apart."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from metriclearn.checks.arrays import check_embeddings
from metriclearn.course.engine import Answers
from metriclearn.course.exercises import (
    NoAnswer,
    NotYet,
    call,
    choice,
    compare,
    count,
    entries,
    number,
    percent,
    plain,
)


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
        if key == keys[0] and found == 801:
            raise NotYet(f"For {key!r}: 800 points fill the threshold exactly, and already have a graph.")
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
    cases += [({10: 0.6, 16: 0.875, 32: 0.95}, 0.9, (10, 16, 32), 10, 32)]
    if not callable(smallest_ef):
        raise NotYet("Hand over the function itself, without calling it.")
    for turn, (shares, goal, listed, k, wanted) in enumerate(cases):
        engine = _Engine(shares, turn)
        found = smallest_ef(engine, questions, goal, listed, k)
        if found is ... or (found is None and not engine.asked):
            raise NoAnswer
        known = ", ".join(f"{shares[ef]:g} at ef={ef}" for ef in listed)
        asked = f"With recalls of {known} and a goal of {goal:g}"
        if found is not None:
            given = number(found, "what smallest_ef returns")
            if given not in listed:
                raise NotYet(f"{asked} you return {given:g}, which is not in the list of efs.")
            found = int(given)
        _check_questions(engine, len(questions), k)
        if found is None and wanted is not None:
            raise NotYet(f"{asked} you return None, but ef={wanted} is enough: is recall a mean of shares?")
        if wanted is None and found is not None:
            raise NotYet(f"{asked} none is enough: return None then, not the last one.")
        if found is not None and wanted is not None and found > wanted:
            raise NotYet(
                f"{asked} you return {found}, but a smaller one is enough: at least means >=, and the order "
                "of the neighbours does not matter."
            )
        if found != wanted:
            raise NotYet(
                f"{asked} you return {found}, which finds too few: recall is the mean over the questions of "
                "the share of each one's own neighbours."
            )
        if len(engine.rows(exact=True)) > len(questions):
            raise NotYet("Right, but the exact search is the slow one: once is enough, before the loop.")
    return (
        "Run it each night on a few hundred logged questions: when data grow denser or more numerous, the ef "
        "that was enough last month may not be."
    )


def _check_questions(engine: "_Engine", n: int, k: int) -> None:
    """Check that all questions were asked, exactly and with each ef, for k neighbours."""
    exact = engine.rows(exact=True)
    if not exact:
        raise NotYet("Truth is the exact search: ask the engine once with exact=True.")
    if any(how["k"] != k for how in engine.asked):
        raise NotYet(f"With k={k} you ask for {engine.asked[-1]['k']} neighbours: pass k on.")
    searches = [engine.rows(ef=ef) for ef in {how["ef"] for how in engine.asked if not how["exact"]}]
    if any(len(set(rows)) != n for rows in [exact, *searches]):
        raise NotYet("Ask all questions each time: recall is a mean over them.")
    if any(how["ef"] is None and not how["exact"] for how in engine.asked):
        raise NotYet("One of your searches names no ef: pass it, or the engine takes its own.")


class _Engine:
    """An engine whose mean recall at each ef is known, and which notes what it is asked.

    Each question has neighbours of its own. What is missed differs from question to question, others' true
    neighbours come in its place, and found ones are in no order: so a recall by place, of one question, of
    all questions as one set, or a median, is another number.
    """

    def __init__(
        self, shares: dict[int, float], turn: int = 0, rescored: dict[int, float] | None = None
    ) -> None:
        self.shares, self.turn, self.rescored = shares, turn, rescored or shares
        self.asked: list[dict[str, Any]] = []

    def rows(self, exact: bool = False, ef: int | None = None) -> list[int]:
        """Return the questions of all searches of one kind."""
        return [row for how in self.asked if (how["exact"], how["ef"]) == (exact, ef) for row in how["rows"]]

    def ask(
        self,
        questions: npt.ArrayLike,
        k: int = 10,
        *,
        ef: Any = None,
        exact: bool = False,
        rescore: Any = None,
        **_: Any,
    ) -> Answers:
        rows = check_embeddings(plain(questions), 32, unit_length=True).argmax(axis=1).tolist()
        ef = None if ef is None or exact else int(ef)
        factor = None if rescore is None or exact else float(rescore)
        self.asked.append({"k": int(k), "ef": ef, "exact": bool(exact), "rescore": factor, "rows": rows})
        k, n = int(k), 8
        truth = np.arange(k) + 3 * np.arange(n)[:, None]
        if not exact:
            shares = self.shares if factor is None else self.rescored
            lost = n * k - round(shares.get(64 if ef is None else ef, 1.0) * n * k)
            for row in np.roll(np.arange(n), -(self.turn % 2))[:: 1 - 2 * (self.turn // 2 % 2)]:
                missed = min(lost, k - 1)
                lost -= missed
                others = np.setdiff1d(np.arange(k + 3 * n - 3), truth[row])
                kept = truth[row, missed:]
                truth[row] = np.random.default_rng(row + self.turn).permutation([*kept, *others[:missed]])
        return Answers(truth[rows].astype(np.int64), np.zeros(len(rows)))


def exercise_12_3(guess: object, measure: Callable[..., object]) -> str:
    """Vectors that lie apart: the graph finds fewer, int8 confuses fewer."""
    keys, kinds = ("graph", "int8"), ("graph", "int8", "int8, rescored")
    guesses = {
        key: choice(one, f"your guess for {key}", ("better", "worse"))
        for key, one in _of(guess, "guess", keys)
    }
    questions = np.eye(8, 32, dtype=np.float32)
    for turn, shares in enumerate(((0.9, 0.8, 0.95), (0.7, 0.6, 0.85))):
        truth = dict(zip(kinds, shares, strict=True))
        plain_engine = _Engine({32: truth["graph"]}, turn)
        small_engine = _Engine({64: truth["int8"]}, turn, {64: truth["int8, rescored"]})
        found = call(measure, plain_engine, small_engine, questions)
        given = {
            key: percent(share, f"the recall of {key!r}")
            for key, share in _of(found, "what measure returns", kinds)
        }
        _check_settings(plain_engine, small_engine, len(questions))
        for key, share in given.items():
            mistakes = [
                (100 * truth[other], f"That recall of {key!r} is the one of {other!r}: are the two swapped?")
                for other in kinds
                if other != key
            ]
            compare(
                share,
                100 * truth[key],
                mistakes,
                f"{key!r} has another recall than {share:.1f}: which share of each question's own ten "
                "neighbours is among its answers, in whatever order?",
            )
    right = (guesses["graph"] == "worse") + (guesses["int8"] == "better")
    said = ("Both guesses were wrong.", "One guess was right.", "Both guesses were right.")[right]
    return (
        f"{said} Random vectors form no clusters: a walk is easily led astray, but neighbours differ by more "
        "than int8 blurs. A benchmark on other data than yours may be wrong in either direction."
    )


def _check_settings(plain_engine: "_Engine", small_engine: "_Engine", n: int) -> None:
    """Check what the two engines were asked."""
    asked = [*plain_engine.asked, *small_engine.asked]
    if not any(how["exact"] for how in asked):
        raise NotYet("Truth is the exact search: ask an engine once with exact=True.")
    if any(how["k"] != 10 for how in asked):
        raise NotYet("Ten neighbours are asked for: leave k as it is.")
    graph = [how for how in plain_engine.asked if not how["exact"]]
    if not graph:
        raise NotYet("The graph is to be measured over vectors as they are: ask `plain`.")
    if any(how["ef"] != 32 for how in graph):
        raise NotYet("Ask the graph with ef=32.")
    small = [how for how in small_engine.asked if not how["exact"]]
    if any(how["ef"] != 64 for how in small):
        raise NotYet("Ask int8 with ef=64, rescored or not: one thing at a time.")
    factors = {how["rescore"] for how in small}
    if None not in factors:
        raise NotYet("int8 is asked for not rescored, too: leave `rescore` out.")
    if factors == {None}:
        raise NotYet("Rescored and not rescored are the same: pass `rescore=2` to `ask`.")
    if factors != {None, 2}:
        raise NotYet("Rescore among twice as many: pass `rescore=2`.")
    exact = [row for how in asked if how["exact"] for row in how["rows"]]
    for rows in [
        exact,
        [row for how in graph for row in how["rows"]],
        *([row for how in small if how["rescore"] == factor for row in how["rows"]] for factor in factors),
    ]:
        if len(set(rows)) != n:
            raise NotYet("Ask all questions each time: recall is a mean over them.")


def _of(answer: object, name: str, keys: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    return list(entries(answer, name, keys).items())
