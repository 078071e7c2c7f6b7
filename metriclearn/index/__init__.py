"""Embeddings in a Qdrant collection: store them, find the nearest, and never mix those of two encoders.

reindex.py          a new encoder takes the place of an old one, while others go on asking
examples.py         persistence of a `QdrantClassifier`
export.py           points as files
embedding_index.py  EmbeddingIndex: every argument checked
collection.py       one collection: find, create, search, read, write, switch aliases
filters.py          conditions on points
connection.py       memory, folder, server; locks and retries
folder.py           a folder of the local mode: checked, opened, tidied up
names.py            aliases, versions, temporary names
"""

from metriclearn.index.collection import Distance, NeighbourGraph, Neighbours
from metriclearn.index.embedding_index import EmbeddingIndex
from metriclearn.index.filters import Where

__all__ = ["Distance", "EmbeddingIndex", "NeighbourGraph", "Neighbours", "Where"]
