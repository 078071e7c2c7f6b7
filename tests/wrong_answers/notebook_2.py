"""Wrong answers to the exercises of notebook 2, each with a part of its hint."""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]


def directions(rows: Rows) -> Rows:
    return np.linalg.svd(rows, full_matrices=False)[2]


def not_centred(rows: Rows, new_rows: Rows, n: int) -> Rows:
    matrix = directions(rows)[:n]
    return new_rows @ matrix.T @ matrix


def mean_not_added(rows: Rows, new_rows: Rows, n: int) -> Rows:
    matrix = directions(rows - rows.mean(axis=0))[:n]
    return (new_rows - rows.mean(axis=0)) @ matrix.T @ matrix


def own_mean(rows: Rows, new_rows: Rows, n: int) -> Rows:
    matrix, mean = directions(rows - rows.mean(axis=0))[:n], new_rows.mean(axis=0)
    return (new_rows - mean) @ matrix.T @ matrix + mean


def learnt_on_new(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = new_rows.mean(axis=0)
    matrix = directions(new_rows - mean)[:n]
    return (new_rows - mean) @ matrix.T @ matrix + mean


def ascending(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = rows.mean(axis=0)
    matrix = np.linalg.eigh(np.cov(rows.T))[1][:, :n]  # eigh: the smallest ones first
    return (new_rows - mean) @ matrix @ matrix.T + mean


def columns(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = rows.mean(axis=0)
    matrix = directions(rows - mean)[:, :n]
    return (new_rows - mean) @ matrix @ matrix.T + mean


def codes_only(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = rows.mean(axis=0)
    return (new_rows - mean) @ directions(rows - mean)[:n].T


def one_direction_short(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = rows.mean(axis=0)
    matrix = directions(rows - mean)[: n - 1]
    return (new_rows - mean) @ matrix.T @ matrix + mean


def whitened(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = rows.mean(axis=0)
    _, scale, matrix = np.linalg.svd(rows - mean, full_matrices=False)
    return (new_rows - mean) @ matrix[:n].T / scale[:n] @ matrix[:n] + mean


def of_the_rows(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = rows.mean(axis=0)
    matrix = directions(rows - mean)[:n]
    return (rows - mean) @ matrix.T @ matrix + mean


def uncentred_in_training(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = rows.mean(axis=0)
    matrix = directions(rows)[:n]
    return (new_rows - mean) @ matrix.T @ matrix + mean


def uncentred_in_use(rows: Rows, new_rows: Rows, n: int) -> Rows:
    matrix = directions(rows - rows.mean(axis=0))[:n]
    return new_rows @ matrix.T @ matrix


def per_row(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = new_rows.mean(axis=1, keepdims=True)
    matrix = directions(rows - rows.mean(axis=1, keepdims=True))[:n]
    return (new_rows - mean) @ matrix.T @ matrix + mean


def as_they_are(rows: Rows, new_rows: Rows, n: int) -> Rows:
    return new_rows


def without_a_number(rows: Rows, new_rows: Rows, n: int) -> Rows:
    return new_rows * np.nan


D = {"same": 0.012, "undo": 0.048}

WRONG = [
    ("2.1", (0.9, {"pixels": 93.5, "embedding": 94.5}), "looks like a share"),
    ("2.1", (90, {"pixels": 93.5}), "the keys 'pixels' and 'embedding'"),
    ("2.1", (90, {"pixels": 73.5, "embedding": 77.4}), "all of `pool.labels`"),
    ("2.1", (90, {"pixels": 93.5, "embedding": 100.0}), "find itself"),
    ("2.1", (90, {"pixels": 93.5, "embedding": 10.3}), "along which axis"),
    ("2.1", (90, {"pixels": 96.0, "embedding": 94.5}), "`flat_` arrays"),
    ("2.1", (90, {"pixels": 93.5, "embedding": 99.0}), "too good"),
    ("2.1", (90, {"pixels": 0.935, "embedding": 0.946}), "looks like a share"),
    ("2.1", (90, {"pixels": 93.3, "embedding": 94.6}), "the one nearest"),  # three neighbours
    ("2.1", (90, {"pixels": 94.0, "embedding": 94.6}), "as they are"),  # at unit length
    ("2.1", (90, {"pixels": 94.6, "embedding": 93.5}), "as they are"),  # swapped
    ("2.1", (90, {"pixels": 93.5, "embedding": 94.625}), "*test* images"),
    ("2.1", (90, {"pixels": 93.5, "embedding": 90.4}), "that is too low"),
    ("2.1", (90, {"pixels": np.nan, "embedding": 94.6}), "NaN"),
    ("2.1", (90, {"pixels": 6.5, "embedding": 5.4}), "Near chance"),  # the errors
    ("2.2", (not_centred,), "Subtract the mean of `rows`"),
    ("2.2", (mean_not_added,), "add the mean again"),
    ("2.2", (own_mean,), "a single new image has none"),
    ("2.2", (learnt_on_new,), "Learn them on `rows` alone"),
    ("2.2", (ascending,), "mind their order"),
    ("2.2", (columns,), "columns or rows"),
    ("2.2", (codes_only,), "should have the shape (7, 6)"),
    ("2.2", (one_direction_short,), "slices end one before"),
    ("2.2", (0.017,), "function itself"),
    ("2.2", (whitened,), "not PCA's X' yet"),
    ("2.2", (of_the_rows,), "should have the shape (7, 6)"),
    ("2.2", (uncentred_in_training,), "not PCA's X' yet"),
    ("2.2", (uncentred_in_use,), "and add it at the end"),
    ("2.2", (per_row,), "not PCA's X' yet"),
    ("2.2", (as_they_are,), "not PCA's X' yet"),
    ("2.2", (without_a_number,), "NaN"),
    ("2.3", ({"same": 0.8, "undo": 0.03}, D), "in percent"),
    ("2.3", ({"same": 4.0, "undo": 80.0}, D), "swapped"),
    ("2.3", ({"same": 30.0, "undo": 5.0}, D), "use its `model`"),
    ("2.3", ({"same": 80.2, "undo": 80.1}, D), "not with the copy"),
    ("2.3", ({"same": 80.2, "undo": 5.0}, {"same": 0.012, "undo": 0.12}), "`eval()`"),
    ("2.3", ({"same": 80.2, "undo": 5.0}, {"same": 0.048, "undo": 0.06}), "with `held_out`"),
    ("2.3", ({"same": 80.2, "undo": 5.0}, {"same": 0.02, "undo": 0.013}), "the harder task"),
    ("2.3", ({"same": 80.2, "undo": 5.0}, 0.05), "`errors_of` a dictionary"),
    ("2.3", ({"same": 19.8, "undo": 94.7}, D), "swapped"),  # those that stay
    ("2.3", ({"same": 80.2, "undo": 94.7}, D), "not with the copy"),
    ("2.3", ({"same": 80.2, "undo": 5.25}, D), "with `travel`"),
    ("2.3", ({"same": 80.2, "undo": np.nan}, D), "NaN"),
    ("2.3", ({"same": 80.2, "undo": 5.0}, {"same": 9.6, "undo": 37.0}), "between 0 and 1"),  # sums
    ("2.3", ({"same": 80.2, "undo": 5.0}, {"same": 0.047, "undo": 0.012}), "with `held_out`"),
    ("2.3", ({"same": 802, "undo": 53}, D), "between 0 and 100"),
]
