"""Wrong answers to the exercises of notebook 5, each with a part of its hint."""

from qdrant_client import QdrantClient, models

Vector = list[float]
GUESS = {"cosine": 0.96, "euclid": 9.0}
RIGHT = {"none": 98.0, "every second image": 97.8, "digits 0 to 4": 49.3}
LABELLED = models.FieldCondition(key="label", range=models.Range(gte=0))


def is_of(label: int) -> models.FieldCondition:
    return models.FieldCondition(key="label", match=models.MatchValue(value=label))


def ask(client: QdrantClient, name: str, vector: Vector, k: int, wanted: models.Filter) -> list[str]:
    hits = client.query_points(name, query=vector, query_filter=wanted, limit=k).points
    return [hit.payload["source"] for hit in hits]


def unlabelled_too(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    return ask(client, name, vector, k, models.Filter(must_not=[is_of(label)]))


def own_class_too(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    return ask(client, name, vector, k, models.Filter(must=[LABELLED]))


def without_zero(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    above = models.FieldCondition(key="label", range=models.Range(gt=0))
    return ask(client, name, vector, k, models.Filter(must=[above], must_not=[is_of(label)]))


def sorted_out_afterwards(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    hits = client.query_points(name, query=vector, limit=k).points
    return [hit.payload["source"] for hit in hits if hit.payload["label"] not in (-1, label)]


def default_limit(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    return ask(client, name, vector, 10, models.Filter(must=[LABELLED], must_not=[is_of(label)]))


def farthest_first(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    return default_limit(client, name, vector, label, k)[::-1][:k]


def hits_themselves(
    client: QdrantClient, name: str, vector: Vector, label: int, k: int
) -> list[models.ScoredPoint]:
    return client.query_points(name, query=vector, limit=k).points


def only_the_first(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> str:
    return default_limit(client, name, vector, label, k)[0]


def made_up(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    return ["mnist-5k/pool/0000"] * k


WRONG = [
    ("5.1", (0.96, {"cosine": 0.957, "euclid": 9.05}), "`guess` a dictionary"),
    ("5.1", (GUESS, {"cosine": 9.05, "euclid": 0.957}), "swapped"),
    ("5.1", (GUESS, {"cosine": 9.57, "euclid": 9.05}), "not a dot product"),
    ("5.1", (GUESS, {"cosine": 0.31, "euclid": 9.05}), "Under cosine that is not"),
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": 0.295}), "was it times 10"),
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": 2.946}), "Only the question"),
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": 81.87}), "the square"),
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": 0.957}), "reach the index"),
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": 9.6}), "smallest score"),
    ("5.1", (GUESS, {"cosine": [0.957, 0.939], "euclid": 9.05}), "one number"),
    ("5.2", (unlabelled_too,), "only labelled ones"),
    ("5.2", (own_class_too,), "must not be"),
    ("5.2", (without_zero,), "0 is a label"),
    ("5.2", (sorted_out_afterwards,), "after the search"),
    ("5.2", (default_limit,), "`limit` says"),
    ("5.2", (farthest_first,), "nearest first"),
    ("5.2", (hits_themselves,), "sources alone"),
    ("5.2", (only_the_first,), "Return a list"),
    ("5.2", (made_up,), "no sources of the collection"),
    ("5.2", ([],), "function itself"),
    ("5.3", ({**RIGHT, "none": 0.98}, 0), "looks like a share"),
    ("5.3", ({**RIGHT, "none": 90.0}, 0), "the notebook's share"),
    ("5.3", (dict.fromkeys(RIGHT, 98.0), 0), "reach the index"),
    ("5.3", ({**RIGHT, "every second image": 9.2}, 0), "hardly anything is lost"),
    ("5.3", ({**RIGHT, "digits 0 to 4": 97.9}, 0), "by `pool.labels`"),
    ("5.3", ({**RIGHT, "digits 0 to 4": 9.2}, 0), "nothing should change"),
    ("5.3", (RIGHT, 50), "That many"),
    ("5.3", ([98.0, 97.8, 49.3], 0), "a dictionary"),
]
