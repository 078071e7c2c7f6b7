"""One set of tests for every home of an index: memory, a folder, and a server if there is one."""

import gc
import threading
import uuid
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from qdrant_client import QdrantClient, models
from qdrant_client.common import client_warnings

from metriclearn import EmbeddingIndex, QdrantClassifier

DIM = 8
NOWHERE = "http://localhost:9"  # the discard port: nothing answers there


@pytest.fixture(params=["memory", "path", "server"])
def home(request, tmp_path):
    """The arguments of EmbeddingIndex that say where it lives."""
    if request.param == "memory":
        yield {"path": ":memory:"}
    elif request.param == "path":
        yield {"path": tmp_path / "qdrant"}
    else:
        # One in strict mode filters by nothing else.
        indexes = {"part": "keyword", "row": "integer", "nothing": "keyword"}
        yield request.getfixturevalue("qdrant_server") | {"payload_indexes": indexes}


@pytest.fixture
def index(home):
    with EmbeddingIndex(DIM, encoder_id="first", **home) as index:
        yield index


@pytest.fixture
def stored(index):
    """An index with twelve points of three classes; the first six come from the pool."""
    index.upsert(embeddings(12), labels=labels(12), sources=names(12), payloads=extras(12))
    return index


def embeddings(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def labels(n):
    return np.arange(n) % 3


def names(n):
    return [f"image {i}" for i in range(n)]


def extras(n):
    return [{"part": "pool" if i < n // 2 else "test", "row": i} for i in range(n)]


def exact_scores(queries, points, distance):
    """Every query against every point, in float64."""
    queries, points = queries.astype(np.float64), points.astype(np.float64)
    if distance == "euclid":
        return np.linalg.norm(queries[:, None] - points, axis=2)
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return queries @ (points / np.linalg.norm(points, axis=1, keepdims=True)).T


def nearest_first(scores, distance):
    return np.argsort(-scores if distance == "cosine" else scores, axis=1, kind="stable")


# What it finds


@pytest.mark.parametrize("distance", ["cosine", "euclid"])
def test_neighbours_are_those_of_numpy(home, distance):
    points, queries = embeddings(60), embeddings(7, seed=1)
    with EmbeddingIndex(DIM, distance=distance, **home) as index:
        ids = index.upsert(points, labels=labels(60), sources=names(60))
        found = index.query(queries, k=5)
    scores = exact_scores(queries, points, distance)
    order = nearest_first(scores, distance)[:, :5]
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, order, axis=1), atol=1e-5)
    assert found.ids.tolist() == np.array(ids)[order].tolist()
    assert found.labels.tolist() == labels(60)[order].tolist()
    assert found.sources.tolist() == np.array(names(60))[order].tolist()


def test_shapes_and_types_of_neighbours(stored):
    found = stored.query(embeddings(2, seed=1), k=3)
    assert {found.ids.shape, found.scores.shape, found.labels.shape, found.sources.shape} == {(2, 3)}
    assert (found.scores.dtype, found.labels.dtype) == (np.float32, np.int64)
    assert found.ids.dtype.kind == found.sources.dtype.kind == "U"


def test_more_queries_than_one_call_takes(stored):
    queries = embeddings(600, seed=1)
    whole = stored.query(queries, k=2)
    last = stored.query(queries[-1:], k=2)
    assert len(whole.ids) == 600
    assert whole.ids[-1].tolist() == last.ids[0].tolist()


def test_labels_and_sources_may_be_left_out(index):
    index.upsert(embeddings(3))
    found = index.query(embeddings(1), k=3)
    assert found.labels.tolist() == [[-1, -1, -1]]
    assert found.sources.tolist() == [["", "", ""]]


def test_very_short_embeddings_have_a_direction_too(index):
    # The engine itself would store these as they are and score them near zero.
    index.upsert(embeddings(12) * np.float32(1e-12), sources=names(12))
    found = index.query(embeddings(12), k=1)
    assert found.sources[:, 0].tolist() == names(12)
    np.testing.assert_allclose(found.scores, 1, atol=1e-6)


def test_equal_scores_come_in_the_same_order_however_the_points_came_in(home):
    points = np.repeat(embeddings(3), 6, axis=0)
    points[9] *= 1.5  # the same direction, and so a tie under cosine
    answers = []
    for order in (np.arange(18), np.arange(18)[::-1], np.random.default_rng(0).permutation(18)):
        with EmbeddingIndex(DIM, replace=True, **home) as index:
            index.upsert(points[order], sources=[names(18)[i] for i in order])
            answers.append([index.query(embeddings(3), k=k).ids.tolist() for k in (1, 4, 8)])
    assert answers[0] == answers[1] == answers[2]


def test_of_equal_scores_the_lowest_ids_are_kept(index):
    ids = index.upsert(np.repeat(embeddings(1), 50, axis=0), sources=names(50))
    assert index.query(embeddings(1), k=3).ids[0].tolist() == sorted(ids)[:3]


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    distance=st.sampled_from(["cosine", "euclid"]),
    n=st.integers(1, 12),
    batch_size=st.integers(1, 5),
)
def test_any_embeddings_are_found_with_the_scores_of_numpy(data, distance, n, batch_size):
    numbers = st.floats(-10, 10, width=32).map(lambda x: round(x, 2))
    points = data.draw(arrays(np.float32, (n, 3), elements=numbers))
    points[np.abs(points).max(axis=1) < 0.01] = 1
    with EmbeddingIndex(3, distance=distance) as index:
        index.upsert(points, sources=names(n), batch_size=batch_size)
        index.upsert(points, sources=names(n))
        assert len(index) == n
        k = data.draw(st.integers(1, n))
        found = index.query(points, k=k)
    scores = exact_scores(points, points, distance)
    order = nearest_first(scores, distance)[:, :k]
    # With ties the points may be others, the scores may not.
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, order, axis=1), atol=2e-5)
    rows = np.vectorize(names(n).index)(found.sources)
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, rows, axis=1), atol=2e-5)


# What it stores


@pytest.mark.parametrize("sources", [None, names(10)])
def test_upsert_repeated_changes_nothing(index, sources):
    first = index.upsert(embeddings(10), labels=labels(10), sources=sources)
    again = index.upsert(embeddings(10), labels=labels(10), sources=sources)
    assert first == again
    assert len(set(first)) == len(index) == 10


def test_ids_depend_on_content_alone(index):
    ids = index.upsert(embeddings(4), labels=labels(4))
    with EmbeddingIndex(DIM, encoder_id="another") as other:
        assert other.upsert(embeddings(4)[::-1], labels=labels(4)[::-1], batch_size=1) == ids[::-1]
        assert set(other.upsert(embeddings(4), labels=labels(4) + 1)).isdisjoint(ids)
        assert set(other.upsert(embeddings(4, seed=1), labels=labels(4))).isdisjoint(ids)


def test_same_source_replaces_its_point(index):
    index.upsert(embeddings(2), labels=[1, 2], sources=["a", "b"])
    index.upsert(embeddings(1, seed=1), labels=[9], sources=["a"])
    assert len(index) == 2
    found = index.query(embeddings(1, seed=1), k=1)
    assert (found.sources.item(), found.labels.item()) == ("a", 9)
    assert found.scores.item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_batches_store_everything(index, batch_size):
    ids = index.upsert(embeddings(20), labels=labels(20), sources=names(20), batch_size=batch_size)
    assert len(index) == 20
    assert index.query(embeddings(20), k=1).ids[:, 0].tolist() == ids


def test_payload_as_the_plain_client_sees_it(stored):
    where = models.Filter(must=[models.FieldCondition(key="row", match=models.MatchValue(value=4))])
    points, _ = stored.client.scroll(stored.collection, scroll_filter=where)
    assert [point.payload for point in points] == [
        {"label": 1, "source": "image 4", "encoder": "first", "part": "pool", "row": 4}
    ]


def test_payload_indexes_are_asked_for_and_nothing_is_said_about_it(monkeypatch):
    asked = []
    original = QdrantClient.create_payload_index

    def listen(self, collection, field, kind, **more):
        asked.append((field, kind.value))
        return original(self, collection, field, kind, **more)

    monkeypatch.setattr(QdrantClient, "create_payload_index", listen)
    monkeypatch.setattr(client_warnings, "SEEN_MESSAGES", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EmbeddingIndex(DIM).close()
    assert asked == [("label", "integer"), ("source", "keyword"), ("encoder", "keyword")]


def test_shards_and_copies_are_passed_on(monkeypatch):
    asked = {}
    original = QdrantClient.create_collection

    def listen(self, collection, **arguments):
        asked.update(arguments)
        return original(self, collection, **arguments)

    monkeypatch.setattr(QdrantClient, "create_collection", listen)
    pieces = {"shard_number": 6, "replication_factor": 2, "write_consistency_factor": 2}
    EmbeddingIndex(DIM, **pieces).close()
    assert asked.items() >= pieces.items()


# Conditions


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, 12),
        ({"label": 1}, 4),
        ({"label": np.int64(1)}, 4),
        ({"label": [0, 2]}, 8),
        ({"label": np.array([0, 2])}, 8),
        ({"label": np.array(0)}, 4),
        ({"label": {0, 2}}, 8),
        ({"label": 7}, 0),
        ({"source": "image 3"}, 1),
        ({"source": ["image 3", "image 4", "no image"]}, 2),
        ({"label": [0, 1], "part": "pool"}, 4),
        ({"encoder": "first"}, 12),
        ({"nothing": "here"}, 0),
        (models.Filter(must=[models.FieldCondition(key="row", range=models.Range(gte=9))]), 3),
    ],
)
def test_count(stored, where, expected):
    assert stored.count(where) == expected
    assert len(stored) == 12


def test_unlabelled_points_can_be_counted(index):
    index.upsert(embeddings(3), labels=[-1, 4, -1])
    assert index.count({"label": -1}) == 2


@pytest.mark.parametrize("where", [{"label": 2}, {"label": [0, 2], "part": "test"}])
def test_query_under_a_condition_is_a_query_of_those_points(stored, where):
    rows = np.array([i for i in range(12) if labels(12)[i] in np.atleast_1d(where["label"])])
    if "part" in where:
        rows = rows[rows >= 6]
    found = stored.query(embeddings(3, seed=1), k=3, where=where)
    order = nearest_first(exact_scores(embeddings(3, seed=1), embeddings(12)[rows], "cosine"), "cosine")
    assert found.sources.tolist() == np.array(names(12))[rows[order[:, :3]]].tolist()


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        ({"where": {"label": 1}}, 8),
        ({"where": {"label": [0, 1], "part": "pool"}}, 8),
        ({"where": {"label": 7}}, 12),
        ({"ids": []}, 12),
        ({"ids": [str(uuid.UUID(int=0))]}, 12),
    ],
)
def test_delete(stored, selection, left):
    stored.delete(**selection)
    assert len(stored) == left
    if left < 12:
        assert stored.count(selection["where"]) == 0


def test_delete_by_ids_and_put_back(stored):
    ids = stored.upsert(embeddings(12), sources=names(12))
    stored.delete(ids=ids[:5])
    assert len(stored) == 7
    assert set(stored.query(embeddings(1), k=7).sources[0]) == set(names(12)[5:])
    stored.upsert(embeddings(12), sources=names(12))
    assert len(stored) == 12


# Bad input: one sentence, and nothing written; in memory only, as it is refused before it leaves


@pytest.fixture
def in_memory():
    """An index in memory with the twelve points of `stored`."""
    with EmbeddingIndex(DIM, encoder_id="first") as index:
        index.upsert(embeddings(12), labels=labels(12), sources=names(12), payloads=extras(12))
        yield index


def spoilt(value):
    """Four embeddings, the third with one number that should not be there."""
    spoilt = embeddings(4).astype(np.float64)
    spoilt[2, 1] = value
    return spoilt


def zero_row():
    return np.concatenate([embeddings(3), np.zeros((1, DIM), dtype=np.float32)])


BAD_EMBEDDINGS = {
    "one row": (
        embeddings(1)[0],
        r"shape \(8,\): pass floats of shape \(n, 8\).*a single one as embedding\[None\]",
    ),
    "wrong length": (np.ones((4, DIM + 1)), r"shape \(4, 9\): pass floats of shape \(n, 8\)"),
    "three axes": (np.ones((4, DIM, 1)), r"shape \(4, 8, 1\): pass floats of shape \(n, 8\)"),
    "none": (np.ones((0, DIM)), "at least one row"),
    "integers": (np.ones((4, DIM), dtype=int), "type int64 .*: pass floats"),
    "texts": (np.full((4, DIM), "a"), "pass floats"),
    "NaN": (spoilt(np.nan), "NaN or infinity, first in row 2"),
    "infinity": (spoilt(np.inf), "NaN or infinity, first in row 2"),
    "minus infinity": (spoilt(-np.inf), "NaN or infinity, first in row 2"),
    "too large for float32": (spoilt(1e300), "NaN or infinity, first in row 2"),
    "zeros": (zero_row(), "row 3 is all zeros and has no direction"),
}


@pytest.mark.parametrize(("bad", "message"), BAD_EMBEDDINGS.values(), ids=BAD_EMBEDDINGS)
def test_bad_embeddings_are_not_stored(in_memory, bad, message):
    with pytest.raises(ValueError, match=message):
        in_memory.upsert(bad)
    assert len(in_memory) == 12


@pytest.mark.parametrize(("bad", "message"), BAD_EMBEDDINGS.values(), ids=BAD_EMBEDDINGS)
def test_bad_embeddings_are_not_asked_for(in_memory, bad, message):
    with pytest.raises(ValueError, match=message):
        in_memory.query(bad, k=1)


BAD_COMPANY = {
    "too few labels": ({"labels": [1, 2]}, "4 embeddings but 2 labels"),
    "labels that are shares": ({"labels": [0.5, 2.0, 3.0, 4.0]}, "label in row 0 is 0.5"),
    "text labels": ({"labels": ["a", "b", "c", "d"]}, "label in row 0 is 'a'"),
    "bool labels": ({"labels": [True, False, True, False]}, "label in row 0 is True"),
    "huge labels": ({"labels": np.full(4, 2**63, dtype=np.uint64)}, "label in row 0 is 9223372036854775808"),
    "too few sources": ({"sources": ["a"]}, "sources does not fit the 4 embeddings"),
    "one text": ({"sources": "abcd"}, "sources does not fit the 4 embeddings"),
    "number as source": ({"sources": ["a", "b", "c", 4]}, "sources does not fit"),
    "empty source": ({"sources": ["a", "b", "", "d"]}, "sources does not fit"),
    "source twice": ({"sources": ["a", "b", "c", "b"]}, "'b' comes twice"),
    "too few payloads": ({"payloads": [{}]}, "payloads does not fit the 4 embeddings"),
    "no dictionary": ({"payloads": [{}, {}, {}, 4]}, "payloads does not fit"),
    "reserved key": ({"payloads": [{}, {}, {}, {"encoder": "x"}]}, "Payload 3 sets 'encoder'"),
    "NumPy in payload": ({"payloads": [{}, {}, {}, {"row": np.int64(1)}]}, "Payload 3 cannot be stored"),
    "NaN in payload": ({"payloads": [{}, {}, {}, {"score": float("nan")}]}, "Payload 3 cannot be stored"),
    "batch size": ({"batch_size": 0}, "batch_size is 0"),
}


@pytest.mark.parametrize(("bad", "message"), BAD_COMPANY.values(), ids=BAD_COMPANY)
def test_what_does_not_fit_the_embeddings_is_not_stored(in_memory, bad, message):
    with pytest.raises(ValueError, match=message):
        in_memory.upsert(embeddings(4, seed=1), **bad)
    assert len(in_memory) == 12


def test_zeros_are_a_place_under_euclid(home):
    with EmbeddingIndex(DIM, distance="euclid", **home) as index:
        index.upsert(zero_row(), sources=names(4))
        assert index.query(np.zeros((1, DIM)), k=1).sources.item() == "image 3"


@pytest.mark.parametrize(
    ("k", "where", "message"),
    [
        (0, None, "k is 0: choose a whole number of at least 1"),
        (-1, None, "k is -1"),
        (1.5, None, "k is 1.5"),
        (13, None, "13 neighbours are asked for, but the collection .* holds 12 points"),
        (5, {"label": 1}, "5 neighbours are asked for, but .* 4 points that meet the condition"),
        (1, {"label": 7}, "1 neighbours are asked for, but .* 0 points that meet the condition"),
    ],
)
def test_a_k_that_cannot_be_met(in_memory, k, where, message):
    with pytest.raises(ValueError, match=message):
        in_memory.query(embeddings(1), k=k, where=where)


def test_an_empty_index_has_no_neighbours(index):
    with pytest.raises(ValueError, match="holds 0 points: ask for fewer, or add points first"):
        index.query(embeddings(1), k=1)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, "where is {}: pass a dictionary"),
        (3, "where is 3: pass a dictionary"),
        (models.Filter(), "The filter is empty"),
        ({"label": None}, "where.'label'. is None"),
        ({"label": 1.0}, "where.'label'. is 1.0: name .* and pass whole numbers"),
        ({"label": []}, "pass whole numbers"),
        ({"label": [1, "a"]}, "pass whole numbers"),
        ({"label": [True, False]}, "or one bool"),
    ],
)
def test_conditions_that_mean_nothing(in_memory, where, message):
    for call in (
        in_memory.count,
        lambda where: in_memory.query(embeddings(1), k=1, where=where),
        lambda where: in_memory.delete(where=where),
    ):
        with pytest.raises(ValueError, match=message):
            call(where)
    assert len(in_memory) == 12


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({}, "Say what to delete"),
        ({"ids": [], "where": {"label": 1}}, "Say what to delete"),
        ({"ids": ["image 3"]}, "'image 3'. are not all ids"),
        ({"ids": [7]}, "7. are not all ids"),
    ],
)
def test_a_delete_that_is_not_clear_deletes_nothing(in_memory, selection, message):
    with pytest.raises(ValueError, match=message):
        in_memory.delete(**selection)
    assert len(in_memory) == 12


@pytest.mark.parametrize("home", ["server"], indirect=True)
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda index: index.upsert(spoilt(np.nan)), "NaN or infinity"),
        (lambda index: index.query(spoilt(np.nan), k=1), "NaN or infinity"),
        (lambda index: index.upsert(embeddings(4), sources=["a"]), "sources does not fit"),
        (lambda index: index.query(embeddings(1), k=5, where={"label": 1}), "holds 4 points that meet"),
        (lambda index: index.count({"label": 1.0}), "pass whole numbers"),
        (lambda index: index.delete(ids=["image 3"]), "are not all ids"),
    ],
)
def test_bad_input_is_refused_on_a_server_too(stored, call, message):
    with pytest.raises(ValueError, match=message):
        call(stored)
    assert len(stored) == 12


# Opening


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim is 0"),
        ({"dim": 2.5}, "dim is 2.5"),
        ({"dim": 3, "distance": "manhattan"}, "distance is 'manhattan'"),
        ({"dim": 3, "path": "folder", "url": NOWHERE}, "Both path and url"),
        ({"dim": 3, "collection": "a/b"}, "Collection name cannot be"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingIndex(**arguments)


keeps = pytest.mark.parametrize("home", ["path", "server"], indirect=True)


@keeps
def test_points_are_there_after_reopening(home):
    with EmbeddingIndex(DIM, **home) as index:
        ids = index.upsert(embeddings(12), labels=labels(12), sources=names(12), payloads=extras(12))
        before = index.query(embeddings(5), k=4)
    with EmbeddingIndex(DIM, **home) as index:
        assert len(index) == 12
        after = index.query(embeddings(5), k=4)
        assert index.upsert(embeddings(12), sources=names(12)) == ids
        assert len(index) == 12
    assert after.ids.tolist() == before.ids.tolist()
    assert after.labels.tolist() == before.labels.tolist()
    np.testing.assert_allclose(after.scores, before.scores, atol=1e-6)


@keeps
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"encoder_id": "second"},
            "of encoder 'first', not of 'second', and two encoders must not mix: use another collection name",
        ),
        (
            {"dim": DIM + 1},
            "of length 8, not of 9, and two lengths must not mix: use another collection name",
        ),
        ({"distance": "euclid"}, "of distance 'cosine', not of 'euclid', and two distances must not mix"),
        ({"replace": True}, "was not made to be replaced: choose another collection name"),
    ],
)
def test_what_must_not_mix_is_refused(home, other, message):
    right = {"dim": DIM, "encoder_id": "first"} | home
    with EmbeddingIndex(**right) as index:
        index.upsert(embeddings(3))
    with pytest.raises(ValueError, match=message):
        EmbeddingIndex(**right | other)
    with EmbeddingIndex(**right) as index:  # and the refusal let go of the folder
        assert len(index) == 3


@keeps
def test_another_encoder_gets_another_collection(home):
    with EmbeddingIndex(DIM, encoder_id="first", **home) as index:
        index.upsert(embeddings(3))
    other = home | {"collection": f"{home.get('collection', 'images')}_second"}
    with EmbeddingIndex(DIM, encoder_id="second", **other) as index:
        assert len(index) == 0
        index.client.delete_collection(index.collection)
    with EmbeddingIndex(DIM, encoder_id="first", **home) as index:
        assert len(index) == 3


@keeps
def test_a_collection_made_to_be_replaced_is_emptied(home):
    with EmbeddingIndex(DIM, encoder_id="first", replace=True, **home) as index:
        index.upsert(embeddings(3))
    with EmbeddingIndex(DIM + 1, encoder_id="second", replace=True, **home) as index:
        assert len(index) == 0


@pytest.mark.parametrize(
    ("vectors", "metadata", "message"),
    [
        (
            models.VectorParams(size=DIM, distance="Cosine"),
            None,
            "cosine vectors of encoder None: choose one of a known encoder",
        ),
        (
            {"a": models.VectorParams(size=DIM, distance="Cosine")},
            {"encoder": "unknown"},
            "holds named vectors of",
        ),
    ],
)
def test_a_collection_of_another_make_is_refused(tmp_path, vectors, metadata, message):
    client = QdrantClient(path=str(tmp_path))
    client.create_collection("images", vectors_config=vectors, metadata=metadata)
    client.close()
    with pytest.raises(ValueError, match=message):
        EmbeddingIndex(DIM, path=tmp_path)


def test_a_folder_serves_one_client_at_a_time(tmp_path):
    with EmbeddingIndex(DIM, path=tmp_path) as first:
        with pytest.raises(RuntimeError, match=r"is open in another client: close that one first"):
            EmbeddingIndex(DIM, path=tmp_path)
        assert len(first) == 0
    EmbeddingIndex(DIM, path=tmp_path).close()


def test_closing_twice_is_fine_and_a_closed_index_says_so(index):
    index.close()
    index.close()
    for call in (
        index.count,
        lambda: index.query(embeddings(1), k=1),
        lambda: index.upsert(embeddings(1)),
        lambda: index.delete(where={"label": 1}),
        index.neighbour_graph,
    ):
        with pytest.raises(RuntimeError, match=r"The collection '.*' is closed here: open it again"):
            call()


def test_a_server_that_is_not_there():
    with pytest.raises(ConnectionError, match=rf"No Qdrant server answers at {NOWHERE}: start one"):
        EmbeddingIndex(DIM, url=NOWHERE)


def test_the_environment_names_the_server_unless_a_path_does(tmp_path, monkeypatch):
    monkeypatch.setenv("QDRANT_URL", NOWHERE)
    with pytest.raises(ConnectionError, match=NOWHERE):
        EmbeddingIndex(DIM)
    for path in (tmp_path, ":memory:"):
        with EmbeddingIndex(DIM, path=path) as index:
            assert len(index) == 0


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "check the API key, which is wrong"), (403, "check the API key, which may"), (404, "server?")],
)
def test_a_server_that_refuses(monkeypatch, status, message):
    keys = []

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            keys.append(self.headers.get("api-key"))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("localhost", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("QDRANT_URL", f"http://localhost:{server.server_port}")
        monkeypatch.setenv("QDRANT_API_KEY", "secret")
        with pytest.raises(ConnectionError, match=f"status {status}.*: .*{message}") as caught:
            EmbeddingIndex(DIM)
        server.shutdown()
    assert keys == ["secret"]
    assert "secret" not in str(caught.value)


def test_an_index_that_is_forgotten_lets_go_of_its_folder(tmp_path):
    index = EmbeddingIndex(DIM, path=tmp_path)
    assert index.storage.connection.close.atexit  # and so does one that lives until the program ends
    del index
    gc.collect()
    EmbeddingIndex(DIM, path=tmp_path).close()


# Many people, one server


@pytest.fixture
def shared_server(monkeypatch):
    """One store in memory that stands in for the server that everybody is connected to."""
    server = QdrantClient(":memory:")
    monkeypatch.setattr(server, "close", lambda: None)  # it outlives those who leave
    monkeypatch.setattr("metriclearn.index.connection.connect_to_server", lambda url, key: server)
    monkeypatch.setenv("QDRANT_URL", "http://shared:6333")
    yield server
    QdrantClient.close(server)


def fit_as(prefix, classes, monkeypatch):
    if prefix is not None:
        monkeypatch.setenv("METRICLEARN_PREFIX", prefix)
    return QdrantClassifier(1, collection="votes").fit(np.eye(3, dtype=np.float32), classes)


def test_without_prefixes_the_second_fit_takes_the_place_and_the_first_one_says_so(
    shared_server, monkeypatch
):
    ada = fit_as(None, ["a", "b", "c"], monkeypatch)
    bob = fit_as(None, ["c", "b", "a"], monkeypatch)  # the same corners, named the other way round
    assert bob.predict(np.eye(3)).tolist() == ["c", "b", "a"]
    for call in (
        lambda: ada.predict(np.eye(3)),
        lambda: ada.kneighbors(),
        lambda: ada.score(np.eye(3), ["a", "b", "c"]),
        lambda: ada.partial_fit(np.eye(3), ["a", "b", "c"]),
        lambda: len(ada.index_),
    ):
        with pytest.raises(RuntimeError, match="'votes' that was opened here is gone: another fit"):
            call()
    assert len(bob.index_) == 3
    ada.fit(np.eye(3), ["a", "b", "c"])
    assert ada.predict(np.eye(3)).tolist() == ["a", "b", "c"]
    with pytest.raises(RuntimeError, match="is gone"):
        bob.predict(np.eye(3))


def test_an_index_that_is_replaced_says_so(shared_server):
    first = EmbeddingIndex(DIM, replace=True)
    first.upsert(embeddings(3))
    onlooker = EmbeddingIndex(DIM)
    second = EmbeddingIndex(DIM, replace=True)
    second.upsert(embeddings(2, seed=1))
    for robbed in (first, onlooker):
        for call in (len, lambda index: index.query(embeddings(1), k=1), lambda i: i.upsert(embeddings(1))):
            with pytest.raises(RuntimeError, match="'images' that was opened here is gone"):
                call(robbed)
    assert len(second) == 2
    assert len(shared_server.get_collections().collections) == 1


def test_prefixes_keep_people_apart(shared_server, monkeypatch):
    ada = fit_as("ada", ["a", "b", "c"], monkeypatch)
    bob = fit_as("bob.2-x", ["c", "b", "a"], monkeypatch)
    assert ada.index_.collection == "ada_votes"
    assert ada.predict(np.eye(3)).tolist() == ["a", "b", "c"]
    assert bob.predict(np.eye(3)).tolist() == ["c", "b", "a"]
    names = {collection.name.split("__")[0] for collection in shared_server.get_collections().collections}
    assert names == {"ada_votes", "bob.2-x_votes"}
    assert {alias.alias_name for alias in shared_server.get_aliases().aliases} == names


def test_one_finds_ones_own_collection_again(shared_server, monkeypatch):
    monkeypatch.setenv("METRICLEARN_PREFIX", "ada")
    EmbeddingIndex(DIM).upsert(embeddings(3))
    assert shared_server.count("ada_images").count == 3
    again = EmbeddingIndex(DIM)
    assert len(again) == 3


def test_a_store_of_ones_own_needs_no_prefix(tmp_path, monkeypatch):
    monkeypatch.setenv("METRICLEARN_PREFIX", "ada")
    for path in (None, ":memory:", tmp_path):
        with EmbeddingIndex(DIM, path=path) as index:
            assert index.collection == "images"


@pytest.mark.parametrize("prefix", ["a/b", "a b", "a:", "é", "a\n", "a_b"])
def test_a_prefix_that_no_collection_may_have(shared_server, monkeypatch, prefix):
    monkeypatch.setenv("METRICLEARN_PREFIX", prefix)
    with pytest.raises(ValueError, match=r"METRICLEARN_PREFIX is .*: use letters"):
        EmbeddingIndex(DIM)
    assert shared_server.get_collections().collections == []
