"""Writing whole files, cached arrays, JSON of plain values, the cache folder."""

import json
import os
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from metriclearn.cli.common import write_table
from metriclearn.data import load_images
from metriclearn.files import cache_folder, cached_array, json_bytes, plain, write_file, write_files


def test_files_are_written_all_or_none(tmp_path, monkeypatch):
    write_files(tmp_path, {"a": b"old", "b": b"old"})
    with pytest.raises(OSError, match="cannot be written"):
        write_files(tmp_path, {"a": b"new", "missing/b": b"new"})
    assert (tmp_path / "a").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    write_files(tmp_path, {"a": b"new"})
    assert (tmp_path / "a").read_bytes() == b"new"


def test_what_cannot_be_written_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    for write in (
        lambda: write_file(tmp_path / "file" / "a.csv", b"x"),
        lambda: write_files(tmp_path / "file" / "folder", {"a": b"x", "b": b"y"}),
        lambda: write_table(tmp_path / "file" / "a.csv", ["a"], [["x"]]),
    ):
        with pytest.raises(OSError, match="cannot be written") as caught:
            write()
        assert str(caught.value).count("cannot be written") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_write_that_is_stopped_leaves_nothing_behind(error, tmp_path, monkeypatch):
    def stopped(*_):
        raise error

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises((KeyboardInterrupt, OSError)):
        write_file(tmp_path / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_an_array_is_computed_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return np.arange(3)

    for _ in range(2):
        np.testing.assert_array_equal(cached_array(tmp_path / "x" / "a.npy", compute), [0, 1, 2])
    assert len(calls) == 1
    (tmp_path / "x" / "a.npy").write_bytes(b"")
    np.testing.assert_array_equal(cached_array(tmp_path / "x" / "a.npy", compute), [0, 1, 2])
    assert len(calls) == 2


def test_whatever_json_lacks_becomes_plain():
    @dataclass
    class Note:
        low: float

    value = {
        1: np.float32(0.5),
        "tensor": torch.arange(2),
        "nan": [float("nan"), np.inf],
        "note": Note(np.int64(3)),
        "function": len,
        "pair": (True, None, "text"),
    }
    expected = {
        "1": 0.5,
        "tensor": [0, 1],
        "nan": ["nan", "inf"],
        "note": {"low": 3},
        "function": "len",
        "pair": [True, None, "text"],
    }
    assert plain(value) == expected
    assert json.loads(json_bytes(value)) == expected


def test_the_cache_folder_is_looked_up_at_each_call(tmp_path, monkeypatch):
    """METRICLEARN_CACHE set after the import counts for downloads as for everything else."""
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path / "later"))
    assert cache_folder() == tmp_path / "later"
    monkeypatch.setattr("metriclearn.data._download", lambda *_: False)
    with pytest.raises(FileNotFoundError, match="later"):
        load_images("kmnist")
