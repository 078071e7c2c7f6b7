"""Settings of a head on a backbone's features: 32 numbers and 600 steps, or 64 numbers and 300 steps?

Each is trained with the pool and without it (`pseudo_labels=False`), from ten labels per class, and judged by
the vote of 5 labelled neighbours. All of it runs on draws 100 to 104, on which nothing is reported elsewhere.

    python -m benchmarks.head_settings --trashnet FOLDER    # five minutes on one core
"""

import argparse
import time
from functools import partial
from itertools import product
from pathlib import Path

import photographs
from label_efficiency import Ledger

from metriclearn import MetricEmbedding

PER_CLASS, DRAWS = 10, range(100, 105)
SETTINGS = {"32 numbers, 600 steps": (32, 600), "64 numbers, 300 steps": (64, 300)}
POOLS = {"with the pool": True, "without the pool": False}


def accuracy(of: photographs.Trial, dim: int, steps: int, pseudo_labels: bool) -> float:
    """Return how many test pictures get their class from the 5 nearest labelled ones, in percent."""
    pool, test = of.centred()
    head = MetricEmbedding(dim, steps=steps, pseudo_labels=pseudo_labels, random_state=of.draw)
    stored = head.fit(pool, of.labels).transform(pool[of.known])
    said = photographs.by_neighbours(stored, of.labels[of.known], head.transform(test), 5)
    return 100 * float((said.labels == of.data.classes[of.test]).mean())


def main() -> None:
    """Run what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="forget earlier results first")
    parser.add_argument("--trashnet", type=Path, help="folder of TrashNet's pictures, a folder per class")
    given = parser.parse_args()
    ledger = Ledger(
        "head_settings.json", "sets", given.fresh, {"labels per class": PER_CLASS, "draws": [*DRAWS]}
    )
    sets = [photographs.elpv, *([partial(photographs.trashnet, given.trashnet)] if given.trashnet else [])]
    for load in sets:
        data = load()
        for draw, (setting, of_head), (pool, pseudo_labels) in product(
            DRAWS, SETTINGS.items(), POOLS.items()
        ):
            if not ledger.has([data.name, pool, setting], draw):
                trial = photographs.trial(data, PER_CLASS, draw)
                trial.data.rows  # noqa: B018 (computed at first sight)
                start = time.process_time()
                right = accuracy(trial, *of_head, pseudo_labels)
                ledger.add([data.name, pool, setting], draw, right, time.process_time() - start)


if __name__ == "__main__":
    main()
