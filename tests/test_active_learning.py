"""Which images to label next, and labels that flow to the rest through a gate."""

import numpy as np
import pytest

from metriclearn.curation import select_for_labelling
from metriclearn.label_propagation import propagate_labels


@pytest.fixture
def store():
    """Three groups of 40 on the sphere, one label each: embeddings, labels, truth."""
    truth = np.repeat(np.arange(3), 40)
    noise = np.random.default_rng(0).normal(scale=0.15, size=(120, 8))
    embeddings = (np.eye(8)[truth] + noise).astype(np.float32)
    labels = np.full(120, -1)
    labels[[0, 40, 80]] = [0, 1, 2]
    return embeddings, labels, truth


@pytest.mark.parametrize("strategy", ["uncertainty", "diversity", "mixed"])
def test_it_chooses_unlabelled_images_each_once(store, strategy):
    embeddings, labels, _ = store
    for n in (1, 12, 117):
        rows = select_for_labelling(embeddings, labels, n, strategy)
        assert len(np.unique(rows)) == len(rows) == n
        assert (labels[rows] == -1).all()


def test_diversity_takes_the_farthest_and_mixed_visits_every_group(store):
    embeddings, labels, truth = store
    labels[80] = -1
    assert truth[select_for_labelling(embeddings, labels, 1, "diversity")] == 2
    labels[80] = 2
    assert set(truth[select_for_labelling(embeddings, labels, 3, "mixed")]) == {0, 1, 2}


def test_uncertainty_takes_the_image_between_two_groups(store):
    embeddings, labels, _ = store
    embeddings[7] = embeddings[:40].mean(axis=0) + embeddings[40:80].mean(axis=0)
    assert 7 in select_for_labelling(embeddings, labels, 3, "uncertainty")


def test_identical_images_do_not_shorten_the_choice(store):
    embeddings, labels, _ = store
    embeddings[1:40] = embeddings[0]
    assert len(np.unique(select_for_labelling(embeddings, labels, 100, "mixed"))) == 100


def test_the_gate_leaves_the_unsure_unlabelled_and_known_labels_alone(store):
    embeddings, labels, truth = store
    added = propagate_labels(embeddings, labels, share=0.5)
    assert (added == -1).sum() == 60
    assert (added[labels != -1] == labels[labels != -1]).all()
    assert (added[added != -1] == truth[added != -1]).all()
    assert (propagate_labels(embeddings, labels, share=1) != -1).all()


def ask(embeddings, labels):
    return select_for_labelling(embeddings, labels, 1)


@pytest.mark.parametrize("call", [ask, propagate_labels])
def test_labels_that_do_not_fit(store, call):
    embeddings, labels, _ = store
    for wrong, message in [
        (np.full(120, -1), "no label"),
        (np.where(labels == 0, 0, -1), "only one class"),
        (labels[:119], "120 images but 119 labels"),
        (np.append(labels, 0), "120 images but 121 labels"),
        (labels.astype(str), "number the classes from 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            call(embeddings, wrong)


@pytest.mark.parametrize("call", [ask, propagate_labels])
def test_a_list_of_labels_is_as_good_as_an_array(store, call):
    embeddings, labels, _ = store
    np.testing.assert_array_equal(call(embeddings, labels.tolist()), call(embeddings, labels))


def test_errors_say_what_to_do(store):
    embeddings, labels, truth = store
    for n in (0, 118, 1.5):
        with pytest.raises(
            ValueError, match=r"n, of 117 unlabelled images, is .*: choose a whole number from 1 to 117"
        ):
            select_for_labelling(embeddings, labels, n)
    with pytest.raises(ValueError, match="n, of 0 unlabelled images, is 1"):
        select_for_labelling(embeddings, truth, 1)
    with pytest.raises(ValueError, match="strategy is 'best'"):
        select_for_labelling(embeddings, labels, 1, "best")
    for share in (0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="share is"):
            propagate_labels(embeddings, labels, share)
