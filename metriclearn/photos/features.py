"""A backbone's features of photographs, each batch cached on the disk."""

import hashlib
from functools import partial

import numpy as np
import torch

from metriclearn.backbones import Backbone
from metriclearn.batches import in_batches
from metriclearn.checks.arrays import FloatArray
from metriclearn.files import cache_folder, cached_array
from metriclearn.photos import Photographs
from metriclearn.photos.cache import progress_bar

VERSION = 6  # increase it to invalidate what is cached


def photograph_features(photographs: Photographs, backbone: Backbone) -> FloatArray:
    """Extract the backbone's features of photographs, float32 of shape `(n, width)`."""
    folder, parts, by = cache_folder() / "features", [], backbone.cache_key
    with progress_bar(len(photographs), "Looking") as bar:
        for batch in photographs.batches():
            # Of the pixels, not of the files: how deep files are read depends on the rest of the folder.
            pixels = hashlib.sha256(batch.data).hexdigest()
            text = f"{VERSION} {torch.__version__} {by} {backbone.device} {pixels}"
            path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"
            parts.append(cached_array(path, partial(in_batches, backbone.forward, batch)))
            bar.update(len(batch))
    return np.concatenate(parts)
