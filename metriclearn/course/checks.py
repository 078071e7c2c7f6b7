"""Checks of the exercises: each answer is right, not yet right, or it crashed.

In a notebook:

    from metriclearn.course.checks import check

    check("1.1", my_answer)

prints one line: "right", with what the answer tells; "not yet", with a hint that fits the mistake;
"crashed", with the line of your code that did; or that there is no answer yet. What is right stands in
`metriclearn/course/exercises`.
"""

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from metriclearn.course.dataset import OWN
from metriclearn.course.exercises import NoAnswer, NotYet, is_missing

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Verdict:
    """What a check says.

    Attributes:
        state: `"right"`, `"not yet"`, `"crashed"` or `"no answer yet"`.
        text: what the answer tells, the hint, or what happened.
    """

    state: str
    text: str

    def __str__(self) -> str:
        return f"{self.state}. {self.text}"


def check(number: str, *answer: object) -> None:
    """Print what can be said of an answer.

    Args:
        number: the exercise, such as `"1.1"`.
        answer: what the exercise asks for; `...` or None where there is no answer yet.

    Raises:
        ValueError: if there is no such exercise.
    """
    verdict = judge(number, *answer)
    print(f"Exercise {number}: {verdict}")
    other = os.environ.get("METRICLEARN_DATASET", OWN)
    if verdict.state == "not yet" and other != OWN:
        print(f"(Figures are held against those of {OWN}, and this is {other}.)")


def judge(number: str, *answer: object) -> Verdict:
    """Return what can be said of an answer; the arguments are those of `check`.

    Raises:
        ValueError: if there is no such exercise.
    """
    notebook = number.partition(".")[0]
    judges = exercises(notebook)
    if number not in judges:
        there = ", ".join(judges) or "none"
        raise ValueError(f"There is no exercise {number!r}: notebook {notebook} has {there}.")
    try:
        if is_missing(answer):
            raise NoAnswer
        return Verdict("right", judges[number](*answer))
    except NoAnswer:
        return Verdict("no answer yet", "Put yours where the dots are, and run the cell again.")
    except NotYet as hint:
        return Verdict("not yet", str(hint))
    except Exception as error:
        return Verdict("crashed", _what_happened(error))


def exercises(notebook: str) -> dict[str, Callable[..., str]]:
    """Return the judges of a notebook by the numbers of their exercises; none for an unknown notebook."""
    name = f"metriclearn.course.exercises.notebook_{notebook}"
    if not notebook.isdigit() or find_spec(name) is None:
        return {}
    found = {key: judge for key, judge in vars(import_module(name)).items() if key.startswith("exercise_")}
    return {key.removeprefix("exercise_").replace("_", "."): judge for key, judge in found.items()}


def _what_happened(error: Exception) -> str:
    """Return the error, and the last line of the learner's own code that it came through."""
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if PACKAGE not in Path(frame.filename).parents]
    first = next((i for i, frame in enumerate(frames) if frame in own), None)
    if first is None:
        return f"{said}. Is the answer of the kind that the exercise asks for?"
    mine = [frame for frame in own if frame.filename == frames[first].filename][-1]
    return f"{said}. It came from this line of yours: {mine.line}"
