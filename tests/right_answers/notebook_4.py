"""Right answers to the exercises of notebook 4, in other forms."""

import math

import numpy as np
import numpy.typing as npt
import torch

from metriclearn.label_propagation import most_confident

Rows = npt.NDArray[np.int_]
Floats = npt.NDArray[np.float64]
SHARES = {"all right": 98.63, "five wrong": 98.48}
BITS = {32: 97.5, 8: 97.4, 4: 97.0, 2: 34.7}
FOUR, EIGHT = [70.5, 29.5, 70.5, 70.5, 67.5, 67.5, 70.5, 70.5, 70.5, 67.5], [100.0] * 10
TEN = [97.5, 74.5, 98.0, 94.5, 95.0, 96.0, 78.0, 91.5, 95.0, 100.0]
MOONS, BRIDGES = {4: FOUR, 8: EIGHT, 10: TEN}, {4: 0, 8: 0, 10: 1}


def by_mask(spread: Rows, confidence: Floats, share: float) -> Rows:
    passes = np.zeros(len(spread), dtype=bool)
    for label in set(spread.tolist()):
        rows = np.flatnonzero(spread == label)
        passes[rows[confidence[rows].argsort()[::-1][: math.ceil(share * len(rows))]]] = True
    return np.flatnonzero(passes)


def in_plain_python(spread: Rows, confidence: Floats, share: float) -> list[int]:
    passed: list[int] = []
    for label in set(spread.tolist()):
        rows = sorted((i for i, one in enumerate(spread) if one == label), key=lambda i: -confidence[i])
        passed += rows[: -(-int(100 * share) * len(rows) // 100)]
    return sorted(passed)


def in_place(spread: Rows, confidence: Floats, share: float) -> Rows:
    found = most_confident(spread, confidence, share)
    confidence[:], spread[:] = 0, 0
    return found


RIGHT = [
    ("4.1", (5, SHARES, 5)),
    ("4.1", (0.2, {"five wrong": np.float64(98.476), "all right": np.float64(98.6337)}, np.int64(5))),
    ("4.1", (np.float32(0), {name: torch.tensor(share) for name, share in SHARES.items()}, 5.0)),
    ("4.1", (100, {"all right": 98.6, "five wrong": 98.5}, torch.tensor(5))),
    ("4.1", (np.array([1]), {"all right": np.float32(98.63), "five wrong": np.array([98.48])}, 5)),
    ("4.2", (BITS, 4)),
    ("4.2", (dict(reversed(BITS.items())), 4.0)),
    ("4.2", ({bits: np.float32(share) for bits, share in BITS.items()}, np.int64(4))),
    ("4.2", ({np.int64(bits): torch.tensor(share) for bits, share in BITS.items()}, torch.tensor(4))),
    ("4.2", ({32: 97.4, 8: 97.5, 4: 96.9, 2: 33.0}, 4)),  # another processor
    ("4.3", (MOONS, BRIDGES, "cut off")),
    ("4.3", ({k: tuple(shares) for k, shares in MOONS.items()}, {4: 0.0, 8: 0.0, 10: 1.0}, "Cut off")),
    ("4.3", ({k: np.array(shares) for k, shares in MOONS.items()}, BRIDGES, "cut off")),
    (
        "4.3",
        (
            {k: torch.tensor(v) for k, v in MOONS.items()},
            {k: torch.tensor(n) for k, n in BRIDGES.items()},
            "cut off",
        ),
    ),
    ("4.3", (MOONS, {k: np.int64(n) for k, n in reversed(BRIDGES.items())}, " cut off ")),
    ("4.4", (most_confident,)),
    ("4.4", (by_mask,)),
    ("4.4", (in_plain_python,)),
    ("4.4", (in_place,)),
    ("4.4", (lambda *given: tuple(most_confident(*given)),)),
    ("4.4", (lambda *given: torch.as_tensor(most_confident(*given)),)),
]
