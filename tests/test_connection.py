"""Homes of a collection: what is wrong with an address, a folder or a name is said in one sentence."""

import copy
import pickle
import shutil
import sqlite3
import warnings

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from metriclearn import EmbeddingIndex, QdrantClassifier


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


# A server that fails later


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
