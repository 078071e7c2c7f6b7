"""Each picture holds what it is said to show."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from metriclearn import plots
from metriclearn.metrics import Interval

ACCURACIES = {"raw pixels": Interval(74.0, 71.5, 76.5, 5), "metric": Interval(96.3, 95.9, 96.7, 5)}
GREY, COLOUR = (1, 28, 28), (3, 20, 30)


@pytest.fixture(autouse=True)
def _no_window():
    before = mpl.get_backend()
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


def pixels(n, shape=GREY):
    return np.random.default_rng(0).random((n, *shape), dtype=np.float32)


def drawn(figure):
    """Draw the figure for real, check that it is not blank, and return its axes."""
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 1
    assert plt.get_fignums() == [figure.number]  # one figure, and none left open beside it
    return figure.axes


def shown(axes):
    return [axis for axis in axes if axis.images]


@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize(("n", "rows"), [(1, 1), (10, 1), (13, 2)])
def test_show_images(shape, n, rows):
    images = pixels(n, shape)
    axes = drawn(plots.show_images(images, titles=range(n)))
    assert len(axes) == rows * 10
    assert [axis.get_title() for axis in shown(axes)] == [str(i) for i in range(n)]
    for axis, image in zip(shown(axes), images, strict=True):
        expected = image.transpose(1, 2, 0) if shape == COLOUR else image[0]
        np.testing.assert_array_equal(axis.images[0].get_array(), expected)
        assert not axis.axison


def test_show_images_without_titles():
    axes = drawn(plots.show_images(pixels(4), columns=2))
    assert len(shown(axes)) == 4
    assert {axis.get_title() for axis in axes} == {""}


def test_grey_images_share_one_scale():
    axes = drawn(plots.show_images(np.stack([np.zeros(GREY), np.full(GREY, 0.5)]).astype(np.float32)))
    assert [axis.images[0].get_clim() for axis in shown(axes)] == [(0, 1), (0, 1)]


def test_show_neighbours():
    figure = plots.show_neighbours(
        pixels(2),
        [pixels(3), pixels(2)],
        ["a", "b"],
        [["1", "2", "3"], ["4", "5"]],
        [[True, False, True], [False, True]],
    )
    axes = drawn(figure)
    assert [axis.get_title() for axis in shown(axes)] == ["a", "1", "2", "3", "b", "4", "5"]
    frames = [to_hex(axis.spines["top"].get_edgecolor()).upper() for axis in shown(axes)]
    right, wrong, query = plots.RIGHT, plots.WRONG, "#000000"
    assert frames == [query, right, wrong, right, query, wrong, right]
    assert [axis.get_visible() for axis in axes] == [True] * 7 + [False]


def test_show_neighbours_without_judgement():
    axes = drawn(plots.show_neighbours(pixels(1), [pixels(1)], ["a"], [["b"]]))
    assert to_hex(axes[1].spines["top"].get_edgecolor()) == "#ffffff"


def test_show_map():
    points, labels = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3 - 1
    (axis,) = drawn(plots.show_map(points, labels, ["cat", "dog"], title="a map"))
    assert axis.get_title() == "a map"
    assert [text.get_text() for text in axis.texts] == ["cat", "dog"]
    assert [len(dots.get_offsets()) for dots in axis.collections] == [10, 10, 10]
    place = np.median(points[labels == 0], axis=0)
    np.testing.assert_allclose(axis.texts[0].get_position(), place)


def test_show_map_without_labels():
    (axis,) = drawn(plots.show_map(np.eye(2), np.array([-1, -1]), ["cat"]))
    assert len(axis.texts) == 0


def test_show_maps():
    labels = np.arange(30) % 2
    wide = np.random.default_rng(0).normal(size=(30, 2)) + 9 * labels[:, None]
    maps = {"before": wide, "one dot": 0.001 * wide}
    left, right = drawn(plots.show_maps(maps, labels, ["cat", "dog"], one_scale=True))
    assert [axis.get_title() for axis in (left, right)] == ["before", "one dot"]
    assert [text.get_text() for text in left.texts] == ["cat", "dog"]
    assert not right.texts  # the names would hide the dot
    assert np.ptp(left.get_xlim()) == pytest.approx(np.ptp(right.get_xlim()))


def test_show_maps_each_on_its_own_scale():
    labels = np.arange(30) % 2
    small = 0.001 * (np.random.default_rng(0).normal(size=(30, 2)) + 9 * labels[:, None])
    _, right = drawn(plots.show_maps({"a": 1000 * small, "b": small}, labels, ["cat", "dog"]))
    assert len(right.texts) == 2


def test_more_classes_than_colours():
    labels = np.arange(24)
    (axis,) = drawn(plots.show_map(np.c_[labels, labels], labels, [str(i) for i in labels]))
    assert len(axis.texts) == 24


@pytest.mark.parametrize("log_y", [False, True])
def test_plot_curves(log_y):
    figure = plots.plot_curves({"train": [3, 2, 1], "test": [4, 3, 3]}, "step", "D", "falls", log_y=log_y)
    (axis,) = drawn(figure)
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_title()) == ("step", "D", "falls")
    assert axis.get_yscale() == ("log" if log_y else "linear")
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["train", "test"]
    np.testing.assert_array_equal(axis.lines[1].get_ydata(), [4, 3, 3])


def test_a_single_curve_needs_no_legend():
    (axis,) = drawn(plots.plot_curves({"D": [3, 2, 1]}, "step", "D"))
    assert axis.get_legend() is None


def test_plot_accuracies():
    (axis,) = drawn(plots.plot_accuracies(ACCURACIES, title="who wins"))
    assert axis.get_title() == "who wins"
    assert axis.get_xlabel() == "accuracy, %"
    assert [label.get_text() for label in axis.get_yticklabels()] == ["raw pixels", "metric"]
    assert [text.get_text() for text in axis.texts] == ["74.0", "96.3"]
    np.testing.assert_array_equal(axis.lines[0].get_xdata(), [71.5, 76.5])
    assert axis.yaxis_inverted()


def test_plot_budgets():
    curves = {name: {10: interval, 1: interval} for name, interval in ACCURACIES.items()}
    (axis,) = drawn(plots.plot_budgets(curves, title="budget"))
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_title()) == (
        "labels per class",
        "accuracy, %",
        "budget",
    )
    assert axis.get_xscale() == "log"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "10"]
    np.testing.assert_array_equal(axis.lines[0].get_xdata(), [1, 10])
    assert [text.get_text() for text in axis.get_legend().get_texts()] == list(ACCURACIES)
    assert len(axis.collections) == 2
