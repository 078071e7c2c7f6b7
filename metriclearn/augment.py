"""Random affine changes, one per image, on a whole batch at once.

A 7 that is turned by a few degrees, moved by two pixels or drawn a little larger is still a 7.
Showing such copies as positives tells the encoder what to ignore. With ten labels per class this
is the largest single gain in the course.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


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
        images: float32, shape `(n, channels, height, width)`.
        generator: source of the random amounts; the global one by default.
        degrees: largest turn to either side, in degrees.
        translate: largest shift to either side, as a share of the image's side.
        scale: largest relative change of size, up or down.
        shear: largest shear to either side, in degrees.

    Returns:
        The changed images: same shape, same dtype.
    """
    n, _, height, width = images.shape

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle, slant = uniform(math.radians(degrees)), torch.tan(uniform(math.radians(shear)))
    size, aspect = 1 + uniform(scale), height / width
    cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
    # Two rows per image: where on the old image (-1 to 1 in x and y) each new pixel is read.
    row_x = torch.stack([cos, (cos * slant - sin) * aspect, uniform(2 * translate)], dim=1)
    row_y = torch.stack([sin / aspect, sin * slant + cos, uniform(2 * translate)], dim=1)
    theta = torch.stack([row_x, row_y], dim=1).to(images)
    grid = F.affine_grid(theta, [*images.shape], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
