"""Wrong answers to the exercises of notebook 3, each with a part of its hint."""

from collections.abc import Callable
from functools import partial

import torch
from collapsed_encoder import Collapsed
from torch import Tensor, inf, nan

from metriclearn.losses import (
    Loss,
    Mining,
    negative_mask,
    pairwise_distances,
    positive_mask,
    triplet_loss,
)
from metriclearn.metrics import CollapseDiagnostics
from metriclearn.models import Encoder


def parts(e: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return pairwise_distances(e), positive_mask(y), negative_mask(y)


def farthest(d: Tensor, mask: Tensor) -> Tensor:
    return d.where(mask, -inf).amax(dim=1)


def nearest(d: Tensor, mask: Tensor) -> Tensor:
    return d.where(mask, inf).amin(dim=1)


def multiplied(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return ((d * p).amax(dim=1) - (d * n).amin(dim=1) + margin).clamp(min=0).mean()


def itself_as_negative(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, _ = parts(e, y)
    return (farthest(d, p) - nearest(d, ~p) + margin).clamp(min=0).mean()


def easiest(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (nearest(d, p) - farthest(d, n) + margin).clamp(min=0).mean()


def near_positive(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (nearest(d, p) - nearest(d, n) + margin).clamp(min=0).mean()


def far_negative(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (farthest(d, p) - farthest(d, n) + margin).clamp(min=0).mean()


def sign(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (nearest(d, n) - farthest(d, p) + margin).clamp(min=0).mean()


def fixed_margin(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (farthest(d, p) - nearest(d, n) + 0.2).clamp(min=0).mean()


def squared(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (farthest(d, p) ** 2 - nearest(d, n) ** 2 + margin).clamp(min=0).mean()


def summed(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (farthest(d, p) - nearest(d, n) + margin).clamp(min=0).sum()


def below_zero(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (farthest(d, p) - nearest(d, n) + margin).mean()


def lonely_ones_too(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (farthest(d, p) - nearest(d, n) + margin).clamp(min=0).mean()


def without_gradient(e: Tensor, y: Tensor, margin: float) -> float:
    d, p, n = parts(e, y)
    costs = (farthest(d, p) - nearest(d, n) + margin).clamp(min=0)
    return costs[p.any(dim=1)].mean().item()


def per_anchor(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (farthest(d, p) - nearest(d, n) + margin).clamp(min=0)


def capped_at_1(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    near = d.where(n, 1.0).amin(dim=1)
    return (farthest(d, p) - near + margin).clamp(min=0)[p.any(dim=1)].mean()


def no_margin(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (farthest(d, p) - nearest(d, n)).clamp(min=0)[p.any(dim=1)].mean()


def costly_ones(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    costs = (farthest(d, p) - nearest(d, n) + margin).clamp(min=0)[p.any(dim=1)]
    return costs[costs > 0].mean()


def infinity_times_0(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (farthest(d, p) - (d + inf * (~n)).amin(dim=1) + margin).clamp(min=0).mean()


def of_all_triplets(e: Tensor, y: Tensor, margin: float) -> Tensor:
    return triplet_loss(e, y, margin, "all")


def half_hard(e: Tensor, y: Tensor, margin: float) -> Tensor:
    return triplet_loss(e, y, margin, "semihard")


def of_one_anchor(e: Tensor, y: Tensor, margin: float) -> Tensor:
    return per_anchor(e, y, margin)[0]


def at(
    hard: int = 50, first: Mining = "semihard", then: Mining = "hard", margin: float = 0.2
) -> Callable[[int], Loss]:
    return lambda step: partial(triplet_loss, margin=margin, mining=first if step < hard else then)


def swapped(step: int) -> Loss:
    return partial(triplet_loss, mining="hard" if step < 50 else "semihard")


POINTS, CLASSES = torch.eye(4), torch.tensor([0, 0, 1, 1])


def mean_first(e: Tensor, y: Tensor, margin: float) -> Tensor:
    d, p, n = parts(e, y)
    return (farthest(d, p) - nearest(d, n) + margin)[p.any(dim=1)].mean().clamp(min=0)


def detached(e: Tensor, y: Tensor, margin: float) -> Tensor:
    return triplet_loss(e.detach(), y, margin, "hard").requires_grad_()


def shifted(e: Tensor, y: Tensor) -> Tensor:
    return triplet_loss(e, y, 0.2, "hard") + 0.3


SPECK, POINT = CollapseDiagnostics(0.09, 2.6, 0.18, 1.0), CollapseDiagnostics(0.01, 1.1, 0.5, 1.0)
HARD = partial(triplet_loss, mining="hard", margin=0.5)

WRONG = [
    ("3.1", (0.5, HARD, 0.5), "what `collapse_diagnostics` returns"),
    ("3.1", (-1, HARD, POINT), "between 0 and 2.5"),
    ("3.1", (nan, HARD, POINT), "NaN"),
    ("3.1", (0.3, HARD, CollapseDiagnostics(1.2, 9.0, 0.05, 0.02)), "of the encoder that `train` returned"),
    ("3.1", (0.3, HARD, CollapseDiagnostics(0.01, 1.1, 0.2, 1.0)), "the margin of 0.5"),
    ("3.1", (0.3, HARD, CollapseDiagnostics(0.01, 1.1, 1.0, 1.0)), "not that of margin 0.5"),
    ("3.1", (0.3, HARD, CollapseDiagnostics(nan, 1.1, 0.5, 1.0)), "is NaN"),
    ("3.1", (0.3, HARD, (0.01, 1.1, 0.5, 1.0)), "not a tuple"),
    ("3.1", (0.3, partial(triplet_loss, mining="hard"), POINT), "default margin of 0.2"),
    ("3.1", (0.3, partial(triplet_loss, margin=0.5), POINT), "semi-hard triplets"),
    ("3.1", (0.3, triplet_loss, POINT), "the default one"),
    ("3.1", (0.3, partial(triplet_loss, mining="hard", margin=5), POINT), "not batch-hard with a margin"),
    ("3.1", (0.3, partial(triplet_loss, mining="all", margin=0.5), POINT), "not batch-hard with a margin"),
    ("3.1", (0.3, 0.5, POINT), "function itself"),
    ("3.1", (0.3, shifted, POINT), "not batch-hard with a margin"),
    ("3.1", (0.3, HARD, CollapseDiagnostics(0.4, 5.0, 0.5, 1.0)), "of the encoder that `train` returned"),
    ("3.2", (mean_first,), "before the mean"),
    ("3.2", (detached,), "through to the embeddings"),
    ("3.2", (capped_at_1,), "never farther than 1"),
    ("3.2", (no_margin,), "margin is missing"),
    ("3.2", (costly_ones,), "or empty"),
    ("3.2", (infinity_times_0,), "NaN"),
    ("3.2", (of_all_triplets,), "over all triplets"),
    ("3.2", (half_hard,), "semi-hard"),
    ("3.2", (of_one_anchor,), "compare it with `distance`"),
    ("3.2", (multiplied,), "a zero that a mask left"),
    ("3.2", (itself_as_negative,), "the anchor itself"),
    ("3.2", (easiest,), "batch-easy"),
    ("3.2", (near_positive,), "farthest positive"),
    ("3.2", (far_negative,), "nearest negative"),
    ("3.2", (sign,), "other way round"),
    ("3.2", (fixed_margin,), "whatever is asked for"),
    ("3.2", (squared,), "Take the root"),
    ("3.2", (summed,), "their mean"),
    ("3.2", (below_zero,), "a cost ends at 0"),
    ("3.2", (lonely_ones_too,), "must not count"),
    ("3.2", (without_gradient,), "no gradient comes through"),
    ("3.2", (per_anchor,), "one number"),
    ("3.3", (at(hard=0), Collapsed(), "diagnostics"), "should be semihard, and is hard"),
    ("3.3", (at(hard=51), Collapsed(), "diagnostics"), "0 to 49. At step 50"),
    ("3.3", (at(hard=49), Collapsed(), "diagnostics"), "0 to 49. At step 49"),
    ("3.3", (at(hard=1000), Collapsed(), "diagnostics"), "should be hard, and is semihard"),
    ("3.3", (swapped, Collapsed(), "diagnostics"), "should be semihard, and is hard"),
    ("3.3", (at(first="all"), Collapsed(), "diagnostics"), "takes all triplets"),
    ("3.3", (at(then="all"), Collapsed(), "diagnostics"), "takes all triplets"),
    ("3.3", (at(margin=0.5), Collapsed(), "diagnostics"), "a margin of 0.2"),
    ("3.3", (lambda step: 0.2, Collapsed(), "diagnostics"), "should give a loss"),
    ("3.3", (triplet_loss(POINTS, CLASSES), Collapsed(), "diagnostics"), "function itself"),
    ("3.3", (at(), 93.6, "diagnostics"), "encoder itself"),
    ("3.3", (at(), SPECK, "diagnostics"), "encoder itself"),
    ("3.3", (at(), Collapsed(shrink=1.0), "diagnostics"), "did batch-hard take over"),
    ("3.3", (at(), Collapsed(shrink=0.0), "diagnostics"), "next to nothing"),
    ("3.3", (at(), Collapsed(shrink=nan), "diagnostics"), "NaN"),
    ("3.3", (at(), Collapsed(noise=0.012), "diagnostics"), "batch-hard from the start"),
    ("3.3", (at(), Encoder((3, 32, 32)), "diagnostics"), "cannot embed"),
    ("3.3", (at(), Collapsed(), "accuracy"), "Does yours stand out"),
    ("3.3", (at(), Collapsed(), "the loss"), "one of 'diagnostics', 'accuracy'"),
]
