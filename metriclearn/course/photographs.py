"""The photographs of notebook 10: solar cells that come with a package, or a folder of the reader's own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metriclearn.checks.arrays import ImageArray
from metriclearn.checks.labels import UNLABELLED, LabelArray
from metriclearn.photos import read_photographs

CELLS = ("sound", "defect")
KINDS = ("mono", "poly")


@dataclass(frozen=True)
class CoursePhotographs:
    """Photographs with what is known about them.

    Attributes:
        images: uint8, shape `(n, channels, height, width)`.
        labels: int64, shape `(n,)`, -1 = nobody was sure.
        class_names: one name per class.
        probability: float64, shape `(n,)`: of class 1, as people said; of a folder 0 or 1.
        kinds: int64, shape `(n,)`: another question about the same pictures, such as how a cell was made.
        kind_names: one name per kind; of a folder the classes themselves.
        aspect: width over height that most of them had before they became squares.
    """

    images: ImageArray
    labels: LabelArray
    class_names: tuple[str, ...]
    probability: npt.NDArray[np.float64]
    kinds: LabelArray
    kind_names: tuple[str, ...]
    aspect: float = 1.0


def course_photographs(folder: str | Path = "", n: int = 800, seed: int = 0) -> CoursePhotographs:
    """Return n photographs, drawn by chance.

    Without a folder these are solar cells, 300 x 300 and grey, with the probability of a defect that experts
    gave: 0, 1/3, 2/3 or 1. Deitsch et al. 2019, https://doi.org/10.1016/j.solener.2019.02.067; their licence
    is CC BY-NC-SA 4.0.

    Args:
        folder: a folder of your own, see `metriclearn.photos.listing`; empty for the solar cells.
        n: how many; all if there are fewer.
        seed: seed of the choice.

    Raises:
        ModuleNotFoundError: if the package with the solar cells is not installed.
        FileNotFoundError: if there is no such folder.
        ValueError: for a folder that holds no pictures.
    """
    random = np.random.default_rng(seed)
    if folder:
        found = read_photographs(folder)
        chosen = np.sort(random.permutation(len(found))[:n])
        labels = found.labels[chosen]
        names = found.class_names
        return CoursePhotographs(
            found.pixels[chosen], labels, names, (labels == 1).astype(float), labels, names, found.aspect
        )
    try:
        from elpv_dataset.utils import load_dataset
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'The solar cells are in a package of their own: run pip install "metriclearn[elpv]", or name a '
            "folder of your own."
        ) from None
    images, probability, kinds = load_dataset()
    chosen = np.sort(random.permutation(len(images))[:n])
    probability = probability[chosen]
    certain = np.isin(probability, (0, 1))
    return CoursePhotographs(
        images[chosen][:, None],
        np.where(certain, probability, UNLABELLED).astype(np.int64),
        CELLS,
        probability,
        np.searchsorted(KINDS, kinds[chosen]).astype(np.int64),
        KINDS,
    )
