"""The numbers about the package's code: of a small package that is written here, and of two small tasks."""

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import code_numbers
import count_calls
from code_numbers import Module

CHECKED = '''"""A module.

With a docstring."""

import math  # a comment


def check_side(side):
    """Return a side."""
    if side < 1:
        raise ValueError("too small")
    return side


def area(text):
    try:
        side = float(text)
    except ValueError as error:
        message = f"no number: {text}"
        raise ValueError(message) from error
    if side > 9:
        side = 9
    return side * side
'''
TYPES_ONLY = """from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from metriclearn import c
def f(x):
    return x._kept
"""
CLASS = """from metriclearn import a
from . import d
class B:
    def __init__(self):
        self._kept = 1
"""
IN_A_FUNCTION = """def g():
    from metriclearn.b import B
    from metriclearn.c import _h
    return B, _h
"""
FILES = {
    "__init__.py": "from metriclearn.a import f\n",
    "a.py": TYPES_ONLY,
    "b/__init__.py": CLASS,
    "b/d.py": IN_A_FUNCTION,
    "c.py": "def _h():\n    return _h\n",
    "course/e.py": "import metriclearn.c\n",
}


@pytest.fixture
def package(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "metriclearn" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return code_numbers.modules(tmp_path)


def test_lines_that_check():
    module = Module("metriclearn.x", CHECKED)
    lines = CHECKED.splitlines()
    assert [lines[row - 1].strip() for row in sorted(module.code - module.checks)] == [
        "import math  # a comment",
        "def area(text):",
        "side = float(text)",
        "if side > 9:",
        "side = 9",
        "return side * side",
    ]
    assert len(module.checks) == 4 + 4
    assert (module.raises, module.public) == (2, 2)


def test_arrows_cycles_and_private_names(package):
    arrows = code_numbers.arrows(package)
    short = {tuple(name.removeprefix("metriclearn.") for name in pair) for pair in arrows}
    assert short == {("b", "a"), ("b", "b.d"), ("b.d", "b"), ("b.d", "c")}
    assert code_numbers.cycles(arrows) == [{"metriclearn.b", "metriclearn.b.d"}]
    assert code_numbers.private_uses(package) == [("metriclearn.a", "_kept"), ("metriclearn.b.d", "_h")]
    assert code_numbers.numbers(package)["folders"] == "2"


def test_calls_within_the_package_are_counted():
    calls = count_calls.predict()
    assert 0 < len(calls.modules) < 20
    assert 0 < calls.checking < 100


def test_a_check_is_known_by_its_name_or_its_module():
    calls = count_calls.Calls(
        Counter({("a", "_check_side"): 1, ("checks.arrays", "as_array"): 2, ("a", "area"): 5})
    )
    assert calls.total == 8
    assert calls.checking == 37.5
