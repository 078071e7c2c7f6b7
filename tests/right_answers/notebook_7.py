"""Right answers to the exercises of notebook 7, in other forms."""

import numpy as np
import numpy.typing as npt
import torch

from metriclearn import EmbeddingIndex
from metriclearn.curation import label_errors

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Pair = tuple[float, float]


# Ten classes on a sphere, and 200 wrong labels of three kinds.
random = np.random.default_rng(5)
LABELS = np.repeat(np.arange(10), 150)
CENTRES = np.linalg.qr(random.normal(size=(12, 12)))[0][:10]
VECTORS = CENTRES[LABELS] + random.normal(0, 0.25, (1500, 12))
VECTORS = (VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)).astype(np.float32)
POOL = VECTORS, LABELS


def spoilt(*classes: int) -> Ints:
    """Labels of which 200 are wrong: each of these classes is called the next one."""
    names = LABELS.copy()
    for row in random.permutation(np.flatnonzero(np.isin(LABELS, classes)))[:200]:
        names[row] = classes[(classes.index(int(LABELS[row])) + 1) % len(classes)]
    return names


SPOILT = {"any class": spoilt(*range(10)), "4 and 9": spoilt(4, 9), "0 and 1": spoilt(0, 1)}
FOUND = {}
for kind, names in SPOILT.items():
    first = (1 - label_errors(VECTORS, names, k=20)).argsort(kind="stable")[:200]
    FOUND[kind] = 100 * float((names[first] != LABELS[first]).mean())


def with_a_loop(embeddings: Floats, labels: Ints, k: int) -> list[float]:
    shares = []
    for row, one in enumerate(embeddings):
        others = np.delete(np.arange(len(labels)), row)
        nearest = others[np.argsort(-(embeddings[others] @ one))[:k]]
        shares.append(float(np.mean(labels[nearest] != labels[row])))
    return shares


def by_distance(embeddings: Floats, labels: Ints, k: int) -> Floats:
    apart = np.linalg.norm(embeddings[:, None] - embeddings, axis=2)
    apart[np.arange(len(labels)), np.arange(len(labels))] = np.inf
    return 1 - (labels[apart.argsort(axis=1)[:, :k]] == labels[:, None]).sum(axis=1) / k


def by_torch(embeddings: Floats, labels: Ints, k: int) -> torch.Tensor:
    vectors, names = torch.as_tensor(embeddings), torch.as_tensor(labels)
    likeness = (vectors @ vectors.T).fill_diagonal_(-2)
    return (names[likeness.topk(k).indices] != names[:, None]).float().mean(dim=1)


def in_place(embeddings: Floats, labels: Ints, k: int) -> Floats:
    found = by_distance(embeddings, labels, k)
    embeddings[:] = 0
    labels[:] = 0
    return found


def first_that_differs(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Pair:
    own = store.query(embedding[None], k=2, where={"label": label})
    rival = store.query(embedding[None], k=1, where={"label": [n for n in range(10) if n != label]})
    cosines = [s for s, name in zip(own.scores[0], own.sources[0], strict=True) if name != source]
    return cosines[0], rival.scores[0, 0]


def class_by_class(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> list[float]:
    mine = first_that_differs(store, embedding, label, source)[0]
    rivals = [store.query(embedding[None], k=1, where={"label": n}).scores for n in range(10) if n != label]
    return [float(mine), float(max(scores.max() for scores in rivals))]


def many_asked(store: EmbeddingIndex, embedding: Floats, label: int, source: str | None) -> Floats:
    found = store.query(embedding.reshape(1, -1), k=30)
    others = found.sources[0] != source
    is_own = found.labels[0] == label
    return np.array([found.scores[0][others & is_own].max(), found.scores[0][~is_own].max()])


RIGHT = [
    ("7.1", (15, 14, {1: False, 10: True})),
    ("7.1", (20, np.int64(14), {10: np.True_, 1: np.False_})),
    ("7.1", (np.float32(14), 14.0, {1: False, 10: True})),
    ("7.1", (0, torch.tensor(14), {1: torch.tensor(False), 10: torch.tensor(True)})),
    ("7.1", (13, np.array([14]), {np.int64(1): False, np.int64(10): True})),
    ("7.2", (SPOILT, FOUND, "many", POOL)),
    ("7.2", ({kind: names.tolist() for kind, names in SPOILT.items()}, FOUND, "Many", list(POOL))),
    ("7.2", (SPOILT, {kind: np.float32(share) for kind, share in reversed(FOUND.items())}, " many", POOL)),
    (
        "7.2",
        (
            {kind: torch.as_tensor(names) for kind, names in SPOILT.items()},
            {kind: torch.tensor(share) for kind, share in FOUND.items()},
            "many",
            POOL,
        ),
    ),
    ("7.2", (SPOILT, {kind: np.array([share]) for kind, share in FOUND.items()}, "many", POOL)),
    ("7.3", (with_a_loop,)),
    ("7.3", (by_distance,)),
    ("7.3", (by_torch,)),
    ("7.3", (in_place,)),
    ("7.3", (lambda *given: tuple(with_a_loop(*given)),)),
    ("7.4", (first_that_differs,)),
    ("7.4", (class_by_class,)),
    ("7.4", (many_asked,)),
    ("7.4", (lambda *given: torch.tensor(class_by_class(*given)),)),
    ("7.4", (lambda *given: [np.float32(cosine) for cosine in many_asked(*given)],)),
]
