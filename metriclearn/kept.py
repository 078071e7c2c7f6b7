"""What a classifier keeps in its collection, so that it can be opened again from there and nothing else.

Each point holds its class by name, `{"class": "owl"}`, and as its label a number that follows from the name
alone: two programs that add examples of a new class agree on it without asking each other. The collection's
metadata hold the parameters of the vote, all classes, the names of X's columns and the number of rows.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models

from metriclearn import layout
from metriclearn.connect import Connection
from metriclearn.index import EmbeddingIndex
from metriclearn.labels import LabelArray
from metriclearn.validate import FloatArray

Classes = npt.NDArray[Any]
PER_PAGE = 1000


@dataclass(frozen=True)
class Examples:
    """What is stored, by row.

    Attributes:
        vectors: float32, shape `(n, N)`.
        targets: the class of each, shape `(n,)`.
        rows: int64, shape `(n,)`: the row number of each in the order of fitting.
        seen: how many rows there were, those without a label as well.
    """

    vectors: FloatArray
    targets: Classes
    rows: npt.NDArray[np.int64]
    seen: int

    @property
    def sources(self) -> list[str]:
        """The rows as the points' sources."""
        return [str(row) for row in self.rows]

    def store(self, index: EmbeddingIndex) -> None:
        """Write them into an index: all of them, or if that fails none."""
        names = [{"class": name} for name in self.targets.tolist()]
        try:
            index.upsert(self.vectors, codes_of(self.targets), sources=self.sources, payloads=names)
        except BaseException:  # such as Ctrl-C
            with suppress(Exception):
                index.delete(where={"source": self.sources})
            raise

    def followed_by(self, more: "Examples") -> "Examples":
        """Return these and more of them."""
        return Examples(
            np.concatenate([self.vectors, more.vectors]),
            np.concatenate([self.targets, more.targets]),
            np.concatenate([self.rows, more.rows]),
            more.seen,
        )


def codes_of(classes: Classes) -> LabelArray:
    """Return a number for each class: itself, or 63 bits of its name's hash, so that no two share one."""
    if classes.dtype.kind != "U":
        return classes.astype(np.int64)
    names, places = np.unique(classes, return_inverse=True)
    hashes = [hashlib.sha256(name.encode()).digest()[:8] for name in names.tolist()]
    return np.array([int.from_bytes(value) >> 1 for value in hashes], dtype=np.int64)[places]


def start(
    connection: Connection, collection: str, dim: int, encoder_id: str, distance: str, about: dict[str, Any]
) -> EmbeddingIndex:
    """Make a collection beside the one of that name. It takes its place when it is published.

    Raises:
        ValueError: if that one was not made to be replaced.
    """
    name = connection.home.full_name(collection)
    stored_in = layout.beside(name)
    with connection.using(name) as client:
        if found := layout.find(client, name):
            layout.check_replaceable(client, name, found)
        metadata = {"encoder": encoder_id, "replaceable": True, "classifier": about}
        layout.create(client, stored_in, dim, distance, metadata)
    return EmbeddingIndex._over(connection, name, stored_in, dim, encoder_id, distance)


def publish(index: EmbeddingIndex) -> None:
    """Let the name mean this collection from now on."""
    with index._using() as client:
        layout.switch(client, index.collection, index._stored_in)


def drop(index: EmbeddingIndex) -> None:
    """Delete a collection that was not published; one that cannot be reached any more is left there."""
    with suppress(Exception), index._using() as client:
        client.delete_collection(index._stored_in)


def find(connection: Connection, collection: str) -> tuple[EmbeddingIndex, dict[str, Any]] | None:
    """Return the index of the classifier of that name and what it noted, or None if nothing is there.

    Raises:
        ValueError: if something else is there.
    """
    name = connection.home.full_name(collection)
    with connection.using(name) as client:
        stored_in = layout.find(client, name)
        if stored_in is None:
            return None
        config = client.get_collection(stored_in).config
    metadata, vectors = config.metadata or {}, config.params.vectors
    if "classifier" not in metadata or not isinstance(vectors, models.VectorParams):
        raise ValueError(
            f"The collection {name!r} in {connection.home} holds no classifier that could be opened: choose "
            "another collection name, or fill it anew with fit if it may be replaced."
        )
    distance = next(word for word, kind in layout.DISTANCES.items() if kind == vectors.distance)
    encoder_id = str(metadata["encoder"])
    index = EmbeddingIndex._over(connection, name, stored_in, vectors.size, encoder_id, distance)
    return index, dict(metadata["classifier"])


def note(index: EmbeddingIndex, classes: Classes, rows: int) -> None:
    """Note that there are these classes now, and so many rows; what others noted stays."""
    with index._using() as client:
        about = noted(client, index._stored_in)
        known = sorted({*about.get("classes", []), *classes.tolist()})
        about |= {"classes": known, "rows": max(rows, about.get("rows", 0))}
        client.update_collection(index._stored_in, metadata={"classifier": about})


def noted(client: QdrantClient, stored_in: str) -> dict[str, Any]:
    """Return what stands in the metadata."""
    return dict((client.get_collection(stored_in).config.metadata or {}).get("classifier", {}))


def read(index: EmbeddingIndex) -> tuple[Examples, Classes]:
    """Return all examples in the order of their rows, and the classes, sorted.

    Raises:
        ValueError: if a point is there that no classifier stored.
    """
    records: list[models.Record] = []
    page: Any = None
    with index._using() as client:
        about = noted(client, index._stored_in)
        while True:
            found, page = client.scroll(index._stored_in, limit=PER_PAGE, offset=page, with_vectors=True)
            records += found
            if page is None:
                break
    payloads = [record.payload or {} for record in records]
    rows = rows_of(np.array([str(payload.get("source")) for payload in payloads]), index)
    if not all("class" in payload for payload in payloads):
        raise _strangers(index)
    order = np.argsort(rows, kind="stable")
    classes = np.unique(np.array([*about["classes"], *(payload["class"] for payload in payloads)]))
    targets = np.array([payloads[i]["class"] for i in order], dtype=classes.dtype)
    vectors = np.array([records[i].vector for i in order], dtype=np.float32).reshape(-1, index.dim)
    seen = max(int(about["rows"]), int(rows.max(initial=-1)) + 1)
    return Examples(vectors, targets, rows[order], seen), classes


def rows_of(sources: npt.NDArray[np.str_], index: EmbeddingIndex) -> npt.NDArray[np.int64]:
    """Return the row numbers that stand in the points' sources, in the same shape.

    Raises:
        ValueError: if a point has none.
    """
    try:
        return sources.astype(np.int64)
    except ValueError:
        raise _strangers(index) from None


def _strangers(index: EmbeddingIndex) -> ValueError:
    return ValueError(
        f"The collection {index.collection!r} holds points that no classifier stored: delete them, or "
        "fit anew."
    )
