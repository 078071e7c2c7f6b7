"""k-nearest neighbours and their weighted vote."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metriclearn import QdrantClassifier
from metriclearn.neighbours import nearest, votes


def unit(n, dim=5, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), k=st.integers(1, 12), skip_self=st.booleans())
def test_nearest_equals_a_sorted_list(seed, k, skip_self):
    stored = unit(13, seed=seed)
    asked = stored if skip_self else unit(7, seed=seed + 1)
    rows, cosines = nearest(asked, stored, k, skip_self=skip_self)
    for i, row in enumerate(asked):
        others = [j for j in range(len(stored)) if not (skip_self and i == j)]
        expected = sorted(others, key=lambda j: -float(row @ stored[j]))[:k]
        assert rows[i].tolist() == expected
        np.testing.assert_allclose(cosines[i], stored[expected] @ row, atol=1e-6)


def test_a_row_is_left_out_of_its_own_neighbours_even_among_its_copies():
    same = np.repeat(unit(1), 6, axis=0)
    rows, _ = nearest(same, same, 5, skip_self=True)
    assert all(i not in row for i, row in enumerate(rows))


def test_a_nearer_neighbour_weighs_more():
    labels, cosines = np.array([[1, 0, 0]]), np.array([[0.9, 0.8, 0.7]])
    classes, shares = votes(labels, cosines, temperature=0.1)
    weights = np.exp((cosines[0] - 1) / 0.1)
    assert classes.tolist() == [0, 1]
    np.testing.assert_allclose(shares[0], [weights[1:].sum() / weights.sum(), weights[0] / weights.sum()])


def test_classes_come_in_the_order_asked_for_and_may_get_no_vote():
    classes, shares = votes(np.array([[5, 5]]), np.array([[1.0, 0.5]]), np.array([9, 5, 7]))
    assert classes.tolist() == [9, 5, 7]
    np.testing.assert_allclose(shares, [[0, 1, 0]])


@pytest.mark.parametrize("temperature", [1e-300, 1e-8, 1e8])
def test_no_temperature_loses_all_votes(temperature):
    _, shares = votes(np.array([[0, 1]]), np.array([[-0.2, -0.9]]), temperature=temperature)
    assert shares.sum() == pytest.approx(1)


def test_the_classifier_on_a_database_gives_the_same_shares():
    stored, asked, labels = unit(40), unit(20, seed=1), np.arange(40) % 4
    rows, cosines = nearest(asked, stored, 5)
    _, shares = votes(labels[rows], cosines, np.arange(4))
    with QdrantClassifier(path=":memory:").fit(stored, labels) as classifier:
        np.testing.assert_allclose(classifier.predict_proba(asked), shares, atol=1e-5)
