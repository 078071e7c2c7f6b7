"""Class-balanced batches for training, and batched inference in bounded memory."""

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from metriclearn.augment import Augment
from metriclearn.checks.arrays import FloatArray, ImageArray
from metriclearn.checks.labels import LabelArray, is_labelled
from metriclearn.default_settings import default_settings

Rows = npt.NDArray[np.int_]
Inputs = ImageArray | npt.NDArray[np.float16]  # images, rows of numbers, or maps of a backbone's trunk
FEWEST_AT_ONCE, MOST_AT_ONCE = 128, 256  # labelled images in a batch
# What a forward pass keeps grows with the images' area: so many pixels at a time (49 images of 224 x 224)
# fill some 250 MB. Small images come by the thousand.
PIXELS_AT_ONCE, IMAGES_AT_ONCE = 2_500_000, 1000
SECONDS_IN_SILENCE = 5  # what takes longer shows a bar, in a terminal
# glibc's numbers for mallopt, see https://man7.org/linux/man-pages/man3/mallopt.3.html
M_TRIM_THRESHOLD, M_MMAP_MAX, NEVER = -1, -4, 2**31 - 1


@dataclass
class ImagePool:
    """What `metric_steps` learns from: inputs, their labels, and the network that they pass through.

    Args:
        network: a method of a module, from a batch to embeddings or logits.
        inputs: images, shape `(m, channels, height, width)`, or rows `(m, d)`, which are never changed.
        rows: which of them take part, int64 of shape `(n,)`; each is known by its place in this list.
        labels: int64, shape `(n,)`, -1 = unlabelled.
        change: how to change images at random; None for not at all.
        random: source of the changes.
        device: where the network is.
    """

    network: Callable[[Tensor], Tensor]
    inputs: Inputs
    rows: Tensor
    labels: LabelArray
    change: Augment | None
    random: torch.Generator
    device: torch.device

    def changed(self, rows: Tensor) -> Tensor:
        """Return images, each changed at random, on the device."""
        x = batch_of(self.inputs, self.rows[rows]).to(self.device)
        return self.change(x, self.random) if self.change and x.ndim == 4 else x

    def embed_changed(self, rows: Tensor) -> Tensor:
        """Return what the network gives for images, each changed at random; with gradients."""
        return self.network(self.changed(rows))

    def embed(self, rows: Rows) -> FloatArray:
        """Return what the network gives for images as they are."""
        return in_batches(self.network, self.inputs, self.rows[torch.from_numpy(rows)])


def default_batch_size(labels: LabelArray) -> int:
    """Return how many labelled images a step should see: two of each class, at least 128 and at most 256.

    With hundreds of classes a batch of 128 leaves most of them out. `benchmarks/studies/tried.py` measures
    what the wider one is worth.
    """
    classes = np.unique(labels[is_labelled(labels)])
    return min(max(2 * len(classes), FEWEST_AT_ONCE), MOST_AT_ONCE)


def balanced_rows(labels: LabelArray, size: int, random: torch.Generator) -> Tensor:
    """Draw a class-balanced batch: every class has the same share, as nearly as `size` allows.

    Where there are too many classes for two rows of each, some of them are drawn at random: a class with a
    single row in the batch would have no positive. Rows of a class repeat when it has too few: each copy is
    augmented differently, so that even a single image has positives.

    Args:
        labels: int64, shape `(n,)`; unlabelled rows are never drawn.
        size: how many rows to draw.
        random: source of the draw.

    Returns:
        Row numbers, int64 of shape `(size,)`.
    """
    classes = np.unique(labels[is_labelled(labels)])
    if 2 * len(classes) > size:
        classes = classes[torch.randperm(len(classes), generator=random)[: max(1, size // 2)].numpy()]
    quota = -(-size // len(classes))
    drawn = []
    for label in classes:
        members = torch.as_tensor(np.flatnonzero(labels == label))
        copies = -(-quota // len(members))
        shuffled = [members[torch.randperm(len(members), generator=random)] for _ in range(copies)]
        drawn.append(torch.cat(shuffled)[:quota])
    # Row by row through the classes, so that cutting to `size` leaves no class short by more than one.
    return torch.stack(drawn, dim=1).flatten()[:size]


@default_settings()
def in_batches(
    function: Callable[[Tensor], Tensor],
    inputs: Inputs,
    rows: Tensor | Rows | None = None,
    *,
    what: str = "embedding",
) -> FloatArray:
    """Return what a method of a module, in evaluation mode, gives for all rows of the inputs, or for some.

    What takes longer than some seconds shows a bar with the seconds left, in a terminal.
    """
    keep_freed_memory()
    model: nn.Module = function.__self__  # type: ignore[attr-defined]
    device = next(chain(model.parameters(), model.buffers())).device
    # A backbone looks at more pixels than the images have if these are smaller than what it wants.
    area = max(math.prod(inputs.shape[2:]), getattr(model, "pixels_seen", 0))
    batch_size = max(1, min(IMAGES_AT_ONCE, PIXELS_AT_ONCE // area))
    chosen = torch.arange(len(inputs)) if rows is None else torch.as_tensor(rows)
    model.eval()
    bar = tqdm(total=len(chosen), desc=what, unit=" images", delay=SECONDS_IN_SILENCE, disable=None)
    parts = []
    with torch.inference_mode(), bar:
        for batch in torch.split(chosen, batch_size):
            parts.append(function(batch_of(inputs, batch).to(device)).float().cpu())
            bar.update(len(batch))
    return torch.cat(parts).numpy()


@cache
def keep_freed_memory() -> None:
    """Keep freed memory for the next step, where the C library is glibc.

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


def batch_of(inputs: Inputs, rows: Tensor) -> Tensor:
    """Return copies of some rows, maybe of a memory-mapped file, as float32; bytes are scaled to [0, 1]."""
    batch = torch.from_numpy(inputs[rows.numpy()])
    return batch.float() / 255 if batch.dtype == torch.uint8 else batch.float()
