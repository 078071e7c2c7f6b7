"""Data curation: duplicates, outliers, label errors, a map, and what to label next.

Functions over embeddings; `embedding_map` also takes an `EmbeddingIndex`. At the end they become one list for
a person to look at, the most urgent of each kind first.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from metriclearn.checks.arguments import check_choice, check_count, check_number, check_seed
from metriclearn.checks.arrays import FloatArray, check_embeddings
from metriclearn.checks.labels import LabelArray, check_class_labels, check_groups, check_labels, is_labelled
from metriclearn.index import EmbeddingIndex
from metriclearn.label_propagation import diffuse_labels
from metriclearn.neighbours import TEMPERATURE, nearest, votes
from metriclearn.photos import Photographs

Rows = npt.NDArray[np.int_]
Scores = npt.NDArray[np.float64]
AT_ONCE = 512  # pictures that are compared with all others in one step
SAME_PICTURE = 0.99  # cosine of two thumbnails; measured: saved again or smaller 0.995, different ones below
SUSPICIOUS = 0.5  # more than half of the neighbours' votes are for another class
LONELY = 0.99  # the share of pictures that lie closer to their neighbours than an outlier


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
    threshold = check_number(threshold, "threshold", -1, 1, without=(-1,))
    neighbours, cosines = _nearest_others(embeddings, k)
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
    scores: Scores = 1 - _nearest_others(embeddings, k)[1][:, -1]
    return scores


def label_errors(
    embeddings: FloatArray,
    labels: npt.ArrayLike,
    k: int = 10,
    temperature: float = TEMPERATURE,
    *,
    groups: npt.ArrayLike | None = None,
) -> Scores:
    """Return a score for label errors: how much the neighbours of each image disagree with its label.

    Each of the k nearest labelled images, itself left out, votes with the weight exp(cosine / temperature);
    the score is the share of the votes for other labels. Neighbours as a check of labels go back to
    Wilson's editing (1972, https://doi.org/10.1109/TSMC.1972.4309137).

    Args:
        embeddings: float, shape `(n, N)`, scaled to unit length here.
        labels: int, shape `(n,)`; −1 = unlabelled, which gets the score 0 and has no vote.
        k: how many neighbours vote.
        temperature: how fast the weight of a vote falls with the distance.
        groups: whole numbers or texts, shape `(n,)`; -1 or None is a group of its own. Images of one group,
            such as near-duplicates, share their errors: none votes on another, and of those with one label
            the first alone votes on the rest. A class in one group gets the score 0.

    Returns:
        float64, shape `(n,)`, in [0, 1]; 1 = no neighbour agrees.

    Raises:
        ValueError: for embeddings, labels or groups that do not fit, no label, one class only, all labels in
            one group, or k not below the number of labelled images.
    """
    vectors = check_embeddings(embeddings, unit_length=True)
    given = check_class_labels(labels, len(vectors))
    temperature = check_number(temperature, "temperature", 0, without=(0,))
    members = None if groups is None else check_groups(groups, len(vectors))
    known = np.flatnonzero(is_labelled(given))
    rows, cosines = _voters(vectors, given, known, check_count(k, "k", 1, len(known) - 1), members)
    classes, shares = votes(given[rows], cosines, np.unique(given[known]), temperature=temperature)
    scores = np.zeros(len(vectors))
    scores[known] = 1 - shares[np.arange(len(known)), np.searchsorted(classes, given[known])]
    for label, n in _groups_of_classes(given, members).items():
        scores[given == label] *= n > 1
    return scores


def _voters(
    vectors: FloatArray, labels: LabelArray, known: Rows, k: int, members: LabelArray | None
) -> tuple[Rows, Scores]:
    """Return the k nearest labelled others of each labelled image, and their cosines; -inf has no vote."""
    if members is None:
        found, cosines = nearest(vectors[known], vectors[known], k, skip_self=True)
        return known[found], cosines
    named = np.column_stack([members[known], labels[known]])
    voters = known[np.sort(np.unique(named, axis=0, return_index=True)[1])]
    sizes = np.bincount(members[voters])
    if sizes.max() == len(voters):
        raise ValueError("All labelled images are of one group: pass groups that other images can judge.")
    found, cosines = nearest(vectors[known], vectors[voters], min(k + sizes.max(), len(voters)))
    own = members[voters[found]] == members[known][:, None]
    order = np.argsort(own, axis=1, kind="stable")[:, :k]  # the nearest of other groups first
    cosines = np.where(own, -np.inf, cosines)
    return voters[np.take_along_axis(found, order, axis=1)], np.take_along_axis(cosines, order, axis=1)


def _groups_of_classes(labels: LabelArray, members: LabelArray | None) -> dict[int, int]:
    """Return in how many groups each class lies; without groups, how many images it has."""
    known = np.flatnonzero(is_labelled(labels))
    groups = known if members is None else members[known]
    pairs = np.unique(np.column_stack([labels[known], groups]), axis=0)
    return dict(Counter(pairs[:, 0].tolist()))


def embedding_map(
    embeddings: FloatArray | EmbeddingIndex, *, method: str = "tsne", seed: int = 0
) -> FloatArray | tuple[FloatArray, list[str]]:
    """Return a two-dimensional map of the embeddings: a place for every image, neighbours near each other.

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
    vectors = check_embeddings(embeddings, unit_length=True)
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


def select_for_labelling(
    embeddings: FloatArray, labels: npt.ArrayLike, n: int, strategy: str = "mixed", seed: int = 0
) -> Rows:
    """Select n unlabelled images to be labelled next (active learning).

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
    vectors = check_embeddings(embeddings, unit_length=True)
    labels = check_class_labels(labels, len(vectors))
    known = is_labelled(labels)
    free = np.flatnonzero(~known)
    strategy = check_choice(strategy, "strategy", ("uncertainty", "diversity", "mixed"))
    seed = check_seed(seed)
    n = check_count(n, f"n, of {len(free)} unlabelled images,", 1, len(free))
    if strategy == "diversity":
        nearest = (vectors[free] @ vectors[known].T).max(axis=1)
        taken: list[int] = []
        for _ in range(n):
            taken.append(int(nearest.argmin()))
            nearest = np.maximum(nearest, vectors[free] @ vectors[free[taken[-1]]])
            nearest[taken] = np.inf
        return free[taken]
    _, confidence = diffuse_labels(vectors, labels)
    ranked = free[np.argsort(confidence[free], kind="stable")]
    if strategy == "uncertainty":
        return ranked[:n]
    clusters = KMeans(n, n_init=1, random_state=seed).fit_predict(vectors[ranked])
    firsts = np.sort(np.unique(clusters, return_index=True)[1])
    rest = np.setdiff1d(np.arange(len(ranked)), firsts)  # fills up where images coincide
    chosen: Rows = ranked[np.concatenate([firsts, rest])[:n]]
    return chosen


@dataclass(frozen=True)
class DuplicatePair:
    """Two files of one picture.

    Attributes:
        first: row number of the one, the smaller one.
        second: of the other.
        cosine: of their thumbnails; 1 if the files are equal.
        same_file: whether the files are equal, byte by byte.
        labels_differ: whether both have labels, and these differ: one must be wrong.
    """

    first: int
    second: int
    cosine: float
    same_file: bool
    labels_differ: bool


@dataclass(frozen=True)
class Finding:
    """One item for review.

    Attributes:
        row: which picture.
        kind: `"label"` (looks wrong), `"duplicate"`, `"outlier"` or `"next"` (to be labelled).
        score: the larger, the more urgent, among those of its kind.
        other: for a duplicate the row of the other picture, or -1.
        suggestion: the class that the neighbours vote for, or -1.
    """

    row: int
    kind: str
    score: float
    other: int = -1
    suggestion: int = -1


def duplicates(photographs: Photographs, threshold: float = SAME_PICTURE) -> list[DuplicatePair]:
    """Return the pictures that are there twice, labelled or not, equal files first.

    Equal files are found by their SHA-256, and further ones by their thumbnails, each compared with its ten
    nearest. Of many equal files each is named with the first one.

    Args:
        photographs: the pictures.
        threshold: smallest cosine of two thumbnails, in (-1, 1].
    """
    labels = photographs.labels
    first: dict[str, int] = {}
    same = []
    for row, digest in enumerate(photographs.digests):
        if (other := first.setdefault(digest, row)) != row:
            same.append((other, row))
    once = np.array(sorted(first.values()))
    near: list[tuple[int, int, float]] = []
    if len(once) > 1:
        pairs, cosines = near_duplicates(photographs.thumbnails()[once], threshold, min(10, len(once) - 1))
        near = [(int(once[a]), int(once[b]), float(c)) for (a, b), c in zip(pairs, cosines, strict=True)]
    every = [(a, b, 1.0, True) for a, b in same] + [(a, b, c, False) for a, b, c in near]
    return [DuplicatePair(a, b, c, s, bool(-1 != labels[a] != labels[b] != -1)) for a, b, c, s in every]


def duplicate_groups(
    photographs: Photographs, groups: npt.ArrayLike | None = None, threshold: float = SAME_PICTURE
) -> LabelArray:
    """Groups of near-duplicates for cross-validation: the connected components of their pairs.

    Of two near-duplicates one would name the other, so both belong into one fold: pass what this returns as
    `groups` to `choose_method` or `cross_validate`. Frames of one scene are one group if each is nearly the
    same as some other, though the first and the last may differ. All pairs are compared, in parts, so that
    memory does not grow with their number.

    Args:
        photographs: the pictures.
        groups: further groups, such as the plant of each picture, whole numbers or texts, shape `(n,)`; two
            that share a near-duplicate become one. -1 or None is in no group.
        threshold: smallest cosine of two thumbnails, in (-1, 1], as for `duplicates`.

    Returns:
        int64, shape `(n,)`: equal numbers for pictures of one group.

    Raises:
        ValueError: for groups that do not fit, or a threshold outside (-1, 1].
    """
    threshold = check_number(threshold, "threshold", -1, 1, without=(-1,))
    n = len(photographs)
    found = np.arange(n) if groups is None else check_groups(groups, n)
    vectors = check_embeddings(photographs.thumbnails(), unit_length=True)
    for start in range(0, n, AT_ONCE):
        first, second = np.nonzero(vectors[start : start + AT_ONCE] @ vectors.T >= threshold)
        ends = found[first + start], found[second]
        pairs = coo_array((np.ones(len(first), dtype=bool), ends), shape=(n, n))
        found = connected_components(pairs, directed=False)[1][found]
    return found.astype(np.int64)


def what_to_review(
    embeddings: FloatArray,
    labels: npt.ArrayLike,
    pairs: Sequence[DuplicatePair] = (),
    *,
    predicted: npt.ArrayLike | None = None,
    confidence: npt.ArrayLike = 1.0,
    n_next: int = 20,
    seed: int = 0,
) -> list[Finding]:
    """Return what to look at: suspicious labels, pairs, outliers, and what to label next.

    A label is judged by a prediction of a classifier that was trained without it, where there is one: an
    encoder that was trained on a wrong label has learned to agree with it. Other labels are judged by their
    neighbours. Near-duplicates share their errors, so they do not judge each other's labels, as far as that
    leaves enough to judge by.

    Args:
        embeddings: float, shape `(n, N)`, of all pictures.
        labels: int64, shape `(n,)`, -1 = unlabelled; at least two classes.
        pairs: as `duplicates` found them.
        predicted: int64, shape `(n,)`: the class that a classifier which had not met the picture gave it, as
            from `metriclearn.cross_validation.cross_validate`; -1 where there is none.
        confidence: float, shape `(n,)`, in [0, 1]: how sure of it that classifier was.
        n_next: how many unlabelled pictures to propose.
        seed: decides between equals among these.

    Raises:
        ValueError: for arrays that do not fit.
    """
    n_next = check_count(n_next, "n_next", 0)
    given: LabelArray = np.asarray(labels, dtype=np.int64)
    known = np.flatnonzero(is_labelled(given))
    groups = _groups_of_pairs(given, pairs)
    # Small classes: of k neighbours at most as many can agree as the class has others.
    smallest = min(_groups_of_classes(given, groups).values())
    k = max(1, min(10, 2 * (smallest - 1), len(known) - 1))
    scores = label_errors(embeddings, given, k, groups=groups)
    suggested = _suggestions(embeddings, given, known, groups)
    held_out = check_labels(np.full(len(given), -1) if predicted is None else predicted, len(given))
    if predicted is not None:
        sure = np.broadcast_to(np.asarray(confidence, dtype=np.float64), len(given))
        judged = known[is_labelled(held_out[known])]
        suggested[judged] = held_out[judged]
        scores[judged] = sure[judged] * (held_out[judged] != given[judged])

    def finding(row: int, kind: str, score: float) -> Finding:
        return Finding(int(row), kind, float(score), suggestion=int(suggested[row]))

    found = [
        finding(row, "label", scores[row])
        for row in known[np.argsort(-scores[known], kind="stable")]
        if scores[row] > (0 if held_out[row] >= 0 else SUSPICIOUS) and suggested[row] != given[row]
    ]
    found += [Finding(pair.first, "duplicate", pair.cosine, other=pair.second) for pair in pairs]
    if len(given) > 20:
        far = outliers(embeddings)
        lonely = far > np.quantile(far, LONELY)
        found += [finding(row, "outlier", far[row]) for row in np.argsort(-far, kind="stable") if lonely[row]]
    if n := min(n_next, len(given) - len(known)):
        order = select_for_labelling(embeddings, given, n, seed=seed)
        found += [finding(row, "next", 1 - i / n) for i, row in enumerate(order)]
    return found


def _groups_of_pairs(labels: LabelArray, pairs: Sequence[DuplicatePair]) -> LabelArray | None:
    """Return the groups that near-duplicates form, or None if there are none, or they leave too little apart.

    Each class must lie in two groups, and half of the labels outside the largest: of a camera that never
    moves all pictures may nearly be the same.
    """
    ends = np.array([(pair.first, pair.second) for pair in pairs], dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs), dtype=bool), tuple(ends)), shape=(len(labels),) * 2)
    groups: LabelArray = connected_components(graph, directed=False)[1].astype(np.int64)
    known = is_labelled(labels)
    sizes, spread = np.bincount(groups[known]), _groups_of_classes(labels, groups)
    return groups if len(pairs) and 2 * sizes.max() <= known.sum() and min(spread.values()) > 1 else None


def _suggestions(
    embeddings: FloatArray, labels: LabelArray, known: Rows, groups: LabelArray | None
) -> LabelArray:
    """Return the class that the three nearest labelled others vote for, for every image."""
    vectors = check_embeddings(embeddings, unit_length=True)
    k, suggested = min(3, len(known) - 1), np.empty(len(vectors), dtype=np.int64)
    free = np.setdiff1d(np.arange(len(vectors)), known)
    found = [(known, *_voters(vectors, labels, known, k, groups))]
    if len(free):
        nearby, cosines = nearest(vectors[free], vectors[known], k)
        found.append((free, known[nearby], cosines))
    for rows, voters, cosines in found:
        classes, shares = votes(labels[voters], cosines)
        suggested[rows] = classes[shares.argmax(axis=1)]
    return suggested


def _nearest_others(embeddings: FloatArray, k: int) -> tuple[Rows, Scores]:
    """Return the k nearest others of each row and their cosines, shape `(n, k)`, the nearest first."""
    vectors = check_embeddings(embeddings, unit_length=True)
    return nearest(vectors, vectors, check_count(k, "k", 1, len(vectors) - 1), skip_self=True)
