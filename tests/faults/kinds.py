"""Kinds of input that are read back, each with a way to damage it and what must come of that.

A `Kind` has a folder that is in order, and reads it. An input is one mutation of one file of it. What may
come of it: one sentence ("refused"), or the same content as before ("harmless": the fault lies where nothing
is read, or a cache was made anew). Where the content is the user's own, such as a table of labels, another
content is harmless, too. All else is a surprise: other content, another exception, more than ten seconds.
"""

import contextlib
import functools
import io
import json
import shutil
import signal
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from drawn_pictures import draw, draw_folder
from mutations import dump, generator, mutate, mutate_json, mutate_number
from PIL import Image

from metriclearn import MetricEmbedding
from metriclearn.cli.main import main
from metriclearn.cli.model_folder import ModelFolder
from metriclearn.files import cached_array, json_bytes
from metriclearn.index.export import read_points
from metriclearn.photos import read_photographs
from metriclearn.photos.decode import UnreadableError, read_picture
from metriclearn.photos.listing import list_photographs
from metriclearn.photos.tables import PictureNames, match_labels

LONGEST_SECONDS = 10
LONGEST_SENTENCE = 1000  # letters
FIT = ["--method", "frozen", "--device", "cpu"]
SENTENCES = (
    ValueError,
    FileNotFoundError,
    OSError,
    RuntimeError,
    UnreadableError,
)  # and their own subclasses


class HangError(BaseException):
    """An input took too long."""


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        name: as the table has it.
        files: below the folder, those that are damaged.
        read: reads the folder, and returns what it holds.
        damage: returns other bytes for those of a file.
        share: how many inputs it gets beside the others: fewer where one takes long.
        whose: "ours" if the content must never change without a word, "theirs" if any content is allowed.
    """

    name: str
    files: tuple[str, ...]
    read: Callable[[Path], object]
    damage: Callable = mutate
    whose: str = "ours"
    share: float = 1.0


@dataclass
class Tally:
    """What came of the inputs of one kind."""

    outcomes: Counter = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)


def try_kind(kind, folder, numbers):
    """Damage a folder once for each number, and read it; it is in order before and afterwards."""
    whole = {name: (folder / name).read_bytes() for name in kind.files}
    before, tally = kind.read(folder), Tally()
    for number in numbers:
        random = generator(kind.name, number)
        name = random.choice(kind.files)
        (folder / name).write_bytes(kind.damage(whole[name], random))
        outcome = _outcome(kind, folder, before)
        (folder / name).write_bytes(whole[name])
        if outcome in ("refused", "harmless"):
            tally.outcomes[outcome] += 1
        else:
            tally.outcomes["surprise"] += 1
            tally.surprises.append(f"{kind.name}, input {number} ({name}): {outcome}")
    return tally


def _outcome(kind, folder, before):
    try:
        with _limited(), warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            found = kind.read(folder)
    except HangError:
        return f"more than {LONGEST_SECONDS} seconds"
    except BaseException as error:
        return "refused" if is_sentence(error) else f"{type(error).__name__}: {error}"[:300]
    return "harmless" if kind.whose == "theirs" or found == before else "other content, without a word"


def is_sentence(error):
    """Return whether an exception is one that the package raises on purpose: a sentence for a person."""
    ours = isinstance(error, SENTENCES) and not isinstance(error, UnicodeError | json.JSONDecodeError)
    text = str(error)
    return ours and 0 < len(text) <= LONGEST_SENTENCE and "\n" not in text and text.isprintable()


@contextlib.contextmanager
def _limited():
    def stop(*_):
        raise HangError

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


# What is read.


def read_model(folder):
    """Open a model, and return all that it holds."""
    model = ModelFolder.open(folder, "cpu")
    columns = (model.class_of, model.files, model.folders, model.digests)
    return model.card, columns, model.embeddings.tobytes(), _of_encoder(model.embedding)


def use_model(folder):
    """Open a model that anybody may have written, and ask it."""
    model = ModelFolder.open(folder, "cpu")
    with model.classifier() as classifier:
        squares = np.zeros((1, 3, 256, 256), dtype=np.uint8)
        return classifier.explain(model.embed(squares)).labels.tolist()


def ask_model(folder):
    """Ask a model that anybody may have written, from the command line."""
    said, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
        code = main(["classify", str(folder), str(folder.parent / "in" / "disc" / "0.jpg")])
    if code:
        raise ValueError(told.getvalue().strip())
    return said.getvalue()


def read_encoder(folder):
    """Load an encoder, and return what its card says and what it makes of a picture."""
    return _of_encoder(MetricEmbedding.load(folder, device="cpu"))


def _of_encoder(embedding):
    parameters = {name: str(value) for name, value in embedding.get_params().items()}
    return (
        embedding.encoder_id_,
        embedding.card_,
        parameters,
        embedding.classes_.tolist(),
        embedding.n_labels_,
    )


def read_export(folder):
    """Read exported points, and return all that they hold."""
    points = read_points(folder)
    return points.ids, points.vectors.tobytes(), points.payloads, points.kind, points.about


def read_pictures_of(folder):
    """Read a folder of pictures through its cache, and return all that is known of them."""
    found = read_photographs(folder / "in")
    squares = np.concatenate([*found.batches()])
    arrays = (found.labels, found.widths, found.heights, found.grey, squares, found.pixels)
    return found.files, found.class_names, found.skipped, found.digests, [a.tobytes() for a in arrays]


def read_array(folder):
    """Read a cached array."""
    return cached_array(
        folder / "array.npy", lambda: np.arange(60, dtype=np.float32).reshape(6, 10)
    ).tobytes()


def read_labels(folder):
    """List a folder with a table of labels."""
    found = list_photographs(folder)
    return found.files, found.labels


def read_corrections(folder):
    """Read a table of corrections, as `add --labels` does."""
    model = _model(folder.parent / "model")
    match = match_labels(folder / "fixed.csv", PictureNames(model.files, model.folders, model.digests))
    return sorted(match.labels.items())


@functools.cache
def _model(folder):
    return ModelFolder.open(folder, "cpu")


def read_one_picture(name, folder):
    """Decode one picture file."""
    found = read_picture(folder / name)
    return found.pixels.tobytes(), found.width, found.height, found.grey


def forge(data, random):
    """Return a JSON file of other content with a right checksum: what somebody may write on purpose."""
    value = json.loads(data)
    value.pop("checksum", None)
    changed = mutate_json(value, random)
    try:
        return json_bytes(changed) if isinstance(changed, dict) else dump(changed)
    except (ValueError, TypeError, UnicodeError):  # what the package itself could not write
        return dump(changed)


# Folders that are in order.


def draw_pictures(folder):
    """Write a picture of each format, with what these formats can hold."""
    folder.mkdir()
    picture, deep = (
        draw("disc", 1).resize((24, 18)),
        np.arange(24 * 18, dtype=np.uint16).reshape(18, 24) * 150,
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "a.jpg", exif=exif)
    picture.convert("CMYK").save(folder / "b.jpg")
    picture.save(folder / "c.png")
    Image.fromarray(deep).save(folder / "d.png")
    picture.convert("P").save(folder / "e.png", transparency=0)
    picture.save(folder / "f.gif", save_all=True, append_images=[picture.rotate(90)])
    picture.save(folder / "g.webp")
    picture.save(folder / "h.tif", compression="tiff_lzw")
    Image.fromarray(deep).save(folder / "i.tif")
    picture.save(folder / "j.bmp")
    return tuple(sorted(path.name for path in folder.iterdir()))


def make_folders(root, monkey):
    """Make all folders that the kinds begin with, below `root`; the cache lies there as well.

    Args:
        root: an empty folder.
        monkey: a `pytest.MonkeyPatch`, which sets the environment.
    """
    monkey.setenv("METRICLEARN_CACHE", str(root / "cache"))
    monkey.delenv("QDRANT_URL", raising=False)
    monkey.delenv("QDRANT_API_KEY", raising=False)
    photos = draw_folder(root / "in", n=8, free=1)
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["fit", str(photos), "--out", str(root / "model"), *FIT]) == 0
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (24, 1, 8, 8), dtype=np.uint8)
    MetricEmbedding(4, steps=2, random_state=0).fit(images, np.arange(24) % 3).save(root / "encoder")
    (root / "export").mkdir()
    for name in ("vectors.npy", "points.json"):
        shutil.copy(root / "model" / name, root / "export" / name)
    draw_folder(root / "pictures" / "in", n=2, free=1)
    (root / "pictures" / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (root / "array").mkdir()
    read_array(root / "array")
    draw_folder(root / "table", n=2, free=1)
    rows = [
        "file_name,label",
        "disc/0.jpg,disc",
        '"disc/1.png","caf\u00e9, red"',
        "bars/0.jpg,",
        "bars/1.png,x",
    ]
    (root / "table" / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    draw_folder(root / "lines", n=2, free=1)
    lines = [{"file_name": f"disc/{i}.{'png' if i else 'jpg'}", "label": "caf\u00e9"} for i in range(2)]
    text = "\n".join(json.dumps(line) for line in lines)
    (root / "lines" / "metadata.jsonl").write_text(text, encoding="utf-8")
    (root / "corrected").mkdir()
    (root / "corrected" / "fixed.csv").write_text("file_name,label,sha256\ndisc/0.jpg,bars,\nbars/1.png,,\n")
    draw_pictures(root / "formats")
    draw_folder(root / "corrections" / "in", n=1)
    return root


def cache_of_pictures(root, monkey):
    """Give the folder "pictures" a cache of its own below it; return the files of that cache."""
    monkey.setenv("METRICLEARN_CACHE", str(root / "pictures" / "cache"))
    read_pictures_of(root / "pictures")
    cache = root / "pictures"
    return tuple(sorted(p.relative_to(cache).as_posix() for p in (cache / "cache").rglob("*") if p.is_file()))


def kinds(root, cached):
    """Return all kinds, each with its folder below `root`.

    Args:
        root: what `make_folders` made.
        cached: the files that `cache_of_pictures` returned.
    """
    encoder = ("encoder/card.json", "encoder/encoder.safetensors")
    points = ("vectors.npy", "points.json")
    formats = sorted(path.name for path in (root / "formats").iterdir())
    found = [
        (Kind("model: card", ("card.json",), read_model), "model"),
        (Kind("model: card, a digit", ("card.json",), read_model, mutate_number), "model"),
        (Kind("model: examples", points, read_model), "model"),
        (Kind("model: examples, a digit", ("points.json",), read_model, mutate_number), "model"),
        (Kind("model: encoder", encoder, read_model), "model"),
        (Kind("model: card, forged", ("card.json",), use_model, forge, "theirs", 0.1), "model"),
        (Kind("model: examples, forged", ("points.json",), use_model, forge, "theirs", 0.1), "model"),
        (Kind("model: encoder card, forged", encoder[:1], use_model, forge, "theirs", 0.1), "model"),
        (
            Kind(
                "model, forged, on the command line",
                ("card.json", "points.json"),
                ask_model,
                forge,
                "theirs",
                0.05,
            ),
            "model",
        ),
        (Kind("encoder: card", ("card.json",), read_encoder), "encoder"),
        (Kind("encoder: card, a digit", ("card.json",), read_encoder, mutate_number), "encoder"),
        (Kind("encoder: weights", ("encoder.safetensors",), read_encoder), "encoder"),
        (Kind("encoder: card, forged", ("card.json",), read_encoder, forge, "theirs"), "encoder"),
        (Kind("export: points", ("points.json",), read_export), "export"),
        (Kind("export: points, a digit", ("points.json",), read_export, mutate_number), "export"),
        (Kind("export: vectors", ("vectors.npy",), read_export), "export"),
        (Kind("export: points, forged", ("points.json",), read_export, forge, "theirs"), "export"),
        (Kind("cache: pictures", cached, read_pictures_of, share=0.4), "pictures"),
        (Kind("cache: array", ("array.npy",), read_array), "array"),
        (Kind("table: labels.csv", ("labels.csv",), read_labels, mutate, "theirs"), "table"),
        (Kind("table: metadata.jsonl", ("metadata.jsonl",), read_labels, mutate, "theirs"), "lines"),
        (
            Kind("table: corrections, at `add`", ("fixed.csv",), read_corrections, mutate, "theirs"),
            "corrected",
        ),
    ]
    found += [
        (
            Kind(
                f"picture: {name[2:]} ({name[0]})",
                (name,),
                functools.partial(read_one_picture, name),
                mutate,
                "theirs",
            ),
            "formats",
        )
        for name in formats
    ]
    return [(kind, root / folder) for kind, folder in found]
