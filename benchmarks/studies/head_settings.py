"""Settings of a head on a backbone's features: 32 numbers and 600 steps, or 64 numbers and 300 steps?

Each is trained with the pool and without it (`pseudo_labels=False`), from ten labels per class, and judged by
the vote of 5 labelled neighbours. All of it runs on draws 100 to 104, on which nothing is reported elsewhere.
Neither is better, so the defaults of `MetricEmbedding` stay as they are, and serve everywhere. Accuracy in
percent, means of five draws; the difference with its 95 % interval:

                                 32, 600    64, 300    difference
    ELPV, with the pool            69.5       68.7     -0.8 [-4.1, 2.5]
    ELPV, without the pool         71.9       72.2      0.3 [-1.4, 2.1]
    TrashNet, with the pool        68.3       69.1      0.8 [-0.9, 2.4]
    TrashNet, without the pool     67.8       67.6     -0.2 [-2.3, 1.8]

    python -m benchmarks.studies.head_settings --trashnet FOLDER    # five minutes on one core
"""

import argparse
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks import photographs
from benchmarks.common import Ledger
from metriclearn import MetricEmbedding
from metriclearn.metrics import t_interval

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
    ledger = Ledger("head_settings", "sets", given.fresh, {"labels per class": PER_CLASS, "draws": [*DRAWS]})
    sets = [photographs.elpv, *([partial(photographs.trashnet, given.trashnet)] if given.trashnet else [])]
    for load in sets:
        data = load()
        for draw, (setting, of_head), (pool, pseudo_labels) in product(
            DRAWS, SETTINGS.items(), POOLS.items()
        ):
            if not ledger.has([data.name, pool, setting], draw):
                trial = photographs.trial(data, PER_CLASS, draw)
                trial.data.features  # noqa: B018 (computed at first sight)
                start = time.process_time()
                right = accuracy(trial, *of_head, pseudo_labels)
                ledger.add([data.name, pool, setting], draw, right, time.process_time() - start)
    for name, pools in ledger.results["sets"].items():
        for pool, settings in pools.items():
            narrow, wide = (np.array(settings[setting]["accuracy"]) for setting in SETTINGS)
            print(
                f"{f'{name}, {pool}':30}{narrow.mean():8.1f}{wide.mean():8.1f}   {t_interval(wide - narrow)}"
            )


if __name__ == "__main__":
    main()
