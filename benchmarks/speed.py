"""Where the time goes: steps, embedding, larger pools, and how soon each method is accurate.

Run it on a machine that does nothing else. Timed pieces take turns, so that a slow minute of the
machine falls on all of them, and the median of several rounds counts.

    python -m benchmarks.speed             # all parts; about half an hour on two cores
    python -m benchmarks.speed step pool   # some parts only: step, embed, pool, race
"""

import argparse
import contextlib
import io
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.common import RESULTS, read_results, write_results
from benchmarks.digits import POOL, TEST, accuracy_of_logits, one_nearest
from metriclearn import MetricEmbedding, scarce_labels
from metriclearn.augment import random_affine
from metriclearn.losses import supervised_contrastive_loss
from metriclearn.models import Encoder
from metriclearn.training import embed, train_classifier, train_metric

ROUNDS, STEPS = 7, 200
POOL_SIZES = [1_000, 4_000, 16_000, 64_000]
SCHEDULES = [75, 150, 300, 600]
TARGETS = [90, 95, 97]
DRAWS = [0, 1, 2]
LABELS = scarce_labels(POOL.labels, 10, seed=0)


def seconds(function: Callable[[], Any]) -> float:
    """Return the wall-clock seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(pieces: dict[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median seconds of each piece, all pieces taking turns, after one round of warming up."""
    taken: dict[str, list[float]] = {name: [] for name in pieces}
    for round_ in range(rounds + 1):
        for name, piece in pieces.items():
            duration = seconds(piece)
            if round_:
                taken[name].append(duration)
    return {name: median(durations) for name, durations in taken.items()}


def bare_step(batch: int, augment: bool) -> None:
    """Run the same steps as plain PyTorch: one fixed batch, the same network, loss and optimiser."""
    x = torch.as_tensor(POOL.pixels[:batch])
    y = torch.arange(batch) % 10
    model = Encoder(POOL.pixels.shape[1:]).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    for _ in range(STEPS):
        images = random_affine(x) if augment else x
        loss = supervised_contrastive_loss(model.embed(images), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()


def our_step(batch: int, augment: bool) -> None:
    """Run our loop on labelled images only."""
    train_metric(POOL.pixels, LABELS, augment=augment, pseudo_labels=False, steps=STEPS, batch_size=batch)


def library_trainer(labels: np.ndarray, steps: int, seed: int) -> Encoder:
    """Train the encoder with pytorch-metric-learning's own trainer, the way its examples do.

    SupConLoss, MPerClassSampler, and torchvision's affine augmentation image by image.
    """
    import logging

    from pytorch_metric_learning import losses, samplers, trainers
    from torchvision.transforms import v2

    logging.getLogger("PML").setLevel(logging.ERROR)
    known = np.flatnonzero(labels >= 0)
    change = v2.RandomAffine(15, translate=(0.1, 0.1), scale=(0.85, 1.15), shear=(-15, 15, 0, 0))

    class Labelled(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return len(known)

        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            return change(torch.as_tensor(POOL.pixels[known[i]])), int(labels[known[i]])

    torch.manual_seed(seed)
    encoder = Encoder(POOL.pixels.shape[1:])
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    trainer = trainers.MetricLossOnly(
        models={"trunk": encoder, "embedder": torch.nn.Identity()},
        optimizers={"trunk_optimizer": optimizer},
        batch_size=120,  # 12 images of each of 10 classes
        loss_funcs={"metric_loss": losses.SupConLoss(temperature=0.1)},
        dataset=Labelled(),
        sampler=samplers.MPerClassSampler(labels[known], 12, 120, length_before_new_iter=120 * steps),
        lr_schedulers={"trunk_scheduler_by_iteration": schedule},
        iterations_per_epoch=steps,
        dataloader_num_workers=0,
        end_of_iteration_hook=None,
        end_of_epoch_hook=None,
    )
    with contextlib.redirect_stderr(io.StringIO()):  # it draws a progress bar
        trainer.train(num_epochs=1)
    return encoder.eval()


def step() -> dict[str, Any]:
    """Compare our training step with the bare one, and with pytorch-metric-learning's trainer."""
    batch = 120
    taken = in_turns(
        {
            "bare PyTorch": lambda: bare_step(batch, False),
            "ours, not augmented": lambda: our_step(batch, False),
            "bare PyTorch + augmentation": lambda: bare_step(batch, True),
            "ours, augmented": lambda: our_step(batch, True),
            "pytorch-metric-learning's trainer, augmented": lambda: library_trainer(LABELS, STEPS, 0),
        }
    )
    per_step = {name: round(1000 * duration / STEPS, 2) for name, duration in taken.items()}
    overhead = {
        name: round(100 * (taken[ours] / taken[bare] - 1), 1)
        for name, ours, bare in (
            ("not augmented", "ours, not augmented", "bare PyTorch"),
            ("augmented", "ours, augmented", "bare PyTorch + augmentation"),
        )
    }
    return {"batch": batch, "milliseconds": per_step, "overhead over the bare step in %": overhead}


def embed_rate() -> dict[str, Any]:
    """Compare embedding many images with the forward pass alone."""
    encoder, x = Encoder(POOL.pixels.shape[1:]).eval(), torch.as_tensor(POOL.pixels)

    def forward() -> None:
        with torch.inference_mode():
            for part in torch.split(x, 1000):
                encoder(part)

    taken = in_turns({"forward pass": forward, "embed": lambda: embed(encoder, POOL.pixels)}, rounds=15)
    return {name: round(len(x) / duration) for name, duration in taken.items()}


def fit_of_size(size: int) -> dict[str, float]:
    """Fit a pool of this size, made of augmented copies, and measure time and memory of this process."""
    random = torch.Generator().manual_seed(0)
    copies = -(-size // len(POOL))
    images = torch.as_tensor(POOL.pixels)
    pool = torch.cat([images] + [random_affine(images, random) for _ in range(copies - 1)])[:size].numpy()
    labels = np.full(size, -1)
    labels[: min(size, len(POOL))] = LABELS[:size]
    duration = seconds(lambda: MetricEmbedding(random_state=0).fit(pool, labels))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
    return {"fit seconds": round(duration, 1), "peak memory in GiB": round(memory, 2)}


def pool() -> dict[str, Any]:
    """Fit pools of growing size, each in a process of its own, so that its memory is its own."""
    results = {}
    for size in POOL_SIZES:
        command = [sys.executable, "-m", "benchmarks.speed", "--size", str(size)]
        results[str(size)] = json.loads(subprocess.check_output(command, text=True))
        print(f"pool of {size}: {results[str(size)]}", flush=True)
    return results


def accuracy_by_neighbour(encoder: Encoder, labels: np.ndarray) -> float:
    """Return the accuracy of 1-NN in percent."""
    known = labels >= 0
    return one_nearest(embed(encoder, POOL.pixels[known]), labels[known], embed(encoder, TEST.pixels))


def race() -> dict[str, Any]:
    """Find the shortest schedule of each method whose mean accuracy reaches each target.

    A learning-rate schedule is made for its number of steps, so that a point half-way says little:
    each number of steps is a run of its own.
    """

    def ours(labels: np.ndarray, steps: int, seed: int, **options: Any) -> Callable[[], float]:
        model, _ = train_metric(POOL.pixels, labels, steps=steps, seed=seed, **options)
        return lambda: accuracy_by_neighbour(model.encoder, labels)

    def library(labels: np.ndarray, steps: int, seed: int) -> Callable[[], float]:
        encoder = library_trainer(labels, steps, seed)
        return lambda: accuracy_by_neighbour(encoder, labels)

    def classifier(labels: np.ndarray, steps: int, seed: int) -> Callable[[], float]:
        model = train_classifier(POOL.pixels, labels, steps=steps, seed=seed)
        return lambda: accuracy_of_logits(model)

    methods: dict[str, Callable[..., Callable[[], float]]] = {
        "supervised CNN": classifier,
        "pytorch-metric-learning's trainer": library,
        "metric embedding, labelled images only": lambda *args: ours(*args, pseudo_labels=False),
        "metric embedding": ours,
    }
    runs: dict[str, Any] = {name: {} for name in methods}
    for steps in SCHEDULES:
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
        for draw in DRAWS:
            labels = scarce_labels(POOL.labels, 10, draw)
            for name, method in methods.items():
                start = time.perf_counter()
                judge = method(labels, steps, draw)
                taken[name].append((time.perf_counter() - start, judge()))
        for name, pairs in taken.items():
            durations, accuracies = zip(*pairs, strict=True)
            runs[name][str(steps)] = {
                "seconds": round(median(durations), 2),
                "accuracy": [round(accuracy, 2) for accuracy in accuracies],
            }
            print(steps, name, runs[name][str(steps)], flush=True)
    reached = {
        name: {
            str(target): min(
                (run["seconds"] for run in schedules.values() if np.mean(run["accuracy"]) >= target),
                default=None,
            )
            for target in TARGETS
        }
        for name, schedules in runs.items()
    }
    return {"draws": DRAWS, "runs": runs, "seconds to reach": reached}


PARTS = {"step": step, "embed": embed_rate, "pool": pool, "race": race}


def main() -> None:
    """Measure the wanted parts and write each as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[], help="step, embed, pool, race (all of them)")
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.size:
        print(json.dumps(fit_of_size(wanted.size)))
        return
    if unknown := set(wanted.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    results = read_results("speed") if (RESULTS / "speed.json").exists() else {}
    for name in wanted.parts or PARTS:
        results[name] = PARTS[name]() | {
            "threads": torch.get_num_threads(),
            "processor": platform.machine(),
            "torch": torch.__version__.partition("+")[0],
        }
        print(json.dumps(results[name], indent=1), flush=True)
        write_results("speed", results)


if __name__ == "__main__":
    main()
