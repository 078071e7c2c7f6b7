"""The ranges that are expected of trained figures."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbval.plugin import get_sanitize_patterns

from metriclearn.course.bands import RECORD_VARIABLE, Bands

ROOT = Path(__file__).parent.parent
PRINTED = re.compile(
    r"(?P<value>[-+]?\d[\d,]*(?:\.\d+)?)(?: %| points)?  "
    r"\(expected (?:(?P<low>-?[\d.]+) to (?P<high>-?[\d.]+)|above (?P<above>-?[\d.]+)"
    r"|below (?P<below>-?[\d.]+))\)"
)


@pytest.fixture
def bands(tmp_path, monkeypatch):
    monkeypatch.delenv(RECORD_VARIABLE, raising=False)
    path = tmp_path / "bands.json"
    path.write_text(json.dumps({"01": {"accuracy, %": {"low": 93, "high": 96.5}}, "02": {}}))
    return Bands(path)


@pytest.fixture(scope="module")
def sanitised():
    """What nbval compares of a printed line."""
    rules = get_sanitize_patterns((ROOT / "tests/nbval_sanitize.cfg").read_text(encoding="utf-8"))

    def compared(line):
        for pattern, replacement in rules:
            line = re.sub(pattern, replacement, line)
        return line

    return compared


@pytest.mark.parametrize(
    ("name", "value", "low", "high", "line"),
    [
        ("1-NN accuracy, %", np.float32(97.4), 96.6, 99, "1-NN accuracy: 97.4 %  (expected 96.6 to 99.0)"),
        ("lead, points", -0.24, -0.7, 1.14, "lead: -0.2 points  (expected -0.7 to 1.1)"),
        ("rank", 14.2, 8, None, "rank: 14.2  (expected above 8.0)"),
        ("mean distance", 0.031, None, 0.1, "mean distance: 0.03  (expected below 0.10)"),
        ("share, %", 28.4, 5, 45, "share: 28 %  (expected 5 to 45)"),
        ("accuracy, %", 92.94, 93, 96.5, "accuracy: 92.9 %  OUTSIDE (expected 93.0 to 96.5)"),
        ("accuracy, %", float("nan"), 93, 96.5, "accuracy: nan %  OUTSIDE (expected 93.0 to 96.5)"),
    ],
)
def test_the_value_stands_beside_what_is_expected(bands, name, value, low, high, line):
    assert bands.compare(name, value, low, high) == line


@pytest.mark.parametrize("value", [93, 94.123456, 96.5])
def test_within_the_range_only_the_number_is_not_compared(bands, sanitised, value):
    assert sanitised(bands.compare("accuracy, %", value)) == "accuracy: FIGURE %  (expected 93.0 to 96.5)"


@pytest.mark.parametrize("value", [92.99, 97, float("nan"), -95])
def test_outside_the_range_the_line_differs(bands, sanitised, value):
    assert sanitised(bands.compare("accuracy, %", value)) != sanitised(bands.compare("accuracy, %", 95))


def test_a_row_of_figures_is_compared_figure_by_figure(bands, sanitised):
    row = f"10 labels: {bands.compare('ours, %', 97, 96, 98)}, {bands.compare('CNN, %', 94, 92, 95)}"
    other = f"10 labels: {bands.compare('ours, %', 96.4, 96, 98)}, {bands.compare('CNN, %', 92.5, 92, 95)}"
    assert sanitised(row) == sanitised(other)
    assert sanitised(row) != sanitised(row.replace("10 labels", "11 labels"))


def test_another_data_set_has_no_range(tmp_path, bands):
    other = Bands(tmp_path / "bands.json", "kmnist")
    line = other.compare("accuracy, %", 86.04)
    assert line == "accuracy: 86.0 %  (no range is known for this data set)"
    assert other.compare("rank", 3, low=8) == "rank: 3.00  (no range is known for this data set)"


def test_no_range_yet(bands):
    assert bands.compare("D", 0.1234) == "D: 0.123  (no range has been measured yet)"


def test_a_name_belongs_to_one_notebook(tmp_path):
    path = tmp_path / "bands.json"
    path.write_text(json.dumps({"01": {"D": {"low": 0, "high": 1}}, "02": {"D": {"low": 0, "high": 2}}}))
    with pytest.raises(ValueError, match="'D' in two notebooks"):
        Bands(path)


def test_values_are_recorded_on_request(bands, tmp_path, monkeypatch):
    record = tmp_path / "record.jsonl"
    monkeypatch.setenv(RECORD_VARIABLE, str(record))
    bands.compare("accuracy, %", np.float32(94.5))
    bands.compare("new", 1)
    bands.compare("with its range", 1, low=0)
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert lines == [{"name": "accuracy, %", "value": 94.5}, {"name": "new", "value": 1.0}]


def test_missing_ranges(tmp_path):
    with pytest.raises(FileNotFoundError):
        Bands(tmp_path / "none.json")


def printed_outside(text):
    """Return the printed figures that lie outside the range beside them."""
    outside = re.findall(r".*OUTSIDE \(expected.*", text)
    for found in PRINTED.finditer(text):
        value = float(found["value"].replace(",", ""))
        low = float(found["low"] or found["above"] or "-inf")
        high = float(found["high"] or found["below"] or "inf")
        if not low <= value <= high:
            outside.append(found[0])
    return outside


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "notebooks").glob("[0-9]*.ipynb"), *(ROOT / "notebooks/solutions").glob("*.ipynb")]),
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_every_stored_figure_lies_in_its_range(path):
    cells = nbformat.read(path, as_version=4).cells
    texts = [output.get("text", "") for cell in cells for output in cell.get("outputs", [])]
    assert printed_outside("\n".join(texts)) == []
    assert "no range" not in "\n".join(texts)


@pytest.mark.parametrize(
    "line",
    [
        "accuracy: 99.3 %  (expected 96.6 to 99.0)",
        "rank: 7.9  (expected above 8.0)",
        "distance: 0.11  (expected below 0.10)",
        "accuracy: 92.9 %  OUTSIDE (expected 93.0 to 96.5)",
    ],
)
def test_a_stored_figure_outside_is_caught(line):
    assert printed_outside(line)


def test_each_range_holds_what_was_measured():
    notebooks = json.loads((ROOT / "notebooks/bands.json").read_text(encoding="utf-8"))
    wrong = [
        name
        for bands in notebooks.values()
        for name, band in bands.items()
        if not all(band["low"] <= value <= band["high"] for value in band.get("values", []))
    ]
    assert wrong == []
