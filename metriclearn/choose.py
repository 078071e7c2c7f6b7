"""Which way suits these images? Their own labels decide.

No way to learn is best everywhere: a pretrained network that knows a million photographs may know nothing of
hands in the dark. So each way is judged by cross-validation on the labels that are there, and the one that is
right most often is taken; where the labels are too few to tell, that is said. Test images play no part.

    "frozen"     neighbours among the backbone's own rows; nothing is trained
    "logistic"   logistic regression on these rows: the baseline that a head has to beat
    "head"       a small head, trained by metric learning on these rows and the pool
    "scratch"    the small network of the course, on images of 48 pixels at the shorter side
    "tune"       the backbone's last part tuned as well: minutes on a CPU
"""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from torch import nn

from metriclearn.backbones import LITE0, STRIDE, Backbone, BackboneEncoder, as_backbone
from metriclearn.evaluate import Interval, share_interval
from metriclearn.inference import embed, in_batches
from metriclearn.labels import LabelArray, check_class_labels
from metriclearn.models import Encoder
from metriclearn.settings import check_choice, check_device, check_number, check_seed, shown
from metriclearn.training import train_metric
from metriclearn.trust import deal, vote
from metriclearn.tuning import rows_of, train_on_backbone
from metriclearn.validate import FloatArray, ImageArray, as_floats, check_images

METHODS = ("frozen", "logistic", "head", "scratch", "tune")  # the cheapest first
SMALL = 48  # side at which the small network sees photographs, chosen with its 600 steps on Omniglot
FOLDS, NEIGHBOURS = 5, 5
Rows = npt.NDArray[np.int_]


@dataclass(frozen=True)
class Judged:
    """How one way did.

    Attributes:
        method: its name.
        accuracy: share of held-out labelled images that it named rightly, in percent; None if not tried.
        rows: int, shape `(n,)`: the images that it was asked for.
        right: bool, shape `(n,)`: which of these it named rightly.
        seconds: what the judging took.
        note: why it was not tried, or not on all folds; else empty.
    """

    method: str
    accuracy: Interval | None
    rows: Rows
    right: npt.NDArray[np.bool_]
    seconds: float
    note: str = ""

    def __str__(self) -> str:
        found = "not tried" if self.accuracy is None else f"{self.accuracy}, n = {self.accuracy.n}"
        return f"{self.method:<9} {found}{f' ({self.note})' if self.note else ''}"


@dataclass(frozen=True)
class Choice:
    """What `choose_method` found.

    Attributes:
        table: one entry per way.
        winner: the way that was right most often; of equal ones the cheapest.
        clear: whether it beats every other way by more than chance would explain.
        verdict: both in a sentence.
    """

    table: tuple[Judged, ...]
    winner: str
    clear: bool
    verdict: str

    def __str__(self) -> str:
        return "\n".join([*map(str, self.table), self.verdict])


def choose_method(
    images: ImageArray,
    labels: npt.ArrayLike,
    *,
    backbone: str | nn.Module = LITE0,
    methods: Sequence[str] | None = None,
    seconds: float = 300.0,
    random_state: int = 0,
    device: str = "cpu",
) -> Choice:
    """Judge ways to learn by cross-validation on the labels that are there, within a time.

    The labelled images are dealt into folds. For each fold every way learns without it, the unlabelled images
    included, and is asked for it. When the time is used up, a fold is broken off and does not count; all ways
    meet the folds in the same order, so that two of them are compared on the same images.

    Args:
        images: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`.
        labels: int, shape `(n,)`, -1 = unlabelled; at least two classes, two images of each.
        backbone: a name for `load_backbone`, or a module from images to rows.
        methods: which ways to judge; by default all.
        seconds: the time for all of them; only the backbone's rows are finished in any case.
        random_state: seed of the folds and of all training.
        device: where to compute, such as `"cpu"`, `"cuda"` or `"auto"`.

    Raises:
        ValueError: for images, labels or settings that do not fit, or a class with one labelled image.
        FileNotFoundError: if the backbone's weights are not here and cannot be had.
    """
    images = check_images(images)
    given = check_class_labels(labels, len(images))
    folds = deal(given, FOLDS, check_seed(random_state))
    seconds = check_number(seconds, "seconds", "a number above 0", 0, without=(0,))
    seed, device = check_seed(random_state), str(check_device(device))
    if isinstance(methods, str) or (methods is not None and not len(methods)):
        raise ValueError(f"methods is {shown(methods)}: pass a list of some of {', '.join(METHODS)}.")
    wanted = {
        check_choice(method, "methods", METHODS) for method in (METHODS if methods is None else methods)
    }
    ways = Ways(images, given, backbone, seed, device)
    end = time.monotonic() + seconds
    table = [ways.judge(method, folds, end) for method in METHODS if method in wanted]
    return decide(table)


def decide(table: Sequence[Judged]) -> Choice:
    """Return which way was right most often, and whether that could be chance.

    Args:
        table: how each way did, the cheapest first, on the same images.

    Raises:
        ValueError: if none was tried.
    """
    tried = [judged for judged in table if judged.accuracy is not None]
    if not tried:
        raise ValueError(f"No way could be tried: {table[0].note}.")
    # One that was broken off may have met easy images alone: on these, too, none may beat it.
    able = [judged for judged in tried if not any(beats(other, judged) for other in tried)]
    best = max(able or tried, key=lambda judged: judged.accuracy.mean if judged.accuracy else 0.0)
    unclear = [other.method for other in tried if other is not best and not beats(best, other)]
    return Choice(tuple(table), best.method, not unclear, _verdict(best, tried, unclear))


class Ways:
    """The ways to learn, over the same images; what several of them need is computed once.

    Args:
        images: checked images.
        labels: int64, shape `(n,)`, -1 = unlabelled.
        backbone: a name or a module.
        seed: of all training.
        device: where to compute.
    """

    def __init__(
        self, images: ImageArray, labels: LabelArray, backbone: str | nn.Module, seed: int, device: str
    ) -> None:
        self.images, self.labels, self.seed, self.device = images, labels, seed, device
        self.backbone = backbone
        self.end = math.inf

    @cached_property
    def network(self) -> Backbone:
        """The backbone itself."""
        return as_backbone(self.backbone, self.device)

    @cached_property
    def rows(self) -> FloatArray:
        """The backbone's rows of all images, float32 of shape `(n, width)`."""
        return rows_of(self.network, self.images)

    @cached_property
    def small(self) -> ImageArray:
        """The images as the small network sees them."""
        return shrunk(self.images)

    def judge(self, method: str, folds: list[tuple[Rows, Rows]], end: float) -> Judged:
        """Judge one way on as many folds as the time allows."""
        start = time.monotonic()
        nobody = np.zeros(0, dtype=int), np.zeros(0, dtype=bool)
        if method != "scratch" and isinstance(self.backbone, str) and min(self.images.shape[2:]) < STRIDE:
            return Judged(method, None, *nobody, 0.0, f"the images are smaller than {STRIDE} pixels")
        if method == "tune" and not self.network.has_trunk:
            return Judged(method, None, *nobody, 0.0, "the backbone has no stated last part")
        right: list[npt.NDArray[np.bool_]] = []
        self.end = end
        with suppress(_TimeIsUpError):
            for stay, leave in folds:
                self._on_time()
                right.append(self.asked(method, stay, leave) == self.labels[leave])
        spent = time.monotonic() - start
        if not right:
            return Judged(method, None, *nobody, spent, "no time was left")
        met = np.concatenate(right)
        note = "" if len(right) == len(folds) else f"{len(right)} of {len(folds)} folds, then the time was up"
        rows = np.concatenate([leave for _, leave in folds[: len(right)]])
        return Judged(method, share_interval(int(met.sum()), len(met)), rows, met, spent, note)

    def asked(self, method: str, stay: Rows, leave: Rows) -> LabelArray:
        """Return what a way says of the images that it may not learn from."""
        learned = np.setdiff1d(np.arange(len(self.labels)), leave)
        if method == "logistic":
            rows = self.rows
            said: LabelArray = logistic(rows[stay], self.labels[stay]).predict(rows[leave])
            return said
        if method in ("frozen", "head"):
            rows = self.rows - self.rows[learned].mean(axis=0)
            vectors = rows if method == "frozen" else embed(self._small_network(rows, learned), rows)
        else:
            encoder: Encoder | BackboneEncoder
            if method == "scratch":
                images, encoder = self.small, self._small_network(self.small, learned)
            else:
                images = self.images
                encoder, _ = train_on_backbone(
                    self.network,
                    images[learned],
                    self.labels[learned],
                    tune="last",
                    seed=self.seed,
                    report=self._on_time,
                    rows=self.rows[learned],
                )
            both = np.concatenate([stay, leave])
            vectors = np.zeros((len(images), encoder.dim), dtype=np.float32)
            vectors[both] = in_batches(encoder.embed, images, both)
        return vote(vectors[stay], self.labels[stay], vectors[leave], min(NEIGHBOURS, len(stay))).labels

    def _small_network(self, inputs: ImageArray, learned: Rows) -> Encoder:
        """Return the course's own network, trained on some images or rows."""
        model, _ = train_metric(
            inputs[learned], self.labels[learned], seed=self.seed, device=self.device, report=self._on_time
        )
        return model.encoder

    def _on_time(self, *_: object) -> None:
        """Break off what runs when the time is used up."""
        if time.monotonic() > self.end:
            raise _TimeIsUpError


class _TimeIsUpError(Exception):
    """Ends a fold that has begun."""


def logistic(rows: FloatArray, labels: LabelArray) -> LogisticRegression:
    """Return logistic regression fitted on a backbone's rows, the strong baseline of few labels.

    Args:
        rows: float32, shape `(n, width)`, as the backbone gives them: to scale them costs accuracy.
        labels: shape `(n,)`.
    """
    return LogisticRegression(max_iter=2000).fit(rows, labels)


def shrunk(images: ImageArray, side: int = SMALL) -> ImageArray:
    """Return images whose shorter side has at most `side` pixels, each the mean of those that it covers.

    Args:
        images: float32 or uint8, shape `(n, channels, height, width)`.
        side: in pixels.
    """
    height, width = images.shape[2:]
    if min(height, width) <= side:
        return images
    scale = side / min(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    parts = []
    for start in range(0, len(images), 100):
        means = F.adaptive_avg_pool2d(torch.from_numpy(as_floats(images[start : start + 100])), size)
        parts.append((means * 255).round().byte().numpy() if images.dtype == np.uint8 else means.numpy())
    return np.concatenate(parts)


def beats(one: Judged, other: Judged) -> bool:
    """Return whether one way is better on the images that both met, by McNemar's exact test at 5 %.

    Only images on which the two disagree tell anything (McNemar 1947,
    https://doi.org/10.1007/BF02295996): without a difference each of these is won by a toss of a coin. The
    test is two-sided, since nobody named the better way beforehand.
    """
    _, mine, theirs = np.intersect1d(one.rows, other.rows, return_indices=True)
    won = int((one.right[mine] & ~other.right[theirs]).sum())
    lost = int((other.right[theirs] & ~one.right[mine]).sum())
    return won > lost and bool(binomtest(won, won + lost).pvalue < 0.05)


def _verdict(best: Judged, tried: list[Judged], unclear: list[str]) -> str:
    n = len(best.right)
    if len(tried) == 1:
        return f"{best.method} is the only way that was tried."
    if not unclear:
        return f"{best.method} is better than the others by more than chance would explain ({n} images)."
    return (
        f"{best.method} was right most often, but {n} labelled images are too few labels to tell it from "
        f"{' and '.join(unclear)}."
    )
