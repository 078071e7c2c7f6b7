"""Training loops: autoencoder, metric learning, supervised classifier; and inference with what they train.

Three loops, each a page long: the autoencoder (no labels), the metric embedding (few labels and an
unlabelled pool), and the supervised classifier that it is compared with. All three use the same
encoder, optimiser, learning-rate schedule and augmentation, so that a difference in accuracy
comes from the idea and not from the tuning.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metriclearn.augment import Augment, check_augment
from metriclearn.batches import (
    ImagePool,
    Rows,
    balanced_rows,
    batch_of,
    default_batch_size,
    in_batches,
    keep_freed_memory,
)
from metriclearn.checks.arguments import (
    check_choice,
    check_count,
    check_device,
    check_flag,
    check_number,
    check_seed,
)
from metriclearn.checks.arrays import FloatArray, ImageArray, check_inputs
from metriclearn.checks.labels import LabelArray, check_class_labels, is_labelled
from metriclearn.default_settings import default_settings
from metriclearn.label_propagation import confident_rows, diffuse_labels
from metriclearn.losses import Loss, check_value, loss_function, warn_without_pairs
from metriclearn.models import Autoencoder, Encoder

Model = TypeVar("Model", bound=nn.Module)
Groups = Sequence[tuple[Iterable[nn.Parameter], float]]  # weights, each with its highest learning rate
# D of X′ and X.
DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy,
}
MOST_LOGITS = 10_000
DEFAULT_STEPS = 600
# Chosen, like the learning rates, on label draws 100 to 102; every result is reported on others.
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
POOL_RATIO = 2  # pseudo-labelled images in a batch for each labelled one
# The pool takes part from a third of the steps on, or once so many labelled images were shown: more of them
# alone, and an encoder with one label per class learns these few by heart.
FIRST_PSEUDO_LABELS, SHOWN_ALONE = 1 / 3, 25_600
REFRESH_EVERY = 1 / 12  # as a share of all steps
GATE_FROM, GATE_TO = 0.90, 0.98  # share of each class that passes, at first and at the end
# A neighbour graph takes time that grows with the square of its images: of a larger pool, each
# refresh takes a new sample.
GRAPH_IMAGES = 10_000


@default_settings()
def train_autoencoder(
    pixels: ImageArray,
    dim: int = 32,
    *,
    distance: Literal["mse", "bce"] = "mse",
    steps: int = DEFAULT_STEPS,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[int, Autoencoder], None] | None = None,
) -> tuple[Autoencoder, list[float]]:
    """Train an autoencoder, X → N numbers → X′, so that D(X, X′) falls. No label is needed.

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
    error = DISTANCES[check_choice(distance, "distance", DISTANCES)]
    run = check_run(steps, batch_size, learning_rate, seed, device)
    random = run.generator()
    model = seeded(lambda: Autoencoder(pixels.shape[1:], dim), run.seed).to(run.device)
    descend = _optimizer([(model.parameters(), run.learning_rate)], run.steps)
    losses = []
    for step in range(run.steps):
        if report:
            report(step, model)
        model.train()
        x = batch_of(pixels, torch.randint(len(pixels), (run.batch_size,), generator=random)).to(run.device)
        loss = error(model(x), x)
        descend(loss)
        losses.append(loss.item())
    if report:
        report(run.steps, model)
    return _finished(model), losses


@default_settings()
def train_metric(
    pixels: ImageArray,
    labels: LabelArray,
    dim: int = 32,
    *,
    loss: str | Loss = "supcon",
    augment: bool | str | Augment = True,
    pseudo_labels: bool = True,
    reconstruction: float = 0.0,
    steps: int = DEFAULT_STEPS,
    batch_size: int | None = None,
    learning_rate: float = 3e-3,
    seed: int = 0,
    device: str | torch.device = "cpu",
    report: Callable[[int, Autoencoder], None] | None = None,
) -> tuple[Autoencoder, list[float]]:
    """Metric learning: train an encoder on a few labelled images and an unlabelled pool, jointly.

    The loop is `metric_steps`, below. Its loss may have the reconstruction error added.

    Args:
        pixels: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`, or rows `(n, d)`.
        labels: int, shape `(n,)`, −1 = unlabelled.
        dim: N, the length of the embedding.
        loss: `"supcon"`, `"triplet"`, `"contrastive"`, or a function of embeddings and labels. A module
            with weights of its own, such as ArcFace, is copied, and the copy learns along; it gets the
            classes numbered from 0, in rising order. Pass the module itself: inside a function its weights
            stay as they are.
        augment: how to change the images at random: True or `"affine"`, `"photographs"`, a function of a
            batch and a generator, or False for not at all (rows are never changed).
        pseudo_labels: whether to learn from the pool through its neighbour graph.
        reconstruction: weight of D(X, X′), the mean squared error per pixel; 0 leaves the decoder out.
        steps: number of gradient steps.
        batch_size: labelled images per step, from the pool come twice as many; see `default_batch_size`.
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
    reconstruction = check_number(reconstruction, "reconstruction", 0)
    pseudo_labels = check_flag(pseudo_labels, "pseudo_labels")
    batch_size = default_batch_size(labels) if batch_size is None else batch_size
    run = check_run(steps, batch_size, learning_rate, seed, device)
    random = run.generator()
    model = seeded(lambda: Autoencoder(pixels.shape[1:], dim), run.seed).to(run.device)
    everyone = torch.arange(len(pixels))
    pool = ImagePool(model.encoder.embed, pixels, everyone, labels, change, random, run.device)

    def weighted_error() -> Tensor:
        drawn = torch.randint(len(pixels), (run.batch_size,), generator=random)
        x = batch_of(pixels, drawn).to(run.device)
        return reconstruction * F.mse_loss(model(x), x)

    losses = metric_steps(
        model,
        pool,
        [((model if reconstruction else model.encoder).parameters(), run.learning_rate)],
        run,
        loss=loss,
        pseudo_labels=pseudo_labels,
        extra_loss=weighted_error if reconstruction else None,
        report=report,
    )
    return _finished(model), losses


def metric_steps(
    model: Model,
    pool: ImagePool,
    groups: Groups,
    run: "Run",
    *,
    loss: str | Loss,
    pseudo_labels: bool,
    extra_loss: Callable[[], Tensor] | None = None,
    report: Callable[[int, Model], None] | None = None,
) -> list[float]:
    """Take the steps of metric learning, whatever the encoder, and return the metric loss of each.

    Each step draws labelled images, the same number from every class, and changes each at random. The
    loss pulls positives together and pushes negatives apart. Later the pool takes part: see `PseudoLabels`.
    A loss's own weights learn at the rate of the first group; `extra_loss()` is added at each step.

    Raises:
        ValueError: for a loss that does not fit or gives no finite number.
    """
    known = np.flatnonzero(is_labelled(pool.labels))
    given = pool.labels[known]
    metric_loss, own_weights = loss_function(loss, np.unique(given), pool.device)
    (first_weights, rate), *others = groups
    descend = _optimizer([([*first_weights, *own_weights], rate), *others], run.steps)
    pseudo = PseudoLabels(pool.labels, run.steps, run.batch_size, pool.random)
    losses = []
    for step in range(run.steps):
        if report:
            report(step, model)
        if pseudo_labels and pseudo.due(step):
            pseudo.refresh(step, pool.embed)
        model.train()
        labelled = torch.from_numpy(known)[balanced_rows(given, run.batch_size, pool.random)]
        rows = torch.cat([labelled, pseudo.draw(POOL_RATIO * run.batch_size)])
        targets = pseudo.targets[rows]
        if step == 0 and isinstance(loss, str):
            warn_without_pairs(targets, stacklevel=5)  # the first batch stands for all
        metric = metric_loss(pool.embed_changed(rows), targets.to(pool.device))
        losses.append(check_value(metric, step))
        descend(metric + extra_loss() if extra_loss else metric)
    if report:
        report(run.steps, model)
    return losses


class PseudoLabels:
    """Pseudo-labels: those that spread over the pool's neighbour graph, of the most confident images.

    They are made from a third of the steps on, and after 25,600 labelled images in any case; and made anew
    every twelfth of the steps, since a better encoder has a better graph. Of each class the most confident
    share passes the gate, which opens from 0.90 to 0.98.

    Attributes:
        targets: int64, shape `(n,)`: given labels, pseudo-labels, and -1 where there is neither.
        rows: int64: the images that passed the gate; none before the first refresh.
    """

    def __init__(self, labels: LabelArray, steps: int, batch_size: int, random: torch.Generator) -> None:
        self.labels, self.steps, self.random = labels, steps, random
        self.first = int(min(steps * FIRST_PSEUDO_LABELS, SHOWN_ALONE / batch_size))
        self.every = max(1, int(steps * REFRESH_EVERY))
        self.targets = torch.tensor(labels)  # a copy: pseudo-labels are written into it
        self.rows = torch.empty(0, dtype=torch.long)

    def due(self, step: int) -> bool:
        """Return whether a step begins with new pseudo-labels."""
        return step >= self.first and (step - self.first) % self.every == 0

    def refresh(self, step: int, embed: Callable[[Rows], FloatArray]) -> None:
        """Spread the labels over the graph of the embeddings, and let the most confident pass the gate."""
        share = GATE_FROM + (GATE_TO - GATE_FROM) * (step - self.first) / (self.steps - self.first)
        graph = np.arange(len(self.labels))
        if len(graph) > GRAPH_IMAGES:
            graph = np.sort(sample_pool(self.labels, self.random))
        spread, confidence = diffuse_labels(embed(graph), self.labels[graph])
        self.targets[graph] = torch.as_tensor(spread)
        self.rows = torch.as_tensor(graph[confident_rows(spread, confidence, share)])

    def draw(self, size: int) -> Tensor:
        """Draw row numbers of images that passed the gate, int64 of shape `(size,)`; none before that."""
        if not len(self.rows):
            return self.rows
        return self.rows[torch.randint(len(self.rows), (size,), generator=self.random)]


def sample_pool(labels: LabelArray, random: torch.Generator) -> Rows:
    """Return the rows of all labelled images, then a sample of the others: as many as one graph takes."""
    known = is_labelled(labels)
    others = np.flatnonzero(~known)
    room = max(GRAPH_IMAGES - int(known.sum()), 0)
    sample = others[torch.randperm(len(others), generator=random)[:room].numpy()]
    return np.concatenate([np.flatnonzero(known), sample])


@default_settings()
def train_classifier(
    pixels: ImageArray,
    labels: LabelArray,
    *,
    augment: bool | str | Augment = True,
    steps: int = DEFAULT_STEPS,
    batch_size: int | None = None,
    learning_rate: float = 5e-3,
    seed: int = 0,
    device: str = "cpu",
) -> nn.Module:
    """Supervised learning: train the same encoder as a classifier, by cross-entropy; the strong rival.

    Args:
        pixels: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`; only labelled rows are used.
        labels: int, shape `(n,)`, classes 0 to C - 1, −1 = unlabelled.
        augment: how to change the images at random; see `train_metric`.
        steps: number of gradient steps.
        batch_size: images per step, the same number from every class; None takes `default_batch_size`.
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
    change = check_augment(augment, "affine")
    batch_size = default_batch_size(labels) if batch_size is None else batch_size
    run = check_run(steps, batch_size, learning_rate, seed, device)
    known = np.flatnonzero(is_labelled(labels))
    given = labels[known]
    targets = torch.from_numpy(given)
    if (classes := int(targets.max()) + 1) > max(len(labels), MOST_LOGITS):
        raise ValueError(
            f"The largest class number is {classes - 1}, and each number up to it gets a logit: number the "
            "classes from 0, as np.unique(labels, return_inverse=True)[1] does."
        )
    random = run.generator()
    model = seeded(lambda: Encoder(pixels.shape[1:], classes), run.seed).to(run.device)
    pool = ImagePool(model.forward, pixels, torch.from_numpy(known), given, change, random, run.device)
    descend = _optimizer([(model.parameters(), run.learning_rate)], run.steps)
    for _ in range(run.steps):
        rows = balanced_rows(given, run.batch_size, random)
        logits = pool.embed_changed(rows)
        loss = F.cross_entropy(logits, targets[rows].to(run.device), label_smoothing=LABEL_SMOOTHING)
        descend(loss)
    return _finished(model)


def reconstruction_error(x: Tensor, reconstruction: Tensor, distance: str = "mse") -> Tensor:
    """Reconstruction error D(X, X′): the mean over all pixels of the squared error or the cross-entropy.

    Args:
        x: float32, shape `(n, channels, height, width)`, in [0, 1].
        reconstruction: X′, of the same shape.
        distance: `"mse"` or `"bce"`.

    Returns:
        A scalar.

    Raises:
        ValueError: for another distance.
    """
    return DISTANCES[check_choice(distance, "distance", DISTANCES)](reconstruction, x)


def embed(encoder: nn.Module, pixels: ImageArray) -> FloatArray:
    """Return the unit-length embeddings of all images, float32 of shape `(n, N)`.

    Args:
        encoder: a trained encoder, or anything with a method `embed`; left in evaluation mode.
        pixels: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`, or rows `(n, d)`.

    Raises:
        ValueError: for images that do not fit.
    """
    method: Callable[[Tensor], Tensor] = encoder.embed  # type: ignore[assignment]
    return in_batches(method, check_inputs(pixels))


def predict_logits(classifier: nn.Module, pixels: ImageArray) -> FloatArray:
    """Return a classifier's logits for all images, float32 of shape `(n, classes)`.

    Args:
        classifier: a network from `train_classifier`; left in evaluation mode.
        pixels: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`, or rows `(n, d)`.

    Raises:
        ValueError: for images that do not fit.
    """
    return in_batches(classifier.forward, check_inputs(pixels))


class Run(NamedTuple):
    """What every loop is told; the learning rate is the highest of the schedule."""

    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    device: torch.device

    def generator(self) -> torch.Generator:
        """Return the source of all draws."""
        return torch.Generator().manual_seed(self.seed)


def check_run(steps: Any, batch_size: Any, learning_rate: Any, seed: Any, device: Any) -> Run:
    """Return what every loop is told.

    Raises:
        ValueError: for a setting out of range, or a device that is not there.
    """
    return Run(
        check_count(steps, "steps"),
        check_count(batch_size, "batch_size"),
        check_number(learning_rate, "learning_rate", 0, without=(0,)),
        check_seed(seed),
        check_device(device),
    )


def seeded(build: Callable[[], Model], seed: int) -> Model:
    """Build a model with weights from this seed, and leave the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # that of the CPU alone
        # Channels last in memory: convolutions on a CPU then need no reordering, a sixth less time.
        return build().to(memory_format=torch.channels_last)


def _finished(model: Model) -> Model:
    """Return the model ready to use, its weights in the usual order in memory (as files want them)."""
    return model.eval().to(memory_format=torch.contiguous_format)


def _optimizer(groups: Groups, steps: int) -> Callable[[Tensor], None]:
    """Return what takes a step: AdamW, whose rates rise for a third of the steps and fall to nearly zero."""
    keep_freed_memory()  # every loop begins here
    parts = [{"params": [*weights], "lr": rate} for weights, rate in groups]
    optimizer = torch.optim.AdamW(parts, weight_decay=WEIGHT_DECAY, fused=True)
    rates = [rate for _, rate in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=max(steps, 2))

    def descend(loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()

    return descend
