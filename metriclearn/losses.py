"""Losses that pull positives together and push negatives apart.

Every loss has one call shape: `loss(embeddings, labels, ...) -> scalar`. Embeddings are float, of
shape `(n, N)` and unit length; labels are integers of shape `(n,)`. Two rows with one label are
positives of each other, two rows with different labels are negatives. A row is never its own
positive. A batch that holds no pair or triplet to learn from gives a loss of zero.

Distances are Euclidean. On the unit sphere d² = 2 - 2 cos, so the largest possible one is 2, and a
nearest neighbour by distance is a nearest neighbour by cosine.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Mining = Literal["all", "semihard", "hard"]


def pairwise_distances(embeddings: Tensor) -> Tensor:
    """Return the Euclidean distance between all rows, shape `(n, n)`."""
    squared = (embeddings[:, None] - embeddings[None]).square().sum(dim=2)
    # The root's slope at zero is infinite: a duplicate, or a row with itself, would give NaN.
    return (squared + 1e-12).sqrt()


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


def contrastive_loss(embeddings: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Pull positives to distance 0, push negatives beyond a margin (Hadsell et al. 2006).

    A positive pair at distance d costs d²; a negative pair costs max(0, margin - d)². The two
    means are added, so that the many negatives do not drown the few positives.
    Source: https://doi.org/10.1109/CVPR.2006.100

    Args:
        embeddings: float, shape `(n, N)`, unit length.
        labels: int, shape `(n,)`.
        margin: distance beyond which a negative costs nothing, in (0, 2].

    Returns:
        A scalar.
    """
    distances = pairwise_distances(embeddings)
    pull = distances[positive_mask(labels)].square()
    push = (margin - distances[negative_mask(labels)]).clamp(min=0).square()
    return mean_or_zero(pull) + mean_or_zero(push)


def triplet_loss(
    embeddings: Tensor, labels: Tensor, margin: float = 0.2, mining: Mining = "semihard"
) -> Tensor:
    """Bring each anchor nearer to its positive than to its negative, by a margin.

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
        ValueError: if `mining` is none of the three.
    """
    distances = pairwise_distances(embeddings)
    positives, negatives = positive_mask(labels), negative_mask(labels)
    if mining == "all":
        costs = distances[:, :, None] - distances[:, None, :] + margin  # (anchor, positive, negative)
        costs = costs[positives[:, :, None] & negatives[:, None, :]]
        return mean_or_zero(costs[costs > 0])
    if mining == "hard":
        usable = positives.any(dim=1) & negatives.any(dim=1)
        farthest_positive = distances.where(positives, -torch.inf).amax(dim=1)[usable]
        nearest_negative = distances.where(negatives, torch.inf).amin(dim=1)[usable]
        return mean_or_zero((farthest_positive - nearest_negative + margin).clamp(min=0))
    if mining == "semihard":
        farther = negatives[:, None, :] & (distances[:, None, :] > distances[:, :, None])
        nearest_farther = distances[:, None, :].where(farther, torch.inf).amin(dim=2)
        farthest = distances.where(negatives, -torch.inf).amax(dim=1, keepdim=True)
        negative = torch.where(farther.any(dim=2), nearest_farther, farthest)
        usable = positives & negatives.any(dim=1, keepdim=True)
        return mean_or_zero((distances - negative + margin)[usable].clamp(min=0))
    raise ValueError(f'mining is {mining!r}: choose "all", "semihard" or "hard".')


def supervised_contrastive_loss(embeddings: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Make each anchor pick its positives out of the whole batch (Khosla et al. 2020).

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
    """
    logits = embeddings @ embeddings.T / temperature
    myself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    log_probability = F.log_softmax(logits.masked_fill(myself, -torch.inf), dim=1)
    positives = positive_mask(labels)
    usable = positives.any(dim=1)
    total = log_probability.where(positives, 0.0).sum(dim=1)[usable]
    return mean_or_zero(-total / positives.sum(dim=1)[usable])
