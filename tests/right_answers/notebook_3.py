"""Right answers to the exercises of notebook 3, in other forms."""

from functools import partial

import numpy as np
import torch
from collapsed_encoder import Collapsed
from torch import Tensor, inf

from metriclearn.losses import Loss, negative_mask, pairwise_distances, positive_mask, triplet_loss
from metriclearn.metrics import CollapseDiagnostics

POINT = CollapseDiagnostics(0.01, 1.1, 0.5, 1.0)
HARD = partial(triplet_loss, mining="hard", margin=0.5)


def by_name(embeddings: Tensor, labels: Tensor) -> Tensor:
    return triplet_loss(embeddings, labels, 0.5, "hard")


def with_a_loop(e: Tensor, y: Tensor, margin: float = 0.5) -> Tensor:
    d, costs = pairwise_distances(e), []
    for i in range(len(y)):
        others = torch.arange(len(y)) != i
        positives, negatives = (y == y[i]) & others, y != y[i]
        if positives.any():
            costs.append((d[i][positives].max() - d[i][negatives].min() + margin).clamp(min=0))
    return torch.stack(costs).mean()


def with_two(e: Tensor, y: Tensor, margin: float) -> Tensor:
    """No distance is larger than 2, and none is smaller than 0."""
    d, p, n = pairwise_distances(e), positive_mask(y), negative_mask(y)
    costs = (d.where(p, 0.0).amax(dim=1) - d.where(n, 2.0).amin(dim=1) + margin).relu()
    return costs[p.any(dim=1)].mean()


def multiplied(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = pairwise_distances(e), positive_mask(y), negative_mask(y)
    costs = torch.relu((d * p).max(dim=1).values - (d + 9 * ~n).min(dim=1).values + margin)
    return (costs * p.any(dim=1)).sum() / p.any(dim=1).sum()


def filled_in_place(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = pairwise_distances(e), positive_mask(y), negative_mask(y)
    far, near = d.clone(), d.clone()
    far[~p] = -inf
    near[~n] = inf
    usable = p.any(dim=1)
    return (far[usable].amax(dim=1) - near[usable].amin(dim=1) + margin).clamp_min(0).mean()


def of_one_number(e: Tensor, y: Tensor, margin: float) -> Tensor:
    return triplet_loss(e, y, margin, "hard").reshape(1)


def by_partial(step: int) -> Loss:
    return partial(triplet_loss, mining="semihard" if step < 50 else "hard")


def first(e: Tensor, y: Tensor) -> Tensor:
    return triplet_loss(e, y)  # semi-hard by default


def then(e: Tensor, y: Tensor) -> Tensor:
    return with_a_loop(e, y, margin=0.2)


def with_two_at(step: int) -> Loss:
    return first if step <= 49 else partial(with_two, margin=0.2)


RIGHT = [
    ("3.1", (0.5, HARD, POINT)),
    ("3.1", (np.float32(0.2), by_name, CollapseDiagnostics(0.0, 1.0, 0.5, 1.0))),
    ("3.1", (torch.tensor(1.0), with_a_loop, CollapseDiagnostics(0.02, 1.3, 0.499, 0.99))),
    (
        "3.1",
        (0, partial(triplet_loss, margin=1 / 2, mining="hard"), CollapseDiagnostics(0.15, 1.9, 0.51, 1.0)),
    ),
    (
        "3.1",
        (2.5, lambda e, y: HARD(e, y), CollapseDiagnostics(*(np.float32(v) for v in (0.01, 1.1, 0.5, 1.0)))),
    ),
    ("3.2", (with_a_loop,)),
    ("3.2", (with_two,)),
    ("3.2", (multiplied,)),
    ("3.2", (filled_in_place,)),
    ("3.2", (of_one_number,)),
    ("3.2", (lambda e, y, margin: with_two(e.double(), y, margin),)),
    ("3.3", (by_partial, Collapsed(), "diagnostics")),
    ("3.3", (lambda step: [first, then][step >= 50], Collapsed(0.1), "Diagnostics")),
    (
        "3.3",
        ({s: first if s < 50 else then for s in range(151)}.__getitem__, Collapsed(0.02), " diagnostics"),
    ),
    ("3.3", (by_partial, Collapsed(0.2), np.str_("diagnostics"))),
    ("3.3", (lambda step: with_two_at(step), Collapsed(0.05, noise=0.002), "diagnostics")),
]
