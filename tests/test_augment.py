"""Random affine maps: what they leave alone, and that they do what the amounts say."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.ndimage
import torch

from metriclearn.augment import random_affine

STILL = {"degrees": 0.0, "translate": 0.0, "scale": 0.0, "shear": 0.0}
only = partial(dict, STILL)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n=4, channels=1, height=40, width=40, seed=0):
    """Smooth random images, dark at the edges: resampling them twice loses little."""
    noise = np.random.default_rng(seed).random((n, channels, height, width))
    smooth = scipy.ndimage.gaussian_filter(noise, (0, 0, 2.5, 2.5))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    window = np.outer(np.hanning(height), np.hanning(width))
    return torch.as_tensor((smooth * window).astype(np.float32))


def amounts(n, limit, call, seed=0):
    """Return the amounts that the function draws in its `call`-th draw."""
    random = seeded(seed)
    draws = [torch.rand(n, generator=random) * 2 - 1 for _ in range(call + 1)]
    return (draws[call] * limit).numpy()


def by_scipy(image, matrix):
    """Read each new pixel from `matrix` times its place, both measured from the middle, as (y, x)."""
    middle = (np.array(image.shape) - 1) / 2
    offset = middle - matrix @ middle
    return scipy.ndimage.affine_transform(image, matrix, offset, order=1, mode="nearest")


SHAPES = [(3, 1, 28, 28), (2, 3, 32, 32), (2, 1, 20, 44), (2, 1, 45, 21), (1, 2, 105, 105)]


@pytest.mark.parametrize("shape", SHAPES)
def test_without_limits_nothing_changes(shape):
    images = torch.rand(shape, generator=seeded())
    torch.testing.assert_close(random_affine(images, seeded(), **STILL), images, atol=2e-5, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_type_and_range_stay(shape, dtype):
    images = torch.rand(shape, generator=seeded(), dtype=dtype)
    changed = random_affine(images, seeded())
    assert changed.shape == images.shape
    assert changed.dtype == dtype
    assert changed.min() >= -1e-6
    assert changed.max() <= 1 + 1e-6
    assert not torch.allclose(changed, images, atol=0.01)


def test_every_image_is_changed_by_its_own_amounts():
    changed = random_affine(blobs(n=1).repeat(8, 1, 1, 1), seeded())
    apart = (changed[:, None] - changed[None]).abs().amax(dim=(2, 3, 4))
    assert (apart + torch.eye(8) > 0.05).all()


def test_a_generator_decides_everything():
    images = blobs()
    assert torch.equal(random_affine(images, seeded(1)), random_affine(images, seeded(1)))
    assert not torch.equal(random_affine(images, seeded(1)), random_affine(images, seeded(2)))


def test_the_global_state_is_used_only_without_a_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    random_affine(blobs(), seeded())
    assert torch.equal(torch.get_rng_state(), before)
    first = random_affine(blobs())
    torch.manual_seed(5)
    assert torch.equal(random_affine(blobs()), first)


@pytest.mark.parametrize(("height", "width"), [(40, 40), (30, 60), (60, 30)])
def test_a_turn_equals_scipy(height, width):
    images = blobs(height=height, width=width)
    turned = random_affine(images, seeded(), **only(degrees=30))
    for image, ours, angle in zip(images, turned, amounts(4, math.radians(30), call=0), strict=True):
        # A turn in pixels, whatever the sides: an image that is not square must not be sheared.
        matrix = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        np.testing.assert_allclose(ours[0], by_scipy(image[0].numpy(), matrix), atol=2e-3)
    assert (turned - images).abs().amax(dim=(1, 2, 3)).max() > 0.1


@pytest.mark.parametrize(("height", "width"), [(40, 40), (30, 60)])
def test_a_shift_equals_scipy(height, width):
    images = blobs(height=height, width=width)
    moved = random_affine(images, seeded(), **only(translate=0.1))
    shares = [amounts(4, 0.1, call=3), amounts(4, 0.1, call=4)]  # of the width, of the height
    for image, ours, x, y in zip(images, moved, *shares, strict=True):
        theirs = scipy.ndimage.shift(image[0], (-y * height, -x * width), order=1, mode="nearest")
        np.testing.assert_allclose(ours[0], theirs, atol=2e-3)


def test_a_change_of_size_equals_scipy():
    images = blobs()
    scaled = random_affine(images, seeded(), **only(scale=0.3))
    for image, ours, change in zip(images, scaled, amounts(4, 0.3, call=2), strict=True):
        np.testing.assert_allclose(ours[0], by_scipy(image[0].numpy(), np.eye(2) / (1 + change)), atol=2e-3)


@pytest.mark.parametrize(("height", "width"), [(40, 40), (30, 60)])
def test_a_shear_moves_rows_sideways_only(height, width):
    images = blobs(height=height, width=width)
    sheared = random_affine(images, seeded(), **only(shear=20))
    for image, ours, angle in zip(images, sheared, amounts(4, math.radians(20), call=1), strict=True):
        matrix = np.array([[1.0, 0.0], [math.tan(angle), 1.0]])
        np.testing.assert_allclose(ours[0], by_scipy(image[0].numpy(), matrix), atol=2e-3)


@pytest.mark.parametrize("limit", [0.05, 0.2])
def test_limits_are_kept(limit):
    """A dot in the middle ends where the shift sends it: never farther than the limit."""
    images = torch.zeros(200, 1, 41, 41)
    images[:, :, 20, 20] = 1
    moved = random_affine(images, seeded(), **only(translate=limit))
    place = torch.arange(41.0) - 20
    columns, rows = moved.sum(dim=(1, 2)), moved.sum(dim=(1, 3))
    for profile in (columns, rows):
        shift = (profile @ place / profile.sum(dim=1)) / 41
        assert shift.abs().max() <= limit + 1e-3
        assert shift.abs().max() > 0.9 * limit
        assert abs(float(shift.mean())) < 0.2 * limit


@pytest.mark.parametrize("background", [0.0, 0.5, 1.0])
def test_the_background_stays_at_the_edges(background):
    images = torch.full((8, 1, 28, 28), background)
    images[:, :, 10:18, 10:18] = 1 - background
    changed = random_affine(images, seeded())
    for edge in (changed[..., 0, :], changed[..., -1, :], changed[..., 0], changed[..., -1]):
        torch.testing.assert_close(edge, torch.full_like(edge, background))
