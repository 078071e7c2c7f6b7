"""Right answers to the exercises of notebook 1, in other forms."""

import numpy as np
import torch

from metriclearn.metrics import t_interval

FEW, MANY = [43.0, 43.2, 31.9, 46.7, 48.2], [82.8, 85.6, 84.1, 84.2, 86.1]
OTHER_SEEDS = {1: [41.2, 52.2, 37.6, 48.6, 49.9], 50: [85.3, 85.1, 87.1, 86.7, 86.2]}  # 5 to 9


def by_formula(first: list[float], second: list[float]) -> tuple[float, float, float]:
    gaps = np.array(first) - np.array(second)
    half = 2.776445 * gaps.std(ddof=1) / np.sqrt(5)
    return gaps.mean(), gaps.mean() - half, gaps.mean() + half


RIGHT = [
    ("1.1", (85, {1: FEW, 50: MANY})),
    ("1.1", (np.float32(60), {1: tuple(FEW), 50: tuple(MANY)})),
    ("1.1", (84.6, {50: np.array(MANY), 1: np.array(FEW)})),
    ("1.1", (0, {1: torch.tensor(FEW), 50: torch.tensor(MANY)})),
    ("1.1", (85, {1: [np.float64(share) for share in FEW], 50: [torch.tensor(share) for share in MANY]})),
    ("1.1", (85, {1: FEW[::-1], 50: MANY[::-1]})),
    ("1.1", (85, OTHER_SEEDS)),
    ("1.2", (72.8, "augmentation")),
    ("1.2", (np.float64(72.3), " Augmentation ")),
    ("1.2", (torch.tensor(75.6), "augmentation")),
    ("1.2", (np.array([77.0]), np.str_("augmentation"))),
    ("1.2", (73, "AUGMENTATION")),
    ("1.3", (by_formula,)),
    ("1.3", (lambda a, b: list(by_formula(a, b)),)),
    ("1.3", (lambda a, b: np.array(by_formula(a, b)),)),
    ("1.3", (lambda a, b: torch.tensor(by_formula(a, b)),)),
    ("1.3", (lambda a, b: t_interval(np.subtract(a, b)),)),
    ("1.3", (lambda a, b: [round(end, 2) for end in by_formula(a, b)],)),
]
