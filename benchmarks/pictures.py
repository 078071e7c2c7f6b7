"""Draw the pictures of README and site: maps of the test images, accuracy against labels, and triplets.

python -m benchmarks.pictures     writes maps.png, learning_curve.png and triplets.png to docs, in a minute
"""

from pathlib import Path
from typing import Literal

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

from benchmarks.common import read_results
from metriclearn import MetricEmbedding, load_images
from metriclearn.checks.arrays import FloatArray
from metriclearn.checks.labels import LabelArray
from metriclearn.course.widgets import TripletPlayground
from metriclearn.curation import embedding_map
from metriclearn.metrics import t_interval
from metriclearn.plots import COLOURS, plot_budgets
from metriclearn.training import embed, train_autoencoder

DOCS = Path(__file__).parent.parent / "docs"
MAPS, CURVE, TRIPLETS = DOCS / "maps.png", DOCS / "learning_curve.png", DOCS / "triplets.png"
DPI = 100
# What the curves show: the method and one rival of each kind, in words that a visitor knows.
SHOWN = {
    "metric embedding + 1-NN": "metric embedding: this course",
    "supervised CNN": "supervised CNN",
    "PCA + label spreading": "label spreading, no network",
    "autoencoder + 1-NN": "autoencoder, nearest image",
    "raw pixels, 1-NN": "raw pixels, nearest image",
}


def places() -> tuple[dict[str, FloatArray], LabelArray]:
    """Return where each test image lies on each map, and the labels of the test images."""
    pool, test = load_images("mnist-5k")
    autoencoder, _ = train_autoencoder(pool.pixels)  # it learns from the pool alone
    vectors = {
        "raw pixels": test.pixels.reshape(len(test), -1),
        "autoencoder": embed(autoencoder.encoder, test.pixels),
        "trained embedding, 10 labels per class": MetricEmbedding.load().transform(test.pixels),
    }
    return {name: np.asarray(embedding_map(found)) for name, found in vectors.items()}, test.labels


def draw_maps(maps: dict[str, FloatArray], labels: LabelArray) -> Figure:
    """Draw the maps side by side, one colour for each digit, which is named where most of it lies."""
    figure, axes = plt.subplots(1, len(maps), figsize=(16, 5.6))
    for axis, (title, points) in zip(axes, maps.items(), strict=True):
        for label in np.unique(labels):
            mine = points[labels == label]
            axis.scatter(*mine.T, s=11, color=COLOURS[label], alpha=0.75, linewidths=0)
        for label in np.unique(labels):
            middle = np.median(points[labels == label], axis=0)
            name = axis.text(*middle, str(label), ha="center", va="center", fontsize=24, fontweight="bold")
            name.set_path_effects([withStroke(linewidth=5, foreground="white")])
        axis.set(xticks=[], yticks=[])
        axis.set_title(title, fontsize=19, pad=10)
        axis.spines[:].set_color("#cccccc")
    figure.tight_layout(w_pad=1.5)
    return figure


def draw_curve() -> Figure:
    """Draw accuracy against the number of labels, from the results on file."""
    methods = read_results("label_efficiency")["methods"]
    return plot_budgets(
        {
            words: {int(n): t_interval(entry["accuracy"]) for n, entry in methods[name].items()}
            for name, words in SHOWN.items()
        }
    )


def draw_triplets() -> Figure:
    """Draw how a training step would move six points of two classes: the playground as it begins."""
    playground = TripletPlayground(mining="all")
    figure = playground.picture()
    [axis] = figure.axes
    figure.set_size_inches(6, 4.2)
    axis.set(title="one class together, two classes apart", xlim=(-1, 1), ylim=(-0.7, 0.6))
    figure.tight_layout()
    return figure


def save(figure: Figure, path: Path, colours: Literal[64, 128, 256]) -> None:
    """Write a picture with few colours: the file is a third as large, and looks the same."""
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    with Image.open(path) as full:
        small = full.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def main() -> None:
    """Draw them all."""
    matplotlib.use("Agg")
    save(draw_maps(*places()), MAPS, 128)
    save(draw_triplets(), TRIPLETS, 64)
    with plt.style.context({"font.size": 12, "figure.facecolor": "white"}):
        save(draw_curve(), CURVE, 64)


if __name__ == "__main__":
    main()
