"""The benchmarks can be run as they are named, and find the results on file."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "benchmarks").rglob("[a-z]*.py")
)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_can_be_imported(name):
    importlib.import_module(name)


def test_make_runs_benchmarks_that_exist():
    run = re.findall(r"-m (benchmarks\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert len(run) > 15
    assert set(run) <= set(NAMES)


def test_each_file_of_results_is_read_or_written_by_a_benchmark():
    code = "".join((ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8") for name in NAMES)
    files = sorted(path.stem for path in (ROOT / "benchmarks" / "results").iterdir())
    assert [name for name in files if f'"{name}"' not in code] == []
