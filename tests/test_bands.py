"""The bands of trained figures."""

import json

import numpy as np
import pytest

from metriclearn.course.bands import RECORD_VARIABLE, Bands


@pytest.fixture
def bands(tmp_path, monkeypatch):
    monkeypatch.delenv(RECORD_VARIABLE, raising=False)
    path = tmp_path / "bands.json"
    path.write_text(json.dumps({"01 accuracy, %": {"low": 93, "high": 96.5}}))
    return Bands(path)


@pytest.mark.parametrize("value", [93, 94.123456, 96.5, np.float32(95)])
def test_inside_the_band_the_value_is_not_printed(bands, value):
    assert bands.verdict("01 accuracy, %", value) == "01 accuracy, %: inside the band 93 to 96.5"


@pytest.mark.parametrize(("value", "shown"), [(92.99, "92.99"), (97, "97"), (float("nan"), "nan")])
def test_outside_the_band(bands, value, shown):
    expected = f"01 accuracy, %: OUTSIDE the band 93 to 96.5, at {shown}"
    assert bands.verdict("01 accuracy, %", value) == expected


def test_what_was_measured_stands_beside_the_band(tmp_path):
    path = tmp_path / "bands.json"
    path.write_text(json.dumps({"D": {"low": 91, "high": 99, "values": [94.4, 95.467, 94.767]}}))
    assert Bands(path).verdict("D", 95) == "D: inside the band 91 to 99 (measured 94.4 to 95.5)"
    assert "measured" not in Bands(path).verdict("D", 90)


def test_another_data_set_has_no_band(tmp_path, bands):
    other = Bands(tmp_path / "bands.json", "kmnist")
    assert other.verdict("01 accuracy, %", 86.04) == "01 accuracy, %: 86.04 (no band for this data set)"
    assert "inside" in Bands(tmp_path / "bands.json", "mnist-5k").verdict("01 accuracy, %", 95)


def test_no_band_yet(bands):
    assert bands.verdict("02 D", 0.1) == "02 D: no band has been measured yet"


def test_values_are_recorded_on_request(bands, tmp_path, monkeypatch):
    record = tmp_path / "record.jsonl"
    monkeypatch.setenv(RECORD_VARIABLE, str(record))
    bands.verdict("01 accuracy, %", np.float32(94.5))
    bands.verdict("new", 1)
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert lines == [{"name": "01 accuracy, %", "value": 94.5}, {"name": "new", "value": 1.0}]


def test_missing_bands(tmp_path):
    with pytest.raises(FileNotFoundError):
        Bands(tmp_path / "none.json")
