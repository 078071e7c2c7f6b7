"""Photographs with their labels: a folder is decoded once, and stays on the disk as one array.

    folders.py  which files, which labels        decode.py  one file, safely, to a square of 256 pixels

The squares lie in the cache as one array, named by what the pictures hold: to change a label, or to move
the folder, costs nothing, and a picture that changes is read anew. Memory does not grow with the folder. One
decode serves both ways to learn: a small network sees `small(64)`, and a pretrained one the squares, brought
back to the shape of most pictures, `aspect`.
"""

import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from tqdm import tqdm

from metriclearn.cache import cache_folder
from metriclearn.decode import SIDE, Bytes, Picture, UnreadableError, read_file, read_pictures
from metriclearn.folders import Listing, list_photographs
from metriclearn.labels import UNLABELLED, LabelArray
from metriclearn.settings import check_count, check_folder
from metriclearn.validate import FloatArray

VERSION = 2  # of what decode.py makes of a file: another number, another cache
AT_ONCE = 128  # pictures, 25 MB: written, or read, at a time
ROW = 3 * SIDE * SIDE  # bytes of a picture
HEADER = 128  # bytes at the start of a .npy file of this size
KEPT_DAYS = 30  # what nobody has asked for so long leaves the cache


@dataclass(frozen=True)
class Photographs:
    """Pictures that could be read, with their labels.

    Attributes:
        folder: where they lie.
        files: their names below the folder, one per picture.
        labels: int64, shape `(n,)`; positions in `class_names`, -1 = unlabelled.
        class_names: one name per class, sorted.
        skipped: files that could not be read, each with the reason.
        widths: int64, shape `(n,)`, in pixels.
        heights: likewise.
        grey: bool, shape `(n,)`: whether a picture has no colour.
        digests: SHA-256 of each file.
        rows: int64, shape `(n,)`: where each lies in the array on the disk.
        store: the file of that array.
        listing: the folder as it was found.
    """

    folder: Path
    files: tuple[str, ...]
    labels: LabelArray
    class_names: tuple[str, ...]
    skipped: dict[str, str]
    widths: npt.NDArray[np.int64]
    heights: npt.NDArray[np.int64]
    grey: npt.NDArray[np.bool_]
    digests: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    store: Path
    listing: Listing

    def __len__(self) -> int:
        return len(self.files)

    @property
    def pixels(self) -> Bytes:
        """All squares, uint8 of shape `(n, 3, 256, 256)`: a file that is mapped, not read."""
        whole: Bytes = np.load(self.store, mmap_mode="r")
        return whole if np.array_equal(self.rows, np.arange(len(whole))) else whole[self.rows]

    @property
    def aspect(self) -> float:
        """Width over height, the median of all pictures: to this shape the squares are brought back."""
        return float(np.median(self.widths / self.heights))

    def batches(self, rows: npt.ArrayLike | None = None) -> Iterator[Bytes]:
        """Yield the squares, read into memory 128 at a time: uint8, shape `(up to 128, 3, 256, 256)`.

        Args:
            rows: which pictures, int; by default all, in order.
        """
        chosen = self.rows if rows is None else self.rows[np.asarray(rows)]
        with self.store.open("rb") as file:
            for start in range(0, len(chosen), AT_ONCE):
                yield _read_rows(file, chosen[start : start + AT_ONCE])

    def small(self, side: int = 64) -> Bytes:
        """Return all squares at a smaller size, uint8 of shape `(n, 1 or 3, side, side)`: 1 if all are grey.

        Each pixel is the mean of those that it covers.

        Args:
            side: in pixels, 1 to 256.
        """
        side = check_count(side, "side", 1, SIDE, f"choose a whole number from 1 to {SIDE}")
        channels = 1 if self.grey.all() else 3
        return np.concatenate([smaller(batch[:, :channels], side) for batch in self.batches()])

    def thumbnails(self) -> FloatArray:
        """Return 16 x 16 grey values of each, without their mean, float32 of shape `(n, 257)`.

        Two files of one picture, saved again or resized, have a cosine of 0.99 and more: see
        `metriclearn.explore.near_duplicates`. The last number is small and the same for all, so that an even
        picture has a direction, too.
        """
        grey = self.small(16).astype(np.float32).mean(axis=1).reshape(len(self), -1)
        grey -= grey.mean(axis=1, keepdims=True)
        return np.column_stack([grey, np.full(len(grey), 4, dtype=np.float32)])

    def chosen(self, places: Sequence[int]) -> "Photographs":
        """Return some of the pictures, by their places, in that order."""
        at = np.asarray(places, dtype=np.int64)
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("labels", "widths", "heights", "grey", "rows"):
            fields[name] = fields[name][at]
        for name in ("files", "digests"):
            fields[name] = tuple(fields[name][i] for i in at)
        return Photographs(**fields)

    def with_labels(self, labels: Sequence[str | None]) -> "Photographs":
        """Return the same pictures with other labels: a class name, or None, for each."""
        names = sorted({label for label in labels if label is not None})
        codes = {name: code for code, name in enumerate(names)}
        values = np.array([UNLABELLED if label is None else codes[label] for label in labels], dtype=np.int64)
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Photographs(**fields | {"labels": values, "class_names": tuple(names)})


def smaller(squares: Bytes, side: int) -> Bytes:
    """Return squares at a smaller size, uint8 of shape `(n, channels, side, side)`: means of their pixels.

    Args:
        squares: uint8, shape `(n, channels, height, width)`.
        side: in pixels.
    """
    means = F.adaptive_avg_pool2d(torch.from_numpy(squares).float(), side)
    result: Bytes = means.round().byte().numpy()
    return result


def read_photographs(
    folder: str | Path,
    labels: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    progress: bool | None = None,
) -> Photographs:
    """Read all pictures of a folder, once; later calls find them in the cache.

    JPEG, PNG, BMP, GIF, WebP and TIFF are read, of any mode, turned as their EXIF entry says. A file that
    cannot be read is skipped, and stands in `skipped` with the reason.

    Args:
        folder: see `metriclearn.folders` for its three forms.
        labels: a further table of labels, whose rows win.
        cache: where to keep the squares, 200 kB each; by default `metriclearn.cache.cache_folder()`.
        progress: whether to show a bar; by default if somebody sees it.

    Raises:
        FileNotFoundError: if the folder, or a file that a table names, is not there.
        ValueError: for a folder without a picture, or labels that cannot be meant; see `list_photographs`.
        OSError: if the cache has no room.

    Example:
        >>> photographs = read_photographs("my_pictures")  # doctest: +SKIP
        >>> photographs.pixels.shape, photographs.class_names  # doctest: +SKIP
    """
    return decode_listing(list_photographs(folder, labels), cache=cache, progress=progress)


def decode_listing(
    listing: Listing, *, cache: str | Path | None = None, progress: bool | None = None
) -> Photographs:
    """Read the pictures that `list_photographs` found; see `read_photographs`.

    Raises:
        ValueError: if none can be read.
        OSError: if the cache has no room.
    """
    home = (cache_folder() if cache is None else check_folder(cache)) / "photographs"
    store, entries = _stored(listing, home, progress)
    both = list(zip(listing.files, entries, strict=True))
    skipped = listing.skipped | {name: entry["skip"] for name, entry in both if "skip" in entry}
    good = [i for i, entry in enumerate(entries) if "skip" not in entry]
    if not good:
        name, reason = next(iter(skipped.items()))
        raise ValueError(
            f"None of the {len(skipped)} pictures can be read, for instance {name!r} {reason}: replace them."
        )
    names = listing.class_names
    codes = {name: code for code, name in enumerate(names)} | {None: UNLABELLED}
    found = [entries[i] for i in good]
    return Photographs(
        folder=listing.folder,
        files=tuple(listing.files[i] for i in good),
        labels=np.array([codes[listing.labels[i]] for i in good], dtype=np.int64),
        class_names=tuple(names),
        skipped=dict(sorted(skipped.items())),
        widths=np.array([entry["width"] for entry in found], dtype=np.int64),
        heights=np.array([entry["height"] for entry in found], dtype=np.int64),
        grey=np.array([entry["grey"] for entry in found], dtype=bool),
        digests=tuple(entry["digest"] for entry in found),
        rows=np.arange(len(good), dtype=np.int64),
        store=store,
        listing=listing,
    )


def _stored(listing: Listing, home: Path, progress: bool | None) -> tuple[Path, list[dict[str, Any]]]:
    """Return the file of squares in the cache, and an entry for each file; decode what is not there yet.

    The work goes on where an interrupted one stopped. Two programs that do the same at the same time write
    the same bytes to the same places, and the first one to be done gives the folder its name.
    """
    paths = listing.paths
    digests = _digests(paths, progress)
    key = hashlib.sha256(repr((VERSION, SIDE, digests)).encode()).hexdigest()[:32]
    done, partial = home / key, home / f"{key}.partial"
    if not (done / "index.json").is_file():
        _make_room(home, partial, len(paths))
        try:
            _decode_into(partial, paths, digests, progress)
            os.replace(partial, done)
        except OSError:
            if not (done / "index.json").is_file():  # unless another program was first
                raise
    with suppress(OSError):
        os.utime(done / "index.json")  # somebody still wants it
    return done / "pixels.npy", json.loads((done / "index.json").read_text(encoding="utf-8"))


def _decode_into(folder: Path, paths: list[Path], digests: list[str], progress: bool | None) -> None:
    index = folder / "index.json"
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        entries = []
    row = sum("skip" not in entry for entry in entries)
    target = folder / "pixels.npy"
    with target.open("r+b" if target.exists() else "w+b") as file:
        file.seek(HEADER + row * ROW)
        with progress_bar(len(paths), "Reading", progress, len(entries)) as bar:
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
        header = io.BytesIO()
        shape = {"descr": "|u1", "fortran_order": False, "shape": (row, 3, SIDE, SIDE)}
        np.lib.format.write_array_header_1_0(header, shape)
        if header.tell() != HEADER:
            raise AssertionError("NumPy writes another header than it did")
        file.seek(0)
        file.write(header.getvalue())
        _note(index, entries, file)


def _note(index: Path, entries: list[dict[str, Any]], file: Any) -> None:
    """Write down how far the work is, once the pixels themselves are on the disk."""
    file.flush()
    os.fsync(file.fileno())
    beside = index.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps(entries), encoding="utf-8")
    os.replace(beside, index)


def _make_room(home: Path, partial: Path, n: int) -> None:
    """Make the folder; remove what nobody has asked for in a month; see that the squares will fit.

    Raises:
        OSError: if they will not, or the cache cannot be written.
    """
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for other in home.iterdir():
            with suppress(OSError):
                if other != partial and time.time() - _last_use(other) > KEPT_DAYS * 86_400:
                    shutil.rmtree(other)
        free, wanted = shutil.disk_usage(partial).free, n * ROW
    except OSError as error:
        raise OSError(
            f"The cache {home} cannot be written ({error.strerror or error}): set METRICLEARN_CACHE to "
            "another folder."
        ) from None
    if wanted > free:
        raise OSError(
            f"{n} pictures need {wanted / 1e9:.1f} GB in the cache {home}, and {free / 1e9:.1f} GB are free: "
            "make room, or set METRICLEARN_CACHE to a folder with more."
        )


def _last_use(folder: Path) -> float:
    index = folder / "index.json"
    return (index if index.exists() else folder).stat().st_mtime


def _digests(paths: list[Path], progress: bool | None) -> list[str]:
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
        with progress_bar(len(paths), "Comparing", progress) as bar:
            for one in pool.map(digest, paths):
                found.append(one)
                bar.update()
        return found
    finally:
        pool.shutdown(cancel_futures=True)  # at Ctrl-C the rest is not waited for


def progress_bar(total: int, what: str, progress: bool | None = None, done: int = 0) -> Any:
    """Return a bar with the seconds left: by default quiet where nobody sees it, and gone when done."""
    quiet = None if progress is None else not progress
    return tqdm(
        total=total, initial=done, desc=what, unit="picture", disable=quiet, leave=False, dynamic_ncols=True
    )


def _read_rows(file: Any, rows: npt.NDArray[np.int64]) -> Bytes:
    squares = np.empty((len(rows), 3, SIDE, SIDE), dtype=np.uint8)
    for square, row in zip(squares, rows, strict=True):
        file.seek(HEADER + int(row) * ROW)
        file.readinto(square)
    return squares
