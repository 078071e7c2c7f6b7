"""A new encoder behind an old name: filled, verified, switched, rolled back, while others ask and write."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from qdrant_client import models
from stand_in import stand_in

from metriclearn import EmbeddingIndex, QdrantClassifier
from metriclearn.index.collection import Collection, Kind
from metriclearn.index.names import resolve
from metriclearn.index.reindex import AT_ONCE, EMBEDDED_FROM, Version, current, reindex, rollback, versions

DIM, N = 8, 300
IMAGES = np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)
NAMES = [f"image {i}" for i in range(N)]
LABELS = (np.arange(N) % 7).tolist()
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


class Encoder:
    """A linear encoder of its own mind: with another seed most neighbours are others."""

    def __init__(self, seed, dim=DIM):
        random = np.random.default_rng(seed)
        turn = np.linalg.qr(random.normal(size=(DIM, DIM)))[0]
        self.id, self.asked = f"encoder-{seed}", 0
        self.weights = (turn * np.linspace(0.3, 1.6, DIM))[:, :dim].astype(np.float32)

    def __call__(self, sources):
        self.asked += len(sources)
        assert len(sources) <= AT_ONCE
        return IMAGES[[int(source.split()[1]) for source in sources]] @ self.weights

    def truth(self, k=5):
        """The k nearest of every image by NumPy, under cosine."""
        rows = np.concatenate([self(NAMES[:AT_ONCE]), self(NAMES[AT_ONCE:])])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return [[NAMES[i] for i in order] for order in np.argsort(-rows @ rows.T, axis=1)[:, :k]]


A, B, C = Encoder(1), Encoder(2), Encoder(3)


@pytest.fixture(params=["memory", "folder", "http", "server"])
def home(request, tmp_path):
    if request.param == "memory":
        yield {"path": ":memory:"}
    elif request.param == "folder":
        yield {"path": tmp_path / "qdrant"}
    elif request.param == "http":
        with stand_in() as server:
            yield {"url": server.url}
    else:
        yield request.getfixturevalue("qdrant_server") | {"payload_indexes": {"row": "integer"}}


no_folder = pytest.mark.parametrize("home", ["memory", "http", "server"], indirect=True)


def filled(home, n=N, **more):
    index = EmbeddingIndex(DIM, encoder_id=A.id, **{"versioned": True} | home | more)
    vectors = IMAGES[:n] @ A.weights
    index.upsert(vectors, LABELS[:n], NAMES[:n], [{"row": i} for i in range(n)])
    return index


@pytest.fixture
def index(home):
    with filled(home) as index:
        yield index


@pytest.fixture
def small():
    with filled({"path": ":memory:"}, 40) as index:
        yield index


def stored(index):
    """What was stored about each point, without what reindex notes for itself."""
    records = index.storage.records()
    return {
        record.id: {key: value for key, value in record.payload.items() if key != EMBEDDED_FROM}
        for record in records
    }


def test_a_new_version_takes_the_place_of_the_old_one(index):
    before = stored(index)
    held_out = A(NAMES[:100])
    report = reindex(index, B, B.id, held_out=held_out)
    name = index.collection
    assert (report.points, report.embedded) == (N, N)
    assert 0.1 < report.agreement < 0.9
    assert report.chance == pytest.approx(10 / (N - 1))
    assert 0 < report.threshold < 1
    assert versions(index) == [
        Version(B.id, f"{name}__{B.id}", N, True, report.threshold),
        Version(A.id, f"{name}__{A.id}", N, False, None),
    ]
    now = current(index)
    assert (now.encoder_id, now.collection, now.dim) == (B.id, name, DIM)
    assert stored(now) == {point: entry | {"encoder": B.id} for point, entry in before.items()}
    queries = B(NAMES[:50])
    assert now.query(queries, k=5).sources.tolist() == B.truth()[:50]
    assert report.index.query(queries, k=5).sources.tolist() == B.truth()[:50]
    # Who holds the old one goes on with it, and may not write there.
    assert index.query(A(NAMES[:50]), k=5).sources.tolist() == A.truth()[:50]
    for write in (
        lambda: index.upsert(IMAGES[:1], sources=["image 0"]),
        lambda: index.delete(where={"label": 1}),
    ):
        with pytest.raises(RuntimeError, match=f"The name '{name}' leads to another collection than the one"):
            write()
    assert stored(index) == before


@no_folder
def test_the_way_back_and_forth(index):
    reindex(index, B, B.id)
    back = rollback(index)
    assert back.encoder_id == current(index).encoder_id == A.id
    assert [version.live for version in versions(index)] == [True, False]
    assert index.query(A(NAMES[:9]), k=5).sources.tolist() == A.truth()[:9]
    # The index from before may write again. What changed since is all that has to be embedded.
    (gone,) = index.upsert(IMAGES[:1] @ A.weights, [6], ["image 0"])
    index.delete(where={"source": "image 1"})
    asked = B.asked
    assert reindex(index, B, B.id).embedded == 1
    assert B.asked - asked == 1
    now = current(index)
    assert now.count({"label": 6, "source": "image 0"}) == 1
    assert len(now) == N - 1
    assert stored(now)[gone] == {"label": 6, "source": "image 0", "encoder": B.id}
    with pytest.raises(ValueError, match=r"There is no earlier version of .* use reindex instead"):
        rollback(rollback(index))


def test_the_way_back_is_gone_with_the_earlier_version(small):
    reindex(small, B, B.id)
    small.client.delete_collection(versions(small)[1].collection)
    with pytest.raises(ValueError, match="There is no earlier version of 'images'"):
        rollback(small)
    with pytest.raises(RuntimeError, match="'images' that was opened here is gone"):
        small.query(A(NAMES[:1]), k=1)
    assert current(small).encoder_id == B.id


def test_an_encoder_of_another_length(small):
    short = Encoder(4, dim=5)
    report = reindex(small, short, short.id)
    assert (report.index.dim, current(small).dim) == (5, 5)


def test_who_opens_the_name_with_the_wrong_encoder_is_told(home):
    with filled(home, 40) as index:
        reindex(index, B, B.id)
    if "url" in home or home["path"] != ":memory:":
        with pytest.raises(
            ValueError, match=f"of encoder '{B.id}', not of '{A.id}', and two encoders must not mix"
        ):
            EmbeddingIndex(DIM, encoder_id=A.id, **home)
        with EmbeddingIndex(DIM, encoder_id=B.id, **home) as again:
            assert len(again) == 40
        name = f"{home.get('collection', 'images')}__{A.id}"
        with EmbeddingIndex(DIM, encoder_id=A.id, **home | {"collection": name}) as earlier:
            assert len(earlier) == 40


def test_filled_and_verified_but_not_switched(small):
    report = reindex(small, B, B.id, switch=False)
    assert [version.live for version in versions(small)] == [True, False]
    assert current(small) is small
    assert report.index.query(B(NAMES[:9]), k=1).sources[:, 0].tolist() == NAMES[:9]
    small.upsert(A(["image 99"]), sources=["image 99"])
    assert reindex(small, B, B.id).embedded == 1
    assert current(small).encoder_id == B.id


def test_rows_that_were_mixed_up_are_noticed_and_not_kept():
    mixed = dict(zip(NAMES, np.random.default_rng(0).permutation(NAMES).tolist(), strict=True))

    def embed(sources):
        return B([mixed[source] for source in sources])

    wanted = r"share 0\.0\d\d of the neighbours, where chance gives 0\.033: .* Nothing was switched"
    with filled({"path": ":memory:"}) as index:
        with pytest.raises(ValueError, match=rf"{wanted}\.$"):
            reindex(index, embed, B.id)
        assert current(index) is index
        assert [version.encoder_id for version in versions(index)] == [A.id]
        reindex(index, embed, B.id, least_agreement=0, switch=False)
        with pytest.raises(
            ValueError, match=rf"{wanted}; delete images__{B.id} to have all embedded anew\.$"
        ):
            reindex(index, B, B.id)
        index.client.delete_collection(f"images__{B.id}")
        assert reindex(index, B, B.id).agreement > 0.1
        assert current(index).query(B(NAMES[:9]), k=5).sources.tolist() == B.truth()[:9]


def test_a_lone_point_has_no_neighbours_to_differ_in():
    with filled({"path": ":memory:"}, 1) as index:
        assert reindex(index, B, B.id).agreement == 1


def test_a_euclidean_index_is_reindexed_too():
    with filled({"path": ":memory:"}, 40, distance="euclid") as index:
        with pytest.raises(ValueError, match='Only under cosine there is an "unknown"'):
            reindex(index, B, B.id, held_out=IMAGES[:20])
        assert reindex(index, B, B.id).index.distance == "euclid"


def test_settings_of_the_old_version_are_taken_over(small, monkeypatch):
    """What a server says of a collection, which local mode does not."""
    info = small.client.get_collection("images")
    info.config.params.shard_number, info.config.params.replication_factor = 6, 2
    info.config.hnsw_config.m = 48
    info.config.optimizer_config.indexing_threshold = 7
    scalar = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type="int8"))
    info.config.quantization_config = scalar
    info.payload_schema = {"row": models.PayloadIndexInfo(data_type="integer", points=3)}
    monkeypatch.setattr(small.client, "get_collection", lambda name: info)
    settings = small.storage.settings()
    assert (settings["shard_number"], settings["replication_factor"]) == (6, 2)
    assert settings["hnsw_config"].m == 48
    assert settings["optimizers_config"].indexing_threshold == 7
    assert settings["quantization_config"] == scalar
    assert settings["payload_indexes"] == {"row": models.PayloadSchemaType.INTEGER}
    indexed, given = [], {}
    monkeypatch.setattr(small.client, "create_payload_index", lambda name, key, *_, **__: indexed.append(key))
    monkeypatch.setattr(small.client, "create_collection", lambda name, **more: given.update(more))
    another = Collection(small.storage.connection, "another", "another", Kind(DIM, "encoder", "cosine"))
    another.create({}, **settings)
    assert indexed == ["label", "source", "encoder", "row"]
    assert given["shard_number"] == 6


def test_a_classifier_gets_a_new_encoder(home):
    where = {key: value for key, value in home.items() if key != "payload_indexes"}
    names = np.array(["owl", "cat", "dog"])
    with QdrantClassifier(3, encoder_id=A.id, **where).fit(A(NAMES[:90]), names[np.arange(90) % 3]) as old:
        index, wanted = old.index_, old.predict(A(NAMES[:90]))

        def embed(sources):  # a classifier's sources are row numbers
            return B([f"image {row}" for row in sources])

        reindex(index, embed, B.id)
        assert old.predict(A(NAMES[:90])).tolist() == wanted.tolist()
        with pytest.raises(RuntimeError, match="leads to another collection"):
            old.partial_fit(A(NAMES[:1]), ["owl"])
    if where.get("path") == ":memory:":
        return
    with QdrantClassifier.open(**where) as new:
        assert (new.encoder_id, new.n_neighbors, len(new.index_)) == (B.id, 3, 90)
        assert new.kneighbors(B(NAMES[:5]), 1)[1].ravel().tolist() == list(range(5))
        new.partial_fit(B(NAMES[90:91]), ["emu"])
        assert new.classes_.tolist() == ["cat", "dog", "emu", "owl"]
        new.fit(B(NAMES[:6]), names[np.arange(6) % 3])  # may still be replaced
        assert len(new.index_) == 6


# Others meanwhile


def repeat(task, until, heard):
    def run():
        while not until.is_set():
            try:
                task()
            except BaseException as error:
                heard.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@no_folder
def test_readers_never_fail_and_never_see_two_encoders(home):
    encoders = {encoder.id: (encoder, encoder.truth()) for encoder in (A, B, C)}
    asked, wrong, heard, done = [0, 0, 0], [0, 0, 0], [], threading.Event()
    with filled(home) as index:

        def ask(kind, of):
            encoder, truth = encoders[of.encoder_id]
            row = asked[kind] % N
            found = of.query(encoder([NAMES[row]]), k=5).sources[0].tolist()
            asked[kind] += 1
            wrong[kind] += found != truth[row]

        def open_anew():
            for encoder_id in encoders:
                try:
                    with EmbeddingIndex(DIM, encoder_id=encoder_id, **home) as fresh:
                        ask(2, fresh)
                except ValueError as error:
                    if "two encoders must not mix" not in str(error):  # the one clear sentence
                        raise

        tasks = [lambda: ask(0, index), lambda: ask(1, current(index))]
        if "url" in home:
            tasks.append(open_anew)
        threads = [repeat(task, done, heard) for task in tasks]
        try:
            for encoder in (B, C):
                assert reindex(index, encoder, encoder.id).embedded == N
                assert current(index).encoder_id == encoder.id
            assert rollback(index).encoder_id == B.id
            end = time.monotonic() + 20
            while min(asked[: len(tasks)]) < 5 and time.monotonic() < end:
                time.sleep(0.05)
        finally:
            done.set()
            for thread in threads:
                thread.join()
    print(f"queries {asked}, errors {len(heard)}, of a wrong encoder {wrong}")
    assert heard == []
    assert wrong == [0, 0, 0]
    assert min(asked[: len(tasks)]) >= 5


def test_nothing_is_lost_that_others_write_meanwhile():
    done, heard, written, deleted = threading.Event(), [], [], []
    encoders = {encoder.id: encoder for encoder in (A, B)}
    with filled({"path": ":memory:"}, 150) as index:

        def write():
            now, name = current(index), NAMES[150 + len(written) % 150]
            try:
                now.upsert(encoders[now.encoder_id]([name]), sources=[name])
                written.append(name)
                if len(written) % 3 == 0:
                    now.delete(where={"source": NAMES[len(deleted)]})
                    deleted.append(NAMES[len(deleted)])
            except RuntimeError as error:
                if "leads to another collection" not in str(error):
                    raise
            time.sleep(0.003)

        thread = repeat(write, done, heard)
        try:
            for encoder in (B, A, B):
                reindex(index, encoder, encoder.id, least_agreement=0)
        finally:
            done.set()
            thread.join()
        assert heard == []
        live = current(index)
        assert live.encoder_id == B.id
        kept = {entry["source"] for entry in stored(live).values()}
    print(f"{len(written)} written and {len(deleted)} deleted meanwhile")
    assert len(written) > 10
    assert kept == (set(NAMES[:150]) | set(written)) - set(deleted)


def test_others_who_write_too_fast_are_named(small, monkeypatch):
    monkeypatch.setattr("metriclearn.index.reindex._bring_up", lambda *_: (AT_ONCE, 1))
    with pytest.raises(RuntimeError, match="Others write to 'images' faster than images are embedded"):
        reindex(small, B, B.id)
    assert current(small) is small


@forks
def test_a_reindex_that_was_killed_is_made_again(tmp_path):
    home = {"path": tmp_path / "qdrant"}
    filled(home).close()
    read, write = os.pipe()
    if not (child := os.fork()):  # pragma: no cover

        def slowly(sources):
            os.write(write, b".")
            time.sleep(0.2)
            return B(sources)

        with EmbeddingIndex(DIM, encoder_id=A.id, **home) as index:
            reindex(index, slowly, B.id)
        os._exit(0)
    os.read(read, 1), os.read(read, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with EmbeddingIndex(DIM, encoder_id=A.id, **home) as index:
        assert [version.live for version in versions(index)] == [True, False]
        report = reindex(index, B, B.id)
        assert 0 < report.embedded <= N - AT_ONCE
        assert current(index).query(B(NAMES[:50]), k=5).sources.tolist() == B.truth()[:50]


# What does not fit: one sentence, and the name means what it meant


def wrong_shape(sources):
    return B(sources)[:-1]


BAD = {
    "one row too few": ({"embed": wrong_shape}, "embed gave 39 embeddings for 40 sources"),
    "NaN": ({"embed": lambda sources: B(sources) * np.nan}, "hold NaN or infinity"),
    "zeros": ({"embed": lambda sources: B(sources) * 0}, "is all zeros"),
    "no table": ({"embed": lambda sources: 3}, r"shape \(\): pass floats"),
    "texts": ({"embed": lambda sources: sources}, "pass"),
    "the same encoder": ({"encoder_id": A.id}, "holds embeddings of 'encoder-1' already"),
    "no encoder": ({"encoder_id": ""}, "encoder_id is '': pass a text"),
    "an encoder no name can hold": ({"encoder_id": "a/b"}, "Collection name cannot be"),
    "an encoder too long": ({"encoder_id": "a" * 300}, "choose one of up to 255 letters"),
    "k": ({"k": 2.5}, "k is 2.5"),
    "agreement": (
        {"least_agreement": 2},
        "least_agreement is 2: choose a number from 0 to 1",
    ),
    "switch": ({"switch": "yes"}, "switch is 'yes': choose True or False"),
    "held out of another length": (
        {"held_out": np.ones((30, 3))},
        r"shape \(30, 3\): pass floats of shape \(n, 8\)",
    ),
    "held out too few": ({"held_out": IMAGES[:5]}, "less than one image: pass at least 19 images"),
    "quantile": ({"held_out": IMAGES[:30], "quantile": 3}, "quantile is 3"),
}


@pytest.mark.parametrize(("bad", "message"), BAD.values(), ids=BAD)
def test_what_does_not_fit_switches_nothing(small, bad, message):
    with pytest.raises(ValueError, match=message) as caught:
        reindex(small, **{"embed": B, "encoder_id": B.id} | bad)
    assert str(caught.value).isascii()
    assert "\n" not in str(caught.value)
    assert current(small) is small
    assert len(small) == 40
    assert reindex(small, B, B.id, held_out=B(NAMES[40:70])).points == 40  # and then it works


def test_an_embed_that_fails_leaves_the_old_one(small):
    def fail(sources):
        raise OSError("the disk with the images is not there")

    with pytest.raises(OSError, match="not there"):
        reindex(small, fail, B.id)
    assert [version.collection for version in versions(small)] == [f"images__{A.id}"]


def test_points_without_a_source_and_no_points(tmp_path):
    with EmbeddingIndex(DIM, encoder_id=A.id, versioned=True) as index:
        with pytest.raises(ValueError, match="'images' is empty: there is nothing to embed anew"):
            reindex(index, B, B.id)
        index.upsert(IMAGES[:2])
        with pytest.raises(ValueError, match=r"^The point \S+ has no source"):
            reindex(index, B, B.id)


def test_a_collection_that_bears_its_name_itself_cannot_be_switched(tmp_path):
    with EmbeddingIndex(DIM, encoder_id=A.id, path=tmp_path) as index:
        index.upsert(A(NAMES[:3]), sources=NAMES[:3])
        with pytest.raises(
            ValueError, match="'images' bears its name itself, so that no other version could take"
        ):
            reindex(index, B, B.id)
        assert [version.live for version in versions(index)] == [True]
    with pytest.raises(ValueError, match=r"bears its name itself.*import them under another name"):
        EmbeddingIndex(DIM, encoder_id=A.id, path=tmp_path, versioned=True)
    with pytest.raises(ValueError, match="versioned or replaced: choose one"):
        EmbeddingIndex(DIM, versioned=True, replace=True)


def test_prefixes_keep_peoples_versions_apart(monkeypatch):
    with stand_in() as server:
        for prefix in ("ada", "bob"):
            monkeypatch.setenv("METRICLEARN_PREFIX", prefix)
            with filled({"url": server.url}, 40) as index:
                reindex(index, B, B.id)
                assert {version.collection for version in versions(index)} == {
                    f"{prefix}_images__{A.id}",
                    f"{prefix}_images__{B.id}",
                }
                if prefix == "bob":
                    rollback(index)
        live = {alias.alias_name: alias.collection_name for alias in server.store.get_aliases().aliases}
    assert live == {"ada_images": f"ada_images__{B.id}", "bob_images": f"bob_images__{A.id}"}


def test_a_versioned_index_is_opened_again(home):
    filled(home, 40).close()
    if home.get("path") == ":memory:":
        return
    for versioned in (True, False):
        with EmbeddingIndex(DIM, encoder_id=A.id, **home | {"versioned": versioned}) as index:
            assert len(index) == 40
            collection = f"{index.collection}__{A.id}"
            assert resolve(index.client, index.collection) == collection
    with EmbeddingIndex(DIM, encoder_id=A.id, **home) as index:  # cut short between the two steps
        gone = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=index.collection))
        index.client.update_collection_aliases([gone])
        with pytest.raises(RuntimeError, match="means no collection any more"):
            current(index)
    with EmbeddingIndex(DIM, encoder_id=A.id, **home | {"versioned": True}) as index:
        assert len(index) == 40


def test_a_name_that_leads_to_something_else_is_told(small):
    for name, metadata, message in (
        ("other", {}, "'images' holds dot vectors of encoder None"),
        ("third", {"encoder": A.id}, "'images' holds dot vectors .* compared by cosine or euclid"),
    ):
        small.client.create_collection(name, models.VectorParams(size=3, distance="Dot"), metadata=metadata)
        Collection(small.storage.connection, name, name, small.storage.kind).take_name("images", keep=True)
        with pytest.raises(ValueError, match=message):
            current(small)


def test_another_picture_under_the_same_source_and_label_is_embedded_anew(home):
    """Also by those who come back: nothing that was stored after a version was filled stays as it was."""
    with filled(home) as index:
        assert reindex(index, B, B.id, switch=False).embedded == N
        assert reindex(index, B, B.id, switch=False).embedded == 0
        index.upsert(IMAGES[7:8] @ A.weights, LABELS[3:4], NAMES[3:4], [{"row": 3}])
        fourth = IMAGES[3].copy()
        IMAGES[3] = IMAGES[7]
        try:
            done = reindex(index, B, B.id)
            assert done.embedded == 1
            found = done.index.query(IMAGES[7:8] @ B.weights, 2)
            assert set(found.sources[0]) == {NAMES[3], NAMES[7]}
            back = reindex(done.index, A, A.id)  # brought up to date, and not filled anew
            assert back.embedded == 0
            IMAGES[3] = fourth
            back.index.upsert(IMAGES[3:4] @ A.weights, LABELS[3:4], NAMES[3:4], [{"row": 3}])
            assert reindex(back.index, B, B.id).embedded == 1
        finally:
            IMAGES[3] = fourth


def test_a_folder_opened_again_has_nothing_to_embed(tmp_path):
    home = {"path": tmp_path}
    with filled(home) as index:
        reindex(index, B, B.id, switch=False)
    with EmbeddingIndex(DIM, encoder_id=A.id, versioned=True, **home) as index:
        index.query(IMAGES[:5], 1)
        assert reindex(index, B, B.id).embedded == 0


@no_folder
def test_versions_are_those_of_this_name_alone(home):
    with filled(home, 40) as index:
        name = index.collection
        reindex(index, B, B.id)
        own = {f"{name}__{A.id}", f"{name}__{B.id}"}
        client = index.client
        vectors = client.get_collection(name).config.params.vectors
        for other, versioned in (
            (f"{name}__old__{A.id}", True),  # a version of another name
            (f"{name}__old__0123456789ab", True),
            (f"{name}__old", False),
        ):
            client.create_collection(other, vectors, metadata={"encoder": A.id, "versioned": versioned})
        assert {version.collection for version in versions(index)} == own
        # One that was filled for this name, and that somebody else's name leads to by now.
        alias = models.CreateAlias(collection_name=f"{name}__{A.id}", alias_name=f"{name}_stable")
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
        assert {version.collection for version in versions(index)} == {f"{name}__{B.id}"}


def test_the_earlier_collection_of_a_classifier_is_a_version():
    images = IMAGES[:40]
    with QdrantClassifier(1, encoder_id=A.id, path=":memory:").fit(images @ A.weights, LABELS[:40]) as fitted:
        before = fitted.index_.storage.stored_in
        done = reindex(fitted.index_, lambda rows: images[[int(r) for r in rows]] @ B.weights, B.id)
        assert [version.collection for version in versions(done.index)] == [f"images__{B.id}", before]
