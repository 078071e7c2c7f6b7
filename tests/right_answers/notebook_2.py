"""Right answers to the exercises of notebook 2, in other forms."""

import numpy as np
import numpy.typing as npt
import torch
from sklearn.decomposition import PCA, TruncatedSVD
from torch import Tensor

Rows = npt.NDArray[np.float64]


def by_eigenvectors(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = rows.mean(axis=0)
    matrix = np.linalg.eigh(np.cov(rows.T))[1][:, ::-1][:, :n]
    return (new_rows - mean) @ matrix @ matrix.T + mean


def by_library(rows: Rows, new_rows: Rows, n: int) -> Rows:
    pca = PCA(n).fit(rows)
    return pca.inverse_transform(pca.transform(new_rows))


def by_torch(rows: Rows, new_rows: Rows, n: int) -> Tensor:
    given, new = torch.as_tensor(rows).float(), torch.as_tensor(new_rows).float()
    mean = given.mean(dim=0)
    matrix = torch.linalg.svd(given - mean, full_matrices=False)[2][:n]
    return (new - mean) @ matrix.T @ matrix + mean


def in_place(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = rows.mean(axis=0)
    rows -= mean
    new_rows -= mean
    matrix = np.linalg.svd(rows, full_matrices=False)[2][:n]
    new_rows[:] = new_rows @ matrix.T @ matrix + mean
    return new_rows


def as_lists(rows: Rows, new_rows: Rows, n: int) -> list[list[float]]:
    return by_eigenvectors(rows, new_rows, n).tolist()


def directions_turned_round(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = rows.mean(axis=0)
    matrix = -np.linalg.svd((rows - mean).T, full_matrices=False)[0][:, :n]
    return mean + (new_rows - mean) @ (matrix @ matrix.T)


def truncated(rows: Rows, new_rows: Rows, n: int) -> Rows:
    mean = rows.mean(axis=0)
    matrix = TruncatedSVD(n, algorithm="arpack").fit(rows - mean).components_ if n < 3 else None
    if matrix is None:
        return by_eigenvectors(rows, new_rows, n)
    return (new_rows - mean) @ matrix.T @ matrix + mean


SHARES, D = {"same": 80.2, "undo": 0.9}, {"same": 0.0123, "undo": 0.0477}

RIGHT = [
    ("2.1", (94, {"pixels": 93.5, "embedding": 94.6})),
    ("2.1", (np.int64(77), {"embedding": 95.1, "pixels": 93.5})),  # another seed
    ("2.1", (99.5, {"pixels": np.float64(93.5), "embedding": np.float32(94.6)})),
    ("2.1", (100, {"pixels": torch.tensor(93.5), "embedding": torch.tensor(94.2)})),
    ("2.1", (np.array([94.0]), {"pixels": 93.4, "embedding": 94})),  # one image nearer elsewhere
    ("2.2", (by_eigenvectors,)),
    ("2.2", (by_library,)),
    ("2.2", (by_torch,)),
    ("2.2", (in_place,)),
    ("2.2", (as_lists,)),
    ("2.2", (directions_turned_round,)),
    ("2.2", (truncated,)),
    ("2.3", (SHARES, D)),
    ("2.3", ({"same": 80.2, "undo": 5.3}, {"same": 0.0123, "undo": 0.0469})),  # half the steps
    ("2.3", ({"undo": 1.4, "same": 79.1}, {"undo": 0.05, "same": 0.013})),  # another seed
    ("2.3", ({"same": np.float32(80.2), "undo": np.float32(0.9)}, {k: np.float32(d) for k, d in D.items()})),
    ("2.3", (SHARES, {k: torch.tensor(d, requires_grad=True) for k, d in D.items()})),
    ("2.3", ({"same": 81, "undo": 2}, {"same": 0.01, "undo": 0.05})),
]
