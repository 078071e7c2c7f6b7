"""The photographs of notebook 10: solar cells, which come with a package, and how it draws its results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from metriclearn.checks.arrays import FloatArray, ImageArray
from metriclearn.checks.labels import UNLABELLED, LabelArray
from metriclearn.metrics import Interval
from metriclearn.plots import COLOURS

CLASSES = ("sound", "defect")
KINDS = ("mono", "poly")


@dataclass(frozen=True)
class SolarCells:
    """Photographs of solar cells, in the order in which their package lists them.

    Attributes:
        images: uint8, shape `(n, 1, 300, 300)`.
        labels: int64, shape `(n,)`: 0 = sound, 1 = defect, -1 = the experts were not sure.
        class_names: "sound" and "defect".
        probability: float64, shape `(n,)`: of a defect, as experts gave it.
        kinds: int64, shape `(n,)`: 0 = cut from one crystal, 1 = cast from many.
        kind_names: "mono" and "poly".
    """

    images: ImageArray
    labels: LabelArray
    class_names: tuple[str, ...]
    probability: npt.NDArray[np.float64]
    kinds: LabelArray
    kind_names: tuple[str, ...]


def solar_cells(n: int = 800, seed: int = 0) -> SolarCells:
    """Return n solar cells, drawn at random from 2,624.

    They are 300 x 300 and grey, with the probability of a defect that experts gave: 0, 1/3, 2/3 or 1. Deitsch
    et al. 2019, https://doi.org/10.1016/j.solener.2019.02.067; their licence is CC BY-NC-SA 4.0.

    Args:
        n: how many; all if there are fewer.
        seed: seed of the choice.

    Raises:
        ModuleNotFoundError: if the package with the solar cells is not installed.
    """
    try:
        from elpv_dataset.utils import load_dataset
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'The solar cells are in a package of their own: run pip install "metriclearn[elpv]".'
        ) from None
    images, probability, kinds = load_dataset()
    chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:n])
    probability = probability[chosen]
    sure = np.isin(probability, (0, 1))
    return SolarCells(
        images[chosen][:, None],
        np.where(sure, probability, UNLABELLED).astype(np.int64),
        CLASSES,
        probability,
        np.searchsorted(KINDS, kinds[chosen]).astype(np.int64),
        KINDS,
    )


def plot_leads(panels: Mapping[str, Mapping[str, Mapping[str, Interval | None]]], x_label: str) -> Figure:
    """Draw leads as a forest plot: a dot and its interval in each row, and a line at zero.

    Args:
        panels: title -> method -> labels per class -> lead with its interval, or None. All panels have the
            methods and numbers of the first.
        x_label: what the leads are measured in.
    """
    rows = [(method, n) for method, leads in next(iter(panels.values())).items() for n in leads]
    methods = [*dict(rows)]
    figure, axes = plt.subplots(
        1, len(panels), sharey=True, figsize=(10, 1 + 0.28 * len(rows)), squeeze=False
    )
    for axis, (title, leads) in zip(axes.flat, panels.items(), strict=True):
        axis.axvline(0, color="black", linewidth=1)
        for y, (method, n) in enumerate(rows):
            colour = COLOURS[methods.index(method)]
            if lead := leads[method][n]:
                axis.plot([lead.low, lead.high], [y, y], color=colour, linewidth=3, alpha=0.5)
                axis.plot(lead.mean, y, "o", color=colour)
        axis.set(xlabel=x_label, title=title)
        axis.grid(axis="x", alpha=0.3)
    axes.flat[0].set_yticks(range(len(rows)), [f"{method}, {n} per class" for method, n in rows])
    axes.flat[0].invert_yaxis()
    figure.tight_layout()
    return figure


def show_maps(points: FloatArray, questions: Mapping[str, tuple[LabelArray, Sequence[str]]]) -> Figure:
    """Show embeddings as dots in the plane, once for each question, with a legend.

    Args:
        points: float, shape `(n, 2)`.
        questions: title -> the answer for each point, int64 of shape `(n,)`, and the answers' names.
    """
    figure, axes = plt.subplots(1, len(questions), figsize=(10, 5), squeeze=False)
    first = 0
    for axis, (title, (groups, names)) in zip(axes.flat, questions.items(), strict=True):
        for group, name in enumerate(names):
            mine = points[groups == group]
            axis.scatter(mine[:, 0], mine[:, 1], s=9, color=COLOURS[first + group], label=name)
        axis.set(xticks=[], yticks=[], title=title)
        axis.legend(
            loc="upper center", bbox_to_anchor=(0.5, 0), ncols=len(names), markerscale=3, frameon=False
        )
        first += len(names)
    figure.tight_layout()
    return figure


def plot_forecast(
    missing: Mapping[int, FloatArray],
    fitted: Sequence[int],
    singles: Sequence[float],
    interval: tuple[float, float],
    wanted: float,
) -> Figure:
    """Draw a learning curve on logarithmic axes, the line through its start, and what the line forecasts.

    Args:
        missing: labels per class -> what each draw misses to an AUROC of 100, in percent.
        fitted: the numbers of labels that the line is fitted to.
        singles: labels per class that lines through single draws ask for.
        interval: the ends of the interval of the forecast.
        wanted: the AUROC that is forecast, in percent.
    """
    figure, axis = plt.subplots(figsize=(8, 4.4))
    slope, start = np.polyfit(np.log(fitted), np.log([missing[n].mean() for n in fitted]), 1)
    ends = np.array([8.0, 900.0])
    axis.plot(ends, np.exp(start + slope * np.log(ends)), "--", color=COLOURS[0], label="the line")
    for name, chosen, colour in (
        ("fitted", [n for n in missing if n in fitted], COLOURS[0]),
        ("measured later", [n for n in missing if n not in fitted], COLOURS[2]),
    ):
        axis.plot(chosen, [missing[n].mean() for n in chosen], "o", color=colour, label=name)
    at = 100 - wanted
    axis.plot(interval, [at, at], color=COLOURS[1], linewidth=7, alpha=0.6, label="95 % interval")
    axis.plot(singles, [at] * len(singles), "x", color="black", label="from one draw", zorder=5)
    axis.set(xscale="log", yscale="log", xlabel="labels per class", ylabel="AUROC, %")
    ticks = [10, 20, 50, 100, 200, 500]
    axis.set_xticks(ticks, [str(n) for n in ticks])
    axis.set_yticks([30, 20, 10, 5], ["70", "80", "90", "95"])
    axis.minorticks_off()
    axis.invert_yaxis()
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, loc="upper left")
    figure.tight_layout()
    return figure
