"""The training loops, in view.

Three loops, each a page long: the autoencoder (no labels), the metric embedding (few labels and an
unlabelled pool), and the supervised classifier that it is compared with. All three use the same
encoder, optimiser, learning-rate schedule and augmentation, so that a difference in accuracy
comes from the idea and not from the tuning.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metriclearn.augment import random_affine
from metriclearn.labels import UNLABELLED, LabelArray
from metriclearn.losses import contrastive_loss, supervised_contrastive_loss, triplet_loss
from metriclearn.models import Autoencoder, Encoder
from metriclearn.propagate import spread_labels, surest
from metriclearn.validate import FloatArray

Loss = Callable[[Tensor, Tensor], Tensor]
Model = TypeVar("Model", bound=nn.Module)
LOSSES: dict[str, Loss] = {
    "contrastive": contrastive_loss,
    "triplet": triplet_loss,
    "supcon": supervised_contrastive_loss,
}
# Chosen, like the learning rates, on label draws 100 to 102; every result is reported on others.
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
POOL_RATIO = 2  # pseudo-labelled images in a batch for each labelled one
FIRST_PSEUDO_LABELS, REFRESH_EVERY = 1 / 3, 1 / 12  # as shares of all steps
GATE_FROM, GATE_TO = 0.90, 0.98  # share of each class that passes, at first and at the end
# A neighbour graph takes time that grows with the square of its images: of a larger pool, each
# refresh takes a new sample.
GRAPH_IMAGES = 10_000


def train_autoencoder(
    pixels: FloatArray,
    dim: int = 32,
    *,
    distance: Literal["mse", "bce"] = "mse",
    steps: int = 600,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[int, Autoencoder], None] | None = None,
) -> tuple[Autoencoder, list[float]]:
    """Train X → N numbers → X′ so that D(X, X′) falls. No label is needed.

    Args:
        pixels: float32, shape `(n, channels, height, width)`, in [0, 1].
        dim: N, the length of the embedding.
        distance: D: `"mse"`, the mean squared error per pixel, or `"bce"`, the binary cross-entropy.
        steps: number of gradient steps.
        batch_size: images per step.
        learning_rate: the highest learning rate of the schedule.
        seed: seed of the weights and of the batches.
        device: where to train, such as `"cpu"` or `"cuda"`.
        report: called before the first and after every step with the number of steps done and the model.

    Returns:
        The trained autoencoder, and D of each step's batch.
    """
    images, random = torch.as_tensor(pixels), torch.Generator().manual_seed(seed)
    model = _seeded(lambda: Autoencoder(pixels.shape[1:], dim), seed).to(device)
    optimizer, schedule = _optimizer(model, learning_rate, steps)
    losses = []
    for step in range(steps):
        if report:
            report(step, model)
        model.train()
        x = images[torch.randint(len(images), (batch_size,), generator=random)].to(device)
        loss = reconstruction_error(x, model(x), distance)
        _step(loss, optimizer, schedule)
        losses.append(loss.item())
    if report:
        report(steps, model)
    return _finished(model), losses


def train_metric(
    pixels: FloatArray,
    labels: LabelArray,
    dim: int = 32,
    *,
    loss: str | Loss = "supcon",
    augment: bool = True,
    pseudo_labels: bool = True,
    reconstruction: float = 0.0,
    steps: int = 600,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[int, Autoencoder], None] | None = None,
) -> tuple[Autoencoder, list[float]]:
    """Train an encoder on a few labelled images and an unlabelled pool, jointly.

    Each step draws labelled images, the same number from every class, and changes each by a random
    affine map. The loss pulls positives together and pushes negatives apart. Two more ingredients
    use the pool:

    * pseudo-labels: from a third of the way on, labels are spread over the pool's neighbour
      graph, and images that pass the gate join the batch with the label they got;
    * reconstruction: the decoder must rebuild pool images, with this weight in the loss.

    Args:
        pixels: float32, shape `(n, channels, height, width)` in [0, 1], or rows `(n, d)`.
        labels: int64, shape `(n,)`, −1 = unlabelled.
        dim: N, the length of the embedding.
        loss: `"supcon"`, `"triplet"`, `"contrastive"`, or a function of embeddings and labels.
        augment: whether to change the images at random (rows are never changed).
        pseudo_labels: whether to learn from the pool through its neighbour graph.
        reconstruction: weight of D(X, X′), the mean squared error per pixel; 0 leaves the decoder out.
        steps: number of gradient steps.
        batch_size: labelled images per step; from the pool come twice as many.
        learning_rate: the highest learning rate of the schedule.
        seed: seed of the weights, batches and changes.
        device: where to train, such as `"cpu"` or `"cuda"`.
        report: called before the first and after every step with the number of steps done and the model.

    Returns:
        The trained autoencoder (its decoder is trained only with `reconstruction`), and the metric
        loss of each step.
    """
    images, random = torch.as_tensor(pixels), torch.Generator().manual_seed(seed)
    known = np.flatnonzero(labels != UNLABELLED)
    targets = torch.tensor(labels)  # a copy: pseudo-labels are written into it
    change = augment and images.ndim == 4
    metric_loss = LOSSES[loss] if isinstance(loss, str) else loss
    model = _seeded(lambda: Autoencoder(pixels.shape[1:], dim), seed).to(device)
    optimizer, schedule = _optimizer(model if reconstruction else model.encoder, learning_rate, steps)
    first, refresh = int(steps * FIRST_PSEUDO_LABELS), max(1, int(steps * REFRESH_EVERY))
    gated = torch.empty(0, dtype=torch.long)
    losses = []
    for step in range(steps):
        if report:
            report(step, model)
        if pseudo_labels and step >= first and (step - first) % refresh == 0:
            share = GATE_FROM + (GATE_TO - GATE_FROM) * (step - first) / (steps - first)
            graph = _graph_rows(labels, random)
            spread, confidence = spread_labels(embed(model.encoder, pixels[graph]), labels[graph])
            targets[graph] = torch.as_tensor(spread)
            gated = torch.as_tensor(graph[surest(spread, confidence, share)])
        model.train()
        rows = balanced_rows(labels[known], batch_size, random)
        rows = torch.as_tensor(known)[rows]
        if len(gated):
            rows = torch.cat(
                [rows, gated[torch.randint(len(gated), (POOL_RATIO * batch_size,), generator=random)]]
            )
        x = images[rows]
        x = (random_affine(x, random) if change else x).to(device)
        total = metric = metric_loss(model.encoder.embed(x), targets[rows].to(device))
        if reconstruction:
            pool = images[torch.randint(len(images), (batch_size,), generator=random)].to(device)
            total = metric + reconstruction * reconstruction_error(pool, model(pool))
        _step(total, optimizer, schedule)
        losses.append(metric.item())
    if report:
        report(steps, model)
    return _finished(model), losses


def train_classifier(
    pixels: FloatArray,
    labels: LabelArray,
    *,
    augment: bool = True,
    steps: int = 600,
    batch_size: int = 128,
    learning_rate: float = 5e-3,
    seed: int = 0,
    device: str = "cpu",
) -> nn.Module:
    """Train the strong rival: the same encoder as a classifier, by cross-entropy on the labelled images.

    Args:
        pixels: float32, shape `(n, channels, height, width)` in [0, 1]; only labelled rows are used.
        labels: int64, shape `(n,)`, classes 0 to C - 1, −1 = unlabelled.
        augment: whether to change the images at random.
        steps: number of gradient steps.
        batch_size: images per step, the same number from every class.
        learning_rate: the highest learning rate of the schedule.
        seed: seed of the weights, batches and changes.
        device: where to train, such as `"cpu"` or `"cuda"`.

    Returns:
        A network from images to one logit per class, in evaluation mode; see `predict_logits`.
    """
    known = labels != UNLABELLED
    images, targets = torch.as_tensor(pixels[known]), torch.as_tensor(labels[known])
    random = torch.Generator().manual_seed(seed)
    model = _seeded(lambda: Encoder(pixels.shape[1:], int(targets.max()) + 1), seed).to(device)
    optimizer, schedule = _optimizer(model, learning_rate, steps)
    for _ in range(steps):
        rows = balanced_rows(labels[known], batch_size, random)
        x = (random_affine(images[rows], random) if augment else images[rows]).to(device)
        loss = F.cross_entropy(model(x), targets[rows].to(device), label_smoothing=LABEL_SMOOTHING)
        _step(loss, optimizer, schedule)
    return _finished(model)


def reconstruction_error(x: Tensor, reconstruction: Tensor, distance: str = "mse") -> Tensor:
    """Return D(X, X′), a scalar: the mean over all pixels of the squared error, or of the cross-entropy.

    Args:
        x: float32, shape `(n, channels, height, width)`, in [0, 1].
        reconstruction: X′, of the same shape.
        distance: `"mse"` or `"bce"`.

    Raises:
        ValueError: for another distance.
    """
    if distance == "mse":
        return F.mse_loss(reconstruction, x)
    if distance == "bce":
        return F.binary_cross_entropy(reconstruction, x)
    raise ValueError(f'distance is {distance!r}: choose "mse" or "bce".')


def balanced_rows(labels: LabelArray, size: int, random: torch.Generator) -> Tensor:
    """Draw row numbers so that every class has the same share, as nearly as `size` allows.

    Rows of a class repeat when it has too few: each copy is augmented differently, so that even a
    single image has positives.

    Args:
        labels: int64, shape `(n,)`, all of them known.
        size: how many rows to draw.
        random: source of the draw.

    Returns:
        int64, shape `(size,)`.
    """
    classes = np.unique(labels)
    quota = -(-size // len(classes))
    drawn = []
    for label in classes:
        members = torch.as_tensor(np.flatnonzero(labels == label))
        copies = -(-quota // len(members))
        shuffled = [members[torch.randperm(len(members), generator=random)] for _ in range(copies)]
        drawn.append(torch.cat(shuffled)[:quota])
    # Row by row through the classes, so that cutting to `size` leaves no class short by more than one.
    return torch.stack(drawn, dim=1).flatten()[:size]


def _graph_rows(labels: LabelArray, random: torch.Generator) -> npt.NDArray[np.int_]:
    """Return the rows for the neighbour graph: all, or all labelled ones and a sample of the others."""
    if len(labels) <= GRAPH_IMAGES:
        return np.arange(len(labels))
    known, others = np.flatnonzero(labels != UNLABELLED), np.flatnonzero(labels == UNLABELLED)
    room = max(GRAPH_IMAGES - len(known), 0)
    sample = others[torch.randperm(len(others), generator=random)[:room].numpy()]
    return np.sort(np.concatenate([known, sample]))


def embed(encoder: Encoder, pixels: FloatArray, batch_size: int = 1000) -> FloatArray:
    """Return the unit-length embeddings of all images, float32 of shape `(n, N)`.

    Args:
        encoder: a trained encoder; left in evaluation mode.
        pixels: float32, shape `(n, channels, height, width)`.
        batch_size: images per forward pass.
    """
    return _in_batches(encoder, encoder.embed, pixels, batch_size)


def predict_logits(classifier: nn.Module, pixels: FloatArray, batch_size: int = 1000) -> FloatArray:
    """Return a classifier's logits for all images, float32 of shape `(n, classes)`.

    Args:
        classifier: a network from `train_classifier`; left in evaluation mode.
        pixels: float32, shape `(n, channels, height, width)`.
        batch_size: images per forward pass.
    """
    return _in_batches(classifier, classifier, pixels, batch_size)


def _in_batches(
    model: nn.Module, function: Callable[[Tensor], Tensor], pixels: FloatArray, batch_size: int
) -> FloatArray:
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        parts = [function(x.to(device)).cpu() for x in torch.split(torch.as_tensor(pixels), batch_size)]
    return torch.cat(parts).numpy()


def _seeded(build: Callable[[], Model], seed: int) -> Model:
    """Build a model with weights from this seed, and leave the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Channels last in memory: convolutions on a CPU then need no reordering, a sixth less time.
        return build().to(memory_format=torch.channels_last)


def _finished(model: Model) -> Model:
    """Return the model ready to use, its weights in the usual order in memory (as files want them)."""
    return model.eval().to(memory_format=torch.contiguous_format)


def _optimizer(
    model: nn.Module, learning_rate: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return AdamW with a rate that rises for a third of the steps and then falls to nearly zero."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=max(steps, 2))
    return optimizer, schedule


def _step(
    loss: Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler
) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    schedule.step()
