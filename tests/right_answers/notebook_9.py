"""Right answers to the exercises of notebook 9, in other forms."""

import numpy as np
import torch
from numpy.typing import NDArray

from metriclearn import EmbeddingIndex
from metriclearn.curation import select_for_labelling
from metriclearn.label_propagation import propagate_labels

Array = NDArray[np.floating]
Labels = NDArray[np.int64]

GUESS, PICKED = {"uncertainty": 80, "diversity": 45}, {"uncertainty": 45, "diversity": -70}

random = np.random.default_rng(6)
TRUTH = np.repeat(np.arange(10), 30)
CENTRES = np.linalg.qr(random.normal(size=(12, 12)))[0][:10]
CENTRES[9] = 0.5 * CENTRES[4] + 0.87 * CENTRES[9]
VECTORS = CENTRES[TRUTH] + random.normal(0, 0.25, (300, 12))
VECTORS = (VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)).astype(np.float32)
LABELS = np.where(np.arange(300) % 30 == 0, TRUTH, -1)
POOL = VECTORS, LABELS, TRUTH


def of_machine(share: float) -> float:
    mistaken = np.where(LABELS == 4, 9, LABELS)
    added = propagate_labels(VECTORS, mistaken, share)
    machine = (added >= 0) & (mistaken < 0)
    return 100 * float(np.mean(added[machine] != TRUTH[machine]))


MEASURED = {share: of_machine(share) for share in (1.0, 0.5)}


def by_filter(index: EmbeddingIndex, day: str) -> int:
    n = index.count({"label_by": "machine", "labelled": day})
    index.delete(where={"label_by": "machine", "labelled": day})
    return n


def by_difference(index: EmbeddingIndex, day: str) -> int:
    before = len(index)
    index.delete(where={"labelled": day, "label_by": ["machine"]})
    return before - len(index)


def in_a_scalar(index: EmbeddingIndex, day: str) -> np.int64:
    return np.int64(by_filter(index, day))


def twice(index: EmbeddingIndex, day: str) -> float:
    return float(by_filter(index, day) + by_filter(index, day))


def in_a_tensor(index: EmbeddingIndex, day: str) -> torch.Tensor:
    return torch.tensor(by_difference(index, day))


def with_distances(vectors: Array, labels: Labels, n: int) -> list[int]:
    seen, chosen = list(np.flatnonzero(labels >= 0)), []
    for _ in range(n):
        apart = np.linalg.norm(vectors[:, None] - vectors[seen], axis=2).min(axis=1)
        apart[seen] = -1
        chosen.append(int(apart.argmax()))
        seen.append(chosen[-1])
    return chosen


def in_place(vectors: Array, labels: Labels, n: int) -> Array:
    chosen = []
    for _ in range(n):
        free = np.flatnonzero(labels < 0)
        chosen.append(free[(vectors[free] @ vectors[labels >= 0].T).max(axis=1).argmin()])
        labels[chosen[-1]] = 0
    return np.array(chosen)


RIGHT = [
    ("9.1", (GUESS, PICKED, 180)),
    ("9.1", (PICKED, {"diversity": np.int64(-70), "uncertainty": np.int64(45)}, -180)),
    ("9.1", (GUESS, PICKED, np.float64(-170.5))),
    ("9.1", (GUESS, {name: torch.tensor(angle) for name, angle in PICKED.items()}, torch.tensor(195.0))),
    ("9.1", (GUESS, {name: np.float32(angle) for name, angle in PICKED.items()}, np.array([190]))),
    ("9.2", (12, MEASURED, False, POOL)),
    ("9.2", (np.float32(50), dict(reversed(MEASURED.items())), np.False_, POOL)),
    ("9.2", (2, {1: np.float32(MEASURED[1.0]), 0.5: np.float32(MEASURED[0.5])}, False, list(POOL))),
    ("9.2", (12, {share: torch.tensor(wrong) for share, wrong in MEASURED.items()}, False, POOL)),
    ("9.2", (12, {share: round(wrong, 1) for share, wrong in MEASURED.items()}, False, POOL)),
    ("9.3", (by_filter,)),
    ("9.3", (by_difference,)),
    ("9.3", (in_a_scalar,)),
    ("9.3", (twice,)),
    ("9.3", (in_a_tensor,)),
    ("9.4", (with_distances,)),
    ("9.4", (in_place,)),
    ("9.4", (lambda *given: tuple(with_distances(*given)),)),
    ("9.4", (lambda *given: torch.tensor(with_distances(*given)),)),
    ("9.4", (lambda vectors, labels, n: select_for_labelling(vectors, labels, n, "diversity", seed=7),)),
]
