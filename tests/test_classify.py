"""The classifier against exact rivals in NumPy and scikit-learn, and against scikit-learn's own checks."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

from metriclearn import EmbeddingIndex, MetricEmbedding, QdrantClassifier

DISTANCES = ("cosine", "euclid")
POINTS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
LABELS, TEXTS = [2, 0, 1, -1, 2, 0], list("fdabec")


def overlapping(n, dim=32, classes=10, seed=0):
    """Embeddings of unit length whose classes overlap, so that neighbours disagree."""
    X, y = make_blobs(n, dim, centers=classes, cluster_std=9.0, random_state=seed)
    return normalize(X).astype(np.float32), y


def exact_votes(X, y, queries, k, temperature, distance):
    """The vote written out in float64: for each query the share of each class."""
    X, queries = X.astype(np.float64), queries.astype(np.float64)
    if distance == "cosine":
        X, queries = normalize(X), normalize(queries)
    shares = np.zeros((len(queries), len(np.unique(y))))
    for i, query in enumerate(queries):
        squared = ((X - query) ** 2).sum(axis=1)
        for row in np.argsort(squared, kind="stable")[:k]:
            shares[i, np.searchsorted(np.unique(y), y[row])] += np.exp(-squared[row] / (2 * temperature))
    return shares / shares.sum(axis=1, keepdims=True)


def unmet(estimator):
    """The checks of scikit-learn's that cannot be met."""
    no_class = {"check_classifiers_classes": "it takes -1 for a class, which means unlabelled here"}
    if estimator.distance == "euclid":
        return no_class
    return no_class | {
        "check_estimators_dtypes": "its integer data hold a row of zeros, which has no direction for cosine"
    }


@parametrize_with_checks(
    [QdrantClassifier(distance=distance) for distance in DISTANCES], expected_failed_checks=unmet
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# The vote


@pytest.mark.parametrize("distance", DISTANCES)
def test_votes_on_a_thousand_embeddings_are_those_of_numpy(distance):
    X, y = overlapping(1500)
    examples, queries = slice(0, 500), slice(500, 1500)
    classifier = QdrantClassifier(distance=distance).fit(X[examples], y[examples])
    expected = exact_votes(X[examples], y[examples], X[queries], 5, 0.1, distance)
    np.testing.assert_allclose(classifier.predict_proba(X[queries]), expected, atol=1e-5)
    predicted = classifier.predict(X[queries])
    assert predicted.tolist() == expected.argmax(axis=1).tolist()
    assert 0.3 < (predicted == y[queries]).mean() < 0.95  # neither trivial nor hopeless


@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("temperature", [0.02, 0.5])
@pytest.mark.parametrize("distance", DISTANCES)
def test_votes_are_those_of_scikit_learn(k, temperature, distance):
    X, y = overlapping(400)
    classifier = QdrantClassifier(k, temperature=temperature, distance=distance).fit(X[:300], y[:300])
    rival = KNeighborsClassifier(
        k, weights=lambda d: np.exp(-(d**2) / (2 * temperature)), algorithm="brute"
    ).fit(X[:300], y[:300])
    np.testing.assert_allclose(classifier.predict_proba(X[300:]), rival.predict_proba(X[300:]), atol=1e-4)


def test_both_distances_vote_alike_on_the_unit_sphere():
    X, y = overlapping(300)
    cosine, euclid = (QdrantClassifier(distance=d).fit(X[:200], y[:200]) for d in DISTANCES)
    np.testing.assert_allclose(cosine.predict_proba(X[200:]), euclid.predict_proba(X[200:]), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(2, 15),
    temperature=st.floats(0.01, 10),
    distance=st.sampled_from(DISTANCES),
    data=st.data(),
)
def test_votes_are_shares(seed, n, temperature, distance, data):
    random = np.random.default_rng(seed)
    X, y = random.normal(size=(n, 4)), random.integers(0, 3, n)
    k = data.draw(st.integers(1, n))
    classifier = QdrantClassifier(k, temperature=temperature, distance=distance).fit(X, y)
    shares = classifier.predict_proba(X)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares, exact_votes(X, y, X, k, temperature, distance), atol=1e-3)
    assert classifier.predict(X).tolist() == classifier.classes_[shares.argmax(axis=1)].tolist()


def test_far_away_and_cold_the_votes_do_not_vanish():
    X = np.array([[1000.0, 0.0], [0.0, 1001.0]])
    classifier = QdrantClassifier(2, temperature=1e-3, distance="euclid").fit(X, [4, 5])
    np.testing.assert_allclose(classifier.predict_proba([[0.0, 0.0]]), [[1, 0]])


def test_of_equal_votes_the_first_class_wins():
    X = np.array([[1.0, 1.0], [1.0, 1.0]])
    classifier = QdrantClassifier(2).fit(X, ["b", "a"])
    assert classifier.predict_proba([[1.0, 1.0]]).tolist() == [[0.5, 0.5]]
    assert classifier.predict([[1.0, 1.0]]).tolist() == ["a"]


# Neighbours


@pytest.mark.parametrize("distance", DISTANCES)
def test_kneighbors_are_those_of_scikit_learn(distance):
    X, y = overlapping(200)
    classifier = QdrantClassifier(distance=distance).fit(X[:150], y[:150])
    metric = {"cosine": "cosine", "euclid": "euclidean"}[distance]
    rival = NearestNeighbors(n_neighbors=5, metric=metric, algorithm="brute").fit(X[:150])
    for queries in (X[150:], None):
        distances, indices = classifier.kneighbors(queries)
        expected_distances, expected_indices = rival.kneighbors(queries)
        np.testing.assert_allclose(distances, expected_distances, atol=1e-5)
        assert indices.tolist() == expected_indices.tolist()
    assert classifier.kneighbors(X[:3], n_neighbors=2)[0].shape == (3, 2)


def test_an_example_behind_its_duplicates_is_still_not_its_own_neighbour():
    X = np.ones((6, 3))
    distances, indices = QdrantClassifier(2).fit(X, range(6)).kneighbors()
    assert distances.shape == indices.shape == (6, 2)
    assert all(row not in neighbours for row, neighbours in enumerate(indices.tolist()))


def test_rows_are_numbered_on_by_partial_fit():
    classifier = QdrantClassifier(1).fit(np.eye(4)[:2], [0, 1]).partial_fit(np.eye(4)[2:], [1, 7])
    assert classifier.kneighbors(np.eye(4))[1][:, 0].tolist() == [0, 1, 2, 3]


# New classes without retraining


def test_new_classes_are_known_at_once_and_old_answers_stay():
    X, y = make_blobs(300, 8, centers=6, cluster_std=0.5, random_state=0)
    old = y < 4
    classifier = QdrantClassifier().fit(X[old], y[old])
    before = classifier.predict(X[old])
    classifier.partial_fit(X[~old][:20], y[~old][:20])
    assert classifier.classes_.tolist() == [0, 1, 2, 3, 4, 5]
    assert (classifier.predict(X[~old]) == y[~old]).all()
    assert (classifier.predict(X[old]) == before).all()


def test_classes_stay_sorted_whatever_the_order_they_came_in():
    X = np.eye(5)
    classifier = QdrantClassifier(1).fit(X[:2], ["owl", "cat"])
    classifier.partial_fit(X[2:3], ["a longer name than before"])
    classifier.partial_fit(X[3:], ["dog", "cat"])
    assert classifier.classes_.tolist() == ["a longer name than before", "cat", "dog", "owl"]
    assert classifier.predict(X).tolist() == ["owl", "cat", "a longer name than before", "dog", "cat"]
    shares = classifier.predict_proba(X)
    assert shares.argmax(axis=1).tolist() == [3, 1, 0, 2, 1]


@pytest.mark.parametrize("distance", DISTANCES)
def test_in_parts_or_at_once_is_the_same(distance):
    X, y = overlapping(200)
    order = np.argsort(-y, kind="stable")  # the highest class first: every part brings new, lower ones
    X, y = X[order], y[order]
    whole = QdrantClassifier(distance=distance).fit(X, y)
    parts = QdrantClassifier(distance=distance)
    for start in range(0, 200, 40):
        parts.partial_fit(X[start : start + 40], y[start : start + 40])
    assert parts.classes_.tolist() == whole.classes_.tolist()
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-6)


def test_classes_can_be_announced():
    classifier = QdrantClassifier(1).partial_fit(np.eye(3)[:2], [3, 1], classes=[1, 2, 3])
    assert classifier.classes_.tolist() == [1, 2, 3]
    assert classifier.predict_proba(np.eye(3)[:2]).tolist() == [[0, 0, 1], [1, 0, 0]]
    classifier.partial_fit(np.eye(3)[2:], [2], classes=[0])
    assert classifier.classes_.tolist() == [0, 1, 2, 3]


# Rows without a label


def test_rows_without_a_label_are_left_out_and_counted():
    X, y = overlapping(120)
    hidden = y.copy()
    hidden[::3] = -1
    known = hidden >= 0
    given, by_hand = QdrantClassifier().fit(X, hidden), QdrantClassifier().fit(X[known], y[known])
    assert given.classes_.tolist() == by_hand.classes_.tolist() == list(range(10))
    assert len(given.index_) == known.sum()
    np.testing.assert_allclose(given.predict_proba(X), by_hand.predict_proba(X), atol=1e-6)
    rows = given.kneighbors(X[known], 1)[1][:, 0]
    assert rows.tolist() == np.flatnonzero(known).tolist()  # row numbers are those of X
    given.partial_fit(X[:4], [3, -1, -1, 3])
    assert given.kneighbors(X[3:4], 2)[1].max() == 123
    distances, rows = given.kneighbors()
    assert distances.shape == (known.sum() + 2, 5)


def test_a_call_without_any_label_adds_nothing():
    classifier = QdrantClassifier(1).fit(np.eye(3), [0, 1, 2])
    classifier.partial_fit(np.eye(3), [-1, -1, -1]).partial_fit(np.eye(3)[:2], [1, -1], classes=[7])
    assert len(classifier.index_) == 4
    assert classifier.classes_.tolist() == [0, 1, 2, 7]
    assert set(classifier.kneighbors(np.eye(3)[:1], 2)[1][0]) == {0, 6}


@pytest.mark.parametrize("y", [[-1, -1, -1], [-1, 1, 1]])
def test_what_may_be_a_class_called_minus_one_is_asked_about(y):
    for call in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match="-1 means unlabelled: if it is a class of yours"):
            getattr(QdrantClassifier(), call)(np.eye(3), y)


def test_a_row_without_a_label_may_be_zeros():
    X = np.eye(4)
    X[3] = 0
    assert len(QdrantClassifier(1).fit(X, [0, 1, 2, -1]).index_) == 3


def test_the_score_is_of_the_rows_with_a_label():
    classifier = QdrantClassifier(1).fit(np.eye(4), range(4))
    assert classifier.score(np.eye(4), [0, 3, -1, -1]) == 0.5
    assert classifier.score(np.eye(4), [0, 3, -1, -1], sample_weight=[3, 1, 9, 9]) == 0.75
    with pytest.raises(ValueError, match="y holds nothing but -1"):
        classifier.score(np.eye(4), [-1] * 4)


def test_a_pipeline_classifies_as_well_as_its_steps_by_hand():
    images = np.random.default_rng(0).random((60, 1, 8, 8), dtype=np.float32)
    y = np.where(np.arange(60) % 4, -1, np.arange(60) % 3)
    embedding = {"dim": 4, "steps": 4, "random_state": 0}
    piped = make_pipeline(MetricEmbedding(**embedding), QdrantClassifier(3)).fit(images, y)
    encoder = MetricEmbedding(**embedding).fit(images, y)
    known = y >= 0
    by_hand = QdrantClassifier(3).fit(encoder.transform(images[known]), y[known])
    assert piped.predict(images).tolist() == by_hand.predict(encoder.transform(images)).tolist()
    assert piped.score(images, y) == by_hand.score(encoder.transform(images), y)


@pytest.mark.parametrize("distance", ["cosine", "euclid"])
def test_a_vote_next_to_absolute_zero_goes_to_the_nearest(distance):
    with QdrantClassifier(3, temperature=1e-320, distance=distance).fit(POINTS, TEXTS) as classifier:
        asked = POINTS + 0.5  # none of them is stored
        nearest = classifier.kneighbors(asked, 1)[1][:, 0]
        wanted = np.eye(6)[np.argsort(np.argsort(TEXTS))[nearest]]
        assert classifier.predict_proba(asked).tolist() == wanted.tolist()


# Bad input


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.eye(4)[:, :3], [0, 1, 2, 3], "all zeros and has no direction"),
        (np.full((2, 3), np.nan), [0, 1], "NaN"),
        (np.full((2, 3), np.inf), [0, 1], "infinity"),
        (np.eye(4), [0, 1, 2, 3], "4 features"),
        (np.eye(3), [0, 1], "3 rows but 2 labels"),
        (np.eye(3), [0.5, 1.5, 2.5], "Unknown label type"),
        (np.eye(3), ["a", "b", "c"], "use numbers for all or texts for all"),
    ],
)
def test_examples_that_do_not_fit_are_not_added(X, y, message):
    classifier = QdrantClassifier(1).fit(np.eye(3), [7, 8, 9])
    with pytest.raises(ValueError, match=message):
        classifier.partial_fit(X, y)
    assert len(classifier.index_) == 3
    assert classifier.predict(np.eye(3)).tolist() == [7, 8, 9]


def test_a_fit_that_fails_leaves_the_earlier_one():
    classifier = QdrantClassifier(1).fit(np.eye(3), [7, 8, 9])
    with pytest.raises(ValueError, match="Unknown label type"):
        classifier.fit(np.eye(5), np.linspace(0, 1, 5))
    assert classifier.predict(np.eye(3)).tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_neighbors": 0}, "n_neighbors is 0"),
        ({"n_neighbors": 2.0}, "n_neighbors is 2.0"),
        ({"temperature": 0}, "temperature is 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"distance": "dot"}, "distance is 'dot'"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ValueError, match=message):
        QdrantClassifier(**parameters).fit(np.eye(3), [0, 1, 2])


def test_more_neighbours_than_examples():
    classifier = QdrantClassifier().fit(np.eye(3), [0, 1, 2])
    with pytest.raises(ValueError, match=r"5 neighbours are asked for, but .* holds 3 points"):
        classifier.predict(np.eye(3))
    classifier.partial_fit(np.eye(3) + 0.1, [0, 1, 2])
    assert len(classifier.predict(np.eye(3))) == 3


# Classes that are announced, and input that will not do


@pytest.mark.parametrize("classes", [[9, 0], np.array([9], dtype=np.uint8), 9])
def test_announced_classes_are_added_to_those_seen(classes):
    for start in (QdrantClassifier(1), QdrantClassifier(1).fit(POINTS, LABELS)):
        with start.partial_fit(POINTS, LABELS, classes=classes) as classifier:
            assert classifier.classes_.tolist() == [0, 1, 2, 9]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({0, 1}, "Unknown label type"),
        ([0, -1], "classes holds -1, which means unlabelled"),
        (["a"], "numbers for all or texts for all"),
        ([0.5], "Unknown label type"),
        ([None], "Unknown label type"),
        ([True], "numbers for all or texts for all"),
    ],
)
def test_announced_classes_that_are_none(classes, message):
    for start in (QdrantClassifier(1), QdrantClassifier(1).fit(POINTS, LABELS)):
        with start as classifier, pytest.raises(ValueError, match=message):
            classifier.partial_fit(POINTS, LABELS, classes=classes)


def test_no_announced_classes_are_none():
    assert QdrantClassifier(1).partial_fit(POINTS, LABELS, classes=[]).classes_.tolist() == [0, 1, 2]


def test_parameters_from_a_grid_of_numpy(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 4)) + np.repeat(np.eye(2, 4) * 9, 20, axis=0)
    grid = {
        "n_neighbors": np.array([1, 3], dtype=np.int16),
        "temperature": np.array([0.1, 1], dtype=np.float32),
        "distance": np.array(["cosine", "euclid"]),
    }
    search = GridSearchCV(QdrantClassifier(), grid, cv=2).fit(X, np.repeat([0, 1], 20))
    best = search.best_estimator_.set_params(path=tmp_path, encoder_id=np.str_("first"))
    with best.fit(X, np.repeat([0, 1], 20)):
        wanted = best.predict_proba(X)
    with QdrantClassifier.open(tmp_path) as again:
        np.testing.assert_allclose(again.predict_proba(X), wanted, atol=1e-6)
        assert type(again.n_neighbors) is int


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_neighbors": True},
        {"temperature": "warm"},
        {"distance": None},
        {"encoder_id": 3},
        {"collection": "a/b"},
        {"path": 3},
    ],
)
def test_parameters_in_a_form_that_will_not_do(parameters):
    for call in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=r"^[^\n]*\.$"):
            getattr(QdrantClassifier(**parameters), call)(POINTS, TEXTS)


@pytest.mark.parametrize("change", [{"n_neighbors": 0}, {"n_neighbors": 2.0}, {"temperature": 0}])
def test_parameters_are_checked_when_they_are_changed(change):
    (name,) = change
    with QdrantClassifier(1).fit(POINTS, TEXTS) as classifier:
        with pytest.raises(ValueError, match=f"^{name} is .*: choose a"):
            classifier.set_params(**change)
        with pytest.raises(ValueError, match=f"^{name} is .*: choose a"):
            setattr(classifier, name, change[name])
        assert classifier.predict(POINTS).tolist() == TEXTS
        classifier.n_neighbors = np.int64(2)
        assert classifier.kneighbors(POINTS)[0].shape == (6, 2)


@pytest.mark.parametrize("n_neighbors", [True, 2.0, "2"])
def test_a_number_of_neighbours_that_will_not_do(n_neighbors):
    with (
        QdrantClassifier(1).fit(POINTS, TEXTS) as classifier,
        pytest.raises(ValueError, match=r"^n_neighbors is .*: choose a whole number"),
    ):
        classifier.kneighbors(POINTS, n_neighbors)


NO_ROWS = {
    "one row": POINTS[0],
    "none": None,
    "texts": [["a"] * 4] * 6,
    "complex": POINTS + 1j,
    "uneven": [[1.0, 2.0], [1.0]],
    "missing": pd.DataFrame([[1, pd.NA, 2, 3]] * 6),
    "too large for float32": POINTS.astype(np.float64) * 1e300,
    "partly named columns": pd.DataFrame(POINTS, columns=["a", 1, 2, "b"]),
}


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("X", NO_ROWS.values(), ids=NO_ROWS)
def test_what_is_no_rows_of_numbers_is_refused(X):
    with QdrantClassifier(1).fit(POINTS, TEXTS) as classifier:
        for call in (
            lambda: QdrantClassifier().fit(X, TEXTS),
            lambda: classifier.partial_fit(X, TEXTS),
            lambda: classifier.predict(X),
            lambda: classifier.score(X, TEXTS),
        ):
            with pytest.raises(ValueError, match=r"^[^\n]*\.$") as caught:
                call()
            assert str(caught.value).isascii()
        assert len(classifier.index_) == 6


@pytest.mark.parametrize("y", [3, [b"a"] * 6, np.eye(6), pd.date_range("2020", periods=6)])
def test_what_is_no_row_of_classes_is_refused(y):
    with QdrantClassifier(1).fit(POINTS, LABELS) as classifier:
        for call in (QdrantClassifier().fit, classifier.partial_fit, classifier.score):
            with pytest.raises(ValueError, match=r"^[^\n]*\.$"):
                call(POINTS, y)


@pytest.mark.parametrize("weights", [[1, 2], np.eye(6), list("abcdef")])
def test_weights_that_are_none(weights):
    with (
        QdrantClassifier(1).fit(POINTS, LABELS) as classifier,
        pytest.raises(ValueError, match="The weights are"),
    ):
        classifier.score(POINTS, LABELS, sample_weight=weights)


# Its place among the others


def test_copies_carry_their_embeddings_and_go_their_own_way(tmp_path):
    X, y = overlapping(60)
    with QdrantClassifier(path=tmp_path).fit(X, y) as classifier:
        classifier.partial_fit(X[:3], [10, 11, 12])
        expected = classifier.predict_proba(X)
        for twin in (copy.deepcopy(classifier), pickle.loads(pickle.dumps(classifier))):
            np.testing.assert_allclose(twin.predict_proba(X), expected, atol=1e-6)
            twin.partial_fit(X, np.full(60, 99))
            assert 99 in twin.predict(X)
        assert len(classifier.index_) == 63
        np.testing.assert_allclose(classifier.predict_proba(X), expected)


def test_a_copy_stays_in_memory_even_where_the_environment_names_a_server(monkeypatch):
    stored = pickle.dumps(QdrantClassifier(1).fit(np.eye(2), [0, 1]))
    monkeypatch.setenv("QDRANT_URL", "http://localhost:9")
    assert pickle.loads(stored).predict(np.eye(2)).tolist() == [0, 1]


def test_a_clone_is_unfitted(tmp_path):
    with QdrantClassifier(3, temperature=0.2, path=tmp_path).fit(np.eye(4), range(4)) as classifier:
        twin = clone(classifier)
    assert twin.get_params() == classifier.get_params()
    assert not hasattr(twin, "index_")
    pickle.loads(pickle.dumps(twin)).fit(np.eye(4), range(4)).close()


def test_cross_validation():
    X, y = make_blobs(90, 5, centers=3, random_state=0)
    assert cross_val_score(QdrantClassifier(), X, y, cv=3).min() > 0.95


def test_a_second_fit_replaces_the_first(tmp_path):
    classifier = QdrantClassifier(1, path=tmp_path).fit(np.eye(5), range(5))
    classifier.fit(np.eye(3), ["a", "b", "c"])
    assert len(classifier.index_) == 3
    classifier.close()
    with QdrantClassifier(1, path=tmp_path, encoder_id="another").fit(np.eye(2), [0, 1]) as other:
        assert len(other.index_) == 2
        assert other.index_.encoder_id == "another"


def test_a_collection_of_somebody_else_is_left_alone(tmp_path):
    with EmbeddingIndex(3, path=tmp_path) as index:
        index.upsert(np.eye(3))
    with pytest.raises(ValueError, match="was not made to be replaced: choose another collection name"):
        QdrantClassifier(path=tmp_path).fit(np.eye(3), [0, 1, 2])
    with EmbeddingIndex(3, path=tmp_path) as index:
        assert len(index) == 3


def test_closing_lets_go_of_the_folder(tmp_path):
    with (
        QdrantClassifier(path=tmp_path).fit(np.eye(3), [0, 1, 2]),
        pytest.raises(RuntimeError, match="open in another client"),
    ):
        EmbeddingIndex(3, path=tmp_path)
    EmbeddingIndex(3, path=tmp_path, collection="another").close()
    QdrantClassifier().close()  # nothing was open


@pytest.mark.parametrize("distance", DISTANCES)
def test_on_a_server_too(qdrant_server, distance):
    X, y = overlapping(200)
    with QdrantClassifier(distance=distance, **qdrant_server) as classifier:
        classifier.fit(X[:100], y[:100]).partial_fit(X[100:150], y[100:150])
        expected = exact_votes(X[:150], y[:150], X[150:], 5, 0.1, distance)
        np.testing.assert_allclose(classifier.predict_proba(X[150:]), expected, atol=1e-4)
