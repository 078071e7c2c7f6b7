"""Wrong answers to the exercises of notebook 7, each with a part of its hint."""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from metriclearn import EmbeddingIndex
from metriclearn.curation import label_errors

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Evidence = Callable[[EmbeddingIndex, Floats, int, str | None], Floats]


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


# Ten classes on a sphere: 4 and 9 lie near each other, as 0 and 1 do.
random = np.random.default_rng(6)
LABELS = np.repeat(np.arange(10), 210)
CENTRES = np.linalg.qr(random.normal(size=(12, 12)))[0][:10]
CENTRES[9], CENTRES[1] = 0.7 * CENTRES[4] + 0.7 * CENTRES[9], 0.7 * CENTRES[0] + 0.7 * CENTRES[1]
VECTORS = CENTRES[LABELS] + random.normal(0, 0.22, (2100, 12))
VECTORS = (VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)).astype(np.float32)
POOL = VECTORS, LABELS


def spoil(pair: tuple[int, int] | None, n: int = 200) -> Ints:
    """Labels of which n are wrong, within the pair if there is one."""
    draws, names = np.random.default_rng(2), LABELS.copy()
    picked = draws.choice(np.flatnonzero(np.isin(names, pair or range(10))), n, replace=False)
    names[picked] = sum(pair) - names[picked] if pair else (names[picked] + draws.integers(1, 10, n)) % 10
    return names


def one_direction(one: int, other: int) -> Ints:
    names = LABELS.copy()
    names[np.flatnonzero(names == one)[:200]] = other
    return names


SPOILT = {"any class": spoil(None), "4 and 9": spoil((4, 9)), "0 and 1": spoil((0, 1))}


def of_spoilt(doubts: Callable[[Ints, str], Floats]) -> dict[str, float]:
    """The share of wrong labels among the first 200 by such a doubt."""
    found = {}
    for kind, names in SPOILT.items():
        first = np.argsort(-doubts(names, kind), kind="stable")[:200]
        found[kind] = 100 * float(np.mean(names[first] != LABELS[first]))
    return found


def of_pairs_alone() -> dict[str, float]:
    def doubts(names: Ints, kind: str) -> Floats:
        two = np.isin(LABELS, LABELS[names != LABELS])
        return np.where(two, label_errors(VECTORS, names, k=20), -1)

    return of_spoilt(doubts)


RIGHT = of_spoilt(lambda names, _: label_errors(VECTORS, names, k=20))


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
        [own[0], store.query(embedding[None], k=1, where={"label": (label + 1) % 10}).scores[0][0]]
    )


def second_rival(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, source)
    return np.array([own[0], rival[1]])


def mean_of_own(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, source)
    return np.array([own.mean(), rival[0]])


def among(some: Iterable[int]) -> Evidence:
    """The nearest of these labels only, without the own one."""

    def evidence(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
        own, _ = ask(store, embedding, label, source)
        others = [other for other in some if other != label]
        return np.array([own[0], store.query(embedding[None], k=1, where={"label": others}).scores[0][0]])

    return evidence


def drops_what_is_equal(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    own, rival = ask(store, embedding, label, None)
    return np.array([own[own < 0.9999][0], rival[0]])


def drops_the_first_of_a_source(
    store: EmbeddingIndex, embedding: Floats, label: int, source: str | None
) -> Floats:
    own, rival = ask(store, embedding, label, None)
    return np.array([own[0 if source is None else 1], rival[0]])


def lower_of_both(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> float:
    own, rival = ask(store, embedding, label, source)
    return own[0] - rival[0]


WRONG = [
    ("7.1", (15, 20, {1: False, 10: True}), "did `k=1` reach"),
    ("7.1", (15, 0, {1: False, 10: True}), "*largest* scores"),
    ("7.1", (15, 6, {1: False, 10: True}), "those that go"),
    ("7.1", (15, 12, {1: False, 10: True}), "Compare row numbers"),
    ("7.1", (15, 14, {1: True, 10: True}), "now its duplicate"),
    ("7.1", (15, 14, {1: False, 10: False}), "new row at the end"),
    ("7.1", (15, 14, {1: "no", 10: "yes"}), "one of True, False"),
    ("7.1", (15, 14, False), "the keys 1 and 10"),
    ("7.1", (75, 14, {1: False, 10: True}), "between 0 and 20"),
    ("7.1", (15, 0.7, {1: False, 10: True}), "a whole number"),
    ("7.1", (15, 70, {1: False, 10: True}), "between 0 and 20"),
    ("7.1", (15, 15, {1: False, 10: True}), "Compare row numbers"),  # k = 2
    ("7.1", (15, 13, {1: False, 10: True}), "Compare row numbers"),
    ("7.1", (15, np.nan, {1: False, 10: True}), "NaN"),
    ("7.1", (15, 14, {1: True, 10: False}), "now its duplicate"),
    (
        "7.2",
        (SPOILT, {kind: share / 100 for kind, share in RIGHT.items()}, "many", POOL),
        "looks like a share",
    ),
    ("7.2", (SPOILT, {kind: 2 * share for kind, share in RIGHT.items()}, "many", POOL), "between 0 and 100"),
    ("7.2", (SPOILT, RIGHT | {"4 and 9": np.nan}, "many", POOL), "NaN"),
    ("7.2", (SPOILT, RIGHT, "both", POOL), "one of 'alike'"),
    ("7.2", (SPOILT, RIGHT, "alike", POOL), "do not look alike"),
    ("7.2", (SPOILT, {"4 and 9": 77}, "many", POOL), "Keep `precision_of`"),
    ("7.2", ([SPOILT["any class"]] * 3, RIGHT, "many", POOL), "Keep `spoilt`"),
    ("7.2", (SPOILT | {"any class": LABELS}, RIGHT, "many", POOL), "0 labels are wrong"),
    (
        "7.2",
        (SPOILT | {"4 and 9": np.flatnonzero(SPOILT["4 and 9"] != LABELS)}, RIGHT, "many", POOL),
        "shape",
    ),
    ("7.2", (SPOILT | {"any class": spoil(None, n=201)}, RIGHT, "many", POOL), "201 labels are wrong"),
    ("7.2", (SPOILT | {"any class": spoil((4, 9))}, RIGHT, "many", POOL), "from all 4,000"),
    ("7.2", (SPOILT | {"4 and 9": spoil(None)}, RIGHT, "many", POOL), "other classes are touched"),
    ("7.2", (SPOILT | {"4 and 9": SPOILT["0 and 1"]}, RIGHT, "many", POOL), "other classes are touched"),
    ("7.2", (SPOILT | {"4 and 9": one_direction(4, 9)}, RIGHT, "many", POOL), "both directions"),
    (
        "7.2",
        (
            SPOILT | {"any class": SPOILT["any class"] + 10 * (SPOILT["any class"] != LABELS)},
            RIGHT,
            "many",
            POOL,
        ),
        "no image has",
    ),
    (
        "7.2",
        (SPOILT, of_spoilt(lambda names, _: label_errors(VECTORS, LABELS, k=20)), "many", POOL),
        "*spoilt* labels",
    ),
    (
        "7.2",
        (SPOILT, of_spoilt(lambda names, _: -label_errors(VECTORS, names, k=20)), "many", POOL),
        "most suspicious image first",
    ),
    ("7.2", (SPOILT, of_spoilt(lambda names, _: label_errors(VECTORS, names, k=10)), "many", POOL), "k=20"),
    ("7.2", (SPOILT, of_spoilt(lambda names, _: label_errors(VECTORS, names, k=5)), "many", POOL), "k=20"),
    (
        "7.2",
        (SPOILT, of_spoilt(lambda names, _: label_errors(VECTORS, names, k=60)), "many", POOL),
        "another figure",
    ),
    (
        "7.2",
        (SPOILT, of_spoilt(lambda names, _: label_errors(VECTORS, names, k=20, temperature=9)), "many", POOL),
        "another figure",
    ),
    ("7.2", (SPOILT, RIGHT | of_pairs_alone(), "many", POOL), "rank all 4,000"),
    ("7.2", (SPOILT, RIGHT | {"0 and 1": RIGHT["any class"]}, "many", POOL), "For '0 and 1'"),
    ("7.3", (agreement,), "that agree"),
    ("7.3", (with_itself,), "agrees with itself"),
    ("7.3", (without_the_first,), "for the duplicates only"),
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
    ("7.4", (among(range(1, 10)),), "leave out the 0"),
    ("7.4", (among(range(9)),), "leave out the 9"),
    ("7.4", (among([3, 5, 8]),), "all other labels together"),
    ("7.4", (drops_what_is_equal,), "its duplicate is evidence"),
    ("7.4", (drops_the_first_of_a_source,), "do not throw its first neighbour away"),
    ("7.4", (swapped,), "are swapped"),
    ("7.4", (speaks_for_itself,), "speaks for itself"),
    ("7.4", (always_the_second,), "do not throw its first neighbour away"),
    ("7.4", (one_too_far,), "The first cosine is not right"),
    ("7.4", (rivals_unfiltered,), "give `where` a list"),
    ("7.4", (mean_of_rivals,), "all other labels together"),
    ("7.4", (lambda store, embedding, label, source: 0.5,), "shape"),
]
