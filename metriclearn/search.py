"""The search itself: the nearest points of each query, in an order that does not hang on how they came in."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models

from metriclearn.labels import UNLABELLED, LabelArray
from metriclearn.validate import FloatArray

DECIMALS = 6  # float32 tells scores apart to about here; nearer ones are a tie
TIES = 48  # how many points beyond the k-th are asked for to see the end of a tie


@dataclass(frozen=True)
class Neighbours:
    """The k nearest points of each query, nearest first.

    Attributes:
        ids: str, shape `(n, k)`.
        scores: float32, shape `(n, k)`, as Qdrant gives them. Under cosine the similarity: larger
            is nearer. Under Euclid the distance: smaller is nearer.
        labels: int64, shape `(n, k)`; -1 where a point has none.
        sources: str, shape `(n, k)`; empty where a point has none.
    """

    ids: npt.NDArray[np.str_]
    scores: FloatArray
    labels: LabelArray
    sources: npt.NDArray[np.str_]


@dataclass(frozen=True)
class NeighbourGraph:
    """Who is whose neighbour: the entries of a sparse matrix of n points.

    Attributes:
        ids: the n points.
        rows: int64, shape `(m,)`: of each entry whose neighbour it is, as a place in `ids`.
        columns: int64, shape `(m,)`: which point the neighbour is.
        scores: float32, shape `(m,)`, as in `Neighbours`.
    """

    ids: list[str]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    scores: FloatArray


def check_enough(
    client: QdrantClient, collection: str, name: str, k: int, where: models.Filter | None
) -> None:
    """Raise a ValueError if fewer than k points meet a condition; the message calls them by `name`."""
    total = client.count(collection, count_filter=where, exact=True).count
    if total >= k:
        return
    if where is not None:
        raise ValueError(f"k is {k}, but only {total} points meet the condition: lower k or widen it.")
    if total == 0:
        raise ValueError(f"The collection {name!r} is empty: upsert embeddings first.")
    raise ValueError(f"k is {k}, but the collection {name!r} holds {total} points: lower k.")


def nearest(
    client: QdrantClient,
    collection: str,
    vectors: FloatArray,
    k: int,
    where: models.Filter | None,
    largest_first: bool,
) -> tuple[Neighbours, int]:
    """Return the k nearest points of each query, and of how many queries a tie has no end in sight.

    Where a tie goes on beyond the k-th point, TIES more are asked for, once: to follow it to its end would
    cost hundreds of queries where all points are equal.
    """
    found: list[list[models.ScoredPoint]] = [[]] * len(vectors)
    tied = list(range(len(vectors)))
    for limit in (k + 1, k + TIES):
        requests = [
            models.QueryRequest(
                query=vectors[row].tolist(), limit=limit, filter=where, with_payload=["label", "source"]
            )
            for row in tied
        ]
        answers = client.query_batch_points(collection, requests) if requests else []
        for row, answer in zip(tied, answers, strict=True):
            found[row] = answer.points
            if len(answer.points) < k:  # an approximate search under a filter may fall short
                raise ValueError(f"The search found only {len(answer.points)} of {k} points: lower k.")
        tied = [
            row
            for row in tied
            if len(found[row]) == limit
            and round(found[row][-1].score, DECIMALS) == round(found[row][k - 1].score, DECIMALS)
        ]
    sign = -1 if largest_first else 1
    hits = [
        sorted(row, key=lambda hit: (sign * round(hit.score, DECIMALS), str(hit.id)))[:k] for row in found
    ]
    payloads = [[hit.payload or {} for hit in row] for row in hits]
    neighbours = Neighbours(
        ids=np.array([[str(hit.id) for hit in row] for row in hits], dtype=np.str_),
        scores=np.array([[hit.score for hit in row] for row in hits], dtype=np.float32),
        labels=np.array([[p.get("label", UNLABELLED) for p in row] for row in payloads], dtype=np.int64),
        sources=np.array([[p.get("source", "") for p in row] for row in payloads], dtype=np.str_),
    )
    return neighbours, len(tied)


def joined(parts: list[Neighbours]) -> Neighbours:
    """Return the neighbours of all queries from those of some at a time."""
    names = ("ids", "scores", "labels", "sources")
    return Neighbours(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def neighbour_graph(client: QdrantClient, collection: str, k: int) -> NeighbourGraph:
    """Return the k nearest others of every point."""
    n = client.count(collection, exact=True).count
    if n < 2:
        raise ValueError(f"The index holds {n} points: a graph of neighbours needs at least two.")
    answer = client.search_matrix_offsets(collection, sample=n, limit=min(k, n - 1))
    return NeighbourGraph(
        ids=[str(point) for point in answer.ids],
        rows=np.array(answer.offsets_row, dtype=np.int64),
        columns=np.array(answer.offsets_col, dtype=np.int64),
        scores=np.array(answer.scores, dtype=np.float32),
    )
