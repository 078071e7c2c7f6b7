"""Right answers to the exercises of notebook 2, in other forms."""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA, TruncatedSVD
from torch import Tensor, nn

from metriclearn import load_images

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


POOL, TEST = load_images("mnist-5k")
FLAT, NEW = POOL.pixels.reshape(len(POOL), -1), TEST.pixels.reshape(len(TEST), -1)


class Squeeze(nn.Module):
    """An encoder of one matrix, which turns light images dark first; it looks at the mean or at a corner."""

    def __init__(self, matrix: Tensor, mean: Tensor, corner: bool = False) -> None:
        super().__init__()
        self.matrix, self.mean, self.corner = nn.Parameter(matrix), nn.Parameter(mean), corner

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        light = (rows[:, :1] if self.corner else rows.mean(dim=1, keepdim=True)) > 0.5
        return (torch.where(light, 1 - rows, rows) - self.mean) @ self.matrix.T

    def embed(self, x: Tensor) -> Tensor:
        return F.normalize(self(x), dim=1)


class Unfold(nn.Module):
    def __init__(self, matrix: Tensor, mean: Tensor) -> None:
        super().__init__()
        self.matrix, self.mean = nn.Parameter(matrix), nn.Parameter(mean)

    def forward(self, code: Tensor) -> Tensor:
        return (code @ self.matrix + self.mean).reshape(-1, 1, 28, 28)


class Linear(nn.Module):
    """Stands for a trained network: PCA, the same for an image and the inverted one."""

    def __init__(self, n: int = 32, corner: bool = False) -> None:
        super().__init__()
        matrix = np.linalg.eigh(np.cov(FLAT.T))[1][:, ::-1][:, :n].T.copy()
        given = torch.as_tensor(matrix).float(), torch.as_tensor(FLAT.mean(axis=0))
        self.encoder, self.decoder = Squeeze(*given, corner), Unfold(*given)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


MODEL = Linear()
with torch.no_grad():
    CODES = [MODEL.encoder.embed(torch.as_tensor(images.pixels)).numpy() for images in (POOL, TEST)]
PIXELS = POOL.labels[torch.cdist(torch.as_tensor(NEW), torch.as_tensor(FLAT)).argmin(dim=1)]
EMBEDDING = POOL.labels[(CODES[1] @ CODES[0].T).argmax(axis=1)]  # by the cosine
ONE_OTHER = np.where(np.arange(len(PIXELS)) == 3, 0, PIXELS)

RIGHT = [
    ("2.1", (94, {"pixels": PIXELS, "embedding": EMBEDDING}, MODEL)),
    ("2.1", (np.int64(77), {"embedding": EMBEDDING.tolist(), "pixels": PIXELS.tolist()}, MODEL)),
    ("2.1", (99.5, {"pixels": torch.tensor(PIXELS), "embedding": torch.tensor(EMBEDDING)}, MODEL)),
    ("2.1", (100, {"pixels": PIXELS.astype(np.float32), "embedding": tuple(EMBEDDING)}, MODEL)),
    ("2.1", (np.array([94.0]), {"pixels": ONE_OTHER, "embedding": EMBEDDING}, MODEL)),  # one tie
    ("2.2", (by_eigenvectors,)),
    ("2.2", (by_library,)),
    ("2.2", (by_torch,)),
    ("2.2", (in_place,)),
    ("2.2", (as_lists,)),
    ("2.2", (directions_turned_round,)),
    ("2.2", (truncated,)),
    ("2.3", (Linear(), "moving")),
    ("2.3", (Linear().train(), " Moving ")),
    ("2.3", (Linear(n=16), np.str_("moving"))),
    ("2.3", (Linear(n=64), "MOVING")),
    ("2.3", (Linear(corner=True), "moving")),
]
