"""Wrong answers to the exercises of notebook 4, each with a part of its hint."""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int_]
Floats = npt.NDArray[np.float64]
GOOD = {"all right": 98.6, "five wrong": 98.5}
BITS = {32: 97.5, 8: 97.4, 4: 97.0, 2: 34.7}
FOUR, EIGHT = [94.0, 56.0, 94.0, 94.0, 94.0, 94.0, 94.0, 94.0, 94.0, 94.0], [100.0] * 10
TEN = [97.5, 74.5, 98.0, 94.5, 95.0, 96.0, 78.0, 91.5, 95.0, 100.0]
RIGHT = {4: FOUR, 8: EIGHT, 10: TEN}
BRIDGES = {4: 0, 8: 0, 10: 1}


def per_class(spread: Rows, confidence: Floats, share: float, sign: int = -1, up: bool = True) -> list[Rows]:
    passed = []
    for label in np.unique(spread):
        rows = np.flatnonzero(spread == label)
        n = int(np.ceil(share * len(rows)) if up else share * len(rows))
        passed.append(rows[np.argsort(sign * confidence[rows])[:n]])
    return passed


def one_for_all(spread: Rows, confidence: Floats, share: float) -> Rows:
    return np.sort(np.argsort(-confidence)[: int(np.ceil(share * len(spread)))])


def within_class(spread: Rows, confidence: Floats, share: float) -> Rows:
    passed = [
        np.argsort(-confidence[spread == c])[: int(np.ceil(share * (spread == c).sum()))]
        for c in np.unique(spread)
    ]
    return np.sort(np.concatenate(passed))


def least_sure(spread: Rows, confidence: Floats, share: float) -> Rows:
    return np.sort(np.concatenate(per_class(spread, confidence, share, sign=1)))


def rounded_down(spread: Rows, confidence: Floats, share: float) -> Rows:
    return np.sort(np.concatenate(per_class(spread, confidence, share, up=False)))


def unsorted(spread: Rows, confidence: Floats, share: float) -> Rows:
    return np.concatenate(per_class(spread, confidence, share))


def by_threshold(spread: Rows, confidence: Floats, share: float) -> Rows:
    return np.flatnonzero(confidence > share)


def mask(spread: Rows, confidence: Floats, share: float) -> npt.NDArray[np.bool_]:
    return np.isin(np.arange(len(spread)), unsorted(spread, confidence, share))


def everything(spread: Rows, confidence: Floats, share: float) -> Rows:
    return np.arange(len(spread))


WRONG = [
    ("4.1", (5, {"all right": 0.986, "five wrong": 0.985}, 5), "looks like a share"),
    ("4.1", (5, {"all right": 98.6, "five wrong": 98.6}, 5), "reach `spread_labels`"),
    ("4.1", (5, {"all right": 4.8, "five wrong": 4.6}, 5), "the hidden truth"),
    ("4.1", (5, {"all right": 89.3, "five wrong": 88.6}, 5), "without a gate"),
    ("4.1", (5, {"all right": 99.79, "five wrong": 99.74}, 5), "not embeddings"),
    ("4.1", (5, {"all right": 95.3, "five wrong": 95.0}, 5), "surest half"),
    ("4.1", (5, GOOD, 0), "Count before"),
    ("4.1", (5, GOOD, 2), "How sure"),
    ("4.1", (5, [98.6, 98.5], 5), "a dictionary"),
    ("4.2", ({**BITS, 2: 0.347}, 4), "looks like a share"),
    ("4.2", ({**BITS, 2: 97.5}, 4), "too good to be true"),
    ("4.2", ({**BITS, 2: 9.8}, 4), "start from the encoder as published"),
    ("4.2", ({**BITS, 32: 9.8}, 4), "nothing should be lost"),
    ("4.2", ({**BITS, 4: 34.7}, 4), "under its own key"),
    ("4.2", (BITS, 2), "Two points may be lost"),
    ("4.2", (BITS, 8), "Fewer bits"),
    ("4.3", ({**RIGHT, 10: [92.0] * 10}, BRIDGES, "cut off"), "does the known dot change"),
    ("4.3", ({4: TEN, 8: TEN, 10: TEN}, BRIDGES, "cut off"), "does `n_neighbors` arrive"),
    ("4.3", ({**RIGHT, 4: [50.0] * 10}, BRIDGES, "cut off"), "two start dots"),
    ("4.3", ({**RIGHT, 4: FOUR[:3]}, BRIDGES, "cut off"), "should be 10 numbers"),
    ("4.3", (RIGHT, {4: 200, 8: 200, 10: 201}, "cut off"), "each dot itself out"),
    ("4.3", (RIGHT, {4: 0, 8: 0, 10: 0}, "cut off"), "tenth neighbour"),
    ("4.3", (RIGHT, BRIDGES, "leak"), "no bridge to leak over"),
    ("4.3", (RIGHT, 1, "leak"), "`bridges` a dictionary"),
    ("4.4", (one_for_all,), "one gate for all"),
    ("4.4", (within_class,), "count within a class"),
    ("4.4", (least_sure,), "least sure"),
    ("4.4", (rounded_down,), "round up"),
    ("4.4", (unsorted,), "rising order"),
    ("4.4", (by_threshold,), "Too many pass"),
    ("4.4", (everything,), "Too many pass"),
    ("4.4", (mask,), "not a mask"),
    ("4.4", (per_class,), "one array"),
    ("4.4", (0.5,), "function itself"),
]
