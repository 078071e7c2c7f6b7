"""Persistence of a `QdrantClassifier`: its points alone hold all that is needed to open it again.

Each point holds its class by name, `{"class": "owl"}`, and as its label a number that follows from the name
alone: two programs that add examples of a new class agree on it without asking each other. The collection's
metadata hold the parameters of the vote, all classes, the names of X's columns and the number of rows. An
exported folder (`metriclearn.index.export`) holds the same.

Two programs may add at the same moment (optimistic concurrency control): a point's id follows from its row
number, and is inserted unless it is there. Whoever finds another's point under a number takes higher ones.
"""

import hashlib
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from metriclearn.checks.arguments import check_count, check_number, shown
from metriclearn.checks.arrays import FloatArray, comparable_rows
from metriclearn.checks.labels import UNLABELLED, LabelArray, check_targets, is_labelled
from metriclearn.index.collection import (
    FILLED_FROM,
    PER_PAGE,
    Collection,
    Distance,
    Kind,
    foreign_points,
)
from metriclearn.index.connection import POINTS_FILE, Connection
from metriclearn.index.embedding_index import source_id
from metriclearn.index.export import Points, points_files
from metriclearn.index.names import check_replaceable, resolve, sweep, temporary_name

Classes = npt.NDArray[Any]

PARAMETERS = ("n_neighbors", "temperature", "columns")
ADDED_BY = "added_by"  # in the payload of what was added later: which call of `add` did so
TRIES = 10  # how often to look for free row numbers
FIRST = 256  # points after which to look whether another program adds at the same moment


@dataclass(frozen=True)
class Examples:
    """The labelled rows of a classifier, and the classes that it knows.

    Attributes:
        vectors: float32, shape `(n, N)`, as they are stored: under cosine of unit length.
        targets: the class of each, shape `(n,)`.
        rows: int64, shape `(n,)`: the row number of each in the order of fitting.
        seen: how many rows there were, those without a label as well.
        classes: all classes, sorted; some may have no example yet.
    """

    vectors: FloatArray
    targets: Classes
    rows: npt.NDArray[np.int64]
    seen: int
    classes: Classes

    @classmethod
    def of(cls, vectors: FloatArray, targets: Classes, classes: Classes, start: int = 0) -> "Examples":
        """Return the labelled rows, numbered from `start` on; rows without a label count as well."""
        rows = np.flatnonzero(is_labelled(targets))
        return cls(vectors[rows], targets[rows], rows.astype(np.int64) + start, start + len(targets), classes)

    @cached_property
    def codes(self) -> LabelArray:
        """The number of each class."""
        return codes_of(self.classes)

    def store(self, storage: Collection) -> None:
        """Write them into a collection that is being filled."""
        storage.write(*self._points(storage))

    def insert(self, storage: Collection) -> bool:
        """Write them into a collection unless another program has taken one of the row numbers.

        Returns:
            Whether they are stored: all of them, or else none, and none if that fails.
        """
        call = uuid.uuid4().hex
        ids, vectors, payloads = self._points(storage, {ADDED_BY: call})

        def writers(part: slice) -> dict[str, Any]:
            """Return who stored these points; on a cluster a copy that lags may not know them yet."""
            pages = range(0, len(ids[part]), PER_PAGE)
            found = [storage.retrieve(ids[part][start : start + PER_PAGE]) for start in pages]
            records = [record for page in found for record in page.values()]
            return {str(record.id): (record.payload or {}).get(ADDED_BY) for record in records}

        alone = False
        try:
            for part in (slice(FIRST), slice(FIRST, None)):
                storage.write(ids[part], vectors[part], payloads[part], insert_only=True)
                if not (alone := {*writers(part).values()} <= {call}):
                    break
        finally:  # also after an error, such as Ctrl-C
            if not alone:
                with suppress(Exception):
                    storage.delete([point for point, by in writers(slice(None)).items() if by == call])
        return alone

    def _points(
        self, storage: Collection, extra: Mapping[str, Any] | None = None
    ) -> tuple[list[str], FloatArray, list[dict[str, Any]]]:
        """Return ids, vectors and payloads as the collection holds them."""
        codes, names = codes_of(self.targets).tolist(), self.targets.tolist()
        sources = [str(row) for row in self.rows]
        encoder = storage.kind.encoder_id
        payloads = [
            {"label": code, "encoder": encoder, "source": source, "class": name} | dict(extra or {})
            for code, source, name in zip(codes, sources, names, strict=True)
        ]
        return [source_id(source) for source in sources], self.vectors, payloads

    def followed_by(self, more: "Examples") -> "Examples":
        """Return these and more of them, which know all classes."""
        if not len(more.rows):  # targets that are all -1 may be of another type than the classes
            return replace(self, seen=more.seen, classes=more.classes)
        return Examples(
            np.concatenate([self.vectors, more.vectors]),
            np.concatenate([self.targets, more.targets]),
            np.concatenate([self.rows, more.rows]),
            more.seen,
            more.classes,
        )


def codes_of(classes: Classes) -> LabelArray:
    """Return a number for each class: itself, or 63 bits of its name's hash, so that no two share one."""
    if classes.dtype.kind != "U":
        return classes.astype(np.int64)
    names, places = np.unique(classes, return_inverse=True)
    hashes = [hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:8] for name in names.tolist()]
    return np.array([int.from_bytes(value) >> 1 for value in hashes], dtype=np.int64)[places]


def classifier_points(
    vectors: npt.ArrayLike,
    classes: Sequence[str | None],
    *,
    encoder_id: str,
    distance: Distance = "cosine",
    n_neighbors: int = 5,
    temperature: float = 0.1,
    payloads: Sequence[Mapping[str, Any]] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Points:
    """Return the points that `QdrantClassifier.fit` would store, and those without a label, without a Qdrant.

    Written by `metriclearn.index.export.write_points`, they are opened by `QdrantClassifier.open`, which
    checks them. The vectors are floats of shape `(n, N)`, the classes n names, None = unlabelled; each
    point's source is its row number. `payloads` holds further entries for each, of JSON types, but not label,
    source, encoder or class; `about` holds notes about all. The rest is as for `QdrantClassifier`.

    Raises:
        ValueError: for embeddings that cannot be compared, such as a row of zeros under cosine.
    """
    stored, n = comparable_rows(np.asarray(vectors, dtype=np.float32), distance), len(classes)
    known = np.array([name is not None for name in classes], dtype=bool)
    targets = np.array([name for name in classes if name is not None], dtype=np.str_)
    codes = np.full(n, UNLABELLED, dtype=np.int64)
    codes[known] = codes_of(targets)
    extras = [{}] * n if payloads is None else payloads
    entries: list[dict[str, Any]] = [
        {"label": code, "encoder": encoder_id, "source": str(row)}
        | ({} if name is None else {"class": str(name)})
        | dict(extra)
        for row, (code, name, extra) in enumerate(zip(codes.tolist(), classes, extras, strict=True))
    ]
    parameters = {"n_neighbors": n_neighbors, "temperature": temperature, "columns": None}
    notes = parameters | {"classes": np.unique(targets).tolist(), "rows": n}
    return Points(
        ids=[source_id(entry["source"]) for entry in entries],
        vectors=stored,
        payloads=entries,
        encoder_id=encoder_id,
        distance=distance,
        about=dict(about or {}) | {"classifier": notes},
    )


@dataclass
class StoredExamples:
    """A classifier's collection, and what is known of it here.

    Attributes:
        storage: the collection.
        examples: what is stored in it.
        parameters: what else is needed to open the classifier again: n_neighbors, temperature, and as
            columns the names of X's columns or None.
    """

    storage: Collection
    examples: Examples
    parameters: dict[str, Any]

    @classmethod
    def fill(
        cls,
        connection: Connection,
        collection: str,
        kind: Kind,
        examples: Examples,
        parameters: dict[str, Any],
        **settings: Any,
    ) -> "StoredExamples":
        """Fill a new collection; only then it takes the place of the one of that name.

        The settings are those of `Collection.create`.

        Raises:
            ValueError: if the collection of that name was not made to be replaced.
        """
        about = parameters | {"classes": examples.classes.tolist(), "rows": examples.seen}
        metadata = {"encoder": kind.encoder_id, "replaceable": True, "classifier": about}
        storage = _fill(connection, collection, kind, metadata, examples.store, **settings)
        storage.take_name(connection.location.full_name(collection))
        return cls(storage, examples, parameters)

    @classmethod
    def find(cls, connection: Connection, collection: str) -> "StoredExamples | None":
        """Return what is stored under a name, or None if nothing is there.

        Raises:
            ValueError: if something else is there.
        """
        storage = Collection.find(connection, connection.location.full_name(collection))
        return None if storage is None else cls._of(storage)

    @classmethod
    def from_points(cls, connection: Connection, points: Points, collection: str) -> "StoredExamples":
        """Fill a new collection with the labelled ones of exported points and all their payload entries.

        Only then it takes the place of the one of that name. On a server one that holds the same points is
        used as it is, also if another program has filled it at the same moment.

        Raises:
            ValueError: if they are not those of a classifier, or the collection of that name was not made to
                be replaced.
        """
        _check_classifier(points)
        labelled = [i for i, payload in enumerate(points.payloads) if payload["label"] != UNLABELLED]
        metadata = {"encoder": points.encoder_id, "replaceable": True} | points.about
        name, digest = connection.location.full_name(collection), None
        if connection.location.url:
            digest = hashlib.sha256(points_files(points)[POINTS_FILE]).hexdigest()
            metadata[FILLED_FROM] = digest

        def same() -> Collection | None:
            with suppress(
                ValueError, RuntimeError
            ):  # not of our make, or another program has just deleted it
                there = Collection.find(connection, name) if digest else None
                if there and there.metadata().get(FILLED_FROM) == digest and there.count() == len(labelled):
                    return there
            return None

        def write(storage: Collection) -> None:
            payloads = [points.payloads[i] for i in labelled]
            storage.write([points.ids[i] for i in labelled], points.vectors[labelled], payloads)

        if there := same():
            return cls._of(there)
        with connection.using(name) as client:
            earlier = resolve(client, name)
        storage = _fill(connection, collection, points.kind, metadata, write)
        if there := same():  # another program was faster
            storage.drop()
            return cls._of(there)
        storage.take_name(name, keep=True)  # what has come meanwhile is in use, and from now on this, too
        if earlier not in (None, name):
            with suppress(RuntimeError):  # another program has deleted it
                Collection(connection, name, str(earlier), points.kind).drop()
        return cls._of(storage)

    @classmethod
    def _of(cls, storage: Collection) -> "StoredExamples":
        about = storage.metadata().get("classifier")
        if about is None:
            raise ValueError(
                f"The collection {storage.name!r} in {storage.connection.location} holds no classifier that "
                "could be opened: choose another collection name, or fill it anew with fit if it may be "
                "replaced."
            )
        return cls(storage, _read(storage), {name: about.get(name) for name in PARAMETERS})

    def catch_up(self) -> None:
        """Read again what is stored; other programs may have added to it."""
        self.examples = _read(self.storage)

    def add(self, vectors: FloatArray, targets: Classes, named: Classes) -> None:
        """Store examples, and know these classes.

        Raises:
            ValueError: if the classes differ in kind.
            RuntimeError: if other programs add so fast that no row number stays free.
        """
        for attempt in range(TRIES):
            if self.storage.count() != len(self.examples.rows):
                self.catch_up()
            known = self.examples.classes
            if len(named) and named.dtype.kind != known.dtype.kind:
                raise ValueError("Old and new classes differ in kind: use numbers for all or texts for all.")
            # An empty array of numbers would make numbers of bools.
            known = np.union1d(known, named) if len(named) else known
            more = Examples.of(vectors, targets, known, self.examples.seen)
            self._note(more)
            if more.insert(self.storage):
                self._note(more)  # once more, since another program may have noted its own at the same moment
                self.examples = self.examples.followed_by(more)
                return
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
            self.catch_up()
        raise RuntimeError(
            f"Other programs add to the collection {self.storage.name!r} all the time, and nothing was added "
            "here: let them rest and call again."
        )

    def _note(self, more: Examples) -> None:
        """Note the classes and the number of rows in the metadata; what others noted stays."""
        with self.storage.using():
            noted = self.storage.metadata()["classifier"]
            classes = sorted({*noted["classes"], *more.classes.tolist()})
            about = dict(noted) | {"classes": classes, "rows": max(noted["rows"], more.seen)}
            if about != noted:
                self.storage.update_metadata({"classifier": about, FILLED_FROM: None})


def _fill(
    connection: Connection,
    collection: str,
    kind: Kind,
    metadata: dict[str, Any],
    write: Callable[[Collection], None],
    **settings: Any,
) -> Collection:
    """Return a new collection that `write` has filled, and that is to take the place of the earlier one."""
    name = connection.location.full_name(collection)
    with connection.using(name) as client:
        if found := resolve(client, name):
            check_replaceable(client, name, found)
        if connection.location.url:
            sweep(client, name)
    # Under a name of its own while it is filled: what is called `name` meanwhile is the earlier one.
    own_name = temporary_name(name)
    storage = Collection(connection, own_name, own_name, kind)
    try:
        storage.create(metadata, **settings)
        write(storage)
    except BaseException:  # such as Ctrl-C; what cannot be reached any more is left there
        with suppress(Exception):
            storage.drop()
        raise
    return storage


def _read(storage: Collection) -> Examples:
    """Return all examples in the order of their rows.

    Raises:
        ValueError: if a point is there that no classifier stored.
    """
    with storage.using():
        about = storage.metadata()["classifier"]
        records = storage.records(vectors=True)
    payloads = [record.payload or {} for record in records]
    names = [*about["classes"], *(payload.get("class") for payload in payloads)]
    rows = storage.row_numbers(np.array([str(payload.get("source")) for payload in payloads], dtype=np.str_))
    of_one_kind = not records or {type(name) for name in names} in ({int}, {bool}, {str})
    if not of_one_kind or len(np.unique(rows)) < len(rows):
        raise foreign_points(storage.name)
    classes = np.unique(np.array(names))
    targets = np.array([payload["class"] for payload in payloads], dtype=classes.dtype)
    if codes_of(targets).tolist() != [payload.get("label") for payload in payloads]:
        raise foreign_points(storage.name)
    vectors = np.array([record.vector for record in records], dtype=np.float32).reshape(-1, storage.kind.dim)
    order = np.argsort(rows)
    seen = max(int(about["rows"]), int(rows.max(initial=-1)) + 1)
    return Examples(vectors[order], targets[order], rows[order], seen, classes)


def _check_classifier(points: Points) -> None:
    """Raise a ValueError if the notes about points are not those of a classifier."""
    about = points.about.get("classifier")
    if not isinstance(about, dict):
        raise ValueError("They are not those of a classifier: use import_points to fill an index with them.")
    check_count(about.get("n_neighbors"), "n_neighbors")
    check_number(about.get("temperature"), "temperature", low=0, without=(0,))
    check_count(about.get("rows"), "rows", 0, 2**53)
    classes, columns = about.get("classes"), about.get("columns")
    named = isinstance(classes, list) and is_labelled(check_targets(classes, len(classes), beside=True)).all()
    texts = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
    if not named or not (columns is None or (texts and len(columns) == points.kind.dim)):
        raise ValueError(
            f"classes is {shown(classes)} and columns is {shown(columns)}, which no classifier has: export "
            "them anew."
        )
