"""Images that show no upright digit, to ask a classifier of digits about.

Letters in a font, digits on their side, crops of photographs, and noise. They are made from what comes with
matplotlib and scikit-learn, so that nothing has to be downloaded, and they are the same in every call.
"""

from string import ascii_uppercase

import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_images

from metriclearn.augment import random_affine
from metriclearn.checks.arrays import FloatArray

SIDE, SHAKEN, CROPS, CROP = 28, 40, 500, 112
LETTERS: npt.NDArray[np.str_] = np.repeat(list(ascii_uppercase), SHAKEN)  # which letter each image shows


def strangers(digits: FloatArray) -> dict[str, FloatArray]:
    """Return four kinds of images that a classifier of upright digits should not recognise.

    Args:
        digits: float32 in [0, 1], shape `(n, 1, 28, 28)`: those to turn by 90 degrees.

    Returns:
        For each kind float32 images in [0, 1] of shape `(m, 1, 28, 28)`: `"letters"`, 40 of each capital,
        moved and turned like images in training; `"turned digits"`; `"photos"`, 500 crops of each of two
        photographs; `"noise"`, as many as there are digits.
    """
    random = np.random.default_rng(0)
    photos = _crops(random)
    return {
        "letters": letters(),
        "turned digits": np.rot90(digits, axes=(2, 3)).copy(),
        "photos": photos,
        "noise": random.random(digits.shape, dtype=np.float32),
    }


def letters(font: str = "DejaVuSans") -> FloatArray:
    """Return each capital letter 40 times, moved and turned like images in training.

    Args:
        font: one of those that come with matplotlib.

    Returns:
        float32 in [0, 1], shape `(1040, 1, 28, 28)`, in the order of `LETTERS`.

    Raises:
        OSError: if there is no such font.
    """
    face = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{font}.ttf", 22)
    canvas = Image.new("L", (SIDE * len(LETTERS), SIDE))
    for i, letter in enumerate(LETTERS):
        place = (SIDE * i + SIDE // 2, SIDE // 2)
        ImageDraw.Draw(canvas).text(place, letter, fill=255, font=face, anchor="mm")
    sheet = np.asarray(canvas, dtype=np.float32).reshape(SIDE, -1, SIDE).transpose(1, 0, 2)[:, None] / 255
    shaken: FloatArray = random_affine(torch.as_tensor(sheet), torch.Generator().manual_seed(0)).numpy()
    return shaken


def _crops(random: np.random.Generator) -> FloatArray:
    """Return crops of scikit-learn's two photographs in grey, each scaled down to a digit's size."""
    crops = []
    for photo in load_sample_images().images:
        grey = photo.mean(axis=2, dtype=np.float32) / 255
        for row, column in random.integers(0, np.array(grey.shape) - CROP, size=(CROPS, 2)):
            crop = grey[row : row + CROP, column : column + CROP]
            crops.append(crop.reshape(SIDE, CROP // SIDE, SIDE, CROP // SIDE).mean(axis=(1, 3)))
    return np.stack(crops)[:, None]
