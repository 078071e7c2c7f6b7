"""The autoencoder: many labels, an autoencoder of one matrix, and another wish."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA

from metriclearn.course.exercises import NotYet, array, call, entries, is_of_test, number, of_guess, percent

FloatArray = npt.NDArray[np.float64]
PIXELS = 93.5  # 1-NN on raw pixels, with all 4,000 labels


def exercise_2_1(guess: object, measured: object) -> str:
    """All 4,000 labels: the neighbours get nearer, the embedding stays as it is."""
    guessed = percent(guess, "your guess")
    pixels, embedding = (
        percent(accuracy, f"the accuracy for {name}")
        for name, accuracy in entries(measured, "measured", ("pixels", "embedding")).items()
    )
    for name, accuracy in (("pixels", pixels), ("embedding", embedding)):
        if accuracy == 100:
            raise NotYet(f"All right for {name}: does each pool image find itself? Ask with the test images.")
        if accuracy < 30:
            raise NotYet(f"Near chance for {name}: for each test image, along which axis is the nearest?")
        if accuracy < 85:
            raise NotYet(f"For {name} that is far too low: are all of `pool.labels` in use, not just 100?")
    if not (is_of_test(pixels) and is_of_test(embedding)):
        raise NotYet("No such share of 1,000 images is possible: are you right on the *test* images?")
    if abs(pixels - PIXELS) > 0.15:
        raise NotYet(
            "Raw pixels do not come out like that: the one nearest image, in the `flat_` arrays as they are."
        )
    if embedding > 97:
        raise NotYet("For the embedding that is too good: is it the one of `model`, on the test images?")
    if embedding < 92:
        raise NotYet(
            "For the embedding that is too low: all 4,000 labels, and the one nearest image of the pool."
        )
    return (
        f"{of_guess(guessed, embedding)} Pixels get there as well: with forty times as many labels some "
        "image of the class has its ink in the same places. Few labels are what this embedding fails at."
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


def exercise_2_3(beyond: object, errors_of: object) -> str:
    """Another wish: undo a random change, and the embedding forgets where the ink is."""
    same, undo = (
        number(share, f'the share for "{name}"', 0, 100)
        for name, share in entries(beyond, "beyond", ("same", "undo")).items()
    )
    error_same, error_undo = (
        number(error, f'D for "{name}"', 0, 1)
        for name, error in entries(errors_of, "errors_of", ("same", "undo")).items()
    )
    if 0 < same <= 1:
        raise NotYet("The shares are asked for in percent, and yours are between 0 and 1.")
    if not (is_of_test(same) and is_of_test(undo)):
        raise NotYet("No such share of 1,000 images is possible: measure it with `travel`, on test images.")
    if same < 50 <= undo:
        raise NotYet('Are the two keys swapped? "same" is the `model` of the notebook.')
    if not 60 < same < 95:
        raise NotYet('For "same" the notebook found a share of about four in five: use its `model`.')
    if undo > 45:
        raise NotYet("Nearly as many as before. Does D compare X' with the unchanged x, not with the copy?")
    if error_undo > 0.09:
        raise NotYet("A D above that of the mean image (0.068): is yours trained, and in `eval()`?")
    if error_same > 0.035:
        raise NotYet('For "same" D is too high: compare the `model` of the notebook with `held_out`.')
    if error_undo < error_same:
        raise NotYet("D should be the higher one for the harder task: were both measured on `held_out`?")
    return (
        "D got worse, and a move leads far fewer images beyond another class: to undo a move, the code must "
        "say what is drawn, and not where. You chose what may be ignored, and no label said so."
    )


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
