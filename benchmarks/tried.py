"""What else could lift the figure for ten labels per class, and does not.

Each line changes one thing in the method's defaults. All of it runs on draws 100 to 102, on which
the defaults were chosen: a change that wins here would have become the default.

    python benchmarks/tried.py            # about a quarter of an hour on one core; goes on where it stopped
    python benchmarks/tried.py --fresh    # forget earlier results first
"""

import argparse
import time
from typing import Any
from unittest.mock import patch

from label_efficiency import POOL, TEST, Ledger, one_nearest
from torch import nn

from metriclearn import models, scarce_labels, training

CHOOSING_DRAWS = [100, 101, 102]


class DeeperEncoder(models.Encoder):
    """Five convolutions instead of three, then the mean over all places."""

    def __init__(self, input_shape: Any, dim: int = 32) -> None:
        nn.Module.__init__(self)
        self.input_shape, self.dim = tuple(input_shape), dim
        layers: list[nn.Module] = []
        before = self.input_shape[0]
        for after, kernel, stride in ((32, 5, 2), (64, 3, 2), (64, 3, 1), (128, 3, 2), (128, 3, 1)):
            conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
            layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(before, dim)


# What is passed to `train_metric`, and what else is different.
Change = tuple[dict[str, Any], set[str]]
CHANGES: dict[str, Change] = {
    "the defaults": ({}, set()),
    "a deeper network (five convolutions)": ({}, {"deeper network"}),
    "twice the steps": ({"steps": 1200}, set()),
    "embeddings of 64 numbers": ({"dim": 64}, set()),
    "twice the batch": ({"batch_size": 256}, set()),
    "all 4,000 labels instead of 100": ({"pseudo_labels": False}, {"all labels"}),
}


def accuracy(change: Change, draw: int) -> float:
    """Return the 1-NN accuracy of the method with this change, in percent."""
    options, different = change
    labels = scarce_labels(POOL.labels, 10, draw)
    given = POOL.labels if "all labels" in different else labels
    network = DeeperEncoder if "deeper network" in different else models.Encoder
    with patch.object(models, "Encoder", network):
        model, _ = training.train_metric(POOL.pixels, given, seed=draw, **options)
    known = labels >= 0  # the index holds the same images in every line
    vectors = training.embed(model.encoder, POOL.pixels[known])
    return one_nearest(vectors, labels[known], training.embed(model.encoder, TEST.pixels))


def main() -> None:
    """Run what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="forget earlier results first")
    head = {"draws": CHOOSING_DRAWS, "budget": 10}
    ledger = Ledger("tried.json", "changes", parser.parse_args().fresh, head)
    for name, change in CHANGES.items():
        for draw in CHOOSING_DRAWS:
            if not ledger.has([name], draw):
                start = time.process_time()
                ledger.add([name], draw, accuracy(change, draw), time.process_time() - start)


if __name__ == "__main__":
    main()
