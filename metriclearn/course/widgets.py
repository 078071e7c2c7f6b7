"""Living figures: a map of embeddings, a pad to draw digits on, and a playground for triplets.

Each is an anywidget (https://anywidget.dev) whose face is one JavaScript file in `living/`. The same files
run on the course's site, where no Python does: `tools/living_data.py` writes what they need there. Where
neither can run, such as on GitHub, a picture of the figure's state is shown in its place.
"""

import base64
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import anywidget
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from PIL import Image
from traitlets import Dict, Float, Int, List, Unicode

from metriclearn.checks.arrays import FloatArray, as_array, as_floats, check_embeddings, check_images
from metriclearn.checks.labels import check_class_labels
from metriclearn.classify import QdrantClassifier
from metriclearn.data import ImageSet, load_images, scarce_labels
from metriclearn.embedding import MetricEmbedding
from metriclearn.losses import Mining, triplet_loss
from metriclearn.plots import COLOURS
from metriclearn.unknown import unknown_threshold

LIVING = Path(__file__).parent / "living"
TRAINING = LIVING / "training.npz"
COLUMNS = 40  # of a sheet of images; the JavaScript knows this number
SHOWN = 6  # neighbours that the map shows
SIDE = 28  # height and width of a drawing
MINERS = ("all", "semihard", "hard")


class _LivingFigure(anywidget.AnyWidget):
    """What the three figures share: one style sheet, and a picture for where no widget can run."""

    _css = LIVING / "living.css"

    def picture(self) -> Figure:
        """Draw the figure's state with matplotlib."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        figure, file = self.picture(), io.BytesIO()
        figure.savefig(file, format="png", dpi=80, bbox_inches="tight")
        plt.close(figure)
        return {**data, "image/png": base64.b64encode(file.getvalue()).decode()}, metadata


class EmbeddingMap(_LivingFigure):
    """A map of embeddings through training: hover to see an image, click to see its neighbours.

    A click shows the nearest images by raw pixels and by embedding side by side, by cosine; a slider
    moves through the snapshots, and the neighbours by embedding with it.

    Args:
        pixels: float32, shape `(n, channels, height, width)`, in [0, 1]; shown in grey.
        labels: int, shape `(n,)`, classes 0 and up.
        embeddings: float, shape `(snapshots, n, N)`.
        places: float, shape `(snapshots, n, 2)`: where each image lies at each snapshot.
        titles: what to call each snapshot.
        class_names: one name per class.

    Raises:
        ValueError: if the shapes do not fit, or there are fewer than seven images.
    """

    _esm = LIVING / "map.js"
    sheet = Unicode().tag(sync=True)
    side: List[Any] = List().tag(sync=True)
    labels: List[Any] = List().tag(sync=True)
    class_names: List[Any] = List().tag(sync=True)
    colours: List[Any] = List().tag(sync=True)
    titles: List[Any] = List().tag(sync=True)
    places: List[Any] = List().tag(sync=True)
    by_pixels: List[Any] = List().tag(sync=True)
    by_embedding: List[Any] = List().tag(sync=True)
    snapshot = Int().tag(sync=True)
    chosen = Int(-1).tag(sync=True)

    def __init__(
        self,
        pixels: FloatArray,
        labels: npt.ArrayLike,
        embeddings: FloatArray,
        places: FloatArray,
        titles: Sequence[str],
        class_names: Sequence[str],
    ) -> None:
        super().__init__(**map_state(pixels, labels, embeddings, places, titles, class_names))

    @classmethod
    def of_training(cls) -> "EmbeddingMap":
        """Return the map of a stored training of the published encoder's kind, before its first step."""
        stored = cls(*training_run())
        stored.snapshot = 0
        return stored

    def picture(self) -> Figure:
        """Draw the first snapshot and the current one, or the last if the current one is the first."""
        shown = [0, self.snapshot or len(self.titles) - 1]
        figure, axes = plt.subplots(1, len(shown), figsize=(4.5 * len(shown), 4.5), squeeze=False)
        colours = [self.colours[label] for label in self.labels]
        for axis, snapshot in zip(axes[0], shown, strict=True):
            x, y = np.array(self.places[snapshot]).T
            axis.scatter(x, y, s=7, c=colours, linewidths=0)
            axis.set(xticks=[], yticks=[], title=self.titles[snapshot])
            for label, name in enumerate(self.class_names):
                mine = np.array(self.labels) == label
                if mine.any():
                    axis.text(
                        np.median(x[mine]), np.median(y[mine]), name, bbox={"fc": "white", "alpha": 0.7}
                    )
        return figure

    def __repr__(self) -> str:
        return f"EmbeddingMap of {len(self.labels)} images, {self.titles[self.snapshot]}"


class DrawDigit(_LivingFigure):
    """A pad to draw a digit on; the kernel encodes it, Qdrant finds its neighbours, and they vote.

    Uses the published encoder and the 100 labelled images of its training. A drawing whose nearest
    neighbour is farther than the threshold is called unknown; the threshold rejects 5 % of digits, by
    500 test images set aside (notebook 6).

    Args:
        image: a digit to begin with, float, shape `(28, 28)` or `(1, 28, 28)`, in [0, 1].

    Attributes:
        drawing: 784 bytes, row by row, in base64.
        answer: `label` (−1 = unknown), `neighbours` (row, label, score), `votes` (a share per label).

    Raises:
        ValueError: if the image or a drawing does not have 28 x 28 numbers.
    """

    _esm = LIVING / "draw.js"
    sheet = Unicode().tag(sync=True)
    side: List[Any] = List().tag(sync=True)
    threshold = Float().tag(sync=True)
    drawing = Unicode().tag(sync=True)
    answer: "Dict[str, Any]" = Dict().tag(sync=True)

    def __init__(self, image: npt.ArrayLike | None = None) -> None:
        shown, embeddings, threshold = references()
        # In memory also where there is a server: two pads would take each other's collection away.
        self._classifier = QdrantClassifier(path=":memory:").fit(embeddings, shown.labels)
        super().__init__(sheet=sprite_sheet(shown.pixels), side=[SIDE, SIDE], threshold=threshold)
        self.observe(lambda change: self._look(), "drawing")
        if image is not None:
            pixels = as_array(image, "The image").astype(np.float32)
            if pixels.size != SIDE * SIDE or not (pixels.min() >= 0 and pixels.max() <= 1):
                raise ValueError(f"The image has shape {pixels.shape}: pass 28 x 28 numbers in [0, 1].")
            self.drawing = base64.b64encode(
                np.round(pixels.ravel() * 255).astype(np.uint8).tobytes()
            ).decode()

    def close(self) -> None:
        """Take the widget off the page and let go of the collection."""
        if hasattr(self, "_classifier"):
            self._classifier.close()
        super().close()

    def _look(self) -> None:
        if not self.drawing:
            self.answer = {}
            return
        vector = encoder().transform(pixels_of(self.drawing))
        distances, rows = self._classifier.kneighbors(vector)
        shares = self._classifier.predict_proba(vector)[0]
        classes = self._classifier.classes_
        scores, labels = 1 - distances[0], references()[0].labels[rows[0]]
        self.answer = {
            "label": int(classes[shares.argmax()]) if scores[0] >= self.threshold else -1,
            "neighbours": [
                {"row": int(row), "label": int(label), "score": float(score)}
                for row, label, score in zip(rows[0], labels, scores, strict=True)
            ],
            "votes": {str(name): float(share) for name, share in zip(classes, shares, strict=True) if share},
        }

    def picture(self) -> Figure:
        """Draw what the encoder sees and its neighbours with their scores."""
        neighbours: list[dict[str, Any]] = self.answer.get("neighbours", [])
        images = [pixels_of(self.drawing) if self.drawing else np.zeros((1, 1, SIDE, SIDE), np.float32)]
        images += [references()[0].pixels[[neighbour["row"]]] for neighbour in neighbours]
        titles = [self._verdict()]
        titles += [f"{neighbour['label']}: {neighbour['score']:.2f}" for neighbour in neighbours]
        figure, axes = plt.subplots(1, len(images), figsize=(1.5 * len(images), 1.8), squeeze=False)
        for axis, image, title in zip(axes[0], images, titles, strict=True):
            axis.imshow(image[0, 0], cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.set_title(title, fontsize=10)
        return figure

    def _verdict(self) -> str:
        if not self.answer:
            return "nothing drawn"
        return "unknown" if self.answer["label"] < 0 else f"this is a {self.answer['label']}"

    def __repr__(self) -> str:
        return f"DrawDigit: {self._verdict()}"


class TripletPlayground(_LivingFigure):
    """Points on a plane to drag about: which triplets are active, and where do gradients pull?

    The arrows point where a step of gradient descent would move each point. The distances are those on
    the plane: nothing is scaled to unit length here.

    Args:
        points: float, shape `(n, 2)`, in [−1, 1].
        labels: int, shape `(n,)`.
        margin: how much nearer the positive must be, 0 to 1.
        mining: `"all"`, `"semihard"` or `"hard"`.

    Raises:
        ValueError: if points and labels do not fit, or for another margin or mining.
    """

    _esm = LIVING / "triplets.js"
    points: List[Any] = List().tag(sync=True)
    labels: List[Any] = List().tag(sync=True)
    margin = Float().tag(sync=True)
    mining = Unicode().tag(sync=True)

    def __init__(
        self,
        points: npt.ArrayLike = (
            (-0.6, 0.4),
            (-0.15, -0.5),
            (-0.35, 0.0),
            (0.15, 0.35),
            (0.6, -0.1),
            (0.3, -0.55),
        ),
        labels: npt.ArrayLike = (0, 0, 0, 1, 1, 1),
        margin: float = 0.3,
        mining: Mining = "semihard",
    ) -> None:
        places = as_array(points, "The points").astype(np.float64)
        if places.ndim != 2 or places.shape[1] != 2 or not np.abs(places).max() <= 1:
            raise ValueError(f"points has shape {places.shape}: pass pairs of numbers in [-1, 1].")
        if not 0 <= margin <= 1:
            raise ValueError(f"margin is {margin!r}: choose a number from 0 to 1.")
        if mining not in MINERS:
            raise ValueError(f'mining is {mining!r}: choose "all", "semihard" or "hard".')
        classes = check_class_labels(labels, len(places))
        super().__init__(points=places.tolist(), labels=classes.tolist(), margin=margin, mining=mining)

    def loss_and_pull(self) -> tuple[float, npt.NDArray[np.float64]]:
        """Return the triplet loss of the points as they lie now, and minus its gradient, shape `(n, 2)`."""
        points = torch.tensor(self.points, dtype=torch.float64, requires_grad=True)
        loss = triplet_loss(points, torch.tensor(self.labels), self.margin, cast(Mining, self.mining))
        loss.backward()  # type: ignore[no-untyped-call]
        assert points.grad is not None
        return loss.item(), -points.grad.numpy()

    def picture(self) -> Figure:
        """Draw the points and where each is pulled."""
        loss, pull = self.loss_and_pull()
        x, y = np.array(self.points).T
        figure, axis = plt.subplots(figsize=(4.5, 4.5))
        axis.quiver(x, y, *pull.T, angles="xy", scale_units="xy", scale=1, width=0.006, color="#888888")
        axis.scatter(x, y, s=90, c=[COLOURS[label % len(COLOURS)] for label in self.labels], zorder=3)
        title = f"{self.mining}, margin {self.margin:.2f}: loss {loss:.3f}"
        axis.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[], title=title, aspect="equal")
        return figure

    def __repr__(self) -> str:
        return f"TripletPlayground of {len(self.labels)} points, loss {self.loss_and_pull()[0]:.3f}"


def map_state(
    pixels: FloatArray,
    labels: npt.ArrayLike,
    embeddings: FloatArray,
    places: FloatArray,
    titles: Sequence[str],
    class_names: Sequence[str],
) -> dict[str, Any]:
    """Return what the map's JavaScript needs, as JSON types; the arguments are those of `EmbeddingMap`."""
    images = as_floats(check_images(pixels))
    classes = check_class_labels(labels, len(images))
    spots = as_array(places, "The places").astype(np.float64)
    vectors = as_array(embeddings, "The embeddings")
    titles, names = [str(title) for title in titles], [str(name) for name in class_names]
    shape = (len(titles), len(images))
    if vectors.shape[:2] != shape or spots.shape != (*shape, 2):
        raise ValueError(
            f"There are {shape[0]} titles and {shape[1]} images, but embeddings has shape "
            f"{vectors.shape} and places {spots.shape}: pass one row per title and image in each."
        )
    if len(images) <= SHOWN:
        raise ValueError(f"There are {len(images)} images: a map needs more than {SHOWN}.")
    if classes.min() < 0 or classes.max() >= len(names):
        raise ValueError(f"There are {len(names)} class names: pass a label from 0 on for each image.")
    low, high = spots.min(axis=(0, 1)), spots.max(axis=(0, 1))
    return {
        "sheet": sprite_sheet(images),
        "side": list(images.shape[2:]),
        "labels": classes.tolist(),
        "class_names": names,
        "colours": [COLOURS[i % len(COLOURS)] for i in range(len(names))],
        "titles": titles,
        "places": np.round((spots - low) / (high - low), 3).tolist(),
        "by_pixels": nearest(images.reshape(len(images), -1)).tolist(),
        "by_embedding": [nearest(snapshot).tolist() for snapshot in vectors],
        "snapshot": len(titles) - 1,
        "chosen": -1,
    }


def nearest(vectors: npt.ArrayLike) -> npt.NDArray[np.int_]:
    """Return the rows of the six nearest others of each row by cosine, int of shape `(n, 6)`."""
    rows = np.asarray(vectors, dtype=np.float32)
    unit = check_embeddings(rows, rows.shape[1], unit_length=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    return np.argsort(-cosine, axis=1, kind="stable")[:, :SHOWN]


def sprite_sheet(pixels: FloatArray) -> str:
    """Return images side by side, 40 in a row, in one grey PNG, as a data URL.

    Args:
        pixels: float32, shape `(n, channels, height, width)`, in [0, 1].
    """
    n, _, height, width = pixels.shape
    rows = -(-n // COLUMNS)
    tiles = np.zeros((rows * COLUMNS, height, width), dtype=np.uint8)
    tiles[:n] = np.round(pixels.mean(axis=1) * 255)
    sheet = tiles.reshape(rows, COLUMNS, height, width).swapaxes(1, 2).reshape(rows * height, COLUMNS * width)
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def pixels_of(drawing: str) -> FloatArray:
    """Return the image of a drawing, float32 of shape `(1, 1, 28, 28)` in [0, 1].

    Raises:
        ValueError: if the text is not 784 bytes in base64.
    """
    try:
        raw = base64.b64decode(drawing, validate=True)
    except ValueError:
        raise ValueError("The drawing is no base64: send 784 bytes, row by row, in base64.") from None
    if len(raw) != SIDE * SIDE:
        raise ValueError(f"The drawing has {len(raw)} bytes: send 784, one for each of 28 x 28 pixels.")
    pixels: FloatArray = np.frombuffer(raw, np.uint8).astype(np.float32) / np.float32(255)
    return pixels.reshape(1, 1, SIDE, SIDE)


@cache
def encoder() -> MetricEmbedding:
    """Return the published encoder."""
    return MetricEmbedding.load()


@cache
def references() -> tuple[ImageSet, FloatArray, float]:
    """Return the 100 labelled images of the published encoder, their embeddings, and the threshold."""
    pool, test = load_images("mnist-5k")
    shown = pool[np.flatnonzero(scarce_labels(pool.labels, per_class=10, seed=0) >= 0)]
    embeddings = encoder().transform(shown.pixels)
    return shown, embeddings, unknown_threshold(embeddings, encoder().transform(test.pixels[:500]))


def training_run() -> tuple[FloatArray, npt.ArrayLike, FloatArray, FloatArray, list[str], Sequence[str]]:
    """Return what `EmbeddingMap` takes, of 1,000 pool images over the 600 steps of one training.

    `benchmarks/training_snapshots.py` made it: a training with the settings of the published encoder.
    """
    pool, _ = load_images("mnist-5k")
    with np.load(TRAINING) as stored:
        shown = pool[stored["rows"]]
        titles = [f"after {step} of {stored['steps'][-1]} steps" for step in stored["steps"]]
        embeddings, places = stored["embeddings"].astype(np.float32), stored["places"].astype(np.float32)
    return shown.pixels, shown.labels, embeddings, places, titles, shown.class_names
