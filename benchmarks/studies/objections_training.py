"""Objections to what notebooks 1, 3 and 4 say about training: see `objections.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ArcFaceLoss, ProxyNCALoss
from torch import Tensor, nn

from benchmarks.common import DRAWS
from benchmarks.digits import POOL, TEST, accuracy_of_logits, one_nearest
from benchmarks.studies.objections_encoders import budget, gated, joint, network, usual
from metriclearn import losses, training
from metriclearn.batches import balanced_rows
from metriclearn.label_propagation import spread_labels
from metriclearn.losses import Loss, supervised_contrastive_loss
from metriclearn.metrics import collapse_diagnostics, mean_average_precision_at_r, recall_at_k
from metriclearn.models import Decoder, Encoder
from metriclearn.training import embed, predict_logits, reconstruction_error

Table = dict[str, dict[str, float]]
STEPS, BATCH, TEMPERATURE, MARGIN = 150, 100, 0.1, 0.2  # those of notebook 3
SHORT = f"{STEPS} steps, batches of {BATCH}, augmentation, no pseudo-labels, as in notebook 3"


@dataclass(frozen=True)
class Claim:
    """A claim and how it is measured.

    Attributes:
        setting: what is compared, in words.
        usual: the line from which the others are told apart, draw by draw.
        measure: from a draw to its lines, each with its figures.
        draws: the draws that are measured.
    """

    setting: str
    usual: str
    measure: Callable[[int], Table]
    draws: list[int]


def short(draw: int, loss: str | Loss = "supcon", **options: Any) -> Encoder:
    """Return an encoder trained as in notebook 3."""
    settings = {"pseudo_labels": False, "steps": STEPS, "batch_size": BATCH, "seed": draw} | options
    return training.train_metric(POOL.pixels, budget(draw), loss=loss, **settings)[0].encoder


def right(encoder: Encoder, draw: int) -> float:
    """Return the accuracy of 1-NN over the labelled images, in percent."""
    known = budget(draw) >= 0
    return one_nearest(embed(encoder, POOL.pixels[known]), POOL.labels[known], embed(encoder, TEST.pixels))


# Copies as each other's positives.


def each_twice(labels: np.ndarray, size: int, random: torch.Generator) -> Tensor:
    """Draw half as many rows, each two times in a row."""
    return balanced_rows(labels, size // 2, random).repeat_interleave(2)


def among_copies(embeddings: Tensor, labels: Tensor, *, copies: bool, others: bool) -> Tensor:
    """Return the supervised contrastive loss of a batch that holds each image two times in a row.

    What is no positive and has the same label is left out of the softmax, unless no label counts at all.

    Args:
        embeddings: float, shape `(n, N)`, unit length.
        labels: int, shape `(n,)`.
        copies: whether the other copy of an image is its positive.
        others: whether other images of its class are.
    """
    image = torch.arange(len(labels)) // 2
    if copies and others:
        return supervised_contrastive_loss(embeddings, labels, TEMPERATURE)
    if copies:
        return supervised_contrastive_loss(embeddings, image, TEMPERATURE)
    same_image = image[:, None] == image  # itself, and its copy
    positives = (labels[:, None] == labels) & ~same_image
    logits = (embeddings @ embeddings.T / TEMPERATURE).masked_fill(same_image, -torch.inf)
    chances = F.log_softmax(logits, dim=1).where(positives, 0.0)
    return -(chances.sum(dim=1) / positives.sum(dim=1)).mean()


def copies(draw: int) -> Table:
    """Compare what counts as a positive, once each image is in the batch two times."""
    found = {
        "no augmentation": right(short(draw, augment=False), draw),
        "100 different images": right(short(draw), draw),
    }
    ways = {
        "50 images twice, copies and class positives": {"copies": True, "others": True},
        "50 images twice, class positives only": {"copies": False, "others": True},
        "50 images twice, copies positives only": {"copies": True, "others": False},
    }
    with patch.object(training, "balanced_rows", each_twice):
        for name, way in ways.items():
            found[name] = right(short(draw, partial(among_copies, **way)), draw)
    return {name: {"1-NN, %": accuracy} for name, accuracy in found.items()}


# Mining: only the negative changed, or only the positive.


def mined(embeddings: Tensor, labels: Tensor, *, positive: str, negative: str) -> Tensor:
    """Return the triplet loss whose positives and negatives are chosen apart.

    Args:
        embeddings: float, shape `(n, N)`, unit length.
        labels: int, shape `(n,)`.
        positive: "all" of an anchor, or the "hardest".
        negative: the "nearest", or the "semi-hard" one of each anchor and positive.
    """
    distances = losses.pairwise_distances(embeddings)
    positives, negatives = losses.positive_mask(labels), losses.negative_mask(labels)
    chosen = distances.where(negatives, torch.inf).amin(dim=1, keepdim=True).expand_as(distances)
    if negative == "semi-hard":
        farther = negatives[:, None] & (
            distances[:, None] > distances[:, :, None]
        )  # anchor, positive, negative
        nearest = distances[:, None].where(farther, torch.inf).amin(dim=2)
        farthest = distances.where(negatives, -torch.inf).amax(dim=1, keepdim=True)
        chosen = nearest.where(nearest.isfinite(), farthest)
    costs = (distances - chosen + MARGIN).clamp(min=0)
    if positive == "all":
        return costs[positives].mean()
    hardest = distances.where(positives, -torch.inf).argmax(dim=1, keepdim=True)
    return costs.gather(1, hardest).mean()


def negatives(draw: int) -> Table:
    """Train with each pair of choices, and look whether it collapses and what is left."""
    known, found = np.flatnonzero(budget(draw) >= 0), {}
    for positive in ("hardest", "all"):
        for negative in ("nearest", "semi-hard"):
            encoder = short(draw, partial(mined, positive=positive, negative=negative))
            gauges = collapse_diagnostics(embed(encoder, POOL.pixels[known]), POOL.labels[known])
            found[f"{positive} positive, {negative} negative"] = {
                "1-NN, %": right(encoder, draw),
                "mean distance": gauges.mean_distance,
                "effective rank": gauges.rank,
            }
    return found


# Losses that practice uses, and the projection head.


class ThrownHead(nn.Module):
    """A projection head for training alone: SupCon on two layers above the embedding (Khosla et al. 2020).

    `train_metric` trains a copy of a loss; this one hands out itself, so that the head can be looked at.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 32))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def project(self, embeddings: Tensor) -> Tensor:
        """Return what the head makes of embeddings, at unit length."""
        return F.normalize(self.layers(embeddings), dim=1)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of what the head makes of the embeddings."""
        return supervised_contrastive_loss(self.project(embeddings), labels, TEMPERATURE)


def with_weights(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return a loss whose first weights come from this seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def judged(known: np.ndarray, asked: np.ndarray, draw: int) -> dict[str, float]:
    """Return what embeddings of the labelled and of the test images are worth, in percent."""
    labels = budget(draw)
    return {
        "1-NN, %": one_nearest(known, labels[labels >= 0], asked),
        "recall@1 of the test images, %": 100 * recall_at_k(asked, TEST.labels),
        "MAP@R of the test images, %": 100 * mean_average_precision_at_r(asked, TEST.labels),
    }


# Scales chosen on draws 100 to 102, in this very setting: of 8, 16 and 32, and of 4, 12 and 32.
ARCFACE: dict[str, float] = {"margin": 28.6, "scale": 8}
PROXY_NCA: dict[str, float] = {"softmax_scale": 4}


def losses_beside(draw: int, steps: int = STEPS, names: tuple[str, ...] | None = None) -> Table:
    """Train with each loss; the last lines are two views of one encoder, with its head and without."""
    known = POOL.pixels[budget(draw) >= 0]
    recipes: dict[str, str | Loss] = {
        "contrastive": "contrastive",
        "triplet, all": partial(losses.triplet_loss, mining="all"),
        "triplet, semi-hard": "triplet",
        "supervised contrastive": "supcon",
        "Proxy-NCA": with_weights(lambda: ProxyNCALoss(10, 32, **PROXY_NCA), draw),
        "ArcFace": with_weights(lambda: ArcFaceLoss(10, 32, **ARCFACE), draw),
    }
    found = {}
    for name, loss in recipes.items():
        if names and name not in names:
            continue
        encoder = short(draw, loss, steps=steps)
        found[name] = judged(embed(encoder, known), embed(encoder, TEST.pixels), draw)
    if names:
        return found
    head = ThrownHead(draw)
    encoder = short(draw, head, steps=steps)
    views = [embed(encoder, pixels) for pixels in (known, TEST.pixels)]
    found["supervised contrastive, head thrown away"] = judged(*views, draw)
    with torch.inference_mode():
        kept = [head.project(torch.as_tensor(view)).numpy() for view in views]
    found["supervised contrastive, head kept"] = judged(*kept, draw)
    return found


# The gate.


def gate(draw: int) -> Table:
    """Train with the gate as it is, and wide open."""
    encoders = {
        "90 % at first, 98 % at the end": usual(draw),
        "no gate": gated(draw, 1.0, 1.0),
    }
    found = {}
    for name, embedding in encoders.items():
        pool = embedding.transform(POOL.pixels)
        free = budget(draw) < 0
        spread = spread_labels(pool, budget(draw))[0]
        found[name] = {
            "1-NN, %": right(embedding.encoder_, draw),
            "labels of the pool right, %": 100 * float(np.mean(spread[free] == POOL.labels[free])),
        }
    return found


# Both decoders trained alike.


def looking_glass(codes: np.ndarray, asked: np.ndarray, seed: int) -> float:
    """Train a new decoder for embeddings of the pool as notebook 4 does; return D on test images."""
    torch.manual_seed(seed)
    decoder = Decoder(POOL.pixels.shape[1:], 32)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=3e-3)
    given, images = torch.as_tensor(codes), torch.as_tensor(POOL.pixels)
    for _ in range(300):
        rows = torch.randint(len(given), (128,))
        loss = reconstruction_error(images[rows], decoder(given[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        again = decoder.eval()(torch.as_tensor(asked))
    return float(reconstruction_error(torch.as_tensor(TEST.pixels), again))


def decoders(draw: int) -> Table:
    """Compare D of the joint pair, and of new decoders trained alike on frozen embeddings."""
    model = joint(draw)
    with torch.inference_mode():
        pair = float(reconstruction_error(x := torch.as_tensor(TEST.pixels), model(x)))
    of = {"joint": model.encoder, "metric": usual(draw).encoder_}
    new = {
        name: looking_glass(embed(encoder, POOL.pixels), embed(encoder, TEST.pixels), draw)
        for name, encoder in of.items()
    }
    return {
        "metric over joint, new decoders": {"ratio of D": new["metric"] / new["joint"]},
        "metric with a new decoder over the joint pair": {"ratio of D": new["metric"] / pair},
        "the joint pair": {"D": pair},
        "joint encoder, new decoder": {"D": new["joint"]},
        "metric encoder, new decoder": {"D": new["metric"]},
    }


# Label smoothing and noise.


def smoothing(draw: int) -> Table:
    """Ask networks that were trained with and without label smoothing about digits and about noise."""
    noise = np.random.default_rng(draw).random(TEST.pixels.shape, dtype=np.float32)
    found = {}
    for name, amount in {"smoothing 0.1": 0.1, "no smoothing": 0.0}.items():
        model = network(draw, smoothing=amount)
        on = {"digits": predict_logits(model, TEST.pixels), "noise": predict_logits(model, noise)}
        sure = {what: torch.as_tensor(x).double().softmax(1).amax(1).numpy() for what, x in on.items()}
        found[name] = {
            "accuracy, %": 100 * float(np.mean(on["digits"].argmax(1) == TEST.labels)),
            "median confidence on digits": float(np.median(sure["digits"])),
            "median confidence on noise": float(np.median(sure["noise"])),
            "digits surer than noise, %": 100 * float(np.mean(sure["digits"][:, None] > sure["noise"])),
        }
    return found


def some_wrong(draw: int) -> np.ndarray:
    """Return the labels of a draw, of which one in each class has another name, drawn by chance."""
    random, labels = np.random.default_rng(draw), budget(draw)
    for digit in range(10):
        row = random.choice(np.flatnonzero(budget(draw) == digit))
        labels[row] = (digit + random.integers(1, 10)) % 10
    return labels


def smoothing_of_wrong_names(draw: int) -> Table:
    """Train with and without label smoothing on labels of which one in ten is wrong; SupCon stands beside."""
    given, known = some_wrong(draw), budget(draw) >= 0
    names, truth, found = given[known], POOL.labels[known], {}
    mislabelled = names != truth
    for name, amount in {"smoothing 0.1": 0.1, "no smoothing": 0.0}.items():
        with patch.object(training, "LABEL_SMOOTHING", amount):
            model = training.train_classifier(POOL.pixels[known], names, seed=draw)
        answers = predict_logits(model, POOL.pixels[known][mislabelled]).argmax(1)
        found[f"CNN, {name}"] = {
            "accuracy, %": accuracy_of_logits(model),
            "of the ten wrong labels learned by heart": float(np.sum(answers == names[mislabelled])),
        }
        clean = accuracy_of_logits(network(draw, smoothing=amount))
        found[f"CNN, {name}, all labels right"] = {"accuracy, %": clean}
    encoder, _ = training.train_metric(
        POOL.pixels, given, pseudo_labels=False, steps=STEPS, batch_size=BATCH, seed=draw
    )
    stored, asked = (embed(encoder.encoder, pixels) for pixels in (POOL.pixels[known], TEST.pixels))
    found["SupCon, 1-NN"] = {"accuracy, %": one_nearest(stored, names, asked)}
    return found


CLAIMS = {
    "copies": Claim(SHORT, "50 images twice, class positives only", copies, DRAWS),
    "negatives": Claim(
        f"triplet loss, margin {MARGIN}; {SHORT}", "hardest positive, nearest negative", negatives, DRAWS
    ),
    "losses": Claim(
        f"{SHORT}. Proxy-NCA {PROXY_NCA} and ArcFace {ARCFACE} of pytorch-metric-learning, chosen on "
        "draws 100 to 102; the head has 128 hidden numbers and gives 32",
        "supervised contrastive",
        losses_beside,
        DRAWS,
    ),
    "gate": Claim(
        "MetricEmbedding's defaults but for the gate", "90 % at first, 98 % at the end", gate, DRAWS
    ),
    "decoders": Claim(
        "joint: 200 joint steps; metric: the full method; new decoders: 300 steps on frozen unit-length "
        "embeddings of the pool, AdamW 3e-3, the same batches; D on the test images",
        "the joint pair",
        decoders,
        DRAWS,
    ),
    "smoothing": Claim(
        "the supervised CNN, 10 labels per class, 1,000 test digits and 1,000 pictures of uniform noise",
        "smoothing 0.1",
        smoothing,
        DRAWS,
    ),
    "smoothing, wrong labels": Claim(
        "one of the ten labels of each class replaced by another class; the supervised CNN, and SupCon in "
        f"{SHORT}",
        "CNN, no smoothing",
        smoothing_of_wrong_names,
        DRAWS,
    ),
}
