"""Zero-downtime re-indexing: a new encoder takes the place of an old one, while others go on asking.

Embeddings of two encoders cannot be compared, so each encoder fills a collection of its own, a
version: `images__<encoder id>`. The name that everybody opens, `images`, is an alias. It is switched in one
call, once the new version holds every point and has been verified. No search ever meets both.

Who holds an index from before the switch goes on with the version that it opened, which is kept: question and
answer are both of the old encoder. Writing there is refused from then on, since nobody would look for it.
`current` tells which version the name means now. All this holds for those who ask through an index: the plain
client puts any question to any encoder's points, without a word.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np
from qdrant_client import models
from tqdm import tqdm

from metriclearn.checks.arguments import check_count, check_flag, check_number, check_text
from metriclearn.checks.arrays import FloatArray, check_embeddings, comparable_rows
from metriclearn.index.collection import (
    PER_PAGE,
    SHOWN_AFTER,
    Collection,
    Distance,
    Kind,
)
from metriclearn.index.connection import check_name
from metriclearn.index.embedding_index import EmbeddingIndex
from metriclearn.index.names import aliases, check_versionable, is_version, resolve, version_name
from metriclearn.unknown import conformal_threshold

AT_ONCE = 256  # images that are embedded in one call
PROBES = 200  # points whose neighbours are compared
PASSES = 10  # how often to look for what others have written meanwhile
EMBEDDED_FROM = "embedded_from"  # in the payload of a new version's point: a sketch of the old one's vector

Embed = Callable[[list[str]], FloatArray]


@dataclass(frozen=True)
class Version:
    """A collection that a name has meant, means or could mean.

    Attributes:
        encoder_id: whose embeddings it holds.
        collection: its own name, to open or delete it by.
        points: how many it holds.
        live: whether the name means it now.
        threshold: the cosine below which an image is unknown to it; None if none was set.
    """

    encoder_id: str
    collection: str
    points: int
    live: bool
    threshold: float | None


@dataclass(frozen=True)
class Reindexed:
    """What `reindex` has done.

    Attributes:
        index: the new version, open; it shares its client with the index that was passed.
        points: how many points it holds.
        embedded: how many of them were embedded in this call. The others were there from an earlier one.
        agreement: share of the neighbours of some points that old and new version have in common.
        chance: what that share would be if neighbours were drawn at random.
        threshold: the cosine below which an image is unknown; None without held-out images.
    """

    index: EmbeddingIndex = field(repr=False)
    points: int
    embedded: int
    agreement: float
    chance: float
    threshold: float | None


def reindex(
    index: EmbeddingIndex,
    embed: Embed,
    encoder_id: str,
    *,
    held_out: FloatArray | None = None,
    quantile: float = 0.05,
    k: int = 10,
    least_agreement: float = 0.05,
    switch: bool = True,
) -> Reindexed:
    """Fill a new version with a new encoder's embeddings, verify it, and let the name mean it.

    Labels and further entries are taken over from the points as they are now; only their images are
    embedded anew. What others write or delete meanwhile is taken over, too: passes are made until one
    finds little to do. In local mode nobody can write between the last pass and the switch; on a server
    let writers rest for that moment. The earlier version stays as it is.

    A call that was cut short is simply made again: what has been embedded is there. So a version that
    exists already, such as the one before a `rollback`, is brought up to date and not filled anew: embedded
    are the points whose payload or embedding has changed. Each point of a new version notes for this, as
    `embedded_from`, a sketch of the old embedding: four numbers.

    Args:
        index: one whose name is an alias: made with `versioned=True` or `replace=True`, or a classifier's
            `index_`. Each of its points needs a source.
        embed: returns the new encoder's embeddings, float of shape `(n, N)`, for n sources, 256 at most.
        encoder_id: the new encoder, as in `MetricEmbedding.encoder_id_`.
        held_out: the new encoder's embeddings of images of the known classes that are not in the index,
            float of shape `(m, N)`. The threshold for "unknown" is set by them: that of the old encoder says
            nothing about the new one. It is kept with the version.
        quantile: share of the known kind that may be rejected for nothing (see `unknown_threshold`).
        k: how many neighbours are compared, of each of 200 points.
        least_agreement: the switch is refused if old and new share a smaller part of these, beyond what
            chance would give (as in Cohen's kappa, https://doi.org/10.1177/001316446002000104); 0 lets all
            pass. Good encoders may differ in most neighbours: on the course's 4,000 images PCA and the
            published encoder share 0.13, with half of the rows mixed up 0.03, and with all of them 0.002.
        switch: False to fill and verify only. To switch then, call again: there will be little left to do.

    Returns:
        What was done, and the new version, open.

    Raises:
        ValueError: for input that does not fit, a point without a source, or a version that does not pass.
            The name then means what it meant before.
        RuntimeError: if others write faster than images are embedded.
    """
    encoder_id = check_text(encoder_id, "encoder_id")
    k = check_count(k, "k")
    quantile = check_number(quantile, "quantile", 0, 1, without=(0, 1))
    least = check_number(least_agreement, "least_agreement", 0, 1)
    switch = check_flag(switch, "switch")
    old = current(index)
    if old.encoder_id == encoder_id:
        raise ValueError(f"The collection {old.collection!r} holds embeddings of {encoder_id!r} already.")
    if held_out is not None and old.distance != "cosine":
        raise ValueError('Only under cosine there is an "unknown": leave held_out out.')
    new, embedded = _open(old, embed, encoder_id)
    fresh = embedded > 0
    for _ in range(PASSES):
        changed, deleted = _bring_up(old, new, embed)
        embedded += changed
        if changed + deleted <= AT_ONCE:  # what comes in from now on is little enough for the last pass
            break
    else:
        raise RuntimeError(
            f"Others write to {old.collection!r} faster than images are embedded: let them rest, call again."
        )
    agreement, chance = _agreement(old, new, k)
    if least and agreement - chance < least * (1 - chance):
        if fresh:  # or the next call would take its points for good ones
            new.storage.drop()
        raise ValueError(
            f"Old and new encoder share {agreement:.3f} of the neighbours, where chance gives {chance:.3f}: "
            "does embed return the rows in the order of the sources? Nothing was switched"
            f"{'' if fresh else f'; delete {new.storage.stored_in} to have all embedded anew'}."
        )
    notes: dict[str, Any] = {"before": old.storage.stored_in} if switch else {}
    if held_out is not None:
        notes["threshold"] = conformal_threshold(new.query(held_out, 1).scores[:, 0], quantile)
    with new.storage.using():  # in local mode nobody writes from here on
        embedded += _bring_up(old, new, embed)[0]
        if (n := len(new)) != len(old):
            raise RuntimeError(
                f"The new version holds {n} points, the old one {len(old)}: let others rest and call again."
            )
        about = old.storage.user_metadata()  # such as a classifier's parameters
        about.pop("threshold", None)
        new.storage.update_metadata(about | notes)
        if switch:
            old.storage.update_metadata({"versioned": True})
            new.storage.take_name(old.collection, keep=True)
        threshold = new.storage.metadata().get("threshold")
    return Reindexed(new, n, embedded, agreement, chance, threshold)


def current(index: EmbeddingIndex) -> EmbeddingIndex:
    """Return an index over the version that the name of this one means now.

    It shares its client with the index that was passed. Ask before each question that is to be answered by
    the newest encoder, and embed the question with the encoder that `encoder_id` tells.

    Raises:
        ValueError: if the name means a collection of another make by now.
        RuntimeError: if it means nothing any more.
    """
    storage, name = index.storage, index.collection
    with storage.using() as client:
        live = resolve(client, name)
        if live is None:
            raise RuntimeError(f"The name {name!r} means no collection any more: fill one anew.")
        if live == storage.stored_in:
            return index
        return EmbeddingIndex.from_storage(Collection.existing(storage.connection, name, live))


def versions(index: EmbeddingIndex) -> list[Version]:
    """Return all versions that lie behind the name of an index, the live one first, the others by name.

    Not those of another name, nor one that another alias leads to.

    To delete one that is not needed any more: `index.client.delete_collection(version.collection)`.
    """
    name, found = index.collection, []
    with index.storage.using() as client:
        leads_to = aliases(client)
        live, others = resolve(client, name), {c for alias, c in leads_to.items() if alias != name}
        for collection in sorted(entry.name for entry in client.get_collections().collections):
            if collection != live and not collection.startswith(version_name(name, "")):
                continue
            metadata = client.get_collection(collection).config.metadata or {}
            if collection == live or (is_version(collection, name, metadata) and collection not in others):
                points = client.count(collection, exact=True).count
                encoder_id = str(metadata.get("encoder"))
                threshold = metadata.get("threshold")
                found.append(Version(encoder_id, collection, points, collection == live, threshold))
    return sorted(found, key=lambda version: not version.live)


def rollback(index: EmbeddingIndex) -> EmbeddingIndex:
    """Let the name mean again what it meant before the last `reindex`, in one call.

    The earlier version is as it was: what has been written since is not in it. To bring it up to date as
    well, call `reindex` with its encoder instead.

    Returns:
        An index over the earlier version, as from `current`.

    Raises:
        ValueError: if there is no earlier version, or it has been deleted.
    """
    with index.storage.using() as client:
        live = resolve(client, index.collection)
        metadata = (client.get_collection(live).config.metadata or {}) if live else {}
        before = metadata.get("before")
        if not before or not client.collection_exists(before):
            raise ValueError(f"There is no earlier version of {index.collection!r}: use reindex instead.")
        earlier = Collection.existing(index.storage.connection, before, before)
        earlier.take_name(index.collection, keep=True)
    return current(index)


def _open(old: EmbeddingIndex, embed: Embed, encoder_id: str) -> tuple[EmbeddingIndex, int]:
    """Return the new version, and how many points were embedded to learn its length: 0 if it was there."""
    connection, name = old.storage.connection, check_name(version_name(old.collection, encoder_id))
    check_versionable(old.collection, old.storage.stored_in)
    if there := Collection.find(connection, name):
        there.check_kind(Kind(there.kind.dim, encoder_id, old.distance))
        return EmbeddingIndex.from_storage(there), 0
    first = next(old.storage.pages(vectors=True), None)
    if first is None:
        raise ValueError(f"The collection {old.collection!r} is empty: there is nothing to embed anew.")
    first = first[:AT_ONCE]
    vectors = _embedded(embed, first, old.distance)
    new = EmbeddingIndex.from_storage(
        Collection(connection, name, name, Kind(vectors.shape[1], encoder_id, old.distance))
    )
    replaceable = old.storage.metadata().get("replaceable", False)
    metadata = {"encoder": encoder_id, "replaceable": replaceable, "versioned": True}
    new.storage.create(metadata, **old.storage.settings())
    _store(new, first, vectors)
    return new, len(first)


def _bring_up(old: EmbeddingIndex, new: EmbeddingIndex, embed: Embed) -> tuple[int, int]:
    """Embed what the new version lacks, delete what the old one has no more; return how many each time."""
    embedded = deleted = 0
    with tqdm(
        total=len(old), desc=f"to {new.encoder_id}", unit=" points", delay=SHOWN_AFTER, disable=None
    ) as bar:
        for page in old.storage.pages(vectors=True):
            there = new.storage.retrieve([point.id for point in page], vectors=True)
            behind = [point for point in page if not _is_same(point, there.get(point.id))]
            for start in range(0, len(behind), AT_ONCE):
                some = behind[start : start + AT_ONCE]
                _store(new, some, _embedded(embed, some, new.distance, new.dim))
            embedded += len(behind)
            bar.update(len(page))
    for page in new.storage.pages():
        there = old.storage.retrieve([point.id for point in page])
        gone = [str(point.id) for point in page if point.id not in there]
        new.delete(ids=gone)
        deleted += len(gone)
    return embedded, deleted


def _is_same(old: models.Record, new: models.Record | None) -> bool:
    """Return whether a new version's point is that of an old one, embedded from the same content.

    Either may have been embedded anew from the other: after a `rollback` the earlier version is brought up to
    date. Whoever stores a point leaves the note of that out.
    """
    if new is None:
        return False
    payloads = [dict(point.payload or {}) for point in (old, new)]
    notes = [payload.pop(EMBEDDED_FROM, None) for payload in payloads]
    for payload in payloads:
        payload.pop("encoder", None)
    return payloads[0] == payloads[1] and (_is_sketch(notes[1], old) or _is_sketch(notes[0], new))


def _sketch(point: models.Record) -> list[float]:
    """Return a point's vector seen from four directions that are drawn once.

    No hash: Qdrant's local mode scales vectors anew from time to time, and the last bits change.
    """
    vector = np.array(point.vector, dtype=np.float64)
    seen: list[float] = (np.random.default_rng(0).normal(size=(4, len(vector))) @ vector).tolist()
    return seen


def _is_sketch(note: Any, point: models.Record) -> bool:
    tolerance = 1e-5 * (1 + float(np.linalg.norm(np.array(point.vector))))
    return note is not None and bool(np.allclose(note, _sketch(point), rtol=0, atol=tolerance))


def _store(new: EmbeddingIndex, points: list[models.Record], embeddings: FloatArray) -> None:
    payloads = [
        (point.payload or {}) | {"encoder": new.encoder_id, EMBEDDED_FROM: _sketch(point)} for point in points
    ]
    new.storage.write([str(point.id) for point in points], embeddings, payloads)


def _embedded(
    embed: Embed, points: list[models.Record], distance: Distance, dim: int | None = None
) -> FloatArray:
    """Return the new embeddings of these points, one for each."""
    sources = [(point.payload or {}).get("source", "") for point in points]
    if "" in sources:
        raise ValueError(
            f"The point {points[sources.index('')].id} has no source, so its image cannot be found: store it "
            "again with one, or delete it."
        )
    vectors = comparable_rows(check_embeddings(embed(sources), dim, unit_length=False), distance)
    if len(vectors) != len(points):
        raise ValueError(f"embed gave {len(vectors)} embeddings for {len(points)} sources: give one each.")
    return vectors


def _agreement(old: EmbeddingIndex, new: EmbeddingIndex, k: int) -> tuple[float, float]:
    """Return the share of neighbours that both versions name, and the share that chance would give."""
    k = min(k, len(old) - 1, len(new) - 1)
    if k < 1:
        return 1.0, 1.0  # nothing to differ in
    # Ids are hashes, so that the first of them are as good as any that could be drawn.
    first = islice(old.storage.pages(), 1 + PROBES // PER_PAGE)
    ids = [point.id for point in chain.from_iterable(first)][:PROBES]
    stored = [index.storage.retrieve(ids, vectors=True) for index in (old, new)]
    ids = [point for point in ids if all(point in records for records in stored)]
    answers = []
    for index, records in zip((old, new), stored, strict=True):
        vectors = np.array([records[point].vector for point in ids], dtype=np.float32)
        found = index.query(vectors, k + 1).ids
        answers.append([[x for x in row if x != point][:k] for point, row in zip(ids, found, strict=True)])
    shared = [len(set(a) & set(b)) for a, b in zip(*answers, strict=True)]
    return float(np.mean(shared)) / k, k / (len(old) - 1)
