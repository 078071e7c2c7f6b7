"""Homes of a collection: what is wrong with an address, a folder or a name is said in one sentence."""

import copy
import gc
import os
import pickle
import shutil
import sqlite3
import threading
import warnings

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from stand_in import stand_in

from metriclearn import EmbeddingIndex, QdrantClassifier
from metriclearn.index import connection


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6333",
        "localhost",
        "ftp://localhost:6333",
        "http://",
        "http://localhost:port",
        "http://localhost:99999",
        "http://localhost:0",
        "http://local host:6333",
        "http://localhost:6333\n",
        " http://localhost:6333",
        "   ",
        6333,
        b"http://localhost",
    ],
)
def test_an_address_that_is_none(url, monkeypatch):
    for make in (
        lambda: EmbeddingIndex(3, url=url),
        lambda: QdrantClassifier(url=url).fit(np.eye(3), [0, 1, 2]),
        lambda: QdrantClassifier.open(url=url),
    ):
        with pytest.raises(ValueError, match=r"^url is .*: .*\.$"):
            make()
    if isinstance(url, str) and url.strip():
        monkeypatch.setenv("QDRANT_URL", url)
        with pytest.raises(ValueError, match=r"^url is "):
            EmbeddingIndex(3)


@pytest.mark.parametrize(
    "url",
    [
        "http://ada:secret@localhost:6333",
        "http://secret@localhost:6333",
        "ada:secret@localhost:6333",
        "http://ada:secret@local host",
        "http://ada:secret@localhost:port",
        "https://localhost:6333?api_key=secret",
        "https://localhost:6333/#secret",
        b"http://ada:secret@localhost",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_shown(url, monkeypatch):
    with pytest.raises(ValueError, match=r"^url is .*: .*\.$") as caught:
        EmbeddingIndex(3, url=url)
    assert "secret" not in str(caught.value)
    if isinstance(url, str):
        assert "QDRANT_API_KEY" in str(caught.value)
        monkeypatch.setenv("QDRANT_URL", url)
        with pytest.raises(ValueError, match=r"^url is ") as caught:
            QdrantClassifier().fit(np.eye(3), [0, 1, 2])
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["a\nb", "schlüssel\u2013"])
def test_a_key_that_no_request_can_carry(key):
    with pytest.raises(ConnectionError, match=r"^No .* http://localhost:9[ :]") as caught:
        EmbeddingIndex(3, url="http://localhost:9", api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(("host", "warned"), [("localhost", 0), ("127.0.0.1", 0), ("0.0.0.0", 1)])
def test_a_key_on_its_way_to_another_machine_is_warned_of(host, warned):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with pytest.raises(ConnectionError):
            EmbeddingIndex(3, url=f"http://{host}:9", api_key="secret")
    assert [str(warning.message) for warning in heard] == [
        "Api key is used with an insecure connection."
    ] * warned


@pytest.mark.parametrize("key", [3, b"secret", ""])
def test_a_key_that_is_no_text_is_not_shown(key):
    with pytest.raises(ValueError, match=r"^api_key is a \w+: pass a text") as caught:
        EmbeddingIndex(3, url="http://localhost:9", api_key=key)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": True}, "dim is True"),
        ({"dim": 70_000}, "dim is 70000: choose a whole number from 1 to 65536"),
        ({"dim": "3"}, "dim is '3'"),
        ({"encoder_id": 3}, "encoder_id is 3: pass a text"),
        ({"encoder_id": None}, "encoder_id is None: pass a text"),
        ({"collection": 3}, "collection is 3: pass a text"),
        ({"collection": ""}, "collection is '': pass a text"),
        ({"collection": "."}, "Collection name cannot be '.'"),
        ({"collection": "a" * 241}, "Collection name cannot be 'aaa"),
        ({"collection": "a?b"}, r"Collection name cannot be 'a\?b'"),
        ({"collection": "a\0b"}, "Collection name cannot be"),
        ({"replace": "no"}, "replace is 'no': choose True or False"),
        ({"replace": 1}, "replace is 1: choose True or False"),
        ({"shard_number": 0}, "shard_number is 0"),
        ({"shard_number": 1.5}, "shard_number is 1.5"),
        ({"replication_factor": "2"}, "replication_factor is '2'"),
        ({"distance": ["cosine"]}, "distance is"),
        ({"path": 3}, "'3' is no folder: pass the path of one"),
        ({"path": ""}, "'' is no folder: pass the path of one"),
    ],
)
def test_arguments_in_a_form_that_will_not_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingIndex(**{"dim": 3} | arguments)


def test_arguments_of_numpy_are_as_good(tmp_path):
    with EmbeddingIndex(
        np.int64(3),
        encoder_id=np.str_("first"),
        collection=np.str_("votes"),
        distance=np.str_("euclid"),
        path=np.str_(tmp_path),
        replace=np.False_,
        shard_number=np.int32(2),
    ) as index:
        index.upsert(np.eye(3))
    with EmbeddingIndex(3, encoder_id="first", collection="votes", distance="euclid", path=tmp_path) as again:
        assert len(again) == 3
        assert [type(v) for v in (index.dim, index.encoder_id, index.collection)] == [int, str, str]


# Folders


def test_the_home_folder_has_a_short_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with EmbeddingIndex(3, path="~/points") as index:
        index.upsert(np.eye(3))
    with EmbeddingIndex(3, path=tmp_path / "points") as again:
        assert len(again) == 3


def test_a_folder_that_cannot_be_used(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(ValueError, match="file' is no folder"):
        EmbeddingIndex(3, path=file)
    with pytest.raises(ValueError, match=r"The folder .*sub cannot be used \(.*\): choose one that you may"):
        EmbeddingIndex(3, path=file / "sub")

    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("qdrant_client.local.qdrant_local.QdrantLocal._load", refuse)
    with pytest.raises(ValueError, match=r"The folder .*locked cannot be used \(Permission denied\)"):
        EmbeddingIndex(3, path=tmp_path / "locked")


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "points"
    with EmbeddingIndex(3, path=folder) as index:
        index.upsert(np.random.default_rng(0).normal(size=(200, 3)), sources=[str(i) for i in range(200)])
    return folder


POINTS = "collection/images/storage.sqlite"


def cut(file, share):
    def change(folder):
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(len(content) * share)])

    return change


DAMAGE = {
    "table is garbage": lambda folder: (folder / "meta.json").write_bytes(b"garbage"),
    "table is binary": lambda folder: (folder / "meta.json").write_bytes(b"\xff\xfe\x00"),
    "table is a list": lambda folder: (folder / "meta.json").write_text("[1]"),
    "table names nothing": lambda folder: (folder / "meta.json").write_text("{}"),
    "table is cut": cut("meta.json", 0.5),
    "table is empty": cut("meta.json", 0),
    "table is gone": lambda folder: (folder / "meta.json").unlink(),
    "points are garbage": lambda folder: (folder / POINTS).write_bytes(b"garbage" * 1000),
    "points are cut": cut(POINTS, 0.6),
    "points are cut at the end": cut(POINTS, 0.99),
    "points are empty": cut(POINTS, 0),
    "points are gone": lambda folder: (folder / POINTS).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder_is_named_and_left_alone(good_folder, tmp_path, damage):
    folder = tmp_path / "points"
    shutil.copytree(good_folder, folder)
    damage(folder)
    for make in (
        lambda: EmbeddingIndex(3, path=folder),
        lambda: EmbeddingIndex(3, path=folder),  # the first attempt must not have put an empty part there
        lambda: QdrantClassifier(path=folder).fit(np.eye(3), [0, 1, 2]),
    ):
        with pytest.raises(ValueError, match=r"^The folder .*points is damaged \(\w+\): put back a copy"):
            make()


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    with EmbeddingIndex(3, path=tmp_path) as index:

        def fail(self, *_):
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr("qdrant_client.local.persistence.CollectionPersistence.persist", fail)
        with pytest.raises(OSError, match=r"^the folder .* cannot be read or written \(database or disk"):
            index.upsert(np.eye(3))


# Processes that are forked

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def told_by_child(work):
    """Run some work in a forked process, and return what it raises: its kind and its sentence."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
            told = ""
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


@pytest.fixture(params=["memory", "folder", "server"])
def place(request, tmp_path):
    if request.param == "server":
        with stand_in() as server:
            yield {"url": server.url}
    else:
        yield {"path": tmp_path if request.param == "folder" else ":memory:"}


@forks
def test_a_forked_process_is_told_to_open_its_own(place):
    with QdrantClassifier(1, **place).fit(np.eye(3), [0, 1, 2]) as classifier:
        index = classifier.index_
        for call in (
            lambda: classifier.predict(np.eye(3)),
            lambda: classifier.partial_fit(np.eye(3), [0, 1, 2]),
            index.count,
            lambda: index.upsert(np.eye(3)),
            lambda: index.delete(where={"label": 1}),
            lambda: index.client.get_collections(),
        ):
            told = "RuntimeError: The collection 'images' was opened in another process: open it again here."
            assert told_by_child(call) == told
        assert told_by_child(lambda: copy.deepcopy(classifier).predict(np.eye(3))) == ""
        assert classifier.predict(np.eye(3)).tolist() == [0, 1, 2]
        assert len(index) == 3


@forks
@pytest.mark.parametrize("way", ["close", "forget", "fit"])
def test_a_forked_process_does_not_give_the_lock_away(tmp_path, way):
    held = [QdrantClassifier(1, path=tmp_path).fit(np.eye(3), [0, 1, 2])]

    def leave():
        if way == "fit":
            with pytest.raises(RuntimeError, match="is open in another client"):
                held[0].fit(np.eye(3), [3, 4, 5])
        elif way == "close":
            held[0].close()
        held.clear()
        gc.collect()

    assert told_by_child(leave) == ""
    with pytest.raises(RuntimeError, match="is open in another client"):
        EmbeddingIndex(3, path=tmp_path)
    assert held[0].predict(np.eye(3)).tolist() == [0, 1, 2]
    held[0].close()


@forks
@pytest.mark.parametrize("call", [len, lambda index: index.close()])
def test_a_fork_while_a_thread_asks_does_not_hang(call):
    with EmbeddingIndex(3, path=":memory:") as index:
        inside, done = threading.Event(), threading.Event()

        def ask():
            with index.storage.using():
                inside.set()
                done.wait(20)

        thread = threading.Thread(target=ask)
        thread.start()
        inside.wait(20)
        told = told_by_child(lambda: call(index))
        done.set()
        thread.join()
    assert told.startswith("RuntimeError: The collection") or told == ""


# A server that fails later


def test_a_key_that_may_only_read(monkeypatch):
    with stand_in() as server:
        server.key, server.reader = "writer", "reader"
        EmbeddingIndex(3, url=server.url, api_key="writer").upsert(np.eye(3))
        with EmbeddingIndex(3, url=server.url, api_key="writer") as index:
            server.key, server.reader = "another", "writer"
            assert len(index) == 3
            with pytest.raises(
                ConnectionError, match=r"status 403 .*write access.*: .* a read-only one that"
            ):
                index.upsert(np.eye(3))
        with pytest.raises(ConnectionError, match="status 401: check the API key, which is wrong or missing"):
            EmbeddingIndex(3, url=server.url, api_key="wrong")


@pytest.mark.parametrize(
    "page", ["<html>Sign in</html>", "", "null", "[]", "{}", '"ready"', '{"result": null}']
)
def test_what_answers_is_no_qdrant_server(page):
    with stand_in() as server:
        with EmbeddingIndex(3, url=server.url) as index:
            server.trouble = lambda number, method, path: page or " "
            for call in (
                index.count,
                lambda: index.query(np.eye(3), k=1),
                lambda: index.upsert(np.eye(3)),
                lambda: index.delete(where={"label": 1}),
            ):
                with pytest.raises(
                    ConnectionError, match=f"^{server.url} answers with something else than Qdr"
                ):
                    call()
        with pytest.raises(ConnectionError, match=f"^{server.url} answers .*: is it a Qdrant server"):
            EmbeddingIndex(3, url=server.url)


@pytest.mark.parametrize("status", ["429", "502", "503", "504"])
def test_a_server_that_starts_anew_is_waited_for_from_the_first_request_on(status, monkeypatch):
    monkeypatch.setattr(connection, "PAUSES", (0.01,) * 5)
    with stand_in() as server:
        server.trouble = lambda number, method, path: status if number < 4 else None
        with EmbeddingIndex(3, url=server.url) as index:
            assert len(index) == 0
            server.trouble = lambda number, method, path: status
            with pytest.raises(ConnectionError, match=rf"^{server.url} is busy \(.*\): .*try again later\.$"):
                len(index)
        with pytest.raises(ConnectionError, match=rf"^{server.url} is busy"):
            EmbeddingIndex(3, url=server.url)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ResponseHandlingException(httpx.ReadTimeout("timed out")),
            r"did not answer within 30 .*ReadTimeout",
        ),
        (ResponseHandlingException(httpx.ConnectError("refused")), r"the connection broke \(ConnectError\)"),
        (
            UnexpectedResponse(401, "Unauthorized", b"", httpx.Headers()),
            "status 401: check the API key, which is wr",
        ),
        (
            UnexpectedResponse(403, "Forbidden", b"", httpx.Headers()),
            r"status 403 \(Forbidden\): .* a read-only one",
        ),
        (
            UnexpectedResponse(400, "Bad", b'{"status": {"error": "Wrong input"}}', httpx.Headers()),
            "status 400: Wrong input",
        ),
        (UnexpectedResponse(500, "Internal Server Error", b"oops", httpx.Headers()), "500: Internal Server"),
    ],
)
def test_a_server_that_fails_later(monkeypatch, error, message):
    server = QdrantClient(":memory:")
    monkeypatch.setattr("metriclearn.index.connection.connect_to_server", lambda url, key: server)
    with EmbeddingIndex(3, url="http://shared:6333") as index:
        index.upsert(np.eye(3))

        def fail(*_, **__):
            raise error

        for method in ("count", "query_batch_points", "upsert", "delete"):
            monkeypatch.setattr(server, method, fail)
        for call in (
            index.count,
            lambda: index.query(np.eye(3), k=1),
            lambda: index.upsert(np.eye(3)),
            lambda: index.delete(where={"label": 1}),
        ):
            with pytest.raises(ConnectionError, match=f"^http://shared:6333 .*{message}"):
                call()


def test_a_collection_that_somebody_deleted():
    with EmbeddingIndex(3, path=":memory:") as index:
        index.client.delete_collection(index.collection)
        for call in (index.count, lambda: index.upsert(np.eye(3)), lambda: index.query(np.eye(3), k=1)):
            with pytest.raises(RuntimeError, match="'images' that was opened here is gone"):
                call()


def test_an_index_is_not_copied():
    with EmbeddingIndex(3, path=":memory:") as index:
        for copied in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be copied or pickled: open its collection again"):
                copied(index)
