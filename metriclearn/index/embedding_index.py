"""Embeddings in a vector database: a Qdrant collection that knows which encoder filled it.

In memory: gone when the program ends, fine for a notebook. In a folder: one program at a time, a few thousand
points. On a server: many programs, many points. Only the arguments of the constructor differ. What the class
adds to the plain client is care: every input is checked before anything is written or asked, ids come from
the content, and embeddings of two encoders never meet in one collection.
"""

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models

from metriclearn.checks.arguments import check_choice, check_count, check_flag, check_text, shown
from metriclearn.checks.arrays import (
    FloatArray,
    check_embeddings,
    check_ids,
    check_payloads,
    check_sources,
    comparable_rows,
)
from metriclearn.checks.labels import UNLABELLED, check_labels
from metriclearn.index.collection import (
    DISTANCES,
    INDEXED,
    SHARDING,
    Collection,
    Distance,
    Kind,
    NeighbourGraph,
    Neighbours,
)
from metriclearn.index.connection import check_name, closed_on_error, connect, find_location
from metriclearn.index.filters import Where, filter_of
from metriclearn.index.names import version_name

ID_SPACE = uuid.UUID("5b1c9a3e-6f0d-5a52-9c7e-2d1f0a8b4c63")  # any fixed one will do
LONGEST = 65536  # numbers in an embedding, by Qdrant's own rule


class EmbeddingIndex:
    """A Qdrant collection of embeddings, all from one encoder.

    The payload of each point is `{"label": int, "source": str, "encoder": encoder_id}` and what
    you add. The encoder's id also stands in the collection's metadata and is checked on opening:
    embeddings of two encoders cannot be compared, even if their lengths agree.

    Threads may share an index. In memory and in a folder a lock lets one call after the other through,
    since Qdrant's local mode breaks without; a server takes many at a time. `client`, used directly, has no
    such lock. A copy would need a place of its own, so an index can be neither copied nor pickled.

    A stored folder holds pickles, and opening one runs what is in it. Never open a folder that came
    from somebody else: publish embeddings as `.npy` and fill an index from these.

    Args:
        dim: N, the length of the embeddings.
        encoder_id: which encoder makes them, as in `MetricEmbedding.encoder_id_`.
        collection: name of the collection, or an alias for it; made if it does not exist. On a server the
            environment variable METRICLEARN_PREFIX, if set, goes before it: with `ada`, "votes" becomes
            "ada_votes". So people who share a server, each with another prefix, do not meet in one
            collection.
        distance: `"cosine"` or `"euclid"`. On embeddings of unit length both give the same order.
        path: a folder to keep the points in, for one program at a time; `~` is the home folder. It wins
            over the environment variable QDRANT_URL, and so does `":memory:"`.
        url: a server, such as `"http://localhost:6333"`; by default the environment variable
            QDRANT_URL. Without path, url and this variable the index lives in memory.
        api_key: the server's key; by default the environment variable QDRANT_API_KEY.
        shard_number: into how many pieces to split a new collection. Local mode, in memory or in a folder,
            ignores this and the next three: it has one piece, one copy and no payload index.
        replication_factor: on a cluster, how many copies to keep of each piece.
        write_consistency_factor: on a cluster, how many copies must have taken a write before it counts.
        payload_indexes: which entries of your own payloads you will filter by, and their kind, such as
            `{"part": "keyword", "row": "integer"}`. A server searches these fast, and one in strict mode
            refuses to filter by any other. Label, source and encoder are always among them.
        versioned: keep the points in a collection `<collection>__<encoder_id>`, with `collection` as an alias
            for it, so that `metriclearn.index.reindex` can put another encoder's in its place.
        replace: start with an empty collection, in place of the one of that name. Only one that was itself
            made with `replace=True` is replaced; any other is refused.

    Attributes:
        client: the plain `QdrantClient`, for all that this class leaves out.
        collection: name of the collection, with its prefix.
        dim: length of the embeddings.
        encoder_id: the encoder that they come from.
        distance: `"cosine"` or `"euclid"`.
        storage: the `Collection` below, whose methods check nothing.

    Raises:
        ValueError: if the arguments make no sense, if the collection exists with another encoder,
            length or distance, or if the folder cannot be used or is damaged.
        RuntimeError: if another client has the folder open. Each method raises it, too, in a forked process,
            and once the index is closed or its collection has been deleted or replaced.
        ConnectionError: if no server answers, if it refuses the key or a request, or stays busy for seconds.

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
        write_consistency_factor: int | None = None,
        payload_indexes: Mapping[str, str] | None = None,
        versioned: bool = False,
        replace: bool = False,
    ) -> None:
        dim = check_count(dim, "dim", high=LONGEST)
        distance = check_choice(distance, "distance", DISTANCES)
        encoder_id = check_text(encoder_id, "encoder_id")
        versioned, replace = check_flag(versioned, "versioned"), check_flag(replace, "replace")
        if versioned and replace:
            raise ValueError("An index is versioned or replaced: choose one of the two.")
        given = zip(SHARDING, (shard_number, replication_factor, write_consistency_factor), strict=True)
        sharding = {name: check_count(n, name) for name, n in given if n is not None}
        indexed = _check_payload_indexes(payload_indexes)
        location = find_location(path, url)
        name = location.full_name(collection)
        if versioned:
            check_name(version_name(name, encoder_id))
        connection = connect(location, api_key)
        with closed_on_error(connection):
            self.storage = Collection.open(
                connection,
                name,
                Kind(dim, encoder_id, distance),
                versioned=versioned,
                replace=replace,
                payload_indexes=indexed,
                **sharding,
            )

    @classmethod
    def from_storage(cls, storage: Collection) -> "EmbeddingIndex":
        """Return an index over a collection that is open already."""
        index = cls.__new__(cls)
        index.storage = storage
        return index

    @property
    def client(self) -> QdrantClient:
        """The plain client."""
        return self.storage.connection.client

    @property
    def collection(self) -> str:
        """Name of the collection."""
        return self.storage.name

    @property
    def dim(self) -> int:
        """Length of the embeddings."""
        return self.storage.kind.dim

    @property
    def encoder_id(self) -> str:
        """The encoder that the embeddings come from."""
        return self.storage.kind.encoder_id

    @property
    def distance(self) -> Distance:
        """How distances are measured."""
        return self.storage.kind.distance

    def upsert(
        self,
        embeddings: FloatArray,
        labels: npt.ArrayLike | None = None,
        sources: Sequence[str] | None = None,
        payloads: Sequence[Mapping[str, Any]] | None = None,
        batch_size: int = 256,
    ) -> list[str]:
        """Store embeddings; those that are there already are replaced.

        A point's id is computed from its source, or without one from the label and the bits of the vector. So
        the same call made twice, or made again after a crash, leaves the same points. Give sources if images
        may be embedded again: with other batches, threads or processors the last bits change, and without
        sources each image would be there twice. Arrays, tensors, lists, generators and columns of pandas are
        read by position.

        Args:
            embeddings: float, shape `(n, dim)`.
            labels: int, shape `(n,)`; -1, the default, = unlabelled.
            sources: for each embedding a text that names its image, such as a file name; each once.
            payloads: for each embedding further entries, of JSON types.
            batch_size: points per call to the database, fewer if the embeddings are very long.

        Returns:
            The ids, one per embedding. Without sources, embeddings of the same bits and label share one.

        Raises:
            ValueError: for any input that does not fit. Nothing is written then.
        """
        raw = check_embeddings(embeddings, self.dim, unit_length=False)
        vectors, n = comparable_rows(raw, self.distance), len(raw)
        given = np.full(n, UNLABELLED) if labels is None else check_labels(labels, n, "embedding")
        classes = given.tolist()
        names = None if sources is None else check_sources(sources, n)
        extras = None if payloads is None else check_payloads(payloads, n, INDEXED.keys())
        size = check_count(batch_size, "batch_size")
        if names is not None:
            ids = [source_id(name) for name in names]
        else:
            rows = raw.astype("<f4", copy=False)
            ids = [_point_id(f"vector {rows[i].tobytes().hex()} {classes[i]}") for i in range(n)]
        entries: list[dict[str, Any]] = [
            {"label": classes[i], "encoder": self.encoder_id}
            | ({} if names is None else {"source": names[i]})
            | ({} if extras is None else extras[i])
            for i in range(n)
        ]
        self.storage.write(ids, vectors, entries, size)
        return ids

    def query(self, embeddings: FloatArray, k: int = 5, where: Where | None = None) -> Neighbours:
        """Find the k nearest points of each embedding.

        Points of equal score (to six decimals, which is what float32 can tell) come in the order
        of their ids, so that the answer does not depend on how the points came in. Of more than 48 equal
        ones beyond the k-th it does: an encoder that maps so many images to one point has collapsed, and
        a warning says so.

        Args:
            embeddings: float, shape `(n, dim)`.
            k: how many neighbours.
            where: which points may be neighbours: a dictionary such as `{"label": 3}` or
                `{"label": [3, 5], "source": "pool"}` (any of the values, all of the keys), or a
                `qdrant_client.models.Filter`, no part of which may be empty.

        Raises:
            ValueError: for embeddings or conditions that do not fit, or if fewer than k points do.
        """
        rows = check_embeddings(embeddings, self.dim, unit_length=False)
        vectors, condition = comparable_rows(rows, self.distance), filter_of(where)
        return self.storage.search(vectors, check_count(k, "k"), condition)

    def count(self, where: Where | None = None) -> int:
        """Return how many points there are, or how many meet a condition (see `query`)."""
        return self.storage.count(filter_of(where))

    def __len__(self) -> int:
        return self.count()

    def delete(self, ids: Sequence[str] | None = None, where: Where | None = None) -> None:
        """Delete points by their ids, or all that meet a condition (see `query`).

        Ids that are not there are passed over. A condition that says nothing deletes nothing: to delete
        every point, pass `where={"encoder": index.encoder_id}`.

        Raises:
            ValueError: if neither or both are given, if an id is not one that `upsert` returned, or if the
                condition or a part of it is empty.
        """
        if (ids is None) == (where is None):
            raise ValueError("Say what to delete: pass either ids or where.")
        points = filter_of(where) if ids is None else [*check_ids(ids)]
        if points:  # Qdrant takes an empty list for a mistake
            self.storage.delete(points)

    def neighbour_graph(self, k: int = 30) -> NeighbourGraph:
        """Return the k nearest others of every point; no vector leaves the database.

        Args:
            k: how many neighbours; the number of other points if that is less.

        Raises:
            ValueError: for a k below 1, or an index of fewer than two points.
        """
        return self.storage.neighbour_graph(check_count(k, "k"))

    def close(self) -> None:
        """Let go of the client, and with it of the folder, once no call is running. Memory is gone then."""
        self.storage.connection.close()

    def __enter__(self) -> "EmbeddingIndex":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> str:
        raise TypeError(
            "An EmbeddingIndex cannot be copied or pickled: open its collection again where you need it."
        )


def source_id(source: str) -> str:
    """Return the id of the point with this source."""
    return _point_id(f"source {source}")


def _point_id(content: str) -> str:
    return str(uuid.uuid5(ID_SPACE, content))


def _check_payload_indexes(given: Any) -> dict[str, str]:
    given, kinds = {} if given is None else given, [kind.value for kind in models.PayloadSchemaType]
    if not isinstance(given, Mapping) or INDEXED.keys() & given.keys():
        raise ValueError(
            f'payload_indexes is {shown(given)}: pass a dictionary such as {{"part": "keyword"}}, without '
            f"{', '.join(INDEXED)}, which the index sets itself."
        )
    return {
        check_text(key, "A key of payload_indexes"): check_choice(kind, f"payload_indexes[{key!r}]", kinds)
        for key, kind in given.items()
    }
