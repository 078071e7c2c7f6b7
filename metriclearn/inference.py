"""A trained network at work: embeddings and logits of any number of images, in bounded memory."""

import ctypes
import math
from collections.abc import Callable
from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from metriclearn.settings import check_count
from metriclearn.validate import FloatArray, ImageArray, check_inputs

# What a forward pass keeps grows with the images' area: so many pixels at a time (49 images of 224 x 224)
# fill some 250 MB. Small images come by the thousand.
PIXELS_AT_ONCE, IMAGES_AT_ONCE = 2_500_000, 1000
SECONDS_IN_SILENCE = 5  # what takes longer shows a bar, in a terminal
# glibc's numbers for mallopt, see https://man7.org/linux/man-pages/man3/mallopt.3.html
M_TRIM_THRESHOLD, M_MMAP_MAX, NEVER = -1, -4, 2**31 - 1


def embed(encoder: nn.Module, pixels: ImageArray, batch_size: int | None = None) -> FloatArray:
    """Return the unit-length embeddings of all images, float32 of shape `(n, N)`.

    Args:
        encoder: a trained encoder, or anything with a method `embed`; left in evaluation mode.
        pixels: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`, or rows `(n, d)`.
        batch_size: images per forward pass; by default as many as fill some 250 MB, at most 1,000.

    Raises:
        ValueError: for images that do not fit.
    """
    method: Callable[[Tensor], Tensor] = encoder.embed  # type: ignore[assignment]
    return in_batches(method, check_inputs(pixels), None, batch_size)


def predict_logits(classifier: nn.Module, pixels: ImageArray, batch_size: int | None = None) -> FloatArray:
    """Return a classifier's logits for all images, float32 of shape `(n, classes)`.

    Args:
        classifier: a network from `train_classifier`; left in evaluation mode.
        pixels: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`, or rows `(n, d)`.
        batch_size: images per forward pass; by default as many as fill some 250 MB, at most 1,000.

    Raises:
        ValueError: for images that do not fit.
    """
    return in_batches(classifier.forward, check_inputs(pixels), None, batch_size)


def in_batches(
    function: Callable[[Tensor], Tensor],
    inputs: ImageArray | npt.NDArray[np.float16],
    rows: npt.NDArray[np.int_] | None = None,
    batch_size: int | None = None,
    *,
    what: str = "embedding",
) -> FloatArray:
    """Return what a method of a module, in evaluation mode, gives for all rows of the inputs, or for some.

    What takes longer than some seconds shows a bar with the seconds left, in a terminal.
    """
    keep_freed_memory()
    model: nn.Module = function.__self__  # type: ignore[attr-defined]
    device = next(chain(model.parameters(), model.buffers())).device
    if batch_size is None:
        # A backbone looks at more pixels than the images have if these are smaller than what it wants.
        area = max(math.prod(inputs.shape[2:]), getattr(model, "pixels_seen", 0))
        batch_size = max(1, min(IMAGES_AT_ONCE, PIXELS_AT_ONCE // area))
    chosen = torch.arange(len(inputs)) if rows is None else torch.as_tensor(rows)
    model.eval()
    bar = tqdm(total=len(chosen), desc=what, unit=" images", delay=SECONDS_IN_SILENCE, disable=None)
    parts = []
    with torch.inference_mode(), bar:
        for batch in torch.split(chosen, check_count(batch_size, "batch_size")):
            parts.append(function(take(inputs, batch).to(device)).float().cpu())
            bar.update(len(batch))
    return torch.cat(parts).numpy()


@cache
def keep_freed_memory() -> None:
    """Tell the C library, where it is glibc, to keep freed memory for the next step.

    By default it gives each large block back to the system at once and asks for it again in the next layer:
    a backbone's forward pass then takes twice as long, a training step a fifth longer. The price: a run of
    many stages may hold half as much memory again, which returns to the system when the process ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, which has no such setting
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, NEVER)


def take(inputs: ImageArray | npt.NDArray[np.float16], rows: Tensor) -> Tensor:
    """Return some rows as a float32 tensor, copied: so the whole may be a file that is only read.

    What lies in bytes, from 0 to 255, is brought to [0, 1] here, batch by batch.
    """
    batch = torch.from_numpy(inputs[rows.numpy()])
    return batch.float() / 255 if batch.dtype == torch.uint8 else batch.float()
