"""Solar cells: how many labels are needed, what choosing them saves, and who doubts which cell.

On the features of the frozen backbone, as in `photographs.py`, which draws the same pictures to judge by:

* the learning curve of logistic regression, up to 200 labels per class;
* active learning: 10 labels per class by chance, then 20 more at a time, chosen or by chance;
* doubt: what share of each cell's neighbours has a defect, against what the experts said.

    python -m benchmarks.studies.photographs_labels
"""

import numpy as np
from elpv_dataset.utils import load_dataset
from scipy.stats import spearmanr

from benchmarks.common import DRAWS, Ledger, command_line, timed, unit
from benchmarks.photographs import Photographs, Trial, elpv, linear, measures, trial
from metriclearn.cross_validation import predict_by_neighbours
from metriclearn.curation import select_for_labelling

CURVE = [10, 20, 50, 100, 200]
START, STEP, MOST = 10, 20, 200
STRATEGIES = ("random", "uncertainty", "diversity", "mixed")
NEIGHBOURS, RESAMPLES = 20, 2000


def learning_curve(ledger: Ledger, data: Photographs) -> None:
    """Write what each number of labels reaches."""
    for budget in CURVE:
        for draw in DRAWS:
            if not ledger.has(["logistic regression", str(budget)], draw):
                add(ledger, ["logistic regression", str(budget)], trial(data, budget, draw))


def add(ledger: Ledger, keys: list[str], of: Trial) -> None:
    """Write what logistic regression reaches with these labels."""
    truth = of.data.classes[of.test]
    found, seconds = timed(lambda: linear(of))
    said = found["logistic regression"]
    accuracy = 100 * float((said.labels == truth).mean())
    ledger.add(keys, of.draw, accuracy, seconds, **measures(said, truth))


def active(ledger: Ledger, data: Photographs) -> None:
    """Write what labels are worth that were chosen in one way or another."""
    for draw in DRAWS:
        for strategy in STRATEGIES:
            if ledger.has([strategy, str(MOST)], draw):
                continue
            of, random = trial(data, START, draw), np.random.default_rng(draw)
            vectors, truth = unit(of.centred()[0]), data.classes[of.pool]
            labels = of.labels.copy()
            certain = np.flatnonzero(truth >= 0)  # nobody can say what the others are
            while (n := int((labels >= 0).sum())) <= MOST:
                add(ledger, [strategy, str(n)], of._replace(labels=labels))
                if strategy == "random":
                    chosen = random.choice(certain[labels[certain] < 0], STEP, replace=False)
                else:
                    rows = select_for_labelling(vectors[certain], labels[certain], STEP, strategy, draw)
                    chosen = certain[rows]
                labels[chosen] = truth[chosen]


def doubt(data: Photographs) -> dict[str, object]:
    """Return the rank correlation of the experts' probability with the share of neighbours with a defect.

    The neighbours are the 20 nearest others that the experts were sure of, and the interval is that of a
    bootstrap over the cells.
    """
    _, probability, _ = load_dataset()
    vectors = unit(data.features - data.features.mean(axis=0))
    share, random = neighbours_share(vectors, data.classes), np.random.default_rng(0)
    experts, neighbours = 1 - np.abs(2 * probability - 1), 1 - np.abs(2 * share - 1)
    found: dict[str, object] = {"cells": len(share), "neighbours": NEIGHBOURS, "resamples": RESAMPLES}
    for name, one, other in (
        ("probability and share", probability, share),
        ("doubt and doubt", experts, neighbours),
    ):
        again = []
        for _ in range(RESAMPLES):
            rows = random.integers(0, len(share), len(share))
            again.append(spearmanr(one[rows], other[rows]).statistic)
        low, high = np.percentile(again, [2.5, 97.5])
        rho = spearmanr(one, other).statistic
        found[name] = {"rho": round(float(rho), 3), "interval": [round(float(low), 3), round(float(high), 3)]}
    found["mean share"] = {
        f"{level:.2f}": round(float(share[np.isclose(probability, level, atol=0.01)].mean()), 3)
        for level in (0, 1 / 3, 2 / 3, 1)
    }
    return found


def neighbours_share(vectors: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return for each picture what share of its nearest certain others is of class 1."""
    certain = np.flatnonzero(classes >= 0)
    nearest = certain[
        predict_by_neighbours(vectors[certain], classes[certain], vectors, NEIGHBOURS + 1).nearest
    ]
    shares = []
    for row, others in enumerate(nearest):
        shares.append((classes[others[others != row][:NEIGHBOURS]] == 1).mean())
    return np.array(shares)


def main() -> None:
    """Run what is not done yet."""
    fresh, data = command_line(__doc__).parse_args().fresh, elpv()
    found = Ledger("photographs_doubt", "ELPV", fresh, {})
    found.results["ELPV"] = doubt(data)
    found.write()
    active(Ledger("photographs_active", "strategies", fresh, {"draws": DRAWS}), data)
    learning_curve(Ledger("photographs_curve", "methods", fresh, {"draws": DRAWS}), data)


if __name__ == "__main__":
    main()
