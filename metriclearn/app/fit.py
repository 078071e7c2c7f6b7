"""`metriclearn fit`: from a folder to a classifier, step by step; each is kept, so that a stop costs one.

    read the pictures -> the backbone's rows -> judge each way on the reader's own labels -> train the best
    one on all of them -> embed everything -> the threshold for "unknown" from pictures held out -> write

Nothing that is written depends on the clock: the same pictures, labels and seed give the same folder on the
same machine, whether the run was stopped on its way or not.
"""

import hashlib
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from metriclearn.backbones import Backbone, BackboneEncoder, as_backbone
from metriclearn.cache import cache_folder, kept_array
from metriclearn.choose import SMALL, Judged, beats, decide, logistic
from metriclearn.embedding import MetricEmbedding, encoder_id
from metriclearn.evaluate import Interval, share_interval
from metriclearn.inference import in_batches
from metriclearn.labels import LabelArray, is_labelled
from metriclearn.models import Encoder
from metriclearn.photos import Photographs, progress_bar
from metriclearn.trust import HeldOut, Learn, caught, cross_fit, deal
from metriclearn.tuning import train_on_backbone
from metriclearn.validate import FloatArray

FORM = 4  # of what the steps keep
WAYS = ("frozen", "head", "scratch", "tune")
TRIED = ("frozen", "head", "scratch")  # by "auto"; to tune a backbone takes minutes for each fold
DIM = 64
FOLDS = {"frozen": 5, "head": 5, "scratch": 3, "tune": 3}
TINY = 28  # side of the pictures that a small network learns from: of tiny ones no more is known
HEAD_STEPS = 300
SCRATCH_STEPS = 600
ON_ROWS = ("frozen", "head")  # nothing looks at the pictures but the backbone, once
BETTER_STILL = (
    " Plain logistic regression on the pretrained network's rows was right more often still; it has no "
    "neighbours to show and no unknown, but if you need neither, take it."
)
QUANTILE = 0.05  # share of known pictures that may be called unknown for nothing


@dataclass(frozen=True)
class Fitted:
    """What a fit gives.

    Attributes:
        way: which of `WAYS`.
        backbone: the name of the pretrained network that was there to begin with.
        embedding: the trained transformer from squares to embeddings.
        vectors: float32, shape `(n, N)`: the embeddings of all pictures.
        held_out: what was said of each labelled picture by a classifier that had not met it.
        table: one entry per way tried: its accuracy, in percent with an interval, on how many pictures.
        verdict: what that says, in a sentence.
        caught: how many pictures of a class that was left out are called unknown; None if not measured.
    """

    way: str
    backbone: str
    embedding: MetricEmbedding
    vectors: FloatArray
    held_out: HeldOut
    table: list[dict[str, Any]]
    verdict: str
    caught: Interval | None


class Steps:
    """Arrays that were computed already, in a folder of the cache named by all that they depend on."""

    def __init__(self, photographs: Photographs, **depends: Any) -> None:
        versions = (FORM, np.__version__, torch.__version__, torch.get_num_threads())
        of = (versions, photographs.digests, photographs.labels.tolist(), sorted(depends.items()))
        self.key = hashlib.sha256(repr(of).encode()).hexdigest()[:32]
        self.folder = cache_folder() / "fits" / self.key

    def array(self, name: str, compute: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return an array from the cache, or compute it and keep it."""
        return kept_array(self.folder / f"{name}.npy", compute)

    def forget(self) -> None:
        """Remove them: the result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def fit(photographs: Photographs, method: str, backbone: str, seed: int, device: str, steps: Steps) -> Fitted:
    """Choose a way on the labels that are there, and train it on all pictures.

    Args:
        photographs: the pictures, with at least two classes of two labels.
        method: one of `WAYS`, or `"auto"`: the best of `TRIED` by cross-validation.
        backbone: name of a pretrained network, see `load_backbone`.
        seed: of everything that is drawn.
        device: where to compute.
        steps: where each step is kept.
    """
    work = _Work(photographs, backbone, steps, seed, device)
    labels = _without_twins(photographs)
    held: dict[str, HeldOut] = {}
    for way in TRIED if method == "auto" else (method,):
        say(f"Judging {way} on your own labels ...")
        held[way] = work.judge(way, labels, [_judged(*other) for other in held.items()])
    choice = decide([_judged(*each) for each in held.items()])
    way, verdict = choice.winner, choice.verdict
    simpler = work.logistic(labels) if method == "auto" else None
    if simpler is not None and simpler.mean > held[way].accuracy.mean:
        verdict += BETTER_STILL
    strangers = work.strangers(way, held[way].threshold(QUANTILE), labels)
    say(f"Training {way} on all labels ...")
    embedding = work.train(way)
    vectors = steps.array(f"{way}-vectors", lambda: work.embed(way, embedding.encoder_))
    return Fitted(
        way,
        backbone,
        embedding,
        vectors,
        held[way],
        _table(held, simpler),
        verdict,
        strangers,
    )


def _judged(way: str, held: HeldOut) -> Judged:
    return Judged(way, held.accuracy, held.rows, held.right, 0.0)


def _table(held_out: dict[str, HeldOut], simpler: Interval | None) -> list[dict[str, Any]]:
    table = [
        {"way": way, "accuracy": rounded(held.accuracy), "folds": held.folds}
        for way, held in held_out.items()
    ]
    if simpler is not None:
        table.append({"way": "logistic", "accuracy": rounded(simpler), "folds": FOLDS["frozen"]})
    return table


def rounded(interval: Interval) -> dict[str, Any]:
    """Return an interval as the card has it, in percent."""
    return {
        "percent": round(interval.mean, 1),
        "low": round(interval.low, 1),
        "high": round(interval.high, 1),
        "pictures": interval.n,
    }


def _without_twins(photographs: Photographs) -> LabelArray:
    """Return the labels, where of equal files only the first keeps its own: it would judge its double."""
    labels, seen = photographs.labels.copy(), set()
    for row, digest in enumerate(photographs.digests):
        if digest in seen:
            labels[row] = -1
        seen.add(digest)
    kept, counts = np.unique(labels[is_labelled(labels)], return_counts=True)
    whole = np.unique(photographs.labels[is_labelled(photographs.labels)])
    if len(kept) < len(whole) or counts.min() < 2:  # a class of nothing but doubles
        return photographs.labels
    return labels


class _Work:
    """The ways to learn, over the same pictures; what several of them need is computed once."""

    def __init__(self, photographs: Photographs, backbone: str, steps: Steps, seed: int, device: str) -> None:
        self.photographs, self.steps, self.seed, self.device = photographs, steps, seed, device
        self.name = backbone
        self.side = side_for(photographs)

    def judge(self, way: str, labels: LabelArray, others: Sequence[Judged] = ()) -> HeldOut:
        """Return what a way says of each labelled picture when it has not met it.

        A way that one of the others beats after some folds is spared the rest, which takes minutes.
        """
        return cross_fit(
            self._learner(way, "fold"),
            labels,
            folds=FOLDS[way],
            seed=self.seed,
            enough=lambda so_far: any(beats(other, _judged(way, so_far)) for other in others),
        )

    def logistic(self, labels: LabelArray) -> Interval:
        """Return the accuracy of logistic regression on the backbone's rows: what the others have to beat."""
        folds = deal(labels, FOLDS["frozen"], self.seed)
        say("Judging logistic regression, the simpler way ...")

        def right(stay: npt.NDArray[np.int_], leave: npt.NDArray[np.int_]) -> npt.NDArray[np.bool_]:
            simple = logistic(self.rows[stay], labels[stay])
            said: npt.NDArray[np.bool_] = simple.predict(self.rows[leave]) == labels[leave]
            return said

        parts = self.steps.array("logistic", lambda: np.concatenate([right(*fold) for fold in folds]))
        return share_interval(int(parts.sum()), len(parts))

    def strangers(self, way: str, threshold: float | None, labels: LabelArray) -> Interval | None:
        """Return how many pictures of a class left out are called unknown, where that takes seconds."""
        classes = np.unique(labels[is_labelled(labels)])
        if threshold is None or len(classes) < 3 or way not in ON_ROWS:
            return None
        say("Leaving one class out after another ...")
        return caught(self._learner(way, "without"), labels, threshold)

    def _learner(self, way: str, what: str) -> Learn:
        """Return a function that trains a way on some rows; what it gives is kept by its number."""
        number = count()

        def learn(rows: npt.NDArray[np.int_], known: LabelArray) -> FloatArray:
            name = f"{way}-{what}-{next(number)}"
            return self.steps.array(name, lambda: self._learn(way, rows, known))

        return learn

    def _learn(self, way: str, rows: npt.NDArray[np.int_], known: LabelArray) -> FloatArray:
        return self.embed(way, self.encoder(way, rows, known))

    def train(self, way: str) -> MetricEmbedding:
        """Return the way, trained on all pictures; read back if that was done before."""
        folder, labels = self.steps.folder / f"{way}-encoder", self.photographs.labels
        if not (folder / "card.json").is_file():
            embedding = self.estimator(way)
            embedding.encoder_ = self.encoder(way, np.arange(len(labels)), labels)
            embedding.encoder_id_ = encoder_id(embedding.encoder_)
            embedding.classes_ = np.unique(labels[is_labelled(labels)])
            embedding.n_labels_ = int(is_labelled(labels).sum())
            embedding.save(folder)
        return MetricEmbedding.load(folder, device=self.device)

    def encoder(self, way: str, rows: npt.NDArray[np.int_], labels: LabelArray) -> Encoder | BackboneEncoder:
        """Return an encoder trained on some of the pictures.

        Args:
            way: one of `WAYS`.
            rows: which pictures.
            labels: theirs.
        """
        wanted = self.estimator(way)
        if way == "scratch":
            return wanted.fit(self.small[rows], labels).encoder_
        encoder, _ = train_on_backbone(
            self.backbone,
            None if way in ON_ROWS else self.photographs.pixels[rows],
            labels,
            DIM,
            tune=wanted.tune,
            steps=wanted.steps,
            seed=self.seed,
            rows=self.rows[rows],
        )
        return encoder

    def estimator(self, way: str) -> MetricEmbedding:
        """Return the untrained transformer of a way."""
        if way == "scratch":
            return MetricEmbedding(steps=SCRATCH_STEPS, random_state=self.seed, device=self.device)
        return MetricEmbedding(
            DIM,
            backbone=self.name,
            tune="last" if way == "tune" else way,
            steps=HEAD_STEPS if way == "head" else None,
            random_state=self.seed,
            device=self.device,
        )

    def embed(self, way: str, encoder: Encoder | BackboneEncoder) -> FloatArray:
        """Return the embeddings of all pictures."""
        if isinstance(encoder, BackboneEncoder) and way in ON_ROWS:
            return in_batches(encoder.embed_rows, self.rows)
        return in_batches(encoder.embed, self.small if way == "scratch" else self.photographs.pixels)

    @cached_property
    def small(self) -> npt.NDArray[np.uint8]:
        """The pictures as the small network sees them."""
        return self.photographs.small(self.side)

    @cached_property
    def rows(self) -> FloatArray:
        """The backbone's rows of all pictures, float32 of shape `(n, width)`; kept part by part."""
        say("Looking at the pictures with the pretrained network ...")
        return rows_of(self.photographs, self.backbone)

    @cached_property
    def backbone(self) -> Backbone:
        """The pretrained network, which sees all pictures in the shape of most."""
        return as_backbone(self.name, self.device, self.photographs.aspect)


def rows_of(photographs: Photographs, backbone: Backbone) -> FloatArray:
    """Return the backbone's rows of all pictures, kept in the cache by what the pictures hold."""
    device = backbone.device
    folder, parts, done = cache_folder() / "rows", [], 0
    with progress_bar(len(photographs), "Looking") as bar:
        for batch in photographs.batches():
            named = "".join(photographs.digests[done : done + len(batch)])
            key = hashlib.sha256(f"{FORM} {backbone.fingerprint} {device} {named}".encode()).hexdigest()[:32]
            parts.append(kept_array(folder / f"{key}.npy", partial(in_batches, backbone.forward, batch)))
            done += len(batch)
            bar.update(len(batch))
    return np.concatenate(parts)


def side_for(photographs: Photographs) -> int:
    """Return the side at which a small network sees these pictures: half of them decide what is tiny."""
    return TINY if float(np.median(np.minimum(photographs.widths, photographs.heights))) <= 40 else SMALL


def say(text: str) -> None:
    """Tell a person who waits; a pipe hears nothing."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)
