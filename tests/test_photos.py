"""Folders of photographs: every format and mode, broken and hostile files, labels that mean nothing."""

import csv
import errno
import json
import os
import shutil
import struct
import threading
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from metriclearn import files
from metriclearn.checks.arrays import check_images
from metriclearn.cli.common import write_table
from metriclearn.curation import duplicates
from metriclearn.files import cache_folder, json_bytes
from metriclearn.photos import decode, read_photographs
from metriclearn.photos.class_names import check_enough, printable
from metriclearn.photos.decode import SIDE, UnreadableError, read_picture, read_pictures
from metriclearn.photos.features import photograph_features
from metriclearn.photos.listing import list_photographs
from metriclearn.photos.tables import FORMULA, escape_formula, unescape_formula

DARK, LIGHT = 64, 192


def halves(width=40, height=30):
    """Return grey values, dark on the left and light on the right."""
    values = np.full((height, width), DARK, dtype=np.uint8)
    values[:, width // 2 :] = LIGHT
    return values


def picture(mode="RGB", width=40, height=30):
    values = halves(width, height)
    if mode.startswith("I;16"):
        return Image.fromarray(values.astype(np.uint16) * 257)
    if mode == "I":
        return Image.fromarray(values.astype(np.int32) * 257)
    if mode == "F":
        return Image.fromarray(values.astype(np.float32) / 255)
    return Image.fromarray(values).convert("RGB").convert(mode)


def write(path, image=None, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture()).save(path, **settings)
    return path


def noise(path, seed, size=(30, 20)):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return write(path, Image.fromarray(values))


@pytest.fixture
def folder(tmp_path):
    """A folder of two classes, three pictures each, and one without a label."""
    for i in range(3):
        noise(tmp_path / "in" / "cat" / f"{i}.png", i)
        noise(tmp_path / "in" / "dog" / "deep" / "er" / f"{i}.jpg", 10 + i)
    noise(tmp_path / "in" / "unlabelled" / "x.png", 20)
    return tmp_path / "in"


# One file.


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *((".jpg", mode) for mode in ("L", "RGB", "CMYK")),
        *((".png", mode) for mode in ("L", "LA", "RGB", "RGBA", "P", "I;16")),
        *((".bmp", mode) for mode in ("L", "RGB", "P")),
        (".gif", "P"),
        (".webp", "RGB"),
        (".webp", "RGBA"),
        *((".tif", mode) for mode in ("L", "RGB", "CMYK", "I;16", "I", "F", "RGBA", "LAB", "YCbCr")),
    ],
)
def test_each_format_and_mode_gives_the_same_picture(tmp_path, suffix, mode):
    found = read_picture(write(tmp_path / f"a{suffix}", picture(mode)))
    assert found.pixels.shape == (3, SIDE, SIDE)
    assert (found.width, found.height) == (40, 30)
    near = 12 if mode in ("LAB", "CMYK", "YCbCr") or suffix in (".jpg", ".webp") else 2
    np.testing.assert_allclose(found.pixels[:, :, :100].mean(axis=(1, 2)), DARK, atol=near)
    np.testing.assert_allclose(found.pixels[:, :, -100:].mean(axis=(1, 2)), LIGHT, atol=near)


def test_black_and_white(tmp_path):
    found = read_picture(write(tmp_path / "a.png", Image.fromarray(halves() > 100)))
    assert found.grey
    assert found.pixels[:, :, :100].max() == 0
    assert found.pixels[:, :, -100:].min() == 255


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(tmp_path, mode):
    image = Image.new("RGBA", (20, 20), (200, 0, 0, 0))
    found = read_picture(write(tmp_path / "a.png", image.convert(mode)))
    assert found.pixels.min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_pictures_are_turned_upright(tmp_path, orientation, suffix):
    upright = np.zeros((30, 40, 3), dtype=np.uint8)
    upright[:15, :20] = 255  # white in the upper left corner alone
    undo = {
        1: lambda v: v,
        2: lambda v: v[:, ::-1],
        3: lambda v: v[::-1, ::-1],
        4: lambda v: v[::-1],
        5: lambda v: v.transpose(1, 0, 2),
        6: lambda v: v.transpose(1, 0, 2)[::-1],
        7: lambda v: v[::-1, ::-1].transpose(1, 0, 2),
        8: lambda v: v.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo(upright)))
    found = read_picture(write(tmp_path / f"a{suffix}", stored, exif=exif))
    assert (found.width, found.height) == (40, 30)
    corners = [found.pixels[0, y, x] > 128 for y in (60, 200) for x in (60, 200)]
    assert corners == [True, False, False, False]


def test_the_whole_picture_is_seen(tmp_path):
    values = np.full((50, 150), 0, dtype=np.uint8)
    values[:, 75:] = 200  # at one edge, which a middle square would cut off
    found = read_picture(write(tmp_path / "a.png", Image.fromarray(values)))
    assert found.pixels[:, :, :120].max() <= 2
    assert found.pixels[:, :, 136:].min() >= 198
    assert found.grey


def test_a_large_jpeg_is_unpacked_small(tmp_path):
    path = write(tmp_path / "a.jpg", picture(width=6000, height=4000))
    found = read_picture(path)
    assert (found.width, found.height) == (6000, 4000)
    np.testing.assert_allclose(found.pixels[:, :, :100].mean(), DARK, atol=2)


def test_the_first_frame_counts(tmp_path):
    frames = [Image.fromarray(halves()), Image.new("L", (40, 30), 255)]
    for name in ("a.gif", "a.tif", "a.webp"):
        found = read_picture(write(tmp_path / name, frames[0], save_all=True, append_images=frames[1:]))
        np.testing.assert_allclose(found.pixels[:, :, :100].mean(), DARK, atol=4)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width, height):
    """Return a small PNG file that says it is huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def cut_off(path):
    whole = noise(path, 0, (400, 300)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


BAD_FILES = {
    "empty.jpg": (lambda path: path.touch(), "is empty"),
    "text.png": (lambda path: path.write_text("no picture"), "holds no picture of a kind that is read here"),
    "page.jpg": (lambda path: path.write_text("<html>404</html>"), "holds no picture of a kind"),
    "drawing.png": (lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n"), "holds no picture of a kind"),
    "cut.jpg": (cut_off, "is damaged or cut off"),
    "cut.png": (cut_off, "is damaged or cut off"),
    "cut.webp": (cut_off, "damaged or cut off|holds no picture"),
    "cut.tif": (cut_off, "is damaged or cut off"),
    "zeros.gif": (lambda path: path.write_bytes(b"GIF89a" + bytes(100)), "is damaged|holds no picture"),
    "bomb.png": (lambda path: path.write_bytes(png_of(60_000, 60_000)), "far too many pixels"),
    "large.png": (lambda path: path.write_bytes(png_of(10_000, 10_000)), "10000 x 10000 pixels"),
    "nothing.png": (lambda path: path.write_bytes(png_of(0, 10)), "is damaged|holds no picture"),
    "gone.png": (lambda path: None, "is not there"),
    "folder.png": (lambda path: path.mkdir(), "cannot be opened|no plain file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_has_its_reason(tmp_path, name):
    make, reason = BAD_FILES[name]
    make(tmp_path / name)
    with pytest.raises(UnreadableError, match=reason):
        read_picture(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_nobody_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(UnreadableError, match="is no plain file"):
        read_picture(tmp_path / "a.jpg")


def test_huge_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "LARGEST_FILE", 100)
    with pytest.raises(UnreadableError, match="is larger than"):
        read_picture(noise(tmp_path / "a.png", 0))


def test_only_a_few_are_read_ahead(tmp_path):
    path, taken = noise(tmp_path / "a.png", 0), []

    def endless():
        while True:
            taken.append(path)
            yield path

    pictures = read_pictures(endless(), threads=2)
    for _ in range(5):
        next(pictures)
    pictures.close()
    assert len(taken) <= 5 + 4 * 2


# More than 8 bits.


def deep_png(path, values):
    """Write a PNG file of 16 bits: grey, grey with transparency, RGB or RGBA, by the last axis."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape[:2]
    colour = 0 if values.ndim == 2 else {2: 4, 3: 2, 4: 6}[values.shape[2]]
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in values.astype(">u2").reshape(height, -1))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def deep_tiff(path, values, kind=1, order="<", *, planes=False, inverted=False):
    """Write an uncompressed TIFF file: grey, RGB or CMYK; kind 1 unsigned, 2 signed, 3 floats."""
    height, width, colours = values[..., None].shape[:3] if values.ndim == 2 else values.shape
    bits, photometric = 8 * values.itemsize, {1: 0 if inverted else 1, 3: 2, 4: 5}[colours]
    parts = np.moveaxis(values, -1, 0) if planes else [values]
    strips = [part.astype(values.dtype.newbyteorder(order)).tobytes() for part in parts]
    starts = np.cumsum([8, *map(len, strips)]).tolist()
    tags = {256: [width], 257: [height], 258: [bits] * colours, 259: [1], 262: [photometric]}
    tags |= {273: starts[:-1], 277: [colours], 278: [height], 279: [*map(len, strips)]}
    tags |= {284: [1 + planes], 339: [kind] * colours}
    at, rest, entries = starts[-1] + 2 + 12 * len(tags) + 4, b"", b""
    for tag, numbers in tags.items():
        content = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(content) > 4:
            content, rest = struct.pack(f"{order}I", at + len(rest)), rest + content
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + content
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, starts[-1])
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    path.write_bytes(head + b"".join(strips) + directory + rest)
    return path


RAMP = np.tile(np.linspace(0, 1, SIDE), (SIDE, 1))


def ramp(bits, kind=np.uint16):
    return np.round(RAMP * (2**bits - 1)).astype(kind)


def colours(values, n=3):
    return np.stack([values] * n, axis=2)


DEEP = {
    **{f"{bits} bits": (lambda path, bits=bits: deep_png(path, ramp(bits))) for bits in (8, 10, 12, 14, 16)},
    **{
        f"{bits} bits in colour": (lambda path, bits=bits: deep_png(path, colours(ramp(bits))))
        for bits in (10, 12, 16)
    },
    "transparency of 16 bits": lambda path: deep_png(
        path, np.dstack([ramp(10), np.full_like(ramp(10), 65535)])
    ),
    "transparency of 10 bits": lambda path: deep_png(
        path, np.dstack([colours(ramp(10)), np.full_like(ramp(10), 1023)])
    ),
    "TIFF": lambda path: deep_tiff(path, ramp(10)),
    "TIFF of a Macintosh": lambda path: deep_tiff(path, ramp(10), order=">"),
    "TIFF in colour": lambda path: deep_tiff(path, colours(ramp(12)), order=">"),
    "TIFF with a plane per colour": lambda path: deep_tiff(path, colours(ramp(12)), planes=True),
    "TIFF with a plane per colour, 16 bits": lambda path: deep_tiff(path, colours(ramp(16)), planes=True),
    "TIFF for print": lambda path: deep_tiff(
        path, np.dstack([*[1023 - ramp(10)] * 3, np.zeros_like(ramp(10))])
    ),
    "TIFF where zero is white": lambda path: deep_tiff(path, 1023 - ramp(10), inverted=True),
    "signed": lambda path: deep_tiff(path, ramp(10, np.int16) - 512, 2),
    "32 bits": lambda path: deep_tiff(path, ramp(20, np.int32), 2),
    "floats to 1": lambda path: deep_tiff(path, RAMP.astype(np.float32), 3),
    "floats from -1": lambda path: deep_tiff(path, (2 * RAMP - 1).astype(np.float32), 3),
    "floats to 255": lambda path: deep_tiff(path, (255 * RAMP).astype(np.float32), 3),
    "floats to 4095": lambda path: deep_tiff(path, (4095 * RAMP).astype(np.float32), 3),
}


@pytest.mark.parametrize("name", DEEP)
def test_no_grey_level_is_lost(tmp_path, name):
    found = read_picture(DEEP[name](tmp_path / "a.png"))
    np.testing.assert_allclose(found.pixels[:, 100], np.tile(255 * RAMP[0], (3, 1)), atol=1)
    assert found.grey


def test_numbers_that_are_none_tell_no_range(tmp_path):
    values = RAMP.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -3.4e38
    found = read_picture(deep_tiff(tmp_path / "a.tif", values, 3))
    np.testing.assert_allclose(found.pixels[0, 100], 255 * RAMP[0], atol=1)


def test_a_tag_tells_the_range(tmp_path):
    Image.fromarray(np.full((9, 9), 100, dtype=np.uint16)).save(tmp_path / "a.tif", tiffinfo={281: 1023})
    assert read_picture(tmp_path / "a.tif").pixels.max() == round(100 * 255 / 1023)


@pytest.mark.parametrize("in_colour", [False, True])
def test_a_folder_has_one_range(tmp_path, in_colour):
    dark = np.full((9, 9), 100)
    for name, values in {"a/dark": dark, "b/bright": 10 * dark}.items():
        deep_png(tmp_path / "in" / f"{name}.png", colours(values) if in_colour else values)
    noise(tmp_path / "in" / "a" / "x.png", 1)
    photographs = read_photographs(tmp_path / "in", cache=tmp_path / "cache")
    assert photographs.ranges == {"16-bit": (0, 1023)}
    assert photographs.files == ("a/dark.png", "a/x.png", "b/bright.png")
    assert photographs.pixels[[0, 2]].max(axis=(1, 2, 3)).tolist() == [
        round(100 * 255 / 1023),
        round(1000 * 255 / 1023),
    ]
    again = read_photographs(tmp_path / "in", cache=tmp_path / "cache")
    assert again.ranges == photographs.ranges
    (tmp_path / "in" / "b" / "bright.png").unlink()
    alone = read_photographs(tmp_path / "in", cache=tmp_path / "cache", ranges=photographs.ranges)
    np.testing.assert_array_equal(alone.pixels, photographs.pixels[[0, 1]])
    assert read_photographs(tmp_path / "in", cache=tmp_path / "cache").ranges == {"16-bit": (0, 255)}


def test_values_above_the_range_are_said(tmp_path):
    path = deep_png(tmp_path / "a.png", ramp(12))
    with pytest.warns(match="Some 16-bit files hold values above 1023"):
        assert read_picture(path, {"16-bit": (0, 1023)}).pixels.max() == 255


class Means(nn.Module):
    """A backbone that is quick: three means."""

    cache_key, device = "means", "cpu"

    def __init__(self):
        super().__init__()
        self.register_buffer("there", torch.zeros(1))

    def forward(self, x):
        return x.mean(dim=(2, 3))


def test_features_follow_the_range(tmp_path, monkeypatch):
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path / "cache"))
    deep_png(tmp_path / "in" / "a.png", np.full((9, 9), 1000))
    for high in (1023, 65535):
        photographs = read_photographs(tmp_path / "in", ranges={"16-bit": (0, high)})
        found = photograph_features(photographs, Means())
        np.testing.assert_allclose(found, 1000 / high, atol=0.01)


def test_one_colour_all_over_is_a_picture(tmp_path):
    for name, value in {"a/black": 0, "a/dark": 1, "b/white": 255}.items():
        write(tmp_path / "in" / f"{name}.png", Image.new("RGB", (30, 20), (value,) * 3))
    photographs = read_photographs(tmp_path / "in", cache=tmp_path / "cache")
    assert photographs.pixels.max(axis=(1, 2, 3)).tolist() == [0, 1, 255]
    assert check_images(photographs.pixels[:2]).dtype == np.uint8
    near = {pair.same_file or (pair.first, pair.second) for pair in duplicates(photographs)}
    assert near == {(0, 1)}  # black and nearly black; not black and white


# No file takes for ever.


def in_time(function, *given):
    """Return what a function returns, or fail after ten seconds."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function(*given)), daemon=True)
    thread.start()
    thread.join(10)
    assert found, "it waits for ever"
    return found[0]


def reason(path):
    with pytest.raises(UnreadableError) as caught:
        read_picture(path)
    return str(caught.value)


def test_a_large_file_that_shrinks_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "ONE_AT_A_TIME", 1000)
    path, fstat = noise(tmp_path / "a.png", 0), os.fstat
    picture = in_time(read_picture, path)  # large as a file, and unpacked

    def shrinking(handle):
        found = fstat(handle)
        os.truncate(path, 900)
        return found

    monkeypatch.setattr(decode.os, "fstat", shrinking)
    assert in_time(reason, path) == "changed while it was read"
    monkeypatch.undo()
    assert picture.width == 30
    assert in_time(reason, path) == "is damaged or cut off"


def test_headers_without_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MOST_READS", 10_000)
    whole = noise(tmp_path / "a.png", 0).read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:33] + chunk(b"tEXt", b"a\0b") * 10_000 + whole[33:])
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8" + b"\xff" * 100_000)
    for name in ("a.png", "a.jpg"):
        assert reason(tmp_path / name) == "is made up of far too many parts"
    (tmp_path / "b.png").write_bytes(whole[:33] + chunk(b"tEXt", b"a\0b") * 1000 + whole[33:])
    assert read_picture(tmp_path / "b.png").width == 30


def test_a_jpeg_of_endlessly_many_scans(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MOST_SCANNED", 20 * 800 * 800)
    path = write(tmp_path / "a.jpg", Image.new("RGB", (800, 800)), progressive=True)
    assert read_picture(path).width == 800
    whole = path.read_bytes()
    path.write_bytes(whole[:-2] + whole[whole.rindex(decode.START_OF_SCAN) : -2] * 100 + whole[-2:])
    assert reason(path) == "has 800 x 800 pixels in far too many scans"


# A folder.


def test_folders_name_the_classes(folder, tmp_path):
    noise(folder / "loose.png", 30)
    photographs = read_photographs(folder, cache=tmp_path / "cache")
    assert photographs.class_names == ("cat", "dog")
    assert dict(zip(photographs.files, photographs.labels.tolist(), strict=True)) == {
        **{f"cat/{i}.png": 0 for i in range(3)},
        **{f"dog/deep/er/{i}.jpg": 1 for i in range(3)},
        "loose.png": -1,
        "unlabelled/x.png": -1,
    }
    pixels = photographs.pixels
    assert pixels.shape == (8, 3, SIDE, SIDE)
    for name, square in zip(photographs.files, pixels, strict=True):
        np.testing.assert_array_equal(square, read_picture(folder / name).pixels)
    np.testing.assert_array_equal(np.concatenate([*photographs.batches()]), pixels)
    np.testing.assert_array_equal(np.concatenate([*photographs.batches([5, 2])]), pixels[[5, 2]])


def test_small_pictures_are_means(folder, tmp_path):
    photographs = read_photographs(folder, cache=tmp_path / "cache")
    blocks = photographs.pixels.reshape(-1, 3, 32, 8, 32, 8).astype(float).mean(axis=(3, 5))
    np.testing.assert_allclose(photographs.small(32), blocks, atol=0.51)
    assert photographs.small(28).shape == (7, 3, 28, 28)


def test_grey_folders_have_one_channel(tmp_path):
    for name in ("a/1.png", "b/2.png"):
        write(tmp_path / "in" / name, picture("L"))
    assert read_photographs(tmp_path / "in", cache=tmp_path / "c").small(28).shape == (2, 1, 28, 28)


@pytest.mark.parametrize("name", ["labels.csv", "metadata.csv"])
@pytest.mark.parametrize("column", ["file_name", "image_path", "path", "file"])
@pytest.mark.parametrize("part", [",", ";", "\t"])
def test_a_table_names_the_classes(tmp_path, name, column, part):
    for i in range(4):
        (tmp_path / f"{i}.png").touch()
    lines = [[column, "label", "note"], ["0.png", "owl", ""], ["./1.png", " bat ", "x"], ["2.png", "", ""]]
    (tmp_path / name).write_text(
        "\ufeff" + "\r\n".join(part.join(line) for line in lines) + "\r\n", encoding="utf-8"
    )
    listing = list_photographs(tmp_path)
    assert listing.labels == ["owl", "bat", None, None]
    assert listing.counts == {"bat": 1, "owl": 1}


def test_rows_of_a_further_table_win(folder, tmp_path):
    table = tmp_path / "reviewed.csv"
    table.write_text("file_name,label\ncat/1.png,dog\nunlabelled/x.png,owl\ncat/2.png,\n")
    listing = list_photographs(folder, table)
    assert dict(zip(listing.files, listing.labels, strict=True)) == {
        "cat/0.png": "cat",
        "cat/1.png": "dog",
        "cat/2.png": None,
        **{f"dog/deep/er/{i}.jpg": "dog" for i in range(3)},
        "unlabelled/x.png": "owl",
    }


def test_the_table_of_the_folder_may_be_named_as_well(folder):
    (folder / "labels.csv").write_text("file_name,label\ncat/0.png,owl\n")
    assert (
        list_photographs(folder, folder / "labels.csv").counts
        == list_photographs(folder).counts
        == {"owl": 1}
    )


def test_paths_of_windows_and_accents_of_macos(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1.png").touch()
    (tmp_path / "u\u0308.png").touch()
    (tmp_path / "labels.csv").write_text("file,label\nd\\1.png,a\n\u00fc.png,b\n", encoding="utf-8")
    assert list_photographs(tmp_path).labels == ["a", "b"]


HOSTILE = [
    "<script>alert(1)</script>.png".replace("/", "\u2215"),
    "\"quotes\" 'and' `ticks`.png",
    "line\nbreak.png",
    "turned \u202egnp.png",
    "comma, semicolon; tab\t.png",
    "=HYPERLINK(1).png",
    "-rf.png",
    "%2e%2e.png",
    "\u00e4" * 125 + "a.png",  # 255 bytes
    " blank .png",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_is_lost(tmp_path, name):
    noise(tmp_path / "in" / "a" / name, 0)
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["file_name", "label"], [f"a/{name}", "b"]])
    photographs = read_photographs(tmp_path / "in", tmp_path / "t.csv", cache=tmp_path / "cache")
    assert photographs.files == (f"a/{name}",)
    assert photographs.class_names == ("b",)


FORMULAS = ["=1+1", "+1", "-1 degree", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "'=1", "''-", "-"]
PLAIN = ["a=1", "'quoted'", "''", "1.png", "", " =1", "a'b"]


@pytest.mark.parametrize("cell", [*FORMULAS, *PLAIN])
def test_no_cell_is_a_formula_and_each_comes_back(cell):
    written = escape_formula(cell)
    assert written[:1] not in set("=+-@\t\r\n\uff1d")
    assert unescape_formula(written) == cell
    assert (written == cell) == (cell in PLAIN)


def test_the_review_page_writes_cells_as_we_do():
    script = Path(files.__file__).parent / "cli" / "templates" / "review.js"
    assert f"/^'*{FORMULA}/" in script.read_text()


@pytest.mark.parametrize("name", ["=a.png", "'=a.png", "''=a.png", "'a.png", "-rf.png", "@a.png"])
def test_a_table_that_we_wrote_names_each_file_again(tmp_path, name):
    """Also beside the file that its cell would name if it were read as it stands."""
    for other in (name, f"'{name}"):
        (tmp_path / "in" / other).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / other).touch()
    write_table(tmp_path / "t.csv", ("file_name", "label"), [[name, "=cat"], [f"'{name}", "-dog"]])
    listing = list_photographs(tmp_path / "in", tmp_path / "t.csv")
    assert dict(zip(listing.files, listing.labels, strict=True)) == {name: "=cat", f"'{name}": "-dog"}


def test_a_table_of_somebody_else_may_name_a_file_that_looks_escaped(tmp_path):
    (tmp_path / "'=a.png").touch()
    (tmp_path / "labels.csv").write_text("file_name,label\n'=a.png,cat\n")
    assert list_photographs(tmp_path).labels == ["cat"]


def test_numbers_stay_numbers_and_no_semicolon_ends_a_cell(tmp_path):
    write_table(tmp_path / "t.csv", ("file_name", "score", "other"), [["a;=1.png", -0.5, None]])
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == '"a;=1.png",-0.5,""'


NO_CLASSES = [
    "None",
    "none",
    "NA",
    "N/A",
    "#N/A",
    "<NA>",
    "NaN",
    "nan",
    "null",
    "(null)",
    "nil",
    "-",
    "--",
    "?",
]


@pytest.mark.parametrize("name", [*NO_CLASSES, "-1", "no_label", "UNKNOWN", "unknown?"])
def test_what_means_no_class_is_refused_wherever_it_stands(tmp_path, name):
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "0.png").touch()
    (tmp_path / "table" / "labels.csv").write_text(f"file_name,label\n0.png,{name}\n")
    folder = tmp_path / "folders" / name.replace("/", "_")
    folder.mkdir(parents=True)
    (folder / "0.png").touch()
    for place in ("table", "folders"):
        with pytest.raises(ValueError, match=r"A class is called .*: rename it"):
            list_photographs(tmp_path / place)


@pytest.mark.parametrize("name", ["unlabelled", "Unlabeled", "_unlabeled", "UNLABELLED", "__unlabelled__"])
def test_what_means_no_label_is_none(tmp_path, name):
    for place in ("cat/0.png", f"{name}/1.png"):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).touch()
    assert list_photographs(tmp_path).counts == {"cat": 1}
    (tmp_path / "labels.csv").write_text(f"file_name,label\n{name}/1.png,dog\ncat/0.png, {name} \n")
    assert list_photographs(tmp_path).counts == {"dog": 1}


@pytest.mark.parametrize("name", ["+", "=", "1", "None of these", "Nana", "nilgai", "not labelled yet", "-5"])
def test_other_names_are_classes(tmp_path, name):
    (tmp_path / "0.png").touch()
    (tmp_path / "labels.csv").write_text(f"file_name,label\n0.png,{name}\n")
    assert list_photographs(tmp_path).class_names == [name]


def test_accents_in_two_forms_are_said_to_be_two(tmp_path):
    for name in ("caf\u00e9", "cafe\u0301"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").touch()
    with pytest.raises(
        ValueError, match="differ only in how Unicode writes their letters: give both one name"
    ):
        list_photographs(tmp_path)


def test_a_large_table_takes_little_memory(tmp_path):
    """Of its rows nothing is kept but the labels of pictures that are there."""
    (tmp_path / "0.png").touch()
    rows = "".join(f"d{i:07}/a_rather_long_name_of_a_picture.png,class {i % 9},{i}\n" for i in range(20_000))
    (tmp_path / "labels.csv").write_text(f"file_name,label,note\n0.png,a,\n{rows}")
    tracemalloc.start()
    try:
        with pytest.raises(FileNotFoundError, match="and 19999 more"):
            list_photographs(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (tmp_path / "labels.csv").stat().st_size


def test_printable_spells_out_what_cannot_be_seen():
    assert printable("a\nb\u202ec\x1b[31m") == "a\\nb\\u202ec\\x1b[31m"
    assert printable("h\u00fctte \u732b") == "h\u00fctte \u732b"


def test_links(folder, tmp_path):
    outside = noise(tmp_path / "outside" / "secret.png", 5)
    (folder / "cat" / "out.png").symlink_to(outside)
    (folder / "cat" / "all").symlink_to(tmp_path / "outside")
    (folder / "cat" / "in.png").symlink_to(folder / "cat" / "0.png")
    (folder / "cat" / "dead.png").symlink_to(folder / "nothing.png")
    (folder / "cat" / "round").symlink_to(folder)
    listing = list_photographs(folder)
    assert "cat/in.png" in listing.files
    assert listing.skipped == {
        "cat/out.png": "is a link that leads out of the folder",
        "cat/all": "is a link to a folder, which is not followed",
        "cat/dead.png": "is a link to nothing",
        "cat/round": "is a link to a folder, which is not followed",
    }
    photographs = read_photographs(folder, cache=tmp_path / "cache")
    assert not any("secret" in name or "out" in name for name in photographs.files)


def test_bad_files_are_listed_and_end_nothing(folder, tmp_path):
    for name, (make, _) in BAD_FILES.items():
        if name not in ("gone.png", "folder.png"):
            make(folder / "dog" / name)
    (folder / "phone.heic").touch()
    (folder / "notes.txt").touch()
    (folder / ".hidden.png").touch()
    photographs = read_photographs(folder, cache=tmp_path / "cache")
    assert len(photographs) == 7
    expected = {f"dog/{name}" for name in BAD_FILES if name not in ("gone.png", "folder.png")}
    assert set(photographs.skipped) == {*expected, "phone.heic"}
    assert photographs.skipped["dog/empty.jpg"] == "is empty"
    assert photographs.listing.others == 1
    assert photographs.pixels.shape[0] == 7


def test_empty_folders_of_classes_are_named(folder):
    (folder / "owl").mkdir()
    assert list_photographs(folder).empty == ["owl"]


TWO = "file_name,label\n0.png,a\n1.png,b\n"
BAD_TABLES = {
    "nothing": ("", ValueError, "labels.csv has no rows: name the columns, then write a row per file."),
    "only a head": ("file_name,label\n", ValueError, "labels.csv has no rows"),
    "no file column": (
        "name,label\n0.png,a\n",
        ValueError,
        "needs one column file_name, image_path, path or",
    ),
    "two file columns": ("path,file,label\n0.png,0.png,a\n", ValueError, "needs one column file_name"),
    "no label column": (
        "file_name,colour\n0.png,a\n",
        ValueError,
        "and one column label: its columns are file",
    ),
    "a column twice": ("file,label,label\n0.png,a,b\n", ValueError, "has two columns of one name"),
    "a file twice": (
        TWO + "0.png,b\n",
        ValueError,
        "labels.csv names 0.png twice: keep the row that is right.",
    ),
    "twice in another form": (TWO + "./0.png,b\n", ValueError, "names ./0.png twice"),
    "a missing file": (TWO + "9.png,a\n", FileNotFoundError, "names 9.png, but there is no such picture"),
    "many missing": (TWO + "8.png,a\n9.png,a\n", FileNotFoundError, "names 8.png and 1 more"),
    "out of the folder": (
        TWO + "../x.png,a\n",
        ValueError,
        "names ../x.png: name a file in the folder, or leave the row out.",
    ),
    "an absolute path": (TWO + "/etc/x.png,a\n", ValueError, "names /etc/x.png: name a file in the folder"),
    "no file": (TWO + " ,a\n", ValueError, "labels.csv names .*: name a file in the folder"),
    "too few cells": (TWO + "2.png\n", ValueError, "has 2 columns, but 1 in the row of 2.png"),
    "too many cells": (TWO + "2.png,a,b\n", ValueError, "set texts that hold a comma in quotes"),
    "an open quote": (TWO + '2.png,"a\n', ValueError, "cannot be read as a table"),
    "UTF-16 without its mark": (
        TWO.encode("utf-16-le"),
        ValueError,
        "is no text in UTF-8: save it as CSV in UTF-8",
    ),
    "Latin 1": ("file,label\n0.png,\u00e4\n".encode("latin-1"), ValueError, "save it as CSV in UTF-8"),
    "zeros": (TWO + "2.png\0,a\n", ValueError, "name a file in the folder|cannot be read as a table"),
    "case": (TWO + "2.png,A\n", ValueError, 'The classes "A" and "a" differ only in case or blanks'),
    "blanks": ("file,label\n0.png,a b\n1.png,a  b\n", ValueError, "differ only in case or blanks"),
    "a control character": (TWO + "2.png,a\x07\n", ValueError, "has a character that a terminal"),
    "a turned name": (TWO + "2.png,\u202eb\n", ValueError, r'called "\\u202eb", which has a character'),
    "unknown": (TWO + "2.png,Unknown\n", ValueError, 'A class is called "Unknown"'),
    "a marker": (
        TWO + "2.png,nan\n",
        ValueError,
        'A class is called "nan", which means no class: rename it',
    ),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_tables_that_cannot_be_meant(tmp_path, name):
    content, kind, message = BAD_TABLES[name]
    for i in range(3):
        (tmp_path / f"{i}.png").touch()
    (tmp_path / "labels.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(kind, match=message) as error:
        list_photographs(tmp_path)
    assert "\n" not in str(error.value)


def test_two_tables(tmp_path):
    (tmp_path / "0.png").touch()
    for name in ("labels.csv", "metadata.csv"):
        (tmp_path / name).write_text(TWO)
    with pytest.raises(ValueError, match=r"both labels\.csv and metadata\.csv"):
        list_photographs(tmp_path)


def test_folders_that_cannot_be_meant(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not there: name a folder of pictures"):
        list_photographs(tmp_path / "gone")
    (tmp_path / "file.png").touch()
    with pytest.raises(ValueError, match="is no folder"):
        list_photographs(tmp_path / "file.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").touch()
    with pytest.raises(ValueError, match="There is no picture in"):
        list_photographs(tmp_path / "in")
    (tmp_path / "in" / "a.png").touch()
    with pytest.raises(
        ValueError, match=r"None of the 1 pictures can be read, for instance 'a\.png' is empty"
    ):
        read_photographs(tmp_path / "in", cache=tmp_path / "cache")
    with pytest.raises(FileNotFoundError, match="name a CSV file"):
        list_photographs(tmp_path / "in", tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "No picture has a label"),
        ({"a": 5}, r"All labelled pictures are of one class \(a\)"),
        ({"a": 5, "b": 1}, "The class b has one labelled picture"),
    ],
)
def test_too_few_labels(counts, message):
    with pytest.raises(ValueError, match=message):
        check_enough(counts)


# The cache.


def test_a_folder_is_decoded_once(folder, tmp_path, monkeypatch):
    first = read_photographs(folder, cache=tmp_path / "cache")
    monkeypatch.setattr("metriclearn.photos.cache.read_pictures", lambda paths: pytest.fail("decoded again"))
    moved = tmp_path / "moved"
    shutil.move(folder, moved)
    (moved / "cat").rename(moved / "chat")
    again = read_photographs(moved, cache=tmp_path / "cache")
    assert again.class_names == ("chat", "dog")
    np.testing.assert_array_equal(again.pixels, first.pixels)


def test_a_changed_picture_is_read_anew(folder, tmp_path):
    read_photographs(folder, cache=tmp_path / "cache")
    path = folder / "cat" / "0.png"
    before = path.stat()
    noise(path, 99)
    os.utime(path, (before.st_atime, before.st_mtime))  # its time says nothing
    again = read_photographs(folder, cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.pixels[0], read_picture(path).pixels)


def test_an_interrupted_reading_goes_on(folder, tmp_path, monkeypatch):
    whole = read_photographs(folder, cache=tmp_path / "whole")
    monkeypatch.setattr("metriclearn.photos.cache.AT_ONCE", 2)

    def three(paths, ranges):
        for i, found in enumerate(read_pictures(paths, ranges)):
            if i == 3:
                raise KeyboardInterrupt
            yield found

    with monkeypatch.context() as patch:
        patch.setattr("metriclearn.photos.cache.read_pictures", three)
        with pytest.raises(KeyboardInterrupt):
            read_photographs(folder, cache=tmp_path / "cut")
    [index] = (tmp_path / "cut" / "photographs").glob("*/index.json")
    assert [entry is None for entry in json.loads(index.read_text())["entries"]] == [False] * 2 + [True] * 5
    seen = []
    monkeypatch.setattr(
        "metriclearn.photos.cache.read_pictures",
        lambda paths, ranges: (seen.extend(paths), read_pictures(paths, ranges))[1],
    )
    again = read_photographs(folder, cache=tmp_path / "cut")
    assert len(seen) == 5
    np.testing.assert_array_equal(again.pixels, whole.pixels)


def keep(photographs):
    """Return what is told of pictures, each square read in both ways."""
    batches = np.concatenate([*photographs.batches()])
    return np.array(photographs.pixels), batches, photographs.skipped, photographs.grey.tolist()


def index_with(change, checksum=True):
    """Return a damage: the index with other entries, with a checksum that fits or without one."""

    def damage(place):
        noted = json.loads((place / "index.json").read_text())
        del noted["checksum"]
        change(noted)
        (place / "index.json").write_bytes(json_bytes(noted) if checksum else json.dumps(noted).encode())

    return damage


def instead(name, make):
    """Return a damage: something else in the place of a file."""
    return lambda place: ((place / name).unlink(), make(place / name))


def first(entry):
    return lambda noted: noted["entries"].__setitem__(0, entry)


DAMAGES = {
    "no file": lambda place: (shutil.rmtree(place), place.write_text("x")),
    "empty": lambda place: (place / "index.json").write_bytes(b""),
    "no JSON": lambda place: (place / "index.json").write_bytes(b"\xff" * 99),
    "null": lambda place: (place / "index.json").write_text("null"),
    "a list": lambda place: (place / "index.json").write_text("[]"),
    "too short": index_with(lambda noted: noted["entries"].pop()),
    "too long": index_with(lambda noted: noted["entries"].append(None)),
    "a text": index_with(lambda noted: noted.update(entries="abcdefgh")),
    "no entries": index_with(lambda noted: noted.pop("entries")),
    "other ranges": index_with(lambda noted: noted.update(ranges={"16-bit": [1]})),
    "another folder's": index_with(lambda noted: noted.update(key="0" * 32)),
    "half an entry": index_with(first([1])),
    "a row twice": index_with(first([1, 5, 40, 30, True])),
    "a row far away": index_with(first([10**12, 5, 40, 30, True])),
    "a row before": index_with(first([-1, 5, 40, 30, True])),
    "a number for a row": index_with(first([0.5, 5, 40, 30, True])),
    "no checksum": index_with(first([0, 5, 40, 30, True]), checksum=False),
    "a folder as index": instead("index.json", Path.mkdir),
    "a folder of pixels": instead("pixels.npy", Path.mkdir),
    "a pipe of pixels": instead("pixels.npy", os.mkfifo),
    "a link of pixels": instead("pixels.npy", lambda path: path.symlink_to("/dev/zero")),
    "no pixels": lambda place: (place / "pixels.npy").unlink(),
    "cut": lambda place: os.truncate(place / "pixels.npy", 400_000),
    "cut to nothing": lambda place: os.truncate(place / "pixels.npy", 0),
    "zeros": instead("pixels.npy", lambda path: (path.touch(), os.truncate(path, 10**7))),
    "another type": instead("pixels.npy", lambda path: np.save(path, np.zeros((7, 3, 256, 256)))),
    "another shape": instead("pixels.npy", lambda path: np.save(path, np.zeros((9, 1, 64, 64), np.uint8))),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_cache_is_made_anew(folder, tmp_path, name):
    (folder / "cat" / "bad.png").write_bytes(b"no picture")
    whole = keep(read_photographs(folder, cache=tmp_path / "cache"))
    [place] = (tmp_path / "cache" / "photographs").iterdir()
    DAMAGES[name](place)
    with pytest.warns(match="is damaged") as said:
        found = keep(read_photographs(folder, cache=tmp_path / "cache"))
    assert [str(one.message).partition(": ")[0] for one in said] == [f"The cache {place} is damaged"]
    np.testing.assert_equal(found, whole)
    np.testing.assert_equal(keep(read_photographs(folder, cache=tmp_path / "cache")), whole)  # without a word


def test_no_flipped_bit_is_taken_for_a_picture(folder, tmp_path):
    whole = keep(read_photographs(folder, cache=tmp_path / "cache"))
    random = np.random.default_rng(0)
    for name in ("index.json", "pixels.npy") * 10:
        [path] = (tmp_path / "cache" / "photographs").glob(f"*/{name}")
        content = bytearray(path.read_bytes())
        content[random.integers(128 if name == "pixels.npy" else 0, len(content))] ^= 1 << random.integers(8)
        path.write_bytes(content)
        with pytest.warns(match="is damaged"):
            found = keep(read_photographs(folder, cache=tmp_path / "cache"))
        np.testing.assert_equal(found, whole)


def test_damage_that_comes_later_is_seen_as_well(folder, tmp_path):
    photographs = read_photographs(folder, cache=tmp_path / "cache")
    whole = keep(photographs)
    [path] = (tmp_path / "cache" / "photographs").glob("*/pixels.npy")
    os.truncate(path, 9)
    with pytest.warns(match="is damaged: what it lacks is read anew"):
        np.testing.assert_equal(keep(photographs), whole)
    assert path.stat().st_size == 128 + 7 * 3 * SIDE**2  # it is whole again
    shutil.rmtree(tmp_path / "cache")
    with pytest.warns(match="Going on without the cache"):
        np.testing.assert_equal(keep(photographs), whole)


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.EMFILE, errno.ENOENT])
@pytest.mark.parametrize("time", [0, 1, 2])
def test_a_passing_trouble_is_not_kept(folder, tmp_path, monkeypatch, error, time):
    whole = keep(read_photographs(folder, cache=tmp_path / "whole"))
    real, asked = os.open, []

    def opened(path, *given, **more):
        if Path(path).name == "1.png":
            asked.append(path)
            if len(asked) == time + 1:
                raise OSError(error, os.strerror(error))
        return real(path, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        skipped = read_photographs(folder, cache=tmp_path / "cache").skipped
    assert set(skipped) <= {"cat/1.png"}
    assert len(asked) > time
    np.testing.assert_equal(keep(read_photographs(folder, cache=tmp_path / "cache")), whole)


def test_too_little_memory_is_not_kept(folder, tmp_path, monkeypatch):
    whole = keep(read_photographs(folder, cache=tmp_path / "whole"))
    unpack, calls = decode._unpack, []

    def unpacked(*given):
        calls.append(given)
        if len(calls) == 2:
            raise MemoryError
        return unpack(*given)

    with monkeypatch.context() as patch:
        patch.setattr(decode, "_unpack", unpacked)
        skipped = read_photographs(folder, cache=tmp_path / "cache").skipped
    assert [*skipped.values()] == ["does not fit into memory"]
    found = read_photographs(folder, cache=tmp_path / "cache")
    assert found.skipped == {}
    np.testing.assert_array_equal(found.pixels, whole[0])


@pytest.mark.parametrize("error", [errno.EROFS, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("part", ["index.json", "pixels.npy", "photographs"])
def test_a_cache_that_cannot_be_written_is_done_without(folder, tmp_path, monkeypatch, error, part):
    whole = keep(read_photographs(folder, cache=tmp_path / "whole"))

    def failing(real):
        def call(path, *given, **more):
            touched = f"{path} {given}"
            if part in touched and "cache" in touched:
                raise OSError(error, os.strerror(error))
            return real(path, *given, **more)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "mkdir", "replace"):
            patch.setattr(os, name, failing(getattr(os, name)))
        with pytest.warns(match="Going on without the cache") as said:
            found = keep(read_photographs(folder, cache=tmp_path / "cache"))
    assert [os.strerror(error) in str(one.message) for one in said] == [True]
    np.testing.assert_equal(found, whole)


def test_two_readers_at_a_time(folder, tmp_path):
    whole = keep(read_photographs(folder, cache=tmp_path / "whole"))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda i: keep(read_photographs(folder, cache=tmp_path / "cache")), range(8)):
            np.testing.assert_equal(found, whole)


def test_a_full_disk_is_noticed_before(folder, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.warns(match=r"7 pictures need 1 MB in the cache .*: make room, or set METRICLEARN_CACHE"):
        photographs = read_photographs(folder, cache=tmp_path / "cache")
    assert not [*tmp_path.glob("cache/photographs/*/*")]
    np.testing.assert_array_equal(photographs.pixels[0], read_picture(folder / "cat" / "0.png").pixels)


def test_what_nobody_wants_leaves_the_cache(folder, tmp_path):
    old = tmp_path / "cache" / "photographs" / "old"
    old.mkdir(parents=True)
    (old / "index.json").touch()
    os.utime(old / "index.json", (0, 0))
    read_photographs(folder, cache=tmp_path / "cache")
    assert not old.exists()


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.delenv("METRICLEARN_CACHE", raising=False)
    assert cache_folder() == Path(files.__file__).parent.parent / "data"  # a checkout of the course
    monkeypatch.setattr(files, "CHECKOUT", tmp_path)  # as if installed
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    for system, wanted in {
        "linux": tmp_path / "xdg",
        "darwin": tmp_path / "Library" / "Caches",
        "win32": tmp_path / "local",
    }.items():
        monkeypatch.setattr(files.sys, "platform", system)
        monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
        assert cache_folder() == wanted / "metriclearn"
    monkeypatch.setattr(files.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "metriclearn"
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
