"""What a classifier keeps in its collection, so that it can be opened again from there and nothing else.

Each point holds its class by name, `{"class": "owl"}`, and as its label a number that follows from the name
alone: two programs that add examples of a new class agree on it without asking each other. The collection's
metadata hold the parameters of the vote, all classes, the names of X's columns and the number of rows.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient

from metriclearn import layout
from metriclearn.connect import Connection
from metriclearn.index import EmbeddingIndex
from metriclearn.labels import LabelArray, is_labelled
from metriclearn.validate import FloatArray

Classes = npt.NDArray[Any]


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

    @classmethod
    def of(cls, vectors: FloatArray, targets: Classes, start: int) -> "Examples":
        """Return the labelled rows, numbered from `start` on; rows without a label count as well."""
        rows = np.flatnonzero(is_labelled(targets))
        return cls(vectors[rows], targets[rows], rows.astype(np.int64) + start, start + len(targets))

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
    hashes = [hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:8] for name in names.tolist()]
    return np.array([int.from_bytes(value) >> 1 for value in hashes], dtype=np.int64)[places]


@dataclass
class Kept:
    """A classifier's collection, and what is known of it here.

    Attributes:
        index: the collection.
        examples: what is stored in it.
        classes: the classes, sorted.
    """

    index: EmbeddingIndex
    examples: Examples
    classes: Classes

    @classmethod
    def fill(
        cls,
        connection: Connection,
        collection: str,
        encoder_id: str,
        distance: str,
        examples: Examples,
        classes: Classes,
        about: dict[str, Any] | None = None,
    ) -> "Kept":
        """Fill a new collection; only then it takes the place of the one of that name.

        `about` is what to note besides.

        Raises:
            ValueError: if that one was not made to be replaced.
        """
        name, dim = connection.home.full_name(collection), examples.vectors.shape[1]
        about = (about or {}) | {"classes": classes.tolist(), "rows": examples.seen}
        metadata = {"encoder": encoder_id, "replaceable": True, "classifier": about}
        stored_in = layout.beside(name)
        # Under its own name while it is filled: what is called `name` meanwhile is the earlier one.
        index = EmbeddingIndex._over(connection, stored_in, stored_in, dim, encoder_id, distance)
        with connection.using(name) as client:
            if found := layout.find(client, name):
                layout.check_replaceable(client, name, found)
        try:
            with connection.using(name) as client:
                layout.create(client, stored_in, dim, distance, metadata)
            examples.store(index)
        except BaseException:  # such as Ctrl-C; what cannot be reached any more is left there
            with suppress(Exception), connection.using(name) as client:
                client.delete_collection(stored_in)
            raise
        with connection.using(name) as client:
            layout.switch(client, name, stored_in)
        index.collection = name
        return cls(index, examples, classes)

    @classmethod
    def find(cls, connection: Connection, collection: str) -> "tuple[Kept, dict[str, Any]] | None":
        """Return what is kept under a name and what was noted about it, or None if nothing is there.

        Raises:
            ValueError: if something else is there.
        """
        name = connection.home.full_name(collection)
        with connection.using(name) as client:
            stored_in = layout.find(client, name)
            if stored_in is None:
                return None
            config = client.get_collection(stored_in).config
        metadata = config.metadata or {}
        if "classifier" not in metadata:
            raise ValueError(
                f"The collection {name!r} in {connection.home} holds no classifier that could be opened: "
                "choose another collection name, or fill it anew with fit if it may be replaced."
            )
        index = EmbeddingIndex._over(connection, name, stored_in, *layout.kind(config, name))
        return cls(index, *_read(index)), dict(metadata["classifier"])

    def check_same(self, encoder_id: str, distance: str, dim: int) -> None:
        """Raise a ValueError if embeddings of these parameters do not belong here."""
        for name, there, here in (
            ("encoder_id", self.index.encoder_id, encoder_id),
            ("distance", self.index.distance, distance),
            ("the length of the embeddings", self.index.dim, dim),
        ):
            if there != here:
                raise ValueError(
                    f"The collection {self.index.collection!r} holds a classifier, and {name} is {there!r} "
                    f"there but {here!r} here: open it with QdrantClassifier.open, or choose another "
                    "collection name."
                )

    def catch_up(self) -> None:
        """Read again what is stored; other programs may have added to it."""
        self.examples, self.classes = _read(self.index)

    def add(self, vectors: FloatArray, targets: Classes, named: Classes) -> None:
        """Store examples, and know these classes."""
        if len(self.index) != len(self.examples.rows):
            self.catch_up()
        if len(named) and named.dtype.kind != self.classes.dtype.kind:
            raise ValueError(
                f"The classes so far are of type {self.classes.dtype}, the new ones of type {named.dtype}: "
                "use numbers for all or texts for all."
            )
        # An empty array of numbers would make numbers of bools.
        known = np.union1d(self.classes, named) if len(named) else self.classes
        more = Examples.of(vectors, targets, self.examples.seen)
        with self.index._using() as client:
            about = _noted(client, self.index._stored_in)  # what others noted stays
            about["classes"] = sorted({*about["classes"], *known.tolist()})
            about["rows"] = max(about["rows"], more.seen)
            client.update_collection(self.index._stored_in, metadata={"classifier": about})
        if len(more.rows):
            more.store(self.index)
            self.examples = self.examples.followed_by(more)
        else:
            self.examples = replace(self.examples, seen=more.seen)
        self.classes = known


def _noted(client: QdrantClient, stored_in: str) -> dict[str, Any]:
    return dict((client.get_collection(stored_in).config.metadata or {})["classifier"])


def _read(index: EmbeddingIndex) -> tuple[Examples, Classes]:
    """Return all examples in the order of their rows, and the classes, sorted.

    Raises:
        ValueError: if a point is there that no classifier stored.
    """
    with index._using() as client:
        about = _noted(client, index._stored_in)
        records = [record for page in index._records(vectors=True) for record in page]
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
