"""Write the exercises into the notebooks, and their solutions into notebooks/solutions.

python tools/exercises.py           all of them
python tools/exercises.py 01 03     those of the notebooks whose names start so

One file holds exercises and solutions of a notebook, such as notebooks/solutions/01_scarce_labels.md:

* blocks "```python setup": what the solutions need of the notebook, cut down to what runs quickly;
* one heading per exercise, "## 1.1 What to do (easy, 5 minutes)", its text, a block "```python" with what
  the learner finds, and a block "```python solution";
* "## Quiz", up to the end of the file, which closes the notebook.

Cells of code that did not change keep their outputs. For the others, run tools/run_notebooks.py --inplace;
with --solutions it runs the solutions.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SOLUTIONS = NOTEBOOKS / "solutions"
HEADING = re.compile(r"^## (\d+\.\d+) (.+) \((easy|medium|hard), (\d+) minutes\)$")
BLOCK = re.compile(r"^```python *(\w*)\n(.*?)\n```$", flags=re.MULTILINE | re.DOTALL)
RELATIVE = re.compile(r"(\]\()(?![a-z]+:|#)")
OURS = {"exercise", "quiz"}


@dataclass(frozen=True)
class Exercise:
    """One exercise: number, title, level and minutes, its text, what the learner finds, a solution."""

    number: str
    title: str
    level: str
    minutes: int
    text: str
    start: str
    solution: str

    @property
    def heading(self) -> str:
        """The line above its text."""
        return f"### {self.number} {self.title} ({self.level}, {self.minutes} minutes)"

    @property
    def id(self) -> str:
        """The id of its first cell."""
        return f"exercise-{self.number.replace('.', '-')}"


@dataclass(frozen=True)
class Sheet:
    """The exercises of a notebook: code that solutions need first, the exercises, and the quiz."""

    name: str
    setup: list[str]
    exercises: list[Exercise]
    quiz: str


def read_sheet(path: Path) -> Sheet:
    """Read a file of exercises.

    Raises:
        ValueError: if a part of it is not of the form that the top of this file describes.
    """
    parts = re.split(r"^(?=## )", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    setup = [code for kind, code in BLOCK.findall(parts[0]) if kind == "setup"]
    if len(parts) < 3 or not parts[-1].startswith("## Quiz\n"):
        raise ValueError(f'{path.name} should hold exercises and then "## Quiz".')
    return Sheet(path.stem, setup, [_exercise(part, path.name) for part in parts[1:-1]], parts[-1].strip())


def _exercise(part: str, name: str) -> Exercise:
    first, _, rest = part.partition("\n")
    heading, blocks = HEADING.match(first), BLOCK.findall(rest)
    if not heading:
        raise ValueError(f'{name}: {first!r} should be of the form "## 1.1 What to do (easy, 5 minutes)".')
    if [kind for kind, _ in blocks] != ["", "solution"]:
        raise ValueError(f"{name}: {heading[1]} needs a block ```python and then a block ```python solution.")
    text = BLOCK.sub("", rest).strip()
    number, title, level, minutes = heading.groups()
    return Exercise(number, title, level, int(minutes), text, blocks[0][1], blocks[1][1])


def exercise_cells(sheet: Sheet) -> list[NotebookNode]:
    """Return the cells that close a notebook: exercises without solutions, and the quiz."""
    intro = (
        "## Exercises\n\nPut your answer where the dots are and run the cell: it says whether you are right, "
        f"and gives a hint if not. Look at the [solutions](solutions/{sheet.name}.ipynb) afterwards."
    )
    cells = [_markdown("exercises", intro, "exercise")]
    cells.append(_code("exercises-code", "from metriclearn.course.checks import check", "exercise"))
    for exercise in sheet.exercises:
        cells.append(_markdown(exercise.id, f"{exercise.heading}\n\n{exercise.text}", "exercise"))
        cells.append(_code(f"{exercise.id}-code", exercise.start, "exercise"))
    return [*cells, _markdown("quiz", sheet.quiz, "quiz")]


def solution_cells(sheet: Sheet) -> list[NotebookNode]:
    """Return the cells of the notebook of solutions."""
    title = (
        f"# Solutions to notebook {int(sheet.name[:2])}\n\nTry the "
        f"[exercises](../{sheet.name}.ipynb#exercises) first: a wrong answer of your own teaches more than a "
        "right one of ours. Each solution is one of many."
    )
    cells = [_markdown("title", title)]
    cells += [_code(f"setup-{i}", code) for i, code in enumerate(sheet.setup, start=1)]
    for exercise in sheet.exercises:
        text = RELATIVE.sub(r"\1../", exercise.text)
        cells.append(_markdown(exercise.id, f"{exercise.heading}\n\n{text}".replace("### ", "## ", 1)))
        cells.append(_code(f"{exercise.id}-code", exercise.solution))
    return cells


def _markdown(cell_id: str, source: str, *tags: str) -> NotebookNode:
    return new_markdown_cell(source, id=cell_id, metadata={"tags": list(tags)} if tags else {})


def _code(cell_id: str, source: str, *tags: str) -> NotebookNode:
    return new_code_cell(source, id=cell_id, metadata={"tags": list(tags)} if tags else {})


def with_exercises(notebook: NotebookNode, sheet: Sheet) -> NotebookNode:
    """Return a notebook whose exercises and quiz are those of the sheet, after all its other cells."""
    others = [cell for cell in notebook.cells if not OURS & set(cell.metadata.get("tags", []))]
    return _with_cells(notebook, [*others, *exercise_cells(sheet)])


def with_solutions(notebook: NotebookNode | None, sheet: Sheet) -> NotebookNode:
    """Return the notebook of solutions, which need not exist yet."""
    if notebook is None:
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook = new_notebook(metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    return _with_cells(notebook, solution_cells(sheet))


def _with_cells(notebook: NotebookNode, cells: list[NotebookNode]) -> NotebookNode:
    """Return the notebook with these cells; new ones take over the outputs of old ones of the same code."""
    old = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
    for cell in cells:
        before = old.get(cell.id)
        if cell.cell_type == "code" and before and before.source == cell.source:
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
    result = notebook.copy()
    result.cells = cells
    return result


def main(starts: list[str]) -> None:
    """Bring notebooks and solutions in step with the files of exercises."""
    for path in sorted(SOLUTIONS.glob("[0-9]*.md")):
        if starts and not path.name.startswith(tuple(starts)):
            continue
        sheet = read_sheet(path)
        lesson, solved = NOTEBOOKS / f"{sheet.name}.ipynb", path.with_suffix(".ipynb")
        nbformat.write(with_exercises(nbformat.read(lesson, as_version=4), sheet), lesson)
        before = nbformat.read(solved, as_version=4) if solved.exists() else None
        nbformat.write(with_solutions(before, sheet), solved)
        print(f"{sheet.name}: {len(sheet.exercises)} exercises")


if __name__ == "__main__":
    main(sys.argv[1:])
