"""The search of an index: ids, ties, what it costs, and who is whose neighbour."""

import time
import tracemalloc
import warnings

import numpy as np
import pytest

from metriclearn import EmbeddingIndex

DIM = 4
POINTS = np.random.default_rng(0).normal(size=(6, DIM)).round(1).astype(np.float32)
POINTS[0] = [0.5, -0.25, 1, 0]
POINTS = POINTS.astype(np.float16).astype(np.float32)


def test_ids_of_plain_arrays_are_those_of_every_version_before():
    with EmbeddingIndex(2) as index:
        ids = index.upsert(np.array([[1, 0], [0.5, 2]], dtype=np.float32), labels=[3, -1])
        named = index.upsert(np.eye(2, dtype=np.float32), sources=["a", "b"])
    assert ids == ["92c39fe7-2aeb-5c37-ad29-4bc8d4a0c3d1", "936f8f35-8967-5af6-8909-a69dae58e82c"]
    assert named == ["ef564bb2-374c-5416-85e8-fe94ff42a45e", "aec1fdaa-b000-5c9d-a8a9-89834c174f96"]


def test_what_lies_too_far_out_has_no_distance():
    far = POINTS.copy()
    far[3, 1] = 2e16
    with EmbeddingIndex(DIM, distance="euclid") as index:
        for call in (index.upsert, lambda X: index.query(X, k=1)):
            with pytest.raises(ValueError, match="row 3 lies too far out for float32"):
                call(far)
        index.upsert(np.eye(DIM) * 1e16)
        assert np.isfinite(index.query(np.eye(DIM) * -1e16, k=4).scores).all()


# What it costs


def seconds_per_query(points):
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
