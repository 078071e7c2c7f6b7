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
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from metriclearn.photos.depth import Ranges, eight_bits, extremes, joined_ranges, kind_of, mend_planes

Bytes = npt.NDArray[np.uint8]

SIDE = 256  # a little more than the 224 that a network trained on ImageNet wants to see
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
Image.init()  # all decoders now: one that cannot be loaded later would make sound files look foreign
LARGEST_FILE = 300_000_000  # bytes
MOST_PIXELS = 80_000_000  # unpacked; a JPEG is unpacked at an eighth of its size if need be
MOST_JPEG_PIXELS = 250_000_000
MOST_SCANNED = 4_000_000_000  # pixels of a JPEG times the scans that it is made up of, ten or so
START_OF_SCAN = b"\xff\xda"
MOST_READS = 500_000  # of a file's parts, before anything is unpacked: sound files have some thousands
# Bytes of a file, or pixels: larger ones wait for each other, so that memory is bounded.
ONE_AT_A_TIME = 12_000_000
_LARGE = threading.RLock()  # a file may be large, and what it unpacks to, too
REASONS: dict[type[Exception], str] = {
    Image.DecompressionBombError: "has far too many pixels",
    UnidentifiedImageError: "holds no picture of a kind that is read here",
    MemoryError: "does not fit into memory",
}
CHANGED = "changed while it was read"


class UnreadableError(ValueError):
    """The reason why a file is skipped, to be read after its name: "is empty".

    Attributes:
        digest: SHA-256 of the bytes from which it follows; empty for one that may pass, such as too little
            memory or a share that does not answer, or that no bytes were needed for.
    """

    def __init__(self, reason: str, digest: str = "") -> None:
        super().__init__(reason)
        self.digest = digest


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


def read_picture(path: Path, ranges: Ranges | None = None) -> Picture:
    """Read one file.

    The picture is turned as its EXIF entry says, laid on white where it is transparent, and squeezed whole to
    a square of `SIDE` (bicubic): what lies at its edges is not lost. Of a file of many frames or pages the
    first one counts.

    Args:
        path: the file.
        ranges: which values mean black and white in files of more than 8 bits, see `value_ranges`; without
            them each such picture tells by itself.

    Raises:
        UnreadableError: if it cannot be read, with the reason.
    """
    with ExitStack() as stack:
        content = read_file(path, stack)
        digest = hashlib.sha256(content).hexdigest()
        try:
            pixels, width, height = _unpack(content, ranges or {}, stack)
        except UnreadableError as error:
            raise UnreadableError(str(error), digest) from None
        except Exception as error:  # a decoder meets a damaged file with errors of many kinds
            reason = REASONS.get(type(error), "is damaged or cut off")
            raise UnreadableError(reason, "" if _may_pass(error) else digest) from None
    grey = bool((pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all())
    return Picture(pixels, width, height, grey, digest)


def _may_pass(error: Exception) -> bool:
    """Return whether an error says something of the computer at this moment, and nothing of the file."""
    return isinstance(error, MemoryError | ImportError) or getattr(error, "errno", None) is not None


def read_file(path: Path, stack: ExitStack) -> bytes:
    """Return a file's bytes; a large one waits, until the stack is closed, for those that are being read.

    Raises:
        UnreadableError: if it is no plain file, empty, too large, or cannot be read now.
    """
    try:
        with ExitStack() as opened:
            file, size = _open(path, opened, stack)
            content = file.read(size + 1)  # no more memory than that, if it grows
    except MemoryError:
        raise UnreadableError(REASONS[MemoryError]) from None
    except OSError as error:
        raise UnreadableError(f"cannot be opened ({error.strerror or error})") from None
    if len(content) != size:
        raise UnreadableError(CHANGED)
    return content


def _open(path: Path, opened: ExitStack, stack: ExitStack) -> tuple[BinaryIO, int]:
    """Open a plain file and return it with its size; a large one waits, until the stack is closed.

    Raises:
        UnreadableError: if it is no plain file, empty, too large, or not there.
        OSError: if it cannot be opened.
    """
    try:
        # Without waiting: opening a pipe would otherwise take for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise UnreadableError("is not there") from None
    file = opened.enter_context(_Counted(FileIO(handle)))
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableError("is no plain file")
    if found.st_size == 0:
        raise UnreadableError("is empty")
    if found.st_size > LARGEST_FILE:
        raise UnreadableError(f"is larger than {LARGEST_FILE // 10**6} MB")
    if found.st_size > ONE_AT_A_TIME:
        stack.enter_context(_LARGE)
    return file, found.st_size


class _Counted(BufferedReader):
    """A file that ends those who read it in endlessly many parts."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MOST_READS:
            raise UnreadableError("is made up of far too many parts")
        return super().read(size)


def _unpack(content: bytes, ranges: Ranges, stack: ExitStack) -> tuple[Bytes, int, int]:
    """Return a picture squeezed to shape `(3, SIDE, SIDE)`, and its width and height."""
    with Image.open(_Counted(BytesIO(content)), formats=FORMATS) as image:
        width, height = image.size
        scans = content.count(START_OF_SCAN) if image.format in ("JPEG", "MPO") else 1
        if scans * width * height > MOST_SCANNED:
            raise UnreadableError(f"has {width} x {height} pixels in far too many scans")
        kind = _prepare(image, stack)
        if scans > 2 and width * height > ONE_AT_A_TIME:  # unpacked as a whole, even if it is wanted smaller
            stack.enter_context(_LARGE)
        image.load()
        orientation = _orientation(image)
        flat = _on_white(eight_bits(image, kind, content, ranges) if kind else image)
        square = flat.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3)
    if orientation in range(2, 9):  # turned when it is small already
        square.getexif()[ExifTags.Base.Orientation] = orientation
        square = ImageOps.exif_transpose(square)
        width, height = (height, width) if orientation >= 5 else (width, height)
    return np.ascontiguousarray(np.asarray(square.convert("RGB")).transpose(2, 0, 1)), width, height


def _prepare(image: ImageFile.ImageFile, stack: ExitStack) -> str | None:
    """Check an opened image before it is loaded, and wait if it is large; return its `kind_of`."""
    width, height = image.size
    if width * height > (MOST_JPEG_PIXELS if image.format in ("JPEG", "MPO") else MOST_PIXELS):
        raise UnreadableError(f"has {width} x {height} pixels, which is far too many")
    image.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG can be unpacked smaller, at once
    if image.size[0] * image.size[1] > ONE_AT_A_TIME:
        stack.enter_context(_LARGE)
    mend_planes(image)
    return kind_of(image)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged entry says nothing about the pixels
        return 1


def _on_white(image: Image.Image) -> Image.Image:
    """Return a picture of any mode of 8 bits as grey or RGB; what is transparent becomes white."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def value_ranges(paths: Sequence[Path], given: Ranges | None = None) -> tuple[Ranges, bool]:
    """Return which values mean black and white in files of more than 8 bits: one range for all of a kind.

    Of other files the first bytes are read alone.

    Args:
        paths: the files, of whatever depth.
        given: ranges that are known already, which stay as they are.

    Returns:
        The ranges by kind, and whether all files could be read, as far as they are sound.
    """
    known = dict(given or {})

    def extremes_of(path: Path) -> tuple[str, float, float] | bool:
        """Return kind, lowest and highest value; else whether the file could be read, deep or not."""
        with ExitStack() as stack:
            try:
                file, _ = _open(path, stack, stack)
            except (OSError, UnreadableError):
                return False
            try:
                with Image.open(file, formats=FORMATS) as image:
                    kind = _prepare(image, stack)
                    if kind is None or kind in known:
                        return True
                    image.load()
                    return kind, *extremes(image)
            except Exception as error:  # of a damaged file nothing can be told
                return not _may_pass(error)

    with _quiet(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        try:
            found = [*pool.map(extremes_of, paths)]
        finally:
            pool.shutdown(cancel_futures=True)  # at Ctrl-C the rest is not waited for
    return joined_ranges(one for one in found if isinstance(one, tuple)) | known, False not in found


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Pillow's warnings of large files: the sizes are checked here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def read_pictures(
    paths: Iterable[Path], ranges: Ranges | None = None, *, threads: int | None = None
) -> Iterator[Picture | UnreadableError]:
    """Yield each file's picture, or why there is none, in the order of the paths; some are read ahead.

    Pillow unpacks and resizes without holding Python's lock, so threads are enough. Only a few pictures are
    kept at any time, whatever the number of files. By default there is a thread per core, up to eight.
    """
    threads = threads or min(8, os.cpu_count() or 1)
    waiting: deque[Future[Picture | UnreadableError]] = deque()
    with _quiet(), ThreadPoolExecutor(threads) as pool:
        try:
            for path in paths:
                waiting.append(pool.submit(_try, path, ranges))
                if len(waiting) > 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _try(path: Path, ranges: Ranges | None) -> Picture | UnreadableError:
    try:
        return read_picture(path, ranges)
    except UnreadableError as reason:
        return reason
