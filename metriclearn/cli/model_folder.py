"""Model folder: a trained classifier on the disk; open it, classify with it, extend it, write it.

    card.json  README.md        what it is, how it was made, how good it is, what it is not for
    encoder/                    from a picture to an embedding: safetensors and JSON
    vectors.npy  points.json    embeddings, labels and files of all pictures, for QdrantClassifier.open
    report.html                 accuracy with its interval, and the worst mistakes, as a page
    review/                     pictures to look at, as a page and as a table

Nothing in it is executed by whoever opens it, and no server or hub that it names is asked. Each file that is
read has a checksum. A fit or an addition that is killed leaves the old classifier or the new one, and never
touches a file of another name.
"""

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metriclearn import MetricEmbedding, QdrantClassifier
from metriclearn.calibration import Calibration
from metriclearn.checks.arguments import check_device, shown
from metriclearn.checks.arrays import FloatArray
from metriclearn.checks.forms import fits
from metriclearn.checks.labels import LabelArray, is_labelled
from metriclearn.cli.common import UsageError, path_of, wrong_use
from metriclearn.embedding import encoder_files
from metriclearn.files import (
    LARGEST_CARD,
    json_bytes,
    plain,
    read_file,
    read_json,
    read_unchanged,
    replace_files,
    writing,
)
from metriclearn.finetune import BackboneEncoder
from metriclearn.index.collection import Collection
from metriclearn.index.connection import IN_MEMORY, POINTS_FILE, Connection, connect, find_location
from metriclearn.index.examples import classifier_points
from metriclearn.index.export import VECTORS_FILE, Points, points_files, read_points
from metriclearn.model_selection import METHODS
from metriclearn.photos import Photographs, downscale, encode_labels
from metriclearn.photos.decode import Bytes
from metriclearn.photos.depth import Ranges, as_ranges

FORMAT_VERSION = 3
CARD, ENCODER = "card.json", "encoder"
CARD_PAGE, REPORT_PAGE = "README.md", "report.html"
FILES = (
    f"{ENCODER}/encoder.safetensors",
    f"{ENCODER}/card.json",
    VECTORS_FILE,
    POINTS_FILE,
    CARD,
    CARD_PAGE,
    REPORT_PAGE,
)
FILES_OF_FORMAT_1 = ("embeddings.npy", "examples.json")
REVIEW = "review"
REVIEW_PAGE, REVIEW_TABLE = "review.html", "review.csv"
NEIGHBOURS = 5
REMEDY = "copy the folder again, or make a new one with metriclearn fit"

COUNT = range(2**53)
_INTERVAL = {"percent": float, "low": float, "high": float, "pictures": COUNT}
CARD_FORM = {  # what of a card is used later
    "made_by": str,
    "method": tuple(METHODS),
    "backbone": (str, None),
    "encoder": str,
    "input": {"side": (COUNT, None), "channels": (1, 3), "ranges": dict},
    "data": {"pictures": COUNT, "labelled": COUNT, "skipped": COUNT, "smallest": [COUNT], "largest": [COUNT]},
    "classes": {...: {"labels": COUNT, "accuracy": (_INTERVAL, None)}},
    "accuracy": _INTERVAL | {"folds": COUNT},
    "groups": {
        "by": (str, None),
        "number": COUNT,
        "alone": COUNT,
        "near_pairs": COUNT,
        "near_pairs_kept": bool,
        "classes_not_judged": COUNT,
    },
    "tried": [{"method": str, "accuracy": _INTERVAL, "folds": COUNT}],
    "verdict": str,
    "unknown": {
        "threshold": (float, None),
        "share": float,
        "held_out": COUNT,
        "unseen": (_INTERVAL, None),
    },
    "calibration": {"intercept": float, "similarity": float, "share": float},
    "added": COUNT,
    "seed": range(2**32),
    "qdrant_url": (str, None),
    "collection": (str, None),
    "versions": {...: str},
}
POINT_FORM = {"source": str, "file": str, "folder": str, "sha256": str}
HELD_OUT_FORM = {"class": str, "confidence": float}


@dataclass(frozen=True)
class ModelFolder:
    """A trained classifier and the folder that it lies in.

    Attributes:
        path: the folder.
        card: what it is; see `metriclearn.cli.card`.
        embedding: from squares to embeddings.
        embeddings: float32, shape `(n, N)`, of all pictures.
        class_of: the class of each picture by its name; None where it has no label.
        files: one per picture: its path below the folder that it came from.
        folders: these folders, one per picture.
        digests: SHA-256 of each file.
        held_out: for each picture `{"class": …, "confidence": …}`: what a classifier that had not met it said
            when this one was made; None where it was not asked.
    """

    path: Path
    card: dict[str, Any]
    embedding: MetricEmbedding
    embeddings: FloatArray
    class_of: tuple[str | None, ...]
    files: tuple[str, ...]
    folders: tuple[str, ...]
    digests: tuple[str, ...]
    held_out: tuple[dict[str, Any] | None, ...]

    @classmethod
    def open(cls, path: Path, device: str = "auto") -> "ModelFolder":
        """Read the classifier that `write` wrote into a folder.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if the files are damaged, do not belong together, or are of another version.
            OSError: if a file cannot be read.
        """
        read = [path / name for name in FILES if name not in (CARD_PAGE, REPORT_PAGE)]
        return read_unchanged(read, partial(cls._open, path, device))

    @classmethod
    def _open(cls, path: Path, device: str) -> "ModelFolder":
        card = read_json(path / CARD, REMEDY, LARGEST_CARD)
        if (found := card.get("format_version")) != FORMAT_VERSION:
            raise ValueError(
                f"The classifier in {path} is of format {shown(found)}, not {FORMAT_VERSION}: make a new one "
                "with metriclearn fit FOLDER --out MODEL."
            )
        points = read_points(path)
        embedding = MetricEmbedding.load(path / ENCODER, device=device)
        names = [*map(str, range(len(points.ids)))]
        class_of = [payload.get("class") for payload in points.payloads]
        held_out = [payload.get("held_out") for payload in points.payloads]
        if (
            not fits(card, CARD_FORM)
            or not 0.001 < card["unknown"]["share"] < 1
            or not fits(points.payloads, [POINT_FORM])
            or not fits(class_of, [(str, None)])
            or not fits(held_out, [(HELD_OUT_FORM, None)])
            or [payload["source"] for payload in points.payloads] != names
            or points.encoder_id != embedding.encoder_id_
            or not _takes_what_the_card_says(embedding, card["input"]["side"], card["input"]["channels"])
        ):
            raise ValueError(f"The files in {path} do not belong together: {REMEDY}.")
        as_ranges(card["input"]["ranges"])
        files, folders, digests = (
            tuple(payload[key] for payload in points.payloads) for key in ("file", "folder", "sha256")
        )
        return cls(
            path, card, embedding, points.vectors, tuple(class_of), files, folders, digests, tuple(held_out)
        )

    def write(self, pages: Mapping[str, str], *, encoder: bool = True) -> None:
        """Write what is new into the folder, all of it or nothing; other files there are left alone.

        The caller has locked the folder: see `metriclearn.files.locked`.

        Raises:
            OSError: if that is not possible.
        """
        files = points_files(self.points()) | {CARD: json_bytes(plain(self.card), largest=LARGEST_CARD)}
        files |= {name: text.encode() for name, text in pages.items()}
        if encoder:
            files |= {f"{ENCODER}/{name}": held for name, held in encoder_files(self.embedding)[1].items()}
        with writing(self.path):
            replace_files(self.path, files, FILES)
            for name in FILES_OF_FORMAT_1:
                (self.path / name).unlink(missing_ok=True)

    @cached_property
    def calibration(self) -> Calibration:
        """How likely an answer is right."""
        found = self.card["calibration"]
        return Calibration(found["intercept"], found["similarity"], found["share"])

    @cached_property
    def labels(self) -> LabelArray:
        """Class numbers of all pictures; positions in `class_names`, -1 = unlabelled."""
        return encode_labels(self.class_of)[0]

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """One name per class, sorted."""
        return encode_labels(self.class_of)[1]

    @property
    def labelled_rows(self) -> npt.NDArray[np.int64]:
        """Rows of the examples, which have a label."""
        return np.flatnonzero(is_labelled(self.labels))

    def points(self, *, private: bool = True) -> Points:
        """Return all pictures as points of a `QdrantClassifier`; a server needs no folders and hashes."""
        told = zip(self.files, self.folders, self.digests, self.held_out, strict=True)
        return classifier_points(
            self.embeddings,
            self.class_of,
            encoder_id=self.embedding.encoder_id_,
            n_neighbors=min(NEIGHBOURS, len(self.labelled_rows)),
            payloads=[
                {"file": file}
                | ({"folder": folder, "sha256": digest} if private else {})
                | ({"held_out": said} if private and said else {})
                for file, folder, digest, said in told
            ],
            about={"threshold": self.card["unknown"]["threshold"]},
        )

    def classifier(self, url: str | None = None) -> QdrantClassifier:
        """Return the classifier: in memory, or on a server, where its examples are stored unless they are.

        Args:
            url: the server, which the user must have named: a card may be somebody else's, and the key in
                QDRANT_API_KEY goes to whatever server is asked. By default everything stays in memory.
        """
        if not url:
            return QdrantClassifier.from_points(self.points(), path=IN_MEMORY)
        return QdrantClassifier.from_points(self.points(private=False), url=url, collection=self.collection)

    @cached_property
    def collection(self) -> str:
        """The name of its collection on a server: it changes with any example."""
        points = points_files(self.points(private=False))[POINTS_FILE]
        return f"metriclearn-{hashlib.sha256(points).hexdigest()[:16]}"

    def drop_older(self, connection: Connection, older: "ModelFolder") -> None:
        """Delete from a server the collections that this classifier had when it was older.

        Only those of its own making: an older card may be somebody else's, and name anything.
        """
        noted = re.findall(r"\Ametriclearn-[0-9a-f]{16}\Z", str(older.card.get("collection")))
        names = {older.collection, *noted}
        for name in names - {self.collection}:
            with suppress(ValueError):  # something else bears the name
                found = Collection.find(connection, connection.location.full_name(name))
                if found and found.kind.encoder_id == self.embedding.encoder_id_:
                    found.drop()

    @property
    def ranges(self) -> Ranges:
        """Which values mean black and white in files of more than 8 bits, as it was made."""
        return as_ranges(self.card["input"]["ranges"])

    def embed(self, squares: Bytes) -> FloatArray:
        """Return the embeddings of squares, uint8 of shape `(n, 3, 256, 256)`."""
        side = self.card["input"]["side"]
        if side is None:
            return self.embedding.transform(squares)
        return self.embedding.transform(downscale(squares[:, : self.card["input"]["channels"]], side))

    def relabelled(self, named: Mapping[int, str | None]) -> "ModelFolder":
        """Return the same pictures, some of them with another label or without one."""
        return replace(self, class_of=tuple(named.get(row, old) for row, old in enumerate(self.class_of)))

    def extended(self, photographs: Photographs, embeddings: FloatArray) -> "ModelFolder":
        """Return the classifier with further pictures. One that is there already gets the new label.

        It is the same picture if its bytes are the same. Where several have the same, each is taken for the
        one of its own name, and a further label makes a further row, which `review` shows.
        """
        known, names = set(self.files), (*photographs.class_names, None)
        labels = [names[label] for label in photographs.labels]
        files, class_of, fresh = [*self.files], [*self.class_of], list[int]()
        rows: dict[str, list[int]] = {}
        for row, digest in enumerate(self.digests):
            rows.setdefault(digest, []).append(row)
        taken: set[int] = set()

        def order(i: int) -> tuple[bool, bool]:  # by name first, and labels before none
            return photographs.files[i] not in known, labels[i] is None

        for i in sorted(range(len(photographs)), key=order):
            file, label, same = photographs.files[i], labels[i], rows.setdefault(photographs.digests[i], [])
            left = [(files[row] != file, class_of[row] != label, row) for row in same if row not in taken]
            if left:
                row = min(left)[-1]
                class_of[row] = class_of[row] if label is None else label
            elif not same or label not in {None, *(class_of[row] for row in same)}:
                row = len(files)
                files.append(file)
                class_of.append(label)
                fresh.append(i)
                same.append(row)
            else:
                continue
            taken.add(row)
        n = len(self.files)
        class_of[n:] = [
            name for _, name in sorted(zip(fresh, class_of[n:], strict=True), key=lambda pair: pair[0])
        ]
        fresh.sort()
        return replace(
            self,
            card=self.card | {"input": self.card["input"] | {"ranges": photographs.ranges}},
            embeddings=np.concatenate([self.embeddings, embeddings[fresh]]),
            class_of=tuple(class_of),
            files=(*self.files, *(photographs.files[i] for i in fresh)),
            folders=(*self.folders, *(str(photographs.folder) for _ in fresh)),
            digests=(*self.digests, *(photographs.digests[i] for i in fresh)),
            held_out=(*self.held_out, *(None for _ in fresh)),
        )


def _takes_what_the_card_says(embedding: MetricEmbedding, side: int | None, channels: int) -> bool:
    """Return whether an encoder takes images of these sides, or of any (None)."""
    if side is None:
        return isinstance(embedding.encoder_, BackboneEncoder)
    return getattr(embedding.encoder_, "input_shape", None) == (channels, side, side)


def open_model(folder: str, device: str = "auto") -> ModelFolder:
    """Open a classifier that the user named.

    Raises:
        UsageError: if it is none, or if there is no such device.
        OSError: see `ModelFolder.open`; likewise ValueError.
    """
    path = model_path(folder)
    with wrong_use():
        device = str(check_device(device))
    return ModelFolder.open(path, device)


def model_path(folder: str) -> Path:
    """Return the folder of a classifier that the user named.

    Raises:
        UsageError: if there is none.
    """
    path = path_of(folder)
    if not (path / CARD).is_file():
        raise UsageError(f"{folder!r} is no classifier: name a folder that metriclearn fit wrote.")
    return path


def holds_classifier(folder: Path) -> bool:
    """Return whether `metriclearn fit` wrote the card in a folder, even if it is damaged now."""
    with suppress(OSError, ValueError):
        return b'"made_by"' in read_file(folder / CARD, REMEDY, LARGEST_CARD)
    return False


def check_server(url: str | None) -> str | None:
    """Return the address of a Qdrant server, once it answers; an address holds no user and no password.

    Args:
        url: what the user named. Without it no server is asked, whatever a card or QDRANT_URL say.

    Raises:
        UsageError: if it is no address.
        ConnectionError: if no server answers there.
    """
    if url:
        with wrong_use():
            connect(find_location(None, url)).close()
    return url or None
