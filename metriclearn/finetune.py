"""Transfer learning: a head on a pretrained backbone's features, or fine-tuning of its last part, or of all.

    "frozen"   nothing is trained: the backbone's own features, centred
    "head"     a small dense encoder on the features, which are computed once
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
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metriclearn.augment import Augment, check_augment
from metriclearn.backbones import Backbone
from metriclearn.batches import ImagePool, batch_of, default_batch_size, in_batches
from metriclearn.checks.arguments import check_count, check_flag
from metriclearn.checks.arrays import FloatArray, ImageArray
from metriclearn.checks.labels import LabelArray, is_labelled
from metriclearn.default_settings import default_settings
from metriclearn.fingerprint import fingerprint
from metriclearn.losses import Loss
from metriclearn.models import Encoder, replaced
from metriclearn.training import DEFAULT_STEPS, Run, check_run, metric_steps, sample_pool, train_metric

TUNE = ("frozen", "head", "last", "all")
HEAD_STEPS = DEFAULT_STEPS
# A step through a backbone costs a hundred times that of the small network: fewer, and smaller ones.
TUNING_STEPS, TUNING_BATCH = 100, 32
SLOWER = 1 / 30  # the backbone's learning rate, as a share of the head's: it should not forget
VIEWS, MOST_VIEWS = 12, 2_000  # of each labelled image, and of all of them, whose maps are kept
VIEWS_AT_ONCE = 16
REMEMBERED = 3  # sets of images whose features are kept in memory,
FEW = 8  # but for smaller sets: to look at them again takes no longer than to know them again
Report = Callable[[int, nn.Module], None]
_remembered: OrderedDict[tuple[object, ...], FloatArray] = OrderedDict()


class BackboneEncoder(nn.Module):
    """A backbone and a small head on its features: photographs in, embeddings out.

    Args:
        backbone: the network below, never in training mode: its batch norms keep what a million images gave.
        head: from centred features `(n, width)` to codes `(n, dim)`.
        centre: what is taken from the features first, shape `(width,)`: the mean over the pool.
        tune: what was trained on the task: `"frozen"`, `"head"`, `"last"` or `"all"`.
        dim: N, the length of the embedding.
    """

    def __init__(self, backbone: Backbone, head: nn.Module, centre: Tensor, tune: str, dim: int) -> None:
        super().__init__()
        self.backbone, self.head, self.tune, self.dim = backbone, head, tune, dim
        self.centre: Tensor
        self.register_buffer("centre", centre)
        self.pixels_seen = backbone.pixels_seen
        self.origin = backbone.fingerprint  # of the network before anything was trained
        self.untrained = self._untrained()

    @classmethod
    @default_settings()
    def of(cls, backbone: Backbone, weights: dict[str, Tensor], tune: str, dim: int) -> "BackboneEncoder":
        """Return an encoder with weights that `trained` gave; it may share the backbone, or copy it.

        Raises:
            KeyError: if some of them are missing.
            RuntimeError: for weights of another shape.
        """
        width = len(weights["centre"])
        head = new_head(tune, width, dim)
        if tune in ("last", "all"):
            backbone = copy.deepcopy(backbone)
        encoder = cls(backbone, head, torch.zeros(width), tune, dim).to(backbone.device)
        # No others: a file must not change a backbone that is shared.
        encoder.load_state_dict({name: weights[name] for name in encoder.trained()}, strict=False)
        return encoder

    def train(self, mode: bool = True) -> "BackboneEncoder":
        """Set the head's mode; the backbone's batch norms stay as they are."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return the codes of images, float32 of shape `(n, dim)`, of any length."""
        codes: Tensor = self.head(self.backbone(x) - self.centre)
        return codes

    def embed(self, x: Tensor) -> Tensor:
        """Return the embeddings of images: the codes at unit length, float32 of shape `(n, dim)`."""
        return F.normalize(self(x), dim=1)

    def embed_maps(self, maps: Tensor) -> Tensor:
        """Return the embeddings of what the trunk made of images, float32 of shape `(n, dim)`."""
        return self.embed_features(self.backbone.features(maps))

    def embed_features(self, features: Tensor) -> Tensor:
        """Return the embeddings of the backbone's features, float32 of shape `(n, dim)`."""
        return F.normalize(self.head(features - self.centre), dim=1)

    def trained(self) -> dict[str, Tensor]:
        """Return the weights that the task has changed: what a file must hold beside the backbone's name."""
        parts = {"frozen": (), "head": ("head.",), "last": ("head.", "backbone.tail.")}
        mine = ("centre", *parts.get(self.tune, ("head.", "backbone.")))
        return {name: weight for name, weight in self.state_dict().items() if name.startswith(mine)}

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with any weight, the backbone's included."""
        about = (self.origin, self.tune, self.dim, *replaced(self.head, self._new_head))
        if (found := self._untrained()) != self.untrained:
            about += (found,)
        return fingerprint(self.trained(), repr(about))

    def _new_head(self) -> nn.Module:
        return new_head(self.tune, len(self.centre), self.dim)

    def _untrained(self) -> str:
        """Return a hash of all that stays as it is while the task is learned: weights, settings and code."""
        trained = self.trained()
        kept = {name: weight for name, weight in self.state_dict().items() if name not in trained}
        # A network of one's own may keep what it has seen, so its structure counts as it was at first.
        known = self.backbone.known_structure
        return fingerprint(kept, self.backbone.present_structure if known else "")


def new_head(tune: str, width: int, dim: int) -> nn.Module:
    """Return a head as it is before it learns, for features of some width."""
    return nn.Identity() if tune == "frozen" else Encoder((width,), dim)


@default_settings()
def train_on_backbone(
    backbone: Backbone,
    images: ImageArray,
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
    report: Report | None = None,
    features: FloatArray | None = None,
) -> tuple[BackboneEncoder, list[float]]:
    """Transfer learning: train an encoder that begins with a pretrained backbone.

    Images and labels are not checked here: `check_images` and `check_class_labels` do that.

    Args:
        backbone: see `metriclearn.backbones`; it stays as it is, what is tuned is a copy.
        images: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`, of any size.
        labels: int, shape `(n,)`, -1 = unlabelled.
        dim: N, the length of the embedding; `"frozen"` keeps the backbone's own.
        tune: `"frozen"`, `"head"`, `"last"` or `"all"`.
        loss: see `train_metric`.
        augment: how to change images at random where the backbone is tuned: True or `"photographs"`,
            `"affine"`, a function of a batch and a generator, or False. The features for a head are computed
            once, from unchanged images.
        pseudo_labels: whether to learn from the pool through its neighbour graph.
        steps: gradient steps; by default 600 for a head and then, if the backbone is tuned, 100.
        batch_size: labelled images per step; None takes `default_batch_size`, or 32 where the backbone is
            tuned.
        learning_rate: the highest learning rate of the schedule; the backbone's is a thirtieth of it.
        seed: seed of the weights, batches and changes.
        report: called before the first and after every step of each part, as by `train_metric`.
        features: what `features_of` gives for these images, if it is known already.

    Returns:
        The trained encoder, and the metric loss of each step.

    Raises:
        ValueError: for images that the backbone cannot take, settings that do not fit, or a backbone that
            cannot be tuned so.
    """
    dim, pseudo_labels = check_count(dim, "dim"), check_flag(pseudo_labels, "pseudo_labels")
    change, tuned = check_augment(augment, "photographs"), tune in ("last", "all")
    if steps is None:
        steps = TUNING_STEPS if tuned else HEAD_STEPS
    if batch_size is None:
        batch_size = TUNING_BATCH if tuned else default_batch_size(labels)
    run = check_run(steps, batch_size, learning_rate, seed, backbone.device)
    if tune == "last" and not backbone.has_trunk:
        raise ValueError(
            f'The backbone {backbone.name} has no stated last part: choose tune="head" or "all", or pass '
            "Backbone(tail, trunk, name=...)."
        )
    if features is None:
        features = features_of(backbone, images)
    if tune == "frozen":
        return frozen_encoder(backbone, features), []
    options: dict[str, Any] = {"loss": loss, "pseudo_labels": pseudo_labels, "report": report}
    of_head: dict[str, Any] = {"learning_rate": run.learning_rate, "seed": run.seed}
    if not tuned:
        of_head |= {"steps": run.steps, "batch_size": run.batch_size}
    encoder, losses = train_head(backbone, features, labels, dim, **options, **of_head)
    if tuned:
        encoder, more = fine_tune(encoder, images, labels, tune, change, run, **options)
        losses += more
    return encoder, losses


@default_settings()
def frozen_encoder(backbone: Backbone, features: FloatArray) -> BackboneEncoder:
    """Return an encoder that gives the backbone's own features, minus their mean over the pool."""
    centre, width = torch.from_numpy(features.mean(axis=0)), features.shape[1]
    return BackboneEncoder(backbone, nn.Identity(), centre, "frozen", width).to(backbone.device).eval()


@default_settings()
def train_head(
    backbone: Backbone, features: FloatArray, labels: LabelArray, dim: int = 32, **options: Any
) -> tuple[BackboneEncoder, list[float]]:
    """Train a head on a frozen backbone's features; for the options see `train_metric`.

    Features are float32 of shape `(n, width)`, as `features_of` gives them.
    """
    centre = features.mean(axis=0)
    options = {"steps": HEAD_STEPS} | options
    trained, losses = train_metric(features - centre, labels, dim, device=backbone.device, **options)
    head = trained.encoder
    encoder = BackboneEncoder(backbone, head, torch.from_numpy(centre), "head", head.dim)
    return encoder.to(backbone.device).eval(), losses


def fine_tune(
    encoder: BackboneEncoder,
    images: ImageArray,
    labels: LabelArray,
    tune: str,
    change: Augment | None,
    run: Run,
    **options: Any,
) -> tuple[BackboneEncoder, list[float]]:
    """Fine-tune a copy of the backbone below a trained head, together with the head; see `metric_steps`.

    The labelled images take part, numbered first, and of the others so many as fit into one neighbour graph.
    """
    backbone, random = copy.deepcopy(encoder.backbone), run.generator()
    encoder = BackboneEncoder(backbone, encoder.head, encoder.centre, tune, encoder.dim)
    kept = sample_pool(labels, random)
    pool = ImagePool(encoder.embed, images, torch.from_numpy(kept), labels[kept], change, random, run.device)
    part = backbone.tail if tune == "last" else backbone
    groups = [
        (encoder.head.parameters(), run.learning_rate),
        (part.requires_grad_(True).parameters(), run.learning_rate * SLOWER),
    ]
    losses = metric_steps(encoder, MapPool(encoder, pool) if tune == "last" else pool, groups, run, **options)
    return encoder.requires_grad_(False).eval(), losses


class MapPool(ImagePool):
    """The trunk's maps of images, computed once, instead of the images: for tuning the tail alone.

    Maps cannot be changed as an image can: so those of some changed copies of each labelled image are made
    beforehand, and each step draws among them. In `images` the labelled ones come first.
    """

    def __init__(self, encoder: BackboneEncoder, images: ImagePool) -> None:
        backbone, labels = encoder.backbone, images.labels
        self.known = int(is_labelled(labels).sum())
        self.copies = max(1, min(VIEWS, MOST_VIEWS // self.known)) if images.change else 0
        maps = [in_batches(backbone.maps, images.inputs, images.rows, what="maps").astype(np.float16)]
        for part in self.copies * torch.split(torch.arange(self.known), VIEWS_AT_ONCE):
            with torch.inference_mode():
                maps.append(backbone.maps(images.changed(part)).half().cpu().numpy())
        everyone = torch.arange(len(labels))
        super().__init__(
            encoder.embed_maps, np.concatenate(maps), everyone, labels, None, images.random, images.device
        )

    def changed(self, rows: Tensor) -> Tensor:
        """Return maps, of each labelled image those of a copy that is drawn."""
        if self.copies:
            number = torch.randint(self.copies, (len(rows),), generator=self.random)
            rows = torch.where(rows < self.known, len(self.labels) + number * self.known + rows, rows)
        return batch_of(self.inputs, rows).to(self.device)


def features_of(backbone: Backbone, images: ImageArray) -> FloatArray:
    """Extract the backbone's features of all images, float32 of shape `(n, width)`.

    They cost minutes for some thousand photographs, and are often asked for again: by `fit` and then by
    `transform`. So those of the last three sets are kept in memory, known by a hash of the pixels.

    Args:
        backbone: see `metriclearn.backbones`.
        images: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`.

    Raises:
        ValueError: for images that the backbone cannot take.
    """
    what = f"features of {backbone.name}"
    if len(images) < FEW:
        return in_batches(backbone.forward, images, what=what)
    pixels = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
    # Of a network that no name tells all about, only what this very one gave: a description may lack a part.
    itself = None if backbone.known_structure else backbone
    key = itself, backbone.cache_key, str(backbone.device), images.shape, images.dtype.str, pixels
    found = _remembered.pop(key, None)  # and put back as the latest
    if found is None:
        found = in_batches(backbone.forward, images, what=what)
    _remembered[key] = found
    while len(_remembered) > REMEMBERED:
        _remembered.popitem(last=False)
    return found.copy()


def embed_images(encoder: Encoder | BackboneEncoder, images: ImageArray) -> FloatArray:
    """Return the embeddings of images by any encoder; of those that a head was trained on, at once."""
    if isinstance(encoder, BackboneEncoder) and encoder.tune in ("frozen", "head"):
        return in_batches(encoder.embed_features, features_of(encoder.backbone, images))
    return in_batches(encoder.embed, images)
