"""Which images to label next, and what happens when the neighbours label the rest.

Buying labels. Every run starts with the same one label per class. Then labels are bought in rounds, up
to 20 per class on average, by `metriclearn.curation.select_for_labelling` or at random; the class of an
image is known only after it was bought. Two more choices stand beside: random, but as many of each class,
as if somebody searched until each class had its share; and the most typical images first (`typical`).
After each purchase `MetricEmbedding` is trained again, from scratch, and chooses the next images.

Two controls follow, with labels that the published encoder chooses, so that nothing is trained in between.
Labels that were bought to be hard are no fair sample: so the accuracy that they promise, each label judged by
the others, stands beside the one on the test images. And the trainings above take half of the default steps:
so all choices are compared once more after full training.

    python -m benchmarks.active_learning            # about an hour and a half on one core
    python -m benchmarks.active_learning --fresh    # forget earlier results first
"""

import time
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np
from sklearn.cluster import KMeans

from benchmarks.common import DRAWS, Ledger, command_line
from benchmarks.digits import POOL, TEST, one_nearest
from metriclearn import MetricEmbedding, QdrantClassifier, scarce_labels
from metriclearn.checks.arrays import FloatArray
from metriclearn.checks.labels import UNLABELLED, LabelArray
from metriclearn.curation import select_for_labelling
from metriclearn.label_propagation import spread_labels
from metriclearn.neighbours import nearest

LABELS = [10, 20, 40, 80, 120, 200]
STRATEGIES = ["random", "uncertainty", "diversity", "mixed", "balanced random", "typical first"]
STEPS = 300  # half of MetricEmbedding's default: it is trained 155 times
CONTROLLED, IN_FULL = ["random", "diversity", "mixed", "uncertainty", "balanced random"], (200, 120)
TYPICAL_OF = 20  # neighbours, as in the paper
PROTOCOL: dict[str, Any] = {
    "data": "mnist-5k: 4,000 pool images, 1,000 test images",
    "draws": "the first label of each class, the random choices and the training seed of draw s come from s",
    "steps": f"{STEPS} for every training",
    "bought labels": "1-NN over the bought labels alone",
    "pool index": "5-NN over the whole pool, its labels spread from the bought ones",
    "estimates": "the published encoder, which knew 100 labels of its own, chooses and judges, 1-NN: each "
    "bought label by the others, and the 1,000 test images by all bought labels",
    "full training": "on the labels of the estimates, with the default steps",
}


def choose(embeddings: FloatArray, labels: LabelArray, n: int, strategy: str, seed: int) -> Any:
    """Return the n rows to buy next."""
    if strategy == "random":
        free = np.flatnonzero(labels == UNLABELLED)
        return np.random.default_rng([seed, n]).choice(free, n, replace=False)
    if strategy == "balanced random":
        random, each = np.random.default_rng([seed, n]), n // 10
        rows = [np.flatnonzero((labels == UNLABELLED) & (POOL.labels == digit)) for digit in range(10)]
        return np.concatenate([random.choice(members, each, replace=False) for members in rows])
    if strategy == "typical first":
        return typical(embeddings, labels, n, seed)
    return select_for_labelling(embeddings, labels, n, strategy, seed)


def typical(embeddings: FloatArray, labels: LabelArray, n: int, seed: int) -> Any:
    """Return the most typical image of each of the n largest clusters that hold no label yet.

    TypiClust (Hacohen et al. 2022, https://arxiv.org/abs/2202.02794), with the embedding at hand in place
    of a self-supervised one: there are as many clusters as labels after the purchase, and the typical image
    has the smallest mean distance to its 20 nearest of the cluster.
    """
    known = labels != UNLABELLED
    clusters = KMeans(int(known.sum()) + n, n_init=1, random_state=seed).fit_predict(embeddings)
    chosen = []
    by_size = np.argsort(-np.bincount(clusters), kind="stable")
    covered = np.isin(by_size, clusters[known])
    for cluster in [*by_size[~covered], *by_size[covered]][:n]:
        members = np.flatnonzero((clusters == cluster) & ~known)
        if len(members):
            apart = np.sort(np.linalg.norm(embeddings[members, None] - embeddings[members], axis=2), axis=1)
            chosen.append(members[apart[:, : TYPICAL_OF + 1].mean(axis=1).argmin()])
    rest = np.setdiff1d(np.flatnonzero(~known), chosen)  # fills up where a cluster holds nothing else
    return np.array([*chosen, *rest[: n - len(chosen)]])


def train(labels: LabelArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """Train from scratch and return the embeddings of pool and test images."""
    embedding = MetricEmbedding(steps=STEPS, random_state=seed).fit(POOL.pixels, labels)
    return embedding.transform(POOL.pixels), embedding.transform(TEST.pixels)


def judge(pool: FloatArray, test: FloatArray, labels: LabelArray) -> dict[str, float]:
    """Return the accuracy of both indexes in percent."""
    known = labels != UNLABELLED
    with QdrantClassifier().fit(pool, spread_labels(pool, labels)[0]) as classifier:
        return {
            "bought labels": one_nearest(pool[known], labels[known], test),
            "pool index": 100 * classifier.score(test, TEST.labels),
        }


def buy(ledger: Ledger, draw: int) -> None:
    """Buy labels by each strategy, from the same start, and write the accuracy after each purchase."""
    started = scarce_labels(POOL.labels, 1, draw)
    clock = time.process_time()
    views = train(started, draw)
    first = judge(*views, started)
    seconds = time.process_time() - clock
    for strategy in STRATEGIES:
        if ledger.has([strategy, "pool index", str(LABELS[-1])], draw):
            continue
        labels, (pool, test) = started.copy(), views
        runs = [(LABELS[0], first, seconds)]
        for before, after in pairwise(LABELS):
            clock = time.process_time()
            bought = choose(pool, labels, after - before, strategy, draw)
            labels[bought] = POOL.labels[bought]
            pool, test = train(labels, draw)
            runs.append((after, judge(pool, test, labels), time.process_time() - clock))
        for budget, accuracies, used in runs:
            for index, accuracy in accuracies.items():
                ledger.add([strategy, index, str(budget)], draw, accuracy, used)


def purchases(strategy: str, draw: int) -> Iterator[tuple[int, LabelArray]]:
    """Yield each budget with the labels that the published encoder has chosen until then."""
    labels = scarce_labels(POOL.labels, 1, draw)
    pool = MetricEmbedding.load().transform(POOL.pixels)
    for before, after in pairwise(LABELS):
        bought = choose(pool, labels, after - before, strategy, draw)
        labels[bought] = POOL.labels[bought]
        yield after, labels.copy()


def estimate(ledger: Ledger, strategy: str, draw: int) -> None:
    """Write the accuracy that the bought labels promise, each judged by the others, and the true one."""
    if ledger.has([strategy, "test images", str(LABELS[-1])], draw):
        return
    encoder = MetricEmbedding.load()
    pool, test = encoder.transform(POOL.pixels), encoder.transform(TEST.pixels)
    for budget, labels in purchases(strategy, draw):
        known = labels != UNLABELLED
        nearest_other = nearest(pool[known], pool[known], 1, skip_self=True)[0][:, 0]
        promised = 100 * float(np.mean(labels[known][nearest_other] == labels[known]))
        ledger.add([strategy, "leave-one-out", str(budget)], draw, promised, 0.0)
        reached = one_nearest(pool[known], labels[known], test)
        ledger.add([strategy, "test images", str(budget)], draw, reached, 0.0)


def train_in_full(ledger: Ledger, strategy: str, draw: int, budgets: tuple[int, ...]) -> None:
    """Train with the default steps on what the published encoder has chosen, and write the accuracy."""
    if all(ledger.has([strategy, "pool index", str(budget)], draw) for budget in budgets):
        return
    for budget, labels in purchases(strategy, draw):
        if budget in budgets and not ledger.has([strategy, "pool index", str(budget)], draw):
            clock = time.process_time()
            embedding = MetricEmbedding(random_state=draw).fit(POOL.pixels, labels)
            found = judge(embedding.transform(POOL.pixels), embedding.transform(TEST.pixels), labels)
            for index, accuracy in found.items():
                ledger.add([strategy, index, str(budget)], draw, accuracy, time.process_time() - clock)


def main() -> None:
    """Run what is not done yet."""
    fresh = command_line(__doc__).parse_args().fresh
    head = {"protocol": PROTOCOL, "labels": LABELS, "draws": DRAWS}
    ledger = Ledger("active_learning", "strategies", fresh, head)
    for draw in DRAWS:
        buy(ledger, draw)
    ledger = Ledger("active_learning", "estimates", False, head)
    for strategy, draw in product(CONTROLLED, DRAWS):
        estimate(ledger, strategy, draw)
    ledger = Ledger("active_learning", "full training", False, head)
    for budget, draw, strategy in product(IN_FULL, DRAWS, CONTROLLED):
        train_in_full(ledger, strategy, draw, (budget,))


if __name__ == "__main__":
    main()
