"""Image folder: photographs with their labels, decoded once into one array on the disk.

    class_names.py  what a class may be called       tables.py    tables of labels
    listing.py      which files, which labels        decode.py    one file, safely, to a square of 256 pixels
    depth.py        files of more than 8 bits        cache.py     the array on the disk
    features.py     a backbone's features of the pictures

The squares lie in the cache as one array, named by what the pictures hold: to change a label, or to move
the folder, costs nothing, and a picture that changes is read anew. Memory does not grow with the folder. One
decode serves both ways to learn: a small network sees `small(64)`, and a pretrained one the squares, brought
back to the shape of most pictures, `aspect`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from metriclearn.checks.arguments import check_count, check_folder
from metriclearn.checks.arrays import FloatArray, ImageArray, as_floats
from metriclearn.checks.labels import UNLABELLED, LabelArray
from metriclearn.files import cache_folder
from metriclearn.photos.cache import AT_ONCE, Squares, open_squares
from metriclearn.photos.decode import SIDE, Bytes
from metriclearn.photos.depth import Ranges
from metriclearn.photos.listing import Listing, list_photographs

if TYPE_CHECKING:
    from metriclearn.data import ImageSet


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
        squares: that array.
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
    squares: Squares
    listing: Listing

    def __len__(self) -> int:
        return len(self.files)

    @property
    def pixels(self) -> Bytes:
        """All squares, uint8 of shape `(n, 3, 256, 256)`: a file that is mapped, not read."""
        return self.squares.mapped(self.rows)

    @property
    def ranges(self) -> Ranges:
        """Which values mean black and white in files of more than 8 bits; see `metriclearn.photos.depth`."""
        return self.squares.ranges

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
        for start in range(0, len(chosen), AT_ONCE):
            yield self.squares.read(chosen[start : start + AT_ONCE])

    def small(self, side: int = 64) -> Bytes:
        """Return all squares at a smaller size, uint8 of shape `(n, 1 or 3, side, side)`: 1 if all are grey.

        Each pixel is the mean of those that it covers.

        Args:
            side: in pixels, 1 to 256.
        """
        side = check_count(side, "side", 1, SIDE)
        channels = 1 if self.grey.all() else 3
        return np.concatenate([downscale(batch[:, :channels], side) for batch in self.batches()])

    def images(self, side: int = 64) -> "ImageSet":
        """Return the pictures at a smaller size and their labels as an `ImageSet` of floats; see `small`."""
        from metriclearn.data import ImageSet  # here: what loads the course's own sets takes seconds

        return ImageSet(as_floats(self.small(side)), self.labels, self.class_names)

    def thumbnails(self) -> FloatArray:
        """Return 16 x 16 grey values of each, without their mean, float32 of shape `(n, 257)`.

        Two files of one picture, saved again or resized, have a cosine of 0.99 and more: see
        `metriclearn.curation.near_duplicates`. The last number is small and the same for all, so that an even
        picture has a direction, too.
        """
        grey = self.small(16).astype(np.float32).mean(axis=1).reshape(len(self), -1)
        grey -= grey.mean(axis=1, keepdims=True)
        return np.column_stack([grey, np.full(len(grey), 4, dtype=np.float32)])

    def chosen(self, places: Sequence[int]) -> "Photographs":
        """Return some of the pictures, by their places, in that order."""
        at = np.asarray(places, dtype=np.int64)
        arrays = ("labels", "widths", "heights", "grey", "rows")
        fields: dict[str, Any] = {name: getattr(self, name)[at] for name in arrays}
        fields |= {name: tuple(getattr(self, name)[i] for i in at) for name in ("files", "digests")}
        return replace(self, **fields)

    def with_labels(self, labels: Sequence[str | None]) -> "Photographs":
        """Return the same pictures with other labels: a class name, or None, for each."""
        codes, names = encode_labels(labels)
        return replace(self, labels=codes, class_names=names)


def downscale(images: ImageArray, side: int) -> ImageArray:
    """Downscale images to at most `side` pixels at the shorter side, each the mean of those it covers.

    They are float32 or uint8, shape `(n, channels, height, width)`, and stay so; small ones stay as they are.
    """
    height, width = images.shape[2:]
    if min(height, width) <= side:
        return images
    scale = side / min(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    parts = []
    for start in range(0, len(images), AT_ONCE):
        means = F.adaptive_avg_pool2d(torch.from_numpy(images[start : start + AT_ONCE]).float(), size)
        parts.append(means.round().byte().numpy() if images.dtype == np.uint8 else means.numpy())
    return np.concatenate(parts)


def encode_labels(labels: Sequence[str | None]) -> tuple[LabelArray, tuple[str, ...]]:
    """Encode class names as class numbers, int64, -1 for None; also return the names in their order."""
    names = sorted({label for label in labels if label is not None})
    codes = {name: code for code, name in enumerate(names)} | {None: UNLABELLED}
    return np.array([codes[label] for label in labels], dtype=np.int64), tuple(names)


def read_photographs(
    folder: str | Path,
    labels: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    ranges: Ranges | None = None,
) -> Photographs:
    """Read all pictures of a folder, once; later calls find them in the cache.

    JPEG, PNG, BMP, GIF, WebP and TIFF are read, of any mode, turned as their EXIF entry says. A file that
    cannot be read is skipped, and stands in `skipped` with the reason.

    Args:
        folder: see `metriclearn.photos.listing` for its three forms.
        labels: a further table of labels, whose rows win.
        cache: where to keep the squares, 200 kB each; by default `metriclearn.files.cache_folder()`. One that
            cannot be written is done without, with a warning.
        ranges: which values mean black and white in files of more than 8 bits, as another folder had them;
            by default the pictures themselves tell.

    Raises:
        FileNotFoundError: if the folder, or a file that a table names, is not there.
        ValueError: for a folder without a picture, or labels that cannot be meant; see `list_photographs`.

    Example:
        >>> photographs = read_photographs("my_pictures")  # doctest: +SKIP
        >>> photographs.pixels.shape, photographs.class_names  # doctest: +SKIP
    """
    return decode_listing(list_photographs(folder, labels), cache=cache, ranges=ranges)


def decode_listing(
    listing: Listing, *, cache: str | Path | None = None, ranges: Ranges | None = None
) -> Photographs:
    """Read the pictures that `list_photographs` found; see `read_photographs`.

    Raises:
        ValueError: if none can be read.
    """
    cached_in = (cache_folder() if cache is None else check_folder(cache)) / "photographs"
    squares, found = open_squares(listing.paths, cached_in, ranges)
    skipped = listing.skipped | {
        name: reason for name, reason in zip(listing.files, found, strict=True) if isinstance(reason, str)
    }
    good = [(i, *known) for i, known in enumerate(found) if not isinstance(known, str)]
    if not good:
        name, reason = next(iter(skipped.items()))
        raise ValueError(
            f"None of the {len(skipped)} pictures can be read, for instance {name!r} {reason}: replace them."
        )
    codes, names = encode_labels(listing.labels)
    return Photographs(
        folder=listing.folder,
        files=tuple(listing.files[i] for i, _, _ in good),
        labels=codes[[i for i, _, _ in good]],
        class_names=names,
        skipped=dict(sorted(skipped.items())),
        widths=np.array([square.width for _, _, square in good], dtype=np.int64),
        heights=np.array([square.height for _, _, square in good], dtype=np.int64),
        grey=np.array([square.grey for _, _, square in good], dtype=bool),
        digests=tuple(digest for _, digest, _ in good),
        rows=np.array([square.row for _, _, square in good], dtype=np.int64),
        squares=squares,
        listing=listing,
    )
