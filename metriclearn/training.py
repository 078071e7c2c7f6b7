"""The training loops, in view.

Three loops, each a page long: the autoencoder (no labels), the metric embedding (few labels and an
unlabelled pool), and the supervised classifier that it is compared with. All three use the same
encoder, optimiser, learning-rate schedule and augmentation, so that a difference in accuracy
comes from the idea and not from the tuning.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metriclearn.augment import Augment, check_augment
from metriclearn.inference import embed as embed
from metriclearn.inference import in_batches, keep_freed_memory, take
from metriclearn.inference import predict_logits as predict_logits
from metriclearn.labels import UNLABELLED, LabelArray, check_class_labels, is_labelled
from metriclearn.losses import LOSSES as LOSSES
from metriclearn.losses import Loss, check_loss, check_value
from metriclearn.models import Autoencoder, Encoder
from metriclearn.propagate import spread_labels, surest
from metriclearn.settings import check_choice, check_count, check_device, check_flag, check_number, check_seed
from metriclearn.validate import FloatArray, ImageArray, check_inputs

Model = TypeVar("Model", bound=nn.Module)
DISTANCES = ("mse", "bce")
MOST_LOGITS = 10_000
# Chosen, like the learning rates, on label draws 100 to 102; every result is reported on others.
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
FEWEST_AT_ONCE, MOST_AT_ONCE = 128, 256  # labelled images in a batch
POOL_RATIO = 2  # pseudo-labelled images in a batch for each labelled one
# The pool takes part from a third of the steps on, or once so many labelled images were shown: more of them
# alone, and an encoder with one label per class learns these few by heart.
FIRST_PSEUDO_LABELS, SHOWN_ALONE = 1 / 3, 25_600
REFRESH_EVERY = 1 / 12  # as a share of all steps
GATE_FROM, GATE_TO = 0.90, 0.98  # share of each class that passes, at first and at the end
# A neighbour graph takes time that grows with the square of its images: of a larger pool, each
# refresh takes a new sample.
GRAPH_IMAGES = 10_000


def train_autoencoder(
    pixels: ImageArray,
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
        pixels: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`.
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

    Raises:
        ValueError: for images or settings that do not fit.
    """
    pixels, dim = check_inputs(pixels), check_count(dim, "dim")
    distance = "mse" if check_choice(distance, "distance", DISTANCES) == "mse" else "bce"
    steps, batch_size, learning_rate, seed, where = check_run(steps, batch_size, learning_rate, seed, device)
    random = torch.Generator().manual_seed(seed)
    model = seeded(lambda: Autoencoder(pixels.shape[1:], dim), seed).to(where)
    optimizer, schedule = _optimizer([(model.parameters(), learning_rate)], steps)
    losses = []
    for step in range(steps):
        if report:
            report(step, model)
        model.train()
        x = take(pixels, torch.randint(len(pixels), (batch_size,), generator=random)).to(where)
        loss = reconstruction_error(x, model(x), distance)
        _step(loss, optimizer, schedule)
        losses.append(loss.item())
    if report:
        report(steps, model)
    return _finished(model), losses


def train_metric(
    pixels: ImageArray,
    labels: LabelArray,
    dim: int = 32,
    *,
    loss: str | Loss = "supcon",
    augment: bool | str | Augment = True,
    pseudo_labels: bool = True,
    reconstruction: float = 0.0,
    steps: int = 600,
    batch_size: int | None = None,
    learning_rate: float = 3e-3,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[int, Autoencoder], None] | None = None,
) -> tuple[Autoencoder, list[float]]:
    """Train an encoder on a few labelled images and an unlabelled pool, jointly.

    The loop is `metric_steps`, below. Beside its loss the decoder may have to rebuild images of the pool:
    reconstruction, with this weight.

    Args:
        pixels: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`, or rows `(n, d)`.
        labels: int, shape `(n,)`, −1 = unlabelled.
        dim: N, the length of the embedding.
        loss: `"supcon"`, `"triplet"`, `"contrastive"`, or a function of embeddings and labels. A module
            with weights of its own, such as ArcFace, is copied, and the copy learns along; it gets the
            classes numbered from 0, in rising order.
        augment: how to change the images at random: True or `"affine"`, `"photographs"`, a function of a
            batch and a generator, or False for not at all (rows are never changed).
        pseudo_labels: whether to learn from the pool through its neighbour graph.
        reconstruction: weight of D(X, X′), the mean squared error per pixel; 0 leaves the decoder out.
        steps: number of gradient steps.
        batch_size: labelled images per step, by default as `batch_for` says; from the pool twice as many.
        learning_rate: the highest learning rate of the schedule.
        seed: seed of the weights, batches and changes.
        device: where to train, such as `"cpu"`, `"cuda"` or `"auto"`.
        report: called before the first and after every step with the number of steps done and the model.

    Returns:
        The trained autoencoder (its decoder is trained only with `reconstruction`), and the metric
        loss of each step.

    Raises:
        ValueError: for images, labels or settings that do not fit, or a loss that gives no finite number.
    """
    pixels = check_inputs(pixels)
    labels = check_class_labels(labels, len(pixels))
    dim, change = check_count(dim, "dim"), check_augment(augment, "affine")
    reconstruction = check_number(reconstruction, "reconstruction", "0 or a number above", 0)
    batch_size = batch_for(labels) if batch_size is None else batch_size
    steps, batch_size, learning_rate, seed, where = check_run(steps, batch_size, learning_rate, seed, device)
    random = torch.Generator().manual_seed(seed)
    model = seeded(lambda: Autoencoder(pixels.shape[1:], dim), seed).to(where)

    def batch(rows: Tensor) -> Tensor:
        x = take(pixels, rows).to(where)
        return change(x, random) if change and x.ndim == 4 else x

    def rebuilt() -> Tensor:
        pool = take(pixels, torch.randint(len(pixels), (batch_size,), generator=random)).to(where)
        return reconstruction * reconstruction_error(pool, model(pool))

    losses = metric_steps(
        model,
        labels,
        lambda rows: model.encoder.embed(batch(rows)),
        lambda rows: in_batches(model.encoder.embed, pixels, rows),
        [((model if reconstruction else model.encoder).parameters(), learning_rate)],
        loss=loss,
        pseudo_labels=pseudo_labels,
        steps=steps,
        batch_size=batch_size,
        random=random,
        beside=rebuilt if reconstruction else None,
        report=report,
    )
    return _finished(model), losses


def metric_steps(
    model: Model,
    labels: LabelArray,
    embed_batch: Callable[[Tensor], Tensor],
    embed_pool: Callable[[npt.NDArray[np.int_]], FloatArray],
    groups: list[tuple[Iterable[nn.Parameter], float]],
    *,
    loss: str | Loss,
    pseudo_labels: bool,
    steps: int,
    batch_size: int,
    random: torch.Generator,
    beside: Callable[[], Tensor] | None = None,
    report: Callable[[int, Model], None] | None = None,
) -> list[float]:
    """Take the steps of metric learning, whatever the encoder: the one loop of all of them.

    Each step draws labelled images, the same number from every class, and changes each at random. The
    loss pulls positives together and pushes negatives apart. From a third of the way on, and after 25,600
    labelled images in any case, the pool takes part: labels are spread over its neighbour graph, and images
    that pass the gate join the batch with the label they got.

    Args:
        model: what is trained; in training mode at each step.
        labels: int64, shape `(n,)`, -1 = unlabelled.
        embed_batch: from row numbers to the embeddings of these images, changed at random; with gradients.
        embed_pool: from row numbers to the embeddings of these images as they are.
        groups: weights to train, each with the highest learning rate of its schedule.
        loss: see `train_metric`; weights of its own learn at the rate of the first group.
        pseudo_labels: whether to learn from the pool.
        steps: number of gradient steps.
        batch_size: labelled images per step.
        random: source of the batches.
        beside: gives what is added to the loss at each step.
        report: called before the first and after every step with the number of steps done and the model.

    Returns:
        The metric loss of each step.

    Raises:
        ValueError: for a loss that does not fit or gives no finite number, or pseudo_labels that is no bool.
    """
    pseudo_labels = check_flag(pseudo_labels, "pseudo_labels")
    where = next(model.parameters()).device
    known = np.flatnonzero(is_labelled(labels))
    metric_loss, own_weights = check_loss(loss, np.unique(labels[known]), where)
    targets = torch.tensor(labels)  # a copy: pseudo-labels are written into it
    (first_weights, rate), *others = groups
    optimizer, schedule = _optimizer([([*first_weights, *own_weights], rate), *others], steps)
    first = int(min(steps * FIRST_PSEUDO_LABELS, SHOWN_ALONE / batch_size))
    refresh = max(1, int(steps * REFRESH_EVERY))
    gated = torch.empty(0, dtype=torch.long)
    losses = []
    for step in range(steps):
        if report:
            report(step, model)
        if pseudo_labels and step >= first and (step - first) % refresh == 0:
            share = GATE_FROM + (GATE_TO - GATE_FROM) * (step - first) / (steps - first)
            graph = _graph_rows(labels, random)
            spread, confidence = spread_labels(embed_pool(graph), labels[graph])
            targets[graph] = torch.as_tensor(spread)
            gated = torch.as_tensor(graph[surest(spread, confidence, share)])
        model.train()
        rows = balanced_rows(labels[known], batch_size, random)
        rows = torch.as_tensor(known)[rows]
        if len(gated):
            rows = torch.cat(
                [rows, gated[torch.randint(len(gated), (POOL_RATIO * batch_size,), generator=random)]]
            )
        total = metric = metric_loss(embed_batch(rows), targets[rows].to(where))
        losses.append(check_value(metric, step))
        if beside:
            total = metric + beside()
        _step(total, optimizer, schedule)
    if report:
        report(steps, model)
    return losses


def train_classifier(
    pixels: ImageArray,
    labels: LabelArray,
    *,
    augment: bool | str | Augment = True,
    steps: int = 600,
    batch_size: int | None = None,
    learning_rate: float = 5e-3,
    seed: int = 0,
    device: str = "cpu",
) -> nn.Module:
    """Train the strong rival: the same encoder as a classifier, by cross-entropy on the labelled images.

    Args:
        pixels: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`; only labelled rows are used.
        labels: int, shape `(n,)`, classes 0 to C - 1, −1 = unlabelled.
        augment: how to change the images at random; see `train_metric`.
        steps: number of gradient steps.
        batch_size: images per step, the same number from every class; by default as `batch_for` says.
        learning_rate: the highest learning rate of the schedule.
        seed: seed of the weights, batches and changes.
        device: where to train, such as `"cpu"` or `"cuda"`.

    Returns:
        A network from images to one logit per class, in evaluation mode; see `predict_logits`.

    Raises:
        ValueError: for images, labels or settings that do not fit.
    """
    pixels = check_inputs(pixels)
    labels = check_class_labels(labels, len(pixels))
    change = check_augment(augment, "affine") if pixels.ndim == 4 else None
    batch_size = batch_for(labels) if batch_size is None else batch_size
    steps, batch_size, learning_rate, seed, where = check_run(steps, batch_size, learning_rate, seed, device)
    known = is_labelled(labels)
    images, targets = pixels[known], torch.as_tensor(labels[known])
    if (classes := int(targets.max()) + 1) > max(len(labels), MOST_LOGITS):
        raise ValueError(
            f"The largest class number is {classes - 1}, and each number up to it gets a logit: number the "
            "classes from 0, as np.unique(labels, return_inverse=True)[1] does."
        )
    random = torch.Generator().manual_seed(seed)
    model = seeded(lambda: Encoder(pixels.shape[1:], classes), seed).to(where)
    optimizer, schedule = _optimizer([(model.parameters(), learning_rate)], steps)
    for _ in range(steps):
        rows = balanced_rows(labels[known], batch_size, random)
        x = take(images, rows).to(where)
        x = change(x, random) if change else x
        loss = F.cross_entropy(model(x), targets[rows].to(where), label_smoothing=LABEL_SMOOTHING)
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
    if check_choice(distance, "distance", DISTANCES) == "mse":
        return F.mse_loss(reconstruction, x)
    return F.binary_cross_entropy(reconstruction, x)


def batch_for(labels: LabelArray) -> int:
    """Return how many labelled images a step should see: two of each class, at least 128 and at most 256.

    With hundreds of classes a batch of 128 leaves most of them out. `benchmarks/tried.py` measures what the
    wider one is worth.

    Args:
        labels: int64, shape `(n,)`, -1 = unlabelled.
    """
    classes = np.unique(labels[is_labelled(labels)])
    return min(max(2 * len(classes), FEWEST_AT_ONCE), MOST_AT_ONCE)


def balanced_rows(labels: LabelArray, size: int, random: torch.Generator) -> Tensor:
    """Draw row numbers so that every class has the same share, as nearly as `size` allows.

    Where there are too many classes for two rows of each, some of them are drawn at random: a class with a
    single row in the batch would have no positive. Rows of a class repeat when it has too few: each copy is
    augmented differently, so that even a single image has positives.

    Args:
        labels: int64, shape `(n,)`; unlabelled rows are never drawn.
        size: how many rows to draw.
        random: source of the draw.

    Returns:
        int64, shape `(size,)`.
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


def _graph_rows(labels: LabelArray, random: torch.Generator) -> npt.NDArray[np.int_]:
    """Return the rows for the neighbour graph: all, or all labelled ones and a sample of the others."""
    if len(labels) <= GRAPH_IMAGES:
        return np.arange(len(labels))
    known, others = np.flatnonzero(labels != UNLABELLED), np.flatnonzero(labels == UNLABELLED)
    room = max(GRAPH_IMAGES - len(known), 0)
    sample = others[torch.randperm(len(others), generator=random)[:room].numpy()]
    return np.sort(np.concatenate([known, sample]))


def check_run(
    steps: Any, batch_size: Any, learning_rate: Any, seed: Any, device: Any
) -> tuple[int, int, float, int, torch.device]:
    """Return what every loop is told, in the project's own form."""
    return (
        check_count(steps, "steps"),
        check_count(batch_size, "batch_size"),
        check_number(learning_rate, "learning_rate", "a number above 0", 0, without=(0,)),
        check_seed(seed),
        check_device(device),
    )


def seeded(build: Callable[[], Model], seed: int) -> Model:
    """Build a model with weights from this seed, and leave the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Channels last in memory: convolutions on a CPU then need no reordering, a sixth less time.
        return build().to(memory_format=torch.channels_last)


def _finished(model: Model) -> Model:
    """Return the model ready to use, its weights in the usual order in memory (as files want them)."""
    return model.eval().to(memory_format=torch.contiguous_format)


def _optimizer(
    groups: list[tuple[Iterable[nn.Parameter], float]], steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return AdamW, whose rates rise for a third of the steps and then fall to nearly zero."""
    keep_freed_memory()  # every loop begins here
    rates = [rate for _, rate in groups]
    parts = [{"params": [*weights], "lr": rate} for weights, rate in groups]
    optimizer = torch.optim.AdamW(parts, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=max(steps, 2))
    return optimizer, schedule


def _step(
    loss: Tensor, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler
) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    schedule.step()
