"""Wrong answers to the exercises of notebook 4, each with a part of its hint."""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int_]
Floats = npt.NDArray[np.float64]
GOOD = {"all right": 98.63, "five wrong": 98.48}
BITS = {32: 97.5, 8: 97.4, 4: 97.0, 2: 34.7}
FOUR, EIGHT = [70.5, 29.5, 70.5, 70.5, 67.5, 67.5, 70.5, 70.5, 70.5, 67.5], [100.0] * 10
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


def of_the_count(spread: Rows, confidence: Floats, share: float) -> Rows:
    return np.sort(np.concatenate([part + 1 for part in per_class(spread, confidence, share)]))


def by_median(spread: Rows, confidence: Floats, share: float) -> Rows:
    keep = [confidence >= np.quantile(confidence[spread == label], 1 - share) for label in spread]
    return np.flatnonzero([passing[row] for row, passing in enumerate(keep)])


def shared_quota(spread: Rows, confidence: Floats, share: float) -> Rows:
    n = int(np.ceil(share * len(spread) / len(np.unique(spread))))
    parts = [np.flatnonzero(spread == label) for label in np.unique(spread)]
    return np.sort(np.concatenate([rows[np.argsort(-confidence[rows])[:n]] for rows in parts]))


def column(spread: Rows, confidence: Floats, share: float) -> Rows:
    return np.sort(unsorted(spread, confidence, share))[:, None]


def labels_that_pass(spread: Rows, confidence: Floats, share: float) -> Rows:
    return spread[np.sort(unsorted(spread, confidence, share))]


def how_many(spread: Rows, confidence: Floats, share: float) -> int:
    return len(unsorted(spread, confidence, share))


WRONG = [
    ("4.1", (5, {"all right": 0.986, "five wrong": 0.985}, 5), "looks like a share"),
    ("4.1", (5, {"all right": 98.6, "five wrong": 98.6}, 5), "reach `spread_labels`"),
    ("4.1", (5, {"all right": 4.8, "five wrong": 4.6}, 5), "the hidden truth"),
    ("4.1", (5, {"all right": 89.3, "five wrong": 88.6}, 5), "without a gate"),
    ("4.1", (5, {"all right": 99.79, "five wrong": 99.74}, 5), "not embeddings"),
    ("4.1", (5, {"all right": 95.3, "five wrong": 95.0}, 5), "surest half"),
    ("4.1", (5, {"all right": 98.70, "five wrong": 98.30}, 5), "images in `known` are among them"),
    ("4.1", (5, {"all right": 98.48, "five wrong": 98.63}, 5), "swapped"),
    ("4.1", (5, {"all right": 97.89, "five wrong": 97.53}, 5), "one gate for all"),
    ("4.1", (5, {"all right": 98.52, "five wrong": 98.41}, 5), "surest half"),  # a gate without known
    ("4.1", (5, {"all right": 1877, "five wrong": 1874}, 5), "between 0 and 100"),
    ("4.1", (5, {"all right": np.nan, "five wrong": 98.48}, 5), "NaN"),
    ("4.1", (5, {"all right": 1.4, "five wrong": 1.5}, 5), "the hidden truth"),  # the errors
    ("4.1", (5, GOOD, 0.05), "a whole number"),
    ("4.1", (5, GOOD, 100), "between 0 and 5"),
    ("4.1", (5, GOOD, 4), "How sure"),
    ("4.1", (5, GOOD, 0), "Count before"),
    ("4.1", (5, GOOD, 2), "How sure"),
    ("4.1", (5, [98.6, 98.5], 5), "a dictionary"),
    ("4.2", ({**BITS, 2: 0.347}, 4), "looks like a share"),
    ("4.2", ({**BITS, 2: 97.5}, 4), "too good to be true"),
    ("4.2", ({**BITS, 2: 9.8}, 4), "start from the encoder as published"),
    ("4.2", ({**BITS, 32: 9.8}, 4), "nothing should be lost"),
    ("4.2", ({**BITS, 4: 34.7}, 4), "under its own key"),
    ("4.2", ({**BITS, 8: 97.0, 4: 97.4}, 4), "under its own key"),  # exchanged
    ("4.2", ({**BITS, 32: 98.0}, 4), "published encoder that you rounded"),  # one trained here
    ("4.2", ({**BITS, 2: 50.0}, 4), "published encoder that you rounded"),
    ("4.2", ({**BITS, 4: 95.8}, 4), "under its own key"),  # three bits
    ("4.2", (BITS, 3), "Which of the four"),
    ("4.2", (BITS, 16), "Which of the four"),
    ("4.2", (BITS, "4"), "is a str"),
    ("4.2", (BITS, 32), "Fewer bits"),
    ("4.2", (BITS, 97.0), "Which of the four"),
    ("4.2", ({**BITS, 2: np.nan}, 4), "NaN"),
    ("4.2", ({32: 97.5, 8: 97.4, 4: 97.0}, 4), "the keys 32, 8, 4 and 2"),
    ("4.2", ({bits: share / 100 for bits, share in BITS.items()}, 4), "looks like a share"),
    ("4.2", ({32: 34.7, 8: 97.0, 4: 97.4, 2: 97.5}, 4), "nothing should be lost"),
    ("4.2", (BITS, 2), "Two points may be lost"),
    ("4.2", (BITS, 8), "Fewer bits"),
    ("4.3", ({**RIGHT, 10: [92.0] * 10}, BRIDGES, "cut off"), "does the known dot change"),
    ("4.3", ({4: TEN, 8: TEN, 10: TEN}, BRIDGES, "cut off"), "does `n_neighbors` arrive"),
    ("4.3", ({**RIGHT, 4: [50.0] * 10}, BRIDGES, "cut off"), "two start dots"),
    ("4.3", ({**RIGHT, 4: FOUR[:3]}, BRIDGES, "cut off"), "should be 10 numbers"),
    ("4.3", (RIGHT, {4: 200, 8: 200, 10: 201}, "cut off"), "each dot itself out"),
    ("4.3", (RIGHT, {4: 0, 8: 0, 10: 0}, "cut off"), "tenth neighbour"),
    ("4.3", ({**RIGHT, 4: [100.0] * 10}, BRIDGES, "cut off"), "all 200 count"),
    ("4.3", ({**RIGHT, 10: [*TEN[1:], 98.0]}, BRIDGES, "cut off"), "two start dots"),
    ("4.3", ({**RIGHT, 10: [share / 100 for share in TEN]}, BRIDGES, "cut off"), "looks like a share"),
    ("4.3", ({**RIGHT, 8: 100.0}, BRIDGES, "cut off"), "is a float"),
    ("4.3", (RIGHT, {4: 0.0, 8: 0.0, 10: 0.0005}, "cut off"), "a whole number"),
    ("4.3", (RIGHT, {4: 0, 8: 0, 10: 2}, "cut off"), "from one side"),
    ("4.3", (RIGHT, {4: 800, 8: 1600, 10: 1999}, "cut off"), "the *other* moon"),
    ("4.3", (RIGHT, {4: 0, 8: 0, 10: np.nan}, "cut off"), "NaN"),
    ("4.3", (RIGHT, {4: 1, 8: 0, 10: 0}, "cut off"), "the *other* moon"),
    ("4.3", (RIGHT, BRIDGES, "both"), "one of 'cut off'"),
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
    ("4.4", (of_the_count,), "other rows should pass"),
    ("4.4", (by_median,), "Too few pass"),
    ("4.4", (shared_quota,), "Too few pass"),
    ("4.4", (column,), "one row of row numbers"),
    ("4.4", (labels_that_pass,), "These are labels"),
    ("4.4", (how_many,), "one row of row numbers"),
]
