"""Confidence as a probability: against what is true of made-up answers, and where there are few."""

import numpy as np
import pytest

from metriclearn.calibration import Calibration, expected_calibration_error, held_out_probabilities
from metriclearn.cross_validation import CrossValidation
from metriclearn.neighbours import Predictions


def answers(n, seed=0, intercept=-9.0, similarity=12.0):
    """Return n answers, whether each is right, and the probability with which it is."""
    random = np.random.default_rng(seed)
    near = random.uniform(0.5, 1, n)
    share = np.where(random.random(n) < 0.8, 1.0, random.uniform(0.4, 1, n))
    true = 1 / (1 + np.exp(-intercept - similarity * near))
    nearest, cosines = np.zeros((n, 5), dtype=np.int64), np.tile(near[:, None], 5).astype(np.float32)
    said = Predictions(np.zeros(n, dtype=np.int64), share, near.astype(np.float32), nearest, cosines)
    return said, random.random(n) < true, true


def held_out(said, right):
    return CrossValidation(np.arange(len(right)), np.where(right, 0, 1), said, 5)


def test_it_finds_the_probability_with_which_answers_are_right():
    calibration = Calibration.fit(*answers(5000)[:2])
    said, _, true = answers(2000, seed=1)
    assert np.abs(calibration.probability(said) - true).mean() < 0.02


@pytest.mark.parametrize(("n", "points"), [(50, 9), (100, 7), (300, 4.5), (3000, 3)])
def test_with_few_answers_it_errs_by_a_few_points(n, points):
    errors = []
    for seed in range(20):
        said, right, _ = answers(n, seed)
        new, truth, _ = answers(2000, 1000 + seed)
        errors.append(expected_calibration_error(Calibration.fit(said, right).probability(new), truth))
    assert np.mean(errors) < points


def test_the_mean_probability_is_the_share_that_is_right():
    said, right, _ = answers(200)
    assert Calibration.fit(said, right).probability(said).mean() == pytest.approx(right.mean(), abs=1e-6)


def test_nearer_is_never_less_likely_right():
    said, right, _ = answers(400, intercept=9.0, similarity=-12.0)  # the nearer, the worse
    assert Calibration.fit(said, right).similarity == 0


@pytest.mark.parametrize(
    ("n", "hits", "expected"), [(19, 10, 11 / 21), (100, 100, 101 / 102), (100, 0, 1 / 102)]
)
def test_where_nothing_can_be_learned_one_number_stands_for_all(n, hits, expected):
    said, _, _ = answers(n)
    found = Calibration.fit(said, np.arange(n) < hits).probability(said)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("correct", [[], [True], np.ones((100, 1), dtype=bool)])
def test_what_does_not_fit_is_refused(correct):
    with pytest.raises(ValueError, match="pass one for each held-out answer"):
        Calibration.fit(answers(100)[0], correct)


def test_held_out_probabilities_have_not_met_their_answer():
    said, right, _ = answers(60)
    usual = held_out_probabilities(held_out(said, right))
    for row in range(3):
        other = right.copy()
        other[row] = not other[row]
        changed = held_out_probabilities(held_out(said, other))
        assert changed[row] == usual[row]
        assert (changed != usual).sum() >= 40


def test_the_calibration_error_is_that_of_a_loop():
    random = np.random.default_rng(0)
    told, right = random.random(107), random.random(107) < 0.6
    total = 0.0
    for part in np.array_split(sorted(range(107), key=lambda i: told[i]), 10):
        total += abs(sum(told[part]) / len(part) - sum(right[part]) / len(part)) * len(part) / 107
    assert expected_calibration_error(told, right) == pytest.approx(100 * total)


def test_a_sure_liar_and_an_honest_one():
    assert expected_calibration_error([1.0] * 10, [True] * 6 + [False] * 4) == pytest.approx(40)
    assert expected_calibration_error([0.6] * 10, [True] * 6 + [False] * 4, bins=1) == pytest.approx(0)
