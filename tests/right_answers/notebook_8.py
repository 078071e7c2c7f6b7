"""Right answers to the exercises of notebook 8, in other forms."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

Array = NDArray[np.floating]
random = np.random.default_rng(4)


def near(centres: Array, n: int, spread: float) -> Array:
    """n unit vectors around each centre."""
    points = np.repeat(centres, n, axis=0) + random.normal(0, spread, (n * len(centres), centres.shape[1]))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


CENTRES = np.linalg.qr(random.normal(size=(12, 12)))[0][:10]
CENTRES[9] = 0.8 * CENTRES[7] + 0.6 * CENTRES[9]
NAMES = np.repeat(np.arange(10), 5)
STORED = near(CENTRES, 5, 0.15), NAMES, near(CENTRES[9:], 100, 0.15)
GROUPS = tuple(
    near(CENTRES[low:high], n, 0.25) for low, high, n in ((0, 7, 10), (0, 7, 30), (0, 7, 40), (7, 10, 50))
)


def nines_right(vectors: Array, names: Array) -> float:
    store = KNeighborsClassifier(1, metric="cosine").fit(vectors, names)
    return 100 * float(np.mean(store.predict(STORED[2]) == 9))


def class_means(vectors: Array, names: Array) -> tuple[Array, Array]:
    kinds = np.unique(names)
    return np.stack([vectors[names == kind].mean(axis=0) for kind in kinds]), kinds


def lost_by_turns() -> dict[str, float]:
    lost = {"all examples": 0.0, "class means": 0.0}
    for row in np.flatnonzero(NAMES == 9):
        wrong = NAMES.copy()
        wrong[row] = 7
        lost["all examples"] += (nines_right(STORED[0], NAMES) - nines_right(STORED[0], wrong)) / 5
        before, after = (nines_right(*class_means(STORED[0], names)) for names in (NAMES, wrong))
        lost["class means"] += (before - after) / 5
    return lost


LOST = lost_by_turns()


def by_ranks(old: Array, new: Array) -> tuple[float, float]:
    threshold = sorted(old)[len(old) // 20]
    is_old = np.repeat([1, 0], [len(old), len(new)])
    return 100 * roc_auc_score(is_old, np.concatenate([old, new])), 100 * (new >= threshold).sum() / len(new)


def with_loops(old: Array, new: Array) -> list[float]:
    won = sum((a > b) + 0.5 * (a == b) for a in old.tolist() for b in new.tolist())
    left = sorted(old.tolist())[int(len(old) * 5 / 100) :]
    return [100 * won / (len(old) * len(new)), 100 * sum(score >= min(left) for score in new) / len(new)]


def sorted_in_place(old: Array, new: Array) -> Array:
    old.sort()
    signs = np.sign(old[:, None] - new)
    return np.array([50 * (1 + signs.mean()), 100 * (new >= old[int(0.05 * len(old))]).mean()])


def by_partition(known: Array, aside: Array, these: Array, k: int) -> float:
    def scores(vectors: Array) -> Array:
        return np.partition(vectors @ known.T, -k, axis=1)[:, -k]

    held_out = np.sort(scores(aside))
    return float(100 * np.mean(scores(these) < held_out[int(0.05 * (len(aside) + 1)) - 1]))


def by_topk(known: Array, aside: Array, these: Array, k: int) -> torch.Tensor:
    scores = [(torch.as_tensor(v) @ torch.as_tensor(known).T).topk(k).values[:, -1] for v in (aside, these)]
    threshold = scores[0].sort().values[int(0.05 * (len(aside) + 1)) - 1]
    return 100 * (scores[1] < threshold).double().mean()


def by_neighbours(known: Array, aside: Array, these: Array, k: int) -> float:
    store = NearestNeighbors(n_neighbors=k).fit(known)
    far, farther = (store.kneighbors(vectors)[0][:, -1] for vectors in (aside, these))
    return 100 * float(np.mean(farther > np.sort(far)[-int(0.05 * (len(aside) + 1))]))


KNOWN, ASIDE, JUDGES, NEW = GROUPS
MEASURED = {k: tuple(by_partition(KNOWN, ASIDE, these, k) for these in (JUDGES, NEW)) for k in (1, 5)}

RIGHT = [
    ("8.1", ("all examples", 1 / 6, LOST, STORED)),
    ("8.1", ("class means", 0.167, dict(reversed(LOST.items())), STORED)),
    (
        "8.1",
        ("All examples", np.float32(1 / 6), {way: np.float32(lost) for way, lost in LOST.items()}, STORED),
    ),
    (
        "8.1",
        ("all examples", torch.tensor(1 / 6), {w: torch.tensor(lost) for w, lost in LOST.items()}, STORED),
    ),
    ("8.1", ("all examples", 0.1667, {way: round(lost, 1) for way, lost in LOST.items()}, list(STORED))),
    ("8.2", (by_ranks,)),
    ("8.2", (with_loops,)),
    ("8.2", (sorted_in_place,)),
    ("8.2", (lambda old, new: torch.tensor(by_ranks(old, new)),)),
    ("8.2", (lambda old, new: [round(figure, 2) for figure in by_ranks(old, new)],)),
    ("8.3", (by_partition, MEASURED, GROUPS)),
    ("8.3", (by_topk, {k: list(pair) for k, pair in MEASURED.items()}, GROUPS)),
    ("8.3", (by_neighbours, {k: np.array(pair) for k, pair in MEASURED.items()}, GROUPS)),
    ("8.3", (by_partition, {k: torch.tensor(pair) for k, pair in MEASURED.items()}, list(GROUPS))),
    (
        "8.3",
        (by_topk, {k: tuple(round(x, 1) for x in pair) for k, pair in MEASURED.items()}, GROUPS),
    ),
]
