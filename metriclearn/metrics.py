"""Metrics: confidence intervals, recall@k and MAP@R for retrieval, diagnostics of a collapse."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from metriclearn.checks.arguments import check_count, check_number
from metriclearn.checks.arrays import FloatArray, as_array, check_embeddings
from metriclearn.checks.labels import LabelArray, check_groups, check_labels, is_labelled
from metriclearn.neighbours import nearest


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, all in the unit of the values.

    Attributes:
        mean: the mean of the values.
        low: lower end of the interval.
        high: upper end of the interval.
        n: how many values it rests on.
    """

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}]"


def t_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the mean of repeated runs with Student's t interval.

    It answers: where would the mean of very many draws of labelled images lie?
    Source: https://www.itl.nist.gov/div898/handbook/eda/section3/eda352.htm

    Args:
        values: one number per run, at least two.
        confidence: how often such an interval holds the true mean, in (0, 1).

    Raises:
        ValueError: with fewer than two values, where there is no spread to judge by, or values that are no
            finite numbers.
    """
    given = as_array(values, "The values")
    if given.ndim != 1 or len(given) < 2 or given.dtype.kind not in "iuf" or not np.isfinite(given).all():
        raise ValueError(
            f"The values have shape {given.shape} and type {given.dtype}: pass a finite number "
            "for each of at least two runs."
        )
    numbers = given.astype(np.float64)
    confidence = _confidence(confidence)
    mean, error = numbers.mean(), stats.sem(numbers)
    half = stats.t.ppf((1 + confidence) / 2, len(numbers) - 1) * error
    return Interval(float(mean), float(mean - half), float(mean + half), len(numbers))


def wilson_interval(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """Return a share in percent, such as one accuracy on n test images, with Wilson's interval.

    It answers: what would this one classifier score on very many images of the same kind?
    Source: https://doi.org/10.1080/01621459.1927.10502953

    Args:
        hits: how many were right.
        n: how many were tried, at least one.
        confidence: how often such an interval holds the true share, in (0, 1).

    Raises:
        ValueError: if `hits` does not lie between 0 and `n`, or `n` is less than 1.
    """
    n = check_count(n, "n")
    hits = check_count(hits, "hits", 0, n)
    result = stats.binomtest(hits, n).proportion_ci(_confidence(confidence), method="wilson")
    return Interval(100 * hits / n, 100 * float(result.low), 100 * float(result.high), n)


def clustered_interval(
    hits: npt.ArrayLike, groups: npt.ArrayLike | None = None, confidence: float = 0.95
) -> Interval:
    """Return a share in percent with Wilson's interval for clustered data: groups of images that are alike.

    Frames of one scene are right or wrong together, so n of them tell less than n images. The spread between
    the groups says how much less: the interval is Wilson's for the effective sample size, n divided by the
    design effect, which is never taken for less than 1 (Franco et al. 2019,
    https://pmc.ncbi.nlm.nih.gov/articles/PMC6690503), and corrected for few groups by Student's t as Korn &
    Graubard (1998) do. If all were right, or none, a group counts as one image. A single group tells nothing:
    the interval is 0 to 100.

    Args:
        hits: bool, shape `(n,)`: which images were right; at least one image.
        groups: int, shape `(n,)`: equal numbers for images that are alike. Where no two share a group, as
            without this, it is `wilson_interval`.
        confidence: how often such an interval holds the true share, in (0, 1).

    Raises:
        ValueError: for no image, groups of another length, or a confidence outside (0, 1).
    """
    right = np.asarray(hits, dtype=bool)
    n, confidence = len(right), _confidence(confidence)
    members = np.arange(n) if groups is None else check_groups(groups, n)
    sizes = np.bincount(members)
    if len(sizes) == n:
        return wilson_interval(int(right.sum()), n, confidence)
    share = float(right.mean())
    if len(sizes) == 1:
        return Interval(100 * share, 0.0, 100.0, n)
    if 0 < share < 1:
        apart = np.bincount(members, right) - share * sizes
        variance = len(sizes) / (len(sizes) - 1) * (apart**2).sum() / n**2
        effect = max(1.0, variance / (share * (1 - share) / n))
    else:
        effect = (sizes**2).sum() / n
    z, t = stats.norm.ppf((1 + confidence) / 2), stats.t.ppf((1 + confidence) / 2, len(sizes) - 1)
    effective = n / effect * (z / t) ** 2
    centre = (share + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z * np.sqrt(share * (1 - share) / effective + (z / (2 * effective)) ** 2) / (1 + z**2 / effective)
    return Interval(
        100 * share, 100 * max(0.0, float(centre - half)), 100 * min(1.0, float(centre + half)), n
    )


def _confidence(value: float) -> float:
    return check_number(value, "confidence", 0, 1, without=(0, 1))


def recall_at_k(embeddings: FloatArray, labels: LabelArray, k: int = 1) -> float:
    """Return the share of images that have one of their own class among their k nearest others.

    Unlabelled images are left out: they neither ask nor answer.

    Source: Jégou et al. 2011, https://doi.org/10.1109/TPAMI.2010.57; in the form used for metric
    learning by Oh Song et al. 2016, https://arxiv.org/abs/1511.06452

    Args:
        embeddings: float, shape `(n, N)`, unit length.
        labels: int64, shape `(n,)`; −1 = unlabelled.
        k: how many neighbours to look at, from 1 to one less than there are labelled images.

    Raises:
        ValueError: for arrays that do not fit, or if k is out of that range.
    """
    embeddings, labels = _labelled_rows(embeddings, labels)
    rows, _ = nearest(embeddings, embeddings, check_count(k, "k", 1, len(labels) - 1), skip_self=True)
    return float((labels[rows] == labels[:, None]).any(axis=1).mean())


def mean_average_precision_at_r(embeddings: FloatArray, labels: LabelArray) -> float:
    """Return MAP@R: how high the images of an image's own class stand among its nearest others.

    R is the number of others of its class. Each place i up to R that holds one of these adds the precision
    among the first i places; their sum divided by R, on average over all images, is MAP@R. It is 1 only if
    each image has all its class before any other, where recall@1 asks for the nearest alone. An image
    whose class has no other is left out, and so are unlabelled ones.

    Source: Musgrave et al. 2020, "A metric learning reality check", https://arxiv.org/abs/2003.08505

    Args:
        embeddings: float, shape `(n, N)`, unit length.
        labels: int64, shape `(n,)`; −1 = unlabelled.

    Raises:
        ValueError: for arrays that do not fit, or if no two images share a class.
    """
    embeddings, labels = _labelled_rows(embeddings, labels)
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    others = counts[classes] - 1  # R of each image
    if not len(labels) or (most := others.max()) < 1:
        raise ValueError("No two images share a class, so nothing can be found: pass two of one class.")
    rows, _ = nearest(embeddings, embeddings, most, skip_self=True)
    places, r = np.arange(1, most + 1), others[:, None]
    hits = (labels[rows] == labels[:, None]) & (places <= r)
    average_precision = (hits * hits.cumsum(axis=1) / places / np.maximum(r, 1)).sum(axis=1)
    return float(average_precision.sum() / (others > 0).sum())


def _labelled_rows(embeddings: FloatArray, labels: LabelArray) -> tuple[FloatArray, LabelArray]:
    """Return the embeddings that have a label, and these labels."""
    vectors = check_embeddings(embeddings, unit_length=True)
    classes = check_labels(labels, len(vectors))
    known = is_labelled(classes)
    return vectors[known], classes[known]


@dataclass(frozen=True)
class CollapseDiagnostics:
    """Diagnostics of a collapse: four numbers that show it while it happens.

    Attributes:
        mean_distance: mean Euclidean distance between two embeddings; 0 when all are one point,
            about 1.4 when they fill the sphere.
        rank: effective number of directions the embeddings use, from 1 to N (Roy & Vetterli 2007).
        hard_loss: batch-hard triplet loss; it sits at the margin when all embeddings are one point.
        active: share of all triplets that still cost something; 1 at a collapse.
    """

    mean_distance: float
    rank: float
    hard_loss: float
    active: float


def collapse_diagnostics(
    embeddings: FloatArray, labels: LabelArray, margin: float = 0.2
) -> CollapseDiagnostics:
    """Return the collapse diagnostics of a batch of embeddings.

    The effective rank is exp(entropy) of the normalised singular values, without centring
    (https://ieeexplore.ieee.org/document/7098875). Unlabelled images are left out.

    Args:
        embeddings: float, shape `(n, N)`, unit length.
        labels: int64, shape `(n,)`; −1 = unlabelled. At least two images of one class, and two classes.
        margin: the triplet margin, as a distance.

    Raises:
        ValueError: for arrays that do not fit, or labels without a triplet.
    """
    embeddings, labels = _labelled_rows(embeddings, labels)
    margin = check_number(margin, "margin", 0)
    distances = np.sqrt(np.maximum(2 - 2 * embeddings @ embeddings.T, 0))
    same = labels[:, None] == labels
    positives = same & ~np.eye(len(labels), dtype=bool)
    if not positives.any() or same.all():
        raise ValueError("There is no triplet here: pass two images of one class, and one of another.")
    singular = np.linalg.svd(embeddings, compute_uv=False)
    weights = singular / singular.sum()
    entropy = -(weights * np.log(weights + 1e-12)).sum()
    hardest = np.where(positives, distances, -np.inf).max(1) - np.where(same, np.inf, distances).min(1)
    active = triplets = 0
    for away, its_own, its_class in zip(distances, positives, same, strict=True):  # one anchor after another
        near, far = away[its_own], np.sort(away[~its_class])
        active += int(np.searchsorted(far, near + margin).sum())  # negatives nearer than this still cost
        triplets += len(near) * len(far)
    return CollapseDiagnostics(
        mean_distance=float(distances[~np.eye(len(labels), dtype=bool)].mean()),
        rank=float(np.exp(entropy)),
        hard_loss=float(np.maximum(hardest + margin, 0)[positives.any(1)].mean()),
        active=active / triplets,
    )
