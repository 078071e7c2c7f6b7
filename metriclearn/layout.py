"""How collections lie in a home, so that a new one takes the place of an old one in a single step.

Most bear their name themselves. For two kinds `name` is an alias: one that may be replaced is called `name__`
and twelve random letters, a version is called `name__` and the id of the encoder that filled it. For both the
next one is filled beside it, and then the alias is switched. The replaced one is deleted: whoever has it open
finds it gone, and never another's points under its name. An earlier version is kept: whoever has it open goes
on with it, and the way back is another switch.
"""

import uuid
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

DISTANCES = {"cosine": models.Distance.COSINE, "euclid": models.Distance.EUCLID}
PIECES = ("shard_number", "replication_factor", "write_consistency_factor")
OF_ITSELF = ("encoder", "replaceable", "versioned", "before")
INDEXED = {
    "label": models.PayloadSchemaType.INTEGER,
    "source": models.PayloadSchemaType.KEYWORD,
    "encoder": models.PayloadSchemaType.KEYWORD,
}


def find(client: QdrantClient, name: str) -> str | None:
    """Return the collection that a name means: what its alias leads to, itself, or None."""
    aliases = {alias.alias_name: alias.collection_name for alias in client.get_aliases().aliases}
    if name in aliases:
        return aliases[name]
    return name if client.collection_exists(name) else None


def beside(name: str) -> str:
    """Return a name for the collection that is to take another's place."""
    return f"{name}__{uuid.uuid4().hex[:12]}"


def version(name: str, encoder_id: str) -> str:
    """Return the name of the collection that holds one encoder's embeddings."""
    return f"{name}__{encoder_id}"


def create(
    client: QdrantClient,
    name: str,
    dim: int,
    distance: str,
    metadata: dict[str, Any],
    indexed: Mapping[str, Any] | None = None,
    **settings: Any,
) -> None:
    """Make a collection with its payload indexes, ours and those `indexed` by key, before there are points.

    `settings` is what else `create_collection` takes. A collection of the same metadata may be there: then
    another program was faster, or the answer to an earlier request was lost.
    """
    try:
        client.create_collection(
            name,
            vectors_config=models.VectorParams(size=dim, distance=DISTANCES[distance]),
            metadata=metadata,
            **settings,
        )
    except UnexpectedResponse as error:
        if error.status_code != 409 or client.get_collection(name).config.metadata != metadata:
            raise
    index_payload(client, name, INDEXED | dict(indexed or {}))


def index_payload(client: QdrantClient, name: str, indexed: Mapping[str, Any]) -> None:
    """Make payload indexes, by key and kind; one that is there already stays as it is."""
    with warnings.catch_warnings():
        # A server needs these indexes to filter fast; local mode has none and says so.
        warnings.filterwarnings("ignore", message="Payload indexes have no effect")
        for field, kind in indexed.items():
            client.create_payload_index(name, field, kind, wait=True)


def kind(config: models.CollectionConfig, name: str) -> tuple[int, str, str]:
    """Return the length of a collection's embeddings, the encoder that they come from, and their distance.

    Raises:
        ValueError: for a collection of another make; the message calls it by `name`.
    """
    vectors, encoder_id = config.params.vectors, (config.metadata or {}).get("encoder")
    words = {measure: word for word, measure in DISTANCES.items()}
    if not isinstance(vectors, models.VectorParams) or not encoder_id or vectors.distance not in words:
        raise ValueError(f"The collection {name!r} holds no embeddings of one known encoder: use another.")
    return vectors.size, str(encoder_id), words[vectors.distance]


def noted(client: QdrantClient, name: str) -> dict[str, Any]:
    """Return what was noted about the points of a collection, and not about itself as a version of them."""
    metadata = client.get_collection(name).config.metadata or {}
    return {key: value for key, value in metadata.items() if key not in OF_ITSELF}


def settings_of(info: models.CollectionInfo) -> dict[str, Any]:
    """Return the arguments of `create` that give another collection the settings of this one."""
    config = info.config
    settings: dict[str, Any] = {name: getattr(config.params, name) for name in PIECES}
    settings["quantization_config"] = config.quantization_config
    for name, stored, form in (
        ("hnsw_config", config.hnsw_config, models.HnswConfigDiff),
        ("optimizers_config", config.optimizer_config, models.OptimizersConfigDiff),
    ):
        settings[name] = form(**stored.model_dump(exclude_none=True)) if stored else None
    settings["indexed"] = {key: field.params or field.data_type for key, field in info.payload_schema.items()}
    return {name: value for name, value in settings.items() if value is not None}


def check_replaceable(client: QdrantClient, name: str, found: str) -> None:
    """Raise a ValueError if the collection found under a name was not made to be replaced."""
    if not (client.get_collection(found).config.metadata or {}).get("replaceable"):
        raise ValueError(
            f"The collection {name!r} exists and was not made to be replaced: choose another collection name."
        )


def check_same(client: QdrantClient, name: str, found: str, dim: int, encoder_id: str, distance: str) -> None:
    """Raise a ValueError if the collection found under a name is of another kind than the one wanted."""
    config = client.get_collection(found).config
    metadata, vectors = config.metadata or {}, config.params.vectors
    encoder = metadata.get("encoder")
    advice = "use another collection name."
    if encoder is None:
        raise ValueError(f"The collection {name!r} does not say which encoder filled it: {advice}")
    if encoder != encoder_id:
        if metadata.get("versioned"):
            advice = "ask with that encoder, or use another collection name."
        raise ValueError(
            f"The collection {name!r} holds embeddings of encoder {encoder!r}, not of {encoder_id!r}, and "
            f"two encoders must not mix: {advice}"
        )
    if not isinstance(vectors, models.VectorParams):
        raise ValueError(f"The collection {name!r} has named vectors: {advice}")
    if vectors.size != dim:
        raise ValueError(
            f"The collection {name!r} holds embeddings of length {vectors.size}, not {dim}: {advice}"
        )
    if vectors.distance != DISTANCES[distance]:
        raise ValueError(
            f"The collection {name!r} measures by {vectors.distance.lower()}, not by {distance}: {advice}"
        )


def check_live(client: QdrantClient, name: str, stored_in: str) -> None:
    """Raise a RuntimeError if a name leads elsewhere by now: nobody would find what is written here."""
    if find(client, name) not in (stored_in, None) and client.collection_exists(stored_in):
        raise RuntimeError(
            f"The name {name!r} leads to another collection than the one opened here, and nobody would find "
            "what is written: open it again, with the encoder that it has now."
        )


def switch(client: QdrantClient, name: str, new: str, *, keep: bool = False) -> None:
    """Let a name mean another collection from now on, and delete the one that it meant unless it is kept."""
    old = find(client, name)
    if old == name:  # no alias may bear a collection's name
        client.delete_collection(name)
    steps: list[models.AliasOperations] = []
    if old not in (None, name):
        steps.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name)))
    alias = models.CreateAlias(collection_name=new, alias_name=name)
    steps.append(models.CreateAliasOperation(create_alias=alias))
    client.update_collection_aliases(steps)
    if old not in (None, name, new) and not keep:
        with suppress(ApiException):  # the step is done; what is left of the old one is in nobody's way
            client.delete_collection(str(old))
