"""A code cell may be run twice in a row: the second time it prints what it printed the first time.

Here what takes long is cut short, which changes what a cell prints, not whether it may be run again.
`make notebooks-twice` leaves all at full length.
"""

import ast
import configparser
import contextlib
import functools
import io
import re
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell
from sklearn.manifold import TSNE

from metriclearn import backbones, data, finetune, training
from metriclearn.cli.main import main
from metriclearn.course import engine

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = [*sorted(FOLDER.glob("*.ipynb")), *sorted((FOLDER / "solutions").glob("*.ipynb"))]
STEPS, COPIES, SIDE = 3, 3000, 64
LOOPS = re.compile(r"for _ in range\(\d{2,}\)")
DIGITS = functools.cache(data.mnist_data)


def sanitizer():
    """What `pytest --nbval` calls the same, such as two addresses in memory."""
    rules = configparser.RawConfigParser()
    rules.read(Path(__file__).parent / "nbval_sanitize.cfg")
    return [(rules.get(name, "regex"), rules.get(name, "replace")) for name in rules.sections()]


def run(source, names):
    """Run a cell as a notebook does, the value of its last line shown; return all that it says."""
    body = ast.parse(source).body
    last = [body.pop()] if isinstance(body[-1], ast.Expr) else []
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
        exec(compile(ast.Interactive(last), "<cell>", "single"), names)
    plt.close("all")
    text = said.getvalue()
    for pattern, replacement in sanitizer():
        text = re.sub(pattern, replacement, text)
    return text


def differences(cells):
    """Run each cell twice in a row and return what went otherwise the second time."""
    names, found = {"__name__": "__main__"}, []
    for cell in cells:
        said = []
        for turn in ("first", "second"):
            try:
                said.append(run(cell.source, names))
            except Exception:
                found.append(f"{cell.id} fails the {turn} time:\n{traceback.format_exc(limit=-1)}")
                break
        if len({*said}) == 2 and "nbval-ignore-output" not in cell.metadata.get("tags", []):
            found.append(f"{cell.id} said\n{said[0]}and then\n{said[1]}")
    return found


@pytest.fixture
def shortened(monkeypatch):
    """What takes long takes few steps, few copies, small pictures, or a stand-in that says the same twice."""

    def few_steps(steps, *others):
        return check_run(min(steps, STEPS), *others)

    def few_copies(embedding, images, n, seed=0):
        return widened(embedding, images, min(n, COPIES), seed)

    def in_this_process(command, cwd=None, **options):
        if command[:3] != [sys.executable, "-m", "metriclearn"]:
            return in_another(command, cwd=cwd, **options)
        with contextlib.chdir(cwd), contextlib.redirect_stdout(io.StringIO()) as said:
            status = main(command[3:])
        return subprocess.CompletedProcess(command, status, said.getvalue(), "")

    def long_seconds():  # a notebook that times a training sees about what it takes at full length
        return training.DEFAULT_STEPS / STEPS * process_time()

    check_run, widened, in_another = training.check_run, engine.widened, subprocess.run
    process_time = time.process_time
    for module in (training, finetune):
        monkeypatch.setattr(module, "check_run", few_steps)
    monkeypatch.setattr(engine, "widened", few_copies)
    monkeypatch.setattr(time, "process_time", long_seconds)
    monkeypatch.setattr(subprocess, "run", in_this_process)
    monkeypatch.setattr(backbones._loaded(backbones.LITE0, torch.device("cpu")), "size", SIDE)
    monkeypatch.setattr(data, "mnist_data", DIGITS)
    monkeypatch.setattr(TSNE, "fit_transform", lambda self, rows: rows[:, :2])
    return lambda source: LOOPS.sub(f"for _ in range({STEPS})", source)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.stem}-{path.stem}")
def test_notebook(path, request, monkeypatch, tmp_path):
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path))
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    if not request.config.getoption("--full-length"):
        shorten = request.getfixturevalue("shortened")
        for cell in cells:
            cell.source = shorten(cell.source)
    with warnings.catch_warnings(), plt.rc_context({"backend": "agg"}):
        found = differences(cells)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("n = globals().get('n', 0) + 1\nprint(n)", "cell said\n1\nand then\n2\n"),
        ("n = globals().get('n', 0) + 1\nn", "cell said\n1\nand then\n2\n"),
        ("import sys\nx = 'x' in dir()\nprint(x, file=sys.stderr)", "cell said\nFalse\nand then\nTrue\n"),
        ("if 'x' in dir():\n    raise ValueError('again')\nx = 1", "cell fails the second time"),
    ],
    ids=["printed", "shown", "on stderr", "raised"],
)
def test_other_words_the_second_time_are_caught(source, complaint):
    [found] = differences(
        [new_code_cell("x = 1\nprint(x)"), new_code_cell(source.replace("x", "y"), id="cell")]
    )
    assert complaint in found


def test_a_cell_that_says_the_same_passes():
    assert differences([new_code_cell("n = 1\nprint(n)\nprint(object())\nn")]) == []
