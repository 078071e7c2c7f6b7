"""The course's pictures: images, neighbours, maps and accuracies with their intervals.

Every function returns a matplotlib figure, or its axes to add to. The colours are those of Okabe and Ito,
which colour-blind readers can tell apart (https://jfly.uni-koeln.de/color/).
"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metriclearn.checks.arguments import check_count
from metriclearn.checks.arrays import DIFFER, FloatArray, ImageArray, as_array, as_floats, check_embeddings
from metriclearn.checks.labels import LabelArray, check_labels, is_labelled
from metriclearn.metrics import Interval

COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#000000",
    "#B8A800",
    "#882255",
    "#888888",
)
RIGHT, WRONG = COLOURS[2], COLOURS[3]


def show_images(pixels: ImageArray, titles: Sequence[object] | None = None, columns: int = 10) -> Figure:
    """Show images in a grid, from left to right and top to bottom.

    Args:
        pixels: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`.
        titles: one short text per image.
        columns: images per row.
    """
    pixels, columns = _pictures(pixels), check_count(columns, "columns")
    names = None if titles is None else _texts(titles, "titles", len(pixels))
    rows = -(-len(pixels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * 0.9, rows * (1.15 if names else 0.9)), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for i, (axis, image) in enumerate(zip(axes.flat, pixels, strict=False)):
        _draw(axis, image)
        if names:
            axis.set_title(names[i], fontsize=9, pad=2)
    figure.tight_layout(pad=0.3)
    return figure


def show_neighbours(
    queries: ImageArray,
    neighbours: Sequence[ImageArray],
    query_titles: Sequence[object],
    neighbour_titles: Sequence[Sequence[object]],
    right: Sequence[Sequence[bool]] | None = None,
) -> Figure:
    """Show each query at the left of its row, and its neighbours to the right, nearest first.

    Args:
        queries: float32 or uint8, shape `(n, channels, height, width)`.
        neighbours: for each query its neighbours' images, shape `(k, channels, height, width)`.
        query_titles: one short text per query.
        neighbour_titles: for each query one short text per neighbour, such as label and score.
        right: for each neighbour whether its class is the query's: framed in green, otherwise in red.
    """
    queries, pictures = _pictures(queries), [_pictures(row) for row in neighbours]
    names = _texts(query_titles, "query_titles", len(queries))
    near = [
        _texts(row, "neighbour_titles", len(found))
        for row, found in zip(neighbour_titles, pictures, strict=True)
    ]
    frames = None if right is None else [list(row) for row in right]
    columns = 1 + max(len(row) for row in pictures)
    figure, axes = plt.subplots(
        len(queries), columns, figsize=(columns * 1.1, len(queries) * 1.3), squeeze=False
    )
    for i, (row, found) in enumerate(zip(axes, pictures, strict=True)):
        for axis in row:
            axis.set_visible(False)
        _framed(row[0], queries[i], names[i], "black")
        for j, image in enumerate(found):
            colour = "white" if frames is None else (RIGHT if frames[i][j] else WRONG)
            _framed(row[j + 1], image, near[i][j], colour)
    figure.tight_layout(pad=0.4)
    return figure


def show_map(points: FloatArray, labels: LabelArray, class_names: Sequence[str], title: str = "") -> Figure:
    """Show embeddings as dots in the plane, coloured by class, each class named at its middle.

    Args:
        points: float, shape `(n, 2)`.
        labels: int64, shape `(n,)`; −1 is drawn in light grey.
        class_names: one name per class.
        title: the point that the picture makes.
    """
    points = check_embeddings(as_array(points, "The points") * 1.0, 2, unit_length=False)
    labels, names = check_labels(labels, len(points)), [str(name) for name in class_names]
    if labels.max() >= len(names):
        raise ValueError(f"There is a label {labels.max()} but only {len(names)} class names: name all.")
    figure, axis = plt.subplots(figsize=(6, 5.2))
    unknown = ~is_labelled(labels)
    axis.scatter(points[unknown, 0], points[unknown, 1], s=5, c="#dddddd", linewidths=0)
    for label in np.unique(labels[~unknown]):
        mine = points[labels == label]
        axis.scatter(
            mine[:, 0], mine[:, 1], s=7, color=COLOURS[label % len(COLOURS)], alpha=0.7, linewidths=0
        )
        x, y = np.median(mine, axis=0)
        box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
        axis.text(x, y, names[label], ha="center", va="center", fontsize=10, bbox=box)
    axis.set(xticks=[], yticks=[], title=title)
    figure.tight_layout()
    return figure


def show_maps(
    maps: Mapping[str, FloatArray], labels: LabelArray, class_names: Sequence[str], one_scale: bool = False
) -> Figure:
    """Show several maps of the same images side by side, such as before and after a training.

    Args:
        maps: title -> places, float of shape `(n, 2)`.
        labels: int64, shape `(n,)`.
        class_names: one name per class, written at the middle of its dots unless all middles are one.
        one_scale: whether all maps have the same scale, so that a collapse is seen as one dot.
    """
    places = {title: as_array(points, "The points") * 1.0 for title, points in maps.items()}
    widest = max(np.ptp(points, axis=0).max() for points in places.values())
    figure, axes = plt.subplots(1, len(places), figsize=(4 * len(places), 4.3), squeeze=False)
    for axis, (title, points) in zip(axes[0], places.items(), strict=True):
        axis.scatter(*points.T, s=6, c=[COLOURS[label % len(COLOURS)] for label in labels], linewidths=0)
        middles = {label: np.median(points[labels == label], axis=0) for label in np.unique(labels)}
        if np.ptp(list(middles.values()), axis=0).max() > 0.05 * (widest if one_scale else np.ptp(points)):
            for label, (x, y) in middles.items():
                box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
                axis.text(x, y, class_names[label], ha="center", va="center", fontsize=11, bbox=box)
        if one_scale:
            x, y = (points.max(axis=0) + points.min(axis=0)) / 2
            half = 0.55 * widest
            axis.set(xlim=(x - half, x + half), ylim=(y - half, y + half))
        axis.set(xticks=[], yticks=[], title=title)
    figure.tight_layout()
    return figure


def plot_curves(
    curves: Mapping[str, npt.ArrayLike], x_label: str, y_label: str, title: str = "", log_y: bool = False
) -> Figure:
    """Draw one line per named series of values, such as a loss over the steps.

    Args:
        curves: name -> values, one per step.
        x_label: what the steps are.
        y_label: what the values are.
        title: the point that the picture makes.
        log_y: whether the vertical axis is logarithmic.
    """
    figure, axis = plt.subplots(figsize=(6.5, 3.4))
    for (name, values), colour in zip(curves.items(), cycle(COLOURS), strict=False):
        axis.plot(np.asarray(values), label=name, color=colour, linewidth=1.5)
    axis.set(xlabel=x_label, ylabel=y_label, title=title, yscale="log" if log_y else "linear")
    axis.grid(alpha=0.3)
    if len(curves) > 1:
        axis.legend(frameon=False)
    figure.tight_layout()
    return figure


def plot_accuracies(accuracies: Mapping[str, Interval], title: str = "") -> Figure:
    """Draw one dot per method with its interval, the mean written beside it.

    Args:
        accuracies: method -> accuracy in percent with its interval.
        title: the point that the picture makes.
    """
    figure, axis = plt.subplots(figsize=(7, 0.8 + 0.42 * len(accuracies)))
    for i, (interval, colour) in enumerate(zip(accuracies.values(), cycle(COLOURS), strict=False)):
        axis.plot([interval.low, interval.high], [i, i], color=colour, linewidth=3, alpha=0.5)
        axis.plot(interval.mean, i, "o", color=colour)
        axis.annotate(f"{interval.mean:.1f}", (interval.high, i), xytext=(6, -4), textcoords="offset points")
    axis.set(yticks=range(len(accuracies)), yticklabels=list(accuracies), xlabel="accuracy, %", title=title)
    axis.invert_yaxis()
    axis.margins(x=0.15, y=0.15)
    axis.grid(axis="x", alpha=0.3)
    figure.tight_layout()
    return figure


def plot_budgets(curves: Mapping[str, Mapping[int, Interval]], title: str = "") -> Figure:
    """Draw accuracy against the label budget: one line per method, its interval as a shade.

    Args:
        curves: method -> labels per class -> accuracy in percent with its interval.
        title: the point that the picture makes.
    """
    figure, axis = plt.subplots(figsize=(7.5, 4.6))
    for (name, points), colour in zip(curves.items(), cycle(COLOURS), strict=False):
        budgets = sorted(points)
        axis.plot(budgets, [points[n].mean for n in budgets], "o-", color=colour, label=name, markersize=4)
        low, high = [points[n].low for n in budgets], [points[n].high for n in budgets]
        axis.fill_between(budgets, low, high, color=colour, alpha=0.15)
    ticks = sorted({n for points in curves.values() for n in points})
    axis.set_xscale("log")
    axis.set_xticks(ticks, [str(n) for n in ticks])
    axis.minorticks_off()
    axis.set(xlabel="labels per class", ylabel="accuracy, %", title=title)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=9)
    figure.tight_layout()
    return figure


def plot_lines(lines: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], **words: Any) -> Axes:
    """Draw a line for each name, and return the axes, to add to.

    Args:
        lines: for each name the places of its points in x and in y.
        words: what `Axes.set` takes, such as `xlabel`, `yscale` or `title`.
    """
    axis = plt.subplots(figsize=(6.5, 3.3))[1]
    for (name, (x, y)), colour in zip(lines.items(), cycle(COLOURS), strict=False):
        axis.plot(x, y, "o-", color=colour, label=name)
    axis.set(**words)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=9)
    return axis


def _pictures(pixels: ImageArray) -> FloatArray:
    """Return grey or colour images to draw, as floats; what lies outside [0, 1] becomes black or white."""
    images = as_array(pixels, "The images", DIFFER)
    numbers = images.dtype.kind == "f" or images.dtype == np.uint8
    if not numbers or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"The images have shape {images.shape} and type {images.dtype}: pass floats in [0, 1] or uint8, "
            "shape (n, channels, height, width) with 1 or 3 channels."
        )
    return as_floats(images).clip(0, 1)


def _texts(titles: Sequence[object], name: str, n: int) -> list[str]:
    """Return n titles by position, as texts; fewer are refused."""
    texts = [str(title.item() if isinstance(title, torch.Tensor) else title) for title in titles]
    if len(texts) < n:
        raise ValueError(f"{name} has {len(texts)} entries for {n} images: pass one for each.")
    return texts


def _draw(axis: Axes, image: FloatArray) -> None:
    """Draw one image of shape (channels, height, width): three channels as colour, one as grey."""
    picture = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)


def _framed(axis: Axes, image: FloatArray, title: object, colour: str) -> None:
    axis.set_visible(True)
    _draw(axis, image)
    axis.set(xticks=[], yticks=[])
    axis.set_title(str(title), fontsize=8, pad=3)
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=2.5)
