"""Get to know your data: what embeddings tell about images beyond their class.

Pure functions over embeddings, or over an `EmbeddingIndex` that holds them.
"""

import numpy as np

from metriclearn.data import FloatArray
from metriclearn.index import EmbeddingIndex
from metriclearn.validate import check_embeddings


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
    if not 0 < quantile < 1:
        raise ValueError(f"quantile is {quantile!r}: choose a share between 0 and 1, such as 0.05.")
    if isinstance(known, EmbeddingIndex):
        if known.distance != "cosine":
            raise ValueError(f'The index measures by {known.distance}: use one with distance="cosine".')
        if held_out is None:
            raise ValueError("An index alone gives no threshold: pass held-out embeddings as well.")
        scores = known.query(held_out, k).scores[:, -1]
    else:
        stored = check_embeddings(known, np.shape(known)[-1] if np.ndim(known) else 0, unit_length=True)
        asked = stored if held_out is None else check_embeddings(held_out, stored.shape[1], unit_length=True)
        others = len(stored) - (held_out is None)
        if not isinstance(k, int | np.integer) or not 1 <= k <= others:
            raise ValueError(f"k is {k!r}, but each image has {others} others: choose 1 to that number.")
        cosine = asked @ stored.T
        if held_out is None:
            np.fill_diagonal(cosine, -np.inf)
        scores = np.partition(cosine, -k, axis=1)[:, -k]
    rank = int(quantile * (len(scores) + 1))
    if rank < 1:
        raise ValueError(
            f"A share of {quantile:g} of {len(scores)} images is less than one image: pass at least "
            f"{int(np.ceil(1 / quantile)) - 1} images, or choose a larger quantile."
        )
    return float(np.sort(scores)[rank - 1])
