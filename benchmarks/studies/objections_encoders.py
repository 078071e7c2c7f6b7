"""What the objections share: encoders that several of them look at, each trained once for a draw.

With the environment variable METRICLEARN_KEEP set to a folder they are kept there, so that a later run
need not train them again.
"""

import os
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
from joblib import Memory
from torch import nn

from benchmarks import poisoning
from benchmarks.digits import POOL
from metriclearn import MetricEmbedding, scarce_labels, training
from metriclearn.models import Autoencoder

KEPT = Memory(os.environ.get("METRICLEARN_KEEP"), verbose=0)


def budget(draw: int) -> np.ndarray:
    """Return the labels of a draw: ten per class."""
    return scarce_labels(POOL.labels, 10, draw)


@cache
@KEPT.cache
def usual(draw: int) -> MetricEmbedding:
    """Return the method with its defaults."""
    return MetricEmbedding(random_state=draw).fit(POOL.pixels, budget(draw))


@cache
@KEPT.cache
def without_pool(draw: int, known: tuple[int, ...] = tuple(range(10))) -> MetricEmbedding:
    """Return the method with the labelled images alone, ten of each of these digits."""
    labels = np.where(np.isin(POOL.labels, known), budget(draw), -1)
    return MetricEmbedding(random_state=draw, pseudo_labels=False).fit(POOL.pixels, labels)


@cache
@KEPT.cache
def gated(draw: int, first: float, last: float) -> MetricEmbedding:
    """Return the method with another gate, from the first share of each class to the last."""
    with patch.multiple(training, GATE_FROM=first, GATE_TO=last):
        return MetricEmbedding(random_state=draw).fit(POOL.pixels, budget(draw))


@cache
@KEPT.cache
def without_new_digits(draw: int) -> MetricEmbedding:
    """Return the encoder of `poisoning.py`, which has met the digits 0 to 6 only, in 300 steps."""
    return poisoning.train(draw)


@cache
@KEPT.cache
def split_encoder(draw: int, known: tuple[int, ...]) -> MetricEmbedding:
    """Return an encoder that has met only these digits, with ten labels of each, in 300 steps."""
    seen, labels = np.isin(POOL.labels, known), budget(draw)
    return MetricEmbedding(steps=poisoning.STEPS, random_state=draw).fit(POOL.pixels[seen], labels[seen])


@cache
@KEPT.cache
def network(draw: int, known: tuple[int, ...] = tuple(range(10)), smoothing: float = 0.1) -> nn.Module:
    """Return the supervised CNN, trained on ten labels of each of these digits, numbered from 0."""
    rows = np.flatnonzero(np.isin(budget(draw), known))
    classes = np.searchsorted(known, POOL.labels[rows])
    with patch.object(training, "LABEL_SMOOTHING", smoothing):
        return training.train_classifier(POOL.pixels[rows], classes, seed=draw)


@cache
@KEPT.cache
def joint(draw: int) -> Autoencoder:
    """Return an encoder and its decoder, trained together in 200 steps, as in notebook 4."""
    settings: dict[str, Any] = {"reconstruction": 10.0, "pseudo_labels": False, "steps": 200}
    return training.train_metric(POOL.pixels, budget(draw), seed=draw, **settings)[0]
