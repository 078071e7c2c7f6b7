"""The autoencoder: many labels, an autoencoder of one matrix, and something else to ignore."""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from metriclearn.course.dataset import OWN
from metriclearn.course.exercises import NotYet, array, call, choice, entries, of_guess, percent, plain
from metriclearn.data import ImageSet, load_images
from metriclearn.training import embed

FloatArray = npt.NDArray[np.float64]
LENGTH = 32  # N of the notebook
SAME = 0.995  # share of two sets of answers that are the same, but for ties


def exercise_2_1(guess: object, answers: object, model: object) -> str:
    """All 4,000 labels: the neighbours get nearer, the embedding stays as it is."""
    guessed = percent(guess, "your guess")
    given = entries(answers, "answers", ("pixels", "embedding"))
    pool, test = _images(os.environ.get("METRICLEARN_DATASET", OWN))
    flat_pool, flat_test = (images.pixels.reshape(len(images), -1) for images in (pool, test))
    encoder = _half(model, "encoder")
    new = _embedded(encoder, test)
    if new.shape[1] != LENGTH:
        raise NotYet(f"That model makes {new.shape[1]} numbers of an image: hand over `model`, with N = 32.")
    nearest = {
        "pixels": _nearest(flat_pool, flat_test),
        "embedding": _nearest(_embedded(encoder, pool), new),
    }
    truth = {name: pool.labels[rows] for name, rows in nearest.items()}
    for name, other in (("pixels", "embedding"), ("embedding", "pixels")):
        if np.ndim(plain(given[name])) == 0:
            raise NotYet(
                f"For {name} hand over the 1,000 labels themselves: the check counts the right ones."
            )
        found = array(given[name], f"the answers for {name}", (len(test),))
        if np.mean(found == truth[name]) >= SAME:
            continue
        if np.array_equal(found, test.labels):
            raise NotYet(
                f"For {name} these are the true labels. Those of the nearest pool images are wanted."
            )
        if np.mean(found == nearest[name]) >= SAME:
            raise NotYet(f"For {name} these are rows of the pool: look up the label of each.")
        if np.mean(found == truth[other]) >= SAME:
            raise NotYet(f"For {name} these are the answers for {other}.")
        right = np.mean(found == test.labels)
        if right < 0.3:
            raise NotYet(f"Near chance for {name}: for each test image, along which axis is the nearest?")
        if right < 0.85:
            raise NotYet(f"For {name} too few are right: are all of `pool.labels` in use, not just 100?")
        raise NotYet(
            f"For {name} some neighbours are others: take the one nearest image, in the `flat_` arrays as "
            "they are, or in the embedding of `model` at unit length."
        )
    pixels, embedding = (float(np.mean(truth[name] == test.labels)) for name in ("pixels", "embedding"))
    return (
        f"{of_guess(guessed, 100 * embedding)} The embedding is right in {embedding:.1%}, raw pixels in "
        f"{pixels:.1%}: with forty times as many labels some image of the class has its ink in the same "
        "places. Few labels are what this embedding fails at."
    )


def exercise_2_2(rebuild: Callable[..., object]) -> str:
    """PCA as an autoencoder: the mean, the directions, there and back."""
    random = np.random.default_rng(0)
    spread = np.array([5.0, 3.0, 2.0, 1.0, 0.5, 0.2])
    rows, new = (3 + spread * random.normal(size=(count, 6)) @ _rotation(6) for count in (40, 7))
    for n in (2, 1, 5):
        _compare(_rebuilt(rebuild, rows, new, n), rows, new, n)
    if not np.allclose(_rebuilt(rebuild, rows, new, 6), new, atol=1e-3):
        raise NotYet("With as many directions as pixels nothing may be lost: X' should be X.")
    _compare(_rebuilt(rebuild, rows[:4], new, 3), rows[:4], new, 3)
    _compare(_rebuilt(rebuild, rows, new[:1], 2), rows, new[:1], 2)
    return "That is PCA. No other pair of matrices has a smaller mean squared error on the training images."


def exercise_2_3(network: object, helped_more: object) -> str:
    """Something else to ignore: the embedding of an image and of the inverted one."""
    answer = choice(helped_more, "what helped more", ("moving", "inverting"))
    pool, test = _images(os.environ.get("METRICLEARN_DATASET", OWN))
    encoder, _ = _half(network, "encoder"), _half(network, "decoder")
    images = torch.as_tensor(test.pixels)
    mean = torch.as_tensor(pool.pixels.mean(axis=0))
    lazy = 0.9 * float(((images - mean) ** 2).mean())
    plain_in, inverted_in = _rebuilt_images(network, images), _rebuilt_images(network, 1 - images)

    def error(rebuilt: Tensor, wanted: Tensor) -> float:
        return float(((rebuilt - wanted) ** 2).mean())

    if error(inverted_in, 1 - images) < lazy:
        raise NotYet("It gives an inverted image back inverted: D must compare X' with x as it is.")
    if error(plain_in, images) > lazy:
        if error(inverted_in, images) < lazy:
            raise NotYet("It has met inverted images only: invert about half of each batch, at random.")
        raise NotYet(
            "On unchanged images its D is no better than that of the mean image: trained, for 300 steps?"
        )
    if error(inverted_in, images) > lazy:
        raise NotYet("It cannot rebuild an inverted image: does about half of each batch go in as `1 - x`?")
    here, there, others = (embed(encoder, pixels) for pixels in (test.pixels, 1 - test.pixels, pool.pixels))
    far = torch.cdist(torch.as_tensor(here), torch.as_tensor(others)).numpy()
    rival = np.where(test.labels[:, None] == pool.labels, np.inf, far).min(axis=1)
    beyond = 100 * float(np.mean(np.linalg.norm(here - there, axis=1) > rival))
    if beyond > 20:
        raise NotYet(f"Inverting still carries {beyond:.1f} % beyond another digit: train for all 300 steps.")
    if answer != "moving":
        raise NotYet(
            "Compare `one_nn` of three networks: `model`, `undo` and yours. Which one is well ahead?"
        )
    return (
        "To `model` an inverted image is farther away than any other digit; to yours that holds for "
        f"{beyond:.1f} %. Yet 1-NN gains little, since no image of this set is inverted. It pays to ignore "
        "what really varies within a class."
    )


@cache
def _images(name: str) -> tuple[ImageSet, ImageSet]:
    """Return pool and test images of a set."""
    return load_images(name)


def _half(network: object, name: str) -> nn.Module:
    half = getattr(network, name, None)
    if not isinstance(half, nn.Module):
        raise NotYet(f"Hand over the whole trained network: it has no `{name}`.")
    return half


def _embedded(encoder: nn.Module, images: ImageSet) -> npt.NDArray[Any]:
    return embed(encoder, images.pixels)


def _nearest(stored: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[np.int_]:
    """Return for each new row the number of the stored row that is nearest."""
    rows: npt.NDArray[np.int_] = torch.cdist(torch.as_tensor(new), torch.as_tensor(stored)).numpy().argmin(1)
    return rows


def _rebuilt_images(network: Any, images: Tensor) -> Tensor:
    with torch.inference_mode():
        rebuilt = network.eval()(images)
    if not isinstance(rebuilt, Tensor) or rebuilt.shape != images.shape:
        raise NotYet("The network should give an image for each image: encoder and decoder together.")
    return rebuilt


def _rebuilt(rebuild: Callable[..., object], rows: FloatArray, new: FloatArray, n: int) -> npt.NDArray[Any]:
    return array(call(rebuild, rows.copy(), new.copy(), n), "X'", new.shape)


def _rotation(n: int) -> FloatArray:
    return np.linalg.qr(np.random.default_rng(1).normal(size=(n, n)))[0]


def _compare(got: npt.NDArray[Any], rows: FloatArray, new: FloatArray, n: int) -> None:
    """Raise a hint unless X′ is that of PCA."""
    mean, wanted = rows.mean(axis=0), _project(new, rows, n)
    if np.allclose(got, wanted, atol=1e-3):
        return
    if np.allclose(got, mean):
        raise NotYet("That is the mean alone: the first direction counts as well, so take n of them.")
    if n > 1 and np.allclose(got, _project(new, rows, n - 1), atol=1e-3):
        raise NotYet(f"With n = {n} that is X' of {n - 1}: NumPy's slices end one before.")
    if np.allclose(got + mean, wanted):
        raise NotYet("The directions are right. The decoder has to add the mean again.")
    if np.allclose(got, wanted - mean + mean @ (own := _directions(rows, n)).T @ own):
        raise NotYet("The directions are right. Subtract the mean before you encode, and add it at the end.")
    directions = np.linalg.svd(rows, full_matrices=False)[2][:n]
    if np.allclose(got, new @ directions.T @ directions):
        raise NotYet("Subtract the mean of `rows` before you look for directions, and before you encode.")
    if len(new) > 1 and np.allclose(got, new.mean(axis=0) + wanted - _project(new.mean(axis=0), rows, n)):
        raise NotYet("Centre with the mean of `rows`, also for `new_rows`: a single new image has none.")
    if len(new) >= n and np.allclose(got, _project(new, new, n)):
        raise NotYet("These directions come from `new_rows`. Learn them on `rows` alone.")
    everything = np.linalg.svd(rows - mean, full_matrices=False)[2]
    last, columns = everything[-n:], everything[:, :n]
    if np.allclose(got, (new - mean) @ last.T @ last + mean):
        raise NotYet("Those are the directions along which the images vary least: mind their order.")
    if columns.shape[0] == len(mean) and np.allclose(got, (new - mean) @ columns @ columns.T + mean):
        raise NotYet("You took columns of the third array of `svd`. Are its directions columns or rows?")
    raise NotYet(f"With n = {n} this is not PCA's X' yet: centre, multiply, multiply by the transpose, add.")


def _directions(rows: FloatArray, n: int) -> FloatArray:
    matrix: FloatArray = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:n]
    return matrix


def _project(new: FloatArray, rows: FloatArray, n: int) -> FloatArray:
    pca = PCA(n, svd_solver="full").fit(rows)
    projected: FloatArray = pca.inverse_transform(pca.transform(np.atleast_2d(new)))
    return projected if new.ndim == 2 else projected[0]
