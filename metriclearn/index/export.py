"""Points as files, to take them from one place to another: arrays and JSON, so opening them runs nothing.

A folder of Qdrant's local mode holds pickles, and a server's snapshot fits servers alone. An exported folder
holds two files that every program can read: `vectors.npy`, and `points.json` with the ids, the payloads and
the collection's metadata. The second holds a checksum of itself and one of the first, so that damage and a
mixed-up pair are told.
"""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metriclearn.checks.arguments import check_choice, check_folder, check_text, shown
from metriclearn.checks.arrays import (
    FloatArray,
    check_embeddings,
    check_ids,
    check_payloads,
    check_sources,
    comparable_rows,
)
from metriclearn.checks.labels import check_labels
from metriclearn.files import (
    json_bytes,
    npy_array,
    npy_bytes,
    read_file,
    read_json,
    read_unchanged,
    write_files,
)
from metriclearn.index.collection import DISTANCES, RESERVED_METADATA, Distance, Kind
from metriclearn.index.connection import POINTS_FILE, closed_on_error
from metriclearn.index.embedding_index import EmbeddingIndex
from metriclearn.index.folder import TABLE_FILE

VECTORS_FILE = "vectors.npy"
FORMAT_VERSION = 1  # of the JSON
REMEDY = "copy both files again, or export the points anew"


@dataclass(frozen=True)
class Points:
    """All points of a collection.

    Attributes:
        ids: n texts, each once.
        vectors: float32, shape `(n, dim)`, as the database holds them: of unit length under cosine.
        payloads: n dictionaries, with the point's label, its encoder, its source if it has one, and more.
        encoder_id: which encoder the vectors come from.
        distance: `"cosine"` or `"euclid"`.
        about: what else the collection noted, such as a classifier's parameters or a threshold.
    """

    ids: list[str]
    vectors: FloatArray
    payloads: list[dict[str, Any]]
    encoder_id: str
    distance: Distance
    about: dict[str, Any]

    @property
    def kind(self) -> Kind:
        """What embeddings these are."""
        return Kind(self.vectors.shape[1], self.encoder_id, self.distance)


def export_points(index: EmbeddingIndex, folder: str | Path) -> Points:
    """Write all points of an index into a folder, as `vectors.npy` and `points.json`.

    In local mode others wait meanwhile. On a server let writers rest: points are read a page at a time.

    Args:
        index: what to export, such as a classifier's `index_`.
        folder: made if missing; an export that lies there is replaced, once both files are written.

    Returns:
        What was written.

    Raises:
        ValueError: if the index is empty, or the folder is none or one that Qdrant keeps points in.
        OSError: if the folder cannot be written, or another program still writes it. What lay there is then
            untouched.
    """
    with index.storage.using():
        about = index.storage.user_metadata()
        records = index.storage.records(vectors=True)
    if not records:
        raise ValueError(f"The collection {index.collection!r} is empty: there is nothing to export.")
    points = Points(
        ids=[str(record.id) for record in records],
        vectors=np.array([record.vector for record in records], dtype=np.float32),
        payloads=[record.payload or {} for record in records],
        encoder_id=index.encoder_id,
        distance=index.distance,
        about=about,
    )
    write_points(points, folder)
    return points


def write_points(points: Points, folder: str | Path) -> None:
    """Write points into a folder, as `export_points` does; they need not be in any index.

    Raises:
        ValueError: if the folder is none or one that Qdrant keeps points in.
        OSError: if the folder cannot be written. What lay there is then untouched.
    """
    path = check_folder(folder)
    if (path / TABLE_FILE).exists():
        raise ValueError(f"Qdrant keeps points in {path}: export them into another folder.")
    write_files(path, points_files(points))


def points_files(points: Points) -> dict[str, bytes]:
    """Return the names and contents of the files that hold points, to write them along with others."""
    vectors = npy_bytes(points.vectors)
    content = {
        "format_version": FORMAT_VERSION,
        "encoder_id": points.encoder_id,
        "distance": points.distance,
        "about": points.about,
        "vectors_sha256": hashlib.sha256(vectors).hexdigest(),
        "ids": points.ids,
        "payloads": points.payloads,
    }
    return {VECTORS_FILE: vectors, POINTS_FILE: json_bytes(content, indent=None)}


def read_points(folder: str | Path) -> Points:
    """Read what `export_points` wrote. Nothing in the files is executed: they hold numbers and text only.

    Args:
        folder: the folder.

    Returns:
        The points, each part checked. Their arrays are what other engines take, such as Qdrant Edge.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files do not belong together, are damaged, or hold what no index would take.
    """
    path = check_folder(folder)
    return read_unchanged([path / VECTORS_FILE, path / POINTS_FILE], partial(_read_points, path))


def _read_points(path: Path) -> Points:
    content = read_json(path / POINTS_FILE, REMEDY)
    stored = read_file(path / VECTORS_FILE, REMEDY)
    if (version := content.get("format_version")) != FORMAT_VERSION:
        raise ValueError(f"The points in {path} are of format {shown(version)}: update this package.")
    if content.get("vectors_sha256") != hashlib.sha256(stored).hexdigest():
        raise ValueError(f"The vectors in {path} are not those of its points: copy both files again.")
    parts = [content.get(key) for key in ("ids", "payloads", "encoder_id", "distance", "about")]
    try:
        return _checked(npy_array(stored), *parts)
    except ValueError as error:
        raise ValueError(f"The points in {path} do not fit an index. {error}") from None


def import_points(folder: str | Path, **where: Any) -> EmbeddingIndex:
    """Open an index and fill it with what `export_points` wrote. All is checked before anything is written.

    The points keep their ids, so an import that was cut short is simply made again. Those that the
    collection holds already stay, unless they have the same id.

    Args:
        folder: the folder.
        where: further arguments of `EmbeddingIndex`, such as `url`, `collection` or `versioned`; dim,
            encoder_id and distance are those of the points.

    Returns:
        The index, open.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files are damaged, or if the collection there is of another kind.
    """
    points = read_points(folder)
    index = EmbeddingIndex(**points.kind._asdict(), **where)
    with closed_on_error(index.storage.connection):
        index.storage.write(points.ids, points.vectors, points.payloads)
        if points.about:
            index.storage.update_metadata(points.about)
    return index


def _checked(vectors: Any, ids: Any, payloads: Any, encoder_id: Any, distance: Any, about: Any) -> Points:
    """Return points in our own form, or say with a ValueError what no index could have held."""
    encoder_id = check_text(encoder_id, "encoder_id")
    distance = check_choice(distance, "distance", DISTANCES)
    vectors = comparable_rows(check_embeddings(vectors, unit_length=False), distance)
    n = len(vectors)
    ids = check_ids(ids)
    if len(ids) != n or len(set(ids)) != n:
        raise ValueError(f"There are {n} vectors but {len(set(ids))} different ids: give one to each.")
    entries = check_payloads(payloads, n, set())
    if any(entry.get("encoder") != encoder_id for entry in entries):
        raise ValueError(f"A point comes from another encoder than {encoder_id!r}: export them anew.")
    check_labels([entry.get("label") for entry in entries], n)
    named = [entry["source"] for entry in entries if "source" in entry]
    check_sources(named, len(named))
    if not isinstance(about, dict) or set(RESERVED_METADATA) & about.keys():
        raise ValueError(f"The notes about the points are {shown(about)}: export them anew.")
    return Points(ids, vectors, entries, encoder_id, distance, about)
