"""One Qdrant collection: find, create, search, read, write, and put it in another's place in a single step.

A collection bears its name itself, or `name` is an alias for it (see `names.py`). Then the next one is filled
under a name of its own, and the alias is switched. A replaced collection is deleted: whoever has it open
finds it gone, and never another's points under its name. An earlier version is kept: whoever has it open
goes on with it, and the way back is another switch.

k-nearest search: ties are broken by id, so the order of insertion plays no part.

Nothing that a user passes is checked here; `EmbeddingIndex` does that.
"""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse
from tqdm import tqdm

from metriclearn.checks.arrays import FloatArray
from metriclearn.checks.labels import UNLABELLED, LabelArray
from metriclearn.index.connection import Connection
from metriclearn.index.names import (
    DROPPED,
    SINCE,
    check_replaceable,
    check_versionable,
    resolve,
    sweep,
    temporary_name,
    version_name,
)

Distance = Literal["cosine", "euclid"]

DISTANCES: dict[Distance, models.Distance] = {
    "cosine": models.Distance.COSINE,
    "euclid": models.Distance.EUCLID,
}
SHARDING = ("shard_number", "replication_factor", "write_consistency_factor")
FILLED_FROM = "points_sha256"  # in the metadata of a collection that was filled at once: a hash of its points
RESERVED_METADATA = ("encoder", "replaceable", "versioned", "before", SINCE, DROPPED, FILLED_FROM)
INDEXED = {
    "label": models.PayloadSchemaType.INTEGER,
    "source": models.PayloadSchemaType.KEYWORD,
    "encoder": models.PayloadSchemaType.KEYWORD,
}
DECIMALS = 6  # float32 tells scores apart to about here; nearer ones are a tie
TIES = 48  # how many points beyond the k-th are asked for to see the end of a tie
QUERIES_PER_CALL = 256
NUMBERS_PER_CALL = 1_000_000  # some 20 MB as text; a server takes no more than 32 at a time
HITS_PER_CALL = 20_000  # some 40 MB of them: wide queries are asked fewer at a time
PER_PAGE = 1000
SHOWN_AFTER = 1  # seconds until an upload gets a bar


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
    """The k-nearest-neighbour graph of n points, as the entries of a sparse matrix.

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


class Kind(NamedTuple):
    """What embeddings a collection holds: their length, the encoder that they come from, their distance."""

    dim: int
    encoder_id: str
    distance: Distance


class Collection:
    """A Qdrant collection, and the name that leads to it.

    Every method raises a RuntimeError if the connection is closed or the collection is no longer there, a
    ConnectionError if the server does not answer or refuses, and an OSError if a folder cannot be read or
    written (`Connection.using`).

    Attributes:
        connection: the way to it.
        name: what it is asked for by, and what messages call it: its own name, or an alias for it.
        stored_in: its own name.
        kind: what embeddings it holds.
    """

    def __init__(self, connection: Connection, name: str, stored_in: str, kind: Kind) -> None:
        self.connection = connection
        self.name = name
        self.stored_in = stored_in
        self.kind = kind

    @classmethod
    def find(cls, connection: Connection, name: str) -> "Collection | None":
        """Return the collection that a name leads to, or None if there is none.

        Raises:
            ValueError: if it does not hold embeddings of one known encoder.
        """
        with connection.using(name) as client:
            stored_in = resolve(client, name)
            return None if stored_in is None else cls.existing(connection, name, stored_in)

    @classmethod
    def existing(cls, connection: Connection, name: str, stored_in: str) -> "Collection":
        """Return a collection that exists under a name of its own, to be called by another.

        Raises:
            ValueError: if it does not hold embeddings of one known encoder.
        """
        with connection.using(name) as client:
            config = client.get_collection(stored_in).config
        vectors, encoder_id = config.params.vectors, (config.metadata or {}).get("encoder")
        words = {measure: word for word, measure in DISTANCES.items()}
        if not encoder_id or not isinstance(vectors, models.VectorParams) or vectors.distance not in words:
            measure = vectors.distance if isinstance(vectors, models.VectorParams) else "named"
            raise ValueError(
                f"The collection {name!r} holds {measure.lower()} vectors of encoder {encoder_id!r}: choose "
                f"one of a known encoder, with one vector per point, compared by {' or '.join(DISTANCES)}."
            )
        kind = Kind(vectors.size, str(encoder_id), words[vectors.distance])
        return cls(connection, name, stored_in, kind)

    @classmethod
    def open(
        cls,
        connection: Connection,
        name: str,
        kind: Kind,
        *,
        versioned: bool = False,
        replace: bool = False,
        payload_indexes: Mapping[str, Any] | None = None,
        **sharding: int,
    ) -> "Collection":
        """Return the collection that a name leads to; it is created if there is none.

        The arguments are those of `EmbeddingIndex`.

        Raises:
            ValueError: if a collection is there that is of another kind or may not be replaced.
        """
        with connection.using(name) as client:
            found = resolve(client, name)
            if found and replace:
                check_replaceable(client, name, found)
            if versioned and found:
                check_versionable(name, found)
            new = version_name(name, kind.encoder_id) if versioned else name
            stored_in = temporary_name(name) if replace else found or new
            if replace and connection.location.url:
                sweep(client, name)
            if client.collection_exists(stored_in):
                opened = cls.existing(connection, name, stored_in)
                opened.check_kind(kind)
                opened.complete_indexes(payload_indexes or {})
            else:
                opened = cls(connection, name, stored_in, kind)
                metadata = {"encoder": kind.encoder_id, "replaceable": replace, "versioned": versioned}
                opened.create(metadata, payload_indexes, **sharding)
            if stored_in not in (name, found):
                opened.take_name(name)
        return opened

    def using(self) -> AbstractContextManager[QdrantClient]:
        """Give the client, in local mode to one thread at a time. What is done within happens at once."""
        return self.connection.using(self.name)

    # Create, check, put in another's place

    def create(
        self, metadata: dict[str, Any], payload_indexes: Mapping[str, Any] | None = None, **settings: Any
    ) -> None:
        """Create the collection with its payload indexes, before there are points.

        One of the same metadata may be there: then another program was faster, or the answer to an earlier
        request was lost. The settings are those of `QdrantClient.create_collection`.
        """
        vectors = models.VectorParams(size=self.kind.dim, distance=DISTANCES[self.kind.distance])
        metadata = metadata | {SINCE: time.time()}
        with self.using() as client:
            try:
                client.create_collection(
                    self.stored_in, vectors_config=vectors, metadata=metadata, **settings
                )
            except UnexpectedResponse as error:
                if error.status_code != 409 or self.metadata() != metadata:
                    raise
        self.index_payload(INDEXED | dict(payload_indexes or {}))

    def complete_indexes(self, further: Mapping[str, Any]) -> None:
        """Make those payload indexes that a server has not, as after a program that was killed early."""
        with self.using() as client:
            there = client.get_collection(self.stored_in).payload_schema
        wanted = INDEXED | dict(further) if self.connection.location.url else further
        self.index_payload({field: kind for field, kind in wanted.items() if field not in there})

    def index_payload(self, indexed: Mapping[str, Any]) -> None:
        """Make payload indexes, by key and kind; one that is there already stays as it is."""
        with self.using() as client, warnings.catch_warnings():
            # A server needs these indexes to filter fast; local mode has none and says so.
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            for field, kind in indexed.items():
                client.create_payload_index(self.stored_in, field, kind, wait=True)

    def settings(self) -> dict[str, Any]:
        """Return the arguments of `create` that give another collection the settings of this one."""
        with self.using() as client:
            info = client.get_collection(self.stored_in)
        config = info.config
        settings: dict[str, Any] = {name: getattr(config.params, name) for name in SHARDING}
        settings["quantization_config"] = config.quantization_config
        for name, stored, form in (
            ("hnsw_config", config.hnsw_config, models.HnswConfigDiff),
            ("optimizers_config", config.optimizer_config, models.OptimizersConfigDiff),
        ):
            settings[name] = form(**stored.model_dump(exclude_none=True)) if stored else None
        settings["payload_indexes"] = {
            key: field.params or field.data_type for key, field in info.payload_schema.items()
        }
        return {name: value for name, value in settings.items() if value is not None}

    def check_kind(self, wanted: Kind) -> None:
        """Raise a ValueError if the collection holds other embeddings than those wanted."""
        for attribute, word in (("encoder_id", "encoder"), ("dim", "length"), ("distance", "distance")):
            there, here = getattr(self.kind, attribute), getattr(wanted, attribute)
            if there != here:
                holds = f"holds embeddings of {word} {there!r}, not of {here!r}, and two {word}s must not mix"
                raise ValueError(f"The collection {self.name!r} {holds}: use another collection name.")

    def check_live(self) -> None:
        """Raise a RuntimeError if the name leads elsewhere by now: nobody would find what is written here."""
        with self.using() as client:
            if resolve(client, self.name) in (self.stored_in, None):
                return
            if client.collection_exists(self.stored_in):
                raise RuntimeError(
                    f"The name {self.name!r} leads to another collection than the one opened here, and "
                    "nobody would find what is written: open it again, with the encoder that it has now."
                )

    def take_name(self, name: str, *, keep: bool = False) -> None:
        """Switch an alias to this collection, and delete the one that it led to unless that is kept."""
        with self.using() as client:
            old = resolve(client, name)
            if old == name:  # no alias may bear a collection's name
                self._delete(client, name)
            steps: list[models.AliasOperations] = []
            if old not in (None, name):
                steps.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name)))
            alias = models.CreateAlias(collection_name=self.stored_in, alias_name=name)
            steps.append(models.CreateAliasOperation(create_alias=alias))
            client.update_collection_aliases(steps)
            self.name = name
            if old not in (None, name, self.stored_in) and not keep:
                with suppress(ApiException):  # the step is done; what is left of it is in nobody's way
                    self._delete(client, str(old))

    def drop(self) -> None:
        """Delete the collection with all its points."""
        with self.using() as client:
            self._delete(client, self.stored_in)

    def _delete(self, client: QdrantClient, stored_in: str) -> None:
        if self.connection.location.folder:  # killed meanwhile, the next to open the folder completes it
            client.update_collection(stored_in, metadata={DROPPED: True})
        client.delete_collection(stored_in)

    # What is stored about the points

    def metadata(self) -> dict[str, Any]:
        """Return what is stored about the collection."""
        with self.using() as client:
            return client.get_collection(self.stored_in).config.metadata or {}

    def user_metadata(self) -> dict[str, Any]:
        """Return what is stored about the points, and not about the collection as a version of them."""
        return {key: value for key, value in self.metadata().items() if key not in RESERVED_METADATA}

    def update_metadata(self, entries: dict[str, Any]) -> None:
        """Add entries to the metadata; those of the same key are replaced."""
        with self.using() as client:
            client.update_collection(self.stored_in, metadata=entries)

    # Search

    def count(self, where: models.Filter | None = None) -> int:
        """Return how many points there are, or how many meet a condition."""
        with self.using() as client:
            return client.count(self.stored_in, count_filter=where, exact=True).count

    def search(self, vectors: FloatArray, k: int, where: models.Filter | None = None) -> Neighbours:
        """Return the k nearest points of each query, float32 as they are stored; ties in the order of ids.

        Raises:
            ValueError: if fewer than k points may be neighbours.
        """
        step = max(1, min(QUERIES_PER_CALL, HITS_PER_CALL // (k + TIES), NUMBERS_PER_CALL // self.kind.dim))
        parts, endless = [], 0
        for start in range(0, len(vectors), step):
            with self.using() as client:  # counted and searched at once: nobody deletes in between
                self._check_enough(k, where)
                some, wide = self._nearest(client, vectors[start : start + step], k, where)
            parts.append(some)
            endless += wide
        if endless:
            warnings.warn(
                f"{endless} of {len(vectors)} queries have more than {TIES} points that are equally near: "
                "which of them are returned is left to chance. Has the encoder collapsed?",
                stacklevel=3,
            )
        ids, scores, labels, sources = map(np.concatenate, zip(*parts, strict=True))
        return Neighbours(ids, scores, labels, sources)

    def _check_enough(self, k: int, where: models.Filter | None) -> None:
        if (total := self.count(where)) < k:
            found = f"holds {total} points" + ("" if where is None else " that meet the condition")
            raise ValueError(
                f"{k} neighbours are asked for, but the collection {self.name!r} {found}: ask for fewer, or "
                "add points first."
            )

    def _nearest(
        self, client: QdrantClient, vectors: FloatArray, k: int, where: models.Filter | None
    ) -> tuple[tuple[npt.NDArray[Any], ...], int]:
        """Return the k nearest points of each query, and of how many queries a tie has no end in sight.

        Where a tie goes on beyond the k-th point, TIES more are asked for, once: to follow it to its end
        would cost hundreds of queries where all points are equal.
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
            answers = client.query_batch_points(self.stored_in, requests) if requests else []
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
        hits = [hit for row in found for hit in row]
        counts = np.array([len(row) for row in found])
        ids = np.array([str(hit.id) for hit in hits], dtype=np.str_)
        rounded = np.array([round(hit.score, DECIMALS) for hit in hits])
        nearest_first = -rounded if self.kind.distance == "cosine" else rounded
        order = np.lexsort((ids, nearest_first, np.repeat(np.arange(len(found)), counts)))
        chosen = order[(np.cumsum(counts) - counts)[:, None] + np.arange(k)]  # the first k of each query
        payloads = [hit.payload or {} for hit in hits]
        return (
            ids[chosen],
            np.array([hit.score for hit in hits], dtype=np.float32)[chosen],
            np.array([payload.get("label", UNLABELLED) for payload in payloads], dtype=np.int64)[chosen],
            np.array([payload.get("source", "") for payload in payloads], dtype=np.str_)[chosen],
        ), len(tied)

    def row_numbers(self, sources: npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
        """Return the row numbers that a classifier's points have as their sources, in the same shape.

        Raises:
            ValueError: if a point has none.
        """
        with suppress(ValueError, OverflowError):
            rows = sources.astype(np.int64)
            if rows.min(initial=0) >= 0:
                return rows
        raise foreign_points(self.name)

    def neighbour_graph(self, k: int) -> NeighbourGraph:
        """Return the k nearest others of every point, or raise a ValueError for fewer than two points.

        No vector leaves the database: each point is asked for by its id. A search matrix would do so in one
        call, which a server in strict mode counts as a query for n times k points.
        """
        with self.using() as client:
            ids = [record.id for record in self.records()]
            if (n := len(ids)) < 2:
                raise ValueError(f"The index holds {n} points: a graph of neighbours needs at least two.")
            k, place = min(k, n - 1), {point: i for i, point in enumerate(ids)}
            step = max(1, min(QUERIES_PER_CALL, HITS_PER_CALL // k))
            hits: list[tuple[int, models.ScoredPoint]] = []
            for start in range(0, n, step):
                asked = ids[start : start + step]  # who is asked for is not among the answers
                requests = [models.QueryRequest(query=point, limit=k) for point in asked]
                for i, answer in enumerate(client.query_batch_points(self.stored_in, requests), start):
                    hits += [
                        (i, hit) for hit in answer.points if hit.id in place
                    ]  # who came meanwhile is not
        return NeighbourGraph(
            ids=[str(point) for point in ids],
            rows=np.array([i for i, _ in hits], dtype=np.int64),
            columns=np.array([place[hit.id] for _, hit in hits], dtype=np.int64),
            scores=np.array([hit.score for _, hit in hits], dtype=np.float32),
        )

    # Read and write points

    def pages(self, *, vectors: bool = False) -> Iterator[list[models.Record]]:
        """Give all points in the order of their ids, a page at a time; others may write between two pages."""
        page: Any = None
        size = max(1, min(PER_PAGE, NUMBERS_PER_CALL // self.kind.dim)) if vectors else PER_PAGE
        while True:
            with self.using() as client:
                found, page = client.scroll(self.stored_in, limit=size, offset=page, with_vectors=vectors)
            if found:
                yield found
            if page is None:
                return

    def records(self, *, vectors: bool = False) -> list[models.Record]:
        """Return all points in the order of their ids; in local mode nobody writes meanwhile."""
        with self.using():
            return [record for page in self.pages(vectors=vectors) for record in page]

    def retrieve(self, ids: Sequence[Any], *, vectors: bool = False) -> dict[Any, models.Record]:
        """Return the points with these ids, by id."""
        with self.using() as client:
            found = client.retrieve(self.stored_in, ids, with_payload=True, with_vectors=vectors)
        return {record.id: record for record in found}

    def write(
        self,
        ids: Sequence[str],
        vectors: FloatArray,
        payloads: Sequence[dict[str, Any]],
        batch_size: int = 256,
        *,
        insert_only: bool = False,
    ) -> None:
        """Store points, batch by batch; a terminal shows a bar if that takes long.

        Those of the same id are replaced, or with `insert_only` left alone.
        """
        how: dict[str, Any] = {"wait": True}  # return when points can be found, not when the server took note
        if insert_only:
            how |= {"update_mode": models.UpdateMode.INSERT_ONLY, "ordering": models.WriteOrdering.STRONG}
        step = max(1, min(batch_size, NUMBERS_PER_CALL // self.kind.dim))
        with tqdm(total=len(ids), desc=self.name, unit=" points", delay=SHOWN_AFTER, disable=None) as bar:
            for start in range(0, len(ids), step):
                batch = range(start, min(start + step, len(ids)))
                points = [
                    models.PointStruct(id=ids[i], vector=vectors[i].tolist(), payload=payloads[i])
                    for i in batch
                ]
                with self.using() as client:
                    self.check_live()
                    client.upsert(self.stored_in, points, **how)
                bar.update(len(batch))

    def delete(self, points: models.Filter | Sequence[models.ExtendedPointId]) -> None:
        """Delete points by their ids, or all that meet a condition."""
        with self.using() as client:
            self.check_live()
            client.delete(
                self.stored_in,
                points_selector=points if isinstance(points, models.Filter) else list(points),
                wait=True,
            )


def foreign_points(name: str) -> ValueError:
    """Return what is raised if a classifier's collection holds points of another make."""
    return ValueError(
        f"The collection {name!r} holds points that no classifier stored: delete them, or fit anew."
    )
