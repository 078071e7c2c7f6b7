"""Metric learning with few labels and a vector database.

From the top layer down; each line imports only from those below it. The two on top never import each other:
what only the notebooks use, and the command line.

    cli/                  command line: check, fit, classify, evaluate, review, add
    course/               figures, exercises and measurements of the notebooks
    model_selection.py    model selection: which method suits these images
    calibration.py        confidence: the probability that an answer is right
    cross_validation.py   stratified folds, held-out predictions, leave one class out
    curation.py           duplicates, outliers, label errors, what to label next
    classify.py           QdrantClassifier: k-nearest-neighbour classifier over a vector database
    index/                EmbeddingIndex: embeddings in a Qdrant collection; export, re-indexing
    photos/               Photographs: a folder of images with labels, decoded once
    embedding.py          MetricEmbedding: scikit-learn transformer from images to embeddings
    finetune.py           transfer learning: a head on a backbone, fine-tuning of its last part or all
    training.py           training loops: autoencoder, metric learning, supervised classifier
    batches.py            batches for training, and all images through a network in bounded memory
    label_propagation.py  label spreading over the neighbour graph, pseudo-labels
    backbones.py          pretrained networks without their classifier
    losses.py             contrastive, triplet and supervised contrastive loss
    models.py             encoder, decoder, autoencoder
    fingerprint.py        identity of a network: a hash of its weights and its structure
    default_settings.py   settings of PyTorch and NumPy, whatever a program has set
    augment.py            data augmentation
    unknown.py            threshold for "unknown": conformal prediction
    plots.py              plots: images, neighbours, maps, accuracies with intervals
    metrics.py            recall@k, MAP@R, confidence intervals, diagnostics of a collapse
    neighbours.py         k-nearest-neighbour search and weighted vote, by brute force
    data.py               data sets and the label budget
    files.py              cache folder; files written all or none
    checks/               input validation: arrays, labels, arguments
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
_MODULES = {
    "EmbeddingIndex": "index",
    "ImageSet": "data",
    "MetricEmbedding": "embedding",
    "QdrantClassifier": "classify",
    "load_images": "data",
    "scarce_labels": "data",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"metriclearn has no {name!r}: choose one of {', '.join(__all__)}.")
    return getattr(import_module(f"metriclearn.{_MODULES[name]}"), name)
