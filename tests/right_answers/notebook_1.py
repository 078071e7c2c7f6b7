"""Right answers to the exercises of notebook 1, in other forms."""

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from metriclearn import load_images, scarce_labels
from metriclearn.metrics import t_interval

FEW, MANY = [43.0, 43.2, 31.9, 46.7, 48.2], [82.8, 85.6, 84.1, 84.2, 86.1]
OTHER_SEEDS = {1: [41.2, 52.2, 37.6, 48.6, 49.9], 50: [85.3, 85.1, 87.1, 86.7, 86.2]}  # 5 to 9


def by_formula(first: list[float], second: list[float]) -> tuple[float, float, float]:
    gaps = np.array(first) - np.array(second)
    half = stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps))
    return gaps.mean(), gaps.mean() - half, gaps.mean() + half


def by_scipy(first: list[float], second: list[float]) -> list[float]:
    found = stats.ttest_rel(first, second)
    return [np.mean(first) - np.mean(second), *found.confidence_interval(0.95)]


POOL, _ = load_images("mnist-5k")


class ByHeart(nn.Module):
    """Stands for a network that knows its hundred images by heart and nothing else."""

    def __init__(self, power: float = 2.0, scale: float = 1.0) -> None:
        super().__init__()
        labels = scarce_labels(POOL.labels, 10, 0)
        self.rows = nn.Parameter(torch.as_tensor(POOL.pixels[labels >= 0]).flatten(1))
        self.labels, self.power, self.scale = torch.as_tensor(labels[labels >= 0]), power, scale

    def forward(self, x: Tensor) -> Tensor:
        near = -self.scale * torch.cdist(x.flatten(1), self.rows, p=self.power)
        return torch.stack([near[:, self.labels == label].amax(dim=1) for label in range(10)], dim=1)


RIGHT = [
    ("1.1", (85, {1: FEW, 50: MANY})),
    ("1.1", (np.float32(60), {1: tuple(FEW), 50: tuple(MANY)})),
    ("1.1", (84.6, {50: np.array(MANY), 1: np.array(FEW)})),
    ("1.1", (0, {1: torch.tensor(FEW), 50: torch.tensor(MANY)})),
    ("1.1", (85, {1: [np.float64(share) for share in FEW], 50: [torch.tensor(share) for share in MANY]})),
    ("1.1", (85, {1: FEW[::-1], 50: MANY[::-1]})),
    ("1.1", (85, OTHER_SEEDS)),
    ("1.2", (ByHeart(), "augmentation")),
    ("1.2", (ByHeart().train(), " Augmentation ")),
    ("1.2", (nn.Sequential(ByHeart()), np.str_("augmentation"))),
    ("1.2", (ByHeart(scale=9.0), "AUGMENTATION")),
    ("1.2", (ByHeart(power=3.0), "augmentation")),
    ("1.3", (by_formula,)),
    ("1.3", (lambda a, b: list(by_formula(a, b)),)),
    ("1.3", (lambda a, b: np.array(by_formula(a, b)),)),
    ("1.3", (lambda a, b: torch.tensor(by_formula(a, b)),)),
    ("1.3", (lambda a, b: t_interval(np.subtract(a, b)),)),
    ("1.3", (lambda a, b: [round(end, 2) for end in by_formula(a, b)],)),
    ("1.3", (lambda a, b: [round(end, 1) for end in by_formula(a, b)],)),  # as printed
    ("1.3", (by_scipy,)),
]
