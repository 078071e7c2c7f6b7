"""Every labelled image is judged once, by a classifier that has not met it."""

import numpy as np
import pytest

from metriclearn import QdrantClassifier
from metriclearn.cross_validation import (
    cross_validate,
    leave_one_class_out,
    predict_by_neighbours,
    significantly_better,
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


# Groups.


def scenes(n=16, frames=3, seed=0):
    """Return embeddings of some frames of each of n scenes, labels that the scenes drew, and the scenes."""
    random = np.random.default_rng(seed)
    shown = np.repeat(np.arange(n), frames)
    vectors = random.normal(size=(n, 8))[shown] + 0.1 * random.normal(size=(n * frames, 8))
    return np.float32(vectors), random.permutation(np.arange(n) % 2)[shown], shown


def test_frames_of_one_scene_do_not_name_each_other():
    """Nothing can be learned here, so half of the answers are right; frame by frame nearly all would be."""
    vectors, labels, shown = scenes()
    alone = cross_validate(lambda rows, known: vectors, labels)
    together = cross_validate(lambda rows, known: vectors, labels, groups=shown)
    assert alone.accuracy.low > 80
    assert together.accuracy.low < 50 < together.accuracy.high
    assert together.accuracy.high - together.accuracy.low > 35  # 16 scenes, not 48 images
    assert together.threshold(0.5) < 0.9 < alone.threshold(0.5)  # the nearest is of another scene


def random_groups(seed, n=60, alone=5):
    """Return labels of three classes and groups of any sizes, some rows unlabelled, some in no group."""
    random = np.random.default_rng(seed)
    groups, labels = random.integers(0, 12, n), random.integers(0, 3, n)
    labels[random.permutation(n)[:15]] = -1
    groups[:alone] = -1
    return labels, groups


@pytest.mark.parametrize("seed", range(5))
def test_no_group_lies_on_both_sides(seed):
    """Of what is held out nothing is learned, unlabelled images of a group included, and nothing votes."""
    labels, groups = random_groups(seed)
    learned = []

    def learn(rows, known):
        np.testing.assert_array_equal(known, labels[rows])
        learned.append(rows)
        return np.eye(60, dtype=np.float32) + 1

    held = cross_validate(learn, labels, groups=groups, seed=seed)
    folds = stratified_folds(labels, seed=seed, groups=groups)
    np.testing.assert_array_equal(held.rows, np.flatnonzero(labels >= 0))
    np.testing.assert_array_equal(np.sort(np.concatenate([out for _, out in folds])), held.rows)
    for rows, (stay, held_out) in zip(learned, folds, strict=True):
        assert set(stay) == {row for row in rows if labels[row] >= 0}
        named = set(groups[held_out]) - {-1}
        assert not named & set(groups[rows])
        assert not set(held_out) & set(rows)
        others = np.setdiff1d(np.arange(60), [*rows, *held_out])
        assert set(groups[others]) <= named  # no more is left out than that
    voted = groups[held.predictions.nearest]
    assert not ((voted == groups[held.rows][:, None]) & (voted >= 0)).any()


def test_folds_of_groups_are_balanced_and_follow_the_seed():
    labels = np.repeat(np.arange(3), 40)
    groups = np.arange(120) // 4  # ten of each class
    splits = [stratified_folds(labels, seed=seed, groups=groups) for seed in (0, 0, 1)]
    first, again, other = ([out.tolist() for _, out in split] for split in splits)
    assert first == again != other
    assert [np.bincount(labels[out]).tolist() for out in first] == [[8, 8, 8]] * 5
    renamed = stratified_folds(labels, seed=0, groups=[f"part {29 - number}" for number in groups])
    assert [out.tolist() for _, out in renamed] == first


@pytest.mark.parametrize(
    "groups", [np.arange(18), [-1] * 18, [None, ""] * 9, [f"part {i}" for i in range(18)]]
)
def test_where_each_stands_alone_the_folds_are_those_without_groups(groups):
    labels = np.array([0, 1, -1] * 6)
    for (stay, out), (stay_too, out_too) in zip(
        stratified_folds(labels, 3), stratified_folds(labels, 3, groups=groups), strict=True
    ):
        np.testing.assert_array_equal(stay, stay_too)
        np.testing.assert_array_equal(out, out_too)


def test_a_class_in_one_group_is_not_judged_and_stays_an_example():
    vectors, labels, shown = scenes(n=8)
    labels[shown == 7] = 2
    held = cross_validate(lambda rows, known: vectors, labels, groups=shown)
    assert set(held.per_class) == {0, 1}
    assert not np.isin(np.flatnonzero(labels == 2), held.rows).any()
    assert np.isin(np.flatnonzero(labels == 2), held.predictions.nearest).any()
    for found in [held.accuracy, *held.per_class.values()]:
        assert 0 <= found.low <= found.mean <= found.high <= 100


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([0] * 12, "lie in 1 groups?, but fewer than two classes in more than one"),
        ([0] * 6 + [1] * 6, "lie in 2 groups, but fewer than two classes"),  # a group for each class
        ([0] * 6 + [1] * 3 + [2] * 3, "lie in 3 groups, but fewer than two classes"),
        ([0, 1] * 5, r"The groups have shape \(10,\): pass one for each of the 12 images"),
        ([[0, 1]] * 6, r"The groups have shape \(6, 2\)"),
        ([0.5] * 12, "The group in row 0 is 0.5"),
    ],
)
def test_groups_that_cannot_be_judged(groups, words):
    with pytest.raises(ValueError, match=words):
        cross_validate(lambda rows, known: np.eye(12, dtype=np.float32), np.repeat([0, 1], 6), groups=groups)


def test_with_a_class_all_its_groups_are_left_out():
    labels, groups = random_groups(1)
    labels[np.isin(groups, (0, 1, 2))] = np.where(labels[np.isin(groups, (0, 1, 2))] < 0, -1, 0)
    labels[np.isin(groups, (3, 4))] = 1
    labels[np.isin(groups, (5, 6))] = 2
    asked = []

    def learn(rows, known):
        left_out = np.setdiff1d(np.arange(60), rows)
        asked.append(left_out)
        named = set(groups[left_out]) - {-1}
        assert not named & set(groups[rows])
        return np.eye(60, dtype=np.float32) + 1

    assert leave_one_class_out(learn, labels, 0.5, groups=groups) is not None
    assert asked
    mixed = np.arange(30) % 3, np.arange(30) // 10  # each group holds all classes
    assert leave_one_class_out(learn, mixed[0], 0.5, groups=mixed[1]) is None


def test_a_group_tosses_one_coin():
    """Six frames more that are right tell something, unless they are of two scenes."""
    rows = np.arange(20)

    class Judged:
        def __init__(self, correct, groups):
            self.rows, self.correct, self.groups = rows, correct, groups

    better, worse = np.ones(20, bool), np.arange(20) >= 6
    assert significantly_better(Judged(better, None), Judged(worse, None))
    for groups, clear in ((rows, True), (rows // 3, False), (np.r_[rows[:6], [6] * 14], True)):
        assert significantly_better(Judged(better, groups), Judged(worse, groups)) == clear
        assert not significantly_better(Judged(worse, groups), Judged(better, groups))
