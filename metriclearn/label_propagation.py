"""Label propagation: a few labels flow along the neighbour graph to the rest of the pool.

Images whose embeddings are near each other usually share a class. So each image passes its label
on to its nearest neighbours, these pass it on to theirs, and after a few rounds every image in
the pool has a score for each class.
"""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from sklearn.neighbors import kneighbors_graph

from metriclearn.checks.arguments import check_count, check_number
from metriclearn.checks.arrays import FloatArray, as_array, check_embeddings
from metriclearn.checks.labels import UNLABELLED, LabelArray, check_class_labels, check_labels, is_labelled
from metriclearn.default_settings import default_settings


def spread_labels(
    embeddings: FloatArray,
    labels: LabelArray,
    *,
    n_neighbors: int = 10,
    alpha: float = 0.99,
    rounds: int = 30,
) -> tuple[LabelArray, npt.NDArray[np.float64]]:
    """Spread the known labels over the graph of nearest neighbours (Zhou et al. 2004).

    An edge weighs max(0, cosine)³, as in Iscen et al. 2019. Each class starts with the same mass
    and ends with the same mass over the pool (Zhu et al. 2003), so that a class whose labels sit
    in a dense place does not swallow the others. Memory grows with `n * n_neighbors`.
    Sources: https://papers.nips.cc/paper/2506, https://arxiv.org/abs/1904.04717

    Args:
        embeddings: float, shape `(n, N)`, unit length. Of others the weight is max(0, 1 - d²/2)³ at the
            Euclidean distance d: bring neighbours to distances below 1 first.
        labels: int64, shape `(n,)`, −1 = unlabelled; at least one label.
        n_neighbors: neighbours of each image in the graph; at most n - 1 are used.
        alpha: share of an image's score that comes from its neighbours, in (0, 1).
        rounds: how often the scores are passed on.

    Returns:
        `spread, confidence`: a label for every image, int64 of shape `(n,)`, where known labels
        stay as they are, and −1 where no label arrives; and how sure it is, float64 of shape `(n,)`,
        in [0, 1].

    Raises:
        ValueError: for arrays that do not fit, no label at all, or a setting out of range.
    """
    embeddings = check_embeddings(embeddings, unit_length=False)
    n = len(embeddings)
    labels = check_labels(labels, n)
    n_neighbors, rounds = check_count(n_neighbors, "n_neighbors"), check_count(rounds, "rounds")
    alpha = check_number(alpha, "alpha", 0, 1, without=(0, 1))
    if n < 2 or not is_labelled(labels).any():
        raise ValueError("There is nothing to spread: pass at least two images, one of them with a label.")
    return diffuse_labels(embeddings, labels, n_neighbors, alpha, rounds)


@default_settings()
def diffuse_labels(
    embeddings: FloatArray, labels: LabelArray, n_neighbors: int = 10, alpha: float = 0.99, rounds: int = 30
) -> tuple[LabelArray, npt.NDArray[np.float64]]:
    """Label propagation itself: `spread_labels` without its checks, for loops that have checked already."""
    known = is_labelled(labels)
    classes = np.unique(labels[known])
    graph = kneighbors_graph(embeddings, min(n_neighbors, len(embeddings) - 1), mode="distance")
    cosine = 1 - graph.data**2 / 2  # on the unit sphere d² = 2 - 2 cos
    graph.data = np.maximum(cosine, 0) ** 3
    graph = graph + graph.T
    degree = np.asarray(graph.sum(axis=1)).ravel()
    scale = sparse.diags(1 / np.sqrt(degree + 1e-12))
    graph = scale @ graph @ scale

    start = (labels[:, None] == classes).astype(np.float64)
    start /= start.sum(axis=0)
    scores = start
    for _ in range(rounds):
        scores = alpha * (graph @ scores) + (1 - alpha) * start
    scores = scores / scores.sum(axis=0)
    scores /= scores.sum(axis=1, keepdims=True) + 1e-12

    reached = np.where(scores.any(axis=1), classes[scores.argmax(axis=1)], UNLABELLED)
    return np.where(known, labels, reached), np.where(known, 1.0, scores.max(axis=1))


def most_confident(
    spread: LabelArray, confidence: npt.NDArray[np.float64], share: float
) -> npt.NDArray[np.int_]:
    """Return the rows of the most confident `share` of each class: those that pass the gate.

    The gate is set per class, because an easy class would otherwise fill it alone.

    Args:
        spread: int64, shape `(n,)`: the labels that `spread_labels` gave; −1 never passes.
        confidence: float64, shape `(n,)`: how sure each is.
        share: share of each class that passes, in (0, 1].

    Returns:
        Row numbers, int, in rising order.

    Raises:
        ValueError: for arrays that do not fit, or a share outside (0, 1].
    """
    share = check_number(share, "share", 0, 1, without=(0,))
    confidence = as_array(confidence, "The confidences").ravel()
    return confident_rows(check_labels(spread, len(confidence)), confidence, share)


def confident_rows(
    spread: LabelArray, confidence: npt.NDArray[np.float64], share: float
) -> npt.NDArray[np.int_]:
    """Return the rows that pass the gate: `most_confident` without its checks, for loops."""
    chosen = [np.empty(0, dtype=np.int64)]
    for label in np.unique(spread[is_labelled(spread)]):
        members = np.flatnonzero(spread == label)
        ranked = members[np.argsort(-confidence[members], kind="stable")]
        chosen.append(ranked[: int(np.ceil(share * len(members)))])
    return np.sort(np.concatenate(chosen))


def propagate_labels(embeddings: FloatArray, labels: npt.ArrayLike, share: float = 0.9) -> LabelArray:
    """Return pseudo-labels: the labels, and those added that label propagation is most confident of.

    The rest stay −1.

    An image that no label reaches, because no chain of neighbours leads to a labelled one, stays −1 at
    any share.

    Args:
        embeddings: float, shape `(m, N)`, scaled to unit length here.
        labels: int64, shape `(m,)`, −1 = unlabelled. Known labels are never changed.
        share: share of each class that passes the gate (`most_confident`), in (0, 1].

    Returns:
        int64, shape `(m,)`, −1 = did not pass.

    Raises:
        ValueError: for arrays that do not fit, fewer than two classes, or a share outside (0, 1].
    """
    share = check_number(share, "share", 0, 1, without=(0,))
    vectors = check_embeddings(embeddings, unit_length=True)
    added = check_class_labels(labels, len(vectors))  # a copy
    spread, confidence = diffuse_labels(vectors, added)
    passed = confident_rows(spread, confidence, share)
    added[passed] = spread[passed]
    return added
