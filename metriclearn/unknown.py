"""The threshold for "unknown": when the nearest neighbour is too far away to be believed."""

from typing import Any

import numpy as np
import numpy.typing as npt

from metriclearn.checks.arguments import check_count, check_number
from metriclearn.checks.arrays import FloatArray, check_embeddings
from metriclearn.neighbours import nearest


def unknown_threshold(
    known: FloatArray,
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
        known: embeddings of what is stored, float, shape `(n, N)`. For an index under cosine, pass the
            scores that it gives to `conformal_threshold`: `index.query(held_out, k).scores[:, -1]`.
        held_out: embeddings of other images of the known classes, float of shape `(m, N)`. They
            need no labels.
        quantile: share of the known kind that may be rejected for nothing, in (0, 1).
        k: which neighbour's similarity is the score, 1 = the nearest.

    Returns:
        A cosine. An image whose score is lower is unknown; one with an equal score is not.

    Raises:
        ValueError: for a quantile outside (0, 1) or too small for so few images, for embeddings that do
            not fit, or for more neighbours than there are.
    """
    stored = check_embeddings(known, unit_length=True)
    asked = stored if held_out is None else check_embeddings(held_out, stored.shape[1], unit_length=True)
    k = check_count(k, "k", 1, len(stored) - (held_out is None))
    _, cosines = nearest(asked, stored, k, skip_self=held_out is None)
    return conformal_threshold(cosines[:, -1].astype(np.float32), quantile)


def conformal_threshold(scores: npt.NDArray[np.floating[Any]], quantile: float = 0.05) -> float:
    """Return the threshold of split conformal prediction: the ⌊quantile · (n + 1)⌋-th smallest of n scores.

    Args:
        scores: similarities of held-out images to what is known, float, shape `(n,)`.
        quantile: share that may score lower for nothing, in (0, 1).

    Raises:
        ValueError: for a quantile outside (0, 1), or so few scores that this would be less than one.
    """
    quantile = check_number(quantile, "quantile", 0, 1, without=(0, 1))
    rank = int(quantile * (len(scores) + 1))
    if rank < 1:
        raise ValueError(
            f"A share of {quantile:g} of {len(scores)} images is less than one image: pass at least "
            f"{int(np.ceil(1 / quantile)) - 1} images, or choose a larger quantile."
        )
    return float(np.sort(scores)[rank - 1])
