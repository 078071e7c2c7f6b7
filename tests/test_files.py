"""Writing whole files, cached arrays, JSON of plain values, the cache folder."""

import io
import json
import os
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from metriclearn.cli.common import write_table
from metriclearn.data import load_images
from metriclearn.files import (
    cache_folder,
    cached_array,
    json_bytes,
    npy_array,
    npy_bytes,
    plain,
    read_json,
    write_file,
    write_files,
)


def test_files_are_written_all_or_none(tmp_path, monkeypatch):
    write_files(tmp_path, {"a": b"old", "b": b"old"})
    with pytest.raises(OSError, match="cannot be written"):
        write_files(tmp_path, {"a": b"new", "b" * 300: b"new"})
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
    calls, path = [], tmp_path / "x" / "a.npy"

    def compute():
        calls.append(1)
        return np.arange(3)

    for _ in range(2):
        np.testing.assert_array_equal(cached_array(path, compute), [0, 1, 2])
    assert len(calls) == 1
    np.testing.assert_array_equal(np.load(path), [0, 1, 2])  # as other programs read it


def test_a_damaged_array_is_computed_anew_with_a_warning(tmp_path):
    path, expected = tmp_path / "a.npy", np.arange(6, dtype=np.float32).reshape(2, 3)
    cached_array(path, lambda: expected)
    whole = path.read_bytes()
    flipped = [whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :] for i in range(len(whole))]
    for damaged in (b"", whole[:-1], whole[:90], whole + b"x", b"PK\3\4" + whole, *flipped):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="is damaged: it is computed anew"):
            np.testing.assert_array_equal(cached_array(path, lambda: expected), expected)
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "array", [np.arange(6).reshape(2, 3).T, np.float32(3), np.zeros((0, 4)), np.array(["é"])]
)
def test_an_array_comes_back_from_its_bytes(array):
    back = npy_array(npy_bytes(array))
    np.testing.assert_array_equal(back, array)
    assert (back.dtype, back.flags.writeable) == (np.asarray(array).dtype, True)


def test_a_header_that_promises_more_than_the_file_holds_is_refused():
    def forged(**changes):
        buffer = io.BytesIO()
        header = {"descr": "<f4", "fortran_order": False, "shape": (2, 2)} | changes
        np.lib.format.write_array_header_1_0(buffer, header)
        return buffer.getvalue() + bytes(16)

    assert npy_array(forged()).shape == (2, 2)
    for changes in (
        {"shape": (2**40, 2**20)},
        {"shape": (1, 2)},
        {"shape": (-2, -2)},
        {"descr": "|O", "shape": (2,)},
        {"descr": "|V8000000000"},
    ):
        with pytest.raises(ValueError, match="no whole array"):
            npy_array(forged(**changes))


CARD = {"threshold": 0.25, "names": ["a", "é", "\ud800"], "n": {"labels": 3, "none": None, "yes": True}}


def test_json_comes_back_and_its_layout_does_not_count(tmp_path):
    path = tmp_path / "card.json"
    path.write_bytes(json_bytes(CARD))
    assert read_json(path, "copy it again") == CARD
    entries = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(entries.items())), indent=7))
    assert read_json(path, "copy it again") == CARD


def test_no_flipped_bit_of_json_is_read_as_something_else(tmp_path):
    path, whole = tmp_path / "card.json", json_bytes(CARD)
    refused = []
    for bit in range(0, 8 * len(whole), 3):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert read_json(path, "copy it again") == CARD
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 2.5 * len(whole)
    assert all(error.endswith(": copy it again.") and "\n" not in error for error in refused)


@pytest.mark.parametrize(
    ("held", "why"),
    {
        "nothing": (b"", "is damaged"),
        "a list": (b"[1]", "is damaged"),
        "no UTF-8": (b'{"a": "\xff"}', "is damaged"),
        "another encoding": ('{"a": 1}'.encode("utf-16"), "is damaged"),
        "without checksum": (b'{"a": 1}', "has no checksum"),
        "changed": (json_bytes({"a": 1}).replace(b"1,", b"2,"), "was damaged or changed"),
        "NaN": (b'{"a": NaN}', "is damaged"),
        "infinite": (b'{"a": 1e999}', "is damaged"),
        "twice": (b'{"a": 1, "a": 1}', "is damaged"),
        "deep": (b'{"a": ' + b"[" * 200_000, "is damaged"),
        "many digits": (b'{"a": ' + b"1" * 10_000 + b"}", "is damaged"),
        "too large": (b"{}" + b" " * 2_000_000, "is larger than 1,000,000 bytes"),
    }.values(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_strange_json_is_refused_in_one_sentence(held, why, tmp_path):
    (tmp_path / "card.json").write_bytes(held)
    with pytest.raises(ValueError, match=rf"card\.json {why}.*: copy it again\.$") as caught:
        read_json(tmp_path / "card.json", "copy it again", largest=1_000_000)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: None])
def test_json_that_is_no_file_is_missing(make, tmp_path):
    make(tmp_path / "card.json")
    with pytest.raises(FileNotFoundError, match=r"card\.json is missing: copy it again\.$"):
        read_json(tmp_path / "card.json", "copy it again")


def test_an_entry_that_json_lacks_or_that_is_our_own_is_not_written():
    for content in ({"a": float("nan")}, {"checksum": "mine"}):
        with pytest.raises(ValueError, match=r"Out of range|called 'checksum'"):
            json_bytes(content)


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
    assert json.loads(json.dumps(plain(value))) == expected


def test_the_cache_folder_is_looked_up_at_each_call(tmp_path, monkeypatch):
    """METRICLEARN_CACHE set after the import counts for downloads as for everything else."""
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path / "later"))
    assert cache_folder() == tmp_path / "later"
    monkeypatch.setattr("metriclearn.data._download", lambda *_: False)
    with pytest.raises(FileNotFoundError, match="later"):
        load_images("kmnist")
