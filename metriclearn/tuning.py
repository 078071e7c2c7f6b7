"""A pretrained backbone learns the task: a head on its rows, or its last part, or all of it.

    "frozen"   nothing is trained: the backbone's own rows, centred
    "head"     a small dense encoder on the rows, which are computed once
    "last"     the head first, then head and tail together, on the trunk's maps, which are computed once
    "all"      the head first, then everything, on the images: for a GPU

The head comes first because a new head's first steps would spoil what the backbone knows (Kumar et al. 2022,
https://arxiv.org/abs/2202.10054). Losses, pool, pseudo-labels and gate are those of every encoder here: the
loop is `metric_steps`.
"""

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from metriclearn.augment import Augment, check_augment
from metriclearn.backbones import Backbone, BackboneEncoder
from metriclearn.inference import in_batches, take
from metriclearn.labels import UNLABELLED, LabelArray, check_class_labels, is_labelled
from metriclearn.losses import Loss
from metriclearn.models import Encoder
from metriclearn.settings import check_choice, check_count
from metriclearn.training import GRAPH_IMAGES, batch_for, check_run, metric_steps, train_metric
from metriclearn.validate import FloatArray, ImageArray, check_images

TUNE = ("frozen", "head", "last", "all")
# A step through a backbone costs a hundred times that of the small network: fewer, and smaller ones.
HEAD_STEPS = 600
TUNING_STEPS, TUNING_BATCH = 100, 32
SLOWER = 1 / 30  # the backbone's learning rate, as a share of the head's: it should not forget
VIEWS, MOST_VIEWS = 12, 2_000  # of each labelled image, and of all of them, whose maps are kept
VIEWS_AT_ONCE = 16
REMEMBERED = 3  # sets of images whose rows are kept in memory
Rows = npt.NDArray[np.int_]


def train_on_backbone(
    backbone: Backbone,
    images: ImageArray | None,
    labels: LabelArray,
    dim: int = 32,
    *,
    tune: str = "head",
    loss: str | Loss = "supcon",
    augment: bool | str | Augment = True,
    pseudo_labels: bool = True,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float = 3e-3,
    seed: int = 0,
    report: Callable[[int, nn.Module], None] | None = None,
    rows: FloatArray | None = None,
) -> tuple[BackboneEncoder, list[float]]:
    """Train an encoder that begins with a pretrained backbone.

    Args:
        backbone: see `metriclearn.backbones`; it stays as it is, what is tuned is a copy.
        images: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`, of any size; None will do
            for `"frozen"` and `"head"` where their rows are passed, since nothing looks at them.
        labels: int, shape `(n,)`, -1 = unlabelled.
        dim: N, the length of the embedding; `"frozen"` keeps the backbone's own.
        tune: `"frozen"`, `"head"`, `"last"` or `"all"`.
        loss: see `train_metric`.
        augment: how to change images at random where the backbone is tuned: True or `"photographs"`,
            `"affine"`, a function of a batch and a generator, or False. The rows for a head are computed
            once, unchanged.
        pseudo_labels: whether to learn from the pool through its neighbour graph.
        steps: gradient steps; by default 600 for a head and then, if the backbone is tuned, 100.
        batch_size: labelled images per step; by default as `batch_for` says, 32 where the backbone is tuned.
        learning_rate: the highest learning rate of the schedule; the backbone's is a thirtieth of it.
        seed: seed of the weights, batches and changes.
        report: called before the first and after every step of each part, as by `train_metric`.
        rows: what `rows_of` gives for these images, if it is known already.

    Returns:
        The trained encoder, and the metric loss of each step.

    Raises:
        ValueError: for images that the backbone cannot take, labels or settings that do not fit, or a
            backbone that cannot be tuned so.
    """
    tune, dim = check_choice(tune, "tune", TUNE), check_count(dim, "dim")
    change, tuned = check_augment(augment, "photographs"), tune in ("last", "all")
    if rows is None or tuned:
        images = check_images(images)
        labels = check_class_labels(labels, len(images))
    else:
        labels = check_class_labels(labels, len(rows))
    steps = (TUNING_STEPS if tuned else HEAD_STEPS) if steps is None else steps
    batch_size = (TUNING_BATCH if tuned else batch_for(labels)) if batch_size is None else batch_size
    steps, batch_size, learning_rate, seed, where = check_run(
        steps, batch_size, learning_rate, seed, backbone.device
    )
    if tune == "last" and not backbone.has_trunk:
        raise ValueError(
            f'The backbone {backbone.name} has no stated last part: choose tune="head" or "all", or pass '
            "Backbone(tail, trunk, name=...)."
        )
    if rows is None:
        assert images is not None  # they were checked above
        rows = rows_of(backbone, images)
    centre = rows.mean(axis=0)
    if tune == "frozen":
        encoder = BackboneEncoder(backbone, nn.Identity(), torch.from_numpy(centre), tune, rows.shape[1])
        return encoder.to(where), []
    options: dict[str, Any] = {"loss": loss, "pseudo_labels": pseudo_labels, "report": report}
    of_head: dict[str, Any] = {"steps": HEAD_STEPS}
    if not tuned:
        of_head = {"steps": steps, "batch_size": batch_size}
    trained, losses = train_metric(
        rows - centre,
        labels,
        dim,
        learning_rate=learning_rate,
        seed=seed,
        device=str(where),
        **options,
        **of_head,
    )
    encoder = BackboneEncoder(backbone, trained.encoder, torch.from_numpy(centre), tune, dim).to(where)
    if tuned:
        assert images is not None  # they were checked above
        encoder.backbone = copy.deepcopy(backbone)
        random = torch.Generator().manual_seed(seed)
        part, kept, embed_batch, embed_pool = _sources(encoder, images, labels, change, random)
        losses += metric_steps(
            encoder,
            labels[kept],
            embed_batch,
            embed_pool,
            [
                (encoder.head.parameters(), learning_rate),
                (part.requires_grad_(True).parameters(), learning_rate * SLOWER),
            ],
            steps=steps,
            batch_size=batch_size,
            random=random,
            **options,
        )
        encoder.requires_grad_(False)
    return encoder.eval(), losses


def _sources(
    encoder: BackboneEncoder,
    images: ImageArray,
    labels: LabelArray,
    change: Augment | None,
    random: torch.Generator,
) -> tuple[nn.Module, Rows, Callable[[Tensor], Tensor], Callable[[Rows], FloatArray]]:
    """Return what is tuned, which images take part, and where the loop finds their embeddings.

    The labelled images take part, numbered first, and of the others so many as fit into one neighbour graph.
    """
    backbone, where = encoder.backbone, encoder.backbone.device
    known, others = np.flatnonzero(is_labelled(labels)), np.flatnonzero(labels == UNLABELLED)
    room = max(GRAPH_IMAGES - len(known), 0)
    kept = np.concatenate([known, others[torch.randperm(len(others), generator=random)[:room].numpy()]])

    def altered(rows: Tensor) -> Tensor:
        x = take(images, torch.as_tensor(kept)[rows]).to(where)
        return change(x, random) if change else x

    if encoder.tune == "all":
        return (
            backbone,
            kept,
            lambda rows: encoder.embed(altered(rows)),
            lambda rows: in_batches(encoder.embed, images, kept[rows]),
        )
    maps = in_batches(backbone.maps, images, kept, what="maps").astype(np.float16)
    # The trunk's maps cannot be changed as an image can: so those of some changed copies are made beforehand.
    copies = max(1, min(VIEWS, MOST_VIEWS // len(known))) if change else 0
    views = np.empty((copies, len(known), *maps.shape[1:]), np.float16)
    for number in range(copies):
        for part in torch.split(torch.arange(len(known)), VIEWS_AT_ONCE):
            with torch.inference_mode():
                views[number, part] = backbone.maps(altered(part)).half().cpu().numpy()

    def embed_batch(rows: Tensor) -> Tensor:
        x, labelled = maps[rows], rows.numpy() < len(known)
        if copies:
            number = torch.randint(copies, (len(rows),), generator=random).numpy()
            x[labelled] = views[number[labelled], rows.numpy()[labelled]]
        return encoder.embed_maps(torch.from_numpy(x).float().to(where))

    return backbone.tail, kept, embed_batch, lambda rows: in_batches(encoder.embed_maps, maps, rows)


def rows_of(backbone: Backbone, images: ImageArray) -> FloatArray:
    """Return the backbone's rows for all images, float32 of shape `(n, width)`; computed once and remembered.

    Args:
        backbone: see `metriclearn.backbones`.
        images: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`.

    Raises:
        ValueError: for images that the backbone cannot take.
    """
    key = backbone.fingerprint, images.shape, hashlib.sha256(images.data).hexdigest()
    if key not in _remembered:
        _remembered[key] = in_batches(backbone.forward, images, what=f"rows of {backbone.name}")
        while len(_remembered) > REMEMBERED:
            _remembered.popitem(last=False)
    _remembered.move_to_end(key)
    return _remembered[key].copy()


def embed_images(encoder: Encoder | BackboneEncoder, images: ImageArray) -> FloatArray:
    """Return the embeddings of images by any encoder; of those that a head was trained on, at once.

    Args:
        encoder: an `Encoder`, or a `BackboneEncoder`.
        images: what the encoder takes.
    """
    if isinstance(encoder, BackboneEncoder) and encoder.tune in ("frozen", "head"):
        return in_batches(encoder.embed_rows, rows_of(encoder.backbone, images))
    return in_batches(encoder.embed, images)


_remembered: OrderedDict[tuple[Any, ...], FloatArray] = OrderedDict()
