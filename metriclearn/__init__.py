"""Metric learning with few labels and a vector database.

The method in floors, each importing only from those below. On top stands `metriclearn.course`: what
only the notebooks use, such as the checks of the exercises and the figures that answer.

    plots.py   explore.py
    classify.py    QdrantClassifier: a scikit-learn classifier over an EmbeddingIndex
    kept.py        what a classifier keeps in its collection, to be opened again
    index.py       EmbeddingIndex: a Qdrant collection that knows which encoder filled it
    search.py   filters.py   layout.py   connect.py   what an index is made of
    embedding.py   MetricEmbedding: a scikit-learn transformer; fit, transform, save, load
    training.py    the loops, in view
    inference.py   propagate.py    a network at work; labels spread over the neighbour graph
    augment.py   losses.py   models.py   evaluate.py   data.py
    labels.py      what -1 means
    validate.py    arrays checked once, in the project's own form
    settings.py    so are numbers, choices, devices and folders
"""

from metriclearn.classify import QdrantClassifier
from metriclearn.data import ImageSet, load_images, scarce_labels
from metriclearn.embedding import MetricEmbedding
from metriclearn.index import EmbeddingIndex

__all__ = [
    "EmbeddingIndex",
    "ImageSet",
    "MetricEmbedding",
    "QdrantClassifier",
    "load_images",
    "scarce_labels",
]
