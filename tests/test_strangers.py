"""The strangers of notebook 6: the same in every call, and images like the digits in form."""

import numpy as np

from metriclearn import load_images
from metriclearn.course.strangers import LETTERS, strangers

DIGITS = load_images("mnist-5k")[1].pixels[:50]


def test_four_kinds_of_images_in_the_form_of_digits():
    found = strangers(DIGITS)
    assert {name: len(images) for name, images in found.items()} == {
        "letters": 1040,
        "turned digits": 50,
        "photos": 1000,
        "noise": 50,
    }
    for images in found.values():
        assert images.shape[1:] == (1, 28, 28)
        assert images.dtype == np.float32
        assert 0 <= images.min() < images.max() <= 1
    assert np.array_equal(np.rot90(found["turned digits"], k=3, axes=(2, 3)), DIGITS)


def test_letters_come_forty_of_each_in_order():
    letters = strangers(DIGITS)["letters"]
    assert "".join(LETTERS[::40]) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    means = np.stack([letters[letter == LETTERS].mean(axis=(0, 1)).ravel() for letter in "AIO"])
    assert np.corrcoef(means).max(initial=0, where=~np.eye(3, dtype=bool)) < 0.9


def test_every_call_gives_the_same():
    first, second = strangers(DIGITS), strangers(DIGITS)
    assert all(np.array_equal(first[name], second[name]) for name in first)
