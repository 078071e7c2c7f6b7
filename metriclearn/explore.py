"""Get to know your data: what embeddings tell about images beyond their class.

Pure functions over embeddings, or over an `EmbeddingIndex` that holds them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from metriclearn.evaluate import ROWS_AT_ONCE
from metriclearn.index import EmbeddingIndex
from metriclearn.labels import LabelArray, check_class_labels, is_labelled
from metriclearn.propagate import spread_labels, surest
from metriclearn.settings import check_choice, check_count, check_number, check_seed
from metriclearn.validate import FloatArray, check_embeddings

Rows = npt.NDArray[np.int_]
Scores = npt.NDArray[np.float64]


def near_duplicates(embeddings: FloatArray, threshold: float = 0.99, k: int = 10) -> tuple[Rows, Scores]:
    """Return the pairs of images whose embeddings are nearly the same, the closest pair first.

    Each image is compared with its k nearest others only, so that time and memory grow with n · k
    and not with the number of pairs.

    Args:
        embeddings: float, shape `(n, N)`, scaled to unit length here.
        threshold: smallest cosine of a pair, in (−1, 1].
        k: how many neighbours of each image are compared.

    Returns:
        `pairs, cosines`: row numbers, int of shape `(p, 2)`, the smaller one first, each pair once;
        and the cosine of each pair, float64 of shape `(p,)`.

    Raises:
        ValueError: for embeddings that do not fit, a threshold outside (−1, 1], or k not below n.
    """
    wanted = "a cosine above -1 and up to 1, such as 0.99"
    threshold = check_number(threshold, "threshold", wanted, -1, 1, without=(-1,))
    neighbours, cosines = _nearest_others(_unit_rows(embeddings), k)
    first = np.repeat(np.arange(len(neighbours)), neighbours.shape[1])
    pairs = np.sort(np.column_stack([first, neighbours.ravel()]), axis=1)
    close = cosines.ravel() >= threshold
    pairs, at = np.unique(pairs[close], axis=0, return_index=True)
    found = cosines.ravel()[close][at]
    order = np.argsort(-found, kind="stable")
    return pairs[order], found[order]


def outliers(embeddings: FloatArray, k: int = 10) -> Scores:
    """Return how far each image lies from its neighbours: one minus the cosine to the k-th nearest.

    The oldest distance-based score (Ramaswamy et al. 2000, https://doi.org/10.1145/342009.335437).
    It needs no label and holds its own against later ones (Campos et al. 2016,
    https://doi.org/10.1007/s10618-015-0444-8).

    Args:
        embeddings: float, shape `(n, N)`, scaled to unit length here.
        k: which neighbour counts. Larger values also find small groups far from all others.

    Returns:
        float64, shape `(n,)`, in [0, 2]; the larger, the lonelier.

    Raises:
        ValueError: for embeddings that do not fit, or k not below n.
    """
    scores: Scores = 1 - _nearest_others(_unit_rows(embeddings), k)[1][:, -1]
    return scores


def suspicious_labels(
    embeddings: FloatArray, labels: npt.ArrayLike, k: int = 10, temperature: float = 0.1
) -> Scores:
    """Return how much the neighbours of each image disagree with its label.

    Each of the k nearest labelled images, itself left out, votes with the weight exp(cosine / temperature);
    the score is the share of the votes for other labels. Neighbours as a check of labels go back to
    Wilson's editing (1972, https://doi.org/10.1109/TSMC.1972.4309137).

    Args:
        embeddings: float, shape `(n, N)`, scaled to unit length here.
        labels: int, shape `(n,)`; −1 = unlabelled, which gets the score 0 and has no vote.
        k: how many neighbours vote.
        temperature: how fast the weight of a vote falls with the distance.

    Returns:
        float64, shape `(n,)`, in [0, 1]; 1 = no neighbour agrees.

    Raises:
        ValueError: for embeddings or labels that do not fit, no label, one class only, or k not below
            the number of labelled images.
    """
    vectors = _unit_rows(embeddings)
    given = check_class_labels(labels, len(vectors))
    temperature = check_number(temperature, "temperature", "a number above 0", 0, without=(0,))
    known = np.flatnonzero(is_labelled(given))
    neighbours, cosines = _nearest_others(vectors[known], k)
    weights = np.exp((cosines - 1) / temperature)
    agree = given[known][neighbours] == given[known][:, None]
    scores = np.zeros(len(vectors))
    scores[known] = 1 - (weights * agree).sum(axis=1) / weights.sum(axis=1)
    return scores


def embedding_map(
    embeddings: FloatArray | EmbeddingIndex, *, method: str = "tsne", seed: int = 0
) -> FloatArray | tuple[FloatArray, list[str]]:
    """Return a place on a plane for every image, so that neighbours are drawn near each other.

    From embeddings: t-SNE (van der Maaten & Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html)
    or PCA. From an index: Qdrant sends only who is whose neighbour and how near
    (https://qdrant.tech/documentation/concepts/explore/), never a vector, and t-SNE draws that graph.
    On such maps near means similar; how large a group looks, or how far two groups lie apart, means little.

    Args:
        embeddings: float, shape `(n, N)`, scaled to unit length here; or an index that holds them.
        method: `"tsne"` or `"pca"`; an index knows only neighbours and allows only `"tsne"`.
        seed: seed of the drawing.

    Returns:
        float32, shape `(n, 2)`. For an index, also the ids of the points, in the same order.

    Raises:
        ValueError: for another method, embeddings that do not fit, one image only, or an index with fewer
            than three points.
    """
    method, seed = check_choice(method, "method", ("tsne", "pca")), check_seed(seed)
    if isinstance(embeddings, EmbeddingIndex):
        if method == "pca":
            raise ValueError('An index gives no vectors, which PCA needs: choose "tsne".')
        return _map_of_index(embeddings, seed)
    vectors = _unit_rows(embeddings)
    if min(vectors.shape) < 2:
        raise ValueError(f"The embeddings have shape {vectors.shape}: a map needs at least two images.")
    if method == "pca" or len(vectors) < 4:
        places: FloatArray = PCA(2, random_state=seed).fit_transform(vectors).astype(np.float32)
        return places
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    drawing = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)
    return np.asarray(drawing, dtype=np.float32)


def _map_of_index(index: EmbeddingIndex, seed: int) -> tuple[FloatArray, list[str]]:
    n = len(index)
    if n < 3:
        raise ValueError(f"The index holds {n} points: a map needs at least three.")
    graph = index.neighbour_graph(30)
    n, k = len(graph.ids), min(30, n - 1)
    far = 2.0 if index.distance == "cosine" else 1 + max(graph.scores)
    near = 1 - graph.scores if index.distance == "cosine" else graph.scores
    distances = np.full((n, n), far, dtype=np.float32)
    distances[graph.rows, graph.columns] = np.maximum(near, 0)
    distances = np.minimum(distances, distances.T)
    np.fill_diagonal(distances, 0)
    perplexity = min(30.0, max(k / 3, 1.0), (n - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, metric="precomputed", init="random", random_state=seed)
    return np.asarray(tsne.fit_transform(distances), dtype=np.float32), graph.ids


def _unit_rows(embeddings: FloatArray) -> FloatArray:
    return check_embeddings(embeddings, unit_length=True)


def _nearest_others(vectors: FloatArray, k: int) -> tuple[Rows, Scores]:
    """Return the k nearest others of each row and their cosines, shape `(n, k)`, the nearest first."""
    n = len(vectors)
    k = _check_k(k, f"each of {n} images", n - 1)
    graph = NearestNeighbors(n_neighbors=k).fit(vectors).kneighbors_graph(mode="distance")
    neighbours = graph.indices.reshape(n, k)
    distances = graph.data.reshape(n, k)
    return neighbours, 1 - distances**2 / 2  # on the unit sphere d² = 2 − 2 cos


def _check_k(k: int, each: str, others: int) -> int:
    try:
        return check_count(k, "k", 1, others)
    except ValueError:
        raise ValueError(f"k is {k!r}, but {each} has {others} others: choose 1 to that number.") from None


def unknown_threshold(
    known: FloatArray | EmbeddingIndex,
    held_out: FloatArray | None = None,
    *,
    quantile: float = 0.05,
    k: int = 1,
) -> float:
    """Return the similarity below which an image is called unknown.

    The score of an image is its cosine to its k-th nearest neighbour among the known. The threshold
    is the ⌊quantile · (n + 1)⌋-th smallest score of the n held-out images. Of future images of the
    known classes, at most the share `quantile` then scores lower, on average over many such thresholds:
    split conformal prediction (Angelopoulos & Bates 2021, https://arxiv.org/abs/2107.07511). This
    holds if future images resemble those held out, and if neither encoder nor index has met these.

    Without held-out images each known one is compared with the others. That promises nothing for
    images that the encoder was trained on: it has put just these close together, so that far more
    than the wanted share of future images is rejected (notebook 6 measures it).

    Args:
        known: what is stored: embeddings, float of shape `(n, N)`, or an index under cosine.
        held_out: embeddings of other images of the known classes, float of shape `(m, N)`. They
            need no labels. An index needs them.
        quantile: share of the known kind that may be rejected for nothing, in (0, 1).
        k: which neighbour's similarity is the score, 1 = the nearest.

    Returns:
        A cosine. An image whose score is lower is unknown; one with an equal score is not.

    Raises:
        ValueError: for a quantile outside (0, 1) or too small for so few images, for embeddings that
            do not fit, for an empty or a Euclidean index, one without held-out images, or if k is
            not less than the number of known images (with held-out ones: if it is larger).
    """
    wanted = "a share between 0 and 1, such as 0.05"
    quantile = check_number(quantile, "quantile", wanted, 0, 1, without=(0, 1))
    if isinstance(known, EmbeddingIndex):
        if known.distance != "cosine":
            raise ValueError(f'The index measures by {known.distance}: use one with distance="cosine".')
        if held_out is None:
            raise ValueError("An index alone gives no threshold: pass held-out embeddings as well.")
        scores = known.query(held_out, k).scores[:, -1]
    else:
        stored = _unit_rows(known)
        asked = stored if held_out is None else check_embeddings(held_out, stored.shape[1], unit_length=True)
        k = _check_k(k, "each image", len(stored) - (held_out is None))
        scores = np.empty(len(asked), dtype=np.float32)
        for start in range(0, len(asked), ROWS_AT_ONCE):
            cosine = asked[start : start + ROWS_AT_ONCE] @ stored.T
            rows = np.arange(len(cosine))
            if held_out is None:
                cosine[rows, start + rows] = -np.inf  # nobody is a neighbour of his own
            scores[start + rows] = np.partition(cosine, -k, axis=1)[:, -k]
    return lowest_allowed(scores, quantile)


def lowest_allowed(scores: npt.NDArray[np.floating[Any]], quantile: float = 0.05) -> float:
    """Return the ⌊quantile · (n + 1)⌋-th smallest of n held-out scores: the threshold of `unknown_threshold`.

    Args:
        scores: similarities of held-out images to what is known, float, shape `(n,)`.
        quantile: share that may score lower for nothing, in (0, 1).

    Raises:
        ValueError: if the scores are so few that this would be less than one.
    """
    rank = int(quantile * (len(scores) + 1))
    if rank < 1:
        raise ValueError(
            f"A share of {quantile:g} of {len(scores)} images is less than one image: pass at least "
            f"{int(np.ceil(1 / quantile)) - 1} images, or choose a larger quantile."
        )
    return float(np.sort(scores)[rank - 1])


def what_to_label_next(
    embeddings: FloatArray, labels: npt.ArrayLike, n: int, strategy: str = "mixed", seed: int = 0
) -> Rows:
    """Return the n unlabelled images whose labels to ask for next.

    "uncertainty" takes the images whose neighbours are least sure of a class (`spread_labels`);
    "diversity" takes, one after another, the image farthest from all labelled or taken ones
    (k-center greedy, https://arxiv.org/abs/1708.00489); "mixed" makes n clusters of the unlabelled
    images and takes the least sure image of each.

    Args:
        embeddings: float, shape `(m, N)`, scaled to unit length here.
        labels: int64, shape `(m,)`, −1 = unlabelled.
        n: how many images to choose.
        strategy: "uncertainty", "diversity" or "mixed".
        seed: decides the clusters of "mixed".

    Returns:
        Row numbers of unlabelled images, int of shape `(n,)`, each once.

    Raises:
        ValueError: for arrays that do not fit, fewer than two classes, an unknown strategy, or n
            below 1 or above the number of unlabelled images.
    """
    vectors = _unit_rows(embeddings)
    labels = check_class_labels(labels, len(vectors))
    known = is_labelled(labels)
    free = np.flatnonzero(~known)
    strategy = check_choice(strategy, "strategy", ("uncertainty", "diversity", "mixed"))
    seed = check_seed(seed)
    try:
        n = check_count(n, "n", 1, len(free))
    except ValueError:
        raise ValueError(
            f"n is {n!r}, and {len(free)} images are unlabelled: choose from 1 to {len(free)}."
        ) from None
    if strategy == "diversity":
        nearest = (vectors[free] @ vectors[known].T).max(axis=1)
        taken: list[int] = []
        for _ in range(n):
            taken.append(int(nearest.argmin()))
            nearest = np.maximum(nearest, vectors[free] @ vectors[free[taken[-1]]])
            nearest[taken] = np.inf
        return free[taken]
    _, confidence = spread_labels(vectors, labels)
    ranked = free[np.argsort(confidence[free], kind="stable")]
    if strategy == "uncertainty":
        return ranked[:n]
    clusters = KMeans(n, n_init=1, random_state=seed).fit_predict(vectors[ranked])
    firsts = np.sort(np.unique(clusters, return_index=True)[1])
    rest = np.setdiff1d(np.arange(len(ranked)), firsts)  # fills up where images coincide
    chosen: Rows = ranked[np.concatenate([firsts, rest])[:n]]
    return chosen


def propagate_labels(embeddings: FloatArray, labels: npt.ArrayLike, share: float = 0.9) -> LabelArray:
    """Return the labels with those added that the neighbours are surest of; the rest stay −1.

    An image that no label reaches, because no chain of neighbours leads to a labelled one, stays −1 at
    any share.

    Args:
        embeddings: float, shape `(m, N)`, scaled to unit length here.
        labels: int64, shape `(m,)`, −1 = unlabelled. Known labels are never changed.
        share: share of each class that passes the gate (`metriclearn.propagate.surest`), in (0, 1].

    Returns:
        int64, shape `(m,)`, −1 = did not pass.

    Raises:
        ValueError: for arrays that do not fit, fewer than two classes, or a share outside (0, 1].
    """
    share = check_number(share, "share", "a share above 0 and up to 1, such as 0.9", 0, 1, without=(0,))
    vectors = _unit_rows(embeddings)
    added = check_class_labels(labels, len(vectors))  # a copy
    spread, confidence = spread_labels(vectors, added)
    passed = surest(spread, confidence, share)
    added[passed] = spread[passed]
    return added
