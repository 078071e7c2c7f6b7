"""Uploads that meet trouble: lost connections, a busy server, a process that is killed half way."""

import os
import signal
import time

import numpy as np
import pytest
from qdrant_client import QdrantClient
from stand_in import stand_in

from metriclearn import EmbeddingIndex, QdrantClassifier
from metriclearn.index import connection

DIM, N = 8, 300
POINTS = np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)
NAMES = [f"image {i}" for i in range(N)]
LABELS = (np.arange(N) % 5).tolist()
ROWS = [{"row": i} for i in range(N)]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(connection, "PAUSES", (0.01,) * 5)
    with stand_in() as server:
        yield server


def upload(index):
    return index.upsert(POINTS, LABELS, NAMES, ROWS, batch_size=20)


def content(index):
    return {record.id: (record.payload, record.vector) for record in index.storage.records(vectors=True)}


def near(points):
    """The same, with vectors that equal what is near: a server sends the shortest decimals of its own."""
    return {point: (payload, pytest.approx(vector, abs=1e-5)) for point, (payload, vector) in points.items()}


@pytest.fixture(scope="module")
def wanted():
    """The points of an upload without trouble."""
    with EmbeddingIndex(DIM, path=":memory:") as index:
        upload(index)
        return near(content(index))


@pytest.mark.parametrize("trouble", ["refuse", "lose", "429", "502", "503", "504"])
def test_what_is_lost_on_the_way_is_sent_again(server, wanted, trouble):
    server.trouble = lambda number, method, path: trouble if number % 3 == 2 else None
    with EmbeddingIndex(DIM, url=server.url, payload_indexes={"row": "integer"}, versioned=True) as index:
        ids = upload(index)
        found = index.query(POINTS[:30], k=1).sources[:, 0].tolist()
        index.delete(ids=ids[:1])
        assert content(index) == {point: entry for point, entry in wanted.items() if point != ids[0]}
    assert found == NAMES[:30]
    assert len(server.requests) > N // 20


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_a_fit_survives_that_its_answers_are_lost(server, method):
    """Each first answer to such a request is lost, though what it asked for was done."""
    heard = set()

    def trouble(number, now, path):
        lost = now == method and path not in heard
        heard.add(path)
        return "lose" if lost else None

    server.trouble = trouble
    for classes in (["a", "b", "c"], ["d", "e", "f"]):
        with QdrantClassifier(1, url=server.url).fit(np.eye(3), classes) as classifier:
            classifier.partial_fit(-np.eye(3), classes)
            assert classifier.predict(np.eye(3)).tolist() == classes
            assert len(classifier.index_) == 6
    assert len(server.store.get_collections().collections) == 1


def test_a_busy_server_says_how_long_to_wait(server, monkeypatch):
    slept = []
    monkeypatch.setattr(connection, "PAUSES", (0.25, 0.5, 1, 2, 4))
    monkeypatch.setattr(connection.time, "sleep", slept.append)
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    with EmbeddingIndex(DIM, url=server.url) as index:
        before = len(server.requests)
        server.trouble = lambda number, method, path: "429"
        with pytest.raises(ConnectionError, match=rf"^{server.url} is busy \(as the test .*: send less at a"):
            len(index)
        assert len(server.requests) - before == 6
        assert slept == [0.25, 0.5, 1, 2, 4]
        answer = connection.httpx.Response(429, headers={"Retry-After": "7"})
        connection._retry(connection.httpx.Request("GET", server.url), lambda request: answer)
        assert slept[5:] == [7, 7, 7, 7, 7]
        answer = connection.httpx.Response(503, headers={"Retry-After": "86400"})
        connection._retry(connection.httpx.Request("GET", server.url), lambda request: answer)
        assert slept[10:] == [30] * 5


def test_a_server_that_stays_away_is_told_after_a_few_tries(server):
    with EmbeddingIndex(DIM, url=server.url) as index:
        before = len(server.requests)
        server.trouble = lambda number, method, path: "refuse"
        with pytest.raises(ConnectionError, match=r"did not answer .* or the connection broke \(Remote"):
            upload(index)
        assert len(server.requests) - before == 6


@pytest.mark.parametrize(
    ("trouble", "message"), [("400", "status 400"), ("500", "500"), ("late", "ReadTimeout")]
)
def test_what_another_try_would_not_mend_is_not_tried_again(server, monkeypatch, trouble, message):
    monkeypatch.setattr(connection, "TIMEOUT", 1)
    with EmbeddingIndex(DIM, url=server.url) as index:
        before = len(server.requests)
        server.trouble = lambda number, method, path: trouble
        with pytest.raises(ConnectionError, match=message):
            len(index)
        assert len(server.requests) - before == 1


def test_a_wrong_key_is_told_at_once(server, monkeypatch):
    server.key = "right"
    with pytest.raises(ConnectionError, match="status 401: check the API key"):
        EmbeddingIndex(DIM, url=server.url, api_key="wrong")
    assert len(server.requests) == 1
    monkeypatch.setenv("QDRANT_API_KEY", "right")
    with EmbeddingIndex(DIM, url=server.url) as index:
        upload(index)
        server.key = "changed"
        with pytest.raises(ConnectionError, match="status 401: check the API key"):
            len(index)


def test_indexes_that_a_killed_program_did_not_make_are_made_when_it_is_opened(server):
    with EmbeddingIndex(DIM, url=server.url) as index:
        upload(index)
    made, server.indexed["images"] = server.indexed["images"], {}
    for _ in range(2):
        EmbeddingIndex(DIM, url=server.url, payload_indexes={"row": "integer"}).close()
        assert set(server.indexed["images"]) == {*made, "row"}
    asked = len(server.requests)
    EmbeddingIndex(DIM, url=server.url, payload_indexes={"row": "integer"}).close()
    assert {method for method, _, _ in server.requests[asked:]} == {
        "GET"
    }  # as a key wants that may only read


def test_every_write_is_waited_for_and_indexes_come_before_points(server):
    with EmbeddingIndex(DIM, url=server.url, payload_indexes={"row": "integer"}) as index:
        upload(index)
        index.delete(where={"label": 1})
    with QdrantClassifier(1, url=server.url, collection="votes") as classifier:
        classifier.fit(np.eye(3), [0, 1, 2]).partial_fit(-np.eye(3), [0, 1, 2])
    kinds = ("points", "delete", "index")
    asked = [(method, path) for method, path, _ in server.requests]
    assert all(path.endswith(kinds) for method, path in asked if method == "PUT" and path.count("/") > 2)
    writes = [
        (path.split("/"), query)
        for method, path, query in server.requests
        if path.endswith(kinds) and (method, path[-7:]) != ("POST", "/points")
    ]
    assert {query for _, query in writes} == {"wait=true", "wait=true&ordering=strong"}
    for name, indexes in (("images", 4), ("votes", 3)):
        own = [parts[-1] for parts, _ in writes if parts[2].startswith(name)]
        assert own[:indexes] == ["index"] * indexes
        assert set(own[indexes:]) == {"points"} | ({"delete"} if name == "images" else set())


def test_no_request_is_longer_than_a_server_takes(server):
    longest, limit = 65536, 32 * 2**20  # of an embedding, and in bytes of a request, by Qdrant's own rules
    points = np.random.default_rng(0).normal(size=(16, longest)).astype(np.float32)
    with EmbeddingIndex(longest, url=server.url) as index:
        index.upsert(points, sources=NAMES[:16])
        assert index.query(points[:1], k=1).sources.item() == NAMES[0]
    assert limit / 10 < max(server.lengths) < limit


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("row", "payload_indexes is 'row': pass a dictionary"),
        ({"row": "number"}, r"payload_indexes\['row'\] is 'number': choose \"keyword\""),
        ({"label": "integer"}, "payload_indexes is .*label.*, which the index sets itself"),
        ({3: "integer"}, "A key of payload_indexes is 3: pass a text"),
        ({"row": None}, r"payload_indexes\['row'\] is None"),
    ],
)
def test_payload_indexes_that_are_none(given, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingIndex(DIM, payload_indexes=given)


def test_a_bar_is_shown_to_those_who_look_on_and_to_nobody_else(capfd, monkeypatch):
    with EmbeddingIndex(DIM, path=":memory:") as index:
        upload(index)
        assert capfd.readouterr() == ("", "")
        monkeypatch.setattr("metriclearn.index.collection.SHOWN_AFTER", 0)
        upload(index)
        assert capfd.readouterr() == ("", "")  # this is no terminal
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        upload(index)
        assert "images: 100%" in capfd.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("home", ["folder", "http", "server"])
def test_an_upload_that_was_killed_is_made_again(home, request, tmp_path, wanted):
    if home == "http":
        where = {"url": request.getfixturevalue("server").url}
    else:
        where = {"path": tmp_path} if home == "folder" else request.getfixturevalue("qdrant_server")
    read, write = os.pipe()
    if not (child := os.fork()):  # pragma: no cover
        original = QdrantClient.upsert

        def slowly(self, *arguments, **more):
            original(self, *arguments, **more)
            os.write(write, b".")
            time.sleep(0.1)

        QdrantClient.upsert = slowly
        upload(EmbeddingIndex(DIM, **where))
        os._exit(0)
    for _ in range(3):
        os.read(read, 1)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    with EmbeddingIndex(DIM, **where) as index:
        assert 3 * 20 <= len(index) < N
        assert set(content(index)) < set(wanted)
        upload(index)
        assert content(index) == wanted
