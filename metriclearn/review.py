"""What a person should look at: pictures that are there twice, wrong labels, pictures unlike all others.

The scores are those of `metriclearn.explore`; here they become one list for a person's morning, the most
urgent of each kind first.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metriclearn.explore import near_duplicates, outliers, suspicious_labels, what_to_label_next
from metriclearn.labels import LabelArray, is_labelled
from metriclearn.photos import Photographs
from metriclearn.settings import check_count
from metriclearn.validate import FloatArray

SAME_PICTURE = 0.99  # cosine of two thumbnails; measured: saved again or smaller 0.995, different ones below
SUSPICIOUS = 0.5  # more than half of the neighbours' votes are for another class
LONELY = 0.99  # the share of pictures that lie closer to their neighbours than an outlier


@dataclass(frozen=True)
class Twins:
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
    """Something to look at.

    Attributes:
        row: which picture.
        kind: `"label"` (looks wrong), `"twin"`, `"outlier"` or `"next"` (to be labelled).
        score: the larger, the more urgent, among those of its kind.
        other: for a twin the row of the other picture, or -1.
        suggestion: the class that the neighbours vote for, or -1.
    """

    row: int
    kind: str
    score: float
    other: int = -1
    suggestion: int = -1


def duplicates(photographs: Photographs, threshold: float = SAME_PICTURE) -> list[Twins]:
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
    return [Twins(a, b, c, s, bool(-1 != labels[a] != labels[b] != -1)) for a, b, c, s in every]


def what_to_review(
    embeddings: FloatArray,
    labels: npt.ArrayLike,
    twins: Sequence[Twins] = (),
    *,
    n_next: int = 20,
    seed: int = 0,
) -> list[Finding]:
    """Return what to look at: suspicious labels, twins, outliers, and what to label next.

    Args:
        embeddings: float, shape `(n, N)`, of all pictures.
        labels: int64, shape `(n,)`, -1 = unlabelled; at least two classes.
        twins: as `duplicates` found them.
        n_next: how many unlabelled pictures to propose.
        seed: decides between equals among these.

    Raises:
        ValueError: for arrays that do not fit.
    """
    n_next = check_count(n_next, "n_next", 0)
    given: LabelArray = np.asarray(labels, dtype=np.int64)
    known = np.flatnonzero(is_labelled(given))
    # Small classes: of k neighbours at most as many can agree as the class has others.
    smallest = min(Counter(given[known].tolist()).values())
    k = max(1, min(10, 2 * (smallest - 1), len(known) - 1))
    scores = suspicious_labels(embeddings, given, k)
    votes = _votes(embeddings, given, known)
    found = [
        Finding(int(row), "label", float(scores[row]), suggestion=int(votes[row]))
        for row in known[np.argsort(-scores[known], kind="stable")]
        if scores[row] > SUSPICIOUS and votes[row] != given[row]
    ]
    found += [Finding(pair.first, "twin", pair.cosine, other=pair.second) for pair in twins]
    if len(given) > 20:
        far = outliers(embeddings, min(10, len(given) - 1))
        limit = np.quantile(far, LONELY)
        lonely = [row for row in np.argsort(-far, kind="stable") if far[row] > limit]
        found += [Finding(int(row), "outlier", float(far[row]), suggestion=int(votes[row])) for row in lonely]
    free = len(given) - len(known)
    if n := min(n_next, free):
        order = what_to_label_next(embeddings, given, n, seed=seed)
        found += [
            Finding(int(row), "next", 1 - i / n, suggestion=int(votes[row])) for i, row in enumerate(order)
        ]
    return found


def _votes(embeddings: FloatArray, labels: LabelArray, known: npt.NDArray[np.int_]) -> LabelArray:
    """Return the class that the three nearest labelled others vote for, for every picture."""
    vectors = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    k, votes = min(3, len(known) - 1), np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), 1000):
        cosines = vectors[start : start + 1000] @ vectors[known].T
        cosines[
            known[None] == np.arange(start, start + len(cosines))[:, None]
        ] = -2  # nobody votes for himself
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        for i, row in enumerate(nearest):
            weights: dict[int, float] = {}
            for j in row:
                label = int(labels[known[j]])
                weights[label] = weights.get(label, 0.0) + float(np.exp((cosines[i, j] - 1) / 0.1))
            votes[start + i] = max(weights, key=lambda label: weights[label])
    return votes
