"""Wrong answers to the exercises of notebook 2, each with a part of its hint."""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metriclearn import load_images, scarce_labels
from metriclearn.models import Autoencoder

Rows = npt.NDArray[np.float64]
POOL, TEST = load_images("mnist-5k")
FLAT, NEW = POOL.pixels.reshape(len(POOL), -1), TEST.pixels.reshape(len(TEST), -1)


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


def distances(rows: Rows, new_rows: Rows) -> Tensor:
    return torch.cdist(torch.as_tensor(new_rows), torch.as_tensor(rows))


class Squeeze(nn.Module):
    """An encoder of one matrix; with `fold` it turns light images dark first."""

    def __init__(self, matrix: Tensor, mean: Tensor, fold: bool = False, mark: float = 0) -> None:
        super().__init__()
        self.matrix, self.mean, self.fold, self.mark = nn.Parameter(matrix), nn.Parameter(mean), fold, mark

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        light = rows.mean(dim=1, keepdim=True) > 0.5
        code = (torch.where(light, 1 - rows, rows) if self.fold else rows) - self.mean
        code = code @ self.matrix.T
        return torch.cat([code, self.mark * light], dim=1) if self.mark else code

    def embed(self, x: Tensor) -> Tensor:
        return F.normalize(self(x), dim=1)


class Unfold(nn.Module):
    """The decoder of the same matrix."""

    def __init__(self, matrix: Tensor, mean: Tensor) -> None:
        super().__init__()
        self.matrix, self.mean = nn.Parameter(matrix), nn.Parameter(mean)

    def forward(self, code: Tensor) -> Tensor:
        return (code[:, : len(self.matrix)] @ self.matrix + self.mean).reshape(-1, 1, 28, 28)


class Linear(nn.Module):
    """PCA of the rows, as a network of encoder and decoder."""

    def __init__(self, rows: Rows = FLAT, n: int = 32, fold: bool = False, mark: float = 0) -> None:
        super().__init__()
        matrix = np.linalg.eigh(np.cov(rows.T))[1][:, ::-1][:, :n].T.copy()
        given = torch.as_tensor(matrix).float(), torch.as_tensor(rows.mean(axis=0))
        self.encoder, self.decoder = Squeeze(*given, fold, mark), Unfold(*given)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class Backwards(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(1 - x)


class MeanImage(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.as_tensor(FLAT.mean(axis=0)).reshape(1, 1, 28, 28)).expand_as(x)


class CodesOnly(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


MODEL = Linear()
with torch.no_grad():
    CODES = [MODEL.encoder.embed(torch.as_tensor(images.pixels)).numpy() for images in (POOL, TEST)]
IN_PIXELS, IN_CODES = distances(FLAT, NEW), distances(*CODES)
PIXELS, EMBEDDING = (POOL.labels[near.argmin(dim=1)] for near in (IN_PIXELS, IN_CODES))
VOTES = POOL.labels[IN_CODES.topk(9, largest=False).indices]
NINE = np.array([np.bincount(row, minlength=10).argmax() for row in VOTES])
FEW = np.flatnonzero(scarce_labels(POOL.labels, 10, 0) >= 0)
BY_100 = POOL.labels[FEW][IN_CODES[:, FEW].argmin(dim=1)]
FOLDED = Linear(fold=True)
BOTH = Linear(np.concatenate([FLAT[:1000], 1 - FLAT[:1000]]))

WRONG = [
    ("2.1", (0.9, {"pixels": PIXELS, "embedding": EMBEDDING}, MODEL), "looks like a share"),
    ("2.1", (90, {"pixels": PIXELS}, MODEL), "the keys 'pixels' and 'embedding'"),
    ("2.1", (90, {"pixels": 93.5, "embedding": 94.6}, MODEL), "hand over the 1,000 labels"),
    ("2.1", (90, {"pixels": PIXELS, "embedding": 93.5}, MODEL), "hand over the 1,000 labels"),
    ("2.1", (90, {"pixels": EMBEDDING, "embedding": PIXELS}, MODEL), "answers for embedding"),  # swapped
    ("2.1", (90, {"pixels": PIXELS, "embedding": PIXELS}, MODEL), "answers for pixels"),
    ("2.1", (90, {"pixels": PIXELS, "embedding": TEST.labels}, MODEL), "true labels"),
    ("2.1", (90, {"pixels": IN_PIXELS.argmin(dim=1), "embedding": EMBEDDING}, MODEL), "rows of the pool"),
    ("2.1", (90, {"pixels": PIXELS, "embedding": BY_100}, MODEL), "not just 100"),
    ("2.1", (90, {"pixels": PIXELS, "embedding": NINE}, MODEL), "the one nearest"),
    ("2.1", (90, {"pixels": PIXELS, "embedding": EMBEDDING[::-1]}, MODEL), "Near chance"),
    ("2.1", (90, {"pixels": POOL.labels[IN_PIXELS.argmin(dim=0)], "embedding": EMBEDDING}, MODEL), "shape"),
    ("2.1", (90, {"pixels": TEST.labels == PIXELS, "embedding": EMBEDDING}, MODEL), "Near chance"),
    ("2.1", (90, {"pixels": PIXELS, "embedding": EMBEDDING}, Linear(n=8)), "N = 32"),
    ("2.1", (90, {"pixels": PIXELS, "embedding": EMBEDDING}, MODEL.encoder), "no `encoder`"),
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
    ("2.3", (1.7, "moving"), "the whole trained network"),
    ("2.3", (FOLDED.encoder, "moving"), "the whole trained network"),
    ("2.3", (Linear, "moving"), "the whole trained network"),  # the class, not a network
    ("2.3", (MODEL, "moving"), "`1 - x`"),  # never met an inverted image
    ("2.3", (BOTH, "moving"), "back inverted"),
    ("2.3", (Backwards(), "moving"), "inverted images only"),
    ("2.3", (MeanImage(fold=True), "moving"), "that of the mean image"),
    ("2.3", (Autoencoder((1, 28, 28), 32), "moving"), "that of the mean image"),  # not trained
    ("2.3", (CodesOnly(fold=True), "moving"), "an image for each image"),
    ("2.3", (Linear(fold=True, mark=9), "moving"), "beyond another digit"),  # the embedding still tells
    ("2.3", (FOLDED, "inverting"), "Which one is well ahead"),
    ("2.3", (FOLDED, "both"), "one of 'moving', 'inverting'"),
    ("2.3", (FOLDED, 84.0), "one of 'moving'"),
]
