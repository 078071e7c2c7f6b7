"""Metric learning with few labels and a vector database.

The method in floors, each importing only from those below. On top stand two wings that never meet:
`metriclearn.course`, what only the notebooks use, such as the checks of the exercises and the figures that
answer, and `metriclearn.cli`, the command line and what it writes into a classifier's folder.

    reindex.py     a new encoder takes the place of an old one, while others go on asking
    choose.py      which way suits these images: their own labels decide
    trust.py   review.py    how good, how sure, judged by held-out pictures; what a person should look at
    plots.py   explore.py
    classify.py    QdrantClassifier: a scikit-learn classifier over an EmbeddingIndex
    kept.py   transfer.py    what a classifier keeps, to be opened again; points taken to another home
    index.py       EmbeddingIndex: a Qdrant collection that knows which encoder filled it
    search.py   filters.py   layout.py   connect.py   what an index is made of
    embedding.py   MetricEmbedding: a scikit-learn transformer; fit, transform, save, load
    tuning.py    a pretrained backbone learns the task: a head, its last part, or all of it
    training.py    the loops, in view
    inference.py   propagate.py    a network at work; labels spread over the neighbour graph
    photos.py      a folder of pictures as one array on the disk
    folders.py   decode.py   which files, which labels; one file, safely
    backbones.py   pretrained networks without their classifier
    augment.py   losses.py   models.py   evaluate.py   data.py
    cache.py     where downloads and decoded pictures are kept
    labels.py      what -1 means
    validate.py    arrays checked once, in the project's own form
    settings.py    so are numbers, choices, devices and folders
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

# Imported when first used: PyTorch, scikit-learn and Qdrant's client take seconds, and a program that only
# looks at a folder, or prints its help, needs none of them.
_HOMES = {
    "EmbeddingIndex": "index",
    "ImageSet": "data",
    "MetricEmbedding": "embedding",
    "QdrantClassifier": "classify",
    "load_images": "data",
    "scarce_labels": "data",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"metriclearn has no {name!r}: choose one of {', '.join(__all__)}.")
    return getattr(import_module(f"metriclearn.{_HOMES[name]}"), name)
