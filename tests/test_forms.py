"""One input in many forms: the index and the classifier answer each as the plain one, or with a sentence."""

import time
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from metriclearn import EmbeddingIndex, QdrantClassifier

DIM = 4
POINTS = np.random.default_rng(0).normal(size=(6, DIM)).round(1).astype(np.float32)
POINTS[0] = [0.5, -0.25, 1, 0]  # numbers that half precision holds, too
POINTS = POINTS.astype(np.float16).astype(np.float32)
HALVES = np.array([[1, 0.5, 0, 2], [0, 1, -1, 0], [2, 0, 0, 1], [1, 1, 1, 1], [-1, 0, 2, 0], [0, 0, 0, 1]])
LABELS = [2, 0, 1, -1, 2, 0]
NAMES = [f"image {i}" for i in range(6)]
EXTRAS = [{"part": "pool", "row": i} for i in range(6)]
FOREIGN = [5, 3, 0, 1, 4, 2]  # an index of pandas that is no count
TEXTS = list("fdabec")


def read_only_map(tmp_path, array: np.ndarray) -> np.ndarray:
    np.save(tmp_path / "array.npy", array)
    return np.load(tmp_path / "array.npy", mmap_mode="r")


EMBEDDINGS = {
    "list": HALVES.tolist(),
    "tuple of tuples": tuple(map(tuple, HALVES.tolist())),
    "half": HALVES.astype(np.float16),
    "double": HALVES,
    "long double": HALVES.astype(np.longdouble),
    "big-endian": HALVES.astype(">f8"),
    "by columns": np.asfortranarray(HALVES.astype(np.float32)),
    "every second row": np.repeat(HALVES, 2, axis=0)[::2],
    "objects": HALVES.astype(object),
    "pandas": pd.DataFrame(HALVES, index=FOREIGN, columns=list("wxyz")),
    "tensor": torch.tensor(HALVES),
    "tensor with a gradient": torch.tensor(HALVES, dtype=torch.float32, requires_grad=True),
    "bfloat16": torch.tensor(HALVES, dtype=torch.bfloat16),
    "half tensor": torch.tensor(HALVES, dtype=torch.half),
    "list of tensors": [torch.tensor(row, requires_grad=True) for row in HALVES],
    "generator": None,
    "read-only map": None,
}


def in_form(form: str, tmp_path):
    if form == "generator":
        return (row for row in HALVES)
    return read_only_map(tmp_path, HALVES) if form == "read-only map" else EMBEDDINGS[form]


@pytest.mark.parametrize("form", EMBEDDINGS)
@pytest.mark.parametrize("distance", ["cosine", "euclid"])
def test_embeddings_are_the_same_in_every_form(form, distance, tmp_path):
    plain = HALVES.astype(np.float32)
    with (
        EmbeddingIndex(DIM, distance=distance) as first,
        EmbeddingIndex(DIM, distance=distance) as second,
    ):
        assert second.upsert(in_form(form, tmp_path), LABELS) == first.upsert(plain, LABELS)
        wanted, found = first.query(plain, k=3), second.query(in_form(form, tmp_path), k=np.int8(3))
        assert found.ids.tolist() == wanted.ids.tolist()
        np.testing.assert_array_equal(found.scores, wanted.scores)
    with (
        QdrantClassifier(2, distance=distance).fit(plain, TEXTS) as one,
        QdrantClassifier(2, distance=distance).fit(in_form(form, tmp_path), TEXTS) as other,
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="X has feature names|X does not have valid feature names")
        np.testing.assert_array_equal(other.predict_proba(plain), one.predict_proba(plain))
        np.testing.assert_array_equal(other.predict_proba(in_form(form, tmp_path)), one.predict_proba(plain))
        np.testing.assert_array_equal(other.kneighbors(in_form(form, tmp_path))[1], one.kneighbors(plain)[1])
        other.partial_fit(in_form(form, tmp_path), TEXTS)
        assert len(other.index_) == 12


def test_ids_of_plain_arrays_are_those_of_every_version_before():
    with EmbeddingIndex(2) as index:
        ids = index.upsert(np.array([[1, 0], [0.5, 2]], dtype=np.float32), labels=[3, -1])
        named = index.upsert(np.eye(2, dtype=np.float32), sources=["a", "b"])
    assert ids == ["92c39fe7-2aeb-5c37-ad29-4bc8d4a0c3d1", "936f8f35-8967-5af6-8909-a69dae58e82c"]
    assert named == ["ef564bb2-374c-5416-85e8-fe94ff42a45e", "aec1fdaa-b000-5c9d-a8a9-89834c174f96"]


COMPANY = {
    "lists": (LABELS, NAMES, EXTRAS),
    "tuples": (tuple(LABELS), tuple(NAMES), tuple(EXTRAS)),
    "arrays": (np.array(LABELS, dtype=np.int8), np.array(NAMES), np.array(EXTRAS)),
    "objects": (np.array(LABELS, dtype=object), np.array(NAMES, dtype=object), np.array(EXTRAS)),
    "pandas": tuple(pd.Series(column, index=FOREIGN) for column in (LABELS, NAMES, EXTRAS)),
    "pandas by name": tuple(pd.Series(column, index=TEXTS) for column in (LABELS, NAMES, EXTRAS)),
    "categories": (pd.Series(LABELS, dtype="Int64"), pd.Series(NAMES, dtype="category"), EXTRAS),
    "tensor and columns": (torch.tensor(LABELS), np.array(NAMES)[:, None], EXTRAS),
    "table of one column": (LABELS, pd.DataFrame({"name": NAMES}, index=FOREIGN), EXTRAS),
    "generators": None,
}


@pytest.mark.parametrize("form", COMPANY)
def test_labels_sources_and_payloads_are_read_by_position(form):
    labels, sources, payloads = COMPANY[form] or ((x for x in column) for column in COMPANY["lists"])
    with EmbeddingIndex(DIM) as index:
        ids = index.upsert(POINTS, labels, sources, payloads, batch_size=np.uint8(4))
        found = index.query(POINTS, k=1)
        assert found.sources[:, 0].tolist() == NAMES
        assert found.labels[:, 0].tolist() == LABELS
        assert [index.count({"source": name, "row": i}) for i, name in enumerate(NAMES)] == [1] * 6
        index.delete(ids={"lists": ids, "pandas": pd.Series(ids, index=FOREIGN)}.get(form, np.array(ids)))
        assert len(index) == 0


def test_a_payload_is_stored_as_json_has_it():
    with EmbeddingIndex(DIM) as index:
        (point,) = index.upsert(POINTS[:1], payloads=[{"box": (1, 2), "name": np.str_("a"), "in": {"b": ()}}])
        (stored,) = index.client.retrieve(index.collection, [point])
    assert stored.payload == {"label": -1, "encoder": "unknown", "box": [1, 2], "name": "a", "in": {"b": []}}
    assert type(stored.payload["name"]) is str


@pytest.mark.parametrize(
    "bad",
    [
        {"payloads": [{"a": {1: 2}}] * 6},
        {"payloads": [{"a": [{"b": {None: 2}}]}] * 6},
        {"payloads": [{"a": 2**63}] * 6},
        {"payloads": [{"a": "\ud800"}] * 6},
        {"payloads": [{"a": torch.tensor(1)}] * 6},
        {"payloads": [{3: 2}] * 6},
        {"payloads": pd.DataFrame(EXTRAS)},
        {"payloads": {"a": 1}},
        {"sources": pd.DataFrame({"a": NAMES, "b": NAMES})},
        {"sources": np.array(NAMES).reshape(3, 2)},
        {"sources": set(NAMES)},
        {"sources": dict.fromkeys(NAMES)},
        {"labels": pd.Series([1, 2, 3, 4, 5, None])},
        {"labels": torch.tensor(3)},
        {"labels": 3},
        {"batch_size": True},
        {"batch_size": 2.5},
        {"batch_size": "4"},
        {"batch_size": None},
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(bad):
    with EmbeddingIndex(DIM) as index:
        with pytest.raises(ValueError, match=r"^[^\n]*\.$") as caught:
            index.upsert(POINTS, **bad)
        assert str(caught.value).isascii()
        assert len(index) == 0


@pytest.mark.parametrize(
    "ids", [7, {"a": 1}, np.zeros((2, 2), dtype="U36"), pd.DataFrame({"a": [1], "b": [2]}), b"ab", 2.5]
)
def test_ids_in_a_form_that_will_not_do(ids):
    with EmbeddingIndex(DIM) as index:
        index.upsert(POINTS)
        with pytest.raises(ValueError, match=r"pass a list of ids|is not an id"):
            index.delete(ids=ids)
        assert len(index) == 6


@pytest.mark.parametrize("k", [True, 2.0, "2", None, np.float32(2), [2], torch.tensor(2.0)])
def test_a_k_in_a_form_that_will_not_do(k):
    with EmbeddingIndex(DIM) as index, QdrantClassifier(1).fit(POINTS, TEXTS) as classifier:
        index.upsert(POINTS)
        with pytest.raises(ValueError, match=r"^k is .*: choose a whole number"):
            index.query(POINTS, k=k)
        if k is not None:  # None means the classifier's own
            with pytest.raises(ValueError, match=r"^n_neighbors is .*: choose a whole number"):
                classifier.kneighbors(POINTS, k)
        assert index.query(POINTS, k=torch.tensor(2)).ids.shape == (6, 2)


# The classifier's targets and parameters

TARGETS = {
    "list": LABELS,
    "bytes of one": np.array(LABELS, dtype=np.int8),
    "floats": np.array(LABELS, dtype=np.float32),
    "pandas": pd.Series(LABELS, index=FOREIGN),
    "tensor": torch.tensor(LABELS),
    "objects": np.array(LABELS, dtype=object),
}


@pytest.mark.parametrize("form", [*TARGETS, "generator"])
def test_targets_are_the_same_in_every_form(form):
    with QdrantClassifier(1) as classifier:
        for call in (classifier.fit, classifier.partial_fit):
            call(POINTS, (label for label in LABELS) if form == "generator" else TARGETS[form])
            assert classifier.classes_.tolist() == [0, 1, 2]
            assert classifier.classes_.dtype == np.int64
            assert classifier.predict(POINTS[:3]).tolist() == LABELS[:3]
        y = (label for label in LABELS) if form == "generator" else TARGETS[form]
        assert classifier.score(POINTS, y) == 1


@pytest.mark.parametrize(
    "classes",
    [[9, 0], (0, 9), np.array([9], dtype=np.uint8), pd.Series([9], index=["x"]), torch.tensor([9]), 9],
)
def test_announced_classes_are_the_same_in_every_form(classes):
    for start in (QdrantClassifier(1), QdrantClassifier(1).fit(POINTS, LABELS)):
        with start.partial_fit(POINTS, LABELS, classes=classes) as classifier:
            assert classifier.classes_.tolist() == [0, 1, 2, 9]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({0, 1}, "which has no order"),
        ([0, -1], "classes holds -1, which means unlabelled"),
        (["a"], "numbers for all or texts for all"),
        ([0.5], "Unknown label type"),
        ([None], "names no class|unlike the others|not class numbers"),
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
    X = np.random.default_rng(0).normal(size=(40, DIM)) + np.repeat(np.eye(2, DIM) * 9, 20, axis=0)
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
        {"n_neighbors": "5"},
        {"n_neighbors": None},
        {"n_neighbors": True},
        {"temperature": "warm"},
        {"temperature": np.inf},
        {"temperature": [0.1]},
        {"distance": None},
        {"encoder_id": 3},
        {"collection": None},
        {"collection": "a/b"},
        {"path": 3},
    ],
)
def test_parameters_in_a_form_that_will_not_do(parameters):
    for call in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=r"^[^\n]*\.$"):
            getattr(QdrantClassifier(**parameters), call)(POINTS, TEXTS)


@pytest.mark.parametrize("distance", ["cosine", "euclid"])
def test_a_vote_next_to_absolute_zero_goes_to_the_nearest(distance):
    with QdrantClassifier(3, temperature=1e-320, distance=distance).fit(POINTS, TEXTS) as classifier:
        asked = POINTS + 0.5  # none of them is stored
        nearest = classifier.kneighbors(asked, 1)[1][:, 0]
        wanted = np.eye(6)[np.argsort(np.argsort(TEXTS))[nearest]]
        assert classifier.predict_proba(asked).tolist() == wanted.tolist()


NO_ROWS = {
    "one row": POINTS[0],
    "three axes": POINTS[None],
    "none": None,
    "a text": "abcd",
    "texts": [["a"] * DIM] * 6,
    "complex": POINTS + 1j,
    "uneven": [[1.0, 2.0], [1.0]],
    "masked": np.ma.masked_array(POINTS, POINTS > 0),
    "a dictionary": {"a": 1},
    "missing": pd.DataFrame([[1, pd.NA, 2, 3]] * 6),
    "infinite": POINTS.astype(np.float64) * 1e300,
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


@pytest.mark.parametrize(
    "y",
    [3, "abcdef", [b"a"] * 6, np.eye(6), {"a": 1}, [1, "a", 2, "b", 1, 2], pd.date_range("2020", periods=6)],
)
def test_what_is_no_row_of_classes_is_refused(y):
    with QdrantClassifier(1).fit(POINTS, LABELS) as classifier:
        for call in (QdrantClassifier().fit, classifier.partial_fit, classifier.score):
            with pytest.raises(ValueError, match=r"^[^\n]*\.$"):
                call(POINTS, y)


@pytest.mark.parametrize("weights", [[1, 2], "abcdef", np.eye(6), 3, list("abcdef")])
def test_weights_that_are_none(weights):
    with (
        QdrantClassifier(1).fit(POINTS, LABELS) as classifier,
        pytest.raises(ValueError, match="The weights are"),
    ):
        classifier.score(POINTS, LABELS, sample_weight=weights)


def test_what_lies_too_far_out_has_no_distance():
    far = POINTS.copy()
    far[3, 1] = 2e16
    with EmbeddingIndex(DIM, distance="euclid") as index:
        for call in (index.upsert, lambda X: index.query(X, k=1)):
            with pytest.raises(ValueError, match="row 3 lies too far out for distances in float32"):
                call(far)
        index.upsert(np.eye(DIM) * 1e16)
        assert np.isfinite(index.query(np.eye(DIM) * -1e16, k=4).scores).all()


# What it costs


def seconds_per_query(points: np.ndarray) -> float:
    with EmbeddingIndex(points.shape[1], path=":memory:") as index:
        index.upsert(points, sources=[str(row) for row in range(len(points))])
        best = []
        for start in range(0, 60, 10):
            begin = time.perf_counter()
            index.query(points[start : start + 10], k=5)
            best.append((time.perf_counter() - begin) / 10)
    return min(best)


def test_a_collapsed_encoder_does_not_make_queries_slow():
    different = np.random.default_rng(0).normal(size=(2000, 32)).astype(np.float32)
    usual = seconds_per_query(different)
    with pytest.warns(
        UserWarning, match="10 of 10 queries have more than 48 points.*Has the encoder collapsed"
    ):
        collapsed = seconds_per_query(np.ones((2000, 32), dtype=np.float32))
    print(f"{1000 * collapsed:.2f} ms among equal ones, {1000 * usual:.2f} ms among different ones")
    assert collapsed < 5 * usual


def test_ties_up_to_the_limit_say_nothing_and_keep_their_order():
    with EmbeddingIndex(2) as index, warnings.catch_warnings():
        warnings.simplefilter("error")
        ids = index.upsert(
            np.repeat([[1.0, 0.0], [0.0, 1.0]], [51, 10], axis=0), sources=[str(i) for i in range(61)]
        )
        assert index.query(np.eye(2), k=4).ids[0].tolist() == sorted(ids[:51])[:4]


def test_many_queries_take_little_memory():
    with EmbeddingIndex(8) as index:
        index.upsert(np.random.default_rng(0).normal(size=(300, 8)), sources=[str(i) for i in range(300)])
        queries = np.random.default_rng(1).normal(size=(500, 8)).astype(np.float32)
        tracemalloc.start()
        found = index.query(queries, k=200)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert found.ids.shape == (500, 200)
    kept = sum(array.nbytes for array in (found.ids, found.scores, found.labels, found.sources))
    assert peak < 2 * kept + 60e6


# Who is whose neighbour


@pytest.mark.parametrize("distance", ["cosine", "euclid"])
def test_the_neighbour_graph_is_that_of_queries(distance):
    with EmbeddingIndex(DIM, distance=distance) as index:
        ids = index.upsert(POINTS)
        graph = index.neighbour_graph(np.int64(2))
        found = index.query(POINTS, k=3)
        for row, point in enumerate(graph.ids):
            wanted = found.ids[ids.index(point), 1:].tolist()
            assert [graph.ids[column] for column in graph.columns[graph.rows == row]] == wanted
            np.testing.assert_allclose(
                graph.scores[graph.rows == row], found.scores[ids.index(point), 1:], atol=1e-5
            )
        assert len(index.neighbour_graph(99).rows) == 6 * 5
        index.delete(ids=ids[1:])
        with pytest.raises(ValueError, match="The index holds 1 points: a graph"):
            index.neighbour_graph()
        with pytest.raises(ValueError, match="k is 0"):
            index.neighbour_graph(0)
