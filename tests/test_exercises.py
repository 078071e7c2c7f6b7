"""Exercises: one source for notebook and solution; right answers pass, mistakes get their hint."""

import ast
import builtins
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from loaded import loaded

from metriclearn.course.checks import Verdict, check, exercises, judge
from metriclearn.course.exercises import (
    NotYet,
    array,
    call,
    choice,
    count,
    entries,
    is_of_test,
    number,
    of_guess,
    percent,
    percents,
)

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from exercises import (  # noqa: E402
    exercise_cells,
    read_sheet,
    solution_cells,
    with_exercises,
    with_solutions,
)

SHEETS = [read_sheet(path) for path in sorted((ROOT / "notebooks" / "solutions").glob("[0-9]*.md"))]
SETS = [sheet.name for sheet in SHEETS]


def load(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def answers(sheet, kind):
    return loaded(ROOT / "tests" / f"{kind}_answers" / f"notebook_{int(sheet.name[:2])}.py")


WRONG = [case for sheet in SHEETS for case in answers(sheet, "wrong").WRONG]
RIGHT = [case for sheet in SHEETS for case in answers(sheet, "right").RIGHT]


# The sources, and what is made of them.


def test_every_notebook_has_exercises():
    assert [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))] == SETS


@pytest.mark.parametrize("sheet", SHEETS, ids=SETS)
def test_notebook_and_solutions_are_those_of_the_source(sheet):
    advice = "run python tools/exercises.py"
    lesson, solved = load(sheet.name), load(f"solutions/{sheet.name}")
    assert lesson == with_exercises(lesson, sheet), advice
    assert solved == with_solutions(solved, sheet), advice


@pytest.mark.parametrize("sheet", SHEETS, ids=SETS)
def test_form_of_a_sheet(sheet):
    assert 2 <= len(sheet.exercises) <= 4
    assert [exercise.number for exercise in sheet.exercises] == [
        f"{int(sheet.name[:2])}.{i}" for i in range(1, len(sheet.exercises) + 1)
    ]
    levels = [("easy", "medium", "hard").index(exercise.level) for exercise in sheet.exercises]
    assert levels == sorted(levels), "from easy to hard"
    titles = " ".join(exercise.title for exercise in sheet.exercises).lower()
    assert "predict, then run" in titles
    assert "measure" in titles
    assert all(5 <= exercise.minutes <= 30 for exercise in sheet.exercises)
    assert set(exercises(str(int(sheet.name[:2])))) == {exercise.number for exercise in sheet.exercises}
    questions = re.findall(r"^\d\. ", sheet.quiz, flags=re.MULTILINE)
    answers = re.findall(r"<details><summary>Answer</summary>(.+?)</details>", sheet.quiz, flags=re.DOTALL)
    assert 3 <= len(questions) == len(answers) <= 5
    assert all(len(answer.split()) >= 12 for answer in answers), "an answer says why"


@pytest.mark.parametrize("sheet", SHEETS, ids=SETS)
def test_unsolved_and_solved_notebooks_say_so(sheet):
    for name, state in ((sheet.name, "no answer yet"), (f"solutions/{sheet.name}", "right")):
        printed = "".join(
            output.get("text", "")
            for cell in load(name).cells
            if cell.cell_type == "code"
            for output in cell.outputs
        )
        assert re.findall(r"^Exercise (\d+\.\d+): (no answer yet|right)\.", printed, flags=re.MULTILINE) == [
            (exercise.number, state) for exercise in sheet.exercises
        ]


def names(code):
    """Return the names that a code binds at any level, and those that it reads."""
    bound, read = set(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return bound, read


@pytest.mark.parametrize("sheet", SHEETS, ids=SETS)
def test_solutions_also_work_in_the_notebook(sheet):
    """A name of the set-up that a solution uses must be one that the notebook knows as well."""
    cells = [cell for cell in load(sheet.name).cells if cell.cell_type == "code"]
    known = set(dir(builtins)) | names("\n".join(cell.source for cell in cells))[0]
    for exercise in sheet.exercises:
        bound, read = names(exercise.solution)
        assert read - bound - known == set(), exercise.number
        known |= bound


# What the checks say.


@pytest.mark.parametrize(("which", "answer", "hint"), WRONG, ids=[f"{w}: {h}" for w, _, h in WRONG])
def test_a_wrong_answer_gets_its_hint(which, answer, hint):
    verdict = judge(which, *answer)
    assert verdict.state == "not yet", verdict
    assert hint in verdict.text
    assert verdict.text.isascii()


@pytest.mark.parametrize(("which", "answer"), RIGHT, ids=[which for which, _ in RIGHT])
def test_a_right_answer_in_another_form_is_right(which, answer):
    verdict = judge(which, *answer)
    assert verdict.state == "right", verdict
    assert verdict.text.isascii()


@pytest.mark.parametrize("number", [exercise.number for sheet in SHEETS for exercise in sheet.exercises])
def test_each_judge_meets_many_answers(number):
    hints = [hint for which, _, hint in WRONG if which == number]
    assert len(hints) >= 10
    assert len(set(hints)) >= 3
    assert sum(which == number for which, _ in RIGHT) >= 5


def test_a_check_prints_one_line(capsys):
    check("1.2", ..., ...)
    dots = "Put yours where the dots are, and run the cell again."
    assert capsys.readouterr().out == f"Exercise 1.2: no answer yet. {dots}\n"
    assert judge("1.1", 85, {1: ..., 50: [1.0]}).state == "no answer yet"
    assert judge("1.3", lambda a, b: None).state == "no answer yet"


def test_a_function_without_a_return_is_told_so():
    def not_begun(first, second):
        """The words of the exercise."""
        ...

    def forgets(first, second):
        first[0] - second[0]

    assert judge("1.3", not_begun).state == "no answer yet"
    assert judge("1.3", forgets).text == "Your function returns nothing: end it with `return` and the result."


def test_a_crash_names_the_line():
    def interval_of_difference(first, second):
        return first[0] / (second[0] - second[0])

    verdict = judge("1.3", interval_of_difference)
    assert verdict == Verdict(
        "crashed",
        "ZeroDivisionError: float division by zero. It came from this line of yours: "
        "return first[0] / (second[0] - second[0])",
    )
    deeper = judge("1.3", lambda a, b: np.linalg.inv(np.ones((2, 2))))
    assert deeper.state == "crashed"
    assert "np.linalg.inv(np.ones((2, 2)))" in deeper.text


def test_an_answer_of_another_kind_is_no_fault_of_the_check():
    verdict = judge("1.2", 77.0, "augmentation", "and one more")
    assert verdict.state == "crashed"
    assert verdict.text.endswith("Is the answer of the kind that the exercise asks for?")


@pytest.mark.parametrize("which", ["1.9", "99.1", "os.1", "", "1"])
def test_an_unknown_exercise_is_refused(which):
    with pytest.raises(ValueError, match="There is no exercise"):
        judge(which, 1)


@pytest.mark.parametrize(
    ("ask", "hint"),
    [
        (lambda: number(True, "the loss"), "The loss should be one number, and yours is a bool"),
        (lambda: number([1.0], "the loss"), "is a list"),
        (lambda: number(float("nan"), "the loss"), "The loss is NaN"),
        (lambda: number(float("inf"), "the loss"), "between -inf and inf, and yours is inf"),
        (lambda: number(np.array([1.0, 2.0]), "the loss"), "one number, and yours are 2"),
        (lambda: count(0.5, "the bridges"), "a whole number, and yours is 0.5"),
        (lambda: number(-1, "the loss", 0, 2), "between 0 and 2, and yours is -1"),
        (lambda: percent(0.97, "the accuracy"), "looks like a share"),
        (lambda: percents("97", "the accuracies", 2), "is a str"),
        (lambda: percents([97.0], "the accuracies", 2), "should be 2 numbers"),
        (lambda: percents(97.0, "the accuracies", 2), "is a float"),
        (lambda: array([[1], [1, 2]], "the scores", (2,)), "different lengths"),
        (lambda: array(["a"], "the scores", (1,)), "should hold numbers"),
        (lambda: array([np.nan], "the scores", (1,)), "is NaN"),
        (lambda: array([[1]], "the scores", (1,)), r"should have the shape (1,), and yours has (1, 1)"),
        (lambda: entries({1: 2}, "found", (1, 5, 10)), "Keep `found` a dictionary with the keys 1, 5 and 10"),
        (lambda: choice("maybe", "your answer", ("yes", "no")), "one of 'yes', 'no', and yours is 'maybe'"),
        (lambda: call(3), "function itself"),
    ],
)
def test_the_questions_that_many_judges_ask(ask, hint):
    with pytest.raises(NotYet) as refused:
        ask()
    assert hint in str(refused.value)


def test_the_same_questions_let_good_answers_pass():
    assert number(np.float32(0.5), "a") == 0.5
    assert number(np.array(3), "a") == 3
    assert percent(0, "a") == 0
    assert number(torch.tensor(0.5, requires_grad=True), "a") == 0.5
    assert count(np.float64(3), "a") == 3
    assert percents(np.array([97.0, 98.0]), "a", 2).tolist() == [97, 98]
    assert percents(torch.tensor([97.0, 98.0]), "a", 2).tolist() == [97, 98]
    assert is_of_test(87.2)
    assert not is_of_test(87.25)
    assert array([1, 2], "a", (2,)).tolist() == [1, 2]
    assert list(entries({5: "b", 1: "a"}, "a", (1, 5)).items()) == [(1, "a"), (5, "b")]
    assert choice(" Yes ", "a", ("yes", "no")) == "yes"
    assert call(max, 1, 2) == 2
    assert of_guess(90, 90.4) == "Your guess was right on the spot."
    assert of_guess(70, 80, "images") == "Your guess was 10 images too low."
    assert of_guess(15, 14, "images") == "Your guess was 1 image too high."
    assert of_guess(5, 6.4) == "Your guess was 1 point too low."


# The reader of the sources.

SHEET = """# The exercises

```python setup
x = 1
```

## 1.1 Predict, then run: one (easy, 5 minutes)

See [two](02_b.ipynb), [three](../README.md) and [four](https://example.org).

```python
answer = ...
```

```python solution
answer = x
```

## Quiz

1. Why? <details><summary>Answer</summary>So.</details>
"""


def sheet_of(tmp_path, text):
    (tmp_path / "01_a.md").write_text(text, encoding="utf-8")
    return read_sheet(tmp_path / "01_a.md")


def test_a_sheet_becomes_cells(tmp_path):
    sheet = sheet_of(tmp_path, SHEET)
    cells = exercise_cells(sheet)
    assert [cell.id for cell in cells] == [
        "exercises",
        "exercises-code",
        "exercise-1-1",
        "exercise-1-1-code",
        "quiz",
    ]
    assert "answer = x" not in "".join(cell.source for cell in cells)
    solved = solution_cells(sheet)
    assert [cell.source for cell in solved if cell.cell_type == "code"] == ["x = 1", "answer = x"]
    assert (
        "[two](../02_b.ipynb), [three](../../README.md) and [four](https://example.org)" in solved[2].source
    )


def test_outputs_stay_while_the_code_does(tmp_path):
    first = with_solutions(None, sheet_of(tmp_path, SHEET))
    for place, cell in enumerate((cell for cell in first.cells if cell.cell_type == "code"), start=1):
        cell.execution_count = place
    again = with_solutions(first, sheet_of(tmp_path, SHEET.replace("answer = x", "answer = x + 1")))
    assert [cell.execution_count for cell in again.cells if cell.cell_type == "code"] == [1, None]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("## Quiz", "## Questions", 'and then "## Quiz"'),
        ("(easy, 5 minutes)", "(5 minutes)", "should be of the form"),
        ("```python solution\nanswer = x\n```", "", "needs a block"),
    ],
)
def test_a_sheet_of_another_form_is_refused(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message):
        sheet_of(tmp_path, SHEET.replace(old, new))
