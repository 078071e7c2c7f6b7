"""Wrong answers to the exercises of notebook 12, with a part of the hint that each should get."""

from collections.abc import Callable
from typing import Any

import numpy as np

from metriclearn.course.engine import recall

NAMES = ("32 numbers, 100 KB", "768 numbers, 10,000 KB")
INDEXED = {700: 0, 900: 900}
GUESS = {"graph": "worse", "int8": "better"}


def begins(first: object, second: object = 3333) -> dict[str, object]:
    return dict(zip(NAMES, (first, second), strict=True))


def shares(engine: Any, questions: Any, efs: Any, k: int) -> list[float]:
    truth = engine.ask(questions, k, exact=True).ids
    return [recall(engine.ask(questions, k, ef=ef).ids, truth) for ef in efs]


def the_recall(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> float:
    return max(shares(engine, questions, efs, k))


def the_place(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> int | None:
    found = shares(engine, questions, efs, k)
    return next((place for place, share in enumerate(found) if share >= goal), None)


def more_than(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> int | None:
    found = zip(efs, shares(engine, questions, efs, k), strict=True)
    return next((ef for ef, share in found if share > goal), None)


def the_last(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> int:
    shares(engine, questions, efs, k)
    return int(efs[-1])


def the_first(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> int:
    shares(engine, questions, efs, k)
    return int(efs[0])


def or_the_last(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> int:
    found = zip(efs, shares(engine, questions, efs, k), strict=True)
    return next((ef for ef, share in found if share >= goal), efs[-1])


def truth_of_the_largest(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> int | None:
    truth = engine.ask(questions, k, ef=efs[-1]).ids
    return next((ef for ef in efs if recall(engine.ask(questions, k, ef=ef).ids, truth) >= goal), None)


def always_ten(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> int | None:
    found = zip(efs, shares(engine, questions, efs, 10), strict=True)
    return next((ef for ef, share in found if share >= goal), None)


def without_ef(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> int | None:
    truth = engine.ask(questions, k, exact=True).ids
    return next((ef for ef in efs if recall(engine.ask(questions, k).ids, truth) >= goal), None)


def one_question(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> int | None:
    found = zip(efs, shares(engine, questions[:1], efs, k), strict=True)
    return next((ef for ef, share in found if share >= goal), None)


def truth_again_and_again(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> int | None:
    return next((ef for ef in efs if shares(engine, questions, (ef,), k)[0] >= goal), None)


def none_found(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> None:
    shares(engine, questions, efs, k)


def with_recall(share_of: Callable[..., float]) -> Callable[..., int | None]:
    """The right loop with another recall."""

    def smallest(engine: Any, questions: Any, goal: float, efs: Any, k: int) -> int | None:
        truth = engine.ask(questions, k, exact=True).ids
        return next((ef for ef in efs if share_of(engine.ask(questions, k, ef=ef).ids, truth) >= goal), None)

    return smallest


def of_each(found: Any, truth: Any) -> Any:
    return (truth[:, :, None] == found[:, None, :]).any(axis=2).mean(axis=1)


def one_set(found: Any, truth: Any) -> float:
    return len({*found.ravel()} & {*truth.ravel()}) / len({*truth.ravel()})


def measured(share_of: Any = recall, **changes: Any) -> Callable[..., dict[str, float]]:
    """Exercise 12.3, with something changed."""
    n, factor, engine = (changes.get(name) for name in ("n", "rescore", "engine"))

    def measure(plain: Any, small: Any, questions: Any) -> dict[str, float]:
        asked, graph = questions[:n], small if engine == "small" else plain
        int8 = plain if engine == "plain" else small
        truth = plain.ask(asked, exact=True).ids
        answers = {
            "graph": graph.ask(asked, ef=changes.get("graph", 32)),
            "int8": int8.ask(asked, ef=changes.get("int8", 64), rescore=changes.get("first")),
            "int8, rescored": small.ask(asked, ef=64, rescore=factor or 2),
        }
        return {name: changes.get("per", 100) * share_of(a.ids, truth) for name, a in answers.items()}

    return measure


def swapped(plain: Any, small: Any, questions: Any) -> dict[str, float]:
    right = measured()(plain, small, questions)
    return {**right, "int8": right["int8, rescored"], "int8, rescored": right["int8"]}


def without_truth(plain: Any, small: Any, questions: Any) -> dict[str, float]:
    truth = plain.ask(questions, ef=128).ids
    right = measured()(plain, small, questions)
    plain.asked[:] = [how for how in plain.asked if not how["exact"]]
    return right | {"graph": 100 * recall(truth, truth)}


WRONG = [
    ("12.1", (begins(781.25), INDEXED), "1,000 bytes a kilobyte"),
    ("12.1", (begins(3200), INDEXED), "each number takes 4 bytes"),
    ("12.1", (begins(400), INDEXED), "not 8"),
    ("12.1", (begins(25_600), INDEXED), "counts numbers"),
    ("12.1", (begins(0.78), INDEXED), "in kilobytes, not in bytes"),
    ("12.1", (begins(801), INDEXED), "already have a graph"),
    ("12.1", (begins(100), INDEXED), "how many bytes has a vector"),
    ("12.1", (begins(800, 80_000), INDEXED), "how many bytes has a vector"),
    ("12.1", (begins(800, 3255), INDEXED), "1,000 bytes a kilobyte"),
    ("12.1", (begins("800"), INDEXED), "is a str"),
    ("12.1", ([800, 3333], INDEXED), "Keep `begins` a dictionary"),
    ("12.1", (begins(800), {700: 700, 900: 900}), "the points that are stored"),
    ("12.1", (begins(800), {700: 0, 900: 0}), "No graph at 900"),
    ("12.1", (begins(800), {700: 700, 900: 0}), "swapped"),
    ("12.1", (begins(800), {700: 0, 900: 800}), "all points of a segment, or none"),
    ("12.2", (16,), "the function itself"),
    ("12.2", (the_recall,), "not in the list of efs"),
    ("12.2", (with_recall(lambda found, truth: (found == truth).mean()),), "of shares"),
    ("12.2", (with_recall(lambda found, truth: np.isin(found, truth).mean()),), "which finds too few"),
    ("12.2", (with_recall(one_set),), "which finds too few"),
    ("12.2", (with_recall(lambda found, truth: of_each(found, truth)[0]),), "a smaller one is enough"),
    ("12.2", (with_recall(lambda found, truth: of_each(found, truth).min()),), "a smaller one is enough"),
    ("12.2", (with_recall(lambda found, truth: of_each(found, truth).max()),), "which finds too few"),
    ("12.2", (with_recall(lambda found, truth: np.median(of_each(found, truth))),), "which finds too few"),
    ("12.2", (with_recall(lambda found, truth: round(recall(found, truth), 1)),), "which finds too few"),
    ("12.2", (the_place,), "not in the list of efs"),
    ("12.2", (more_than,), "at least means >="),
    ("12.2", (the_last,), "a smaller one is enough"),
    ("12.2", (the_first,), "finds too few"),
    ("12.2", (or_the_last,), "none is enough"),
    ("12.2", (truth_of_the_largest,), "ask the engine once with exact=True"),
    ("12.2", (always_ten,), "pass k on"),
    ("12.2", (without_ef,), "names no ef"),
    ("12.2", (one_question,), "Ask all questions"),
    ("12.2", (truth_again_and_again,), "once is enough"),
    ("12.2", (none_found,), "you return None"),
    ("12.3", (GUESS, {"graph": 90, "int8": 95, "int8, rescored": 97}), "the function itself"),
    ("12.3", (GUESS, lambda plain, small, questions: {"graph": 90, "int8": 94}), "a dictionary"),
    ("12.3", (GUESS, lambda *_: {"graph": 90, "int8": 95, "int8, rescored": 97}), "the exact search"),
    ("12.3", (GUESS, without_truth), "the exact search"),
    ("12.3", (GUESS, measured(rescore=4)), "twice as many"),
    ("12.3", (GUESS, measured(engine="small")), "vectors as they are"),
    ("12.3", (GUESS, measured(engine="plain")), "with ef=32"),
    ("12.3", (GUESS, measured(graph=64)), "with ef=32"),
    ("12.3", (GUESS, measured(int8=32)), "with ef=64"),
    ("12.3", (GUESS, measured(first=2)), "not rescored, too"),
    ("12.3", (GUESS, measured(n=5)), "Ask all questions"),
    ("12.3", (GUESS, measured(lambda found, truth: np.isin(found, truth).mean())), "question's own"),
    ("12.3", (GUESS, measured(lambda found, truth: (found == truth).mean())), "question's own"),
    ("12.3", (GUESS, measured(lambda found, truth: of_each(found, truth)[0])), "has another recall"),
    ("12.3", (GUESS, measured(lambda found, truth: np.median(of_each(found, truth)))), "another recall"),
    ("12.3", (GUESS, measured(one_set)), "question's own"),
    ("12.3", (GUESS, measured(per=1)), "looks like a share"),
    ("12.3", (GUESS, swapped), "are the two swapped"),
    ("12.3", ({"graph": "same", "int8": "better"}, measured()), "one of 'better', 'worse'"),
]
