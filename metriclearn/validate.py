"""Say early, in one sentence, what is wrong with an input and what to do about it.

Nothing is computed here. Each function returns its input in the project's own form, or raises a
`ValueError` before anything has been trained or written.
"""

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from metriclearn.data import UNLABELLED, FloatArray, LabelArray


def as_one_array(images: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return a list of images as one array.

    Raises:
        ValueError: if the images differ in size.
    """
    try:
        array = np.asarray(images)
    except ValueError:  # NumPy's own message speaks of inhomogeneous sequences
        array = np.empty(0, dtype=object)
    if array.dtype == object and array.ndim == 1:
        raise ValueError("The images differ in size: resize them to one height and width first.")
    return array


def check_images(pixels: npt.ArrayLike) -> FloatArray:
    """Return the images as a float32 array, or say in one sentence what is wrong with them.

    Args:
        pixels: floats in [0, 1], shape `(n, channels, height, width)`.

    Raises:
        ValueError: for another shape, type or range, images of different sizes, no image at all,
            NaN or infinity.
    """
    images = as_one_array(pixels)
    if images.ndim != 4:
        raise ValueError(f"The images have shape {images.shape}: pass (n, channels, height, width).")
    if 0 in images.shape:
        raise ValueError(
            f"The images have shape {images.shape}, which holds no pixel: pass at least one image."
        )
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            f"The images are of type {images.dtype}: convert them to float32 in [0, 1], as X / 255."
        )
    if not np.isfinite(images).all():
        raise ValueError("The images hold NaN or infinity: repair or remove these images first.")
    if images.min() < 0 or images.max() > 1:
        raise ValueError(
            f"The images lie in [{images.min():g}, {images.max():g}]: scale them to [0, 1], as X / 255."
        )
    return np.ascontiguousarray(images, dtype=np.float32)


def check_class_labels(y: npt.ArrayLike, n: int) -> LabelArray:
    """Return the labels to learn from as int64, shape `(n,)`, −1 = unlabelled.

    Raises:
        ValueError: for no labels, another number than n, anything but whole numbers, or fewer
            than two labelled classes.
    """
    if y is None:
        raise ValueError(
            "fit requires y to be passed, but the target y is None: give labels, −1 = unlabelled."
        )
    given = column_or_1d(y, warn=True)
    if len(given) != n:
        raise ValueError(
            f"There are {n} images but {len(given)} labels: pass one label per image, −1 = unlabelled."
        )
    check_classification_targets(given)
    if not np.issubdtype(given.dtype, np.number) or not np.array_equal(given, given.astype(np.int64)):
        raise ValueError(
            f"Labels of type {given.dtype} are not class numbers: pass integers, −1 = unlabelled."
        )
    labels: LabelArray = np.array(given, dtype=np.int64)  # a copy: PyTorch wants to own what it reads
    classes = np.unique(labels[labels != UNLABELLED])
    if len(classes) < 2:
        found = "no label" if len(classes) == 0 else f"only one class ({classes[0]})"
        raise ValueError(f"y holds {found}: label images of at least two classes.")
    return labels


def check_embeddings(embeddings: npt.ArrayLike, dim: int, *, unit_length: bool) -> FloatArray:
    """Return embeddings as float32, shape `(n, dim)`, scaled to unit length if wanted.

    Raises:
        ValueError: for another shape or type, no row at all, NaN or infinity, or with `unit_length`
            a row of zeros, which has no direction.
    """
    given = np.asarray(embeddings)
    if given.ndim != 2 or given.shape[1] != dim:
        hint = "; for a single one use embedding[None]" if given.shape == (dim,) else ""
        raise ValueError(f"The embeddings have shape {given.shape}: pass (n, {dim}){hint}.")
    if len(given) == 0:
        raise ValueError("There is no embedding in the array: pass at least one.")
    if not np.issubdtype(given.dtype, np.floating):
        raise ValueError(f"The embeddings are of type {given.dtype}: pass floats, as float32.")
    with np.errstate(over="ignore"):  # what overflows in float32 is found in the next line
        vectors: FloatArray = given.astype(np.float32)
    if bad := np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist():
        raise ValueError(
            f"The embeddings hold NaN or infinity, first in row {bad[0]}: remove these rows first."
        )
    if not unit_length:
        return vectors
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if bad := np.flatnonzero(lengths == 0).tolist():
        raise ValueError(
            f"The embedding in row {bad[0]} is all zeros and has no direction, which cosine needs: "
            'remove such rows, or use distance="euclid".'
        )
    unit: FloatArray = (vectors / lengths).astype(np.float32)
    return unit


def check_point_labels(labels: npt.ArrayLike | None, n: int) -> LabelArray:
    """Return the labels of n points as int64; None gives −1 for all, and any number of classes will do.

    Raises:
        ValueError: for another number than n, or anything but integers.
    """
    if labels is None:
        return np.full(n, UNLABELLED, dtype=np.int64)
    given = np.asarray(labels)
    if given.shape != (n,):
        raise ValueError(
            f"There are {n} embeddings but labels of shape {given.shape}: pass one label for each."
        )
    if given.dtype.kind not in "iu" or not np.can_cast(given.dtype, np.int64):
        raise ValueError(f"The labels are of type {given.dtype}: pass int64, −1 = unlabelled.")
    return given.astype(np.int64)


def check_sources(sources: Sequence[str], n: int) -> None:
    """Make sure that there are n texts, each once.

    Raises:
        ValueError: otherwise.
    """
    if isinstance(sources, str) or len(sources) != n:
        raise ValueError(f"There are {n} embeddings but sources of another number: pass one text for each.")
    if not all(isinstance(source, str) and source for source in sources):
        raise ValueError("A source is empty or not a text: pass one text for each embedding.")
    if len(set(sources)) < n:
        twice = Counter(sources).most_common(1)[0][0]
        raise ValueError(f"The source {str(twice)!r} comes twice: each source names one point.")


def check_payloads(payloads: Sequence[Mapping[str, Any]], n: int, reserved: Set[str]) -> None:
    """Make sure that there are n dictionaries that a database can store, none with a reserved key.

    Raises:
        ValueError: otherwise.
    """
    if len(payloads) != n:
        raise ValueError(
            f"There are {n} embeddings but {len(payloads)} payloads: pass one dictionary for each."
        )
    for i, payload in enumerate(payloads):
        if not isinstance(payload, Mapping):
            raise ValueError(f"Payload {i} is {payload!r}: pass a dictionary for each embedding.")
        if taken := sorted(reserved & payload.keys()):
            raise ValueError(f"Payload {i} sets {taken[0]!r}, which the index sets itself: use another key.")
        try:
            json.dumps(dict(payload), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Payload {i} cannot be stored ({error}): use texts, finite numbers, lists and "
                "dictionaries, and .item() for NumPy's numbers."
            ) from None


def check_ids(ids: Sequence[str]) -> None:
    """Make sure that all ids are UUIDs, as the index gives them out.

    Raises:
        ValueError: otherwise.
    """
    for point in [ids] if isinstance(ids, str) else ids:
        try:
            uuid.UUID(str(point))
        except ValueError:
            raise ValueError(f"{point!r} is not an id: pass ids that upsert returned.") from None
    if isinstance(ids, str):
        raise ValueError("ids is one text: pass a list of ids.")
