"""Wrong answers to the exercises of notebook 1, each with a part of its hint."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from metriclearn import load_images, scarce_labels
from metriclearn.metrics import t_interval
from metriclearn.models import Encoder

FEW, MANY = [43.0, 43.2, 31.9, 46.7, 48.2], [82.8, 85.6, 84.1, 84.2, 86.1]


def unpaired(first: list[float], second: list[float]) -> tuple[float, float, float]:
    gap = np.mean(first) - np.mean(second)
    half = 2.776 * np.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 5)
    return gap, gap - half, gap + half


def with_normal_quantile(first: list[float], second: list[float]) -> tuple[float, float, float]:
    gaps = np.subtract(first, second)
    half = 1.96 * gaps.std() / np.sqrt(5)
    return gaps.mean(), gaps.mean() - half, gaps.mean() + half


def swapped(first: list[float], second: list[float]) -> list[float]:
    gaps = np.subtract(second, first)
    half = 2.7764 * gaps.std(ddof=1) / np.sqrt(5)
    return [gaps.mean(), gaps.mean() - half, gaps.mean() + half]


def of_gaps(
    t: float, ddof: int = 1, root: float = 5**0.5
) -> Callable[[list[float], list[float]], tuple[float, float, float]]:
    """The interval of the difference with another factor, another deviation or another root."""

    def interval(first: list[float], second: list[float]) -> tuple[float, float, float]:
        gaps = np.subtract(first, second)
        half = t * gaps.std(ddof=ddof) / root
        return gaps.mean(), gaps.mean() - half, gaps.mean() + half

    return interval


def in_order(*order: int) -> Callable[[list[float], list[float]], list[float]]:
    return lambda first, second: [of_gaps(2.7764)(first, second)[place] for place in order]


def ends_subtracted(first: list[float], second: list[float]) -> tuple[float, float, float]:
    a, b = t_interval(first), t_interval(second)
    return a.mean - b.mean, a.low - b.low, a.high - b.high


def half_widths(first: list[float], second: list[float]) -> tuple[float, float, float]:
    mean, low, high = of_gaps(2.7764)(first, second)
    return mean, mean - low, high - mean


POOL, _ = load_images("mnist-5k")


class ByHeart(nn.Module):
    """Knows the labelled images of one draw by heart, and answers with the nearest of them."""

    def __init__(self, per_class: int = 10, seed: int = 0, weights: bool = True) -> None:
        super().__init__()
        labels = scarce_labels(POOL.labels, per_class, seed)
        rows = torch.as_tensor(POOL.pixels[labels >= 0]).flatten(1)
        self.rows = nn.Parameter(rows, requires_grad=weights)
        self.labels = torch.as_tensor(labels[labels >= 0])

    def forward(self, x: Tensor) -> Tensor:
        near = -torch.cdist(x.flatten(1), self.rows)
        return torch.stack([near[:, self.labels == label].amax(dim=1) for label in range(10)], dim=1)


def rounded_to_points(first: list[float], second: list[float]) -> list[float]:
    return [round(end) for end in in_any_number(first, second)]


def in_any_number(first: list[float], second: list[float]) -> list[float]:
    found = t_interval(np.subtract(first, second))
    return [found.mean, found.low, found.high]


def without_sign(first: list[float], second: list[float]) -> list[float]:
    mean, low, high = in_any_number(first, second)
    return [abs(mean), low, high]


def all_without_sign(first: list[float], second: list[float]) -> list[float]:
    return [abs(end) for end in in_any_number(first, second)]


def of_sizes(first: list[float], second: list[float]) -> list[float]:
    return in_any_number(list(np.abs(np.subtract(first, second))), [0.0] * len(first))


def larger_first(first: list[float], second: list[float]) -> list[float]:
    if np.mean(first) < np.mean(second):
        first, second = second, first
    return in_any_number(first, second)


def first_five(first: list[float], second: list[float]) -> list[float]:
    return in_any_number(first[:5], second[:5])


WRONG = [
    ("1.1", (0.85, {1: FEW, 50: MANY}), "looks like a share"),
    ("1.1", (85, {1: FEW[:3], 50: MANY}), "one per draw"),
    ("1.1", (85, {1: FEW, 50: [84.0] * 5}), "its own seed"),
    ("1.1", (85, {1: [0.1, 0.2, 5.0, 3.0, 9.0], 50: MANY}), "looks like a share"),
    ("1.1", (85, {1: [9.0, 10.0, 11.0, 9.5, 10.5], 50: MANY}), "labelled -1"),
    ("1.1", (85, {1: FEW, 50: [93.0, 93.5, 93.1, 93.2, 93.4]}), "outside the budget"),
    ("1.1", (85, {1: MANY, 50: FEW}), "swapped"),
    ("1.1", (85, {1: [70.8, 74.8, 76.4, 74.9, 71.5], 50: MANY}), "the two budgets"),
    ("1.1", (85, [FEW, MANY]), "the keys 1 and 50"),
    ("1.1", (85, {1: FEW, 50: 84.6}), "is a float"),
    ("1.1", (85, {1: FEW, 50: [*MANY[:4], float("nan")]}), "NaN"),
    ("1.1", (85, {1: [0.43, 0.432, 0.319, 0.467, 0.482], 50: MANY}), "looks like a share"),
    ("1.1", (85, {1: FEW, 50: [83.3, 84.1, 84.1, 82.8, 84.1]}), "check the model"),  # three neighbours
    ("1.1", (85, {1: FEW, 50: [86.1, 86.1, 85.7, 86.0, 87.3]}), "the distance"),  # cosine
    ("1.1", (85, {1: FEW, 50: [82.9, 84.6, 82.7, 83.3, 83.8]}), "the distance"),  # city blocks
    ("1.1", (85, {1: FEW, 50: [87.2, 87.7, 86.25, 87.52, 88.2]}), "*test* images"),
    ("1.1", (85, {1: [43.0, 43.2, 46.7, 48.2, 41.2], 50: MANY}), "five seeds"),  # one left out
    ("1.1", (8460, {1: FEW, 50: MANY}), "between 0 and 100"),
    ("1.1", (float("nan"), {1: FEW, 50: MANY}), "NaN"),
    ("1.2", (72.8, "augmentation"), "Hand over the trained network"),
    ("1.2", (70.8, "augmentation"), "Hand over the trained network"),  # raw pixels
    ("1.2", (np.array([72.8]), "augmentation"), "Hand over the trained network"),
    ("1.2", (ByHeart, "augmentation"), "Hand over the trained network"),  # not built yet
    ("1.2", (ByHeart(weights=False), "augmentation"), "Hand over the trained network"),
    ("1.2", (Encoder((1, 28, 28), 10).state_dict(), "augmentation"), "Hand over the trained network"),
    ("1.2", (ByHeart(per_class=300), "augmentation"), "random copies"),  # as good as with augmentation
    ("1.2", (Encoder((1, 28, 28), 10), "augmentation"), "its own hundred images"),  # not trained
    ("1.2", (ByHeart(seed=1), "augmentation"), "its own hundred images"),  # another draw
    ("1.2", (ByHeart(per_class=1), "augmentation"), "its own hundred images"),
    ("1.2", (Encoder((1, 28, 28), 32), "augmentation"), "ten logits"),
    ("1.2", (ByHeart(), "network"), "nearer to raw pixels"),
    ("1.2", (ByHeart(), "luck"), "one of 'network', 'augmentation'"),
    ("1.2", (ByHeart(), True), "one of 'network'"),
    ("1.3", (unpaired,), "too wide"),
    ("1.3", (with_normal_quantile,), "Student's t"),
    ("1.3", (swapped,), "first minus second"),
    ("1.3", (lambda a, b: np.mean(a) - np.mean(b),), "shape"),
    ("1.3", (lambda a, b: (0.0, -1.0, 1.0),), "mean of the difference"),
    ("1.3", (of_gaps(2.7764, ddof=0),), "ddof=1"),
    ("1.3", (of_gaps(1.96),), "Student's t"),
    ("1.3", (of_gaps(2.571),), "Student's t"),  # five degrees of freedom
    ("1.3", (of_gaps(2.132),), "Student's t"),  # 90 %
    ("1.3", (of_gaps(2.7764, root=1),), "too wide"),
    ("1.3", (of_gaps(2.7764, root=2),), "Student's t"),  # the root of n - 1
    ("1.3", (in_order(1, 0, 2),), "in another order"),
    ("1.3", (in_order(0, 2, 1),), "comes before the upper"),
    ("1.3", (ends_subtracted,), "ends of two intervals"),
    ("1.3", (half_widths,), "the two ends themselves"),
    ("1.3", (lambda a, b: (t_interval(a), t_interval(b)),), "intervals of each method"),
    ("1.3", (lambda a, b: (np.nan, np.nan, np.nan),), "NaN"),
    ("1.3", (lambda a, b: [f"{value:.1f}" for value in of_gaps(2.7764)(a, b)],), "should hold numbers"),
    ("1.3", (2.4,), "function itself"),
    ("1.3", (rounded_to_points,), "one decimal at least"),
    ("1.3", (without_sign,), "or lost"),
    ("1.3", (all_without_sign,), "or lost"),
    ("1.3", (of_sizes,), "keep the sign of each"),
    ("1.3", (larger_first,), "or lost"),
    ("1.3", (first_five,), "mean of the difference"),
    ("1.3", (of_gaps(2.7764),), "of the number of draws"),  # always five
    ("1.3", (lambda a, b: (2.4, 0.984, 3.816),), "mean of the difference"),  # the first case by heart
]
