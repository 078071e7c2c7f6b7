"""Metric-learning losses: pull positives together, push negatives apart.

Every loss has one call shape: `loss(embeddings, labels, ...) -> scalar`. Embeddings are float, of
shape `(n, N)` and unit length; labels are integers of shape `(n,)`. Two rows with one label are
positives of each other, two rows with different labels are negatives. A row is never its own
positive. A row of label -1 is unlabelled: nobody knows whose positive it is, so it is left out. A batch
that holds no pair or triplet to learn from gives a loss of zero, and a warning. The public functions check
what they get; what follows each of them, with the formula, is what the training loop calls at each step.

Distances are Euclidean. On the unit sphere d² = 2 - 2 cos, so the largest possible one is 2, and a
nearest neighbour by distance is a nearest neighbour by cosine.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metriclearn.checks.arguments import check_choice, check_number, shown
from metriclearn.checks.labels import UNLABELLED, LabelArray, check_labels

Mining = Literal["all", "semihard", "hard"]
MINERS = ("all", "semihard", "hard")
# The defaults: what the training loop uses.
CONTRASTIVE_MARGIN, TRIPLET_MARGIN, TEMPERATURE = 1.0, 0.2, 0.1


def pairwise_distances(embeddings: Tensor) -> Tensor:
    """Pairwise Euclidean distances of all rows, shape `(n, n)`.

    The gradient between two equal rows is zero, where the root's own slope would be infinite. Memory
    grows with n², not with n² · N.

    Args:
        embeddings: float, shape `(n, N)`; half precision is raised to float32.
    """
    # "No mm": by dot products, d² = 2 - 2 cos, near rows would lose most of their digits.
    rows = _precise(embeddings)
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")


def positive_mask(labels: Tensor) -> Tensor:
    """Return which pairs are positives, bool of shape `(n, n)`; the diagonal is False."""
    same = labels[:, None] == labels[None]
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)


def negative_mask(labels: Tensor) -> Tensor:
    """Return which pairs are negatives, bool of shape `(n, n)`."""
    return labels[:, None] != labels[None]


def mean_or_zero(values: Tensor) -> Tensor:
    """Return the mean, or a zero that gradients flow through when there is nothing to average."""
    return values.mean() if values.numel() else values.sum()


def _labelled_batch(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the labelled rows of a batch, in at least float32; warn if they form no pair.

    Raises:
        ValueError: if the shapes do not fit, or the embeddings are no floats.
    """
    if not isinstance(embeddings, Tensor) or embeddings.ndim != 2 or not embeddings.is_floating_point():
        found = f"of type {type(embeddings).__name__}"
        if isinstance(embeddings, Tensor):
            found = f"a tensor of shape {tuple(embeddings.shape)} and type {embeddings.dtype}"
        raise ValueError(f"The embeddings are {found}: pass a tensor of floats, shape (n, N).")
    n = len(embeddings)
    whole = isinstance(labels, Tensor) and not labels.is_floating_point()
    if not whole or labels.shape not in ((n,), (n, 1)):
        labels = torch.from_numpy(check_labels(labels, n, "embedding")).to(embeddings.device)
    labels = labels.flatten()
    known = labels != UNLABELLED
    if not known.all():
        embeddings, labels = embeddings[known], labels[known]
    warn_without_pairs(labels)
    return _precise(embeddings), labels


def warn_without_pairs(labels: Tensor, stacklevel: int = 4) -> None:
    """Warn if a batch, all of it labelled, holds no pair of positives, or none of negatives."""
    if not positive_mask(labels).any():
        missing = "positive, so there is nothing to learn from: draw at least two images of a class."
    elif not negative_mask(labels).any():
        missing = "negative: draw images of at least two classes."
    else:
        return
    warnings.warn(f"No anchor of this batch has a {missing}", stacklevel=stacklevel)


def _precise(embeddings: Tensor) -> Tensor:
    """Return embeddings in at least float32: in half precision the smallest differences would vanish."""
    return embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings


def contrastive_loss(embeddings: Tensor, labels: Tensor, margin: float = CONTRASTIVE_MARGIN) -> Tensor:
    """Contrastive loss: positives to distance 0, negatives beyond a margin (Hadsell et al. 2006).

    A positive pair at distance d costs d²; a negative pair costs max(0, margin - d)². The two
    means are added, so that the many negatives do not drown the few positives.
    Source: https://doi.org/10.1109/CVPR.2006.100

    Args:
        embeddings: float, shape `(n, N)`, unit length.
        labels: int, shape `(n,)`.
        margin: distance beyond which a negative costs nothing, in (0, 2].

    Returns:
        A scalar.

    Raises:
        ValueError: if embeddings and labels do not fit, or the margin is out of range.
    """
    margin = check_number(margin, "margin", 0, 2, without=(0,))
    return _contrastive(*_labelled_batch(embeddings, labels), margin)


def _contrastive(embeddings: Tensor, labels: Tensor, margin: float = CONTRASTIVE_MARGIN) -> Tensor:
    distances = pairwise_distances(embeddings)
    pull = distances[positive_mask(labels)].square()
    push = (margin - distances[negative_mask(labels)]).clamp(min=0).square()
    return mean_or_zero(pull) + mean_or_zero(push)


def triplet_loss(
    embeddings: Tensor, labels: Tensor, margin: float = TRIPLET_MARGIN, mining: Mining = "semihard"
) -> Tensor:
    """Triplet loss: bring each anchor nearer to its positive than to its negative, by a margin.

    A triplet (anchor, positive, negative) costs max(0, d(a, p) - d(a, n) + margin). Which triplets
    of the batch count is the mining:

    * `"all"`: every triplet whose cost is not zero (Hermans et al. 2017, "batch all");
    * `"hard"`: per anchor the farthest positive and the nearest negative ("batch hard"). With this
      course's encoder it collapses: all embeddings in one point, the loss at the margin;
    * `"semihard"`: per anchor and positive the nearest negative that is still farther than the positive
      (Schroff et al. 2015); where there is none, the farthest negative, as in TensorFlow Addons. This
      is the guard against the collapse: as the negative is the farther of the two, shrinking all
      distances together raises the cost instead of lowering it.

    Sources: https://arxiv.org/abs/1703.07737, https://arxiv.org/abs/1503.03832

    Args:
        embeddings: float, shape `(n, N)`, unit length.
        labels: int, shape `(n,)`.
        margin: how much nearer the positive must be, as a distance.
        mining: `"all"`, `"semihard"` or `"hard"`.

    Returns:
        A scalar.

    Raises:
        ValueError: if `mining` is none of the three, if embeddings and labels do not fit, or the margin
            is no number from 0 on.
    """
    check_choice(mining, "mining", MINERS)
    margin = check_number(margin, "margin", 0)
    return _triplet(*_labelled_batch(embeddings, labels), margin, mining)


def _triplet(
    embeddings: Tensor, labels: Tensor, margin: float = TRIPLET_MARGIN, mining: Mining = "semihard"
) -> Tensor:
    distances = pairwise_distances(embeddings)
    positives, negatives = positive_mask(labels), negative_mask(labels)
    count = negatives.sum(dim=1, keepdim=True)  # of each anchor
    usable = positives & (count > 0)
    if not usable.any():
        return mean_or_zero(distances[usable])
    if mining == "hard":
        usable = usable.any(dim=1)
        farthest_positive = distances.where(positives, -torch.inf).amax(dim=1)[usable]
        nearest_negative = distances.where(negatives, torch.inf).amin(dim=1)[usable]
        return mean_or_zero((farthest_positive - nearest_negative + margin).clamp(min=0))
    # Each anchor's negatives, the nearest first. Then the place where a positive's distance would stand
    # tells which negatives are nearer: memory grows with n², not with the n³ triplets.
    ordered = distances.where(negatives, torch.inf).sort(dim=1).values
    if mining == "semihard":
        place = torch.searchsorted(ordered.detach(), distances.detach(), right=True)
        place = torch.minimum(place, (count - 1).clamp(min=0))  # none is farther: take the farthest
        return mean_or_zero((distances - ordered.gather(1, place) + margin)[usable].clamp(min=0))
    active = torch.searchsorted(ordered.detach(), distances.detach() + margin)  # negatives that still cost
    active = active.where(usable, 0)
    nearer = F.pad(ordered.where(ordered.isfinite(), 0.0).cumsum(dim=1), (1, 0)).gather(1, active)
    cost = (active * (distances + margin) - nearer).sum()  # of all triplets that cost something
    return cost / active.sum().clamp(min=1)


def supervised_contrastive_loss(
    embeddings: Tensor, labels: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    """Supervised contrastive loss: each anchor picks its positives out of the batch (Khosla et al. 2020).

    For each anchor the cosine similarities to all other rows, divided by the temperature, go
    through a softmax. The loss is the mean negative log-probability of the anchor's positives,
    averaged over the anchors that have any ("L_out" in the paper).
    Source: https://arxiv.org/abs/2004.11362

    Args:
        embeddings: float, shape `(n, N)`, unit length.
        labels: int, shape `(n,)`.
        temperature: smaller values look harder at the nearest rows; must be positive.

    Returns:
        A scalar.

    Raises:
        ValueError: if embeddings and labels do not fit, or the temperature is not above 0.
    """
    temperature = check_number(temperature, "temperature", 0, without=(0,))
    return _supcon(*_labelled_batch(embeddings, labels), temperature)


def _supcon(embeddings: Tensor, labels: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    with torch.autocast(embeddings.device.type, enabled=False):  # half precision has too few digits
        similarity = embeddings @ embeddings.T / temperature
    self_pairs = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    log_probability = F.log_softmax(similarity.masked_fill(self_pairs, -torch.inf), dim=1)
    positives = positive_mask(labels)
    anchors = positives.any(dim=1)  # a row without a positive is none
    total = log_probability.where(positives, 0.0).sum(dim=1)[anchors]
    return mean_or_zero(-total / positives.sum(dim=1)[anchors])


Loss = Callable[[Tensor, Tensor], Tensor]
# What the training loop calls at each step, with rows that are all labelled and of unit length.
LOSSES: dict[str, Loss] = {"contrastive": _contrastive, "triplet": _triplet, "supcon": _supcon}


def loss_function(
    loss: str | Loss, classes: LabelArray, device: torch.device
) -> tuple[Loss, list[nn.Parameter]]:
    """Return the loss as a function, and the weights that it must learn, such as the centres of ArcFace.

    Of a module a copy learns, so that a second training begins where the first one began. It gets the
    classes, which are in rising order, numbered from 0.

    Raises:
        ValueError: if it is no loss.
    """
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss], []
    if isinstance(loss, str) or not callable(loss):
        raise ValueError(f"loss is {loss!r}: choose one of {', '.join(LOSSES)}, or pass a function.")
    if not isinstance(loss, nn.Module):
        return loss, []
    module = copy.deepcopy(loss).to(device, torch.float32).train()
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    if not weights:
        return module, []
    numbers = torch.as_tensor(classes, device=device)
    return lambda embeddings, labels: module(embeddings, torch.searchsorted(numbers, labels)), weights


def check_value(loss: Tensor, step: int) -> float:
    """Return the value of a step's loss.

    Raises:
        ValueError: if it is not one finite number that gradients flow through.
    """
    whole = isinstance(loss, Tensor) and loss.numel() == 1 and loss.requires_grad
    value = loss.item() if whole else np.nan
    if not np.isfinite(value):
        raise ValueError(
            f"The loss is {shown(loss)} at step {step}: lower learning_rate, or let a loss of your own give "
            "one finite number with a gradient, made from the embeddings."
        )
    return value
