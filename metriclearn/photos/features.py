"""A backbone's features of photographs, each batch cached on the disk."""

import hashlib
from functools import partial

import numpy as np

from metriclearn.backbones import Backbone
from metriclearn.batches import in_batches
from metriclearn.checks.arrays import FloatArray
from metriclearn.files import cache_folder, cached_array
from metriclearn.photos import Photographs
from metriclearn.photos.cache import progress_bar

VERSION = 5  # increase it to invalidate what is cached


def photograph_features(photographs: Photographs, backbone: Backbone) -> FloatArray:
    """Extract the backbone's features of photographs, float32 of shape `(n, width)`.

    Raises:
        OSError: if the cache cannot be written.
    """
    folder, parts, done, by = cache_folder() / "features", [], 0, backbone.cache_key
    with progress_bar(len(photographs), "Looking") as bar:
        for batch in photographs.batches():
            of = "".join(photographs.digests[done : done + len(batch)])
            text = f"{VERSION} {by} {backbone.device} {of}"
            path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"
            parts.append(cached_array(path, partial(in_batches, backbone.forward, batch)))
            done += len(batch)
            bar.update(len(batch))
    return np.concatenate(parts)
