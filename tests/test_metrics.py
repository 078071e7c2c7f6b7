"""Intervals, recall, collapse gauges and verdicts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from scipy import stats

from metriclearn.metrics import (
    Interval,
    clustered_interval,
    collapse_diagnostics,
    mean_average_precision_at_r,
    recall_at_k,
    t_interval,
    wilson_interval,
)


def on_sphere(points):
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


# Intervals.


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_mean_interval_equals_scipy(confidence):
    values = [94.1, 95.3, 96.0, 93.8, 95.5]
    interval = t_interval(values, confidence)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert interval.mean == pytest.approx(np.mean(values))
    assert interval.n == 5


def test_mean_interval_from_a_table_of_t():
    interval = t_interval([1.0, 2.0, 3.0])  # t for 2 degrees of freedom is 4.302653
    assert interval.high - 2 == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)


def test_mean_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(0)
    intervals = [t_interval(values) for values in random.normal(95, 1, size=(2000, 5))]
    covered = np.mean([interval.low <= 95 <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.95, abs=0.015)  # three standard errors


@pytest.mark.parametrize("values", [[], [95.0], [[95.0, 96.0]], 95.0])
def test_one_run_has_no_interval(values):
    with pytest.raises(ValueError, match="at least two runs"):
        t_interval(values)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # Wilson's formula by hand with z = 1.959964
        (8, 10, 49.0162, 94.3318),
        (0, 10, 0.0, 27.7533),
        (10, 10, 72.2467, 100.0),
        (960, 1000, 94.5990, 97.0489),
    ],
)
def test_share_interval_has_known_values(hits, n, low, high):
    interval = wilson_interval(hits, n)
    assert interval.low == pytest.approx(low, abs=2e-4)
    assert interval.high == pytest.approx(high, abs=2e-4)
    assert interval.mean == 100 * hits / n
    assert interval.n == n


def test_share_interval_covers_about_as_often_as_it_says():
    hits = np.random.default_rng(0).binomial(1000, 0.96, size=1000)
    intervals = {int(h): wilson_interval(int(h), 1000) for h in np.unique(hits)}
    covered = np.mean([intervals[int(h)].low <= 96 <= intervals[int(h)].high for h in hits])
    assert covered == pytest.approx(0.95, abs=0.03)


def test_images_that_go_together_count_as_one():
    """Three frames each of 16 scenes, all right or all wrong: nearly the interval of 16 images, not of 48."""
    scenes = np.arange(16) % 2 == 0
    found = clustered_interval(np.repeat(scenes, 3), np.repeat(np.arange(16), 3))
    few, many = wilson_interval(8, 16), wilson_interval(24, 48)
    assert (found.mean, found.n) == (50, 48)
    assert found.high - found.low > few.high - few.low > 1.5 * (many.high - many.low)
    assert found.low == pytest.approx(few.low, abs=3)
    all_right = clustered_interval(np.ones(48, bool), np.repeat(np.arange(16), 3))
    assert all_right.low < wilson_interval(16, 16).low
    assert all_right.high == 100


def test_groups_of_one_are_no_groups():
    right = np.arange(20) < 13
    assert (
        clustered_interval(right) == clustered_interval(right, np.arange(20)[::-1]) == wilson_interval(13, 20)
    )
    assert clustered_interval(right, np.zeros(20, int)) == Interval(65, 0, 100, 20)


@pytest.mark.parametrize(
    ("n_groups", "size", "alike"), [(16, 3, 1.0), (16, 3, 0.3), (6, 20, 0.1), (40, 2, 0.5)]
)
def test_interval_of_groups_covers_at_least_about_as_often_as_it_says(n_groups, size, alike):
    """Of groups whose images agree more or less: shares from a beta distribution, 80 % right on average."""
    random = np.random.default_rng(0)
    covered, groups = [], np.repeat(np.arange(n_groups), size)
    for _ in range(400):
        if alike == 1:
            shares = random.random(n_groups) < 0.8
        else:
            shares = random.beta(0.8 * (1 - alike) / alike, 0.2 * (1 - alike) / alike, n_groups)
        found = clustered_interval(random.random(n_groups * size) < np.repeat(shares, size), groups)
        covered.append(found.low <= 80 <= found.high)
    assert np.mean(covered) > 0.92


@pytest.mark.parametrize(("hits", "n"), [(1, 0), (-1, 10), (11, 10), (0, 0)])
def test_impossible_shares(hits, n):
    with pytest.raises(ValueError, match=r"(hits|n) is .*: choose a whole number"):
        wilson_interval(hits, n)


def test_an_interval_prints_with_one_decimal():
    assert str(Interval(95.04, 94.26, 95.85, 5)) == "95.0 [94.3, 95.8]"


# Recall.


def recall_by_loop(embeddings, labels, k):
    hits = 0
    for i, anchor in enumerate(embeddings):
        others = [j for j in range(len(labels)) if j != i]
        others.sort(key=lambda j: np.linalg.norm(embeddings[j] - anchor))
        hits += any(labels[j] == labels[i] for j in others[:k])
    return hits / len(labels)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 19))
def test_recall_equals_its_loop(seed, k):
    random = np.random.default_rng(seed)
    embeddings, labels = on_sphere(random.normal(size=(20, 6))), random.integers(5, size=20)
    before = embeddings.copy()
    assert recall_at_k(embeddings, labels, k) == pytest.approx(recall_by_loop(embeddings, labels, k))
    np.testing.assert_array_equal(embeddings, before)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_recall_needs_others_to_look_at(k):
    with pytest.raises(ValueError, match=f"k is {k}: choose a whole number from 1 to 3"):
        recall_at_k(np.eye(4, dtype=np.float32), np.zeros(4, dtype=int), k)


# MAP@R.


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(12, 60))
def test_map_at_r_equals_pytorch_metric_learning(seed, n):
    random = np.random.default_rng(seed)
    embeddings = on_sphere(random.normal(size=(n, 6)))
    labels = np.append(random.integers(1, 5, size=n - 1), 0)  # the last image has no other of its class
    labels[:2] = 1
    judge = AccuracyCalculator(
        include=("mean_average_precision_at_r",), k="max_bin_count", knn_func=CustomKNN(CosineSimilarity())
    )
    theirs = judge.get_accuracy(torch.as_tensor(embeddings), torch.as_tensor(labels))
    before = embeddings.copy()
    ours = mean_average_precision_at_r(embeddings, labels)
    assert ours == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-6)
    np.testing.assert_array_equal(embeddings, before)


def test_map_at_r_of_a_ranking_by_hand():
    angles = np.deg2rad([0, 10, 25, 45, 180])  # a b a a, and one that nobody labelled
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    labels = np.array([0, 1, 0, 0, -1])
    # R = 2. From 0 degrees: b a. From 25: b a. From 45: a b. The b has no other and is left out.
    assert mean_average_precision_at_r(embeddings, labels) == pytest.approx((0.25 + 0.25 + 0.5) / 3)


def test_map_at_r_is_one_only_for_a_perfect_order():
    apart = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    assert mean_average_precision_at_r(apart, np.arange(40) % 4) == pytest.approx(1)
    swapped = np.arange(40) % 4
    swapped[:2] = swapped[1::-1]
    assert mean_average_precision_at_r(apart, swapped) < 0.99


@pytest.mark.parametrize("labels", [[0, 1, 2, -1], [-1, -1, -1, -1]])
def test_map_at_r_needs_two_of_a_class(labels):
    with pytest.raises(ValueError, match="No two images share a class"):
        mean_average_precision_at_r(np.eye(4, dtype=np.float32), np.array(labels))


# Gauges.


def gauges_by_loop(embeddings, labels, margin):
    n = len(labels)
    d = [[float(np.linalg.norm(a - b)) for b in embeddings.astype(float)] for a in embeddings.astype(float)]
    pairs = [d[i][j] for i in range(n) for j in range(n) if i != j]
    hard, active, total = [], 0, 0
    for a in range(n):
        positives = [d[a][j] for j in range(n) if j != a and labels[j] == labels[a]]
        negatives = [d[a][j] for j in range(n) if labels[j] != labels[a]]
        total += len(positives) * len(negatives)
        active += sum(p - q + margin > 0 for p in positives for q in negatives)
        if positives:
            hard.append(max(0.0, max(positives) - min(negatives) + margin))
    return np.mean(pairs), np.mean(hard), active / total


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("margin", [0.1, 0.2, 0.8])
def test_gauges_equal_their_loops(seed, margin):
    random = np.random.default_rng(seed)
    embeddings, labels = on_sphere(random.normal(size=(16, 4))), np.arange(16) % 3
    labels[0] = 9  # a class of one has no positive
    gauges = collapse_diagnostics(embeddings, labels, margin)
    seen = (gauges.mean_distance, gauges.hard_loss, gauges.active)
    assert seen == pytest.approx(gauges_by_loop(embeddings, labels, margin), rel=1e-4)


def test_gauges_at_a_collapse():
    point = on_sphere(np.random.default_rng(0).normal(size=(1, 32)))
    gauges = collapse_diagnostics(np.repeat(point, 20, axis=0), np.arange(20) % 4, margin=0.2)
    assert gauges.mean_distance == pytest.approx(0, abs=1e-3)
    assert gauges.rank == pytest.approx(1, abs=1e-2)
    assert gauges.hard_loss == pytest.approx(0.2, abs=2e-3)
    assert gauges.active == 1


def test_gauges_when_classes_are_spread():
    gauges = collapse_diagnostics(np.eye(8, dtype=np.float32)[np.arange(32) % 8], np.arange(32) % 8)
    assert gauges.rank == pytest.approx(8, rel=1e-4)
    assert gauges.hard_loss == 0
    assert gauges.active == 0
    assert gauges.mean_distance == pytest.approx(np.sqrt(2) * 28 / 31)


def test_mean_distance_of_a_filled_sphere():
    random = np.random.default_rng(0)
    gauges = collapse_diagnostics(on_sphere(random.normal(size=(200, 64))), np.arange(200) % 2)
    assert gauges.mean_distance == pytest.approx(1.4, abs=0.03)
    assert gauges.rank > 55
