"""Every labelled image is judged once, by a classifier that has not met it."""

import numpy as np
import pytest

from metriclearn import QdrantClassifier
from metriclearn.cross_validation import (
    cross_validate,
    leave_one_class_out,
    predict_by_neighbours,
    stratified_folds,
)


def test_the_threshold_holds_for_images_never_seen():
    """Of 60 draws, the mean share of new known images called unknown is at most the one promised."""
    shares = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        centres = random.normal(size=(4, 8))
        labels = np.repeat(np.arange(4), 15)
        cloud = lambda n: np.float32(  # noqa: E731
            np.repeat(centres, n, axis=0) + 0.5 * random.normal(size=(4 * n, 8))  # noqa: B023
        )
        known, fresh = cloud(15), cloud(100)
        threshold = cross_validate(lambda rows, given: known, labels, seed=seed).threshold(0.1)  # noqa: B023
        shares.append((predict_by_neighbours(known, labels, fresh).similarity < threshold).mean())
    assert 0.04 < np.mean(shares) <= 0.1


def test_the_vote_is_that_of_the_classifier():
    random = np.random.default_rng(0)
    known, asked = (
        random.normal(size=(30, 6)).astype(np.float32),
        random.normal(size=(20, 6)).astype(np.float32),
    )
    labels = random.integers(0, 3, 30)
    found = predict_by_neighbours(known, labels, asked)
    classifier = QdrantClassifier(path=None).fit(known, labels)
    np.testing.assert_array_equal(found.labels, classifier.predict(asked))
    np.testing.assert_allclose(found.confidence, classifier.predict_proba(asked).max(axis=1), atol=1e-5)


def test_held_out_images_are_never_learned_from():
    labels = np.array([0, 1] * 6 + [-1] * 3)
    seen = []

    def learn(rows, known):
        np.testing.assert_array_equal(known, labels[rows])
        seen.append(set(range(15)) - set(rows.tolist()))
        return np.eye(15, dtype=np.float32) + 1

    held = cross_validate(learn, labels, folds=3)
    assert sorted(row for rows in seen for row in rows) == list(range(12))  # each once, the pool never
    np.testing.assert_array_equal(held.rows, np.arange(12))


def test_cross_validation_may_end_early():
    """What is shown after a fold is what that fold has found; nobody is asked after the last one."""
    labels, shown = np.repeat([0, 1], 6), []
    vectors = np.float32(np.eye(2)[labels])

    def stop(so_far):
        shown.append((so_far.folds, len(so_far.rows)))
        return len(shown) == 2

    held = cross_validate(lambda rows, known: vectors, labels, folds=3, stop=stop)
    assert shown == [(1, 4), (2, 8)]
    assert (held.folds, len(held.rows), held.correct.all()) == (2, 8, True)
    shown.clear()
    assert cross_validate(lambda rows, known: vectors, labels, folds=2, stop=stop).folds == 2
    assert shown == [(1, 6)]


def test_images_of_an_unseen_class_are_called_unknown():
    """Three tight, far groups: a class without examples is always noticed, and never where all is one."""
    labels = np.repeat(np.arange(3), 6)
    groups = np.float32(np.eye(3)[labels] + 0.01 * np.random.default_rng(0).normal(size=(18, 3)))
    assert leave_one_class_out(lambda rows, known: groups, labels, 0.5).mean == 100
    assert leave_one_class_out(lambda rows, known: np.ones((18, 3), np.float32), labels, 0.5).mean == 0
    with pytest.raises(ValueError, match="at least three classes"):
        leave_one_class_out(lambda rows, known: groups, np.repeat([0, 1], 9), 0.5)


def test_folds_hold_out_each_labelled_row_once_with_every_class_in_each():
    labels = np.array([0, 1, -1] * 6)
    folds = stratified_folds(labels, 3)
    assert sorted(row for _, held_out in folds for row in held_out) == np.flatnonzero(labels >= 0).tolist()
    for stay, held_out in folds:
        assert not set(stay) & set(held_out)
        assert np.bincount(labels[held_out]).tolist() == [2, 2]


def test_no_more_folds_than_the_smallest_class_has_images():
    assert len(stratified_folds(np.array([0, 0, 1, 1, 1, 1]), 5)) == 2


def test_nearest_examples_are_named_by_their_rows():
    labels = np.array([0, 0, 0, -1, 1, 1, 1])
    vectors = np.float32(np.column_stack([np.cos(labels), np.sin(labels)]))
    held = cross_validate(lambda rows, known: vectors, labels, folds=3, k=2)
    assert held.predictions.nearest.shape == (6, 2)
    np.testing.assert_array_equal(labels[held.predictions.nearest], labels[held.rows][:, None].repeat(2, 1))
    assert not (held.predictions.nearest == held.rows[:, None]).any()


def test_a_threshold_needs_enough_held_out_images():
    labels = np.repeat([0, 1], 9)
    held = cross_validate(lambda rows, known: np.float32(np.eye(2)[labels]), labels)
    assert held.threshold(0.05) is None  # 18 images, of which 5 % are less than one
    assert held.threshold(0.1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 0, 1], "Class 1 has one labelled picture"),
        ([-1, -1, -1], "holds no label"),
        ([0, 0, 0], "one class"),
    ],
)
def test_labels_that_cannot_be_judged(labels, words):
    with pytest.raises(ValueError, match=words):
        cross_validate(lambda rows, known: np.eye(3, dtype=np.float32), labels)
