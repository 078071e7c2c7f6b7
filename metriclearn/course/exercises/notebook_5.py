"""Index in Qdrant: what a score is, a filter that finds hard negatives, two encoders in one collection."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models

from metriclearn.course.exercises import NotYet, call, entries, number, percent


def exercise_5_1(guess: object, measured: object) -> str:
    """A question times ten: cosine sees the direction alone, Euclid the length, too."""
    keys = ("cosine", "euclid")
    guessed = {
        key: number(one, f"your guess for {key}") for key, one in entries(guess, "guess", keys).items()
    }
    scores = entries(measured, "measured", keys)
    cosine, euclid = (number(score, f"the score under {key}") for key, score in scores.items())
    if cosine > 9 and euclid < 1:
        raise NotYet("A cosine is never above 1: are the two swapped?")
    if cosine > 1.001:
        raise NotYet("A cosine is never above 1. Take the score that the index gives, not a dot product.")
    if cosine in (0, 1) or (abs(euclid - 9.048) > 0.006 and euclid in (9, 9.1)):
        raise NotYet("That is rounded too much to be told from a mistake: give two decimals.")
    if abs(cosine - 0.957) > 0.005:
        raise NotYet("Under cosine that is not the score of the nearest image: ask with test image 229.")
    if abs(euclid - 0.295) < 0.01:
        raise NotYet("Under Euclid that is the score of the question as it was: was it times 10?")
    if abs(euclid - 0.905) < 0.005:
        raise NotYet("Under Euclid that is a tenth of the score: is the question multiplied, not divided?")
    if abs(euclid - 2.946) < 0.01:
        raise NotYet("Only the question gets longer: leave the stored embeddings as they are.")
    if euclid > 50:
        raise NotYet("That is the square of the distance; Qdrant gives the distance itself.")
    if abs(euclid - cosine) < 0.01:
        raise NotYet('Both scores are the same: did `distance="euclid"` reach the index?')
    if abs(euclid - 9.048) > 0.006:
        raise NotYet("Under Euclid the nearest comes first, with the smallest score: ask with image 229.")
    near = sum(abs(guessed[key] - truth) < 0.5 for key, truth in (("cosine", cosine), ("euclid", euclid)))
    said = ("Neither guess was near.", "One guess was near.", "Both guesses were near.")[near]
    return (
        f"{said} Cosine sees the direction alone. Under Euclid the "
        "question has left the sphere: even the nearest is 9 away now, yet the order is the same."
    )


def exercise_5_2(hard_negatives: Callable[..., object]) -> str:
    """A filter with `must` and `must_not`, tried on small collections of points on a circle."""
    turned = [(0, 3), (5, -1), (8, 3), (12, 3), (20, 8), (26, 5), (33, 3), (50, 8), (63, 0), (80, 5)]
    with_zero = [(3, 0), (6, 1), (9, -1), (14, 0), (25, 1), (40, 2)]
    many = [(2 * i, i % 4 - 1) for i in range(80)]
    cases = [(turned, 3, 2), (turned, 8, 3), (with_zero, 0, 2), (with_zero, 1, 2), (turned, 3, 9)]
    cases.append((many, 2, 12))
    for (degrees, label, k), asked in product(cases, (0, 37.3)):  # between the points; no two equally near
        client = _circle(degrees)
        try:
            got = call(hard_negatives, client, "circle", _at(asked).astype(np.float32), label, k)
        finally:
            client.close()
        if not isinstance(got, list | tuple | np.ndarray):
            raise NotYet(f"Return a list of sources, and yours is a {type(got).__name__}.")
        if not all(isinstance(part, str) for part in got):
            raise NotYet('Return the sources alone: each hit carries its own in `payload["source"]`.')
        labels = {f"{angle} degrees": found for angle, found in degrees}
        nearest = sorted(degrees, key=lambda point: abs(point[0] - asked))
        wanted = [f"{angle} degrees" for angle, found in nearest if found not in (-1, label)]
        if any(part not in labels for part in got):
            raise NotYet("Some of these are no sources of the collection: take them from the payload.")
        given = [labels[part] for part in got]
        if label in given:
            raise NotYet(f"With label={label} some hits have that label: say what they must not be.")
        if -1 in given:
            raise NotYet("An image without a label may be of any class: only labelled ones may answer.")
        if len(got) > k:
            raise NotYet(f"With k={k} you return {len(got)}: `limit` says how many.")
        if label != 0 and list(got) == [source for source in wanted if labels[source] != 0][:k] != wanted[:k]:
            raise NotYet("A label of 0 is a label, too: only -1 stands for none.")
        if len(got) < min(k, len(wanted)):
            raise NotYet("Too few. Sorted out after the search, hits are lost: let the database filter.")
        if list(got) != wanted[:k] and not client.searched:
            raise NotYet("`scroll` lists points without searching: ask `query_points` with the vector.")
        if list(got) != wanted[:k]:
            raise NotYet("These are not the most alike ones, the nearest first.")
        if any(labels[source] in (-1, label) for source in client.handed_over):
            raise NotYet(
                "The right ones, but you fetch others and discard them: let the database filter. With more "
                "images than you fetch, hits would be lost."
            )
        if len(client.handed_over) > k + 20:
            raise NotYet(f"The right ones, but you fetch {len(client.handed_over)} points to return {k}.")
    return (
        "These are hard negatives: alike, and of another class. Notebook 3 looked for them in a batch; "
        "a database finds them in everything that you have stored."
    )


class _Watched(QdrantClient):
    """A client that remembers the sources of the points that it handed over, and whether it searched."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.sources: dict[Any, str] = {}
        self.handed_over: list[str] = []
        self.searched = False

    def query_points(self, *args: Any, **options: Any) -> models.QueryResponse:
        found = super().query_points(*args, **options)
        self.searched = True
        self.handed_over += [self.sources[point.id] for point in found.points]
        return found

    def query_batch_points(self, *args: Any, **options: Any) -> list[models.QueryResponse]:
        found = super().query_batch_points(*args, **options)
        self.searched = True
        self.handed_over += [self.sources[point.id] for answer in found for point in answer.points]
        return found

    def scroll(self, *args: Any, **options: Any) -> tuple[list[models.Record], Any]:
        found, offset = super().scroll(*args, **options)
        self.handed_over += [self.sources[point.id] for point in found]
        return found, offset


def _at(degrees: float) -> npt.NDArray[np.float64]:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def _circle(degrees: list[tuple[int, int]]) -> _Watched:
    """Return a client with a collection "circle": points at some degrees, each with a label.

    The ids are in no order, so that `scroll`, which goes by them, does not list the nearest first.
    """
    client = _Watched()
    params = models.VectorParams(size=2, distance=models.Distance.COSINE)
    client.create_collection("circle", vectors_config=params)
    ids = np.random.default_rng(5).permutation(len(degrees)).tolist()
    client.sources = {row: f"{angle} degrees" for row, (angle, _) in zip(ids, degrees, strict=True)}
    points = [
        models.PointStruct(
            id=row,
            vector=_at(angle).tolist(),
            payload={"source": f"{angle} degrees", "label": label},
        )
        for row, (angle, label) in zip(ids, degrees, strict=True)
    ]
    client.upsert("circle", points=points, wait=True)
    return client


def exercise_5_3(right: object, from_other: object) -> str:
    """Two encoders in one collection: half of the store falls silent, and the share may hide it."""
    keys = ("none", "every second image", "digits 0 to 4")
    shares = entries(right, "right", keys)
    none, second, digits = (percent(share, f"the share for {key!r}") for key, share in shares.items())
    other = number(from_other, "the share of neighbours from the other encoder, in percent", 0, 100)
    if (none, second, digits) == (98, 98, 49):
        raise NotYet("That is rounded too much to be told from a mistake: give one decimal.")
    if abs(none - 98.3) < 0.05 or abs(none - 98.4) < 0.05:
        raise NotYet(
            "That is the nearest alone, or a vote of the five: count all five neighbours of each image."
        )
    if abs(none - 98.0) > 0.05:
        raise NotYet("With one encoder it is the notebook's share: five neighbours, all 1,000 questions.")
    if none == second == digits:
        raise NotYet("All shares are the same: did the embeddings in `other` reach the index?")
    if second < 90:
        raise NotYet("With every second image hardly anything is lost: are the rest those in `stored`?")
    if abs(second - 97.78) > 0.05:
        raise NotYet(
            "Every second image, so 2,000 of them, one here and one there: which rows did you change?"
        )
    if digits > 60 or abs(digits - 49.26) < 0.03:
        raise NotYet("Choose the digits 0 to 4 by `pool.labels`: in `labels` nearly all images are -1.")
    if digits < 40:
        raise NotYet("For the digits 5 to 9 nothing should change: store those of our own encoder.")
    if abs(digits - 49.32) > 0.05:
        raise NotYet("These are not the digits 0 to 4, so five of ten: which ones did you put in `other`?")
    if other > 0.5:
        raise NotYet("That many? Look at the rows of the five neighbours: which of them lie in `other`?")
    return (
        "One in two images has fallen silent, and the share hides it: the other half holds the same digits. "
        "Where our encoder has none of a digit, every answer is wrong. No error is raised: hence the id."
    )
