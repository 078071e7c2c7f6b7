"""Data augmentation: random changes, another one for every image, on a whole batch at once.

A 7 that is turned by a few degrees, moved by two pixels or drawn a little larger is still a 7.
Showing such copies as positives tells the encoder what to ignore. With ten digits per class no
ingredient of the course gains more. What may change without changing the class depends on the
images: a mirrored photograph shows the same thing, a mirrored 7 is no digit.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from metriclearn.checks.arguments import check_choice, check_flag, check_number

# A function of a batch of images, on the device that trains, and a generator, always of the CPU, to a batch
# of the same shape on the same device.
Augment = Callable[[Tensor, torch.Generator | None], Tensor]


def random_affine(
    images: Tensor,
    generator: torch.Generator | None = None,
    *,
    degrees: float = 15.0,
    translate: float = 0.1,
    scale: float = 0.15,
    shear: float = 15.0,
) -> Tensor:
    """Random affine augmentation: turn, move, scale and shear every image by its own amounts.

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
    _check_batch(images)
    degrees = check_number(degrees, "degrees", 0)
    translate = check_number(translate, "translate", 0)
    scale = check_number(scale, "scale", 0, 1, without=(1,))
    shear = check_number(shear, "shear", 0, 90, without=(90,))
    n, _, height, width = images.shape

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle, slant = uniform(math.radians(degrees)), torch.tan(uniform(math.radians(shear)))
    size, aspect = 1 + uniform(scale), height / width
    cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
    # Two rows per image: where on the old image (-1 to 1 in x and y) each new pixel is read.
    row_x = torch.stack([cos, (cos * slant - sin) * aspect, uniform(2 * translate)], dim=1)
    row_y = torch.stack([sin / aspect, sin * slant + cos, uniform(2 * translate)], dim=1)
    return _resampled(images, torch.stack([row_x, row_y], dim=1))


def random_photograph(
    images: Tensor,
    generator: torch.Generator | None = None,
    *,
    area: float = 0.5,
    light: float = 0.3,
    colour: float = 0.3,
) -> Tensor:
    """Random augmentation of photographs: mirror, crop and light each by its own amounts.

    Half of them are mirrored left to right; each is cut to a random part of its area, which is stretched to
    the whole frame; then its brightness, its contrast and, if it has colours, their strength are changed.
    The kinds of change are those of SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709), milder.

    Args:
        images: float, shape `(n, channels, height, width)`, in [0, 1].
        generator: source of the random amounts; the global one by default.
        area: smallest part of the area that is kept, above 0; the largest is all of it.
        light: largest relative change of brightness and of contrast, below 1.
        colour: largest relative change of the colours' strength, below 1.

    Returns:
        The changed images: same shape, same dtype, in [0, 1].

    Raises:
        ValueError: for anything but a tensor of floats of that shape, or an amount out of range.
    """
    _check_batch(images)
    area = check_number(area, "area", 0, 1, without=(0,))
    light = check_number(light, "light", 0, 1, without=(1,))
    colour = check_number(colour, "colour", 0, 1, without=(1,))
    n = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    side = uniform(area, 1).sqrt()
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    x, y = (uniform(-1, 1) * (1 - side) for _ in range(2))  # the part stays within the frame
    zero = torch.zeros(n)
    theta = torch.stack([torch.stack([mirror * side, zero, x], 1), torch.stack([zero, side, y], 1)], dim=1)
    changed = _resampled(images, theta)

    def factor(limit: float) -> Tensor:
        return uniform(1 - limit, 1 + limit).view(-1, 1, 1, 1).to(changed)

    if images.shape[1] == 3:
        grey = changed.mean(dim=1, keepdim=True)
        changed = grey + (changed - grey) * factor(colour)
    mean = changed.mean(dim=(1, 2, 3), keepdim=True)
    return ((changed - mean) * factor(light) + mean * factor(light)).clamp(0, 1)


AUGMENTS: dict[str, Augment] = {"affine": random_affine, "photographs": random_photograph}


def check_augment(augment: object, default: str) -> Augment | None:
    """Return what `augment` means: True the default, False nothing (None), a name, or a function as it is.

    Raises:
        ValueError: for anything else.
    """
    if callable(augment):
        return augment
    if isinstance(augment, str):
        return AUGMENTS[check_choice(augment, "augment", AUGMENTS)]
    return AUGMENTS[default] if check_flag(augment, "augment") else None


def _check_batch(images: object) -> None:
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        raise ValueError("Only a tensor of floats, shape (n, channels, height, width), can be changed.")


def _resampled(images: Tensor, theta: Tensor) -> Tensor:
    """Return images read at other places: theta, shape `(n, 2, 3)`, maps each new pixel to an old place."""
    if images.device.type == "mps":  # before PyTorch 2.13 an Apple GPU could not repeat the edge
        return _resampled(images.cpu(), theta).to(images.device)
    exact = images.float() if images.itemsize < 4 else images  # half precision would round the places
    grid = F.affine_grid(theta.to(exact), [*images.shape], align_corners=False)
    return F.grid_sample(exact, grid, padding_mode="border", align_corners=False).to(images.dtype)
