"""The folder that notebook 11 starts from: photographs as they lie on somebody's disk, with planted faults.

Photographs of solar cells, which come with a package. What is planted is returned, so that findings can be
counted: in a folder of one's own nobody knows.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from metriclearn.checks.arguments import check_folder
from metriclearn.course.photographs import solar_cells

CLASSES = ("mono_sound", "mono_defect", "poly_sound", "poly_defect")
SUFFIXES = (".jpg", ".png", ".bmp", ".webp", ".gif", ".tif")
LABELLED, FREE = 25, 20  # pictures of each class, with a label and without one
SIDES = (200, 300)  # pixels, of the smallest and the largest picture
WRONG = (  # of which class, and in whose folder
    ("mono_sound", "poly_sound"),
    ("poly_sound", "mono_sound"),
    ("poly_defect", "mono_defect"),
)


@dataclass(frozen=True)
class Planted:
    """What lies in a folder that `write_folder` wrote, and nobody would tell you of your own.

    Attributes:
        truth: the class of each picture, by its file name.
        wrong: files that lie in the folder of another class.
        duplicates: pairs of files of one picture, the first written first.
        broken: a file that cannot be read.
    """

    truth: dict[str, str]
    wrong: tuple[str, ...]
    duplicates: tuple[tuple[str, str], ...]
    broken: str


def write_folder(folder: str | Path, seed: int = 0) -> Planted:
    """Write a folder of photographs: one folder per class, and one called "unlabelled".

    180 solar cells that experts were sure of, see `metriclearn.course.photographs`: 25 with and 20 without a
    label of each of four classes, in six formats and of many sizes. Three lie in the folder of another class.
    Two are there twice, once saved again in another format and once made smaller. One further file is cut
    off.

    Args:
        folder: where to write; it must not be there yet, or be empty.
        seed: of the choice of cells, of sizes and names.

    Returns:
        What is planted.

    Raises:
        ModuleNotFoundError: if the package with the solar cells is not installed.
        ValueError: if the folder holds something.
    """
    root = check_folder(folder)
    if root.exists() and any(root.iterdir()):
        raise ValueError(f"{root} holds something already: name a new folder.")
    random = np.random.default_rng(seed)
    cells = solar_cells(n=10_000)
    names_of = np.array([f"{kind}_{name}" for kind in cells.kind_names for name in cells.class_names])
    of_cell = names_of[2 * cells.kinds + np.maximum(cells.labels, 0)]
    chosen = [
        random.permutation(np.flatnonzero((of_cell == name) & (cells.labels >= 0)))[: LABELLED + FREE]
        for name in CLASSES
    ]
    numbers = iter(random.permutation(np.arange(1000, 10_000)))  # a name gives nothing away
    homes = {name: [name] * LABELLED + ["unlabelled"] * FREE for name in CLASSES}
    for number, (name, other) in enumerate(WRONG):
        homes[name][number] = other
    truth: dict[str, str] = {}
    places: dict[str, list[str]] = {}
    for name, rows in zip(CLASSES, chosen, strict=True):
        for home, row in zip(homes[name], rows, strict=True):
            suffix = SUFFIXES[len(truth) % len(SUFFIXES)]
            file = f"{home}/img_{next(numbers)}{suffix}"
            (root / home).mkdir(parents=True, exist_ok=True)
            side = int(random.integers(SIDES[0], SIDES[1] + 1))
            picture = Image.fromarray(cells.images[row, 0]).resize((side, side), Image.Resampling.LANCZOS)
            picture.save(root / file)
            truth[file] = name
            places.setdefault(name, []).append(file)
    wrong = tuple(places[name][number] for number, (name, _) in enumerate(WRONG))
    duplicates = []
    for original, smaller in ((places["poly_defect"][10], False), (places["mono_defect"][-1], True)):
        with Image.open(root / original) as picture:
            again = picture.convert("L")
        if smaller:
            again = again.resize((2 * again.width // 3, 2 * again.height // 3), Image.Resampling.LANCZOS)
        file = f"unlabelled/img_{next(numbers)}.jpg"
        again.save(root / file, quality=80)
        truth[file] = truth[original]
        duplicates.append((original, file))
    broken = f"poly_sound/img_{next(numbers)}.jpg"
    whole = (root / duplicates[0][1]).read_bytes()
    (root / broken).write_bytes(whole[: len(whole) // 2])
    return Planted(truth, wrong, tuple(duplicates), broken)
