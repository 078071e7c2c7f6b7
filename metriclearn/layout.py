"""How collections lie in a home, so that a new one takes the place of an old one in a single step.

A collection that may be replaced is called `name__` and twelve random letters, and `name` is an alias for
it. The next one is filled beside it, then the alias is switched and the old one deleted. Whoever had the
old one open finds it gone, and never another's points under its name. All others bear their name itself.
"""

import uuid
import warnings
from contextlib import suppress
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

DISTANCES = {"cosine": models.Distance.COSINE, "euclid": models.Distance.EUCLID}
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


def create(
    client: QdrantClient, name: str, dim: int, distance: str, metadata: dict[str, Any], **pieces: Any
) -> None:
    """Make a collection with its payload indexes, before there are points to index."""
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=dim, distance=DISTANCES[distance]),
        metadata=metadata,
        **pieces,
    )
    with warnings.catch_warnings():
        # A server needs these indexes to filter fast; local mode has none and says so.
        warnings.filterwarnings("ignore", message="Payload indexes have no effect")
        for field, kind in INDEXED.items():
            client.create_payload_index(name, field, kind, wait=True)


def check_replaceable(client: QdrantClient, name: str, found: str) -> None:
    """Raise a ValueError if the collection found under a name was not made to be replaced."""
    if not (client.get_collection(found).config.metadata or {}).get("replaceable"):
        raise ValueError(
            f"The collection {name!r} exists and was not made to be replaced: choose another collection name."
        )


def check_same(client: QdrantClient, name: str, found: str, dim: int, encoder_id: str, distance: str) -> None:
    """Raise a ValueError if the collection found under a name is of another kind than the one wanted."""
    config = client.get_collection(found).config
    encoder, vectors = (config.metadata or {}).get("encoder"), config.params.vectors
    advice = "use another collection name."
    if encoder is None:
        raise ValueError(f"The collection {name!r} does not say which encoder filled it: {advice}")
    if encoder != encoder_id:
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


def switch(client: QdrantClient, name: str, new: str) -> None:
    """Let a name mean another collection from now on, and delete the one that it meant."""
    old = find(client, name)
    if old == name:  # no alias may bear a collection's name
        client.delete_collection(name)
    steps: list[models.AliasOperations] = []
    if old not in (None, name):
        steps.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name)))
    alias = models.CreateAlias(collection_name=new, alias_name=name)
    steps.append(models.CreateAliasOperation(create_alias=alias))
    client.update_collection_aliases(steps)
    if old not in (None, name):
        with suppress(ApiException):  # the step is done; what is left of the old one is in nobody's way
            client.delete_collection(str(old))
