"""A classifier and its collection: opened again, added to, refitted, robbed, and failed half way."""

import copy
import itertools
import os
import pickle
import shutil
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from qdrant_client import QdrantClient, models
from sklearn.exceptions import NotFittedError
from stand_in import stand_in

from metriclearn import EmbeddingIndex, QdrantClassifier
from metriclearn.index import names
from metriclearn.index.examples import classifier_points

SERVER = "http://shared:6333"


@pytest.fixture
def server(monkeypatch):
    """One store in memory that stands in for a server."""
    server = QdrantClient(":memory:")
    monkeypatch.setattr(server, "close", lambda: None)
    monkeypatch.setattr("metriclearn.index.connection.connect_to_server", lambda url, key: server)
    yield server
    QdrantClient.close(server)


@pytest.fixture(params=["folder", "server"])
def home(request, tmp_path):
    if request.param == "folder":
        return {"path": str(tmp_path / "kept")}
    request.getfixturevalue("server")
    return {"url": SERVER}


def points(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


DEFAULTS = {"n_neighbors": 4, "path": None, "url": None, "replication_factor": None}
CLASSES = {
    "ints": [7, 3, 2**40],
    "bools": [True, False, True],
    "texts": ["owl", "cat", "a dog, wet: \u00e9"],
}


@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("distance", ["cosine", "euclid"])
def test_a_classifier_is_opened_again(home, classes, distance):
    X, y = points(30), np.array(classes * 10)
    settings = {"temperature": 0.3, "distance": distance, "encoder_id": "first", "collection": "votes"}
    with QdrantClassifier(np.int64(4), **settings, **home).fit(X[:24], y[:24]) as classifier:
        classifier.partial_fit(X[24:], y[24:])
        wanted = classifier.predict_proba(points(9, 1)), classifier.kneighbors(), classifier.score(X, y)
    with QdrantClassifier.open(**home, collection="votes") as again:
        assert again.get_params() == DEFAULTS | settings | home
        assert again.classes_.tolist() == sorted(set(classes))
        assert again.classes_.dtype.kind == y.dtype.kind
        assert again.n_features_in_ == 6
        np.testing.assert_allclose(again.predict_proba(points(9, 1)), wanted[0], atol=1e-5)
        np.testing.assert_allclose(again.kneighbors()[0], wanted[1][0], atol=1e-5)
        assert again.kneighbors()[1].tolist() == wanted[1][1].tolist()
        assert again.score(X, y) == wanted[2]
        again.partial_fit(X[:3], y[:3])
        assert len(again.index_) == 33
        assert len(copy.deepcopy(again).kneighbors()[0]) == 33
    with QdrantClassifier.open(**home, collection="votes") as third:
        assert len(third.index_) == 33


def test_what_was_announced_and_what_had_no_label_is_known_after_opening(home):
    table = pd.DataFrame(points(4), columns=list("abcdef"))
    with QdrantClassifier(1, **home).partial_fit(table, [2, 1, -1, -1], classes=[9]) as classifier:
        assert classifier.feature_names_in_.tolist() == list("abcdef")
    with QdrantClassifier.open(**home) as again:
        assert again.classes_.tolist() == [1, 2, 9]
        assert again.feature_names_in_.tolist() == list("abcdef")
        again.partial_fit(table[:1], [1])
        assert again.kneighbors(table[:1], 2)[1].max() == 4
        with pytest.raises(ValueError, match="feature names should match"):
            again.predict(table[list("fedcba")])


def test_partial_fit_of_a_new_object_adds(home):
    for session in range(3):
        fresh = QdrantClassifier(1, **home)
        with fresh.partial_fit(points(10, session), [session] * 10) as classifier:
            assert len(classifier.index_) == 10 * (session + 1)
            assert classifier.classes_.tolist() == list(range(session + 1))
            for earlier in range(session + 1):
                assert set(classifier.predict(points(10, earlier))) == {earlier}


@pytest.mark.parametrize(
    ("other", "X", "y", "message"),
    [
        (
            {"encoder_id": "second"},
            points(2),
            [0, 1],
            "of encoder 'first', not of 'second', and two encoders must not mix",
        ),
        ({"distance": "euclid"}, points(2), [0, 1], "of distance 'cosine', not of 'euclid'"),
        ({}, points(2)[:, :4], [0, 1], "of length 6, not of 4"),
        ({}, points(2), ["a", "b"], "use numbers for all or texts for all"),
        ({}, points(2), [0.5, 1.5], "Unknown label type"),
        ({}, points(2) * np.nan, [0, 1], "NaN"),
    ],
)
def test_what_does_not_fit_the_stored_classifier_is_not_added(home, other, X, y, message):
    with QdrantClassifier(1, encoder_id="first", **home).fit(points(3), [0, 1, 2]):
        pass
    with pytest.raises(ValueError, match=message):
        QdrantClassifier(**{"encoder_id": "first"} | other, **home).partial_fit(X, y)
    with QdrantClassifier.open(**home) as again:
        assert len(again.index_) == 3


def test_parameters_changed_after_fit_do_not_change_what_is_stored():
    with QdrantClassifier(1, path=":memory:").fit(points(6), range(6)) as classifier:
        before = classifier.predict_proba(points(4, 1))
        classifier.set_params(distance="euclid")
        np.testing.assert_allclose(classifier.predict_proba(points(4, 1)), before)
        with pytest.raises(ValueError, match="of distance 'cosine', not of 'euclid'"):
            classifier.partial_fit(points(6), range(6))


def test_an_object_that_is_not_fitted_names_the_way(home):
    with QdrantClassifier(1, **home).fit(points(3), [0, 1, 2]):
        pass
    for call in (QdrantClassifier(**home).predict, QdrantClassifier(**home).kneighbors):
        with pytest.raises(NotFittedError, match=r"call fit first, or QdrantClassifier\.open"):
            call(points(3))


def test_nothing_to_open(tmp_path, server):
    empty = tmp_path / "empty"
    for where in ({}, {"path": ":memory:"}, {"path": empty}, {"url": SERVER}):
        with pytest.raises(ValueError, match="There is no classifier 'images' in"):
            QdrantClassifier.open(**where)
    assert not empty.exists()
    with EmbeddingIndex(6, path=tmp_path) as index:
        index.upsert(points(3))
    with pytest.raises(ValueError, match="holds no classifier that could be opened"):
        QdrantClassifier.open(tmp_path)
    with pytest.raises(ValueError, match="There is no classifier 'votes' in"):
        QdrantClassifier.open(tmp_path, collection="votes")
    EmbeddingIndex(6, path=tmp_path).close()  # the folder was let go of


def test_partial_fit_replaces_nothing_that_is_no_classifier(tmp_path):
    with EmbeddingIndex(6, path=tmp_path, replace=True) as index:
        index.upsert(points(3))
    with pytest.raises(ValueError, match="holds no classifier"):
        QdrantClassifier(path=tmp_path).partial_fit(points(3), [0, 1, 2])
    with EmbeddingIndex(6, path=tmp_path) as index:
        assert len(index) == 3


def test_a_prefix_goes_before_the_name_of_what_is_opened(server, monkeypatch):
    monkeypatch.setenv("METRICLEARN_PREFIX", "ada")
    QdrantClassifier(1, url=SERVER).fit(points(3), [0, 1, 2])
    assert QdrantClassifier.open(url=SERVER).index_.collection == "ada_images"
    assert QdrantClassifier(1, url=SERVER).partial_fit(points(3, 1), [3, 4, 5]).classes_.size == 6
    monkeypatch.setenv("METRICLEARN_PREFIX", "bob")
    with pytest.raises(ValueError, match="There is no classifier 'bob_images'"):
        QdrantClassifier.open(url=SERVER)


def test_two_programs_that_add_in_turn_lose_nothing(server):
    QdrantClassifier(1, url=SERVER).fit(points(3), ["a", "b", "c"])
    ada, bob = QdrantClassifier.open(url=SERVER), QdrantClassifier.open(url=SERVER)
    ada.partial_fit(points(2, 1), ["owl", "owl"])
    assert bob.predict(points(2, 1)).tolist() == ["owl", "owl"]  # of a class that it had never heard of
    bob.partial_fit(points(2, 2), ["fox", "fox"])
    assert ada.predict(np.concatenate([points(2, 1), points(2, 2)])).tolist() == ["owl", "owl", "fox", "fox"]
    assert ada.classes_.tolist() == bob.classes_.tolist() == ["a", "b", "c", "fox", "owl"]
    assert len(ada.index_) == 7


def test_one_who_adds_without_having_looked_overwrites_nothing(server):
    QdrantClassifier(1, url=SERVER).fit(points(3), [0, 1, 2])
    ada, bob = QdrantClassifier.open(url=SERVER), QdrantClassifier.open(url=SERVER)
    ada.partial_fit(points(2, 1), [1, 1])
    bob.partial_fit(points(2, 2), [2, 2])
    assert len(bob.index_) == 7
    assert bob.kneighbors(np.concatenate([points(2, 1), points(2, 2)]), 1)[1].ravel().tolist() == [3, 4, 5, 6]


# Programs that do so at the same moment


def at_once(*works):
    """Run some works in threads that start together, and return what each gives or raises."""
    told, start = [None] * len(works), threading.Barrier(len(works))

    def run(i):
        start.wait()
        try:
            told[i] = works[i]()
        except Exception as error:
            told[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


@pytest.fixture
def http():
    with stand_in() as server:
        yield server


def test_programs_that_add_at_once_lose_nothing(http):
    QdrantClassifier(1, url=http.url).fit(points(3), ["a", "b", "c"])
    programs = [QdrantClassifier.open(url=http.url) for _ in range(3)]

    def add(i):
        for turn in range(3):
            programs[i].partial_fit(
                points(4, 9 + 10 * i + turn), [f"class {i}"] * 4, classes=[f"told {i} {turn}"]
            )

    assert at_once(*(lambda i=i: add(i) for i in range(3))) == [None] * 3
    with QdrantClassifier.open(url=http.url) as again:
        assert len(again.index_) == 3 + 3 * 3 * 4
        rows = again.kneighbors(n_neighbors=1)[1].ravel()
        assert len(rows) == len(again.index_)
        sources = [record.payload["source"] for record in again.index_.storage.records()]
        assert len(set(sources)) == len(sources)
        for i in range(3):
            for turn in range(3):
                assert set(again.predict(points(4, 9 + 10 * i + turn))) == {f"class {i}"}
                assert f"told {i} {turn}" in again.classes_.tolist()


def test_one_who_finds_his_row_numbers_taken_takes_others(http, monkeypatch):
    """The other adds between the look at what is there and the write."""
    QdrantClassifier(1, url=http.url).fit(points(3), ["a", "b", "c"])
    ada, bob = QdrantClassifier.open(url=http.url), QdrantClassifier.open(url=http.url)
    others = iter([lambda: bob.partial_fit(points(2, 2), ["bob", "bob"])])

    def meanwhile(number, method, path):
        if (method, path[-7:]) == ("PUT", "/points") and (other := next(others, None)):
            http.trouble = lambda number, method, path: None
            other()

    http.trouble = meanwhile
    ada.partial_fit(points(5, 1), ["ada"] * 5)
    for classifier in (ada, bob, QdrantClassifier.open(url=http.url)):
        assert classifier.predict(points(2, 2)).tolist() == ["bob", "bob"]
        assert classifier.predict(points(5, 1)).tolist() == ["ada"] * 5
        assert len(classifier.index_) == 10
    assert ada.kneighbors(points(2, 2), 1)[1].ravel().tolist() == [3, 4]
    assert len(set(ada.kneighbors(points(5, 1), 1)[1].ravel())) == 5


def test_one_who_never_finds_free_row_numbers_says_so(http, monkeypatch):
    monkeypatch.setattr("metriclearn.index.examples.time.sleep", lambda seconds: None)
    monkeypatch.setattr(
        "metriclearn.index.collection.Collection.retrieve",
        lambda self, ids: {i: models.Record(id=i, payload={"added_by": "another"}) for i in ids},
    )
    classifier = QdrantClassifier(1, url=http.url).fit(points(3), ["a", "b", "c"])
    with pytest.raises(RuntimeError, match="Other programs add to the collection 'images' all the time"):
        classifier.partial_fit(points(2, 1), ["d", "d"])


def of_model(n=12):
    return classifier_points(points(n), [f"class {i % 3}" for i in range(n)], encoder_id="first")


def test_programs_that_store_the_same_points_at_once_all_answer_right(http):
    X = points(12)
    wanted = [f"class {i % 3}" for i in range(12)]

    def classify():
        with QdrantClassifier.from_points(of_model(), url=http.url, collection="model") as classifier:
            classifier.set_params(n_neighbors=1)
            return [classifier.predict(X).tolist() for _ in range(5)]

    for answers in at_once(*[classify] * 4):
        assert answers == [wanted] * 5
    before = len(http.store.get_collections().collections)
    assert classify() == [wanted] * 5
    assert len(http.store.get_collections().collections) == before  # what is there is not stored again
    with QdrantClassifier.open(url=http.url, collection="model") as other:
        other.partial_fit(X[:1], ["class 1"])
    assert classify() == [wanted] * 5  # and what was added to is no longer the same


def test_what_killed_programs_left_on_a_server_is_deleted_after_a_day(http, monkeypatch):
    with QdrantClassifier(1, url=http.url).fit(points(3), [0, 1, 2]) as classifier:
        (live,) = classifier.index_.client.get_collections().collections
    monkeypatch.setattr("metriclearn.index.collection.Collection.take_name", lambda *_, **__: None)
    for name in ("images", "images__0123"):  # killed before the name was switched
        QdrantClassifier(1, url=http.url, collection=name).fit(points(3), [0, 1, 2]).close()
    monkeypatch.undo()
    with EmbeddingIndex(6, url=http.url, collection="images__0123456789ab") as index:
        index.upsert(points(3))
    left = {entry.name for entry in http.store.get_collections().collections} - {live.name}
    QdrantClassifier(1, url=http.url).fit(points(3), [0, 1, 2]).close()
    assert left <= {entry.name for entry in http.store.get_collections().collections}
    later = time.time() + names.LONGEST_FILL + 9
    monkeypatch.setattr(names.time, "time", lambda: later)
    QdrantClassifier(1, url=http.url).fit(points(3), [0, 1, 2]).close()
    there = {entry.name for entry in http.store.get_collections().collections}
    assert sorted(name.count("__") for name in left - there) == [1]
    assert "images__0123456789ab" in there


def test_copies_are_kept_as_asked_for(http):
    QdrantClassifier(1, url=http.url, replication_factor=2).fit(points(3), [0, 1, 2]).close()
    EmbeddingIndex(6, url=http.url, collection="other").close()
    factors = {name[:5]: made.get("replication_factor") for name, made in http.created.items()}
    assert factors == {"image": 2, "other": None}
    with pytest.raises(ValueError, match="replication_factor is 0"):
        QdrantClassifier(1, url=http.url, replication_factor=0).fit(points(3), [0, 1, 2])


def test_points_that_no_classifier_stored(server):
    QdrantClassifier(1, url=SERVER).fit(points(3), ["a", "b", "c"])
    EmbeddingIndex(6, url=SERVER).upsert(points(1, 5), sources=["a stranger"])
    with pytest.raises(ValueError, match="holds points that no classifier stored: delete them, or fit anew"):
        QdrantClassifier.open(url=SERVER)


# Fits that take the place of others


def test_a_cell_that_is_run_twice_says_nothing(home):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in (3, 5):
            with QdrantClassifier(1, **home).fit(points(n), range(n)) as classifier:
                assert len(classifier.index_) == n


def test_a_refit_leaves_one_collection_under_its_name(home):
    with QdrantClassifier(1, **home).fit(points(3), [0, 1, 2]) as classifier:
        for n in (4, 5):
            classifier.fit(points(n), range(n))
        client = classifier.index_.client
        (stored,) = client.get_collections().collections
        (alias,) = client.get_aliases().aliases
        assert (alias.alias_name, alias.collection_name) == ("images", stored.name)
        assert client.count("images").count == 5
    with EmbeddingIndex(6, **home) as index:  # and others find it there
        assert len(index) == 5
        assert index.count({"class": 4}) == 1


def test_collections_of_an_earlier_make_are_replaced(home):
    with EmbeddingIndex(6, **home) as index:  # as fit made them before: under the name itself
        index.client.update_collection("images", metadata={"replaceable": True})
        index.upsert(points(2))
    with pytest.raises(ValueError, match=r"holds no classifier that could be opened.*fit"):
        QdrantClassifier.open(**home)
    with QdrantClassifier(1, **home).fit(points(3), [0, 1, 2]) as classifier:
        assert len(classifier.index_) == 3


@pytest.fixture(params=["memory", "folder", "server"])
def fitted(request, tmp_path):
    where = {"memory": {"path": ":memory:"}, "folder": {"path": tmp_path}, "server": {"url": SERVER}}
    if request.param == "server":
        request.getfixturevalue("server")
    with QdrantClassifier(1, **where[request.param]).fit(points(3), [7, 8, 9]) as classifier:
        yield classifier


@pytest.mark.parametrize("step", ["create_collection", "upsert", "update_collection_aliases"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ConnectionError("lost")])
def test_a_refit_that_fails_half_way_leaves_the_earlier_one(fitted, monkeypatch, step, error):
    original = getattr(QdrantClient, step)

    def fail(self, *arguments, **more):
        if step == "upsert":  # a part has arrived
            original(self, arguments[0], [next(iter(arguments[1]))], **more)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(QdrantClient, step, fail)
        with pytest.raises(type(error)):
            fitted.fit(points(40, 1), range(40))
    assert fitted.classes_.tolist() == [7, 8, 9]
    assert fitted.predict(points(3)).tolist() == [7, 8, 9]
    fitted.partial_fit(points(2, 2), [10, 11])
    assert len(fitted.index_) == fitted.index_.client.count("images").count == 5
    if step != "update_collection_aliases":
        assert len(fitted.index_.client.get_collections().collections) == 1
    fitted.fit(points(4, 1), range(4))
    assert fitted.predict(points(4, 1)).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (points(3) * np.inf, [0, 1, 2]),
        (np.zeros((3, 6)), [0, 1, 2]),
        (points(3), [0.5, 1, 2]),
        (points(3), None),
        (points(3), [0, 1]),
        (pd.DataFrame(points(2), columns=[0, "a", 1, "b", 2, "c"]), [0, 1]),
    ],
)
def test_a_refit_with_bad_input_leaves_the_earlier_one(fitted, X, y):
    with pytest.raises(ValueError, match=r"."):
        fitted.fit(X, y)
    assert fitted.predict(points(3)).tolist() == [7, 8, 9]


def test_a_refit_elsewhere_that_fails_leaves_the_earlier_one(fitted, tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(ValueError, match="is no folder"):
        fitted.set_params(path=file, url=None).fit(points(4), range(4))
    assert fitted.predict(points(3)).tolist() == [7, 8, 9]
    moved = fitted.set_params(path=tmp_path / "another").fit(points(4), range(4))
    assert moved.predict(points(4)).tolist() == [0, 1, 2, 3]


def test_a_partial_fit_that_fails_half_way_adds_nothing(fitted, monkeypatch):
    original = QdrantClient.upsert

    def fail(self, collection, batch, **more):
        original(self, collection, list(batch)[:2], **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(QdrantClient, "upsert", fail)
        with pytest.raises(KeyboardInterrupt):
            fitted.partial_fit(points(5, 1), [1, 2, 3, 4, 5])
    assert len(fitted.index_) == 3
    assert fitted.predict(points(3)).tolist() == [7, 8, 9]
    fitted.partial_fit(points(2, 1), [1, 2])
    assert fitted.kneighbors(points(2, 1), 1)[1].ravel().tolist() == [3, 4]


def test_a_closed_classifier_says_so_and_can_be_fitted_again(fitted):
    fitted.close()
    for call in (fitted.predict, fitted.kneighbors, lambda X: fitted.partial_fit(X, [1, 2, 3])):
        with pytest.raises(RuntimeError, match="The collection 'images' is closed here: open it again"):
            call(points(3))
    assert pickle.loads(pickle.dumps(fitted)).predict(points(3)).tolist() == [7, 8, 9]
    assert fitted.fit(points(2), [1, 2]).predict(points(2)).tolist() == [1, 2]


def test_an_index_kept_from_before_the_refit_says_so(fitted):
    earlier = fitted.index_
    fitted.fit(points(4), range(4))
    with pytest.raises(RuntimeError, match="that was opened here is gone"):
        earlier.count()
    del earlier
    assert len(fitted.index_) == 4


# Programs that are killed

STEPS = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree", "sqlite3.connect")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def killed_at(step, work, folder):
    """Do some work in another process that is killed before it touches a folder for the n-th time."""
    child = os.fork()
    if child == 0:
        numbers = itertools.count()

        def count(event, arguments):
            of_folder = str(folder) in str(arguments) or event in ("os.remove", "os.rmdir")
            if event in STEPS and of_folder and next(numbers) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] != 0


def refit(folder, classes):
    X = points(3)
    with QdrantClassifier(1, path=folder).fit(X, classes) as classifier:
        (stored,) = classifier.index_.client.get_collections().collections
        assert classifier.predict(X).tolist() == classes
    assert [path.name for path in (folder / "collection").iterdir()] == [stored.name]


@forks
@pytest.mark.parametrize("before", ["nothing", "a classifier", "one that bears its name"])
def test_a_fit_that_is_killed_at_any_step_is_made_again(tmp_path, before):
    start, folder = tmp_path / "start", tmp_path / "folder"
    start.mkdir()
    if before == "a classifier":
        refit(start, [0, 1, 2])
    elif before == "one that bears its name":
        with EmbeddingIndex(6, path=start) as index:
            index.client.update_collection("images", metadata={"replaceable": True})
    for step in itertools.count():
        shutil.copytree(start, folder)
        killed = killed_at(step, lambda: refit(folder, [3, 4, 5]), folder)
        if before == "a classifier":
            with QdrantClassifier.open(folder) as classifier:
                assert classifier.predict(points(3)).tolist() in ([0, 1, 2], [3, 4, 5])
                assert len(classifier.index_.client.get_collections().collections) == 1
        refit(folder, [3, 4, 5])
        shutil.rmtree(folder)
        if not killed:
            break
    assert step > 10
