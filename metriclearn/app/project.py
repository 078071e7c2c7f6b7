"""A trained classifier in a folder, and what can be done with it: ask, add, write.

    card.json  README.md      what it is, how it was made, how good it is, what it is not for
    encoder/                  from a picture to an embedding: safetensors and JSON
    embeddings.npy            float32, one row per picture
    examples.json             for each row the file, its label and its SHA-256
    report.html               the same for a person

Nothing in it is executed by whoever opens it. A folder is there whole or not at all.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from metriclearn.decode import Bytes
from metriclearn.embedding import MetricEmbedding
from metriclearn.index import IN_MEMORY, EmbeddingIndex
from metriclearn.labels import UNLABELLED, LabelArray, is_labelled
from metriclearn.photos import Photographs, smaller
from metriclearn.trust import votes_of
from metriclearn.validate import FloatArray

FORM = 1
CARD, EXAMPLES, VECTORS, ENCODER = "card.json", "examples.json", "embeddings.npy", "encoder"
CARD_PAGE, REPORT_PAGE = "README.md", "report.html"
FILES = (
    f"{ENCODER}/encoder.safetensors",
    f"{ENCODER}/card.json",
    VECTORS,
    EXAMPLES,
    CARD,
    CARD_PAGE,
    REPORT_PAGE,
)
NEW, READY = (
    ".new",
    ".ready",
)  # files that are being written; files that count, but are not all in their places
REVIEW = ("review/review.html", "review/review.csv")
NEIGHBOURS = 5


@dataclass(frozen=True)
class Answer:
    """What is said of one picture.

    Attributes:
        label: a class, or "unknown".
        nearest_class: the class with the most votes, even if the picture is unknown.
        confidence: that class's share of the votes.
        similarity: cosine to the nearest example.
        evidence: files of the nearest examples with their labels and cosines, the nearest first.
    """

    label: str
    nearest_class: str
    confidence: float
    similarity: float
    evidence: list[tuple[str, str, float]]


@dataclass(frozen=True)
class Project:
    """A classifier, as it lies in its folder.

    Attributes:
        card: what it is; see `metriclearn.app.card`.
        embedding: from squares to embeddings.
        vectors: float32, shape `(n, N)`.
        labels: int64, shape `(n,)`; positions in `class_names`, -1 = unlabelled.
        class_names: one name per class.
        files: one per picture: its path below the folder that it came from.
        folders: these folders, one per picture.
        digests: SHA-256 of each file.
    """

    card: dict[str, Any]
    embedding: MetricEmbedding
    vectors: FloatArray
    labels: LabelArray
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    folders: tuple[str, ...]
    digests: tuple[str, ...]

    @property
    def known(self) -> Any:
        """Rows of the examples, which have a label."""
        return np.flatnonzero(is_labelled(self.labels))

    def index(self, url: str | None = None, *, fill: bool = False) -> EmbeddingIndex:
        """Return the examples in Qdrant: in memory, or on a server, where they are stored once.

        Args:
            url: the server, which the user must have named: a card is somebody else's, and the key in
                QDRANT_API_KEY goes to whatever server is asked. By default everything stays in memory.
            fill: store them anew even if as many are there already.
        """
        # Frozen encoders of one folder are equal, whatever its labels: so a collection is named by the fit.
        name, encoder = f"metriclearn-{self.card['made_by']}", self.embedding.encoder_id_
        place: dict[str, Any] = {"url": url} if url else {"path": IN_MEMORY}
        index = EmbeddingIndex(self.vectors.shape[1], encoder_id=encoder, collection=name, **place)
        known = self.known
        if fill or len(index) != len(known):
            index.delete(where={"encoder": encoder})
            files = [{"file": self.files[row], "class": self.class_names[self.labels[row]]} for row in known]
            sources = [str(row) for row in known]
            index.upsert(self.vectors[known], self.labels[known], sources=sources, payloads=files)
        return index

    def embed(self, squares: Bytes) -> FloatArray:
        """Return the embeddings of squares, uint8 of shape `(n, 3, 256, 256)`."""
        side = self.card["input"]["side"]
        if side is None:
            return self.embedding.transform(squares)
        return self.embedding.transform(smaller(squares[:, : self.card["input"]["channels"]], side))

    def ask(self, vectors: FloatArray, index: EmbeddingIndex) -> list[Answer]:
        """Return what is said of pictures, by their embeddings."""
        k = min(NEIGHBOURS, len(self.known))
        found = index.query(vectors, k)
        nearest = found.sources.astype(np.int64)
        votes = votes_of(self.labels[nearest], found.scores, nearest)
        threshold = self.card["unknown"]["threshold"]
        answers = []
        for i, label in enumerate(votes.labels):
            similarity = float(votes.similarity[i])
            name = self.class_names[label]
            evidence = [
                (self.files[row], self.class_names[self.labels[row]], round(float(cosine), 4))
                for row, cosine in zip(votes.nearest[i], votes.cosines[i], strict=True)
            ]
            unknown = threshold is not None and similarity < threshold
            answers.append(
                Answer("unknown" if unknown else name, name, float(votes.confidence[i]), similarity, evidence)
            )
        return answers

    def relabelled(self, named: Mapping[int, str | None]) -> "Project":
        """Return the same pictures, some of them with another label or without one."""
        texts: list[str | None] = [self.class_names[label] if label >= 0 else None for label in self.labels]
        for row, label in named.items():
            texts[row] = label
        return self._with_texts(texts)

    def extended(self, photographs: Photographs, vectors: FloatArray) -> "Project":
        """Return the classifier with further pictures. One that is there already gets the new label."""
        rows = {digest: row for row, digest in enumerate(self.digests)}
        texts: list[str | None] = [self.class_names[label] if label >= 0 else None for label in self.labels]
        fresh = []
        for i, digest in enumerate(photographs.digests):
            label = photographs.class_names[photographs.labels[i]] if photographs.labels[i] >= 0 else None
            if digest not in rows:
                rows[digest] = len(texts)
                fresh.append(i)
                texts.append(label)
            elif label is not None:
                texts[rows[digest]] = label
        grown = replace(
            self,
            vectors=np.concatenate([self.vectors, vectors[fresh]]),
            labels=np.concatenate([self.labels, np.full(len(fresh), UNLABELLED, dtype=np.int64)]),
            files=(*self.files, *(photographs.files[i] for i in fresh)),
            folders=(*self.folders, *(str(photographs.folder) for _ in fresh)),
            digests=(*self.digests, *(photographs.digests[i] for i in fresh)),
        )
        return grown._with_texts(texts)

    def _with_texts(self, texts: list[str | None]) -> "Project":
        names = tuple(sorted({text for text in texts if text is not None}))
        codes: dict[str | None, int] = {name: code for code, name in enumerate(names)} | {None: UNLABELLED}
        labels = np.array([codes[text] for text in texts], dtype=np.int64)
        return replace(self, labels=labels, class_names=names)

    def small_files(self) -> dict[str, bytes]:
        """Return the files that change when examples are added: all but the encoder and what people read."""
        buffer = io.BytesIO()
        np.save(buffer, self.vectors, allow_pickle=False)
        examples = {
            "classes": list(self.class_names),
            "folders": sorted(set(self.folders)),
            "pictures": [
                {
                    "file": self.files[i],
                    "folder": self.folders[i],
                    "label": self.class_names[self.labels[i]] if self.labels[i] >= 0 else None,
                    "sha256": self.digests[i],
                }
                for i in range(len(self.files))
            ],
            "embeddings_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        }
        return {
            VECTORS: buffer.getvalue(),
            EXAMPLES: (json.dumps(examples, indent=1) + "\n").encode(),
            CARD: (json.dumps(self.card, indent=2, allow_nan=False) + "\n").encode(),
        }


def server_of(url: str) -> str:
    """Return a server's address as the card records it: without a user's name and password."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def with_card(project: Project, card: dict[str, Any]) -> Project:
    """Return the classifier with another card."""
    return replace(project, card=card)


def is_classifier(folder: Path) -> bool:
    """Return whether a folder holds a card that `metriclearn fit` wrote."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(card, dict) and {"form", "made_by"} <= card.keys()


def write(project: Project, folder: Path, pages: Mapping[str, str], *, encoder: bool = True) -> None:
    """Write a classifier into its folder: killed at any moment, the old one opens or the new one.

    In a folder that is there already, the files of these names are replaced; no other is touched. All files
    are first written beside them and forced onto the disk. One renaming then makes them valid; what remains
    is to move each to its place, which `load` does if this run did not live to.

    Args:
        project: the classifier.
        folder: where it will lie.
        pages: further files, of text.
        encoder: whether to write the encoder, too.

    Raises:
        OSError: if that is not possible.
    """
    beside = _beside(folder)
    try:
        check_room(folder)
        finish(folder)
        remove_files(beside)
        beside.mkdir(parents=True)
        if encoder:
            project.embedding.save(beside / ENCODER)
        for name, content in (project.small_files() | {k: v.encode() for k, v in pages.items()}).items():
            (beside / name).write_bytes(content)
        _onto_the_disk(beside)
        if not folder.exists():
            os.replace(beside, folder)
        else:
            os.replace(beside, folder / READY)
            finish(folder)
        _flush(folder.parent)
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written ({error.strerror or error}): choose another folder."
        ) from None


def _beside(folder: Path) -> Path:
    return folder / NEW if folder.exists() else folder.with_name(f".{folder.name}.new")


def check_room(folder: Path) -> None:
    """Make sure that what is written here will take the place of files of `metriclearn fit` alone.

    Raises:
        FileExistsError: if a file or folder of somebody else is in the way.
    """
    beside = _beside(folder)
    for taken in (beside, folder / READY):
        if taken.is_symlink() or any(_is_foreign(path, taken) for path in taken.rglob("*")):
            raise FileExistsError(f"{taken} is in the way: move it elsewhere")
    for name in FILES:
        if (folder / name).is_dir() or (folder / ENCODER).is_symlink():
            raise FileExistsError(f"{name} in it is a folder or lies behind a link: move it elsewhere")


def _is_foreign(path: Path, root: Path) -> bool:
    """Return whether a path is none that `write` makes; a run that was killed leaves files in .saving-*."""
    parts = [part for part in path.relative_to(root).parts if not part.startswith(".saving-")]
    name = "/".join(parts)
    return path.is_symlink() or (name not in FILES if path.is_file() else name not in ("", ENCODER))


def remove_files(folder: Path) -> None:
    """Remove the files of a classifier from a folder, and each folder that is then empty."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if not _is_foreign(path, folder):
            if path.is_file():
                path.unlink()
            elif not any(path.iterdir()):
                path.rmdir()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def finish(folder: Path) -> None:
    """Move the files of a new classifier to their places, if a run was killed before it had done so.

    Raises:
        OSError: if that is not possible.
    """
    ready = folder / READY
    if not ready.is_dir():
        return
    check_room(folder)  # the folder may be somebody else's, with links that lead out of it
    for name in FILES:
        if (ready / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            os.replace(ready / name, folder / name)
            _flush((folder / name).parent)
    remove_files(ready)


def _onto_the_disk(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())
        else:
            _flush(path)
    _flush(folder)


def _flush(folder: Path) -> None:
    """Force the names in a folder onto the disk, where the system can."""
    if os.name == "posix" and folder.is_dir():
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def load(folder: Path, device: str = "auto") -> Project:
    """Read a classifier back.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files are damaged or do not belong together.
    """
    finish(folder)
    for name in (CARD, EXAMPLES, VECTORS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: name a folder that metriclearn fit wrote.")
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        examples = json.loads((folder / EXAMPLES).read_text(encoding="utf-8"))
        form, digest, pictures = card["form"], examples["embeddings_sha256"], examples["pictures"]
        names = tuple(examples["classes"])
        codes = {name: code for code, name in enumerate(names)} | {None: UNLABELLED}
        labels = np.array([codes[picture["label"]] for picture in pictures], dtype=np.int64)
        columns = [tuple(str(picture[key]) for picture in pictures) for key in ("file", "folder", "sha256")]
        _ = card["unknown"]["threshold"], card["input"]["side"], card["made_by"], card["qdrant_url"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The JSON in {folder} cannot be read: copy the folder again.") from error
    if form != FORM:
        raise ValueError(f"The classifier in {folder} is of form {form!r}, not {FORM}: update this package.")
    stored = (folder / VECTORS).read_bytes()
    if hashlib.sha256(stored).hexdigest() != digest:
        raise ValueError(f"The embeddings in {folder} are not those of its examples: copy the folder again.")
    vectors = np.load(io.BytesIO(stored), allow_pickle=False)
    embedding = MetricEmbedding.load(folder / ENCODER, device=device)
    if len(vectors) != len(labels) or vectors.shape[1] != embedding.encoder_.dim:
        raise ValueError(f"The embeddings in {folder} are not its encoder's: copy the folder again.")
    return Project(card, embedding, vectors, labels, names, columns[0], columns[1], columns[2])
