"""Validation of images, embeddings and what is stored with them.

Each function returns its input as an array or a list in one form, which is all that may be used afterwards.
For another shape or type, for numbers that are missing or not finite, and for no row at all it raises a
ValueError. An index of pandas plays no part: all is read by position.
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
from sklearn.utils import check_array

from metriclearn.checks.arguments import shown

FloatArray = npt.NDArray[np.float32]
ImageArray = FloatArray | npt.NDArray[np.uint8]

ROUNDING = 1e-3  # how far a rounded pixel may lie outside [0, 1]; half precision rounds by half of it
OVERSHOOT = 0.25  # how far a bicubic resize may overshoot
DIFFER = "The images differ in size: resize them to one height and width first."
CHANNELS_LAST = (1, 3, 4)  # grey, RGB, RGBA
SHAPES = "X[:, None] adds the channel axis of grey images, X[None] makes one of a single image"
FARTHEST = 1e16  # the square of a distance between such numbers, up to 65536 of them, is still a float32


def as_array(values: Any, name: str, uneven: str = "") -> npt.NDArray[Any]:
    """Return numbers or texts as one NumPy array; an object array only if its entries are not of one kind.

    Args:
        values: an array, a tensor (on any device, with or without a gradient), a column or a table of
            pandas, a list, a tuple, or a list of these; not a sparse or masked array.
        name: what it is called in a message, such as "The labels".
        uneven: what to say if its parts differ in shape.
    """
    if sparse.issparse(values) or isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name} are a sparse or masked array: use .toarray() or .filled() first.")
    if isinstance(values, torch.Tensor):
        return _from_tensor(values)
    if isinstance(values, list | tuple):
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
    """Return images, floats in [0, 1] or uint8, shape `(n, channels, height, width)`, as float32 or uint8.

    Bytes stay bytes: floats of a folder of photographs would take four times the memory. Of floats, what
    rounding left outside, up to 0.001, is clipped.
    """
    images = as_array(pixels, "The images", DIFFER)
    shape, channels_last = images.shape, images.ndim == 4 and images.shape[3] in CHANNELS_LAST
    if images.ndim != 4 or 0 in shape or (channels_last and shape[1] > max(CHANNELS_LAST)):
        hint = "X.transpose(0, 3, 1, 2) moves channels that stand last" if channels_last else SHAPES
        raise ValueError(
            f"The images have shape {shape}: pass at least one as (n, channels, height, width); {hint}."
        )
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    numbers = images.dtype.kind in "biuf"
    low, high = (float(images.min()), float(images.max())) if numbers else (np.nan, np.nan)
    if not np.isfinite([low, high]).all():  # NaN, if there is one, is both
        raise ValueError("The images hold NaN, infinity or no numbers: repair or remove these images first.")
    if images.dtype.kind != "f" or low < -ROUNDING or high > 1 + ROUNDING:
        raise ValueError(
            f"The images have type {images.dtype} and lie in [{low:g}, {high:g}]: pass uint8 from 0 to "
            f"255, or scale them to floats in [0, 1], as {_rescaled(low, high)}."
        )
    if 0 < high < 1.01 / 255 and ((images > 0) & (images < 0.99 / 255)).any():  # no 8-bit image has these
        warnings.warn(f"The images lie in [{low:g}, {high:g}]: were they divided by 255 twice?", stacklevel=3)
    if low < 0 or high > 1:
        images = np.clip(images, 0, 1)
    return np.ascontiguousarray(images, dtype=np.float32)


def _rescaled(low: float, high: float) -> str:
    """Return what brings images that lie between these two to [0, 1], as far as it can be told."""
    if low >= 0 and high <= 1:
        return "X.astype('float32')"
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        return "np.clip(X, 0, 1) after a resize that overshoots"
    if low < 0:
        return "(X + 1) / 2" if low >= -1 and high <= 1 else "before their normalisation"
    return "X / 255" if high <= 255 else "X / 65535"


def as_floats(images: ImageArray) -> FloatArray:
    """Return checked images as float32 in [0, 1]: bytes divided by 255."""
    if images.dtype == np.uint8:
        return np.divide(images, np.float32(255), dtype=np.float32)
    return images.astype(np.float32, copy=False)


def check_inputs(X: Any) -> ImageArray:
    """Return what an encoder takes: images (see `check_images`), or rows of numbers `(n, d)` as float32."""
    inputs = as_array(X, "The images", DIFFER)
    if inputs.ndim != 2:
        return check_images(inputs)
    return np.ascontiguousarray(check_array(inputs, dtype=np.float32))


def check_embeddings(embeddings: Any, dim: int | None = None, *, unit_length: bool) -> FloatArray:
    """Return embeddings as float32, shape `(n, dim)`, with `unit_length` each divided by its length.

    A row of zeros has no direction, and is then refused. Without `dim` they may have any length.
    """
    given = as_array(embeddings, "The embeddings", "The embeddings differ in length: give all the same.")
    wanted = given.shape[-1:] if dim is None else (dim,)
    if given.ndim != 2 or given.shape[1:] != wanted or 0 in given.shape or given.dtype.kind != "f":
        raise ValueError(
            f"The embeddings have type {given.dtype} and shape {given.shape}: pass floats of shape "
            f"(n, {dim or 'N'}), at least one row; a single one as embedding[None]."
        )
    with np.errstate(over="ignore"):  # what overflows in float32 is found in the next line
        vectors: FloatArray = given.astype(np.float32)
    if bad := np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist():
        raise ValueError(
            f"The embeddings hold NaN or infinity, first in row {bad[0]}: remove these rows first."
        )
    return unit_rows(vectors) if unit_length else vectors


def unit_rows(vectors: FloatArray) -> FloatArray:
    """Return finite embeddings scaled to unit length; a row of zeros is refused."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if bad := np.flatnonzero(lengths == 0).tolist():
        raise ValueError(
            f"The embedding in row {bad[0]} is all zeros and has no direction, which cosine needs: "
            'remove such rows, or use distance="euclid".'
        )
    unit: FloatArray = (vectors / lengths).astype(np.float32)
    return unit


def comparable_rows(vectors: FloatArray, distance: str) -> FloatArray:
    """Return finite embeddings as a database compares them: under cosine scaled to unit length.

    Under Euclid a row whose distances would overflow is refused.
    """
    if distance == "cosine":
        return unit_rows(vectors)
    if (far := np.flatnonzero(np.abs(vectors).max(axis=1) > FARTHEST)).size:
        raise ValueError(f"The embedding in row {far[0]} lies too far out for float32: scale all down.")
    return vectors


def check_sources(sources: Any, n: int) -> list[str]:
    """Return n texts, none of them twice, as a list."""
    texts = [str(source) if isinstance(source, str) else "" for source in _in_order(sources)]
    if len(texts) != n or not all(texts) or any(map(is_broken, texts)):
        raise ValueError(f"sources does not fit the {n} embeddings: pass one text for each, none empty.")
    if len(set(texts)) < n:
        twice = Counter(texts).most_common(1)[0][0]
        raise ValueError(f"The source {twice!r} comes twice: each source names one point.")
    return texts


def is_broken(text: str) -> bool:
    """Return whether a text holds half a letter of Unicode, as a file's name may."""
    return text.encode(errors="ignore").decode() != text


def check_payloads(payloads: Any, n: int, reserved: Set[str]) -> list[dict[str, Any]]:
    """Return n dictionaries as JSON makes them, none with a reserved key, as a list."""
    given = _in_order(payloads)
    if len(given) != n or not all(isinstance(payload, Mapping) for payload in given):
        raise ValueError(f"payloads does not fit the {n} embeddings: pass one dictionary for each.")
    stored = []
    for i, payload in enumerate(given):
        if odd := [key for key in payload if not isinstance(key, str) or key in reserved]:
            raise ValueError(f"Payload {i} sets {odd[0]!r}: use other texts as keys.")
        try:
            text = json.dumps(dict(payload), allow_nan=False, ensure_ascii=False)
            text.encode()  # fails on half a letter of Unicode
            stored.append(json.loads(text, parse_int=lambda digits: int(np.int64(digits))))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"Payload {i} cannot be stored ({error}): use JSON's types, with .item() for NumPy's."
            ) from None
    return stored


def check_ids(ids: Any) -> list[str]:
    """Return one id or several as the index gives them out: a list of UUIDs as texts."""
    given = [*ids] if isinstance(ids, Iterable) and not isinstance(ids, str) else [ids]
    try:
        return [str(uuid.UUID(str(point))) for point in given]
    except ValueError:
        raise ValueError(f"{shown(given)} are not all ids: pass a list that upsert returned.") from None


def _in_order(values: Any) -> list[Any]:
    """Return the entries of a list, an array or a column of pandas; what has no order is one entry."""
    ordered = isinstance(values, Iterable) and not isinstance(values, str | Mapping | Set)
    return list(values) if ordered else [values]
