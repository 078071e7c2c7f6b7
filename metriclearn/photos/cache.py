"""The cache of decoded photographs: one array on the disk, named by what the pictures hold."""

import hashlib
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from metriclearn.files import write_file
from metriclearn.photos.decode import SIDE, Bytes, Picture, UnreadableError, read_file, read_pictures
from metriclearn.photos.listing import Listing

VERSION = 2  # of what decode.py makes of a file: another number, another cache
AT_ONCE = 128  # pictures, 25 MB: written, or read, at a time
ROW = 3 * SIDE * SIDE  # bytes of a picture
HEADER = 128  # bytes at the start of a .npy file of this size
KEPT_DAYS = 30  # what nobody has asked for so long leaves the cache


def cached_pictures(listing: Listing, folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Return the file of decoded pictures in the cache, and an entry for each; decode what is missing.

    The work goes on where an interrupted one stopped. Two programs that do the same at the same time write
    the same bytes to the same places, and the first one to be done gives the folder its name.
    """
    paths = listing.paths
    digests = _digests(paths)
    key = hashlib.sha256(repr((VERSION, SIDE, digests)).encode()).hexdigest()[:32]
    done, partial = folder / key, folder / f"{key}.partial"
    if not (done / "index.json").is_file():
        _make_room(folder, partial, len(paths))
        try:
            _decode_into(partial, paths, digests)
            os.replace(partial, done)
        except OSError:
            if not (done / "index.json").is_file():  # unless another program was first
                raise
    with suppress(OSError):
        os.utime(done / "index.json")  # somebody still wants it
    return done / "pixels.npy", json.loads((done / "index.json").read_text(encoding="utf-8"))


def _decode_into(folder: Path, paths: list[Path], digests: list[str]) -> None:
    index = folder / "index.json"
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        entries = []
    row = sum("skip" not in entry for entry in entries)
    target = folder / "pixels.npy"
    with target.open("r+b" if target.exists() else "w+b") as file:
        file.seek(HEADER + row * ROW)
        with progress_bar(len(paths), "Reading", len(entries)) as bar:
            for found in read_pictures(paths[len(entries) :]):
                digest = digests[len(entries)]
                if isinstance(found, Picture) and found.digest == digest:
                    file.write(found.pixels.tobytes())
                    entries.append(
                        {"digest": digest, "width": found.width, "height": found.height, "grey": found.grey}
                    )
                else:
                    reason = "changed while it was read" if isinstance(found, Picture) else str(found)
                    entries.append({"skip": reason})
                bar.update()
                if len(entries) % AT_ONCE == 0:
                    _note(index, entries, file)
        row = sum("skip" not in entry for entry in entries)
        file.seek(0)
        shape = {"descr": "|u1", "fortran_order": False, "shape": (row, 3, SIDE, SIDE)}
        np.lib.format.write_array_header_1_0(file, shape)
        _note(index, entries, file)


def _note(index: Path, entries: list[dict[str, Any]], file: Any) -> None:
    """Write down how far the work is, once the pixels themselves are on the disk."""
    file.flush()
    os.fsync(file.fileno())
    write_file(index, json.dumps(entries).encode())


def _make_room(folder: Path, partial: Path, n: int) -> None:
    """Make the folder; remove what nobody has asked for in a month; see that the squares will fit.

    Raises:
        OSError: if they will not, or the cache cannot be written.
    """
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for other in folder.iterdir():
            with suppress(OSError):
                if other != partial and time.time() - _last_use(other) > KEPT_DAYS * 86_400:
                    shutil.rmtree(other)
        free, wanted = shutil.disk_usage(partial).free, n * ROW
    except OSError as error:
        raise OSError(
            f"The cache {folder} cannot be written ({error.strerror or error}): set METRICLEARN_CACHE."
        ) from None
    if wanted > free:
        raise OSError(
            f"{n} pictures need {wanted / 1e9:.1f} GB in the cache {folder}, and {free / 1e9:.1f} GB are "
            "free: make room, or set METRICLEARN_CACHE to a folder with more."
        )


def _last_use(folder: Path) -> float:
    index = folder / "index.json"
    return (index if index.exists() else folder).stat().st_mtime


def _digests(paths: list[Path]) -> list[str]:
    """Return the SHA-256 of each file, or an empty text where it cannot be read."""

    def digest(path: Path) -> str:
        try:
            with ExitStack() as stack:
                return hashlib.sha256(read_file(path, stack)).hexdigest()
        except UnreadableError:
            return ""

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


def progress_bar(total: int, what: str, done: int = 0) -> Any:
    """Return a bar with the seconds left: quiet where nobody sees it, and gone when done."""
    return tqdm(
        total=total, initial=done, desc=what, unit="picture", disable=None, leave=False, dynamic_ncols=True
    )


def read_squares(file: Any, rows: npt.NDArray[np.int64]) -> Bytes:
    """Read some pictures from the open file of all, uint8 of shape `(n, 3, 256, 256)`.

    Raises:
        OSError: if the file ends before them.
    """
    squares = np.empty((len(rows), 3, SIDE, SIDE), dtype=np.uint8)
    for square, row in zip(squares, rows, strict=True):
        file.seek(HEADER + int(row) * ROW)
        if file.readinto(square) != ROW:
            raise OSError(f"The cache file {file.name} is cut off: delete its folder.")
    return squares
