"""Bit depth: which values mean black and white in files of more than 8 bits, for a whole folder alike.

Cameras and microscopes write 10, 12 or 14 bits into files of 16, and floats end at 1, at 255 or anywhere. A
tag may say so; otherwise the largest value of all pictures tells it, rounded up to a power of two. One range
for a folder: a dark picture stays dark beside a bright one.
"""

import re
from collections.abc import Iterable, Mapping
from io import BytesIO
from math import ceil, isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

Ranges = dict[str, tuple[float, float]]  # by kind: the values of black and white

WHOLE, FLOATS = "16-bit", "floating-point"  # kinds of files; 32 bits count as 16, with other values
ABSENT = 1e30  # in a file of floats, numbers beyond mean that nothing was measured
OVERSHOOT = 0.25  # how far floats may lie outside [0, 1], as a resize makes them
BITS, LARGEST_VALUE, LARGEST_SIGNED_VALUE, WHITE_IS_ZERO, PLANES = 258, 281, 341, 262, 284  # tags of TIFF
ROWS_AT_ONCE = 256
OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if np.little_endian else "L"}


def kind_of(image: ImageFile.ImageFile) -> str | None:
    """Return which kind of numbers an image that is not loaded yet holds, or None for 8 bits or fewer."""
    if image.mode == "F":
        return FLOATS
    wide = any(re.fullmatch("[A-Z]+;16[BLN]", _rawmode(tile)) for tile in image.tile)
    return WHOLE if wide or image.mode.startswith("I") else None


def extremes(image: Image.Image) -> tuple[float, float]:
    """Return the lowest and the highest value of a loaded image of more than 8 bits.

    A tag of TIFF that states a higher one wins.
    """
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if values.dtype.kind == "f":
            values = values[np.abs(values) < ABSENT]  # NaN is not
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    else:  # of colours Pillow keeps the high bytes, which tell how many bits there are
        tops = [image.getchannel(name).getextrema()[1] for name in image.getbands() if name != "A"]
        low, high = 0.0, 256.0 * max(int(top) for top in tops) + 255  # type: ignore[arg-type]
    return low, max(high, _stated(image))


def _stated(image: Image.Image) -> float:
    """Return the highest value that an image may have, if its tags say so, and 0 if they say nothing."""
    tags = getattr(image, "tag_v2", {})
    values = [max(tags.get(tag) or [0]) for tag in (LARGEST_VALUE, LARGEST_SIGNED_VALUE) if image.mode != "F"]
    if BITS in tags:
        values.append(2 ** min(*tags[BITS], 16) - 1)
    return float(max((value for value in values if isinstance(value, int) and value < 65535), default=0))


def joined_ranges(found: Iterable[tuple[str, float, float]]) -> Ranges:
    """Return one range per kind, from the extremes of many pictures."""
    lows: dict[str, float] = {}
    highs: dict[str, float] = {}
    for kind, low, high in found:
        lows[kind], highs[kind] = min(lows.get(kind, 0), low), max(highs.get(kind, 0), high)
    return {kind: _rounded(kind, lows[kind], highs[kind]) for kind in sorted(lows)}


def _rounded(kind: str, low: float, high: float) -> tuple[float, float]:
    """Return the smallest range that holds both: from 0 or minus a power of two to one less than another."""
    if kind == FLOATS and low >= -1 - OVERSHOOT and high <= 1 + OVERSHOOT:
        return (-1 if low < -OVERSHOOT else 0), 1
    black = -(1 << (ceil(-low) - 1).bit_length()) if low < 0 else 0
    return black, (1 << max(8, int(high).bit_length())) - 1


def as_ranges(given: Any) -> Ranges:
    """Return ranges as JSON made them, or raise a ValueError if they are none.

    Raises:
        ValueError: if they are not.
    """
    if not isinstance(given, Mapping):
        raise ValueError("The ranges of values are no dictionary.")
    ranges: Ranges = {}
    for kind, pair in given.items():
        numbers = isinstance(pair, list | tuple) and all(type(number) in (int, float) for number in pair)
        if kind not in (WHOLE, FLOATS) or not numbers or len(pair) != 2 or not pair[0] < pair[1]:
            raise ValueError(f"The range of {kind!r} is {pair!r}: two numbers belong there.")
        if not all(isfinite(number) for number in pair):
            raise ValueError(f"The range of {kind!r} is {pair!r}: both must be finite.")
        ranges[str(kind)] = (pair[0], pair[1])
    return ranges


def described(ranges: Ranges) -> list[str]:
    """Return a sentence for each kind: how its files are read."""
    lines = []
    for kind, (low, high) in ranges.items():
        values = f"values from {low:.9g} to {high:.9g}" if low else f"values up to {high:.9g}"
        whole = f"{int(high).bit_length()} bits" if high > 1 and not low else "black to white"
        lines.append(f"{kind.capitalize()} files hold {values}: read as {whole}.")
    return lines


def eight_bits(image: Image.Image, kind: str, content: bytes, ranges: Ranges) -> Image.Image:
    """Return a loaded image of more than 8 bits as one of 8, on the range of its kind.

    Args:
        image: as Pillow opened it.
        kind: see `kind_of`.
        content: the bytes of its file.
        ranges: by kind; without one the range is told by this image alone.
    """
    low, high = ranges[kind] if kind in ranges else joined_ranges([(kind, *extremes(image))])[kind]
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        grey = _scaled(values, low, high)
        if kind == WHOLE and getattr(image, "tag_v2", {}).get(WHITE_IS_ZERO) == 0:
            grey = 255 - grey
        if isinstance(absent := image.info.get("transparency"), int):
            grey[values == absent] = 255
        return Image.fromarray(grey)
    if high > 32767 and not low:
        return image  # the high bytes
    bands = []
    for name, lower in zip(image.getbands(), _low_bytes(content), strict=True):
        values = np.asarray(image.getchannel(name)).astype(np.uint16) << 8
        values |= np.asarray(lower)
        own = name == "A" and values.max() > high  # transparency of all 16 bits over colours of fewer
        bands.append(Image.fromarray(_scaled(values, low, 65535 if own else high)))
    return Image.merge(image.mode, bands)


def _scaled(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:  # by a table, in a tenth of the time
        return np.take(_scaled(np.arange(65536, dtype=np.int32), low, high), values)
    if values.ndim == 2 and len(values) > ROWS_AT_ONCE:  # in parts, which take less memory
        parts = np.array_split(values, -(-len(values) // ROWS_AT_ONCE))
        return np.concatenate([_scaled(part, low, high) for part in parts])
    numbers = np.nan_to_num(values.astype(np.float32), copy=False, nan=low, posinf=low, neginf=low)
    np.clip(numbers, low, high, out=numbers)
    numbers -= np.float32(low)
    numbers *= np.float32(255 / (high - low))
    return np.rint(numbers, out=numbers).astype(np.uint8)


def _low_bytes(content: bytes) -> list[Image.Image]:
    """Return the low byte of each colour of 16 bits: the file is read again, in the other order of bytes."""
    with Image.open(BytesIO(content)) as image:
        mend_planes(image)
        grey = any(_rawmode(tile) == "LA;16B" for tile in image.tile)
        image.tile = [_with_rawmode(tile, _other_order(_rawmode(tile))) for tile in image.tile]
        image.load()
        return [image.getchannel(name) for name in ("GGGA" if grey else image.getbands())]


def _other_order(rawmode: str) -> str:
    if rawmode == "LA;16B":  # Pillow knows one order only: its four bytes are read as four colours
        return "RGBA"
    return rawmode[:-1] + OTHER_ORDER[rawmode[-1]] if ";16" in rawmode else rawmode


def mend_planes(image: ImageFile.ImageFile) -> None:
    """Set the layout of an uncompressed TIFF with a plane per colour of 16 bits, which Pillow takes for 8."""
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(PLANES) == 2 and tags.get(BITS, (8,))[0] == 16:
        order = "L" if tags.prefix == b"II" else "B"
        image.tile = [
            _with_rawmode(tile, f"{_rawmode(tile)};16{order}") if len(_rawmode(tile)) == 1 else tile
            for tile in image.tile
        ]


def _rawmode(tile: Any) -> str:
    """Return how the bytes of a part of a file are laid out, in Pillow's words."""
    found = tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0]
    return found if isinstance(found, str) else ""


def _with_rawmode(tile: Any, rawmode: str) -> Any:
    return tile._replace(args=rawmode if isinstance(tile.args, str) else (rawmode, *tile.args[1:]))
