"""The course's digits, and how embeddings of them are judged."""

from functools import cache

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from metriclearn import load_images
from metriclearn.models import Encoder
from metriclearn.training import predict_logits, train_autoencoder

POOL, TEST = load_images("mnist-5k")


def rows(pixels: np.ndarray) -> np.ndarray:
    """Return images as rows of pixels."""
    return pixels.reshape(len(pixels), -1)


def one_nearest(known: np.ndarray, labels: np.ndarray, test: np.ndarray) -> float:
    """Return the accuracy of 1-NN on the test images, in percent."""
    return 100 * float(KNeighborsClassifier(1).fit(known, labels).score(test, TEST.labels))


def accuracy_of_logits(classifier: torch.nn.Module) -> float:
    """Return the accuracy of a classifier with one logit per class, in percent."""
    return 100 * float((predict_logits(classifier, TEST.pixels).argmax(axis=1) == TEST.labels).mean())


@cache
def pca_views() -> tuple[np.ndarray, np.ndarray]:
    """Return pool and test images as 32 principal components of the pool, which needs no label."""
    pca = PCA(32, svd_solver="full").fit(rows(POOL.pixels))
    return pca.transform(rows(POOL.pixels)), pca.transform(rows(TEST.pixels))


@cache
def autoencoder(seed: int) -> Encoder:
    """Return the encoder of an autoencoder trained on the whole pool."""
    return train_autoencoder(POOL.pixels, seed=seed)[0].encoder
