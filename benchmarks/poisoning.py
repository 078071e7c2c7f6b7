"""What happens to a store when the neighbours label the rest of the pool, and strangers lie in it.

The encoder and the store know the digits 0 to 6, ten labels each. The pool holds all ten digits, so
whatever labels the whole pool also gives an old name to every 7, 8 and 9. Then somebody labels five of
each new digit. How many of the new digits are right depends on which machine labels were stored before.

    python -m benchmarks.poisoning            # about two minutes on two cores
    python -m benchmarks.poisoning --fresh    # forget earlier results first

Settings were tried on draws 100 and 101.
"""

from typing import Any, NamedTuple

import numpy as np

from benchmarks.common import DRAWS, Ledger, command_line
from benchmarks.digits import POOL, TEST
from benchmarks.new_classes import new_rows, old_labels
from metriclearn import MetricEmbedding, QdrantClassifier
from metriclearn.checks.arrays import FloatArray
from metriclearn.checks.labels import UNLABELLED, LabelArray
from metriclearn.label_propagation import propagate_labels
from metriclearn.unknown import unknown_threshold

STEPS = 300
OLD = 7  # digits below are old
EXAMPLES = 5
QUANTILES = [0.05, 0.2, 0.5]
PROTOCOL: dict[str, Any] = {
    "data": "mnist-5k: 4,000 pool images; the first 500 test images set the threshold, the rest judge",
    "training": f"digits 0 to 6 only, 10 labels each, {STEPS} steps; seed and labels of draw s come from s",
    "vote": "5 nearest of all stored images",
    "examples": f"{EXAMPLES} of each new digit, labelled by a person after the machine",
}


def gated(
    pool: FloatArray, labels: LabelArray, aside: FloatArray, quantile: float | None
) -> tuple[LabelArray, float]:
    """Label the pool by its neighbours; keep what is as near a person's label as 1 - quantile of `aside`."""
    added, known = propagate_labels(pool, labels, share=1.0), labels != UNLABELLED
    if quantile is None:
        return added, -1.0
    threshold = unknown_threshold(pool[known], aside, quantile=quantile)
    far = (pool @ pool[known].T).max(axis=1) < threshold
    added[far & ~known] = UNLABELLED
    return added, threshold


class Stores(NamedTuple):
    """What one draw stores, in each way.

    Attributes:
        pool: embeddings of the pool, float32 of shape `(4000, N)`.
        test: embeddings of the test images, float32 of shape `(1000, N)`.
        machine: for each way, which labels of the pool the machine gave, bool of shape `(4000,)`.
        ways: for each way, the labels that are stored, int64 of shape `(4000,)`, -1 = not stored.
    """

    pool: FloatArray
    test: FloatArray
    machine: dict[str, np.ndarray]
    ways: dict[str, LabelArray]


def train(draw: int) -> MetricEmbedding:
    """Return an encoder that has met the old digits only."""
    old = POOL.labels < OLD
    return MetricEmbedding(steps=STEPS, random_state=draw).fit(POOL.pixels[old], old_labels(draw)[old])


def stores(draw: int, encoder: MetricEmbedding) -> Stores:
    """Return each choice of machine labels with the labels by people put over it."""
    labels = old_labels(draw)
    pool, test = encoder.transform(POOL.pixels), encoder.transform(TEST.pixels)
    examples = new_rows(draw, EXAMPLES)
    people = labels.copy()
    people[examples] = POOL.labels[examples]
    aside = test[:500][TEST.labels[:500] < OLD]
    ways = {
        "people only": labels,
        "no gate": gated(pool, labels, aside, None)[0],
        **{f"gate at {q:.0%}": gated(pool, labels, aside, q)[0] for q in QUANTILES},
        "rolled back, labelled anew": propagate_labels(pool, people, share=1.0),
    }
    machine, named = {}, people != UNLABELLED
    for way, stored in ways.items():
        machine[way] = (stored != UNLABELLED) & (labels == UNLABELLED)
        machine[way][examples] = False
        ways[way] = np.where(named, people, stored)
    return Stores(pool, test, machine, ways)


def run(ledger: Ledger, draw: int) -> None:
    """Train once; write the accuracy of each store, and what was wrong in it."""
    pool, test, by_machine, ways = stores(draw, train(draw))
    asked, truth = test[500:], TEST.labels[500:]
    for way, stored in ways.items():
        machine, kept = by_machine[way], stored != UNLABELLED
        with QdrantClassifier().fit(pool[kept], stored[kept]) as classifier:
            right = classifier.predict(asked) == truth
        wrong = 100 * (stored[machine] != POOL.labels[machine]).mean() if machine.any() else 0.0
        figures = {
            "old": 100 * right[truth < OLD].mean(),
            "new": 100 * right[truth >= OLD].mean(),
            "machine labels": float(machine.sum()),
            "of these wrong, %": wrong,
        }
        for name, value in figures.items():
            ledger.add([way, name], draw, float(value), 0.0)


def main() -> None:
    """Run what is not done yet."""
    ledger = Ledger(
        "poisoning", "ways", command_line(__doc__).parse_args().fresh, {"protocol": PROTOCOL, "draws": DRAWS}
    )
    for draw in DRAWS:
        if not ledger.has(["rolled back, labelled anew", "of these wrong, %"], draw):
            run(ledger, draw)


if __name__ == "__main__":
    main()
