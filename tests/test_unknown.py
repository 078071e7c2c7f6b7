"""The threshold for "unknown": what it promises, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metriclearn import EmbeddingIndex
from metriclearn.unknown import conformal_threshold, unknown_threshold

RANDOM = np.random.default_rng(0)


def unit(n, dim=4, random=RANDOM):
    vectors = random.normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_agrees_with_a_loop():
    known, held_out = unit(30), unit(99)
    for k in (1, 3, 30):
        scores = [
            sorted((float(image @ other) for other in known), reverse=True)[k - 1] for image in held_out
        ]
        assert unknown_threshold(known, held_out, quantile=0.1, k=k) == pytest.approx(
            sorted(scores)[9], abs=1e-6
        )


def test_leaves_each_known_image_out_when_none_are_held_out():
    known = unit(40)
    scores = [max(known[i] @ known[j] for j in range(40) if j != i) for i in range(40)]
    assert unknown_threshold(known, quantile=0.1) == pytest.approx(sorted(scores)[3], abs=1e-6)


def test_the_scores_of_an_index_give_the_threshold_of_its_embeddings():
    known, held_out = unit(30), unit(50)
    with EmbeddingIndex(4, path=":memory:") as index:
        index.upsert(known)
        for k in (1, 5):
            scores = index.query(held_out, k).scores[:, -1]
            assert conformal_threshold(scores) == pytest.approx(
                unknown_threshold(known, held_out, k=k), abs=1e-5
            )


def test_keeps_its_promise_on_average():
    random = np.random.default_rng(1)
    known, rejected = unit(20, random=random), []
    for _ in range(300):
        threshold = unknown_threshold(known, unit(39, random=random), quantile=0.1)
        rejected.append(np.mean((unit(200, random=random) @ known.T).max(axis=1) < threshold))
    # Of 39 images the 4th smallest score: the mean is 4 / 40, known to about 0.003.
    assert np.mean(rejected) == pytest.approx(0.1, abs=0.012)


@settings(deadline=None)
@given(quantile=st.floats(0.05, 0.95), n=st.integers(20, 60), k=st.integers(1, 5), seed=st.integers(0, 99))
def test_rejects_no_more_of_the_held_out_than_wanted(quantile, n, k, seed):
    random = np.random.default_rng(seed)
    known, held_out = unit(10, random=random), unit(n, random=random)
    threshold = unknown_threshold(known, held_out, quantile=quantile, k=k)
    scores = np.sort(held_out @ known.T, axis=1)[:, -k]
    assert np.sum(scores < threshold - 1e-6) < quantile * (n + 1)


def test_length_does_not_count():
    known, held_out = unit(30), unit(40)
    assert unknown_threshold(7 * known, held_out / 3) == pytest.approx(
        unknown_threshold(known, held_out), abs=1e-6
    )


@pytest.mark.parametrize("quantile", [0, 1, -0.1, 5, float("nan")])
def test_quantile_outside_its_range(quantile):
    with pytest.raises(ValueError, match=r"quantile is .*: choose a number above 0 and below 1"):
        unknown_threshold(unit(30), unit(40), quantile=quantile)


REFUSED = [
    (
        "no known image",
        lambda: unknown_threshold(unit(0), unit(40)),
        r"shape \(0, 4\): pass .* at least one row",
    ),
    (
        "no held-out image",
        lambda: unknown_threshold(unit(30), unit(0)),
        r"shape \(0, 4\): pass .* at least one row",
    ),
    (
        "other length",
        lambda: unknown_threshold(unit(30), unit(40, dim=5)),
        r"shape \(40, 5\): pass .* \(n, 4\)",
    ),
    ("one row", lambda: unknown_threshold(unit(30)[0]), r"shape \(4,\): pass floats"),
    ("a number", lambda: unknown_threshold(np.float32(1)), r"shape \(\)"),
    ("NaN", lambda: unknown_threshold(unit(30) * np.nan), "NaN or infinity"),
    (
        "k = n",
        lambda: unknown_threshold(unit(30), k=30),
        "k is 30: choose a whole number from 1 to 29",
    ),
    (
        "k > n",
        lambda: unknown_threshold(unit(30), unit(40), k=31),
        "k is 31: choose a whole number from 1 to 30",
    ),
    ("k = 0", lambda: unknown_threshold(unit(30), unit(40), k=0), "k is 0"),
    (
        "too few",
        lambda: unknown_threshold(unit(30), unit(18)),
        "less than one image: pass at least 19 images",
    ),
]


@pytest.mark.parametrize(
    ("call", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nineteen_images_are_just_enough_for_five_percent():
    known, held_out = unit(30), unit(19)
    assert unknown_threshold(known, held_out) == pytest.approx(
        (held_out @ known.T).max(axis=1).min(), abs=1e-6
    )
