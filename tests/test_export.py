"""Points taken from one home to another: the same everywhere, and a damaged pair of files says so."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forged import forge
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_in import stand_in

from metriclearn import EmbeddingIndex, QdrantClassifier
from metriclearn.files import json_bytes, read_json
from metriclearn.index.export import POINTS_FILE, VECTORS_FILE, export_points, import_points, read_points
from metriclearn.index.reindex import versions

DIM, N = 6, 40
POINTS = np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)
LABELS = [i % 4 - 1 for i in range(N)]
NAMES = [f"image {i}: \u00e9\U0001f989" for i in range(N)]
EXTRAS = [{"row": i, "box": [0.5, {"deep": None}], "class": "owl"} for i in range(N)]


def home(name, request, tmp_path):
    if name == "memory":
        yield {"path": ":memory:"}
    elif name == "folder":
        yield {"path": tmp_path / "qdrant"}
    elif name == "http":
        with stand_in() as server:
            yield {"url": server.url}
    else:
        yield request.getfixturevalue("qdrant_server")


@pytest.fixture(params=["memory", "folder", "http", "server"])
def target(request, tmp_path):
    yield from home(request.param, request, tmp_path)


def content(index):
    return {record.id: (record.payload, record.vector) for record in index.storage.records(vectors=True)}


def near(points):
    """The same, with vectors that equal what is near: a server sends the shortest decimals of its own."""
    return {point: (payload, pytest.approx(vector, abs=1e-5)) for point, (payload, vector) in points.items()}


def filled(distance="cosine", **where):
    index = EmbeddingIndex(DIM, encoder_id="first", distance=distance, **({"path": ":memory:"} | where))
    index.upsert(POINTS[1:], LABELS[1:], NAMES[1:], EXTRAS[1:])
    index.upsert(POINTS[:1])  # without a source: its id comes from its numbers
    return index


@pytest.fixture
def exported(tmp_path):
    with filled() as index:
        export_points(index, tmp_path / "exported")
    return tmp_path / "exported"


@pytest.mark.parametrize("distance", ["cosine", "euclid"])
def test_points_are_the_same_in_every_home(target, tmp_path, distance):
    with filled(distance) as index:
        wanted, answers = near(content(index)), index.query(POINTS, k=3)
        points = export_points(index, tmp_path / "out")
    read = read_points(tmp_path / "out")
    assert (read.encoder_id, read.distance, read.about) == ("first", distance, {})
    assert read.ids == points.ids
    assert read.payloads == points.payloads
    np.testing.assert_allclose(read.vectors, points.vectors, atol=1e-6)
    assert read.vectors.dtype == np.float32
    for _ in range(2):  # a second time changes nothing
        with import_points(tmp_path / "out", **target) as there:
            assert (there.encoder_id, there.distance, there.dim) == ("first", distance, DIM)
            assert content(there) == wanted
            found = there.query(POINTS, k=3)
            assert found.ids.tolist() == answers.ids.tolist()
            np.testing.assert_allclose(found.scores, answers.scores, atol=1e-5)
            # What is stored again finds its own point there.
            there.upsert(POINTS[1:], LABELS[1:], NAMES[1:], EXTRAS[1:])
            assert len(there) == N
            export_points(there, tmp_path / "back")
    assert (tmp_path / "back" / POINTS_FILE).exists()
    assert set(read_points(tmp_path / "back").ids) == set(read.ids)


def test_a_collection_that_bears_its_name_itself_becomes_a_version(exported):
    with import_points(exported, path=":memory:", collection="photos", versioned=True) as index:
        assert [(version.collection, version.live) for version in versions(index)] == [
            ("photos__first", True)
        ]


def test_a_classifier_is_opened_where_it_was_taken_to(tmp_path):
    classes = np.array(["owl", "cat", "dog"])[np.arange(N) % 3]
    with QdrantClassifier(3, path=":memory:", encoder_id="first").fit(POINTS, classes) as classifier:
        wanted = classifier.predict_proba(POINTS[:9] + 0.1)
        export_points(classifier.index_, tmp_path / "out")
    import_points(tmp_path / "out", path=tmp_path / "new", replace=True).close()
    with QdrantClassifier.open(tmp_path / "new") as again:
        assert again.n_neighbors == 3
        np.testing.assert_allclose(again.predict_proba(POINTS[:9] + 0.1), wanted, atol=1e-5)
        again.fit(POINTS[:3], ["a", "b", "c"])


def test_the_real_engine_takes_the_arrays(exported, tmp_path):
    """As notebook 12 hands them on to Qdrant Edge."""
    edge = pytest.importorskip("qdrant_edge")
    points = read_points(exported)
    config = edge.EdgeConfig(
        vectors={"": edge.EdgeVectorParams(size=points.vectors.shape[1], distance=edge.Distance.Cosine)}
    )
    (tmp_path / "shard").mkdir()
    shard = edge.EdgeShard.create(str(tmp_path / "shard"), config)
    rows = zip(points.ids, points.vectors.tolist(), points.payloads, strict=True)
    shard.update(edge.UpdateOperation.upsert_points([edge.Point(*row) for row in rows]))
    query = edge.QueryRequest(query=edge.Query.Nearest(points.vectors[7].tolist()), limit=1)
    (found,) = shard.query(query)
    assert str(found.id) == points.ids[7]
    shard.close()


def test_a_failed_export_leaves_the_earlier_one(exported, monkeypatch):
    before = {file.name: file.read_bytes() for file in exported.iterdir()}
    assert set(before) == {VECTORS_FILE, POINTS_FILE}

    def fail(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with (
        filled(collection="another") as index,
        pytest.raises(OSError, match=r"cannot be written \(No space left"),
    ):
        export_points(index, exported)
    assert {file.name: file.read_bytes() for file in exported.iterdir()} == before


def test_nothing_to_export_and_nowhere_to_go(tmp_path):
    with EmbeddingIndex(DIM) as index:
        with pytest.raises(ValueError, match="'images' is empty: there is nothing to export"):
            export_points(index, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    for call in (lambda: export_points(filled(), tmp_path / "file"), lambda: read_points(tmp_path / "file")):
        with pytest.raises(ValueError, match=r"file. is no folder"):
            call()


def change(**changes):
    def damage(folder):
        forge(folder / POINTS_FILE, [key for key, value in changes.items() if value == "left out"], **changes)

    return damage


def write(name, content):
    return lambda folder: [(folder / name).write_bytes(content), None][1]


def cut(name):
    return lambda folder: [(folder / name).write_bytes((folder / name).read_bytes()[:-7]), None][1]


def other_vectors(folder, vectors, **more):
    """Another array whose hash is the right one."""
    np.save(folder / VECTORS_FILE, vectors, **more)
    change(vectors_sha256=hashlib.sha256((folder / VECTORS_FILE).read_bytes()).hexdigest())(folder)


DAMAGE = {
    "no JSON": (write(POINTS_FILE, b"\xff\x00"), r"points\.json is damaged: copy both files again"),
    "JSON cut": (cut(POINTS_FILE), r"points\.json is damaged: copy"),
    "a list": (write(POINTS_FILE, b"[]"), r"points\.json is damaged: copy"),
    "too deep": (write(POINTS_FILE, b"[" * 100_000), r"points\.json is damaged: copy"),
    "without ids": (change(ids="left out"), r"\[None\] are not all ids"),
    "of tomorrow": (change(format_version=2), "are of format 2: update this"),
    "array cut": (cut(VECTORS_FILE), "The vectors in .* are not those of its points: copy both files again"),
    "another array": (
        lambda folder: np.save(folder / VECTORS_FILE, POINTS),
        "The vectors in .* are not those of its points",
    ),
    "a pickle": (
        lambda folder: other_vectors(folder, np.array([print, {}]), allow_pickle=True),
        "The points in .* do not fit an index",
    ),
    "no array": (
        lambda folder: (write(VECTORS_FILE, b"")(folder), change(vectors_sha256=EMPTY)(folder)),
        "The points in .* do not fit an index",
    ),
    "a row too few": (lambda folder: other_vectors(folder, POINTS[:-1]), "39 vectors but 40 different ids"),
    "NaN": (lambda folder: other_vectors(folder, POINTS * np.nan), "hold NaN or infinity"),
    "texts": (lambda folder: other_vectors(folder, NAMES), r"shape \(40,\)"),
    "an id twice": (change(ids=["5b1c9a3e-6f0d-5a52-9c7e-2d1f0a8b4c63"] * N), "but 1 different ids"),
    "no ids": (change(ids=list(range(N))), r"\[0, 1, .* are not all ids"),
    "ids of no list": (change(ids=7), r"\[7\] are not all ids"),
    "payloads of no list": (change(payloads={}), "payloads does not fit"),
    "a payload is none": (change(payloads=[3] * N), "payloads does not fit"),
    "payloads of another encoder": (
        change(payloads=[{"encoder": "x"}] * N),
        "from another encoder than 'first'",
    ),
    "another encoder": (change(encoder_id="second"), "from another encoder than 'second'"),
    "no encoder": (change(encoder_id=None), "encoder_id is None"),
    "no distance": (change(distance="dot"), "distance is 'dot'"),
    "labels are texts": (
        change(payloads=[{"encoder": "first", "label": "a"}] * N),
        "number the classes from 0",
    ),
    "no labels": (change(payloads=[{"encoder": "first"}] * N), "label in row 0 is None"),
    "a source twice": (
        change(payloads=[{"encoder": "first", "label": 1, "source": "a"}] * N),
        "The source 'a' comes twice",
    ),
    "notes are none": (change(about=3), "The notes about the points are"),
    "notes of another's": (change(about={"replaceable": True}), "The notes about the points are"),
}
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_say_so_and_nothing_is_written(exported, tmp_path, damage, message):
    damage(exported)
    for call in (lambda: read_points(exported), lambda: import_points(exported, path=tmp_path / "there")):
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert str(caught.value).isascii()
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("name", [VECTORS_FILE, POINTS_FILE])
def test_a_missing_file_is_named(exported, name):
    (exported / name).unlink()
    with pytest.raises(
        FileNotFoundError,
        match=rf"{name} is missing: copy both files again, or export the points anew",
    ):
        read_points(exported)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untouched")
    with filled() as index:
        export_points(index, folder)
    return folder


odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=3), part, max_size=3),
    max_leaves=4,
)


@settings(max_examples=80, deadline=None)
@given(
    key=st.sampled_from(
        ["format_version", "encoder_id", "distance", "about", "vectors_sha256", "ids", "payloads"]
    ),
    part=st.sampled_from(["whole", "first", "label", "source"]),
    value=odd,
)
def test_any_other_value_is_read_or_refused_in_one_sentence(untouched, tmp_path_factory, key, part, value):
    folder = tmp_path_factory.mktemp("odd")
    shutil.copytree(untouched, folder, dirs_exist_ok=True)
    content = read_json(folder / POINTS_FILE, "")
    if part == "whole" or not isinstance(content[key], list):
        content[key] = value
    elif part == "first" or key == "ids":
        content[key][0] = value
    else:
        content[key][0][part] = value
    (folder / POINTS_FILE).write_bytes(json_bytes(content))
    try:
        points = read_points(folder)
    except ValueError as error:
        refused = str(error)
    else:
        refused = ""
        with import_points(folder, path=":memory:") as index:
            assert len(index) == len(points.ids) == N
    assert "\n" not in refused


@pytest.mark.parametrize("name", [POINTS_FILE, VECTORS_FILE])
def test_no_flipped_bit_is_read_as_something_else(untouched, tmp_path, name):
    folder = Path(shutil.copytree(untouched, tmp_path / "copy"))
    whole, expected = (folder / name).read_bytes(), read_points(folder)
    refused = 0
    for bit in np.random.default_rng(0).choice(8 * len(whole), 200, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(damaged)
        try:
            points = read_points(folder)
        except ValueError:
            refused += 1
        else:
            np.testing.assert_array_equal(points.vectors, expected.vectors)
            assert replace(points, vectors=None) == replace(expected, vectors=None)
    assert refused > 190


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"collection": "a/b"}, "Collection name cannot be"),
        ({"path": "x", "url": "http://localhost:9"}, "Both path and url"),
    ],
)
def test_arguments_that_do_not_fit(exported, where, message):
    with pytest.raises(ValueError, match=message):
        import_points(exported, **where)


def test_points_do_not_mix_with_those_of_another_encoder(exported, tmp_path):
    with EmbeddingIndex(DIM, encoder_id="second", path=tmp_path / "there") as index:
        index.upsert(POINTS[:2])
    with pytest.raises(ValueError, match="of encoder 'second', not of 'first', and two encoders must not"):
        import_points(exported, path=tmp_path / "there")
    with EmbeddingIndex(DIM, encoder_id="second", path=tmp_path / "there") as index:
        assert len(index) == 2
