"""The engine with one face: what it finds, what its settings do, and what a reader under load counts."""

import warnings

import numpy as np
import pytest
import torch
from qdrant_client import QdrantClient

from metriclearn import EmbeddingIndex, MetricEmbedding, load_images
from metriclearn.course import engine as engine_module
from metriclearn.course.engine import EdgeEngine, ServerEngine, Settings, fill, recall, widened
from metriclearn.course.load_test import Reader, latencies
from metriclearn.course.serving import save_onnx
from metriclearn.index.connection import Connection
from metriclearn.index.reindex import reindex

RANDOM = np.random.default_rng(0)
LABELS = np.arange(2000) % 4


def unit(n):
    vectors = RANDOM.normal(size=(n, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


VECTORS, ASKED = unit(2000), unit(50)
TRUTH = np.argsort(-(ASKED @ VECTORS.T), axis=1)[:, :10]


def test_recall_counts_what_was_found():
    truth = np.array([[1, 2], [3, -1]])
    assert recall(np.array([[2, 1], [9, 3]]), truth) == 1
    assert recall(np.array([[2, 7], [9, 8]]), truth) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("points", "indexed"), [(1599, 0), (1600, 1600)])
def test_a_graph_begins_at_the_threshold(points, indexed, monkeypatch):
    monkeypatch.delenv("QDRANT_URL", raising=False)
    engine = fill(VECTORS[:points], LABELS[:points], Settings(threshold_kb=100))  # 1,600 vectors of 64 bytes
    assert isinstance(engine, EdgeEngine)
    assert engine.indexed == indexed
    engine.close()
    assert not engine.folder.exists()


def test_exact_search_is_numpys_and_the_graph_misses_some():
    engine = EdgeEngine(VECTORS, LABELS, Settings(m=4, ef_construct=8, threshold_kb=50))
    assert recall(engine.ask(ASKED, exact=True).ids, TRUTH) == 1
    few, many = (recall(engine.ask(ASKED, ef=ef).ids, TRUTH) for ef in (10, 200))
    assert few < many < 1.0001
    assert few < 0.95
    one, together = engine.ask(ASKED, ef=200), engine.ask(ASKED, ef=200, together=True)
    assert (one.ids == together.ids).all()
    assert (one.seconds > 0).all()
    only = engine.ask(ASKED, 5, label=3)
    assert (LABELS[only.ids] == 3).all()
    engine.close()


def test_int8_takes_a_quarter_and_rescoring_helps():
    engine = EdgeEngine(VECTORS, LABELS, Settings(int8=True, threshold_kb=50))
    sizes = engine.sizes()
    assert sizes["int8"] / sizes["vectors"] == pytest.approx(20 / 64, abs=0.01)  # 16 bytes and one float
    assert sizes["graph"] > 0
    alone, rescored = (recall(engine.ask(ASKED, ef=200, rescore=r).ids, TRUTH) for r in (None, 4))
    assert alone < rescored
    engine.close()


def test_settings_without_sense_are_refused():
    with pytest.raises(ValueError, match="m is 0"):
        Settings(m=0)
    with pytest.raises(ValueError, match="originals"):
        Settings(originals="tape")
    with pytest.raises(ValueError, match="labels"):
        fill(VECTORS, LABELS[:2])


def test_copies_keep_their_labels():
    pool, _ = load_images("mnist-5k")
    part = type(pool)(pool.pixels[:20], pool.labels[:20], pool.class_names)
    vectors, labels = widened(MetricEmbedding.load(), part, 50)
    assert vectors.shape == (50, 32)
    assert labels.tolist() == np.tile(pool.labels[:20], 3)[:50].tolist()
    assert not np.allclose(vectors[:20], vectors[20:40], atol=1e-3)


def test_a_reader_counts_errors_and_wrong_answers():
    old, new = VECTORS[:100], unit(100)
    rows = [str(row) for row in range(100)]
    with EmbeddingIndex(16, encoder_id="old", path=":memory:", versioned=True) as index:
        index.upsert(old, sources=rows)
        with Reader(index, {"old": old, "new": new}) as reader:
            reindex(index, lambda sources: new[[int(s) for s in sources]], "new", least_agreement=0)
        assert (reader.errors, reader.wrong) == (0, 0)
        assert reader.questions >= 100
        assert "new" in reader.met
        with Reader(index, {"new": unit(100)}) as mixed:
            pass
        assert mixed.wrong == mixed.questions
        with Reader(index, {"old": old}) as lost:
            pass
        assert lost.errors == lost.questions


def test_what_clients_wait():
    asked = []
    assert latencies(asked.append, clients=3, questions=4).shape == (12,)
    assert sorted(asked) == list(range(12))


def test_onnx_gives_the_same_embeddings(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    _, test = load_images("mnist-5k")
    encoder, file = MetricEmbedding.load(), f"{tmp_path}/encoder.onnx"
    save_onnx(encoder, file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for n in (1, 30):
        [found] = session.run(None, {"pixels": test.pixels[:n]})
        assert np.abs(found - encoder.transform(test.pixels[:n])).max() < 1e-5


def test_another_network_is_not_written(tmp_path):
    encoder = MetricEmbedding.load()
    encoder.encoder_ = torch.nn.Identity()
    with pytest.raises(ValueError, match="own encoder"):
        save_onnx(encoder, f"{tmp_path}/encoder.onnx")


def test_a_server_is_asked_in_its_own_words(monkeypatch):
    """A stand-in in memory takes each call of the server's side; it searches exactly, whatever is asked."""
    client = QdrantClient(":memory:")
    monkeypatch.setattr(engine_module, "connect", lambda home: Connection(client, home))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # local mode says what it ignores
        wide = Settings(int8=True, originals="disk", threshold_kb=10_000, label_index=True)
        engine = fill(VECTORS, LABELS, wide, url="http://localhost:6333")
        assert isinstance(engine, ServerEngine)
        [collection] = client.get_collections().collections
        assert recall(engine.ask(ASKED, ef=10, rescore=2).ids, TRUTH) == 1
        assert recall(engine.ask(ASKED, exact=True, together=True).ids, TRUTH) == 1
        assert (LABELS[engine.ask(ASKED, 5, label=3).ids] == 3).all()
    assert engine.indexed == 0
    assert client.count(collection.name).count == len(VECTORS)
    engine.close()
