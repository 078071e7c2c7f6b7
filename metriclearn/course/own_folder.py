"""The folder that notebook 11 starts from: as somebody's pictures lie on a disk, with faults planted in it.

Handwritten digits in coloured ink, since these are bundled and nobody has to download anything. What is
planted is returned, so that findings can be counted: in a folder of one's own nobody knows.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from metriclearn.checks.arguments import check_folder
from metriclearn.checks.arrays import FloatArray
from metriclearn.data import load_images

CLASSES = {"zero": 0, "one": 1, "two": 2, "four": 4, "six": 6, "seven": 7}
SUFFIXES = (".jpg", ".png", ".bmp", ".webp", ".gif", ".tif")
LABELLED, FREE = 25, 20  # pictures of each class, with a label and without one
SIDES = (40, 160)  # pixels, of the smallest and the largest picture
WRONG = (("one", "four"), ("six", "seven"), ("zero", "two"))  # of which class, and in whose folder


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
    """Write a folder of pictures: one folder per class, and one called "unlabelled".

    270 digits of mnist-5k, 25 with and 20 without a label of each of six classes, in six formats and of many
    sizes. Three lie in the folder of another class. Two are there twice, once saved again in another format
    and once made smaller. One further file is cut off.

    Args:
        folder: where to write; it must not be there yet, or be empty.
        seed: of the choice of digits, of colours, sizes and names.

    Returns:
        What is planted.

    Raises:
        ValueError: if the folder holds something.
    """
    root = check_folder(folder)
    if root.exists() and any(root.iterdir()):
        raise ValueError(f"{root} holds something already: name a new folder.")
    random = np.random.default_rng(seed)
    pool, _ = load_images("mnist-5k")
    chosen = [
        random.permutation(np.flatnonzero(pool.labels == label))[: LABELLED + FREE]
        for label in CLASSES.values()
    ]
    names = iter(random.permutation(np.arange(1000, 10_000)))  # a name gives nothing away
    homes = {name: [name] * LABELLED + ["unlabelled"] * FREE for name in CLASSES}
    for number, (name, other) in enumerate(WRONG):
        homes[name][number] = other
    truth: dict[str, str] = {}
    places: dict[str, list[str]] = {}
    for name, rows in zip(CLASSES, chosen, strict=True):
        for home, row in zip(homes[name], rows, strict=True):
            suffix = SUFFIXES[len(truth) % len(SUFFIXES)]
            file = f"{home}/img_{next(names)}{suffix}"
            (root / home).mkdir(parents=True, exist_ok=True)
            _written(pool.pixels[row, 0], random).save(root / file)
            truth[file] = name
            places.setdefault(name, []).append(file)
    wrong = tuple(places[name][number] for number, (name, _) in enumerate(WRONG))
    duplicates = []
    for original, smaller in ((places["two"][10], False), (places["four"][-1], True)):
        with Image.open(root / original) as picture:
            again = picture.convert("RGB")
        if smaller:
            again = again.resize((2 * again.width // 3, 2 * again.height // 3), Image.Resampling.LANCZOS)
        file = f"unlabelled/img_{next(names)}.jpg"
        again.save(root / file, quality=80)
        truth[file] = truth[original]
        duplicates.append((original, file))
    broken = f"six/img_{next(names)}.jpg"
    whole = (root / duplicates[0][1]).read_bytes()
    (root / broken).write_bytes(whole[: len(whole) // 2])
    return Planted(truth, wrong, tuple(duplicates), broken)


def _written(digit: FloatArray, random: np.random.Generator) -> Image.Image:
    """Return a digit, shape `(28, 28)`, in dark ink on light paper, at a size of its own."""
    paper, ink = random.integers(210, 256, 3), random.integers(0, 90, 3)
    ground = digit[..., None]
    picture = Image.fromarray((paper * (1 - ground) + ink * ground).round().astype(np.uint8))
    side = int(random.integers(SIDES[0], SIDES[1] + 1))
    return picture.resize((side, side), Image.Resampling.BICUBIC)
