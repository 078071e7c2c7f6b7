"""The cache of decoded photographs: one array on the disk, named by what the pictures hold.

    photographs/<key>/pixels.npy   the squares, one behind the other
                      index.json   of each picture its row, the checksum of its square, and its size

Each square is checked whenever it is read. What is missing or damaged is decoded anew from its file, so a
cache may be cut off, deleted, used by two programs at a time, or impossible to write: that costs time only.
"""

import hashlib
import os
import shutil
import time
import warnings
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL
from tqdm import tqdm

from metriclearn.files import json_bytes, read_json, write_file, writing
from metriclearn.photos.decode import (
    CHANGED,
    SIDE,
    Bytes,
    Picture,
    UnreadableError,
    read_file,
    read_pictures,
    value_ranges,
)
from metriclearn.photos.depth import Ranges, as_ranges

VERSION = 3  # of what decode.py makes of a file: another number, another cache
AT_ONCE = 128  # pictures, 25 MB: read at a time, or decoded before the index is written
ROW = 3 * SIDE * SIDE  # bytes of a picture
HEADER = 128  # bytes at the start of a .npy file of this size
KEPT_DAYS = 30  # what nobody has asked for so long leaves the cache
INDEX, PIXELS = "index.json", "pixels.npy"


class Square(NamedTuple):
    """What the cache notes of a picture: row and CRC-32 of its square; size in pixels; if it lacks colour."""

    row: int
    checksum: int
    width: int
    height: int
    grey: bool


Entry = (
    Square | str | None
)  # of a file: its picture, or the lasting reason why there is none, or not yet known


class Source(NamedTuple):
    """A file, and the SHA-256 of what it holds."""

    path: Path
    digest: str


class Squares:
    """Decoded pictures by their rows: from the cache if they are there and sound, else from their files.

    Attributes:
        path: the array on the disk; it need not exist.
        ranges: how deep files are read, see `metriclearn.photos.decode.value_ranges`.
        sources: the file of each row, and the CRC-32 of its square.
        writable: whether what the cache lacks is written into it.
    """

    def __init__(self, path: Path, ranges: Ranges) -> None:
        self.path, self.ranges, self.writable = path, ranges, True
        self._said = False  # that it is damaged
        self.sources: dict[int, tuple[Source, int]] = {}

    def read(self, rows: npt.NDArray[np.int64]) -> Bytes:
        """Read some pictures into memory, uint8 of shape `(n, 3, 256, 256)`.

        Raises:
            OSError: if one is not in the cache, and its file is not what it was.
        """
        squares = np.zeros((len(rows), 3, SIDE, SIDE), dtype=np.uint8)
        missing = self._read_cached(squares, rows)
        if missing and self.writable and not self._said:
            self._said = True
            _warn(f"The cache {self.path.parent} is damaged: what it lacks is read anew.")
        sources = [self.sources[row][0] for row in rows[missing].tolist()]
        pictures = read_pictures([source.path for source in sources], self.ranges)
        for i, source, found in zip(missing, sources, pictures, strict=True):
            if not isinstance(found, Picture) or found.digest != source.digest:
                reason = CHANGED if isinstance(found, Picture) else found
                raise OSError(f"{source.path} {reason}: start again.")
            squares[i] = found.pixels
            self.write(int(rows[i]), found.pixels)
        return squares

    def _read_cached(self, squares: Bytes, rows: npt.NDArray[np.int64]) -> list[int]:
        """Read what the cache has; return the places of what it lacks, or what is not sound."""
        lacking = set(range(len(rows)))
        with suppress(OSError):
            if self.path.is_file():  # to open a pipe would wait for ever
                with self.path.open("rb") as file:
                    for i, row in enumerate(rows.tolist()):
                        file.seek(HEADER + row * ROW)
                        if file.readinto(squares[i]) == ROW and self._is_sound(row, squares[i]):
                            lacking.remove(i)
        return sorted(lacking)

    def _is_sound(self, row: int, square: Bytes) -> bool:
        return zlib.crc32(square.data) == self.sources[row][1]

    def write(self, row: int, square: Bytes) -> None:
        """Write a square to its place in the cache; at the first failure the cache is given up."""
        if not self.writable:
            return
        try:
            with writing(self.path):
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
                with os.fdopen(handle, "r+b") as file:
                    file.seek(HEADER + row * ROW)
                    file.write(square.data)
        except OSError as error:
            self.give_up(error)

    def give_up(self, error: OSError) -> None:
        """Go on without a cache that cannot be written: what it lacks is read from the files each time."""
        if self.writable:
            _warn(f"Going on without the cache. {error}")
        self.writable = False

    def mapped(self, rows: npt.NDArray[np.int64]) -> Bytes:
        """Return pictures as a mapped file, each of them sound; where that cannot be, in memory."""
        parts = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
        for _ in range(2 if np.array_equal(rows, np.arange(len(rows))) else 0):
            with suppress(OSError, ValueError):  # not there, or cut off
                whole: Bytes = np.memmap(self.path, np.uint8, "r", HEADER, (len(rows), 3, SIDE, SIDE))
                if all(map(self._is_sound, rows.tolist(), whole)):
                    return whole
            for part in parts:
                self.read(part)  # and so mend it
        return np.concatenate([self.read(part) for part in parts])


def open_squares(
    paths: Sequence[Path], folder: Path, given: Ranges | None = None
) -> tuple[Squares, list[tuple[str, Square] | str]]:
    """Decode pictures, as far as the cache lacks them.

    The work goes on where an interrupted one stopped. Two programs that do the same at the same time write
    the same bytes to the same places.

    Args:
        paths: the files.
        folder: the cache, which need not exist.
        given: ranges of values that are known already, see `metriclearn.photos.decode.value_ranges`.

    Returns:
        The squares, and for each file its SHA-256 and what is known of its picture; or the reason why it is
        skipped. Only reasons that follow from its bytes are noted in the cache: what cannot be opened now may
        be opened tomorrow.
    """
    digests = _digests(paths)
    sources = {i: Source(paths[i], found) for i, found in enumerate(digests) if isinstance(found, str)}
    held = [source.digest for source in sources.values()]
    shown = (VERSION, SIDE, PIL.__version__, sorted((given or {}).items()), held)
    place = folder / hashlib.sha256(repr(shown).encode()).hexdigest()[:32]
    ranges, entries = _read_index(place, len(sources))
    squares = Squares(place / PIXELS, ranges or {})
    passing: dict[int, str] = {}
    if None in entries:
        try:
            _make_room(folder, place, entries.count(None))
        except OSError as error:
            squares.give_up(error)
        if ranges is None:
            squares.ranges, whole = value_ranges([source.path for source in sources.values()], given)
            squares.writable &= whole  # a file that cannot be opened now might change them
        passing = _decode_missing(squares, [*sources.values()], entries)
    with suppress(OSError):
        os.utime(place / INDEX)  # somebody still wants it
    found: list[tuple[str, Square] | str] = [*map(str, digests)]  # reasons, but for the sources
    for place_of, (i, source) in enumerate(sources.items()):
        entry = entries[place_of]
        if isinstance(entry, Square):
            found[i] = source.digest, entry
            squares.sources[entry.row] = source, entry.checksum
        else:
            found[i] = passing[place_of] if entry is None else entry
    return squares, found


def _decode_missing(squares: Squares, sources: Sequence[Source], entries: list[Entry]) -> dict[int, str]:
    """Decode the pictures without an entry, and enter them; return the reasons that may pass."""
    missing = [i for i, entry in enumerate(entries) if entry is None]
    n = 1 + max((entry.row for entry in entries if isinstance(entry, Square)), default=-1)
    passing = {}
    with progress_bar(len(entries), "Reading", len(entries) - len(missing)) as bar:
        pictures = read_pictures([sources[i].path for i in missing], squares.ranges)
        for done, (i, found) in enumerate(zip(missing, pictures, strict=True), 1):
            if found.digest != sources[i].digest:
                passing[i] = CHANGED if found.digest else str(found)
            elif isinstance(found, Picture):
                entries[i] = Square(n, zlib.crc32(found.pixels.data), found.width, found.height, found.grey)
                squares.write(n, found.pixels)
                n += 1
            else:
                entries[i] = str(found)
            bar.update()
            if done % AT_ONCE == 0:
                _write_index(squares, entries)
    with suppress(OSError), squares.path.open("r+b") as file:  # for others: here nobody reads the header
        shape = {"descr": "|u1", "fortran_order": False, "shape": (n, 3, SIDE, SIDE)}
        np.lib.format.write_array_header_1_0(file, shape)
    _write_index(squares, entries)
    return passing


def _read_index(place: Path, n: int) -> tuple[Ranges | None, list[Entry]]:
    """Return what the cache notes of n files; where it is damaged, or holds something else, delete it."""
    index, pixels = place / INDEX, place / PIXELS
    try:
        noted = read_json(index, "it is made anew")
        ranges = as_ranges(noted["ranges"])
        entries = [*map(_as_entry, noted["entries"])] if isinstance(noted["entries"], list) else []
        rows = [entry.row for entry in entries if isinstance(entry, Square)]
        needed = HEADER + (max(rows) + 1) * ROW if rows else 0
        size = pixels.stat().st_size if pixels.is_file() else 0
        alike = noted["key"] == place.name and len(entries) == n and len(set(rows)) == len(rows)
        if alike and size >= needed:
            return ranges, entries
    except (OSError, ValueError, TypeError, KeyError):
        pass
    fresh = not os.path.lexists(index) and (pixels.is_file() or not os.path.lexists(pixels))
    if not fresh or (os.path.lexists(place) and not place.is_dir()):
        _warn(f"The cache {place} is damaged: the pictures are read anew.")
        with suppress(OSError):
            shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
    return None, [None] * n


def _as_entry(entry: Any) -> Entry:
    """Return an entry of the index, or raise a ValueError or a TypeError if it is none."""
    if entry is None or isinstance(entry, str):
        return entry
    square = Square(*entry)
    if [*map(type, square)] != [int, int, int, int, bool] or square.row < 0 or min(square[2:4]) < 1:
        raise ValueError("no entry")
    return square


def _write_index(squares: Squares, entries: list[Entry]) -> None:
    """Note how far the work is, and what was found."""
    if squares.writable:
        try:
            content = {"key": squares.path.parent.name, "ranges": squares.ranges, "entries": entries}
            write_file(squares.path.with_name(INDEX), json_bytes(content, indent=None))
        except OSError as error:
            squares.give_up(error)


def _make_room(folder: Path, place: Path, n: int) -> None:
    """Make the folder; remove what nobody has asked for in a month; see that the squares will fit.

    Raises:
        OSError: if they will not, or the cache cannot be written.
    """
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        for other in folder.iterdir():
            with suppress(OSError):
                if other != place and time.time() - _last_use(other) > KEPT_DAYS * 86_400:
                    shutil.rmtree(other)
        free, wanted = shutil.disk_usage(place).free, n * ROW
    if wanted > free:
        raise OSError(
            f"{n:,} pictures need {wanted / 1e6:,.0f} MB in the cache {folder}, and {free / 1e6:,.0f} MB are "
            "free: make room, or set METRICLEARN_CACHE to a folder with more."
        )


def _last_use(folder: Path) -> float:
    index = folder / INDEX
    return (index if index.exists() else folder).stat().st_mtime


def _digests(paths: Sequence[Path]) -> list[str | UnreadableError]:
    """Return the SHA-256 of each file, or why it cannot be read."""

    def digest(path: Path) -> str | UnreadableError:
        try:
            with ExitStack() as stack:
                return hashlib.sha256(read_file(path, stack)).hexdigest()
        except UnreadableError as error:
            return error

    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        found = []
        with progress_bar(len(paths), "Comparing") as bar:
            for one in pool.map(digest, paths):
                found.append(one)
                bar.update()
        return found
    finally:
        pool.shutdown(cancel_futures=True)  # at Ctrl-C the rest is not waited for


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def progress_bar(total: int, what: str, done: int = 0) -> Any:
    """Return a bar with the seconds left: quiet where nobody sees it, and gone when done."""
    return tqdm(
        total=total, initial=done, desc=what, unit="picture", disable=None, leave=False, dynamic_ncols=True
    )
