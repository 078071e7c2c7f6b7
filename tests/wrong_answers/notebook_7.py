"""Wrong answers to the exercises of notebook 7, each with a part of its hint."""

import numpy as np
import numpy.typing as npt

from metriclearn import EmbeddingIndex
from metriclearn.curation import label_errors

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

KINDS = ("any class", "4 and 9", "0 and 1")


def other_labels(embeddings: Floats, labels: Ints, *, sign: float = -1) -> npt.NDArray[np.bool_]:
    """Whether each image's neighbours, itself among them, carry another label."""
    order = np.argsort(sign * (embeddings @ embeddings.T), axis=1, kind="stable")
    return labels[order] != labels[:, None]


def agreement(embeddings: Floats, labels: Ints, k: int) -> Floats:
    return 1 - suspicion(embeddings, labels, k)


def with_itself(embeddings: Floats, labels: Ints, k: int) -> Floats:
    return other_labels(embeddings, labels)[:, :k].mean(axis=1)


def without_the_first(embeddings: Floats, labels: Ints, k: int) -> Floats:
    return other_labels(embeddings, labels)[:, 1 : k + 1].mean(axis=1)


def farthest(embeddings: Floats, labels: Ints, k: int) -> Floats:
    return other_labels(embeddings, labels, sign=1)[:, :k].mean(axis=1)


def suspicion(embeddings: Floats, labels: Ints, k: int) -> Floats:
    likeness = embeddings @ embeddings.T
    np.fill_diagonal(likeness, -np.inf)
    nearest = np.argsort(-likeness, axis=1)[:, :k]
    return (labels[nearest] != labels[:, None]).mean(axis=1)


def one_too_few(embeddings: Floats, labels: Ints, k: int) -> Floats:
    return suspicion(embeddings, labels, max(k - 1, 1))


def ask(
    store: EmbeddingIndex, embedding: Floats, label: int, source: str | None, *, all_rivals: bool = False
) -> tuple[Floats, Floats]:
    """Scores of the own label without the image itself, and those of the others."""
    others = [other for other in range(10) if other != label]
    own = store.query(embedding[None], k=3, where={"label": label})
    rival = store.query(embedding[None], k=3, where=None if all_rivals else {"label": others})
    return own.scores[0][own.sources[0] != source], rival.scores[0]


def swapped(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, source)
    return np.array([rival[0], own[0]])


def speaks_for_itself(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, None)
    return np.array([own[0], rival[0]])


def always_the_second(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, None)
    return np.array([own[1], rival[0]])


def one_too_far(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, source)
    return np.array([own[1], rival[0]])


def rivals_unfiltered(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, source, all_rivals=True)
    return np.array([own[0], rival[0]])


def mean_of_rivals(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, source)
    return np.array([own[0], rival.mean()])


def precisions(*values: float) -> dict[str, float]:
    return dict(zip(KINDS, values, strict=True))


def heads_and_itself(embeddings: Floats, labels: Ints, k: int) -> Floats:
    return other_labels(embeddings, labels)[:, : k + 1].mean(axis=1)


def with_temperature(embeddings: Floats, labels: Ints, k: int) -> Floats:
    return label_errors(embeddings, labels, k=k)


def of_classes(embeddings: Floats, labels: Ints, k: int) -> Floats:
    return labels[np.argsort(-(embeddings @ embeddings.T), axis=1)[:, 1 : k + 1]].mean(axis=1)


def as_mask(embeddings: Floats, labels: Ints, k: int) -> npt.NDArray[np.bool_]:
    return suspicion(embeddings, labels, k) > 0.5


def own_class_is_all(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    _, rival = ask(store, embedding, label, source)
    every = store.query(embedding[None], k=2)
    return np.array([every.scores[0][every.sources[0] != source][0], rival[0]])


def distances(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, source)
    return np.array([1 - own[0], 1 - rival[0]])


def one_neighbour_class(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, _ = ask(store, embedding, label, source)
    return np.array(
        [own[0], store.query(embedding[None], k=1, where={"label": {3: 5, 5: 8, 8: 3}[label]}).scores[0][0]]
    )


def second_rival(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, source)
    return np.array([own[0], rival[1]])


def mean_of_own(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, source)
    return np.array([own.mean(), rival[0]])


def lower_of_both(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> float:
    own, rival = ask(store, embedding, label, source)
    return own[0] - rival[0]


WRONG = [
    ("7.1", (15, 20, {1: False, 10: True}), "did `k=1` reach"),
    ("7.1", (15, 0, {1: False, 10: True}), "*largest* scores"),
    ("7.1", (15, 6, {1: False, 10: True}), "those that go"),
    ("7.1", (15, 12, {1: False, 10: True}), "Compare row numbers"),
    ("7.1", (15, 14, {1: True, 10: True}), "now its twin"),
    ("7.1", (15, 14, {1: False, 10: False}), "new row at the end"),
    ("7.1", (15, 14, {1: "no", 10: "yes"}), "one of True, False"),
    ("7.1", (15, 14, False), "the keys 1 and 10"),
    ("7.1", (75, 14, {1: False, 10: True}), "between 0 and 20"),
    ("7.1", (15, 0.7, {1: False, 10: True}), "a whole number"),
    ("7.1", (15, 70, {1: False, 10: True}), "between 0 and 20"),
    ("7.1", (15, 15, {1: False, 10: True}), "Compare row numbers"),  # k = 2
    ("7.1", (15, 13, {1: False, 10: True}), "Compare row numbers"),
    ("7.1", (15, np.nan, {1: False, 10: True}), "NaN"),
    ("7.1", (15, 14, {1: True, 10: False}), "now its twin"),
    ("7.2", (precisions(0.91, 0.77, 0.78), "many"), "looks like a share"),
    ("7.2", (precisions(91, 0, 0), "many"), "most suspicious image first"),
    ("7.2", (precisions(7, 7, 5), "many"), "*spoilt* labels"),
    ("7.2", (precisions(91, 51.5, 52), "many"), "Are 200 wrong"),
    ("7.2", (precisions(91, 97, 98), "many"), "rank all 4,000"),
    ("7.2", (precisions(77, 77, 78), "many"), "near 91 %"),
    ("7.2", (precisions(91, 88, 78), "many"), "200 images of the two"),
    ("7.2", (precisions(91, 77, 77.5), "alike"), "do not look alike"),
    ("7.2", (precisions(90, 69, 65), "many"), "k=20"),  # five neighbours
    ("7.2", (precisions(91.5, 39, 44), "many"), "both directions"),  # one direction
    ("7.2", (precisions(91.5, 93.5, 90), "many"), "rank all 4,000"),  # two classes alone
    ("7.2", (precisions(91.5, 77.3, 78), "many"), "a whole or a half percent"),  # of 300 suspects
    ("7.2", (precisions(77, 91.5, 78), "many"), "rank all 4,000"),  # swapped
    ("7.2", (precisions(84, 77, 78), "many"), "in `vectors`"),
    ("7.2", (precisions(91.5, 77, np.nan), "many"), "NaN"),
    ("7.2", (precisions(183, 154, 156), "many"), "between 0 and 100"),  # counts
    ("7.2", (precisions(91.5, 77, 78), "both"), "one of 'alike'"),
    ("7.2", ({"4 and 9": 77}, "alike"), "Keep `precision_of`"),
    ("7.3", (agreement,), "that agree"),
    ("7.3", (with_itself,), "agrees with itself"),
    ("7.3", (without_the_first,), "for the twins only"),
    ("7.3", (farthest,), "*farthest* images"),
    ("7.3", (one_too_few,), "the k nearest others"),
    ("7.3", (lambda e, labels, k: 100 * suspicion(e, labels, k),), "in percent"),
    ("7.3", (lambda e, labels, k: k * suspicion(e, labels, k),), "Divide by their number"),
    ("7.3", (lambda e, labels, k: suspicion(e, labels, k).mean(),), "shape"),
    ("7.3", (heads_and_itself,), "not right"),
    ("7.3", (with_temperature,), "one vote for each"),
    ("7.3", (of_classes,), "the k nearest others"),
    ("7.3", (as_mask,), "the k nearest others"),
    ("7.3", (lambda e, labels, k: suspicion(e, labels, k) * np.nan,), "NaN"),
    (
        "7.3",
        (lambda e, labels, k: suspicion(e, labels, k + 1) if k < 39 else suspicion(e, labels, k),),
        "k=4",
    ),
    ("7.3", (lambda e, labels, k: -suspicion(e, labels, k),), "not right"),
    ("7.4", (own_class_is_all,), "The first cosine is not right"),
    ("7.4", (distances,), "distances, or 1 - cosine"),
    ("7.4", (one_neighbour_class,), "all other labels together"),
    ("7.4", (second_rival,), "all other labels together"),
    ("7.4", (mean_of_own,), "The first cosine is not right"),
    ("7.4", (lower_of_both,), "shape"),
    ("7.4", (lambda *given: np.array([np.nan, 0.5]),), "NaN"),
    (
        "7.4",
        (lambda store, e, label, source: store.query(e[None], k=2).scores[0],),
        "The image speaks for itself",
    ),
    ("7.4", (swapped,), "are swapped"),
    ("7.4", (speaks_for_itself,), "speaks for itself"),
    ("7.4", (always_the_second,), "do not throw its first neighbour away"),
    ("7.4", (one_too_far,), "The first cosine is not right"),
    ("7.4", (rivals_unfiltered,), "give `where` a list"),
    ("7.4", (mean_of_rivals,), "all other labels together"),
    ("7.4", (lambda store, embedding, label, source: 0.5,), "shape"),
]
