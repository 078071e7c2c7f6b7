"""Classify by what the nearest neighbours are: a scikit-learn classifier over a vector database.

Nothing is trained here. `fit` stores embeddings and their classes, `predict` retrieves the nearest
ones and lets them vote. That is why a new class takes milliseconds: it is one more upsert.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_X_y, validate_data

from metriclearn.index import DISTANCES, IN_MEMORY, Distance, EmbeddingIndex
from metriclearn.labels import LabelArray
from metriclearn.validate import FloatArray


class QdrantClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A vote of the k nearest examples, the nearer the heavier.

    An example at distance d votes with weight exp(−d² / (2 · temperature)). On the unit sphere
    d² = 2 − 2 cos, so that this is exp((cos − 1) / temperature), the vote of Wu et al. 2018
    (https://arxiv.org/abs/1805.01978). The votes divided by their sum are the probabilities.

    Every label is a class of its own, −1 as well: pass labelled rows only, `X[y >= 0], y[y >= 0]`.

    The collection belongs to the classifier: `fit` replaces what an earlier `fit` put there, and
    refuses a collection that something else made. A copy (`copy.deepcopy`, pickle) carries the
    embeddings along and searches them in memory; it never touches the folder or the server.
    Cross-validation fits many classifiers at a time: leave path and url out there.

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
        classes_: the classes, sorted.
        n_features_in_: N, the length of the embeddings.
        index_: the `EmbeddingIndex`; a point's source is its row number in the order fitted.

    Example:
        >>> import numpy as np
        >>> X = np.eye(3, dtype=np.float32)
        >>> classifier = QdrantClassifier(n_neighbors=1).fit(X, ["cat", "dog", "owl"])
        >>> str(classifier.predict([[0.1, 0.9, 0.0]])[0])
        'dog'
    """

    classes_: npt.NDArray[Any]
    index_: EmbeddingIndex
    _vectors: FloatArray
    _codes: LabelArray
    _classes_by_code: npt.NDArray[Any]
    _position_of_code: npt.NDArray[np.int_]

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

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> "QdrantClassifier":
        """Store embeddings and their classes, in place of those of an earlier `fit`.

        Args:
            X: float, shape `(n, N)`.
            y: class of each row, shape `(n,)`: integers or texts.

        Raises:
            ValueError: for input that does not fit; nothing is stored then. See also `EmbeddingIndex`.
        """
        return self._start(X, y, None)

    def partial_fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, classes: npt.ArrayLike | None = None
    ) -> "QdrantClassifier":
        """Add examples, of known or of new classes. What was stored before stays.

        Args:
            X: float, shape `(n, N)`.
            y: class of each row, shape `(n,)`.
            classes: classes that are to be known from now on even if y does not hold them.

        Raises:
            ValueError: for input that does not fit; nothing is stored then.
        """
        if not hasattr(self, "index_"):
            return self._start(X, y, classes)
        self._check_parameters()
        validate_data(self, X, reset=False, skip_check_array=True)
        vectors, targets = self._check_examples(X, y)
        known = self._classes_by_code
        named = _distinct(targets, classes)
        if _are_numbers(known) != _are_numbers(named):
            raise ValueError(
                f"The classes so far are of type {known.dtype}, the new ones of type {named.dtype}: use "
                "numbers for all or texts for all."
            )
        # A stored code never changes its meaning: new classes get new codes at the end.
        known = np.concatenate([known, named[~np.isin(named, known)]])
        codes = _codes(targets, known)
        _store(self.index_, vectors, codes, start=len(self._codes))
        self._vectors = np.concatenate([self._vectors, vectors])
        self._codes = np.concatenate([self._codes, codes])
        self._set_classes(known)
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the class with the most votes for each row; of equal ones the first in `classes_`."""
        best = self.predict_proba(X).argmax(axis=1)
        predicted: npt.NDArray[Any] = self.classes_[best]
        return predicted

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return each class's share of the votes, float64 of shape `(n, classes)`, ordered as `classes_`.

        Raises:
            ValueError: if there are fewer than `n_neighbors` examples, or X does not fit.
        """
        distances, _, codes = self._search(X, self.n_neighbors)
        energy = distances / self.temperature  # d² = 2 · (1 − cos)
        if self.distance == "euclid":
            energy = distances**2 / (2 * self.temperature)
        # Only ratios count, so the nearest neighbour may weigh 1: no vote can vanish altogether.
        weights = np.exp(energy.min(axis=1, keepdims=True) - energy)
        votes = np.zeros((len(codes), len(self.classes_)))
        np.add.at(votes, (np.arange(len(codes))[:, None], self._position_of_code[codes]), weights)
        shares: npt.NDArray[np.float64] = votes / votes.sum(axis=1, keepdims=True)
        return shares

    def kneighbors(
        self, X: npt.ArrayLike | None = None, n_neighbors: int | None = None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Return the nearest examples of each row, nearest first.

        Args:
            X: float, shape `(n, N)`; None for the stored examples, each without itself.
            n_neighbors: how many; by default `self.n_neighbors`.

        Returns:
            `distances, indices`, both of shape `(n, n_neighbors)`. A distance is 1 − cos under
            cosine, and the Euclidean distance under Euclid. An index is a row number in the order
            of fitting.

        Raises:
            ValueError: if there are not that many examples, or X does not fit.
        """
        check_is_fitted(self, "index_")
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        if X is not None:
            return self._search(X, k)[:2]
        distances, indices, _ = self._search(self._vectors, k + 1)
        others = indices != np.arange(len(indices))[:, None]
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
        return {name: value for name, value in super().__getstate__().items() if name != "index_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "_vectors"):
            self.index_ = self._build_index(self._vectors, self._codes, path=IN_MEMORY, url=None)

    def _start(self, X: npt.ArrayLike, y: npt.ArrayLike, classes: npt.ArrayLike | None) -> "QdrantClassifier":
        self._check_parameters()
        vectors, targets = self._check_examples(X, y)
        known = _distinct(targets, classes)
        codes = _codes(targets, known)
        self.close()
        self.index_ = self._build_index(vectors, codes, self.path, self.url)
        validate_data(self, X, skip_check_array=True)  # notes N, and the columns' names if there are any
        self._vectors, self._codes = vectors, codes
        self._set_classes(known)
        return self

    def _build_index(
        self, vectors: FloatArray, codes: LabelArray, path: str | Path | None, url: str | None
    ) -> EmbeddingIndex:
        index = EmbeddingIndex(
            vectors.shape[1],
            encoder_id=self.encoder_id,
            collection=self.collection,
            distance=self.distance,
            path=path,
            url=url,
            replace=True,
        )
        _store(index, vectors, codes, start=0)
        return index

    def _set_classes(self, by_code: npt.NDArray[Any]) -> None:
        self._classes_by_code = by_code
        self.classes_ = np.sort(by_code)
        self._position_of_code = np.searchsorted(self.classes_, by_code)

    def _search(
        self, X: npt.ArrayLike, k: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], LabelArray]:
        """Return distances, row numbers and class codes of the k nearest."""
        check_is_fitted(self, "index_")
        self._check_parameters()
        vectors = validate_data(self, X, reset=False, dtype=np.float32)
        if k > len(self._codes):
            raise ValueError(
                f"{k} neighbours are asked for, but there are {len(self._codes)} examples: lower "
                "n_neighbors or add examples."
            )
        found = self.index_.query(vectors, k)
        distances = found.scores.astype(np.float64)
        if self.distance == "cosine":
            distances = np.maximum(1 - distances, 0)
        return distances, found.sources.astype(np.int64), found.labels

    def _check_examples(self, X: npt.ArrayLike, y: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[Any]]:
        vectors, targets = check_X_y(X, y, dtype=np.float32, estimator=self)
        check_classification_targets(targets)
        if self.distance == "cosine" and not vectors.any(axis=1).all():
            raise ValueError(
                "An embedding is all zeros and has no direction, which cosine needs: remove such rows, "
                'or use distance="euclid".'
            )
        return vectors, targets

    def _check_parameters(self) -> None:
        if not isinstance(self.n_neighbors, int | np.integer) or self.n_neighbors < 1:
            raise ValueError(f"n_neighbors is {self.n_neighbors!r}: choose a whole number of at least 1.")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature!r}: choose a number above 0.")
        if self.distance not in DISTANCES:
            raise ValueError(f'distance is {self.distance!r}: choose "cosine" or "euclid".')


def _store(index: EmbeddingIndex, vectors: FloatArray, codes: LabelArray, start: int) -> None:
    index.upsert(vectors, codes, sources=[str(row) for row in range(start, start + len(vectors))])


def _distinct(targets: npt.NDArray[Any], classes: npt.ArrayLike | None) -> npt.NDArray[Any]:
    """Return the classes in `targets` and `classes`, sorted, each once."""
    return np.unique(targets if classes is None else np.concatenate([targets, np.asarray(classes)]))


def _are_numbers(classes: npt.NDArray[Any]) -> bool:
    return classes.dtype.kind in "biuf"


def _codes(targets: npt.NDArray[Any], classes: npt.NDArray[Any]) -> LabelArray:
    """Return the position of each target in `classes`, which need not be sorted."""
    order = np.argsort(classes)
    codes: LabelArray = order[np.searchsorted(classes, targets, sorter=order)].astype(np.int64)
    return codes
