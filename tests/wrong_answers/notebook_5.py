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


def ten_times_as_many(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    hits = client.query_points(name, query=vector, limit=10 * k).points
    return [hit.payload["source"] for hit in hits if hit.payload["label"] not in (-1, label)][:k]


def everything_there_is(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    n = client.count(name).count
    hits = client.query_points(
        name, query=vector, query_filter=models.Filter(must=[LABELLED]), limit=n
    ).points
    return [hit.payload["source"] for hit in hits if hit.payload["label"] != label][:k]


def by_scrolling(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    points, _ = client.scroll(name, limit=1000, with_vectors=True)
    points = [point for point in points if point.payload["label"] not in (-1, label)]
    points.sort(key=lambda point: -sum(a * b for a, b in zip(point.vector, vector, strict=True)))
    return [point.payload["source"] for point in points[:k]]


def ten_at_most(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    return default_limit(client, name, vector, label, k)[:k]


def one_too_many(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    return ask(client, name, vector, k + 1, models.Filter(must=[LABELLED], must_not=[is_of(label)]))


def second_to_last(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    return one_too_many(client, name, vector, label, k)[1:]


def own_class_only(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    return ask(client, name, vector, k, models.Filter(must=[LABELLED, is_of(label)]))


def listed(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    wanted = models.Filter(must=[LABELLED], must_not=[is_of(label)])
    return [record.payload["source"] for record in client.scroll(name, scroll_filter=wanted, limit=k)[0]]


def listed_by_angle(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    wanted = models.Filter(must=[LABELLED], must_not=[is_of(label)])
    records, _ = client.scroll(name, scroll_filter=wanted, limit=1000)
    return sorted((record.payload["source"] for record in records), key=lambda s: int(s.split()[0]))[:k]


def all_of_the_right_kind(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    wanted = models.Filter(must=[LABELLED], must_not=[is_of(label)])
    return ask(client, name, vector, 1000, wanted)[:k]


def always_the_first_vector(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    return ask(client, name, [1.0, 0.0], k, models.Filter(must=[LABELLED], must_not=[is_of(label)]))


def from_the_other_side(client: QdrantClient, name: str, vector: Vector, label: int, k: int) -> list[str]:
    wanted = models.Filter(must=[LABELLED], must_not=[is_of(label)])
    return ask(client, name, [-number for number in vector], k, wanted)


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
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": 0.905}), "not divided"),
    ("5.1", (GUESS, {"cosine": 0.965, "euclid": 9.05}), "image 229"),  # image 230
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": 9.039}), "image 229"),
    ("5.1", (GUESS, {"cosine": 95.7, "euclid": 9.05}), "not a dot product"),  # percent
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": 10.3}), "smallest score"),  # the farthest
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": float("nan")}), "NaN"),
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": -9.05}), "smallest score"),
    ("5.1", (GUESS, {"cosine": 0.0957, "euclid": 9.05}), "Under cosine that is not"),
    ("5.1", (GUESS, {"cosine": 0.957, "euclid": 9.0}), "two decimals"),
    ("5.1", (GUESS, {"cosine": 0.96, "euclid": 9}), "two decimals"),
    ("5.1", (GUESS, {"cosine": 1, "euclid": 9.05}), "two decimals"),
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
    ("5.2", (ten_times_as_many,), "discard them"),
    ("5.2", (everything_there_is,), "discard them"),
    ("5.2", (by_scrolling,), "discard them"),
    ("5.2", (ten_at_most,), "Too few"),
    ("5.2", (one_too_many,), "`limit` says"),
    ("5.2", (second_to_last,), "nearest first"),
    ("5.2", (own_class_only,), "must not be"),
    ("5.2", (listed,), "without searching"),
    ("5.2", (listed_by_angle,), "without searching"),
    ("5.2", (all_of_the_right_kind,), "you fetch"),
    ("5.2", (always_the_first_vector,), "nearest first"),
    ("5.2", (from_the_other_side,), "nearest first"),
    ("5.2", (lambda *given: listed(*given).sort(),), "returns nothing"),
    ("5.3", ({**RIGHT, "none": 0.98}, 0), "looks like a share"),
    ("5.3", ({**RIGHT, "none": 90.0}, 0), "the notebook's share"),
    ("5.3", (dict.fromkeys(RIGHT, 98.0), 0), "reach the index"),
    ("5.3", ({**RIGHT, "every second image": 9.2}, 0), "hardly anything is lost"),
    ("5.3", ({**RIGHT, "digits 0 to 4": 97.9}, 0), "by `pool.labels`"),
    ("5.3", ({**RIGHT, "digits 0 to 4": 9.2}, 0), "nothing should change"),
    ("5.3", (RIGHT, 50), "That many"),
    ("5.3", (RIGHT, 7.2), "That many"),
    ("5.3", (RIGHT, float("nan")), "NaN"),
    ("5.3", ({**RIGHT, "none": 97.8}, 0), "five neighbours"),  # ten of them
    ("5.3", ({**RIGHT, "none": 98.3}, 0), "the nearest alone"),
    ("5.3", ({**RIGHT, "none": 98.4}, 0), "a vote of the five"),
    ("5.3", ({**RIGHT, "every second image": 97.9}, 0), "one here and one there"),  # the first half
    ("5.3", ({**RIGHT, "digits 0 to 4": 49.26}, 0), "in `labels` nearly all"),
    ("5.3", ({**RIGHT, "digits 0 to 4": 59.2}, 0), "which ones did you put"),  # 0 to 3
    ("5.3", ({**RIGHT, "digits 0 to 4": 49.86}, 0), "which ones did you put"),  # 5 to 9
    ("5.3", ({name: share / 100 for name, share in RIGHT.items()}, 0), "looks like a share"),
    ("5.3", ([98.0, 97.8, 49.3], 0), "a dictionary"),
    ("5.3", ({"none": 98, "every second image": 98, "digits 0 to 4": 49}, 0), "one decimal"),
    ("5.3", ({"none": 97.8, "every second image": 98.0, "digits 0 to 4": 49.3}, 0), "five neighbours"),
    ("5.3", ({"none": 49.3, "every second image": 97.8, "digits 0 to 4": 98.0}, 0), "five neighbours"),
]
