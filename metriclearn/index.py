"""Embeddings in a vector database: a Qdrant collection that knows which encoder filled it.

Three homes, one class. In memory: gone when the program ends, fine for a notebook. A folder: one
program at a time, a few thousand points. A server: many programs, many points. Only the constructor
changes. What it adds to the plain client is care: every input is checked before anything is written
or asked, ids come from the content, and embeddings of two encoders never meet in one collection.
"""

import os
import re
import uuid
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from metriclearn.labels import UNLABELLED, LabelArray, check_point_labels
from metriclearn.validate import FloatArray, check_embeddings, check_ids, check_payloads, check_sources

Distance = Literal["cosine", "euclid"]
Where = Mapping[str, Any] | models.Filter

DISTANCES = {"cosine": models.Distance.COSINE, "euclid": models.Distance.EUCLID}
INDEXED = {
    "label": models.PayloadSchemaType.INTEGER,
    "source": models.PayloadSchemaType.KEYWORD,
    "encoder": models.PayloadSchemaType.KEYWORD,
}
IN_MEMORY = ":memory:"
ID_SPACE = uuid.UUID("5b1c9a3e-6f0d-5a52-9c7e-2d1f0a8b4c63")  # any fixed one will do
TIMEOUT = 30  # seconds; the client's 5 are short for a batch that the server must confirm
QUERIES_PER_CALL = 256
DECIMALS = 6  # float32 tells scores apart to about here; nearer ones are a tie


@dataclass(frozen=True)
class Neighbours:
    """The k nearest points of each query, nearest first.

    Attributes:
        ids: str, shape `(n, k)`.
        scores: float32, shape `(n, k)`, as Qdrant gives them. Under cosine the similarity: larger
            is nearer. Under Euclid the distance: smaller is nearer.
        labels: int64, shape `(n, k)`; −1 where a point has none.
        sources: str, shape `(n, k)`; empty where a point has none.
    """

    ids: npt.NDArray[np.str_]
    scores: FloatArray
    labels: LabelArray
    sources: npt.NDArray[np.str_]


class EmbeddingIndex:
    """A Qdrant collection of embeddings, all from one encoder.

    The payload of each point is `{"label": int, "source": str, "encoder": encoder_id}` and what
    you add. The encoder's id also stands in the collection's metadata and is checked on opening:
    embeddings of two encoders have nothing to say to each other, even if their lengths agree.

    A stored folder holds pickles, and opening one runs what is in it. Never open a folder that came
    from somebody else: publish embeddings as `.npy` and fill an index from these.

    Args:
        dim: N, the length of the embeddings.
        encoder_id: which encoder makes them, as in `MetricEmbedding.encoder_id_`.
        collection: name of the collection; made if it does not exist. On a server the environment
            variable METRICLEARN_PREFIX, if set, goes before it: with `ada`, "votes" becomes "ada_votes".
            So people who share a server, each with another prefix, do not meet in one collection.
        distance: `"cosine"` or `"euclid"`. On embeddings of unit length both give the same order.
        path: a folder to keep the points in, for one program at a time. It wins over the environment
            variable QDRANT_URL, and so does `":memory:"`.
        url: a server, such as `"http://localhost:6333"`; by default the environment variable
            QDRANT_URL. Without path, url and this variable the index lives in memory.
        api_key: the server's key; by default the environment variable QDRANT_API_KEY.
        shard_number: on a server, into how many pieces to split a new collection.
        replication_factor: on a cluster, how many copies to keep of each piece.
        replace: start with an empty collection. Only one that was itself made with `replace=True`
            is emptied; any other is refused.

    Attributes:
        client: the plain `QdrantClient`, for all that this class leaves out.
        collection: name of the collection, with its prefix.
        dim: length of the embeddings.
        encoder_id: the encoder that they come from.
        distance: `"cosine"` or `"euclid"`.

    Raises:
        ValueError: if the arguments make no sense, or if the collection exists with another
            encoder, length or distance.
        RuntimeError: if another client has the folder open.
        ConnectionError: if no server answers, or if it refuses the key.

    Example:
        >>> import numpy as np
        >>> embeddings = np.eye(3, dtype=np.float32)
        >>> with EmbeddingIndex(dim=3) as index:
        ...     ids = index.upsert(embeddings, labels=np.array([7, 8, 9]))
        ...     index.query(embeddings[:1], k=1).labels
        array([[7]])
    """

    def __init__(
        self,
        dim: int,
        *,
        encoder_id: str = "unknown",
        collection: str = "images",
        distance: Distance = "cosine",
        path: str | Path | None = None,
        url: str | None = None,
        api_key: str | None = None,
        shard_number: int | None = None,
        replication_factor: int | None = None,
        replace: bool = False,
    ) -> None:
        if not isinstance(dim, int | np.integer) or dim < 1:
            raise ValueError(f"dim is {dim!r}: choose a whole number of at least 1.")
        if distance not in DISTANCES:
            raise ValueError(f'distance is {distance!r}: choose "cosine" or "euclid".')
        self.dim = int(dim)
        self.encoder_id = encoder_id
        self.distance = distance
        url = _server(path, url)
        self.collection = _own_name(collection) if url else collection
        self.client = _connect(path, url, api_key)
        # Closes the client at the program's end, too: an open one prints a traceback there.
        self._close = weakref.finalize(self, self.client.close)
        try:
            self._open_collection(replace, shard_number, replication_factor)
        except BaseException:
            self.close()
            raise

    def upsert(
        self,
        embeddings: FloatArray,
        labels: npt.ArrayLike | None = None,
        sources: Sequence[str] | None = None,
        payloads: Sequence[Mapping[str, Any]] | None = None,
        batch_size: int = 256,
    ) -> list[str]:
        """Store embeddings; those that are there already are replaced.

        A point's id is computed from its source, or without one from the vector and the label. So
        the same call made twice, or made again after a crash, leaves the same points.

        Args:
            embeddings: float, shape `(n, dim)`.
            labels: int, shape `(n,)`; −1, the default, = unlabelled.
            sources: for each embedding a text that names its image, such as a file name; each once.
            payloads: for each embedding further entries, of JSON types.
            batch_size: points per call to the database.

        Returns:
            The ids, one per embedding. Without sources, equal embeddings of equal label share one.

        Raises:
            ValueError: for any input that does not fit. Nothing is written then.
        """
        vectors = check_embeddings(embeddings, self.dim, unit_length=self.distance == "cosine")
        n = len(vectors)
        checked_labels = check_point_labels(labels, n)
        if sources is not None:
            sources = check_sources(sources, n)
        if payloads is not None:
            payloads = check_payloads(payloads, n, INDEXED.keys())
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: choose at least 1.")
        if sources is not None:
            contents = [f"source {source}" for source in sources]
        else:
            raw = np.asarray(embeddings, dtype="<f4")
            contents = [
                f"vector {row.tobytes().hex()} {label}"
                for row, label in zip(raw, checked_labels, strict=True)
            ]
        ids = [str(uuid.uuid5(ID_SPACE, content)) for content in contents]

        def points() -> Iterator[models.PointStruct]:
            for i, vector in enumerate(vectors):
                payload: dict[str, Any] = {"label": int(checked_labels[i]), "encoder": self.encoder_id}
                if sources is not None:
                    payload["source"] = str(sources[i])
                if payloads is not None:
                    payload |= payloads[i]
                yield models.PointStruct(id=ids[i], vector=vector.tolist(), payload=payload)

        # wait=True: return when the points can be found, not when the server has taken note.
        self.client.upload_points(self.collection, points(), batch_size=batch_size, wait=True)
        return ids

    def query(self, embeddings: FloatArray, k: int = 5, where: Where | None = None) -> Neighbours:
        """Find the k nearest points of each embedding.

        Points of equal score (to six decimals, which is what float32 can tell) come in the order
        of their ids, so that the answer does not depend on how the points came in.

        Args:
            embeddings: float, shape `(n, dim)`.
            k: how many neighbours.
            where: which points may be neighbours: a dictionary such as `{"label": 3}` or
                `{"label": [3, 5], "source": "pool"}` (any of the values, all of the keys), or a
                `qdrant_client.models.Filter`.

        Raises:
            ValueError: for embeddings or conditions that do not fit, or if fewer than k points do.
        """
        vectors = check_embeddings(embeddings, self.dim, unit_length=self.distance == "cosine")
        condition = _filter(where)
        if not isinstance(k, int | np.integer) or k < 1:
            raise ValueError(f"k is {k!r}: choose a whole number of at least 1.")
        total = self.count(condition)
        if total < k:
            if where is not None:
                raise ValueError(
                    f"k is {k}, but only {total} points meet the condition: lower k or widen it."
                )
            if total == 0:
                raise ValueError(f"The collection {self.collection!r} is empty: upsert embeddings first.")
            raise ValueError(
                f"k is {k}, but the collection {self.collection!r} holds {total} points: lower k."
            )
        hits: list[list[models.ScoredPoint]] = []
        for start in range(0, len(vectors), QUERIES_PER_CALL):
            hits += self._nearest(vectors[start : start + QUERIES_PER_CALL], int(k), condition)
        payloads = [[hit.payload or {} for hit in row] for row in hits]
        return Neighbours(
            ids=np.array([[str(hit.id) for hit in row] for row in hits]),
            scores=np.array([[hit.score for hit in row] for row in hits], dtype=np.float32),
            labels=np.array([[p.get("label", UNLABELLED) for p in row] for row in payloads], dtype=np.int64),
            sources=np.array([[p.get("source", "") for p in row] for row in payloads], dtype=np.str_),
        )

    def count(self, where: Where | None = None) -> int:
        """Return how many points there are, or how many meet a condition (see `query`)."""
        return self.client.count(self.collection, count_filter=_filter(where), exact=True).count

    def __len__(self) -> int:
        return self.count()

    def delete(self, ids: Sequence[str] | None = None, where: Where | None = None) -> None:
        """Delete points by their ids, or all that meet a condition (see `query`).

        Ids that are not there are passed over.

        Raises:
            ValueError: if neither or both are given, or if an id is not one that `upsert` returned.
        """
        if (ids is None) == (where is None):
            raise ValueError("Say what to delete: pass either ids or where.")
        selector: models.Filter | list[models.ExtendedPointId]
        if ids is not None:
            ids = check_ids(ids)
            if len(ids) == 0:
                return  # Qdrant takes an empty list for a mistake
            selector = [str(point) for point in ids]
        else:
            selector = _filter(where) or models.Filter()
        self.client.delete(self.collection, points_selector=selector, wait=True)

    def close(self) -> None:
        """Let go of the client, and with it of the folder. Points in memory are gone."""
        self._close()

    def __enter__(self) -> "EmbeddingIndex":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_collection(
        self, replace: bool, shard_number: int | None, replication_factor: int | None
    ) -> None:
        """Make the collection, or check that the one that exists is of the same kind."""
        if self.client.collection_exists(self.collection):
            config = self.client.get_collection(self.collection).config
            metadata = config.metadata or {}
            if not replace:
                self._check_collection(metadata.get("encoder"), config.params.vectors)
                return
            if not metadata.get("replaceable"):
                raise ValueError(
                    f"The collection {self.collection!r} exists and was not made to be replaced: "
                    "choose another collection name."
                )
            self.client.delete_collection(self.collection)
        self.client.create_collection(
            self.collection,
            vectors_config=models.VectorParams(size=self.dim, distance=DISTANCES[self.distance]),
            metadata={"encoder": self.encoder_id, "replaceable": replace},
            shard_number=shard_number,
            replication_factor=replication_factor,
        )
        with warnings.catch_warnings():
            # A server needs these indexes to filter fast; local mode has none and says so.
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            for field, kind in INDEXED.items():
                self.client.create_payload_index(self.collection, field, kind, wait=True)

    def _check_collection(self, encoder: str | None, vectors: Any) -> None:
        advice = "use another collection name."
        if encoder is None:
            raise ValueError(
                f"The collection {self.collection!r} does not say which encoder filled it: {advice}"
            )
        if encoder != self.encoder_id:
            raise ValueError(
                f"The collection {self.collection!r} holds embeddings of encoder {encoder!r}, not of "
                f"{self.encoder_id!r}, and two encoders must not mix: {advice}"
            )
        if not isinstance(vectors, models.VectorParams):
            raise ValueError(f"The collection {self.collection!r} has named vectors: {advice}")
        if vectors.size != self.dim:
            raise ValueError(
                f"The collection {self.collection!r} holds embeddings of length {vectors.size}, not "
                f"{self.dim}: {advice}"
            )
        if vectors.distance != DISTANCES[self.distance]:
            raise ValueError(
                f"The collection {self.collection!r} measures by {vectors.distance.lower()}, not by "
                f"{self.distance}: {advice}"
            )

    def _nearest(
        self, vectors: FloatArray, k: int, condition: models.Filter | None
    ) -> list[list[models.ScoredPoint]]:
        """Return the k nearest of each; asks for more while a tie goes on beyond the last one."""
        direction = -1 if self.distance == "cosine" else 1
        found: list[list[models.ScoredPoint]] = [[]] * len(vectors)
        open_rows, limit = list(range(len(vectors))), k + 1
        while open_rows:
            requests = [
                models.QueryRequest(
                    query=vectors[row].tolist(),
                    limit=limit,
                    filter=condition,
                    with_payload=["label", "source"],
                )
                for row in open_rows
            ]
            answers = self.client.query_batch_points(self.collection, requests)
            for row, answer in zip(open_rows, answers, strict=True):
                found[row] = answer.points
                if len(answer.points) < k:  # an approximate search under a filter may fall short
                    raise ValueError(f"The search found only {len(answer.points)} of {k} points: lower k.")
            open_rows = [
                row
                for row in open_rows
                if len(found[row]) == limit
                and round(found[row][-1].score, DECIMALS) == round(found[row][k - 1].score, DECIMALS)
            ]
            limit *= 2
        return [
            sorted(hits, key=lambda hit: (direction * round(hit.score, DECIMALS), str(hit.id)))[:k]
            for hits in found
        ]


def _server(path: str | Path | None, url: str | None) -> str | None:
    """Return the server's address, or None for memory and folders."""
    if path is not None and url is not None:
        raise ValueError("Both path and url are given: choose a folder or a server.")
    return url or (os.environ.get("QDRANT_URL") if path is None else None)


def _own_name(collection: str) -> str:
    """Put METRICLEARN_PREFIX before a collection's name, so that people can share a server."""
    prefix = os.environ.get("METRICLEARN_PREFIX", "")
    if not re.fullmatch(r"[A-Za-z0-9.-]*", prefix):
        raise ValueError(f"METRICLEARN_PREFIX is {prefix!r}: use a to z, A to Z, digits, . and - only.")
    return f"{prefix}_{collection}" if prefix else collection


def _connect(path: str | Path | None, url: str | None, api_key: str | None) -> QdrantClient:
    """Open memory, a folder or a server, and make sure that it answers."""
    if url:
        return _connect_to_server(url, api_key or os.environ.get("QDRANT_API_KEY"))
    if path is None or str(path) == IN_MEMORY:
        return QdrantClient(IN_MEMORY)
    try:
        return QdrantClient(path=str(path))
    except RuntimeError as error:
        if "already accessed" not in str(error):
            raise
        raise RuntimeError(
            f"The folder {path} is open in another client: close that one first, with its close() or "
            "by shutting down the other notebook's kernel, or use a server."
        ) from None


def _connect_to_server(url: str, api_key: str | None) -> QdrantClient:
    # The client's own check runs in a thread of its own, which no error reaches: so knock first.
    probe = QdrantClient(url=url, api_key=api_key, timeout=TIMEOUT, check_compatibility=False)
    try:
        probe.get_collections()
    except ResponseHandlingException:
        raise ConnectionError(
            f"No Qdrant server answers at {url}: start one there, or leave out url and QDRANT_URL to "
            "work in memory."
        ) from None
    except UnexpectedResponse as error:
        advice = "check the API key" if error.status_code in (401, 403) else "is it a Qdrant server?"
        raise ConnectionError(f"{url} answers with status {error.status_code}: {advice}.") from None
    finally:
        probe.close()
    return QdrantClient(url=url, api_key=api_key, timeout=TIMEOUT)


def _filter(where: Where | None) -> models.Filter | None:
    """Turn a dictionary into Qdrant's filter: any of the values, all of the keys."""
    if where is None:
        return None
    if isinstance(where, models.Filter):
        if where == models.Filter():
            raise ValueError("The filter is empty and would mean every point: leave where out.")
        return where
    if not isinstance(where, Mapping) or len(where) == 0:
        raise ValueError(f'where is {where!r}: pass a dictionary such as {{"label": 3}}, or a Filter.')
    conditions: list[models.Condition] = []
    for key, value in where.items():
        plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        values = list(plain) if isinstance(plain, Iterable) and not isinstance(plain, str) else [plain]
        values = [v.item() if isinstance(v, np.generic) else v for v in values]
        kinds = {type(v) for v in values}
        if kinds not in ({int}, {str}) and not (kinds == {bool} and len(values) == 1):
            raise ValueError(f"where[{key!r}] is {value!r}: pass whole numbers, or texts, or one bool.")
        match = models.MatchValue(value=values[0]) if len(values) == 1 else models.MatchAny(any=values)
        conditions.append(models.FieldCondition(key=key, match=match))
    return models.Filter(must=conditions)
