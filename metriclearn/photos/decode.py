"""Decode one image file safely: its bytes in, a square of pixels out, or the reason why not.

Only the formats named here are tried, so that a file never chooses an odd decoder. Sizes are looked at before
anything is unpacked. What is wrong with a file is one short reason; it never ends the run.
"""

import hashlib
import os
import stat
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

Bytes = npt.NDArray[np.uint8]

SIDE = 256  # a little more than the 224 that a network trained on ImageNet wants to see
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
LARGEST_FILE = 300_000_000  # bytes
MOST_PIXELS = 80_000_000  # unpacked; a JPEG is unpacked at an eighth of its size if need be
MOST_JPEG_PIXELS = 250_000_000
# Bytes of a file, or pixels: larger ones wait for each other, so that memory is bounded.
ONE_AT_A_TIME = 12_000_000
_LARGE = threading.Lock()
REASONS: dict[type[Exception], str] = {
    Image.DecompressionBombError: "has far too many pixels",
    UnidentifiedImageError: "holds no picture of a kind that is read here",
    MemoryError: "does not fit into memory",
}


class UnreadableError(ValueError):
    """The reason why a file is skipped, to be read after its name: "is empty"."""


@dataclass(frozen=True)
class Picture:
    """One picture, decoded.

    Attributes:
        pixels: uint8, shape `(3, SIDE, SIDE)`, 0 to 255: the whole picture, upright, squeezed to a square.
        width: of the whole picture, upright, in pixels.
        height: likewise.
        grey: whether its three channels are equal everywhere.
        digest: SHA-256 of the file, in hexadecimal.
    """

    pixels: Bytes
    width: int
    height: int
    grey: bool
    digest: str


def read_picture(path: Path) -> Picture:
    """Read one file.

    The picture is turned as its EXIF entry says, laid on white where it is transparent, and squeezed whole to
    a square of `SIDE` (bicubic): what lies at its edges is not lost. Of a file of many frames or pages the
    first one counts.

    Raises:
        UnreadableError: if it cannot be read, with the reason.
    """
    with ExitStack() as stack:
        content = read_file(path, stack)
        digest = hashlib.sha256(content).hexdigest()
        try:
            pixels, width, height = _unpack(content, stack)
        except UnreadableError:
            raise
        except Exception as error:  # a decoder meets a damaged file with errors of many kinds
            raise UnreadableError(REASONS.get(type(error), "is damaged or cut off")) from None
    grey = bool((pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all())
    return Picture(pixels, width, height, grey, digest)


def read_file(path: Path, stack: ExitStack) -> bytes:
    """Return a file's bytes; a large one waits, until the stack is closed, for those that are being read.

    Raises:
        UnreadableError: if it is no plain file, empty, too large, or cannot be opened.
    """
    try:
        # Without waiting: opening a pipe would otherwise take for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise UnreadableError("is no plain file")
            if found.st_size == 0:
                raise UnreadableError("is empty")
            if found.st_size > LARGEST_FILE:
                raise UnreadableError(f"is larger than {LARGEST_FILE // 10**6} MB")
            if found.st_size > ONE_AT_A_TIME:
                stack.enter_context(_LARGE)
            return file.read()
    except FileNotFoundError:
        raise UnreadableError("is not there") from None
    except OSError as error:
        raise UnreadableError(f"cannot be opened ({error.strerror or error})") from None


def _unpack(content: bytes, stack: ExitStack) -> tuple[Bytes, int, int]:
    """Return a picture squeezed to shape `(3, SIDE, SIDE)`, and its width and height."""
    image: Image.Image
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        whole = image.size
        if whole[0] * whole[1] > (MOST_JPEG_PIXELS if image.format in ("JPEG", "MPO") else MOST_PIXELS):
            raise UnreadableError(f"has {whole[0]} x {whole[1]} pixels, which is far too many")
        image.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG can be unpacked smaller, at once
        if image.size[0] * image.size[1] > ONE_AT_A_TIME and len(content) <= ONE_AT_A_TIME:
            stack.enter_context(_LARGE)
        image.load()
        orientation = _orientation(image)
        flat = _on_white(image)
        square = flat.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3)
    width, height = whole
    if orientation in range(2, 9):  # turned when it is small already
        square.getexif()[ExifTags.Base.Orientation] = orientation
        square = ImageOps.exif_transpose(square)
        width, height = (height, width) if orientation >= 5 else (width, height)
    return np.ascontiguousarray(np.asarray(square.convert("RGB")).transpose(2, 0, 1)), width, height


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged entry says nothing about the pixels
        return 1


def _on_white(image: Image.Image) -> Image.Image:
    """Return a picture of any mode as grey or RGB with 8 bits; what is transparent becomes white."""
    if image.mode in ("L", "RGB"):
        if "transparency" not in image.info:
            return image
    elif image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: npt.NDArray[np.generic]) -> Bytes:
    """Return grey values of 16 or 32 bits, or floats, from 0 to 255: the scale is told by the largest one."""
    numbers = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    largest = float(numbers.max())
    if values.dtype.kind == "f" and largest <= 1:
        numbers = numbers * 255
    elif largest > 255 or values.dtype.itemsize == 2:
        numbers = numbers * (255 / max(largest, 65535))
    return np.clip(np.rint(numbers), 0, 255).astype(np.uint8)


def read_pictures(paths: Iterable[Path], threads: int | None = None) -> Iterator[Picture | UnreadableError]:
    """Yield each file's picture, or why there is none, in the order of the paths; some are read ahead.

    Pillow unpacks and resizes without holding Python's lock, so threads are enough. Only a few pictures are
    kept at any time, whatever the number of files. By default there is a thread per core, up to eight.
    """
    threads = threads or min(8, os.cpu_count() or 1)
    waiting: deque[Future[Picture | UnreadableError]] = deque()
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")  # on large files: the sizes are checked here
        try:
            for path in paths:
                waiting.append(pool.submit(_try, path))
                if len(waiting) > 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _try(path: Path) -> Picture | UnreadableError:
    try:
        return read_picture(path)
    except UnreadableError as reason:
        return reason
