"""Labels spread over the neighbour graph, and the gate behind it."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.semi_supervised import LabelSpreading

from metriclearn.label_propagation import most_confident, propagate_labels, spread_labels


def on_sphere(points):
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def clusters(n=60, classes=3, dim=8, noise=0.15, seed=0):
    """Return embeddings around one random direction per class, and the true labels."""
    random = np.random.default_rng(seed)
    truth = np.arange(n) % classes
    middles = np.linalg.qr(random.normal(size=(dim, classes)))[0].T  # at right angles
    return on_sphere(middles[truth] + noise * random.normal(size=(n, dim))), truth


def one_label_each(truth):
    labels = np.full(len(truth), -1)
    for label in np.unique(truth):
        labels[np.flatnonzero(truth == label)[0]] = label
    return labels


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_one_label_per_cluster_is_enough(classes):
    embeddings, truth = clusters(classes=classes)
    spread, confidence = spread_labels(embeddings, one_label_each(truth))
    np.testing.assert_array_equal(spread, truth)
    assert spread.dtype == np.int64
    assert confidence.dtype == np.float64
    assert spread.shape == confidence.shape == truth.shape
    assert confidence.min() > 0.5


def test_a_label_flows_along_a_chain():
    """The far end of each arc is nearer to the other class's label: only the graph knows better."""
    angles = np.concatenate([np.linspace(0, 3.4, 80), np.linspace(3.9, 5.4, 40)])
    embeddings, truth = on_sphere(np.c_[np.cos(angles), np.sin(angles)]), np.repeat([0, 1], [80, 40])
    labels = np.full(120, -1)
    labels[[0, 80]] = 0, 1
    nearest_known = (embeddings @ embeddings[[0, 80]].T).argmax(axis=1)
    spread, _ = spread_labels(embeddings, labels, n_neighbors=4, rounds=1000)
    assert (nearest_known == truth).mean() < 0.8
    np.testing.assert_array_equal(spread, truth)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 4), known=st.integers(4, 30))
def test_known_labels_stay_and_confidence_is_a_share(seed, classes, known):
    random = np.random.default_rng(seed)
    embeddings = on_sphere(random.normal(size=(30, 5)))
    labels = np.full(30, -1)
    rows = random.choice(30, known, replace=False)
    labels[rows] = 7 * random.integers(classes, size=known)
    spread, confidence = spread_labels(embeddings, labels)
    np.testing.assert_array_equal(spread[rows], labels[rows])
    assert (confidence[rows] == 1).all()
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert set(spread) == set(labels[rows])


def test_names_of_classes_do_not_matter():
    embeddings, truth = clusters(noise=0.4)
    labels = one_label_each(truth)
    spread, confidence = spread_labels(embeddings, labels)
    renamed = np.array([40, 3, 11, -1])
    spread_again, confidence_again = spread_labels(embeddings, renamed[labels])
    np.testing.assert_array_equal(spread_again, renamed[spread])
    np.testing.assert_allclose(confidence_again, confidence)


def test_agrees_with_scikit_learn():
    embeddings, truth = clusters(n=300, classes=4, noise=0.25, seed=1)
    labels = np.where(np.arange(300) < 20, truth, -1)  # five of each class
    theirs = LabelSpreading(kernel="knn", n_neighbors=10, alpha=0.99, max_iter=5000).fit(embeddings, labels)
    ours, _ = spread_labels(embeddings, labels)
    assert (ours == theirs.transduction_).mean() > 0.95
    assert (ours == truth).mean() > 0.95


def dense(embeddings, labels, k, alpha=0.99, rounds=30):
    """The method of the papers with plain n x n matrices."""
    n, classes = len(labels), np.unique(labels[labels >= 0])
    cosine = embeddings.astype(float) @ embeddings.T
    weight = np.zeros((n, n))
    for i in range(n):
        others = [j for j in np.argsort(-cosine[i]) if j != i][:k]
        weight[i, others] = np.maximum(cosine[i, others], 0) ** 3
    weight += weight.T
    degree = weight.sum(axis=1)
    weight /= np.sqrt(np.outer(degree, degree))
    start = np.stack([(labels == c) / (labels == c).sum() for c in classes], axis=1)
    scores = start
    for _ in range(rounds):
        scores = alpha * weight @ scores + (1 - alpha) * start
    scores = scores / scores.sum(axis=0)  # every class ends with the same mass
    return classes[scores.argmax(axis=1)], scores.max(axis=1) / scores.sum(axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_method_with_plain_matrices(seed):
    embeddings, truth = clusters(n=80, noise=0.35, seed=seed)
    labels = np.where(np.arange(80) < [3, 40, 12][seed], truth, -1)
    labels[labels == 0] = np.where(np.arange((labels == 0).sum()) < 1, 0, -1)  # class 0 has one label only
    spread, confidence = spread_labels(embeddings, labels, n_neighbors=6)
    expected, sure = dense(embeddings, labels, 6)
    unknown = labels < 0
    np.testing.assert_array_equal(spread[unknown], expected[unknown])
    np.testing.assert_allclose(confidence[unknown], sure[unknown], rtol=1e-3)


def test_a_dense_class_does_not_swallow_the_others():
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1], [150, 150])
    middles, noise = np.eye(6)[:2], np.where(truth == 0, 0.05, 0.5)[:, None]
    embeddings = on_sphere(middles[truth] + noise * random.normal(size=(300, 6)))
    spread, _ = spread_labels(embeddings, one_label_each(truth))
    assert 100 <= (spread == 1).sum() <= 200


def test_duplicates_and_lonely_images_are_no_trouble():
    embeddings = np.zeros((12, 4), dtype=np.float32)
    embeddings[:6, 0] = embeddings[6:11, 1] = 1
    embeddings[11, 2] = 1  # at right angles to all others: no edge weighs anything
    labels = np.full(12, -1)
    labels[[0, 6]] = 0, 1
    spread, confidence = spread_labels(embeddings, labels, n_neighbors=3)
    np.testing.assert_array_equal(spread[:11], [0] * 6 + [1] * 5)
    assert np.isfinite(confidence).all()
    assert confidence[11] < 0.5


def test_more_neighbours_than_images():
    spread, _ = spread_labels(np.eye(3, dtype=np.float32), np.array([0, 1, -1]), n_neighbors=50)
    assert spread[0] == 0
    assert spread[1] == 1


def test_memory_grows_with_the_neighbours_and_not_with_the_square():
    n = 20_000
    random = np.random.default_rng(0)
    embeddings, labels = on_sphere(random.normal(size=(n, 2))), np.full(n, -1)
    labels[:20] = np.arange(20) % 2
    tracemalloc.start()
    spread_labels(embeddings, labels, n_neighbors=5, rounds=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # a dense graph would need 3.2 GB


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.01, 1.0))
def test_the_gate_passes_the_surest_share_of_each_class(seed, share):
    random = np.random.default_rng(seed)
    spread, confidence = random.integers(3, size=50), random.random(50)
    rows = most_confident(spread, confidence, share)
    assert (np.diff(rows) > 0).all()
    for label in np.unique(spread):
        members = np.flatnonzero(spread == label)
        passed = np.intersect1d(rows, members)
        assert len(passed) == np.ceil(share * len(members))
        left = np.setdiff1d(members, passed)
        if len(left):
            assert confidence[passed].min() >= confidence[left].max()


def test_where_no_label_arrives_there_is_none():
    """Two far groups, one of them without a label: it stays unlabelled, with confidence 0, at any share."""
    random = np.random.default_rng(0)
    centres = np.repeat(np.eye(3, 8), 20, axis=0)
    embeddings = centres + 0.01 * random.normal(size=(60, 8))
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    labels = np.full(60, -1)
    labels[[0, 20]] = 4, 7
    spread, confidence = spread_labels(embeddings, labels, n_neighbors=5)
    assert spread.tolist() == [4] * 20 + [7] * 20 + [-1] * 20
    assert not confidence[40:].any()
    assert most_confident(spread, confidence, 1.0).tolist() == list(range(40))
    np.testing.assert_array_equal(propagate_labels(embeddings, labels, share=1.0), spread)


def test_nothing_to_spread():
    points = np.eye(3, dtype=np.float32)
    for embeddings, labels in ((points, [-1, -1, -1]), (points[:1], [0])):
        with pytest.raises(ValueError, match="There is nothing to spread"):
            spread_labels(embeddings, np.array(labels))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 1.0}, "alpha is 1.0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"n_neighbors": 2.5}, "n_neighbors is 2.5"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        spread_labels(np.eye(3, dtype=np.float32), np.array([0, 1, -1]), **settings)
