"""Writing whole files, cached arrays, JSON of plain values, the cache folder."""

import io
import json
import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, partialmethod
from pathlib import Path

import numpy as np
import pytest
import torch

from metriclearn.cli.common import write_table
from metriclearn.data import load_images
from metriclearn.files import (
    cache_folder,
    cached_array,
    json_bytes,
    locked,
    npy_array,
    npy_bytes,
    plain,
    read_file,
    read_json,
    read_unchanged,
    write_file,
    write_files,
    write_output,
)

ROOT = Path(__file__).parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="this system has no devices or permissions as files")


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


@pytest.mark.parametrize("make", [os.mkdir, getattr(os, "mkfifo", os.mkdir), lambda path: None])
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


# Outputs that a user names.


@posix
def test_a_device_is_written_into_and_stays(tmp_path):
    device = tmp_path / "null"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3)) if os.getuid() == 0 else device.symlink_to(
        "/dev/null"
    )
    for path in (device, Path("/dev/null")):
        write_output(path, b"x" * 100)
        assert stat.S_ISCHR(path.stat().st_mode)
    with pytest.raises(OSError, match=r"/dev/full cannot be written \(No space left on device\)"):
        write_output(Path("/dev/full"), b"x")


@posix
def test_a_pipe_is_written_into(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit((tmp_path / "pipe").read_bytes)
        write_output(tmp_path / "pipe", b"x" * 100_000)
        assert read.result(10) == b"x" * 100_000
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@posix
@pytest.mark.parametrize("place", ["/dev/stdout", "same"])
def test_our_own_output_is_written_into_and_not_replaced(place, tmp_path):
    """So nothing that is printed before or after the table is lost."""
    script = (
        "import sys; from pathlib import Path; from metriclearn.files import write_output\n"
        "print('before'); write_output(Path(sys.argv[1]), b'table\\n'); print('after')"
    )
    with (tmp_path / "same").open("wb") as out:
        path = place if place.startswith("/") else tmp_path / place
        subprocess.run([sys.executable, "-c", script, path], stdout=out, check=True, cwd=ROOT)
    assert (tmp_path / "same").read_text() == "before\ntable\nafter\n"


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_written_through(there, tmp_path):
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "a.csv"
    if there:
        target.write_bytes(b"old")
    (tmp_path / "link").symlink_to("second")
    (tmp_path / "second").symlink_to(target)
    write_output(tmp_path / "link", b"new")
    assert target.read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["far", "link", "second"]


def test_outputs_that_cannot_be(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="folder is a folder: name a file"):
        write_output(tmp_path / "folder", b"x")
    with pytest.raises(OSError, match="loop cannot be written"):
        write_output(tmp_path / "loop", b"x")
    assert sorted(os.listdir(tmp_path)) == ["folder", "loop"]


def test_a_link_that_nobody_named_is_replaced(tmp_path):
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "a").symlink_to("theirs")
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    assert (tmp_path / "a").read_bytes() == b"new"


@posix
def test_permissions_are_kept(tmp_path):
    old, umask = tmp_path / "folder" / "old", os.umask(0o027)
    try:
        for mode in (0o600, 0o664):
            write_files(old.parent, {"old": b"x", "new": b"x"})
            old.chmod(mode)
            write_files(old.parent, {"old": b"y", "new": b"y"})
            write_file(tmp_path / "file", b"y")
            modes = [
                stat.S_IMODE(path.stat().st_mode) for path in (old, old.with_name("new"), tmp_path / "file")
            ]
            assert modes == [mode, 0o640, 0o640]
            old.chmod(0o620)
            write_output(old, b"z")
            assert stat.S_IMODE(old.stat().st_mode) == 0o620
    finally:
        os.umask(umask)


def test_a_name_as_long_as_the_system_takes_is_written(tmp_path):
    write_file(tmp_path / ("\u00e4" * 125 + ".csv"), b"x")
    assert len(os.listdir(tmp_path)) == 1


# One writer at a time, and readers beside it.


def test_a_second_writer_is_told_at_once_or_waits(tmp_path):
    folder = tmp_path / "not" / "there" / "yet"
    (tmp_path / "link").symlink_to(folder)
    with locked(folder):
        for same in (folder, tmp_path / "link"):
            with (
                pytest.raises(
                    OSError, match="yet is being written by another metriclearn: wait until it is done"
                ),
                locked(same),
            ):
                pass
        with locked(folder.with_name("another")):
            waits = ThreadPoolExecutor().submit(write_files, folder, {"a": b"new"})
            time.sleep(0.05)
            assert not waits.done()
            assert not folder.exists()
    waits.result(30)
    assert (folder / "a").read_bytes() == b"new"
    assert [path.name for path in tmp_path.rglob(".*")] == []


def test_nothing_is_left_of_a_lock_if_nothing_is_written(tmp_path):
    with locked(tmp_path / "a" / "b" / "c"):
        pass
    assert os.listdir(tmp_path) == []


@posix
def test_a_killed_writer_leaves_the_folder_unlocked(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from metriclearn.files import locked\n"
        "with locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    folder = tmp_path / "model"
    done = subprocess.run([sys.executable, "-c", script, folder], check=False, cwd=ROOT)
    assert done.returncode == -9
    with locked(folder):
        pass
    assert os.listdir(tmp_path) == []


def test_many_writers_and_readers_see_whole_pairs(tmp_path):
    """Four threads write pairs of files, and four read them, each time both of one writer."""
    folder, stop = tmp_path / "folder", time.monotonic() + 1
    names = [f"{i}" for i in range(5)]
    write_files(folder, dict.fromkeys(names, b"start"))

    def write(me):
        while time.monotonic() < stop:
            write_files(folder, dict.fromkeys(names, me * 100))

    def read(_):
        found = set()
        paths = [folder / name for name in names]
        while time.monotonic() < stop:
            one = read_unchanged(paths, lambda: {read_file(path, "copy it") for path in paths})
            assert len(one) == 1
            found |= one
        return found

    with ThreadPoolExecutor(8) as pool:
        written = [pool.submit(write, name) for name in (b"a", b"b", b"c")]
        assert len(set().union(*pool.map(read, range(3)))) > 1
        for one in written:
            one.result()
    assert sorted(os.listdir(tmp_path)) == ["folder"]
    assert sorted(os.listdir(folder)) == names


class Stopped(BaseException):
    """Ends a run as a signal would."""


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("error", [Stopped(), OSError(28, "No space left on device")], ids=["killed", "full"])
def test_stopped_at_any_step_old_or_new_files_are_read(there, error, tmp_path, monkeypatch):
    """At each call that changes the disk; afterwards the same call does what it would have done."""
    old, new = {"a": b"old", "in/b": b"old"}, {"a": b"new", "in/b": b"new", "c": b"new"}
    seen = []
    for moment in range(100):
        folder = tmp_path / f"{moment}"
        if there:
            write_files(folder, old)
        count = 0

        def step(real, *arguments, **named):
            nonlocal count
            count += 1
            if count > moment:  # noqa: B023
                raise error
            return real(*arguments, **named)

        with monkeypatch.context() as patch:
            for name in ("replace", "unlink", "fsync", "mkdir", "rmdir", "chmod"):
                patch.setattr(os, name, partial(step, getattr(os, name)))
            patch.setattr(Path, "write_bytes", partialmethod(lambda path, held: step(_write, path, held)))
            try:
                write_files(folder, new)
            except (Stopped, OSError) as caught:
                done = str(caught)
            else:
                done = True
        if isinstance(error, OSError) and done is not True:
            assert done.count("cannot be written (No space left on device)") == 1
        held = {name: (folder / name) for name in new}
        found = {}
        for name, path in held.items():
            with suppress(FileNotFoundError):
                found[name] = read_file(path, "copy it")
        assert found in (old if there else {}, new)
        seen.append(found == new)
        write_files(folder, new)
        assert {name: path.read_bytes() for name, path in held.items()} == new
        assert sorted(os.listdir(folder)) == ["a", "c", "in"]
        assert not [*tmp_path.glob(".*")]
        if done is True:
            break
    assert sorted(seen) == seen
    assert seen[0] < seen[-1]
    assert 8 < moment < 99


_write = Path.write_bytes


def test_the_cache_folder_is_looked_up_at_each_call(tmp_path, monkeypatch):
    """METRICLEARN_CACHE set after the import counts for downloads as for everything else."""
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path / "later"))
    assert cache_folder() == tmp_path / "later"
    monkeypatch.setattr("metriclearn.data._download", lambda *_: False)
    with pytest.raises(FileNotFoundError, match="later"):
        load_images("kmnist")
