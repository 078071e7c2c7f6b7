"""The strongest methods that a reader could use instead, on the same labels, network and budget.

Each of them trains the course's encoder for the same number of steps with the same affine
augmentation; what differs is the idea. `label_efficiency.py` holds the simple baselines and the
method itself, this script the rivals that deserve a training loop of their own. Each has its
source beside it.

    python -m benchmarks.rivals            # about an hour on one core; goes on where it stopped
    python -m benchmarks.rivals --fresh    # forget earlier results first
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import SupConLoss, TripletMarginLoss
from pytorch_metric_learning.miners import TripletMarginMiner
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from benchmarks.common import ALL_DRAWS, DRAWS, Ledger, command_line
from benchmarks.digits import POOL, TEST, accuracy_of_logits, one_nearest
from benchmarks.label_efficiency import PROTOCOL, frozen_recipe
from metriclearn import scarce_labels
from metriclearn.augment import random_affine
from metriclearn.batches import balanced_rows
from metriclearn.losses import supervised_contrastive_loss, triplet_loss
from metriclearn.models import Encoder
from metriclearn.training import WEIGHT_DECAY, embed, train_classifier

STEPS, BATCH = 600, 128
BUDGETS = [10]
FEW_LABELS = [1, 2]  # where the lead is largest: for the rival that sees the pool as well
CEILING_STEPS = 1200
RATIO, THRESHOLD = 2, 0.90  # FixMatch: pool images per labelled one, confidence that counts
TEMPERATURE, PAIRS = 0.2, 192  # self-supervised: a batch holds two views of each of so many images
RIVALS_PROTOCOL = PROTOCOL | {
    "network and augmentation": f"the course's encoder and affine maps; {STEPS} steps, {BATCH} labels",
    "FixMatch-style": f"{RATIO} pool images per labelled one, threshold {THRESHOLD} (of 0.8 and 0.9), "
    "weak view: a third of the affine range; no weight averaging; chosen for 10 labels per class, and the "
    "same at 1 and 2",
    "pytorch-metric-learning triplet": "TripletMarginLoss(margin=0.2) with its semi-hard TripletMarginMiner",
    "pytorch-metric-learning SupCon": "SupConLoss(temperature=0.1)",
    "self-supervised + linear probe": f"two views of {PAIRS} pool images per step, "
    f"temperature {TEMPERATURE}; logistic regression (C = 100, of 1 to 100) on "
    "what enters the last layer",
    "ceiling": f"the supervised CNN with all 4,000 labels, {CEILING_STEPS} steps",
}
Batch = Callable[[int], Tensor]


def train(model: nn.Module, loss_of_step: Batch, learning_rate: float) -> nn.Module:
    """Train with the optimiser and schedule that the course's own loops use."""
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=STEPS)
    for step in range(STEPS):
        model.train()
        loss = loss_of_step(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def labelled_batches(labels: np.ndarray, random: torch.Generator) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return a function that draws an augmented batch, the same number from each class."""
    known = labels >= 0
    images, targets = torch.as_tensor(POOL.pixels[known]), torch.as_tensor(labels[known])

    def draw() -> tuple[Tensor, Tensor]:
        rows = balanced_rows(labels[known], BATCH, random)
        return random_affine(images[rows], random), targets[rows]

    return draw


def fixmatch(
    labels: np.ndarray, seed: int, *, threshold: float = THRESHOLD, learning_rate: float = 5e-3
) -> float:
    """Teach a CNN its own confident guesses (Sohn et al. 2020, https://arxiv.org/abs/2001.07685).

    A guess on a weakly changed pool image, if confident, is the label of a strongly changed copy.
    """
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    model, draw = Encoder(POOL.pixels.shape[1:], 10), labelled_batches(labels, random)
    pool = torch.as_tensor(POOL.pixels)

    def loss_of_step(step: int) -> Tensor:
        images, targets = draw()
        unlabelled = pool[torch.randint(len(pool), (RATIO * BATCH,), generator=random)]
        weak = random_affine(unlabelled, random, degrees=5, translate=0.033, scale=0.05, shear=5)
        strong = random_affine(unlabelled, random)
        with torch.no_grad():
            confidence, guess = model(weak).softmax(dim=1).max(dim=1)
        given, learning = model(torch.cat([images, strong])).split([BATCH, RATIO * BATCH])
        pseudo = F.cross_entropy(learning, guess, reduction="none") * (confidence >= threshold)
        return F.cross_entropy(given, targets) + pseudo.mean()

    return accuracy_of_logits(train(model, loss_of_step, learning_rate))


def metric_library(labels: np.ndarray, seed: int, loss: Callable[..., Tensor], rate: float) -> float:
    """Train the encoder on the labelled images with a loss of pytorch-metric-learning; 1-NN."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    model, draw = Encoder(POOL.pixels.shape[1:], 32), labelled_batches(labels, random)

    def loss_of_step(step: int) -> Tensor:
        images, targets = draw()
        return loss(model.embed(images), targets)

    train(model, loss_of_step, rate)
    known = labels >= 0
    return one_nearest(embed(model, POOL.pixels[known]), labels[known], embed(model, TEST.pixels))


def pml_triplet(labels: np.ndarray, seed: int, *, learning_rate: float = 3e-3) -> float:
    """Use its triplet loss with its semi-hard miner (Musgrave et al. 2020, arXiv 2008.09164)."""
    loss, miner = TripletMarginLoss(margin=0.2), TripletMarginMiner(margin=0.2, type_of_triplets="semihard")
    return metric_library(labels, seed, lambda x, y: loss(x, y, miner(x, y)), learning_rate)


def pml_supcon(labels: np.ndarray, seed: int, *, learning_rate: float = 3e-3) -> float:
    """Use its supervised contrastive loss."""
    return metric_library(labels, seed, SupConLoss(temperature=0.1), learning_rate)


@cache
def self_supervised_encoder(seed: int, temperature: float, learning_rate: float) -> Encoder:
    """Learn without labels that two views of one image belong together (arXiv 2002.05709)."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    model, pool = Encoder(POOL.pixels.shape[1:], 32), torch.as_tensor(POOL.pixels)

    def loss_of_step(step: int) -> Tensor:
        rows = torch.randint(len(pool), (PAIRS,), generator=random)
        views = random_affine(pool[torch.cat([rows, rows])], random)
        # Each image is a class of its own, with its two views as members.
        return supervised_contrastive_loss(
            model.embed(views), torch.cat([rows, rows]), temperature=temperature
        )

    return train(model, loss_of_step, learning_rate)


def self_supervised(
    labels: np.ndarray,
    seed: int,
    *,
    temperature: float = TEMPERATURE,
    learning_rate: float = 3e-3,
    c: float = 100,
) -> float:
    """Learn from the pool without labels, then fit a linear classifier (a probe) to the labelled images."""
    body = self_supervised_encoder(seed, temperature, learning_rate).body

    def features(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return F.normalize(body(torch.as_tensor(pixels)), dim=1).numpy()

    known = labels >= 0
    probe = LogisticRegression(C=c, max_iter=2000).fit(features(POOL.pixels[known]), labels[known])
    return 100 * float(probe.score(features(TEST.pixels), TEST.labels))


def frozen_triplet(labels: np.ndarray, seed: int) -> float:
    """Train a linear head by triplets on a frozen autoencoder.

    This is the recipe of Qdrant's article on coffee beans (2022), with an autoencoder of the same
    images in place of its own: https://qdrant.tech/articles/detecting-coffee-anomalies/
    """
    return frozen_recipe(labels, seed, loss=triplet_loss)


def ceiling(labels: np.ndarray, seed: int) -> float:
    """Train the supervised CNN on every label of the pool, twice as long."""
    return accuracy_of_logits(train_classifier(POOL.pixels, labels, steps=CEILING_STEPS, seed=seed))


FIXMATCH = "supervised CNN + pseudo-labels (FixMatch-style)"
METHODS: dict[str, Callable[..., float]] = {
    "frozen autoencoder + triplet head": frozen_triplet,
    "pytorch-metric-learning, triplet": pml_triplet,
    "pytorch-metric-learning, SupCon": pml_supcon,
    "self-supervised + linear probe": self_supervised,
    FIXMATCH: fixmatch,
}
CEILING = "supervised CNN on all 4,000 labels"


def main() -> None:
    """Run what is not done yet."""
    head: dict[str, Any] = {"protocol": RIVALS_PROTOCOL, "budgets": BUDGETS, "draws": ALL_DRAWS}
    ledger = Ledger("rivals", "methods", command_line(__doc__).parse_args().fresh, head)
    runs: list[tuple[str, str, Callable[..., float], int | None, list[int]]] = [
        (name, str(n), method, n, ALL_DRAWS) for n in BUDGETS for name, method in METHODS.items()
    ]
    runs.append((CEILING, "all", ceiling, None, ALL_DRAWS))
    runs += [(FIXMATCH, str(n), fixmatch, n, DRAWS) for n in FEW_LABELS]
    for name, budget, method, n, draws in runs:
        for draw in draws:
            labels = scarce_labels(POOL.labels, n, draw) if n else POOL.labels
            ledger.run([name, budget], draw, partial(method, labels, draw))


if __name__ == "__main__":
    main()
