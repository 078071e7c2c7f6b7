"""Vectors with labels as files: written from arrays or a classifier, and opened as a classifier again."""

import copy
import hashlib
import json
import pickle

import numpy as np
import pandas as pd
import pytest

from metriclearn import EmbeddingIndex, QdrantClassifier
from metriclearn.files import json_bytes, read_json
from metriclearn.index.examples import classifier_points
from metriclearn.index.export import (
    POINTS_FILE,
    VECTORS_FILE,
    export_points,
    import_points,
    points_files,
    read_points,
    write_points,
)

DIM, N = 6, 30
VECTORS = np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)
QUERIES = np.random.default_rng(1).normal(size=(9, DIM)).astype(np.float32)
NAMES = [["owl", "cat", "a dog, wet: \u00e9", None][i % 4] for i in range(N)]
FILES = [{"file": f"{i}.png", "folder": "/pictures", "sha256": f"{i:064x}"} for i in range(N)]
KNOWN = np.array([name is not None for name in NAMES])


def labelled():
    return [name for name in NAMES if name is not None]


@pytest.fixture
def written(tmp_path):
    """A folder made from arrays."""
    points = classifier_points(
        VECTORS, NAMES, encoder_id="first", payloads=FILES, about={"threshold": 0.4, "card": {"a": [1]}}
    )
    write_points(points, tmp_path / "written")
    return tmp_path / "written"


@pytest.mark.parametrize("distance", ["cosine", "euclid"])
@pytest.mark.parametrize("classes", [["owl", "cat", "emu"], [7, 3, 2**40], [True, False, True]])
def test_an_exported_classifier_answers_as_before(tmp_path, classes, distance):
    y = np.array(classes)[np.arange(N) % 3]
    with QdrantClassifier(
        3, temperature=0.3, distance=distance, encoder_id="first", path=tmp_path / "store"
    ) as classifier:
        classifier.fit(VECTORS[:20], y[:20]).partial_fit(VECTORS[20:], y[20:])
        wanted = classifier.predict_proba(QUERIES), classifier.kneighbors(QUERIES)
        export_points(classifier.index_, tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {VECTORS_FILE, POINTS_FILE}
    with QdrantClassifier.open(tmp_path / "out") as again:
        assert (again.n_neighbors, again.temperature, again.distance) == (3, 0.3, distance)
        assert (again.encoder_id, again.path, again.n_features_in_) == ("first", ":memory:", DIM)
        assert again.classes_.tolist() == sorted(set(classes))
        np.testing.assert_allclose(again.predict_proba(QUERIES), wanted[0], atol=1e-6)
        np.testing.assert_allclose(again.kneighbors(QUERIES)[0], wanted[1][0], atol=1e-6)
        assert again.kneighbors(QUERIES)[1].tolist() == wanted[1][1].tolist()
        assert again.score(VECTORS, y) == classifier_score(tmp_path / "store", y)


def classifier_score(store, y):
    """A folder of Qdrant's local mode is opened as before."""
    with QdrantClassifier.open(store) as classifier:
        return classifier.score(VECTORS, y)


def test_what_is_added_to_an_opened_export_lives_in_memory_until_it_is_exported(tmp_path):
    table = pd.DataFrame(VECTORS, columns=list("abcdef"))
    y = np.array(["owl", "cat", "emu"])[np.arange(N) % 3]
    with QdrantClassifier(3, path=":memory:").fit(table[:20], y[:20]) as classifier:
        export_points(classifier.index_, tmp_path / "out")
        classifier.partial_fit(table[20:], y[20:], classes=["yak"])
        wanted = classifier.predict_proba(pd.DataFrame(QUERIES, columns=list("abcdef")))
    before = (tmp_path / "out" / POINTS_FILE).read_bytes()
    with QdrantClassifier.open(tmp_path / "out", collection="votes") as again:
        assert again.index_.collection == "votes"
        again.partial_fit(table[20:], y[20:], classes=["yak"])
        assert again.kneighbors(table[20:], 1)[1].ravel().tolist() == list(range(20, N))
        np.testing.assert_allclose(
            again.predict_proba(pd.DataFrame(QUERIES, columns=list("abcdef"))), wanted, atol=1e-6
        )
        assert (tmp_path / "out" / POINTS_FILE).read_bytes() == before
        for twin in (copy.deepcopy(again), pickle.loads(pickle.dumps(again))):
            export_points(twin.index_, tmp_path / "grown")
    with QdrantClassifier.open(tmp_path / "grown") as grown:
        assert grown.classes_.tolist() == ["cat", "emu", "owl", "yak"]
        assert grown.feature_names_in_.tolist() == list("abcdef")
        np.testing.assert_allclose(
            grown.predict_proba(pd.DataFrame(QUERIES, columns=list("abcdef"))), wanted, atol=1e-6
        )
    with QdrantClassifier.open(tmp_path / "out") as again:
        assert len(again.index_) == 20
        again.fit(VECTORS[:3], [0, 1, 2])  # in memory as well


def test_points_made_from_arrays_are_those_that_fit_stores(written):
    points = read_points(written)
    with QdrantClassifier(5, path=":memory:", encoder_id="first") as classifier:
        classifier.fit(VECTORS[KNOWN], labelled())
        stored = {record.id: record.payload for record in classifier.index_.storage.records()}
    rows = dict(zip(np.flatnonzero(KNOWN).tolist(), range(KNOWN.sum()), strict=True))
    with QdrantClassifier(5, path=":memory:", encoder_id="first") as numbered:
        everything = [name or "other" for name in NAMES]
        numbered.fit(VECTORS, everything)
        ids = {record.payload["source"]: record.id for record in numbered.index_.storage.records()}
    assert points.ids == [ids[str(i)] for i in range(N)]
    labels = {payload["class"]: payload["label"] for payload in stored.values()}
    for i, payload in enumerate(points.payloads):
        wanted = {"label": labels.get(NAMES[i], -1), "encoder": "first", "source": str(i)} | FILES[i]
        assert payload == wanted | ({"class": NAMES[i]} if i in rows else {})
    assert points.about["threshold"] == 0.4
    assert points.about["card"] == {"a": [1]}


def test_unlabelled_rows_are_left_out_as_examples_and_further_entries_survive(written, tmp_path):
    with (
        QdrantClassifier.open(written) as opened,
        QdrantClassifier(5, path=":memory:").fit(VECTORS[KNOWN], labelled()) as rival,
    ):
        assert len(opened.index_) == KNOWN.sum()
        np.testing.assert_allclose(opened.predict_proba(QUERIES), rival.predict_proba(QUERIES), atol=1e-6)
        rows = np.flatnonzero(KNOWN)
        assert opened.kneighbors(VECTORS[KNOWN], 1)[1].ravel().tolist() == rows.tolist()
        opened.partial_fit(QUERIES[:1], ["owl"])
        assert opened.kneighbors(QUERIES[:1], 1)[1].item() == N  # numbered on after the unlabelled ones
        again = export_points(opened.index_, tmp_path / "again")
    assert again.about["card"] == {"a": [1]}
    assert {p["source"]: p.get("sha256") for p in again.payloads} == {
        str(i): FILES[i]["sha256"] for i in rows
    } | {str(N): None}


def test_a_folder_made_from_arrays_becomes_a_collection(written, tmp_path):
    import_points(written, path=tmp_path / "store", replace=True).close()
    with EmbeddingIndex(DIM, encoder_id="first", path=tmp_path / "store") as index:
        assert len(index) == N
        assert index.count({"file": "3.png"}) == 1


def test_a_folder_is_written_along_with_other_files(written):
    assert points_files(read_points(written)) == {
        name: (written / name).read_bytes() for name in (VECTORS_FILE, POINTS_FILE)
    }


# What does not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": VECTORS * 0}, "all zeros"),
        ({"n_neighbors": 0}, "n_neighbors is 0"),
        ({"temperature": 0}, "temperature is 0"),
        ({"classes": ["ab"[i % 2] for i in range(N - 1)] + [""]}, "names no class"),
        ({"payloads": [{"label": 3}] * N}, "that no classifier stored"),
    ],
)
def test_points_that_no_classifier_could_use(change, message):
    with pytest.raises(ValueError, match=message):
        QdrantClassifier.from_points(
            classifier_points(**{"vectors": VECTORS, "classes": NAMES, "encoder_id": "first"} | change)
        )


def edited(change):
    def damage(folder):
        content = read_json(folder / POINTS_FILE, "")
        change(content)
        (folder / POINTS_FILE).write_bytes(json_bytes(content))

    return damage


def noted(**changes):
    return edited(lambda content: content["about"]["classifier"].update(changes))


def every(**changes):
    return edited(lambda content: [payload.update(changes) for payload in content["payloads"][:1]])


DAMAGE = {
    "no JSON": (lambda folder: (folder / POINTS_FILE).write_bytes(b"\xff"), "is damaged"),
    "other vectors": (lambda folder: np.save(folder / VECTORS_FILE, VECTORS), "are not those of its points"),
    "no classifier": (edited(lambda content: content["about"].clear()), "not those of a classifier"),
    "an empty one": (edited(lambda content: content["about"].update(classifier=[])), "not those of a class"),
    "n_neighbors": (noted(n_neighbors="5"), "n_neighbors is '5'"),
    "temperature": (noted(temperature=-1), "temperature is -1"),
    "columns of another number": (noted(columns=["a"]), "columns is"),
    "columns of numbers": (noted(columns=[1] * DIM), "columns is"),
    "classes of no list": (noted(classes=3), "classes is 3"),
    "no class": (noted(classes=[-1]), "classes is"),
    "classes of another kind": (noted(classes=[1, 2]), "that no classifier stored"),
    "classes in classes": (noted(classes=[["a"], ["b", "c"]]), "different shapes"),
    "rows": (noted(rows=-1), "rows is -1"),
    "too many rows": (noted(rows=2**70), "rows is"),
    "another class": (every(**{"class": "cat"}), "that no classifier stored"),
    "a class that is a number": (every(**{"class": 3}), "that no classifier stored"),
    "a class that is a list": (every(**{"class": ["owl"]}), "that no classifier stored"),
    "another label": (every(label=3), "that no classifier stored"),
    "a source that is no row": (every(source="owl.png"), "that no classifier stored"),
    "a row below 0": (every(source="-3"), "that no classifier stored"),
    "a row beyond all": (every(source="9" * 30), "that no classifier stored"),
    "a row twice": (every(source="01"), "that no classifier stored"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder_is_refused_in_one_sentence(written, damage, message):
    damage(written)
    with pytest.raises(ValueError, match=message) as caught:
        QdrantClassifier.open(written)
    assert "\n" not in str(caught.value)
    assert str(written) in str(caught.value)


def test_a_missing_file_is_named(written):
    (written / VECTORS_FILE).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{VECTORS_FILE} is missing"):
        QdrantClassifier.open(written)


def test_a_pickle_in_a_folder_of_points_is_never_loaded(written):
    np.save(written / VECTORS_FILE, np.array([print, {}]), allow_pickle=True)
    digest = hashlib.sha256((written / VECTORS_FILE).read_bytes()).hexdigest()
    edited(lambda content: content.update(vectors_sha256=digest))(written)
    (written / "meta.json").write_text("{}")  # beside a store of local mode, which would load pickles
    with pytest.raises(ValueError, match=r"The points in .* do not fit an index"):
        QdrantClassifier.open(written)


def test_exported_points_and_a_store_of_qdrant_do_not_share_a_folder(written, tmp_path):
    for call in (
        lambda: EmbeddingIndex(DIM, path=written),
        lambda: QdrantClassifier(path=written).fit(VECTORS, np.arange(N)),
        lambda: QdrantClassifier(path=written).partial_fit(VECTORS, np.arange(N)),
    ):
        with pytest.raises(ValueError, match=r"holds exported points, which Qdrant cannot open: use import"):
            call()
    assert {file.name for file in written.iterdir()} == {VECTORS_FILE, POINTS_FILE}
    with EmbeddingIndex(DIM, path=tmp_path / "store") as index:
        index.upsert(VECTORS)
        with pytest.raises(ValueError, match=r"Qdrant keeps points in .*store: export them into another"):
            export_points(index, tmp_path / "store")


def test_a_file_without_checksum_says_how_to_make_another(written):
    content = read_json(written / POINTS_FILE, "")
    (written / POINTS_FILE).write_text(json.dumps(content))
    with pytest.raises(ValueError, match="has no checksum, as another program or version left it: copy both"):
        QdrantClassifier.open(written)
