"""Say early, in one sentence, what is wrong with an input and what to do about it.

Nothing is computed here. Each function returns its input in the project's own form, which is all that may
be used afterwards, or raises a `ValueError` before anything has been trained or written. Lists, tuples,
generators, tensors and a table's columns are read by position: an index of their own plays no part.
"""

import json
import uuid
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
import torch

from metriclearn.settings import shown

FloatArray = npt.NDArray[np.float32]
ImageArray = FloatArray | npt.NDArray[np.uint8]

ROUNDING = 1e-3  # how far a rounded pixel may lie outside [0, 1]; half precision rounds by half of it
OVERSHOOT = 0.25  # how far a bicubic resize may overshoot
DIFFER = "The images differ in size: resize them to one height and width first."
CHANNELS_LAST = (1, 3, 4)  # grey, RGB, RGBA


def as_array(values: Any, name: str, uneven: str = "") -> npt.NDArray[Any]:
    """Return what any container of numbers or texts holds, as one NumPy array.

    Args:
        values: an array, a tensor (on any device, with or without a gradient), a column or a table of
            pandas, a list, a tuple, a generator, or a list of these.
        name: what it is called in a message, such as "The labels".
        uneven: what to say if its parts differ in shape.

    Returns:
        An array of the same shape; an object array only if its entries are not all of one kind.

    Raises:
        ValueError: for parts of different shapes, a sparse matrix, masked entries, or a container that
            has no order.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name} have masked entries, which would count as well: fill or drop them first.")
    if sparse.issparse(values):
        raise ValueError(f"{name} are a sparse matrix: pass an array, as made by .toarray().")
    if isinstance(values, Mapping | Set):
        raise ValueError(f"{name} are a {type(values).__name__}, which has no order: pass a list.")
    if isinstance(values, torch.Tensor):
        return _from_tensor(values)
    if (
        isinstance(values, Iterable)
        and not isinstance(values, str | bytes)
        and not hasattr(values, "__array__")
    ):
        values = [_from_tensor(part) if isinstance(part, torch.Tensor) else part for part in values]
    try:
        array = np.asarray(values)
        if array.dtype == object and array.ndim:  # as a column of pandas may come, though all are numbers
            values = array.tolist()
            array = np.asarray(values)
    except ValueError:  # NumPy's own message speaks of inhomogeneous sequences
        raise ValueError(uneven or f"{name} have parts of different shapes: give all one shape.") from None
    if array.dtype.kind == "U" and isinstance(values, list) and not all(isinstance(v, str) for v in values):
        array = np.array(values, dtype=object)  # NumPy writes None, NaN and -1 among texts as texts
    return array


def _from_tensor(tensor: torch.Tensor) -> npt.NDArray[Any]:
    tensor = tensor.detach().cpu()
    array: npt.NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def check_images(pixels: Any) -> ImageArray:
    """Return images as a float32 or uint8 array, or say in one sentence what is wrong with them.

    Args:
        pixels: floats in [0, 1] or uint8 from 0 to 255, shape `(n, channels, height, width)`. Bytes stay
            bytes: floats of a folder of photographs would take four times the memory. Of floats, what
            rounding left outside, up to 0.001, is clipped.

    Raises:
        ValueError: for another shape, type or range, images of different sizes, no image at all,
            NaN or infinity.
    """
    images = as_array(pixels, "The images", DIFFER)
    shape = images.shape
    if images.dtype == object and images.ndim == 1:
        raise ValueError(DIFFER)
    if images.ndim != 4:
        wanted = "pass (n, channels, height, width)"
        if images.ndim == 3:
            wanted = (
                "pass images as (n, channels, height, width); for grey images add the channel axis with "
                "X[:, None], for a single image use X[None]"
            )
        raise ValueError(f"The images have shape {shape}: {wanted}.")
    if 0 in shape:
        raise ValueError(f"The images have shape {shape}, which holds no pixel: pass at least one image.")
    if shape[3] in CHANNELS_LAST and shape[1] > max(CHANNELS_LAST):
        raise ValueError(
            f"The images have shape {shape}, with the channels last: pass (n, channels, height, width), as "
            "X.transpose(0, 3, 1, 2)."
        )
    if images.dtype == np.uint8 and images.max() > 1:  # no brighter than 1: more likely a mask than a night
        return np.ascontiguousarray(images)
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            f"The images are of type {images.dtype}: convert them to float32 in [0, 1]{_scaling(images)}."
        )
    low, high = float(images.min()), float(images.max())  # NaN, if there is one, is both
    if not np.isfinite([low, high]).all():
        raise ValueError("The images hold NaN or infinity: repair or remove these images first.")
    if low < -ROUNDING or high > 1 + ROUNDING:
        lie = f"The images lie in [{low:g}, {high:g}]"
        if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
            raise ValueError(f"{lie}, as a resize that overshoots leaves them: use np.clip(X, 0, 1).")
        raise ValueError(f"{lie}: scale them to [0, 1]{_scaling(images)}.")
    if 0 < high < 1.01 / 255 and ((images > 0) & (images < 0.99 / 255)).any():  # no 8-bit image has these
        warnings.warn(f"The images lie in [{low:g}, {high:g}]: were they divided by 255 twice?", stacklevel=3)
    if low < 0 or high > 1:
        images = np.clip(images, 0, 1)
    return np.ascontiguousarray(images, dtype=np.float32)


def _scaling(images: npt.NDArray[Any]) -> str:
    """Return the formula that brings images of another scale to [0, 1], if it can be told."""
    if not np.issubdtype(images.dtype, np.number):
        return ", as X.astype('float32')" if images.dtype == bool else ""
    low, high = images.min(), images.max()
    if low < 0:
        return ", as (X + 1) / 2" if low >= -1 and high <= 1 else ", by undoing their normalisation"
    if high <= 1:
        return ", as X.astype('float32')"
    return ", as X / 255" if high <= 255 else ", as X / 65535"


def as_floats(images: ImageArray) -> FloatArray:
    """Return checked images as float32 in [0, 1]: bytes divided by 255."""
    if images.dtype == np.uint8:
        return np.divide(images, np.float32(255), dtype=np.float32)
    return images.astype(np.float32, copy=False)


def check_inputs(X: Any) -> ImageArray:
    """Return what an encoder takes: images (see `check_images`), or rows of numbers as float32.

    Args:
        X: images, shape `(n, channels, height, width)`, or rows, shape `(n, d)`.

    Raises:
        ValueError: for another shape, or numbers that are missing or not finite.
    """
    inputs = as_array(X, "The images", DIFFER)
    if inputs.ndim != 2:
        return check_images(inputs)
    if 0 in inputs.shape:
        raise ValueError(f"The rows have shape {inputs.shape}: pass at least one row of numbers.")
    if inputs.dtype.kind not in "fiu":
        raise ValueError(f"The rows are of type {inputs.dtype}: pass numbers, as float32.")
    with np.errstate(over="ignore"):  # what overflows in float32 is found in the next line
        rows = np.ascontiguousarray(inputs, dtype=np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("The rows hold NaN or infinity: repair or remove these rows first.")
    return rows


def check_embeddings(embeddings: Any, dim: int | None = None, *, unit_length: bool) -> FloatArray:
    """Return embeddings as float32, shape `(n, dim)`, scaled to unit length if wanted.

    Args:
        embeddings: floats, shape `(n, dim)`.
        dim: their length; by default whatever they have.
        unit_length: whether to divide each by its length.

    Raises:
        ValueError: for another shape or type, no row at all, NaN or infinity, or with `unit_length`
            a row of zeros, which has no direction.
    """
    given = as_array(embeddings, "The embeddings", "The embeddings differ in length: give all the same.")
    if dim is None:
        dim = given.shape[-1] if given.ndim else 0
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


def check_sources(sources: Any, n: int) -> list[str]:
    """Return n texts, each once, as a list.

    Raises:
        ValueError: for another number of them, anything but texts, or a text that comes twice.
    """
    given = _in_order(sources) or []
    if len(given) != n:
        raise ValueError(f"There are {n} embeddings but sources of another number: pass one text for each.")
    if not all(isinstance(source, str) and source for source in given):
        raise ValueError("A source is empty or not a text: pass one text for each embedding.")
    texts = [str(source) for source in given]
    for text in texts:
        if not text.isascii() and text != text.encode(errors="replace").decode():
            raise ValueError(f"The source {text!r} is no valid Unicode text: rename the image.")
    if len(set(texts)) < n:
        twice = Counter(texts).most_common(1)[0][0]
        raise ValueError(f"The source {twice!r} comes twice: each source names one point.")
    return texts


def check_payloads(payloads: Any, n: int, reserved: Set[str]) -> list[dict[str, Any]]:
    """Return n dictionaries that a database can store, none with a reserved key, as a list.

    Raises:
        ValueError: otherwise.
    """
    if hasattr(payloads, "columns"):
        raise ValueError('payloads is a table: pass a dictionary per row, as made by .to_dict("records").')
    given = _in_order(payloads) or []
    if len(given) != n:
        raise ValueError(f"There are {n} embeddings but {len(given)} payloads: pass one dictionary for each.")
    stored = []
    for i, payload in enumerate(given):
        if not isinstance(payload, Mapping):
            raise ValueError(f"Payload {i} is {payload!r}: pass a dictionary for each embedding.")
        if taken := sorted(reserved & payload.keys()):
            raise ValueError(f"Payload {i} sets {taken[0]!r}, which the index sets itself: use another key.")
        if (odd := _odd_part(payload)) is not None:
            raise ValueError(f"Payload {i} has {odd}.")
        try:
            text = json.dumps(dict(payload), allow_nan=False, ensure_ascii=False)
            text.encode()  # fails on half a letter of Unicode
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"Payload {i} cannot be stored ({error}): use texts, finite numbers, lists and "
                "dictionaries, and .item() for NumPy's numbers."
            ) from None
        stored.append(json.loads(text))  # a tuple becomes a list here and not only on a server
    return stored


def _odd_part(value: Any, depth: int = 0) -> str | None:
    """Return what JSON would change without a word, with advice: a key that is no text, a number too long."""
    if depth > 100:
        return "parts within parts without end: use fewer"
    if isinstance(value, Mapping):
        if keys := [key for key in value if not isinstance(key, str)]:
            return f"the key {keys[0]!r}: use texts as keys"
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((odd for part in value if (odd := _odd_part(part, depth + 1)) is not None), None)
    too_long = isinstance(value, int) and not -(2**63) <= value < 2**63
    return f"the number {shown(value)}: use whole numbers that fit into int64" if too_long else None


def _in_order(values: Any) -> list[Any] | None:
    """Return the entries of a sequence, a column or a generator by position; None for what has no order."""
    if getattr(values, "ndim", 1) == 2 and values.shape[1] == 1:  # a table of one column
        values = np.asarray(values)[:, 0]
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping | Set):
        return None
    return list(values) if getattr(values, "ndim", 1) == 1 else None


def check_ids(ids: Any) -> list[str]:
    """Return ids as the index gives them out: a list of UUIDs as texts.

    Raises:
        ValueError: for anything else.
    """
    given = [*ids] if isinstance(ids, Set) else [ids] if isinstance(ids, str) else _in_order(ids)
    if given is None:
        raise ValueError(f"ids is {shown(ids)}: pass a list of ids that upsert returned.")
    texts = []
    for point in given:
        try:
            texts.append(str(uuid.UUID(str(point))))
        except ValueError:
            raise ValueError(f"{point!r} is not an id: pass ids that upsert returned.") from None
    if isinstance(ids, str):
        raise ValueError("ids is one text: pass a list of ids.")
    return texts
