"""Wrong answers to the exercises of notebook 1, each with a part of its hint."""

import numpy as np

FEW, MANY = [43.0, 40.0, 46.0, 38.0, 50.0], [84.0, 85.0, 83.5, 84.5, 85.5]


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
    ("1.2", (95.0, "augmentation"), "did `augment=False` reach"),
    ("1.2", (9.5, "augmentation"), "far too low"),
    ("1.2", (77.0, "network"), "nearer to raw pixels"),
    ("1.2", (77.0, "luck"), "one of 'network', 'augmentation'"),
    ("1.2", ("77", "augmentation"), "is a str"),
    ("1.3", (unpaired,), "too wide"),
    ("1.3", (with_normal_quantile,), "Student's t"),
    ("1.3", (swapped,), "first minus second"),
    ("1.3", (lambda a, b: np.mean(a) - np.mean(b),), "shape"),
    ("1.3", (lambda a, b: (0.0, -1.0, 1.0),), "mean of the difference"),
    ("1.3", (2.4,), "function itself"),
]
