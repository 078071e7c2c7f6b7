"""Near-duplicates, outliers, suspicious labels and maps, against loops written by hand."""

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from metriclearn.curation import (
    DuplicatePair,
    duplicate_groups,
    duplicates,
    embedding_map,
    label_errors,
    near_duplicates,
    outliers,
    select_for_labelling,
    what_to_review,
)
from metriclearn.index import EmbeddingIndex
from metriclearn.label_propagation import propagate_labels
from metriclearn.photos import read_photographs
from metriclearn.unknown import unknown_threshold


def vectors(n=30, width=5):
    """Return random directions, float32 of shape `(n, width)`."""
    found = np.random.default_rng(0).normal(size=(n, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_near_duplicates_are_all_pairs_above_the_threshold():
    """Every pair of a loop over all pairs, each once, the closest first."""
    given = vectors()
    expected = {(i, j) for i in range(30) for j in range(i + 1, 30) if given[i] @ given[j] >= 0.8}
    pairs, cosines = near_duplicates(given, 0.8, k=29)
    assert expected
    assert {(int(a), int(b)) for a, b in pairs} == expected
    assert len(pairs) == len(expected)
    assert np.all(np.diff(cosines) <= 0)
    np.testing.assert_allclose(cosines, [given[a] @ given[b] for a, b in pairs], atol=1e-5)


def write_series(folder, series, step):
    """Write pictures that change step by step, a few of each scene; names tell the scene."""
    folder.mkdir()
    for scene, n in enumerate(series):
        random = np.random.default_rng(scene)
        grid = random.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        start = np.asarray(Image.fromarray(grid).resize((160, 120), Image.Resampling.BICUBIC))
        for i in range(n):
            Image.fromarray(np.roll(start, step * i, axis=1)).save(folder / f"scene{scene}_{i:02}.png")
    return folder


def test_near_duplicates_of_one_scene_are_a_group(tmp_path):
    """Each frame resembles the next one alone; 15 equal ones have more neighbours than are compared."""
    folder = write_series(tmp_path / "in", (8, 5, 1), 1)
    for i in range(15):
        noisy = np.asarray(Image.open(folder / "scene2_00.png")).copy()
        noisy[i, i] = 255 - noisy[i, i]
        Image.fromarray(noisy).save(folder / f"scene2_{i + 1:02}.png")
    photographs = read_photographs(folder, cache=tmp_path / "cache")
    scenes = np.array([int(name[5]) for name in photographs.files])
    pairs = {(pair.first, pair.second) for pair in duplicates(photographs)}
    assert (0, 1) in pairs
    assert (0, 7) not in pairs
    groups = duplicate_groups(photographs)
    assert len({*zip(groups.tolist(), scenes.tolist(), strict=True)}) == len({*groups.tolist()}) == 3
    assert len({*duplicate_groups(photographs, threshold=1).tolist()}) > 3
    plants = np.where(scenes == 0, "north", None)
    plants[-1] = "north"  # one of the equal ones
    joined = duplicate_groups(photographs, plants)
    np.testing.assert_array_equal(joined == joined[0], scenes != 1)
    with pytest.raises(ValueError, match="threshold is 2"):
        duplicate_groups(photographs, threshold=2)
    with pytest.raises(ValueError, match="pass one for each of the 29 images"):
        duplicate_groups(photographs, [1, 2])


def test_outliers_are_far_from_their_kth_neighbour():
    """As scikit-learn's neighbours by cosine, itself left out."""
    distances, _ = NearestNeighbors(n_neighbors=5, metric="cosine").fit(vectors()).kneighbors(vectors())
    np.testing.assert_allclose(outliers(vectors(), k=4), distances[:, -1], atol=1e-5)


def test_suspicious_labels_count_weighted_votes_of_others():
    """A loop over the images gives the same; an unlabelled one scores 0 and has no vote."""
    given, labels = vectors(), np.arange(30) % 3
    labels[:4] = -1
    scores = label_errors(given, labels, k=6, temperature=0.2)
    for i in range(4, 30):
        others = sorted((j for j in range(4, 30) if j != i), key=lambda j: -given[i] @ given[j])[:6]
        votes = [float(np.exp(given[i] @ given[j] / 0.2)) for j in others]
        against = sum(v for v, j in zip(votes, others, strict=True) if labels[j] != labels[i])
        assert scores[i] == pytest.approx(against / sum(votes), abs=1e-4)
    assert not scores[:4].any()


def test_near_duplicates_do_not_confirm_each_other():
    """A wrong label was copied to all five frames of a scene: to each of these the others are nearest."""
    random = np.random.default_rng(0)
    given = np.repeat(np.eye(4)[:2], 15, axis=0) + random.normal(0, 0.1, (30, 4))
    given[:5] = given[0] + random.normal(0, 0.001, (5, 4))
    labels = np.repeat([0, 1], 15)
    labels[:5] = 1
    groups = np.r_[[0] * 5, np.arange(1, 26)]
    assert label_errors(given, labels, k=4)[:5].max() < 0.5
    scores = label_errors(given, labels, k=4, groups=groups)
    assert scores[:5].min() > 0.9
    assert np.median(scores[5:]) < 0.1
    pairs = [DuplicatePair(i, i + 1, 0.999, False, False) for i in range(4)]
    for near, found in ((pairs, [0, 1, 2, 3, 4]), ([], [])):
        review = what_to_review(given, labels, near, n_next=0)
        assert sorted(item.row for item in review if item.kind == "label" and item.row < 5) == found
    assert {item.suggestion for item in what_to_review(given, labels, pairs) if item.row < 5} == {0, -1}
    alike = [DuplicatePair(0, i, 0.99, False, False) for i in range(1, 30)]  # nobody would be left to judge
    labels_found = [item for item in what_to_review(given, labels, alike) if item.kind == "label"]
    assert labels_found == [item for item in what_to_review(given, labels) if item.kind == "label"]
    alone = label_errors(given, labels, k=4, groups=np.arange(30))
    np.testing.assert_allclose(alone, label_errors(given, labels, k=4), atol=1e-6)
    assert not label_errors(given, labels, k=4, groups=np.r_[[0] * 15, np.arange(1, 16)])[labels == 0].any()
    same, few = np.ones((6, 4)) + random.normal(0, 1e-3, (6, 4)), np.array([1, 1, 1, 0, 0, 1])
    assert label_errors(same, few, k=5, groups=[0, 0, 0, 1, 2, 3])[0] == pytest.approx(2 / 3, abs=0.01)
    with pytest.raises(ValueError, match="of one group"):
        label_errors(given, labels, groups=np.zeros(30, int))


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.full(30, -1), "no label"), (np.zeros(30, int), "only one class"), (np.arange(29) % 3, "29 labels")],
)
def test_labels_that_cannot_be_judged(labels, message):
    """No label at all, one class, another length."""
    with pytest.raises(ValueError, match=message):
        label_errors(vectors(), labels)


def partly(n):
    """Return labels of two classes for the first four of n images."""
    return np.array([0, 1, 0, 1] + [-1] * (n - 4))[:n]


@pytest.mark.parametrize(
    "call",
    [
        near_duplicates,
        outliers,
        embedding_map,
        unknown_threshold,
        lambda given: label_errors(given, partly(len(given)), k=2),
        lambda given: select_for_labelling(given, partly(len(given)), 1),
        lambda given: propagate_labels(given, partly(len(given))),
    ],
    ids=["duplicates", "outliers", "map", "threshold", "suspicious", "next", "propagate"],
)
def test_embeddings_that_do_not_fit(call):
    """No image, one row, NaN, integers, no direction: each function says so."""
    zero = vectors()
    zero[3] = 0
    for given, message in [
        (vectors(0), "at least one row"),
        (vectors()[0], r"shape \(5,\): pass floats of shape"),
        (vectors() * np.nan, "NaN or infinity"),
        ((10 * vectors()).astype(int), "type int64 .*: pass floats"),
        (zero, "row 3 is all zeros"),
    ]:
        with pytest.raises(ValueError, match=message):
            call(given)


@pytest.mark.parametrize("call", [near_duplicates, outliers])
def test_k_is_less_than_n(call):
    """As many neighbours as images is one too many."""
    with pytest.raises(ValueError, match="k is 30"):
        call(vectors(), k=30)
    with pytest.raises(ValueError, match="k is 30"):
        label_errors(vectors(), np.arange(30) % 3, k=30)
    with pytest.raises(ValueError, match="k is 4: choose a whole number from 1 to 3"):
        label_errors(vectors(), partly(30), k=4)  # only labelled images are neighbours here


def test_map():
    """A place for every image; other methods and an empty index are refused."""
    assert embedding_map(vectors(), method="pca").shape == (30, 2)
    assert np.array_equal(embedding_map(vectors()), embedding_map(vectors()))
    with pytest.raises(ValueError, match="method"):
        embedding_map(vectors(), method="other")
    assert embedding_map(vectors(2)).shape == (2, 2)
    with pytest.raises(ValueError, match="at least two images"):
        embedding_map(vectors(1))
    with pytest.raises(ValueError, match="at least three"):
        embedding_map(EmbeddingIndex(5))


@pytest.mark.parametrize("threshold", [-1, 1.5, float("nan")])
def test_threshold_is_a_cosine(threshold):
    with pytest.raises(ValueError, match="choose a number above -1 and at most 1"):
        near_duplicates(vectors(), threshold)


def test_map_of_an_index_needs_no_vector_and_keeps_neighbours_together():
    """Two far groups: the nearest on the map is of the same group."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.eye(5, dtype=np.float32)[:2], 20, axis=0)
    given = groups + 0.05 * random.normal(size=(40, 5)).astype(np.float32)
    with EmbeddingIndex(5) as index:
        ids = index.upsert(given, np.repeat([0, 1], 20))
        places, found = embedding_map(index)
        with pytest.raises(ValueError, match="tsne"):
            embedding_map(index, method="pca")
    assert sorted(found) == sorted(ids)
    group = np.array([ids.index(i) // 20 for i in found])
    nearest = NearestNeighbors(n_neighbors=2).fit(places).kneighbors(return_distance=False)[:, 0]
    assert (group[nearest] == group).mean() > 0.9
