"""Classify by what the nearest neighbours are: a scikit-learn classifier over a vector database.

Nothing is trained here. `fit` stores embeddings and their classes, `predict` retrieves the nearest
ones and lets them vote. That is why a new class takes milliseconds: it is one more upsert.
"""

import threading
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

from metriclearn import kept
from metriclearn.connect import Home, check_text, connect, find_home
from metriclearn.index import DISTANCES, Distance, EmbeddingIndex
from metriclearn.kept import Classes, Examples, codes_of
from metriclearn.labels import LabelArray, check_targets, is_labelled
from metriclearn.validate import FloatArray, as_array, check_choice, check_count, check_number

UNFITTED = (
    "This %(name)s instance is not fitted yet: call fit first, or QdrantClassifier.open for one that lies in "
    "a folder or on a server."
)
UNEVEN = "The embeddings differ in length: give all the same."


class Parameters(NamedTuple):
    """The constructor's arguments in the project's own form."""

    n_neighbors: int
    temperature: float
    distance: str
    collection: str
    encoder_id: str


class QdrantClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A vote of the k nearest examples, the nearer the heavier.

    An example at distance d votes with weight exp(-d² / (2 · temperature)). On the unit sphere
    d² = 2 - 2 cos, so that this is exp((cos - 1) / temperature), the vote of Wu et al. 2018
    (https://arxiv.org/abs/1805.01978). The votes divided by their sum are the probabilities.

    Rows without a label, -1, are left out: they are no class, and nobody could vote for it.

    The collection belongs to the classifier. `fit` fills a new one and then lets it take the place of the
    one of that name (`metriclearn.layout`), so a fit that fails leaves the earlier one as it was. What was
    not made by a classifier or with `replace=True` is refused. A classifier whose collection another's fit
    has replaced says so at its next use. `open` gives back one that was fitted earlier or elsewhere;
    `partial_fit` of a new object adds to what lies under its name.

    Threads may share a fitted classifier, to ask it and to call `partial_fit`; `fit` is for one alone. On
    a server let one program at a time add: two at the same moment could give two rows one number.

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

    classes_: Classes
    index_: EmbeddingIndex
    _examples: Examples

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
    ) -> None:
        self.n_neighbors = n_neighbors
        self.temperature = temperature
        self.distance = distance
        self.collection = collection
        self.encoder_id = encoder_id
        self.path = path
        self.url = url

    @classmethod
    def open(
        cls, path: str | Path | None = None, *, url: str | None = None, collection: str = "images"
    ) -> "QdrantClassifier":
        """Return the classifier that lies in a folder or on a server, fitted, with the parameters of its fit.

        It reads all examples once. A stored folder holds pickles: never open one of somebody else's.

        Args:
            path: the folder.
            url: the server; by default the environment variable QDRANT_URL.
            collection: name of its collection, without METRICLEARN_PREFIX.

        Raises:
            ValueError: if there is none. See also `EmbeddingIndex`.
        """
        home = find_home(path, url)
        name = home.full_name(collection)
        nothing = f"There is no classifier {name!r} in {home}: fit one there with this path or url first."
        if home == Home() or (home.folder and not (home.folder / "meta.json").exists()):
            raise ValueError(nothing)
        connection = connect(home)
        try:
            found = kept.find(connection, collection)
            if found is None:
                raise ValueError(nothing)
            index, about = found
            classifier = cls(
                about["n_neighbors"],
                temperature=about["temperature"],
                distance=index.distance,
                collection=str(collection),
                encoder_id=index.encoder_id,
                path=path,
                url=url,
            )
            classifier._take(index, about.get("columns"))
        except BaseException:
            connection.close()
            raise
        return classifier

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> "QdrantClassifier":
        """Store embeddings and their classes, in place of those of an earlier `fit`.

        Args:
            X: float, shape `(n, N)`.
            y: class of each row, shape `(n,)`: integers from 0 on, bools or texts; -1 = unlabelled.

        Raises:
            ValueError: for input that does not fit; the earlier fit stays then. See also `EmbeddingIndex`.
        """
        wanted = self._parameters()
        vectors, targets, table = self._check_examples(X, y, wanted)
        with self._lock():
            return self._start(vectors, targets, table, None, wanted)

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
        wanted = self._parameters()
        vectors, targets, table = self._check_examples(X, y, wanted)
        with self._lock():
            if not hasattr(self, "index_") and not self._open_stored(vectors.shape[1], wanted):
                return self._start(vectors, targets, table, classes, wanted)
            _check_same(self.index_, wanted)
            validate_data(self, table, reset=False, skip_check_array=True)
            if len(self.index_) != len(self._examples.rows):  # another program has added or deleted some
                self._take(self.index_)
            named = _distinct(targets, classes)
            if len(named) and named.dtype.kind != self.classes_.dtype.kind:
                raise ValueError(
                    f"The classes so far are of type {self.classes_.dtype}, the new ones of type "
                    f"{named.dtype}: use numbers for all or texts for all."
                )
            # An empty array of texts would make texts of numbers.
            known = np.union1d(self.classes_, named) if len(named) else self.classes_
            more = _numbered(vectors, targets, self._examples.seen)
            kept.note(self.index_, known, more.seen)
            if len(more.rows):
                more.store(self.index_)
                self._examples = self._examples.followed_by(more)
            else:
                self._examples = replace(self._examples, seen=more.seen)
            self.classes_ = known
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the class with the most votes for each row; of equal ones the first in `classes_`."""
        classes, shares = self._vote(X)
        predicted: npt.NDArray[Any] = classes[shares.argmax(axis=1)]
        return predicted

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return each class's share of the votes, float64 of shape `(n, classes)`, ordered as `classes_`.

        Raises:
            ValueError: if there are fewer than `n_neighbors` examples, or X does not fit.
        """
        return self._vote(X)[1]

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
            check_consistent_length(predicted, sample_weight)
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
        check_is_fitted(self, "index_", msg=UNFITTED)
        k = check_count(self.n_neighbors if n_neighbors is None else n_neighbors, "n_neighbors")
        if X is not None:
            return self._search(self._check_queries(X), k)[:2]
        examples = self._examples
        distances, indices, _ = self._search(examples.vectors, k + 1)
        others = indices != examples.rows[:, None]
        others[others.all(axis=1), -1] = False  # hidden behind its own duplicates
        return distances[others].reshape(-1, k), indices[others].reshape(-1, k)

    def close(self) -> None:
        """Let go of the client, and with it of the folder."""
        if hasattr(self, "index_"):
            self.index_.close()

    def __enter__(self) -> "QdrantClassifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock():
            state = dict(super().__getstate__())
        state.pop("_own_lock", None)
        if (index := state.pop("index_", None)) is not None:  # an empty or a closed one is there, too
            state["_stored_as"] = (index.collection, index.dim, index.encoder_id, index.distance)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        stored_as = state.pop("_stored_as", None)
        super().__setstate__(state)
        if stored_as:
            collection, dim, encoder_id, distance = stored_as
            self.index_ = kept.start(connect(Home()), collection, dim, encoder_id, distance, {})
            self._examples.store(self.index_)
            kept.publish(self.index_)

    def _lock(self) -> AbstractContextManager[Any]:
        """Return the lock of those who add; scikit-learn wants nothing but parameters made by __init__."""
        lock: AbstractContextManager[Any] = self.__dict__.setdefault("_own_lock", threading.RLock())
        return lock

    def _start(
        self,
        vectors: FloatArray,
        targets: Classes,
        table: Any,
        classes: npt.ArrayLike | None,
        wanted: Parameters,
    ) -> "QdrantClassifier":
        """Fill a new collection, and only then let go of the earlier one."""
        known = _distinct(check_targets(targets, len(targets)), classes)
        examples = _numbered(vectors, targets, start=0)
        about = {
            "n_neighbors": wanted.n_neighbors,
            "temperature": wanted.temperature,
            "classes": known.tolist(),
            "columns": _columns(table),
            "rows": examples.seen,
        }
        home = find_home(self.path, self.url)
        earlier = self.index_._connection if hasattr(self, "index_") else None
        usable = earlier is not None and earlier.home == home and earlier.close.alive
        connection = earlier if earlier and usable else connect(home)  # a folder has one client at a time
        try:
            index = kept.start(
                connection, wanted.collection, vectors.shape[1], wanted.encoder_id, wanted.distance, about
            )
            try:
                examples.store(index)
            except BaseException:
                kept.drop(index)
                raise
            kept.publish(index)
        except BaseException:
            if connection is not earlier:
                connection.close()
            raise
        validate_data(self, table, skip_check_array=True)  # notes N, and the columns' names if there are any
        self.index_, self._examples, self.classes_ = index, examples, known
        if earlier and connection is not earlier:
            earlier.close()
        return self

    def _open_stored(self, dim: int, wanted: Parameters) -> bool:
        """Take what lies under the collection's name, if there is any, and return whether there is."""
        home = find_home(self.path, self.url)
        if home == Home():
            return False
        connection = connect(home)
        try:
            found = kept.find(connection, wanted.collection)
            if found:
                index, about = found
                _check_same(index, wanted, dim)
                self._take(index, about.get("columns"))
        except BaseException:
            connection.close()
            raise
        if not found:
            connection.close()
        return found is not None

    def _take(self, index: EmbeddingIndex, columns: list[str] | None = None) -> None:
        """Know what a stored classifier knows."""
        self._examples, self.classes_ = kept.read(index)
        if not hasattr(self, "index_"):
            self.n_features_in_ = index.dim
            if columns:
                self.feature_names_in_ = np.array(columns, dtype=object)
            self.index_ = index

    # Asking

    def _vote(self, X: npt.ArrayLike) -> tuple[Classes, npt.NDArray[np.float64]]:
        """Return the classes, and each one's share of the votes."""
        check_is_fitted(self, "index_", msg=UNFITTED)
        wanted = self._parameters()
        distances, _, codes = self._search(self._check_queries(X), wanted.n_neighbors)
        classes = self.classes_
        if not np.isin(codes, codes_of(classes)).all():  # others have added a class meanwhile
            with self._lock():
                self._take(self.index_)
            classes = self.classes_
        order = np.argsort(codes_of(classes))
        place = order[np.searchsorted(codes_of(classes), codes, sorter=order)]
        # Only ratios count, so the nearest neighbour may weigh 1: no vote can vanish altogether.
        farther = distances - distances.min(axis=1, keepdims=True)  # d² = 2 · (1 - cos)
        if self.index_.distance == "euclid":
            farther *= (distances + distances.min(axis=1, keepdims=True)) / 2
        with np.errstate(over="ignore"):  # divided by next to nothing: infinitely far, and without a vote
            weights = np.exp(-farther / wanted.temperature)
        votes = np.zeros((len(codes), len(classes)))
        np.add.at(votes, (np.arange(len(codes))[:, None], place), weights)
        return classes, votes / votes.sum(axis=1, keepdims=True)

    def _search(
        self, vectors: FloatArray, k: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], LabelArray]:
        """Return distances, row numbers and class codes of the k nearest."""
        index = self.index_
        if k > len(self._examples.rows) and k > (n := len(index)):
            raise ValueError(
                f"{k} neighbours are asked for, but there are {n} examples: lower n_neighbors or add "
                "examples."
            )
        found = index.query(vectors, k)
        distances = found.scores.astype(np.float64)
        if index.distance == "cosine":
            distances = np.maximum(1 - distances, 0)
        return distances, kept.rows_of(found.sources, index), found.labels

    # Checks: what they return is all that is used afterwards

    def _parameters(self) -> Parameters:
        return Parameters(
            check_count(self.n_neighbors, "n_neighbors"),
            check_number(self.temperature, "temperature", "a number above 0", low=0, without=(0,)),
            check_choice(self.distance, "distance", DISTANCES),
            check_text(self.collection, "collection"),
            check_text(self.encoder_id, "encoder_id"),
        )

    def _check_examples(
        self, X: npt.ArrayLike, y: npt.ArrayLike, wanted: Parameters
    ) -> tuple[FloatArray, Classes, Any]:
        """Return the embeddings, their classes, and what knows the names of the columns."""
        _columns(X)
        vectors = check_array(as_array(X, "The embeddings", UNEVEN), dtype=np.float32, estimator=self)
        if y is not None:
            y = as_array(y, "The labels")
            check_consistent_length(vectors, y)
        targets = check_targets(y, len(vectors), beside=True)
        if wanted.distance == "cosine" and not vectors[is_labelled(targets)].any(axis=1).all():
            raise ValueError(
                "An embedding is all zeros and has no direction, which cosine needs: remove such rows, "
                'or use distance="euclid".'
            )
        return vectors, targets, _table(X, vectors)

    def _check_queries(self, X: npt.ArrayLike) -> FloatArray:
        _columns(X)
        vectors: FloatArray = check_array(
            as_array(X, "The embeddings", UNEVEN), dtype=np.float32, estimator=self
        )
        validate_data(self, _table(X, vectors), reset=False, skip_check_array=True)
        return vectors


def _columns(table: Any) -> list[str] | None:
    """Return the names of a table's columns; scikit-learn remembers them, if all are texts."""
    names = [*getattr(table, "columns", [])]
    if len({isinstance(name, str) for name in names}) > 1:
        raise ValueError("The names of the columns are partly texts, partly not: use X.to_numpy().")
    return [str(name) for name in names] if names and isinstance(names[0], str) else None


def _table(X: Any, vectors: FloatArray) -> Any:
    """Return what knows the names of the columns: a table, or the embeddings, which name none."""
    return X if hasattr(X, "columns") else vectors


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
        raise ValueError(
            f"y holds {targets.dtype}, but classes {announced.dtype}: use numbers for all or texts for all."
        )
    return np.union1d(labelled, announced)


def _numbered(vectors: FloatArray, targets: Classes, start: int) -> Examples:
    """Return the labelled rows, numbered from `start` on; rows without a label count as well."""
    rows = np.flatnonzero(is_labelled(targets))
    return Examples(vectors[rows], targets[rows], rows.astype(np.int64) + start, start + len(targets))


def _check_same(index: EmbeddingIndex, wanted: Parameters, dim: int | None = None) -> None:
    """Raise if embeddings of these parameters do not belong into an index."""
    for name, there, here in (
        ("encoder_id", index.encoder_id, wanted.encoder_id),
        ("distance", index.distance, wanted.distance),
        ("the length of the embeddings", index.dim, dim or index.dim),
    ):
        if there != here:
            raise ValueError(
                f"The collection {index.collection!r} holds a classifier, and {name} is {there!r} there but "
                f"{here!r} here: open it with QdrantClassifier.open, or choose another collection name."
            )
