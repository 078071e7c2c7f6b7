"""Random affine changes, one per image, on a whole batch at once.

A 7 that is turned by a few degrees, moved by two pixels or drawn a little larger is still a 7.
Showing such copies as positives tells the encoder what to ignore. With ten labels per class this
is the largest single gain in the course.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from metriclearn.settings import check_number


def random_affine(
    images: Tensor,
    generator: torch.Generator | None = None,
    *,
    degrees: float = 15.0,
    translate: float = 0.1,
    scale: float = 0.15,
    shear: float = 15.0,
) -> Tensor:
    """Turn, move, scale and shear every image by its own random amounts.

    All images are resampled in one call (Jaderberg et al. 2015, "Spatial transformer networks",
    https://arxiv.org/abs/1506.02025). What comes in from outside the frame repeats the edge
    pixels, so that a light background stays light and a dark one dark.

    Args:
        images: float, shape `(n, channels, height, width)`; in half precision they are resampled as float32.
        generator: source of the random amounts; the global one by default.
        degrees: largest turn to either side, in degrees.
        translate: largest shift to either side, as a share of the image's side.
        scale: largest relative change of size, up or down, below 1.
        shear: largest shear to either side, in degrees, below 90.

    Returns:
        The changed images: same shape, same dtype.

    Raises:
        ValueError: for anything but a tensor of floats of that shape, or an amount out of range.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        raise ValueError("Only a tensor of floats, shape (n, channels, height, width), can be changed.")
    degrees = check_number(degrees, "degrees", "an angle of at least 0", 0)
    translate = check_number(translate, "translate", "a share of the side, at least 0", 0)
    scale = check_number(scale, "scale", "a share from 0 to below 1", 0, 1, without=(1,))
    shear = check_number(shear, "shear", "an angle from 0 to below 90", 0, 90, without=(90,))
    n, _, height, width = images.shape

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle, slant = uniform(math.radians(degrees)), torch.tan(uniform(math.radians(shear)))
    size, aspect = 1 + uniform(scale), height / width
    cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
    # Two rows per image: where on the old image (-1 to 1 in x and y) each new pixel is read.
    row_x = torch.stack([cos, (cos * slant - sin) * aspect, uniform(2 * translate)], dim=1)
    row_y = torch.stack([sin / aspect, sin * slant + cos, uniform(2 * translate)], dim=1)
    exact = images.float() if images.itemsize < 4 else images  # half precision would round the places
    theta = torch.stack([row_x, row_y], dim=1).to(exact)
    grid = F.affine_grid(theta, [*images.shape], align_corners=False)
    return F.grid_sample(exact, grid, padding_mode="border", align_corners=False).to(images.dtype)
