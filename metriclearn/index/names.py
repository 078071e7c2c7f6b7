"""Names of collections: aliases, versions, and temporary names that a killed program leaves behind.

Most collections bear their name themselves. For two kinds the name is an alias: one that may be replaced is
called by it, `__` and twelve random letters, a version by it, `__` and the id of the encoder that filled it.
"""

import re
import time
import uuid
from collections.abc import Container, Mapping
from contextlib import suppress
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ApiException

TEMPORARY = re.compile(r"__[0-9a-f]{12}\Z")
SINCE, DROPPED = "since", "dropped"  # in the metadata: when it was made, in seconds; that it is being deleted
LONGEST_FILL = 24 * 3600  # seconds after which on a server nobody is filling a collection any more


def resolve(client: QdrantClient, name: str) -> str | None:
    """Return the collection that a name means: what its alias leads to, itself, or None."""
    if found := aliases(client).get(name):
        return found
    return name if client.collection_exists(name) else None


def aliases(client: QdrantClient) -> dict[str, str]:
    """Return all aliases, and the collection that each leads to."""
    return {alias.alias_name: alias.collection_name for alias in client.get_aliases().aliases}


def temporary_name(name: str) -> str:
    """Return a name of its own for the collection that is to take another's place."""
    return f"{name}__{uuid.uuid4().hex[:12]}"


def version_name(name: str, encoder_id: str) -> str:
    """Return the name of the collection that holds one encoder's embeddings."""
    return f"{name}__{encoder_id}"


def is_version(collection: str, name: str, metadata: Mapping[str, Any]) -> bool:
    """Return whether a collection was made as a version of what is called `name`, and not of another name."""
    if not metadata.get("versioned") or not collection.startswith(f"{name}__"):
        return False
    return collection == version_name(name, str(metadata.get("encoder"))) or bool(
        TEMPORARY.fullmatch(collection[len(name) :])
    )


def is_leftover(collection: str, metadata: Mapping[str, Any], live: Container[str]) -> bool:
    """Return whether a collection was being filled, replaced or deleted by a program that ended meanwhile.

    Args:
        collection: its own name.
        metadata: what is stored about it.
        live: the collections that an alias leads to.
    """
    kept = metadata.get("versioned") or not metadata.get("replaceable")
    unnamed = bool(TEMPORARY.search(collection)) and collection not in live and not kept
    return unnamed or bool(metadata.get(DROPPED))


def sweep(client: QdrantClient, name: str) -> None:
    """Delete from a server what killed programs left of collections that were to be called `name`.

    Others may be filling one at this moment, so that only those of more than a day are taken.
    """
    live, oldest = {*aliases(client).values()}, time.time() - LONGEST_FILL
    for collection in [entry.name for entry in client.get_collections().collections]:
        if collection.startswith(f"{name}__") and TEMPORARY.fullmatch(collection[len(name) :]):
            with suppress(ApiException):  # somebody else was faster
                metadata = client.get_collection(collection).config.metadata or {}
                if is_leftover(collection, metadata, live) and metadata.get(SINCE, oldest) < oldest:
                    client.delete_collection(collection)


def check_replaceable(client: QdrantClient, name: str, found: str) -> None:
    """Raise a ValueError if the collection found under a name was not made to be replaced."""
    if not (client.get_collection(found).config.metadata or {}).get("replaceable"):
        raise ValueError(
            f"The collection {name!r} exists and was not made to be replaced: choose another collection name."
        )


def check_versionable(name: str, found: str) -> None:
    """Raise a ValueError if the collection found under a name bears it itself: no alias could be switched."""
    if found == name:
        raise ValueError(
            f"The collection {name!r} bears its name itself, so that no other version could take its place: "
            "export its points and import them under another name, with versioned=True."
        )
