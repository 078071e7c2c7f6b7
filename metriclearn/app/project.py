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
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metriclearn.decode import Bytes
from metriclearn.embedding import MetricEmbedding, write_whole
from metriclearn.index import IN_MEMORY, EmbeddingIndex
from metriclearn.labels import UNLABELLED, LabelArray, is_labelled
from metriclearn.neighbours import votes
from metriclearn.photos import Photographs, smaller
from metriclearn.validate import FloatArray

FORM = 1
CARD, EXAMPLES, VECTORS, ENCODER = "card.json", "examples.json", "embeddings.npy", "encoder"
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
            url: the server; by default everything stays in memory.
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
        classes, shares = votes(self.labels[nearest], found.scores)
        threshold = self.card["unknown"]["threshold"]
        answers = []
        for i, label in enumerate(classes[shares.argmax(axis=1)]):
            similarity = float(found.scores[i, 0])
            name = self.class_names[label]
            evidence = [
                (self.files[row], self.class_names[self.labels[row]], round(float(cosine), 4))
                for row, cosine in zip(nearest[i], found.scores[i], strict=True)
            ]
            unknown = threshold is not None and similarity < threshold
            answers.append(
                Answer("unknown" if unknown else name, name, float(shares[i].max()), similarity, evidence)
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


def with_card(project: Project, card: dict[str, Any]) -> Project:
    """Return the classifier with another card."""
    return replace(project, card=card)


def write_new(project: Project, folder: Path, pages: Mapping[str, str]) -> None:
    """Write a classifier into a new folder; one that is there is replaced once the new one is complete.

    Args:
        project: the classifier.
        folder: where it will lie.
        pages: further files, of text.

    Raises:
        OSError: if that is not possible.
    """
    beside, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        project.embedding.save(beside / ENCODER)
        write_whole(beside, project.small_files() | {name: text.encode() for name, text in pages.items()})
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(folder, old)
        os.replace(beside, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written ({error.strerror or error}): choose another folder."
        ) from None


def update(project: Project, folder: Path, pages: Mapping[str, str]) -> None:
    """Write what has changed into the classifier's folder, all of it or nothing."""
    write_whole(folder, project.small_files() | {name: text.encode() for name, text in pages.items()})


def load(folder: Path, device: str = "auto") -> Project:
    """Read a classifier back.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files are damaged or do not belong together.
    """
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
