"""A trained network at work: embeddings and logits of any number of images, in bounded memory."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from metriclearn.models import Encoder
from metriclearn.settings import check_count
from metriclearn.validate import FloatArray, check_inputs

# What a forward pass keeps grows with the images' area: so many pixels at a time (49 images of 224 x 224)
# fill some 250 MB. Small images come by the thousand.
PIXELS_AT_ONCE, IMAGES_AT_ONCE = 2_500_000, 1000


def embed(encoder: Encoder, pixels: FloatArray, batch_size: int | None = None) -> FloatArray:
    """Return the unit-length embeddings of all images, float32 of shape `(n, N)`.

    Args:
        encoder: a trained encoder; left in evaluation mode.
        pixels: float32, shape `(n, channels, height, width)`, or rows `(n, d)`.
        batch_size: images per forward pass; by default as many as fill some 250 MB, at most 1,000.

    Raises:
        ValueError: for images that do not fit.
    """
    return in_batches(encoder.embed, check_inputs(pixels), None, batch_size)


def predict_logits(classifier: nn.Module, pixels: FloatArray, batch_size: int | None = None) -> FloatArray:
    """Return a classifier's logits for all images, float32 of shape `(n, classes)`.

    Args:
        classifier: a network from `train_classifier`; left in evaluation mode.
        pixels: float32, shape `(n, channels, height, width)`, or rows `(n, d)`.
        batch_size: images per forward pass; by default as many as fill some 250 MB, at most 1,000.

    Raises:
        ValueError: for images that do not fit.
    """
    return in_batches(classifier.forward, check_inputs(pixels), None, batch_size)


def in_batches(
    function: Callable[[Tensor], Tensor],
    inputs: FloatArray,
    rows: npt.NDArray[np.int_] | None = None,
    batch_size: int | None = None,
) -> FloatArray:
    """Return what a method of a module, in evaluation mode, gives for all rows of the inputs, or for some."""
    model: nn.Module = function.__self__  # type: ignore[attr-defined]
    device = next(model.parameters()).device
    if batch_size is None:
        batch_size = max(1, min(IMAGES_AT_ONCE, PIXELS_AT_ONCE // math.prod(inputs.shape[2:])))
    chosen = torch.arange(len(inputs)) if rows is None else torch.as_tensor(rows)
    model.eval()
    with torch.inference_mode():
        batches = torch.split(chosen, check_count(batch_size, "batch_size"))
        parts = [function(take(inputs, batch).to(device)).cpu() for batch in batches]
    return torch.cat(parts).numpy()


def take(inputs: FloatArray, rows: Tensor) -> Tensor:
    """Return some rows as a tensor, copied: so the whole may be a file that is only read."""
    return torch.from_numpy(inputs[rows.numpy()])
