"""k-nearest-neighbour classifier over a vector database, with the interface of scikit-learn.

Nothing is trained here. `fit` stores embeddings and their classes, `predict` retrieves the nearest
ones and lets them vote. That is why a new class takes milliseconds: it is one more upsert.
"""

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from metriclearn.checks.arguments import check_choice, check_count, check_number, check_text
from metriclearn.checks.arrays import FloatArray, as_array, comparable_rows
from metriclearn.checks.labels import LabelArray, check_targets, is_labelled
from metriclearn.index import Distance, EmbeddingIndex
from metriclearn.index.collection import DISTANCES, Kind
from metriclearn.index.connection import (
    IN_MEMORY,
    Location,
    closed_on_error,
    connect,
    find_location,
)
from metriclearn.index.examples import Classes, Examples, StoredExamples
from metriclearn.index.export import Points, read_points
from metriclearn.index.folder import TABLE_FILE
from metriclearn.neighbours import Predictions, votes

UNFITTED = (
    "This %(name)s instance is not fitted yet: call fit first, or QdrantClassifier.open for one that lies in "
    "a folder or on a server."
)
VOTING: dict[str, Callable[[Any], float]] = {
    "n_neighbors": partial(check_count, name="n_neighbors"),
    "temperature": partial(check_number, name="temperature", low=0, without=(0,)),
}
UNEVEN = "The embeddings differ in length: give all the same."


class _Checked(NamedTuple):
    """What a fit takes, in the project's own form; `table` knows the names of the columns, if any."""

    vectors: FloatArray
    targets: Classes
    table: Any
    kind: Kind


class QdrantClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Weighted vote of the k nearest examples; a nearer one weighs more.

    An example at distance d votes with weight exp(-d² / (2 · temperature)). On the unit sphere
    d² = 2 - 2 cos, so that this is exp((cos - 1) / temperature), the vote of Wu et al. 2018
    (https://arxiv.org/abs/1805.01978). The votes divided by their sum are the probabilities.

    Rows without a label, -1, are left out: they are no class, and nobody could vote for it.

    The collection belongs to the classifier. `fit` fills a new one and then lets it take the place of the
    one of that name, so a fit that fails leaves the earlier one as it was. What was not made by a
    classifier or with `replace=True` is refused. A classifier whose collection another's fit
    has replaced says so at its next use. `open` gives back one that was fitted earlier or elsewhere;
    `partial_fit` of a new object adds to what lies under its name.

    Threads may share a fitted classifier, to ask it and to call `partial_fit`; `fit` is for one alone.
    Programs may share its collection on a server, and add to it at the same moment: each row gets a number
    of its own. A forked process must open the collection again.

    A copy (`copy.deepcopy`, pickle) carries the embeddings along and searches them in memory; it never
    touches the folder or the server. Cross-validation fits many classifiers at a time: leave path and url
    out there.

    Args:
        n_neighbors: k, how many neighbours vote.
        temperature: the lower, the more the nearest neighbours count.
        distance: `"cosine"` or `"euclid"`.
        collection: name of the Qdrant collection.
        encoder_id: which encoder made the embeddings, as in `MetricEmbedding.encoder_id_`.
        path: a folder to keep the points in; see `EmbeddingIndex`.
        url: a Qdrant server; see `EmbeddingIndex`. By default everything stays in memory, unless the
            environment variable QDRANT_URL is set.
        replication_factor: on a cluster, how many copies to keep of each piece of what `fit` stores; by
            default what the cluster is set to.

    Attributes:
        classes_: the classes, sorted: int64, bool or texts.
        n_features_in_: N, the length of the embeddings.
        index_: the `EmbeddingIndex`; a point's source is its row number in the order fitted, counting
            rows without a label.

    Example:
        >>> import numpy as np
        >>> X = np.eye(3, dtype=np.float32)
        >>> classifier = QdrantClassifier(n_neighbors=1).fit(X, ["cat", "dog", "owl"])
        >>> str(classifier.predict([[0.1, 0.9, 0.0]])[0])
        'dog'
    """

    _stored: StoredExamples

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        temperature: float = 0.1,
        distance: Distance = "cosine",
        collection: str = "images",
        encoder_id: str = "unknown",
        path: str | Path | None = None,
        url: str | None = None,
        replication_factor: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.temperature = temperature
        self.distance = distance
        self.collection = collection
        self.encoder_id = encoder_id
        self.path = path
        self.url = url
        self.replication_factor = replication_factor

    @classmethod
    def open(
        cls, path: str | Path | None = None, *, url: str | None = None, collection: str = "images"
    ) -> "QdrantClassifier":
        """Return the classifier that is stored in a folder or on a server, fitted, with its parameters.

        It reads all examples once. Two kinds of folders can be opened. One that `fit` stored holds pickles:
        never open one of somebody else's. One that `metriclearn.index.export.export_points` wrote from
        `index_` holds numbers and text only, and is safe whoever made it. Its examples are searched in
        memory: what `partial_fit` adds is gone with the object, unless it is exported again.

        Args:
            path: the folder.
            url: the server; by default the environment variable QDRANT_URL.
            collection: name of its collection, without METRICLEARN_PREFIX.

        Raises:
            ValueError: if there is none, or for an exported folder that is damaged or holds no classifier.
                See also `EmbeddingIndex`.
            FileNotFoundError: if a file of an exported folder is missing.
        """
        collection, location = check_text(collection, "collection"), find_location(path, url)
        if location.folder and location.exported:
            points = read_points(location.folder)
            try:
                return cls.from_points(points, path=IN_MEMORY, collection=collection)
            except ValueError as error:
                raise ValueError(
                    f"The points in {location.folder} cannot be opened as a classifier. {error}"
                ) from None
        classifier = cls(collection=collection, path=path, url=url)
        if not classifier._open_stored():
            raise ValueError(
                f"There is no classifier {location.full_name(collection)!r} in {location}: fit one there "
                "with this path or url first."
            )
        return classifier._with_stored_parameters()

    @classmethod
    def from_points(
        cls,
        points: Points,
        *,
        path: str | Path | None = None,
        url: str | None = None,
        collection: str = "images",
    ) -> "QdrantClassifier":
        """Return a classifier whose examples are the labelled ones of these points, stored as `fit` does.

        Args:
            points: as `metriclearn.index.examples.classifier_points` makes them, or `read_points` reads them.
            path: a folder to keep them in, or `":memory:"`.
            url: a Qdrant server; see `EmbeddingIndex`.
            collection: name of the collection; an earlier classifier of that name is replaced.

        Raises:
            ValueError: if they are not those of a classifier. See also `EmbeddingIndex`.
        """
        connection = connect(find_location(path, url))
        with closed_on_error(connection):
            stored = StoredExamples.from_points(connection, points, collection)
        classifier = cls(collection=collection, path=path, url=url)
        classifier._take(stored)
        return classifier._with_stored_parameters()

    def _with_stored_parameters(self) -> "QdrantClassifier":
        """Set the parameters of the fit that stored the examples."""
        stored, kind = self._stored.parameters, self._stored.storage.kind
        self.n_neighbors, self.temperature = stored["n_neighbors"], stored["temperature"]
        self.distance, self.encoder_id = kind.distance, kind.encoder_id
        return self

    @property
    def classes_(self) -> Classes:
        """The classes."""
        return self._stored.examples.classes

    @property
    def index_(self) -> EmbeddingIndex:
        """The index."""
        return EmbeddingIndex.from_storage(self._stored.storage)

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> "QdrantClassifier":
        """Store embeddings and their classes, in place of those of an earlier `fit`.

        Args:
            X: float, shape `(n, N)`.
            y: class of each row, shape `(n,)`: integers from 0 on, bools or texts; -1 = unlabelled.

        Raises:
            ValueError: for input that does not fit; the earlier fit stays then. See also `EmbeddingIndex`.
        """
        given = self._check_examples(X, y)
        with self._lock():
            return self._start(given, None)

    def partial_fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, classes: npt.ArrayLike | None = None
    ) -> "QdrantClassifier":
        """Add examples, of known or of new classes. What was stored before stays.

        An object that is not fitted first opens what lies under its collection's name, if there is any.

        Args:
            X: float, shape `(n, N)`.
            y: class of each row, shape `(n,)`; rows with -1 add nothing.
            classes: classes that are to be known from now on even if y does not hold them.

        Raises:
            ValueError: for input that does not fit, or if what lies there is of another encoder, length or
                distance; nothing is stored then.
        """
        given = self._check_examples(X, y)
        with self._lock():
            if not hasattr(self, "_stored") and not self._open_stored(given.kind):
                return self._start(given, classes)
            validate_data(self, given.table, reset=False, skip_check_array=True)
            self._stored.storage.check_kind(given.kind)
            self._stored.add(given.vectors, given.targets, _distinct(given.targets, classes))
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the class with the most votes for each row; of equal ones the first in `classes_`."""
        return self.explain(X).labels

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return each class's share of the votes, float64 of shape `(n, classes)`, ordered as `classes_`.

        Raises:
            ValueError: if there are fewer than `n_neighbors` examples, or X does not fit.
        """
        return self._vote(X)[1]

    def explain(self, X: npt.ArrayLike) -> Predictions:
        """Return the prediction for each row with its evidence: the examples that voted, and their cosines.

        Under Euclid minus the distance stands for the cosine.

        Args:
            X: float, shape `(n, N)`.

        Raises:
            ValueError: as for `predict_proba`.
        """
        classes, shares, distances, rows = self._vote(X)
        likeness = 1 - distances if self._stored.storage.kind.distance == "cosine" else -distances
        cosines = likeness.astype(np.float32)
        return Predictions(classes[shares.argmax(axis=1)], shares.max(axis=1), cosines[:, 0], rows, cosines)

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the share of rows whose class is predicted, of those that have a label.

        Args:
            X: float, shape `(n, N)`.
            y: class of each row, shape `(n,)`; rows with -1 are left out.
            sample_weight: how much each row counts, shape `(n,)`.

        Raises:
            ValueError: for input that does not fit, or if no row has a label.
        """
        predicted = self.predict(X)
        targets = check_targets(y, len(predicted), beside=True)
        known = is_labelled(targets)
        if not known.any():
            raise ValueError("y holds nothing but -1, which means unlabelled: give at least one label.")
        if sample_weight is not None:
            sample_weight = as_array(sample_weight, "The weights")
            if sample_weight.shape != known.shape or sample_weight.dtype.kind not in "fiub":
                raise ValueError(f"The weights are no row of {len(known)} numbers: pass one for each row.")
            sample_weight = sample_weight[known]
        return float(accuracy_score(targets[known], predicted[known], sample_weight=sample_weight))

    def kneighbors(
        self, X: npt.ArrayLike | None = None, n_neighbors: int | None = None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Return the nearest examples of each row, nearest first.

        Args:
            X: float, shape `(n, N)`; None for the stored examples, each without itself.
            n_neighbors: how many; by default `self.n_neighbors`.

        Returns:
            `distances, indices`, both of shape `(n, n_neighbors)`. A distance is 1 - cos under
            cosine, and the Euclidean distance under Euclid. An index is a row number in the order
            of fitting.

        Raises:
            ValueError: if there are not that many examples, or X does not fit.
        """
        check_is_fitted(self, "_stored", msg=UNFITTED)
        k = check_count(self.n_neighbors if n_neighbors is None else n_neighbors, "n_neighbors")
        if X is not None:
            return self._search(self._check_queries(X), k)[:2]
        examples = self._stored.examples
        distances, indices, _ = self._search(examples.vectors, k + 1)
        others = indices != examples.rows[:, None]
        others[others.all(axis=1), -1] = False  # hidden behind its own duplicates
        return distances[others].reshape(-1, k), indices[others].reshape(-1, k)

    def close(self) -> None:
        """Let go of the client, and with it of the folder."""
        if hasattr(self, "_stored"):
            self._stored.storage.connection.close()

    def __enter__(self) -> "QdrantClassifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock():
            state = dict(super().__getstate__())
            state.pop("_own_locks", None)
            if stored := state.pop("_stored", None):
                storage = stored.storage
                # A copy of the examples: those who ask meanwhile note the codes of the classes in them.
                state["_copied"] = (storage.name, storage.kind, replace(stored.examples), stored.parameters)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        copied = state.pop("_copied", None)
        super().__setstate__(state)
        if copied:
            self._stored = StoredExamples.fill(connect(Location()), *copied)

    def _lock(self) -> AbstractContextManager[Any]:
        """Return the lock of those who add; scikit-learn wants nothing but parameters made by __init__.

        One for each process: where a thread held it when the process was forked, nobody would give it back.
        """
        locks: dict[int, AbstractContextManager[Any]] = self.__dict__.setdefault("_own_locks", {})
        return locks.setdefault(os.getpid(), threading.RLock())

    def _start(self, given: _Checked, classes: npt.ArrayLike | None) -> "QdrantClassifier":
        """Fill a new collection, and only then let go of the earlier one."""
        known = _distinct(check_targets(given.targets, len(given.targets)), classes)
        parameters = {
            "n_neighbors": int(self.n_neighbors),
            "temperature": float(self.temperature),
            "columns": _columns(given.table),
        }
        location = find_location(self.path, self.url)
        earlier = self._stored.storage.connection if hasattr(self, "_stored") else None
        usable = earlier is not None and earlier.location == location and earlier.usable
        connection = earlier if earlier and usable else connect(location)  # a folder has one client at a time
        examples = Examples.of(given.vectors, given.targets, known)
        copies = self.replication_factor
        settings = {} if copies is None else {"replication_factor": check_count(copies, "replication_factor")}
        with nullcontext() if connection is earlier else closed_on_error(connection):
            stored = StoredExamples.fill(
                connection, self.collection, given.kind, examples, parameters, **settings
            )
        validate_data(self, given.table, skip_check_array=True)  # notes N, and the columns' names if any
        self._stored = stored
        if earlier and connection is not earlier:
            earlier.close()
        return self

    def _open_stored(self, wanted: Kind | None = None) -> bool:
        """Open what is stored under the collection's name, and return whether there is any."""
        location = find_location(self.path, self.url)
        if location == Location() or (location.folder and not (location.folder / TABLE_FILE).exists()):
            return False
        connection = connect(location)
        with closed_on_error(connection):
            stored = StoredExamples.find(connection, self.collection)
            if stored and wanted:
                stored.storage.check_kind(wanted)
        if stored is None:
            connection.close()
            return False
        self._take(stored)
        return True

    def _take(self, stored: StoredExamples) -> None:
        self._stored = stored
        self.n_features_in_ = stored.storage.kind.dim
        if columns := stored.parameters["columns"]:
            self.feature_names_in_ = np.array(columns, dtype=object)

    # Asking

    def _vote(
        self, X: npt.ArrayLike
    ) -> tuple[Classes, npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Return the classes, each one's share of the votes, and distances and rows of those who voted."""
        check_is_fitted(self, "_stored", msg=UNFITTED)
        distances, rows, codes = self._search(self._check_queries(X), int(self.n_neighbors))
        stored = self._stored
        if not np.isin(codes, stored.examples.codes).all():  # others have added a class meanwhile
            with self._lock():
                stored.catch_up()
        examples = stored.examples
        # Of cosine and Euclidean distances d both vote by -d² / 2; under cosine d² = 2 · (1 - cos).
        similarities = -distances if stored.storage.kind.distance == "cosine" else -(distances**2) / 2
        _, shares = votes(codes, similarities, examples.codes, temperature=float(self.temperature))
        return examples.classes, shares, distances, rows

    def _search(
        self, vectors: FloatArray, k: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], LabelArray]:
        """Return distances, row numbers and class codes of the k nearest."""
        storage = self._stored.storage
        found = storage.search(vectors, k)
        distances = found.scores.astype(np.float64)
        if storage.kind.distance == "cosine":
            distances = np.maximum(1 - distances, 0)
        return distances, storage.row_numbers(found.sources), found.labels

    # Checks: what they return is all that is used afterwards

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the parameters of a fitted classifier's vote are checked at once."""
        if name in VOTING and hasattr(self, "_stored"):
            VOTING[name](value)
        super().__setattr__(name, value)

    def _check_examples(self, X: npt.ArrayLike, y: npt.ArrayLike) -> _Checked:
        for name, check in VOTING.items():
            check(getattr(self, name))
        distance = check_choice(self.distance, "distance", DISTANCES)
        encoder_id = check_text(self.encoder_id, "encoder_id")
        vectors, table = self._check_rows(X)
        targets = check_targets(y, len(vectors), beside=True)
        # What has no label is not stored, and may be zeros.
        vectors = np.where(is_labelled(targets)[:, None], vectors, np.float32(1))
        kind = Kind(vectors.shape[1], encoder_id, distance)
        return _Checked(comparable_rows(vectors, distance), targets, table, kind)

    def _check_queries(self, X: npt.ArrayLike) -> FloatArray:
        vectors, table = self._check_rows(X)
        validate_data(self, table, reset=False, skip_check_array=True)
        return comparable_rows(vectors, self._stored.storage.kind.distance)

    def _check_rows(self, X: Any) -> tuple[FloatArray, Any]:
        """Return embeddings as float32, shape `(n, N)`, and what knows the names of the columns, if anything.

        Some words of the messages are scikit-learn's wish.
        """
        _columns(X)
        given = as_array(X, "The embeddings", UNEVEN)
        if given.dtype.kind not in "fiubO":
            raise ValueError(f"Complex data not supported, nor type {given.dtype}: pass floats, as float32.")
        if given.ndim != 2:
            raise ValueError(f"The embeddings have shape {given.shape}. Reshape your data to (n, N).")
        try:
            vectors: FloatArray = check_array(given, dtype=np.float32, estimator=self)
        except (TypeError, ValueError) as error:
            if "NAType" in str(error) or "convert string" in str(error):
                raise ValueError("The embeddings hold texts or missing values: remove such rows.") from None
            raise
        return vectors, X if hasattr(X, "columns") else vectors


def _columns(table: Any) -> list[str] | None:
    """Return the names of a table's columns; scikit-learn remembers them, if all are texts."""
    names = [*getattr(table, "columns", [])]
    if len({isinstance(name, str) for name in names}) > 1:
        raise ValueError("The names of the columns are partly texts, partly not: use X.to_numpy().")
    return [str(name) for name in names] if names and isinstance(names[0], str) else None


def _distinct(targets: Classes, classes: npt.ArrayLike | None) -> Classes:
    """Return the classes in `targets` and those announced, sorted, each once."""
    labelled = targets[is_labelled(targets)]
    given = np.atleast_1d(as_array([] if classes is None else classes, "The classes"))
    if given.size == 0:
        return np.unique(labelled)
    announced = check_targets(given, len(given), beside=True)
    if not is_labelled(announced).all():
        raise ValueError("classes holds -1, which means unlabelled: leave it out.")
    if announced.dtype.kind != targets.dtype.kind:
        raise ValueError("y and classes differ in kind: use numbers for all or texts for all.")
    return np.union1d(labelled, announced)
