"""Right answers to the exercises of notebook 5, in other forms."""

import numpy as np
import numpy.typing as npt
import torch
from qdrant_client import QdrantClient, models

Vector = npt.NDArray[np.float32]
SHARES = {"none": 98.0, "every second image": 97.78, "digits 0 to 4": 49.32}
GUESS = {"cosine": 0.96, "euclid": 2.9}
LABELLED = models.FieldCondition(key="label", range=models.Range(gte=0))


def is_of(*labels: int) -> models.FieldCondition:
    return models.FieldCondition(key="label", match=models.MatchAny(any=list(labels)))


def sources(client: QdrantClient, name: str, vector: object, k: int, wanted: models.Filter) -> list[str]:
    hits = client.query_points(name, query=vector, query_filter=wanted, limit=k).points
    return [hit.payload["source"] for hit in hits]


def neither(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    return sources(client, name, vector, k, models.Filter(must_not=[is_of(-1, label)]))


def twice_not(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> tuple[str, ...]:
    wanted = models.Filter(must_not=[is_of(-1), is_of(label)])
    return tuple(sources(client, name, vector.tolist(), k, wanted))


def all_but(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    others = models.FieldCondition(key="label", match=models.MatchExcept(**{"except": [-1, label]}))
    return sources(client, name, [float(number) for number in vector], k, models.Filter(must=[others]))


def above_or_below(
    client: QdrantClient, name: str, vector: Vector, label: int, k: int
) -> npt.NDArray[np.str_]:
    above = models.FieldCondition(key="label", range=models.Range(gt=label))
    below = models.FieldCondition(key="label", range=models.Range(gte=0, lt=label))
    return np.array(sources(client, name, list(vector), k, models.Filter(should=[above, below])))


def a_few_more(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    wanted = models.Filter(must=[LABELLED], must_not=[is_of(label)])
    return sources(client, name, vector, k + 5, wanted)[:k]


def in_a_batch(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    wanted = models.Filter(must=[LABELLED], must_not=[is_of(label)])
    request = models.QueryRequest(query=vector.tolist(), filter=wanted, limit=k, with_payload=True)
    return [hit.payload["source"] for hit in client.query_batch_points(name, [request])[0].points]


def in_two_pages(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    wanted = models.Filter(must=[LABELLED], must_not=[is_of(label)])
    pages = [
        client.query_points(name, vector.tolist(), query_filter=wanted, limit=1, offset=place).points
        for place in range(k)
    ]
    return [hit.payload["source"] for page in pages for hit in page]


RIGHT = [
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": 9.048})),
    ("5.1", (GUESS, {"euclid": np.float32(9.048101), "cosine": np.float32(0.9565931)})),
    ("5.1", ({"euclid": 9, "cosine": 1}, {"cosine": 0.96, "euclid": 9.05})),
    ("5.1", (GUESS, {"cosine": torch.tensor(0.9566), "euclid": torch.tensor(9.0481)})),
    ("5.1", (GUESS, {"cosine": np.array([[0.9566]]), "euclid": np.array([9.0481])})),
    ("5.2", (neither,)),
    ("5.2", (twice_not,)),
    ("5.2", (all_but,)),
    ("5.2", (above_or_below,)),
    ("5.2", (a_few_more,)),
    ("5.2", (in_a_batch,)),
    ("5.2", (in_two_pages,)),
    ("5.3", (SHARES, 0)),
    ("5.3", (dict(reversed(SHARES.items())), np.float64(0.0))),
    ("5.3", ({name: torch.tensor(share) for name, share in SHARES.items()}, torch.tensor(0.0))),
    ("5.3", ({"none": 98, "every second image": 97.8, "digits 0 to 4": 49.3}, 0.02)),
    ("5.3", ({name: np.array([share]) for name, share in SHARES.items()}, np.array([0]))),
]
