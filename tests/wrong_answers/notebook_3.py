"""Wrong answers to the exercises of notebook 3, each with a part of its hint."""

from functools import partial

from torch import Tensor, inf, nan

from metriclearn.losses import negative_mask, pairwise_distances, positive_mask, triplet_loss
from metriclearn.metrics import CollapseDiagnostics


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
    ("3.3", (SPECK, 94.25, "diagnostics"), "on the test images"),
    ("3.3", (SPECK, nan, "diagnostics"), "NaN"),
    ("3.3", (CollapseDiagnostics(0.09, 2.6, 0.48, 1.0), 93.0, "diagnostics"), "their own margin"),
    ("3.3", (CollapseDiagnostics(0.09, 2.6, nan, 1.0), 93.0, "diagnostics"), "is NaN"),
    ("3.3", (SPECK, 5.8, "diagnostics"), "same encoder"),  # the errors
    ("3.3", (SPECK, 0.93, "diagnostics"), "looks like a share"),
    ("3.3", (CollapseDiagnostics(1.3, 9.0, 0.03, 0.01), 94.0, "diagnostics"), "did batch-hard take over"),
    ("3.3", (SPECK, 9.8, "diagnostics"), "same encoder"),
    ("3.3", (CollapseDiagnostics(0.01, 1.3, 0.2, 1.0), 75.0, "diagnostics"), "the first 50 steps"),
    ("3.3", (SPECK, 100.0, "diagnostics"), "too good"),
    ("3.3", (SPECK, 93.0, "accuracy"), "Does yours stand out"),
    ("3.3", (SPECK, 93.0, "the loss"), "one of 'diagnostics', 'accuracy'"),
    ("3.3", (0.1, 93.0, "diagnostics"), "what `collapse_diagnostics` returns"),
]
