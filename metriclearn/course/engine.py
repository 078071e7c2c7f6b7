"""Qdrant's real engine, in this process or on a server, behind one interface, to measure its trade-offs.

Local mode compares a question with every point and ignores each setting of a graph. The engine itself is
written in Rust. It runs on a server, and as Qdrant Edge (https://qdrant.tech/edge/) inside a program:

    engine = fill(vectors, labels, Settings(m=16))
    exact = engine.ask(questions, exact=True)
    quick = engine.ask(questions, ef=32)
    recall(quick.ids, exact.ids), quick.seconds.mean()

`fill` goes to the server that QDRANT_URL names, and without one to Edge.
"""

import tempfile
import time
import uuid
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge
import torch
from qdrant_client import QdrantClient, models

from metriclearn import ImageSet, MetricEmbedding
from metriclearn.augment import random_affine
from metriclearn.checks.arguments import check_choice, check_count, check_flag
from metriclearn.checks.arrays import FloatArray, check_embeddings
from metriclearn.checks.labels import LabelArray, check_labels
from metriclearn.index.connection import connect, find_location

POINTS_PER_CALL = 5000
QUANTILE = 0.99  # of the numbers: int8 spreads its 128 steps over these, and cuts the few beyond
LONGEST_BUILD = 1800  # seconds that a server may take to index what it was given
# What a file of a segment holds, by the folder or the name that Qdrant gives it.
PARTS = {"vectors": "vector_storage/matrix.dat", "int8": "quantized.data", "graph": "vector_index/"}


@dataclass(frozen=True)
class Settings:
    """How a collection is built.

    Attributes:
        m: links that a point has in the graph; twice as many on its lowest floor.
        ef_construct: candidates that are looked at for each point when the graph is built.
        int8: keep a second copy of the vectors with one byte a number.
        threshold_kb: kilobytes of vectors in a segment from which on a graph is built, and asked. Qdrant's
            default for both is 10,000.
        label_index: index the payload's label before the graph is built, which then gets links within each
            label.
        originals: `"memory"`, or `"disk"`: left to the operating system to read when they are wanted.
    """

    m: int = 16
    ef_construct: int = 100
    int8: bool = False
    threshold_kb: int = 100
    label_index: bool = False
    originals: Literal["memory", "disk"] = "memory"

    def __post_init__(self) -> None:
        """Raise a ValueError for a setting that makes no sense."""
        check_count(self.m, "m")
        check_count(self.ef_construct, "ef_construct", 4)
        check_count(self.threshold_kb, "threshold_kb")
        check_flag(self.label_index, "label_index")
        check_choice(self.originals, "originals", ("memory", "disk"))


@dataclass(frozen=True)
class Answers:
    """What came back.

    Attributes:
        ids: int64, shape `(n, k)`: rows of the stored vectors, nearest first; -1 where fewer were found.
        seconds: float64, shape `(n,)`: how long the caller waited for each.
    """

    ids: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]


def recall(found: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    """Return which share of the true neighbours was found, the mean over all questions.

    Args:
        found: int64, shape `(n, k)`: ids, in any order.
        truth: int64, shape `(n, k)`: those of an exact search; -1 = there is none, and it is left out.
    """
    there = truth >= 0
    return float((truth[:, :, None] == found[:, None, :]).any(axis=2)[there].mean())


def fill(
    vectors: FloatArray, labels: LabelArray, settings: Settings | None = None, url: str | None = None
) -> "EdgeEngine | ServerEngine":
    """Store vectors, one point per row with its label, and build what the settings ask for.

    Args:
        vectors: float, shape `(n, N)`, unit length.
        labels: int, shape `(n,)`.
        settings: by default `Settings()`.
        url: a server; by default the environment variable QDRANT_URL, and without it Edge.

    Raises:
        ValueError: for arrays that do not fit.
        ConnectionError: if no server answers.
    """
    home = find_location(None, url)
    return (ServerEngine if home.url else EdgeEngine)(vectors, labels, settings or Settings(), url)


def widened(
    embedding: MetricEmbedding, images: ImageSet, n: int, seed: int = 0
) -> tuple[FloatArray, LabelArray]:
    """Return embeddings of n augmented images: of each image a copy, then of each another, and so on.

    Each copy is turned, moved, scaled and sheared at random, as in training, and keeps its image's label.

    Args:
        embedding: a fitted or loaded encoder.
        images: what to copy.
        n: how many embeddings.
        seed: of the random changes.

    Returns:
        Embeddings, float32 of shape `(n, N)`, and labels, int64 of shape `(n,)`.
    """
    pixels, generator = torch.as_tensor(images.pixels), torch.Generator().manual_seed(seed)
    rounds = -(-check_count(n, "n") // len(images))
    parts = [embedding.transform(random_affine(pixels, generator).numpy()) for _ in range(rounds)]
    return np.concatenate(parts)[:n], np.tile(images.labels, rounds)[:n]


class EdgeEngine:
    """A collection in Qdrant Edge: one shard in a temporary folder, which goes with it.

    Attributes:
        build_seconds: how long graph and int8 copy took, the upload aside.
        folder: where its files are.
    """

    def __init__(
        self, vectors: FloatArray, labels: LabelArray, settings: Settings, url: str | None = None
    ) -> None:
        rows, classes = _checked(vectors, labels)
        folder = tempfile.TemporaryDirectory(prefix="metriclearn-")
        self.folder = Path(folder.name)
        # Without a log of what is to be written: the shard goes with this object.
        self._shard = edge.EdgeShard.create(folder.name, _edge_config(rows.shape[1], settings))
        self.close = weakref.finalize(self, _close_edge, self._shard, folder)
        if settings.label_index:
            self.index_label()
        for start in range(0, len(rows), POINTS_PER_CALL):
            batch = range(start, min(start + POINTS_PER_CALL, len(rows)))
            points = [edge.Point(i, rows[i].tolist(), {"label": int(classes[i])}) for i in batch]
            self._shard.update(edge.UpdateOperation.upsert_points(points))
        started = time.perf_counter()
        self._shard.optimize()
        self._shard.flush()
        self.build_seconds = time.perf_counter() - started

    def index_label(self) -> None:
        """Index the label from now on; links of a graph that is there stay as they are."""
        label = edge.UpdateOperation.create_field_index("label", edge.PayloadSchemaType.Integer)
        self._shard.update(label)

    def release(self) -> None:
        """Close the shard and leave its files, so that another process may open them."""
        self._shard.close()

    @property
    def indexed(self) -> int:
        """How many points the graph holds; 0 means that every search is a full scan."""
        return self._shard.info().indexed_vectors_count

    def sizes(self) -> dict[str, int]:
        """Return the bytes on disk of vectors, int8 copy and graph: what a search has to have at hand."""
        sizes = dict.fromkeys(PARTS, 0)
        for file in self.folder.rglob("*"):
            for part, mark in PARTS.items():
                if mark in file.as_posix() and file.is_file():
                    sizes[part] += file.stat().st_size
        return sizes

    def ask(
        self,
        questions: FloatArray,
        k: int = 10,
        *,
        ef: int | None = None,
        exact: bool = False,
        rescore: float | None = None,
        label: int | None = None,
        together: bool = False,
    ) -> Answers:
        """Ask one question after the other, or all in one call.

        Args:
            questions: float, shape `(n, N)`, unit length.
            k: how many neighbours.
            ef: candidates that a search in the graph holds at a time.
            exact: compare with every point instead, and with the numbers as they came.
            rescore: with int8, how many times k candidates are fetched and put in order by the original
                numbers; None = the order by int8 stands.
            label: only points of this label may answer.
            together: send all questions in one call; each then took its share of it.
        """
        quantization = edge.QuantizationSearchParams(
            ignore=exact, rescore=rescore is not None, oversampling=rescore
        )
        params = edge.SearchParams(hnsw_ef=ef, exact=exact, quantization=quantization)
        only = None
        if label is not None:
            only = edge.Filter(must=[edge.FieldCondition("label", match=edge.MatchValue(label))])

        requests = [
            edge.QueryRequest(k, query=edge.Query.Nearest(vector), params=params, filter=only)
            for vector in check_embeddings(questions, unit_length=True).tolist()
        ]

        def many(requests: list[edge.QueryRequest]) -> list[list[edge.ScoredPoint]]:
            return self._shard.query_batch(edge.QueryBatchRequest(requests))

        return _answers(requests, k, together, self._shard.query, many)


class ServerEngine:
    """A collection of its own on a server, which is deleted with it. Attributes as in `EdgeEngine`."""

    def __init__(
        self, vectors: FloatArray, labels: LabelArray, settings: Settings, url: str | None = None
    ) -> None:
        rows, classes = _checked(vectors, labels)
        home = find_location(None, url)
        self._connection = connect(home)
        self._client, self._name = self._connection.client, home.full_name(f"engine-{uuid.uuid4().hex[:12]}")
        self._client.create_collection(self._name, **_server_config(rows.shape[1], settings))
        self.close = weakref.finalize(self, _close_server, self._client, self._name)
        if settings.label_index:
            self.index_label()
        points = (
            models.PointStruct(id=i, vector=rows[i].tolist(), payload={"label": int(classes[i])})
            for i in range(len(rows))
        )
        started = time.perf_counter()
        self._client.upload_points(self._name, points, batch_size=256, wait=True)
        too_few = rows.nbytes < 1024 * settings.threshold_kb
        while not (self._is_green() and (too_few or self.indexed >= len(rows))):
            if time.perf_counter() - started > LONGEST_BUILD:
                raise ConnectionError(f"The server has not indexed {len(rows)} points in {LONGEST_BUILD} s.")
            time.sleep(0.1)
        self.build_seconds = time.perf_counter() - started  # a server builds while it is filled

    @property
    def indexed(self) -> int:
        """How many points the graph holds; 0 means that every search is a full scan."""
        return self._client.get_collection(self._name).indexed_vectors_count or 0

    def ask(
        self,
        questions: FloatArray,
        k: int = 10,
        *,
        ef: int | None = None,
        exact: bool = False,
        rescore: float | None = None,
        label: int | None = None,
        together: bool = False,
    ) -> Answers:
        """Ask one question after the other, or all in one call, as `EdgeEngine.ask` does."""
        quantization = models.QuantizationSearchParams(
            ignore=exact, rescore=rescore is not None, oversampling=rescore
        )
        params = models.SearchParams(hnsw_ef=ef, exact=exact, quantization=quantization)
        only = None
        if label is not None:
            match = models.MatchValue(value=label)
            only = models.Filter(must=[models.FieldCondition(key="label", match=match)])

        requests = [
            models.QueryRequest(query=vector, limit=k, params=params, filter=only)
            for vector in check_embeddings(questions, unit_length=True).tolist()
        ]

        def many(requests: list[models.QueryRequest]) -> list[list[models.ScoredPoint]]:
            return [found.points for found in self._client.query_batch_points(self._name, requests)]

        return _answers(requests, k, together, lambda request: many([request])[0], many)

    def index_label(self) -> None:
        """Index the label from now on; links of a graph that is there stay as they are."""
        self._client.create_payload_index(self._name, "label", models.PayloadSchemaType.INTEGER, wait=True)

    def _is_green(self) -> bool:
        return self._client.get_collection(self._name).status == models.CollectionStatus.GREEN


def _checked(vectors: FloatArray, labels: LabelArray) -> tuple[FloatArray, LabelArray]:
    rows = check_embeddings(vectors, unit_length=True)
    return rows, check_labels(labels, len(rows))


def _answers(
    requests: list[Any],
    k: int,
    together: bool,
    one: Callable[[Any], Sequence[Any]],
    many: Callable[[list[Any]], Sequence[Sequence[Any]]],
) -> Answers:
    """Ask, and take the time."""
    ids, seconds = np.full((len(requests), check_count(k, "k")), -1), np.zeros(len(requests))
    started = time.perf_counter()
    found = list(many(requests)) if together else []
    if together:
        seconds[:] = (time.perf_counter() - started) / len(requests)
    for row, request in enumerate(requests):
        if not together:
            started = time.perf_counter()
            found.append(one(request))
            seconds[row] = time.perf_counter() - started
        ids[row, : len(found[row])] = [hit.id for hit in found[row]]
    return Answers(ids, seconds)


def _edge_config(dim: int, settings: Settings) -> edge.EdgeConfig:
    int8 = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=QUANTILE, memory=edge.Memory.Pinned)
    on_disk = settings.originals == "disk"
    return edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(
            dim, edge.Distance.Cosine, memory=edge.Memory.Cold if on_disk else edge.Memory.Cached
        ),
        hnsw_config=edge.HnswIndexConfig(
            m=settings.m, ef_construct=settings.ef_construct, full_scan_threshold=settings.threshold_kb
        ),
        quantization_config=int8 if settings.int8 else None,
        optimizers=edge.EdgeOptimizersConfig(
            indexing_threshold=settings.threshold_kb, default_segment_number=1
        ),
        wal_enabled=False,
    )


def _server_config(dim: int, settings: Settings) -> dict[str, Any]:
    int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=QUANTILE, always_ram=True)
    return {
        "vectors_config": models.VectorParams(
            size=dim, distance=models.Distance.COSINE, on_disk=settings.originals == "disk"
        ),
        "hnsw_config": models.HnswConfigDiff(
            m=settings.m, ef_construct=settings.ef_construct, full_scan_threshold=settings.threshold_kb
        ),
        "quantization_config": models.ScalarQuantization(scalar=int8) if settings.int8 else None,
        # A filter without a payload index, which strict mode refuses, is one of the things to measure.
        "strict_mode_config": models.StrictModeConfig(enabled=False),
        "optimizers_config": models.OptimizersConfigDiff(
            indexing_threshold=settings.threshold_kb, default_segment_number=1
        ),
    }


def _close_edge(shard: edge.EdgeShard, folder: "tempfile.TemporaryDirectory[str]") -> None:
    shard.close()
    folder.cleanup()


def _close_server(client: QdrantClient, name: str) -> None:
    client.delete_collection(name)
    client.close()
