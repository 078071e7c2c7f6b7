"""Model selection: which method suits these images? Their own labels decide, by cross-validation.

No method is best everywhere: a pretrained network that knows a million photographs may know nothing of hands
in the dark. So each method in `METHODS` is judged on the labelled images, and the one that is right most
often is taken; where the labels are too few to tell, that is said. Test images play no part.

    choose_method     which method is best, within a time
    Candidates        the same, step by step; `fit` also trains the best one on all images
"""

import hashlib
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_random_state
from torch import nn

from metriclearn.backbones import LITE0, STRIDE, Backbone, as_backbone
from metriclearn.batches import in_batches
from metriclearn.checks.arguments import check_choice, check_device, check_folder, check_number, check_seed
from metriclearn.checks.arrays import FloatArray, ImageArray, check_images
from metriclearn.checks.labels import LabelArray, check_class_labels, check_groups, is_labelled
from metriclearn.cross_validation import (
    CrossValidation,
    Learn,
    RowArray,
    cross_validate,
    leave_one_class_out,
    significantly_better,
    stratified_folds,
    without_duplicates,
)
from metriclearn.embedding import MetricEmbedding
from metriclearn.files import cached_array
from metriclearn.finetune import BackboneEncoder, features_of, frozen_encoder, train_head, train_on_backbone
from metriclearn.metrics import Interval, clustered_interval
from metriclearn.models import Encoder
from metriclearn.photos import Photographs, downscale
from metriclearn.photos.features import photograph_features
from metriclearn.training import train_metric

VERSION = 6  # increase it to invalidate what is cached
SIDE = 48  # pixels at which the small network sees photographs, chosen with its 600 steps on Omniglot
QUANTILE = 0.05  # share of images of known classes that may be called unknown by mistake
AnyEncoder = Encoder | BackboneEncoder


@dataclass(frozen=True)
class Method:
    """A method to learn from few labels.

    Attributes:
        explanation: what it does, in a sentence; {} stands for the name of the backbone.
        settings: of `MetricEmbedding`, beside the backbone.
        on_backbone: whether it begins with a pretrained network.
        on_features: whether it looks at nothing but that network's features, which are computed once.
        by_neighbours: whether it answers by nearest neighbours, so that it can be shipped: it shows the
            examples that it answers by, says "unknown" and takes new classes.
    """

    explanation: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    on_backbone: bool = True
    on_features: bool = True
    by_neighbours: bool = True


METHODS = {  # the cheapest first
    "frozen": Method(
        "The pretrained {} as it is, its features centred; nothing is trained.", {"tune": "frozen"}
    ),
    "logistic": Method(
        "Logistic regression on the features of the pretrained {}: the baseline that a head has to beat.",
        by_neighbours=False,
    ),
    "head-without-pool": Method(
        "A small network on the features of the pretrained {}, trained on the labelled pictures alone.",
        {"tune": "head", "pseudo_labels": False},
    ),
    "head": Method(
        "A small network on the features of the pretrained {}, trained on these pictures.", {"tune": "head"}
    ),
    "scratch": Method(
        "A small network trained from scratch on these pictures.", on_backbone=False, on_features=False
    ),
    "last": Method(
        "The pretrained {}, its last blocks and a head trained on these pictures.",
        {"tune": "last"},
        on_features=False,
    ),
}
AUTO = ("frozen", "logistic", "head-without-pool", "head", "scratch")  # "last" takes minutes for each fold


@dataclass(frozen=True)
class Score:
    """How one method did on images that it had not met.

    Attributes:
        method: its name in `METHODS`.
        rows: int, shape `(n,)`: the images that it was asked for; none if it was not tried.
        correct: bool, shape `(n,)`: which of these it named correctly.
        folds: number of folds that it was judged on.
        seconds: what the judging took.
        note: why it was not tried, or not on all folds; else empty.
        held_out: all that was said of these images, if the method answers by neighbours.
        groups: int64, shape `(n,)`: equal numbers for images of one group; None if each is judged alone.
    """

    method: str
    rows: RowArray = field(default_factory=lambda: np.zeros(0, dtype=int))
    correct: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    folds: int = 0
    seconds: float = 0.0
    note: str = ""
    held_out: CrossValidation | None = None
    groups: LabelArray | None = None

    @property
    def accuracy(self) -> Interval | None:
        """In percent, with an interval as for `CrossValidation`; None if the method was not tried."""
        return clustered_interval(self.correct, self.groups) if len(self.correct) else None

    def __str__(self) -> str:
        found = "not tried" if self.accuracy is None else f"{self.accuracy}, n = {self.accuracy.n}"
        return f"{self.method:<17} {found}{f' ({self.note})' if self.note else ''}"


@dataclass(frozen=True)
class Choice:
    """What `choose_method` found.

    Attributes:
        table: one score per method.
        winner: the method that was right most often; of equal ones the cheapest.
        clear: whether it is significantly better than every other.
        verdict: both in a sentence.
    """

    table: tuple[Score, ...]
    winner: str
    clear: bool
    verdict: str

    def __str__(self) -> str:
        return "\n".join([*map(str, self.table), self.verdict])


@dataclass(frozen=True)
class FittedMethod(Choice):
    """The best method that answers by neighbours, trained on all images.

    Attributes:
        embedding: the trained transformer.
        embeddings: float32, shape `(n, N)`: the embeddings of all images.
        held_out: what was said of each labelled image by a classifier that had not met it.
        unseen: share of the images of a class left out that are called unknown; None if not measured.
    """

    embedding: MetricEmbedding
    embeddings: FloatArray
    held_out: CrossValidation
    unseen: Interval | None


def choose_method(
    images: ImageArray | Photographs,
    labels: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    backbone: str | nn.Module = LITE0,
    methods: Sequence[str] | None = None,
    seconds: float = 300.0,
    random_state: int = 0,
    device: str = "cpu",
    cache: str | Path | None = None,
) -> Choice:
    """Model selection by cross-validation on the labelled images, within a time.

    For each fold every method learns without it, the unlabelled images included, and is asked for it. All
    methods meet the same folds in the same order. When the time is used up, a fold is broken off and does not
    count; a method that another significantly beats is spared the remaining folds.

    Args:
        images: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`; or `Photographs`, which are
            read batch by batch.
        labels: int, shape `(n,)`, -1 = unlabelled; at least two classes, two images of each.
        groups: whole numbers or texts, shape `(n,)`: images of one scene, part or plant, or near-duplicates
            (`metriclearn.curation.duplicate_groups`), held out together; -1 or None is a group of its own.
        backbone: a name for `load_backbone`, or a module from images to features.
        methods: names from `METHODS`; by default all.
        seconds: the time for all of them; only the backbone's features are finished in any case.
        random_state: seed of the folds and of all training.
        device: where to compute, such as `"cpu"`, `"cuda"` or `"auto"`.
        cache: a folder in which finished steps are stored, so that an interrupted call goes on from them.

    Raises:
        ValueError: for images, labels, groups or settings that do not fit; see `cross_validate`.
        FileNotFoundError: if the backbone's weights are neither installed nor can be downloaded.
        OSError: if the cache cannot be written.

    Example:
        >>> choose_method(images, labels, methods=["frozen", "logistic", "head"])  # doctest: +SKIP
    """
    seconds = check_number(seconds, "seconds", 0, without=(0,))
    candidates = Candidates(
        images,
        labels,
        groups=groups,
        backbone=backbone,
        random_state=random_state,
        device=device,
        cache=cache,
    )
    return decide(candidates.scores([*METHODS] if methods is None else methods, seconds))


class Candidates:
    """Candidate methods on the same images: judge them, and train the best one on all of these.

    What several methods need is computed once. Equal images are judged once: of these the first alone keeps
    its label while the methods are judged, or each would give its double away. What comes out does not depend
    on whether a run with a cache was interrupted.

    Args:
        images, labels, groups, backbone, random_state, device, cache: as for `choose_method`, as is what is
            raised.
        progress: called with a sentence on what begins.

    Example:
        >>> photographs = read_photographs("my_pictures")  # doctest: +SKIP
        >>> fitted = Candidates(photographs, photographs.labels).fit()  # doctest: +SKIP
        >>> fitted.winner, fitted.held_out.accuracy  # doctest: +SKIP
    """

    def __init__(
        self,
        images: ImageArray | Photographs,
        labels: npt.ArrayLike,
        *,
        groups: npt.ArrayLike | None = None,
        backbone: str | nn.Module = LITE0,
        random_state: int = 0,
        device: str = "cpu",
        cache: str | Path | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.images = images if isinstance(images, Photographs) else check_images(images)
        self.labels = check_class_labels(labels, len(self.images))
        self.groups = None if groups is None else check_groups(groups, len(self.images))
        self.backbone = backbone
        self.random_state, self.device = check_seed(random_state), str(check_device(device))
        self.progress = progress or (lambda text: None)
        self.seed = int(check_random_state(self.random_state).randint(2**31 - 1))  # as MetricEmbedding does
        if isinstance(self.images, Photographs):
            self.digests = self.images.digests
        else:
            self.digests = tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in self.images)
        self.judged = without_duplicates(self.labels, self.digests)
        self.folds = stratified_folds(self.judged, seed=self.random_state, groups=self.groups)
        self.folder = None if cache is None else check_folder(cache) / self.key

    @cached_property
    def key(self) -> str:
        """32 hexadecimal digits that change with all that the results depend on, but for the methods."""
        backbone = self.backbone if isinstance(self.backbone, str) else self.network.fingerprint
        versions = (VERSION, np.__version__, torch.__version__, torch.get_num_threads())
        ranges = self.images.ranges if isinstance(self.images, Photographs) else None
        groups = None if self.groups is None else self.groups.tolist()
        given = (self.digests, ranges, self.labels.tolist(), groups, backbone, self.random_state, self.device)
        return hashlib.sha256(repr((versions, given)).encode()).hexdigest()[:32]

    def fit(self, methods: Sequence[str] = AUTO) -> FittedMethod:
        """Judge methods, and train the best of those that answer by neighbours on all images.

        Raises:
            ValueError: for anything but a list of names from `METHODS`, one of which answers by neighbours.
        """
        scores = self.scores(methods)
        able = [score for score in scores if METHODS[score.method].by_neighbours]
        if not able:
            raise ValueError("Logistic regression has no neighbours to answer by: name another method, too.")
        choice = decide(able)
        method, verdict = choice.winner, choice.verdict
        held_out = {score.method: score.held_out for score in able if score.held_out}[method]
        logistic = next((score.accuracy for score in scores if score.method == "logistic"), None)
        if logistic and logistic.mean > held_out.accuracy.mean:
            verdict += (
                " Plain logistic regression on the pretrained network's features was right more often still; "
                "it has no neighbours to show and no unknown, but if you need neither, take it."
            )
        self.progress(f"Training {method} on all labels ...")
        embedding = self.train(method)
        embeddings = self._cached(f"{method}-all", lambda: self._embed(method, embedding.encoder_))
        unseen, threshold = None, held_out.threshold(QUANTILE)
        if threshold is not None and len(embedding.classes_) > 2 and METHODS[method].on_features:
            unseen = self.unseen(method, threshold)  # trained on features, in seconds
        found = embedding, embeddings, held_out, unseen
        return FittedMethod(tuple(scores), method, choice.clear, verdict, *found)

    def unseen(self, method: str, threshold: float) -> Interval | None:
        """Return the share of unknown images of classes left out; see `leave_one_class_out`."""
        self.progress("Leaving one class out after another ...")
        learn = self._learner(method, "without")
        return leave_one_class_out(learn, self.judged, threshold, groups=self.groups)

    def scores(self, methods: Sequence[str], seconds: float = math.inf) -> list[Score]:
        """Judge methods, the cheapest first, within a time; each on the same folds."""
        if isinstance(methods, str) or not len(methods):
            raise ValueError(f"methods is a text or empty: pass a list of some of {', '.join(METHODS)}.")
        wanted = {check_choice(method, "methods", METHODS) for method in methods}
        deadline, scores = time.monotonic() + seconds, list[Score]()
        for method in sorted(wanted, key=[*METHODS].index):
            scores.append(self.score(method, scores, deadline))
        return scores

    def score(self, method: str, rivals: Sequence[Score] = (), deadline: float = math.inf) -> Score:
        """Cross-validate one method, until a deadline on the clock of `time.monotonic`.

        A rival that was judged before, answers by neighbours, too, and is significantly better, spares it the
        remaining folds.
        """
        if note := self._impossible(method):
            return Score(method, note=note)
        self.progress(f"Judging {method} on your own labels ...")
        start, so_far, better = time.monotonic(), list[CrossValidation](), list[str]()

        def check_time(*_: object) -> None:
            if time.monotonic() > deadline:
                raise _TimeIsUpError

        def stop(found: CrossValidation) -> bool:
            so_far.append(found)
            better.extend(one.method for one in rivals if one.held_out and significantly_better(one, found))
            return bool(better)

        with suppress(_TimeIsUpError):
            check_time()
            if not METHODS[method].by_neighbours:
                return self._score_logistic(method)
            learn = self._learner(method, "fold", check_time)
            so_far.append(
                cross_validate(learn, self.judged, groups=self.groups, seed=self.random_state, stop=stop)
            )
        seconds = time.monotonic() - start
        if not so_far:
            return Score(method, seconds=seconds, note="no time was left")
        found = so_far[-1]
        if found.folds < len(self.folds):
            why = f"{better[0]} was significantly better" if better else "the time was up"
            note = f"{found.folds} of {len(self.folds)} folds, then {why}"
        return Score(method, found.rows, found.correct, found.folds, seconds, note, found, found.groups)

    def train(self, method: str) -> MetricEmbedding:
        """Return the transformer that a method gives, trained on all images; read back if it was before."""
        folder, chosen = self.folder and self.folder / f"{method}-encoder", METHODS[method]
        backbone = self.backbone if chosen.on_backbone else None
        if folder is not None:
            with suppress(FileNotFoundError, ValueError):  # it is not there yet, or damaged
                return MetricEmbedding.load(folder, self.device, backbone=backbone)
        embedding = MetricEmbedding(random_state=self.random_state, device=self.device, **chosen.settings)
        known, rows = self.labels[is_labelled(self.labels)], np.arange(len(self.labels))
        embedding.backbone, embedding.encoder_ = backbone, self._encoder(method, rows, self.labels)
        embedding.classes_, embedding.n_labels_ = np.unique(known), len(known)
        if folder is None:
            return embedding
        embedding.save(folder)
        return MetricEmbedding.load(folder, self.device, backbone=backbone)

    def clear_cache(self) -> None:
        """Remove the stored steps: their result was written elsewhere."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    @cached_property
    def network(self) -> Backbone:
        """The pretrained network, which sees photographs in the shape of most."""
        aspect = self.images.aspect if isinstance(self.images, Photographs) else None
        return as_backbone(self.backbone, self.device, aspect)

    @cached_property
    def features(self) -> FloatArray:
        """The pretrained network's features of all images, float32 of shape `(n, width)`."""
        self.progress("Looking at the pictures with the pretrained network ...")
        if isinstance(self.images, Photographs):
            return photograph_features(self.images, self.network)
        return features_of(self.network, self.images)

    @property
    def pixels(self) -> ImageArray:
        """The images themselves; of `Photographs`, a file that is mapped."""
        return self.images.pixels if isinstance(self.images, Photographs) else self.images

    @cached_property
    def small(self) -> ImageArray:
        """The images as the small network sees them."""
        images, side = self.images, small_side(self.images)
        return images.small(side) if isinstance(images, Photographs) else downscale(images, side)

    def _impossible(self, method: str) -> str:
        """Return why a method cannot be tried on these images, or an empty text."""
        named = METHODS[method].on_backbone and isinstance(self.backbone, str)
        if named and not isinstance(self.images, Photographs) and min(self.images.shape[2:]) < STRIDE:
            return f"the images are smaller than {STRIDE} pixels"
        if method == "last" and not self.network.has_trunk:
            return "the backbone has no stated last part"
        return ""

    def _score_logistic(self, method: str) -> Score:
        """Cross-validate logistic regression, which takes seconds."""
        start, rows = time.monotonic(), np.concatenate([held_out for _, held_out in self.folds])

        def compute() -> npt.NDArray[Any]:
            said = [
                logistic_regression(self.features[stay], self.labels[stay]).predict(self.features[held_out])
                for stay, held_out in self.folds
            ]
            return np.asarray(np.concatenate(said) == self.labels[rows])

        correct = self._cached(method, compute)
        groups = None if self.groups is None else self.groups[rows]
        return Score(method, rows, correct, len(self.folds), time.monotonic() - start, groups=groups)

    def _learner(self, method: str, what: str, check_time: Callable[..., None] = lambda *_: None) -> Learn:
        """Return a function that trains a method on some rows; what it gives is cached by its number."""
        number, labelled = count(), np.flatnonzero(is_labelled(self.judged))

        def learn(rows: RowArray, labels: LabelArray) -> FloatArray:
            check_time()
            found = self._cached(
                f"{method}-{what}-{next(number)}",
                lambda: self._embed(method, self._encoder(method, rows, labels, check_time), labelled),
            )
            embeddings = np.zeros((len(self.labels), found.shape[1]), dtype=np.float32)
            embeddings[labelled] = found
            return embeddings

        return learn

    def _encoder(
        self, method: str, rows: RowArray, labels: LabelArray, report: Callable[..., None] | None = None
    ) -> AnyEncoder:
        """Return the encoder that a method trains on some of the images."""
        chosen = METHODS[method]
        options: dict[str, Any] = {"seed": self.seed, "report": report, **chosen.settings}
        if not chosen.on_backbone:
            return train_metric(self.small[rows], labels, device=self.device, **options)[0].encoder
        features = self.features[rows]
        if not chosen.on_features:
            return train_on_backbone(self.network, self.pixels[rows], labels, features=features, **options)[0]
        if options.pop("tune") == "frozen":
            return frozen_encoder(self.network, features)
        return train_head(self.network, features, labels, **options)[0]

    def _embed(self, method: str, encoder: AnyEncoder, rows: RowArray | None = None) -> FloatArray:
        """Return the embeddings of all images, or of some."""
        if isinstance(encoder, BackboneEncoder) and METHODS[method].on_features:
            return in_batches(encoder.embed_features, self.features, rows)
        return in_batches(encoder.embed, self.pixels if METHODS[method].on_backbone else self.small, rows)

    def _cached(self, name: str, compute: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return an array from the cache, if there is one; else compute it."""
        return compute() if self.folder is None else cached_array(self.folder / f"{name}.npy", compute)


class _TimeIsUpError(Exception):
    """Ends a fold that has begun."""


def decide(table: Sequence[Score]) -> Choice:
    """Return which method, of these from the cheapest on, was right most often, and if that may be chance."""
    tried = [score for score in table if score.accuracy is not None]
    if not tried:
        raise ValueError(f"No method could be tried: {table[0].note}.")
    # One that was broken off may have met easy images alone: on these, too, none may be better.
    unbeaten = [score for score in tried if not any(significantly_better(other, score) for other in tried)]
    best = max(unbeaten or tried, key=lambda score: float(score.correct.mean()))
    unclear = [other.method for other in tried if other is not best and not significantly_better(best, other)]
    n = len(best.correct)
    if len(tried) == 1:
        verdict = f"{best.method} is the only method that was tried."
    elif unclear:
        verdict = (
            f"{best.method} was right most often, but {n} labelled images are too few labels to tell it from "
            f"{' and '.join(unclear)}."
        )
    else:
        verdict = f"{best.method} is better than the others by more than chance would explain ({n} images)."
    return Choice(tuple(table), best.method, not unclear, verdict)


def logistic_regression(features: FloatArray, labels: LabelArray) -> LogisticRegression:
    """Fit logistic regression to a backbone's features: the strong baseline of few labels.

    Args:
        features: float32, shape `(n, width)`, as the backbone gives them: to scale them costs accuracy.
        labels: shape `(n,)`.
    """
    return LogisticRegression(max_iter=2000).fit(features, labels)


def small_side(images: ImageArray | Photographs) -> int:
    """Return the side at which a small network sees images, in pixels: 48, or their own where that is less.

    Args:
        images: an array, shape `(n, channels, height, width)`, or `Photographs`; where these are of several
            sizes, it is the one that three quarters of them have at least.
    """
    if isinstance(images, Photographs):
        own = np.quantile(np.minimum(images.widths, images.heights), 0.25, method="lower")
    else:
        own = min(images.shape[2:])
    return min(SIDE, int(own))
