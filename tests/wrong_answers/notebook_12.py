"""Wrong answers to the exercises of notebook 12, with a part of the hint that each should get."""

from typing import Any

from metriclearn.course.engine import recall

NAMES = ("32 numbers, 100 KB", "768 numbers, 10,000 KB")
INDEXED = {700: 0, 900: 900}
GUESS = {"graph": "worse", "int8": "better"}


def begins(first: object, second: object = 3333) -> dict[str, object]:
    return dict(zip(NAMES, (first, second), strict=True))


def recalls(graph: object, int8: object, rescored: object) -> dict[str, object]:
    return {"graph": graph, "int8": int8, "int8, rescored": rescored}


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


WRONG = [
    ("12.1", (begins(781.25), INDEXED), "1,000 bytes a kilobyte"),
    ("12.1", (begins(3200), INDEXED), "each number takes 4 bytes"),
    ("12.1", (begins(400), INDEXED), "not 8"),
    ("12.1", (begins(25_600), INDEXED), "counts numbers"),
    ("12.1", (begins(0.78), INDEXED), "in kilobytes, not in bytes"),
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
    ("12.2", (the_recall,), "yours is a float"),
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
    ("12.3", (GUESS, recalls(99.9, 59, 79)), "the notebook's digits"),
    ("12.3", (GUESS, recalls(90, 10, 10)), "exact search of `apart`"),
    ("12.3", (GUESS, recalls(100, 94, 98)), "a full scan"),
    ("12.3", (GUESS, recalls(98.2, 94, 98)), "about what ef=64 finds"),
    ("12.3", (GUESS, recalls(64.8, 94, 98)), "about what ef=10 finds"),
    ("12.3", (GUESS, recalls(90, 98.1, 94.1)), "are the two swapped"),
    ("12.3", (GUESS, recalls(90, 94.1, 94.1)), "pass `rescore=2`"),
    ("12.3", (GUESS, recalls(90, 88, 90.5)), "which ef did you pass"),
    ("12.3", (GUESS, recalls(90, 98.1, 99.9)), "leave `rescore` out"),
    ("12.3", (GUESS, recalls(83, 94, 98)), "about nine in ten"),
    ("12.3", (GUESS, recalls(90, 95.5, 99.9)), "about 98 %"),
    ("12.3", (GUESS, recalls(0.906, 0.94, 0.98)), "looks like a share"),
    ("12.3", ({"graph": "same", "int8": "better"}, recalls(90, 94, 98)), "one of 'better', 'worse'"),
    ("12.3", (GUESS, {"graph": 90, "int8": 94}), "Keep `recalls` a dictionary"),
]
