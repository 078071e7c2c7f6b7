"""The folder of a trained classifier: open, classify, extend, write.

    card.json  README.md      what it is, how it was made, how good it is, what it is not for
    encoder/                  from a picture to an embedding: safetensors and JSON
    embeddings.npy            float32, one row per picture
    examples.json             for each row the file, its label and its SHA-256
    report.html               the same for a person
    review/                   pictures to look at, as a page and as a table

Nothing in it is executed by whoever opens it, and no server that it names is asked. A fit or an addition that
is killed leaves the old classifier or the new one, and never touches a file of another name.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt

from metriclearn.cli.atomic import finish, replace_files
from metriclearn.cli.common import UsageError, wrong_use
from metriclearn.connect import connect, find_home
from metriclearn.decode import Bytes
from metriclearn.embedding import MetricEmbedding
from metriclearn.index import IN_MEMORY, EmbeddingIndex
from metriclearn.labels import UNLABELLED, LabelArray, is_labelled
from metriclearn.photos import Photographs, smaller
from metriclearn.settings import check_device
from metriclearn.trust import votes_of
from metriclearn.validate import FloatArray

FORMAT_VERSION = 1
CARD, EXAMPLES, EMBEDDINGS, ENCODER = "card.json", "examples.json", "embeddings.npy", "encoder"
CARD_PAGE, REPORT_PAGE = "README.md", "report.html"
FILES = (
    f"{ENCODER}/encoder.safetensors",
    f"{ENCODER}/card.json",
    EMBEDDINGS,
    EXAMPLES,
    CARD,
    CARD_PAGE,
    REPORT_PAGE,
)
REVIEW = "review"
REVIEW_PAGE, REVIEW_TABLE = "review.html", "review.csv"
NEIGHBOURS = 5


@dataclass(frozen=True)
class Answer:
    """The classification of one picture.

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
class ModelFolder:
    """A trained classifier and the folder that it lies in.

    Attributes:
        path: the folder.
        card: what it is; see `metriclearn.cli.card`.
        embedding: from squares to embeddings.
        embeddings: float32, shape `(n, N)`.
        labels: int64, shape `(n,)`; positions in `class_names`, -1 = unlabelled.
        class_names: one name per class.
        files: one per picture: its path below the folder that it came from.
        folders: these folders, one per picture.
        digests: SHA-256 of each file.
    """

    path: Path
    card: dict[str, Any]
    embedding: MetricEmbedding
    embeddings: FloatArray
    labels: LabelArray
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    folders: tuple[str, ...]
    digests: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, device: str = "auto") -> "ModelFolder":
        """Read a classifier that `write` wrote.

        Args:
            path: its folder.
            device: where to compute.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if the files are damaged, do not belong together, or are of another version.
            OSError: if a replacement that was interrupted cannot be completed.
        """
        finish(path, FILES)
        for name in (CARD, EXAMPLES, EMBEDDINGS):
            if not (path / name).is_file():
                raise FileNotFoundError(
                    f"{path / name} is missing: name a folder that metriclearn fit wrote."
                )
        try:
            card = json.loads((path / CARD).read_text(encoding="utf-8"))
            if (found := card["form"]) == FORMAT_VERSION:
                examples = json.loads((path / EXAMPLES).read_text(encoding="utf-8"))
                names, pictures = tuple(examples["classes"]), examples["pictures"]
                codes = {name: code for code, name in enumerate(names)} | {None: UNLABELLED}
                labels = np.array([codes[picture["label"]] for picture in pictures], dtype=np.int64)
                keys = ("file", "folder", "sha256")
                columns = [tuple(str(picture[key]) for picture in pictures) for key in keys]
                digest = examples["embeddings_sha256"]
                _ = card["unknown"]["threshold"], card["input"]["side"], card["made_by"], card["qdrant_url"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"The JSON in {path} cannot be read: copy the folder again.") from error
        if found != FORMAT_VERSION:
            raise ValueError(
                f"The classifier in {path} is of format {found!r}, and this version reads {FORMAT_VERSION}: "
                "update metriclearn, or make a new classifier with metriclearn fit."
            )
        stored = (path / EMBEDDINGS).read_bytes()
        if hashlib.sha256(stored).hexdigest() != digest:
            raise ValueError(f"The embeddings in {path} are not its examples': copy the folder again.")
        embeddings = np.load(io.BytesIO(stored), allow_pickle=False)
        embedding = MetricEmbedding.load(path / ENCODER, device=device)
        if len(embeddings) != len(labels) or embeddings.shape[1] != embedding.encoder_.dim:
            raise ValueError(f"The embeddings in {path} are not its encoder's: copy the folder again.")
        return cls(path, card, embedding, embeddings, labels, names, *columns)

    def write(self, pages: Mapping[str, str], *, encoder: bool = True) -> None:
        """Write the classifier into its folder, all of it or nothing; other files there are left alone.

        Args:
            pages: the text of `CARD_PAGE`, and of `REPORT_PAGE` if that is new.
            encoder: whether the encoder is new, too.

        Raises:
            OSError: if that is not possible.
        """

        def write(folder: Path) -> None:
            if encoder:
                self.embedding.save(folder / ENCODER)
            for name, content in (self._data() | {k: text.encode() for k, text in pages.items()}).items():
                (folder / name).write_bytes(content)

        try:
            replace_files(self.path, FILES, write)
        except OSError as error:
            raise OSError(
                f"{self.path} cannot be written ({error.strerror or error}): choose another folder."
            ) from None

    def _data(self) -> dict[str, bytes]:
        """Return the files that change when examples are added."""
        buffer = io.BytesIO()
        np.save(buffer, self.embeddings, allow_pickle=False)
        names = self.label_names()
        examples = {
            "classes": list(self.class_names),
            "folders": sorted(set(self.folders)),
            "pictures": [
                {"file": file, "folder": folder, "label": name, "sha256": digest}
                for file, folder, name, digest in zip(
                    self.files, self.folders, names, self.digests, strict=True
                )
            ],
            "embeddings_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        }
        return {
            EMBEDDINGS: buffer.getvalue(),
            EXAMPLES: (json.dumps(examples, indent=1) + "\n").encode(),
            CARD: (json.dumps(self.card, indent=2, allow_nan=False) + "\n").encode(),
        }

    @property
    def labelled_rows(self) -> npt.NDArray[np.int64]:
        """Rows of the examples, which have a label."""
        return np.flatnonzero(is_labelled(self.labels))

    def label_names(self) -> list[str | None]:
        """Return the label of each picture by its name, None where there is none."""
        return [self.class_names[label] if label >= 0 else None for label in self.labels]

    def index(self, url: str | None = None) -> EmbeddingIndex:
        """Return the examples in Qdrant: in memory, or on a server, where they are stored unless they are.

        Args:
            url: the server, which the user must have named: a card may be somebody else's, and the key in
                QDRANT_API_KEY goes to whatever server is asked. By default everything stays in memory.
        """
        # Frozen encoders of one folder are equal, whatever its labels: so a collection is named by the fit.
        name, encoder = f"metriclearn-{self.card['made_by']}", self.embedding.encoder_id_
        place: dict[str, Any] = {"url": url} if url else {"path": IN_MEMORY}
        index = EmbeddingIndex(self.embeddings.shape[1], encoder_id=encoder, collection=name, **place)
        rows, names = self.labelled_rows, self.label_names()
        version = hashlib.sha256(self._data()[EXAMPLES]).hexdigest()[:16]  # of all examples and their labels
        sources = [f"{version}:{row}" for row in rows]
        if len(index) != len(rows) or not index.count(where={"source": sources[0]}):
            index.delete(where={"encoder": encoder})
            payloads = [{"file": self.files[row], "class": names[row]} for row in rows]
            index.upsert(self.embeddings[rows], self.labels[rows], sources=sources, payloads=payloads)
        return index

    def embed(self, squares: Bytes) -> FloatArray:
        """Return the embeddings of squares, uint8 of shape `(n, 3, 256, 256)`."""
        side = self.card["input"]["side"]
        if side is None:
            return self.embedding.transform(squares)
        return self.embedding.transform(smaller(squares[:, : self.card["input"]["channels"]], side))

    def classify(self, embeddings: FloatArray, index: EmbeddingIndex) -> list[Answer]:
        """Return the vote of the nearest examples, or "unknown", for embeddings of shape `(n, N)`."""
        found = index.query(embeddings, min(NEIGHBOURS, len(self.labelled_rows)))
        nearest = np.array([[int(source.rpartition(":")[2]) for source in row] for row in found.sources])
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

    def relabelled(self, named: Mapping[int, str | None]) -> "ModelFolder":
        """Return the same pictures, some of them with another label or without one."""
        names = self.label_names()
        for row, label in named.items():
            names[row] = label
        return self._with_label_names(names)

    def extended(self, photographs: Photographs, embeddings: FloatArray) -> "ModelFolder":
        """Return the classifier with further pictures. One that is there already gets the new label."""
        rows = {digest: row for row, digest in enumerate(self.digests)}
        names = self.label_names()
        fresh = []
        for i, digest in enumerate(photographs.digests):
            label = photographs.class_names[photographs.labels[i]] if photographs.labels[i] >= 0 else None
            if digest not in rows:
                rows[digest] = len(names)
                fresh.append(i)
                names.append(label)
            elif label is not None:
                names[rows[digest]] = label
        grown = replace(
            self,
            embeddings=np.concatenate([self.embeddings, embeddings[fresh]]),
            files=(*self.files, *(photographs.files[i] for i in fresh)),
            folders=(*self.folders, *(str(photographs.folder) for _ in fresh)),
            digests=(*self.digests, *(photographs.digests[i] for i in fresh)),
        )
        return grown._with_label_names(names)

    def _with_label_names(self, names: list[str | None]) -> "ModelFolder":
        class_names = tuple(sorted({name for name in names if name is not None}))
        codes: dict[str | None, int] = {name: code for code, name in enumerate(class_names)}
        labels = np.array([codes.get(name, UNLABELLED) for name in names], dtype=np.int64)
        return replace(self, labels=labels, class_names=class_names)


def open_model(folder: str, device: str = "auto") -> ModelFolder:
    """Open a classifier that the user named.

    Raises:
        UsageError: if it is none, or if there is no such device.
        OSError: see `ModelFolder.open`; likewise ValueError.
    """
    path = Path(folder).expanduser()
    with wrong_use():
        device = str(check_device(device))
    if not (path / CARD).is_file():
        raise UsageError(f"{folder!r} is no classifier: name a folder that metriclearn fit wrote.")
    return ModelFolder.open(path, device)


def read_card(folder: Path) -> dict[str, Any] | None:
    """Return the card that `metriclearn fit` wrote into a folder, or None if there is no such card."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card if isinstance(card, dict) and {"form", "made_by"} <= card.keys() else None


def check_server(url: str | None) -> str | None:
    """Return the address of a Qdrant server as a card records it, without user and password, once it answers.

    Args:
        url: what the user named. Without it no server is asked, whatever a card or QDRANT_URL say.

    Raises:
        UsageError: if it is no address.
        ConnectionError: if no server answers there.
    """
    if not url:
        return None
    with wrong_use():
        connect(find_home(None, url)).close()
    return without_password(url)


def without_password(url: str) -> str:
    """Return an address without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
