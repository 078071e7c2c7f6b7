"""Classes that nobody named: how many of their pictures are called unknown, when 5 % of the known may be?

One class after another is left out, of the labels and of the pool; its pictures are the strangers. The
threshold comes from labelled pictures that were held out, as `metriclearn fit` sets it, and 22 % of the known
classes' pictures, which nothing has met, say whether it keeps its promise. Several scores are compared:

    nearest   cosine to the nearest labelled picture: what the classifier uses
    mean of 5 the mean of the five largest cosines
    margin    how much nearer the nearest class is than the second
    pool      cosine to the nearest picture of all, labelled or not

The way of each set is the one that suits it; Omniglot and TrashNet are measured where their files are given.

    python -m benchmarks.studies.unknown --omniglot images_background_small1.zip --trashnet FOLDER
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from benchmarks.common import Ledger, command_line, timed, unit
from benchmarks.digits import POOL, TEST
from benchmarks.elsewhere import omniglot
from benchmarks.photographs import trashnet
from metriclearn import MetricEmbedding, scarce_labels
from metriclearn.cross_validation import stratified_folds
from metriclearn.unknown import conformal_threshold

DRAWS, BUDGET, SHARE, TEST_SHARE = [0, 1, 2], 10, 0.05, 0.22
HEAD_STEPS, HEAD_DIM = 300, 64  # as `metriclearn fit` trains a head
CHARACTERS, LEFT_OUT = 30, 6
PROTOCOL = {
    "left out": "digits: class s in draw s; Omniglot: six of the 30 characters of a draw, together; "
    "TrashNet: each of the six classes, one at a time",
    "labels": f"{BUDGET} per known class",
    "threshold": f"so that {100 * SHARE:g} % of pictures held out in folds score lower: five folds on frozen "
    "rows and heads, three from scratch",
    "draws": "100 and 101 chose the score; the figures are for draws 0 to 2",
}


class Case(NamedTuple):
    """Pictures or rows, the class of each, and the classes to leave out, one group after another."""

    inputs: np.ndarray
    classes: np.ndarray
    groups: list[np.ndarray]


def digits(draw: int) -> Case:
    """Return the course's digits."""
    inputs, classes = np.concatenate([POOL.pixels, TEST.pixels]), np.concatenate([POOL.labels, TEST.labels])
    return Case(inputs, classes, [np.array([draw])])


def characters(file: Path, draw: int) -> Case:
    """Return some characters of Omniglot."""
    task = omniglot(file, draw, CHARACTERS, 1)
    inputs = np.concatenate([task.pool.pixels, task.test.pixels])
    classes = np.concatenate([task.pool.labels, task.test.labels])
    return Case(inputs, classes, [np.arange(LEFT_OUT)])


def waste(folder: Path, draw: int) -> Case:
    """Return the frozen rows of TrashNet."""
    data = trashnet(folder)
    return Case(data.features, data.classes, [np.array([label]) for label in np.unique(data.classes)])


def by_scratch(inputs: np.ndarray, rows: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Train the small network on some rows; return the embeddings of all."""
    return MetricEmbedding(random_state=seed).fit(inputs[rows], labels).transform(inputs)


def by_rows(inputs: np.ndarray, rows: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Return the frozen rows, centred, at unit length."""
    return unit(inputs - inputs[rows].mean(axis=0))


def by_head(inputs: np.ndarray, rows: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Train a head on some rows; return the embeddings of all."""
    centred = inputs - inputs[rows].mean(axis=0)
    embedding = MetricEmbedding(HEAD_DIM, steps=HEAD_STEPS, random_state=seed)
    return embedding.fit(centred[rows], labels).transform(centred)


Learn = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
WAYS: dict[str, tuple[Learn, int]] = {
    "frozen": (by_rows, 5),
    "head": (by_head, 5),
    "scratch": (by_scratch, 3),
}


def scores(
    asked: np.ndarray, known: np.ndarray, labels: np.ndarray, pool: np.ndarray
) -> dict[str, np.ndarray]:
    """Return how familiar some embeddings look, by several measures."""
    cosines = asked @ known.T
    ordered = -np.sort(-cosines, axis=1)
    of_class = np.stack([cosines[:, labels == label].max(axis=1) for label in np.unique(labels)], axis=1)
    best = -np.sort(-of_class, axis=1)
    return {
        "nearest": ordered[:, 0],
        "mean of 5": ordered[:, :5].mean(axis=1),
        "margin": best[:, 0] - best[:, 1],
        "pool": (asked @ pool.T).max(axis=1),
    }


def measure(case: Case, way: str, left_out: np.ndarray, draw: int) -> dict[str, dict[str, float]]:
    """Leave some classes out; return for each score, in percent, what is called unknown."""
    learn, folds = WAYS[way]
    outside = np.isin(case.classes, left_out)
    inside = np.flatnonzero(~outside)
    pool, test = train_test_split(
        inside, test_size=TEST_SHARE, stratify=case.classes[inside], random_state=draw
    )
    labels = scarce_labels(case.classes[pool], BUDGET, draw)
    held: dict[str, list[np.ndarray]] = {}
    for stay, leave in stratified_folds(labels, folds, draw):
        rest = np.setdiff1d(np.arange(len(pool)), leave)
        vectors = learn(case.inputs[pool], rest, labels[rest], draw)
        for name, found in scores(vectors[leave], vectors[stay], labels[stay], vectors[rest]).items():
            held.setdefault(name, []).append(found)
    vectors = learn(case.inputs, pool, labels, draw)
    known = labels >= 0
    familiar = partial(scores, known=vectors[pool[known]], labels=labels[known], pool=vectors[pool])
    ours, strangers = familiar(vectors[test]), familiar(vectors[outside])
    truth = np.repeat([0, 1], [len(test), outside.sum()])
    found = {}
    for name, parts in held.items():
        threshold = conformal_threshold(np.concatenate(parts), SHARE)
        found[name] = {
            "strangers called unknown": 100 * float((strangers[name] < threshold).mean()),
            "known called unknown": 100 * float((ours[name] < threshold).mean()),
            "AUROC": 100 * float(roc_auc_score(truth, -np.concatenate([ours[name], strangers[name]]))),
        }
    return found


def measure_groups(make: Callable[[int], Case], way: str, draw: int) -> list[dict[str, dict[str, float]]]:
    """Leave out one group of classes after another."""
    case = make(draw)
    return [measure(case, way, group, draw) for group in case.groups]


def main() -> None:
    """Run what is not done yet."""
    parser = command_line(__doc__, "omniglot", "trashnet")
    parser.add_argument("--draws", nargs="*", type=int, default=DRAWS)
    given = parser.parse_args()
    cases: list[tuple[str, str, Callable[[int], Case]]] = [("digits", "scratch", digits)]
    if given.omniglot:
        cases.insert(0, ("Omniglot", "scratch", partial(characters, given.omniglot)))
    if given.trashnet:
        cases[:0] = [("TrashNet", way, partial(waste, given.trashnet)) for way in ("frozen", "head")]
    ledger = Ledger("unknown", "sets", given.fresh, {"protocol": PROTOCOL})
    for draw in given.draws:
        for data, way, make in cases:
            if ledger.has([f"{data}, {way}"], draw):
                continue
            runs, seconds = timed(partial(measure_groups, make, way, draw))
            entry = ledger.at([f"{data}, {way}"])
            for name in runs[0]:
                for what in runs[0][name]:
                    mean = float(np.mean([run[name][what] for run in runs]))
                    entry.setdefault(name, {}).setdefault(what, []).append(round(mean, 2))
            entry.setdefault("draws", []).append(draw)
            entry.setdefault("cpu_seconds", []).append(round(seconds, 1))
            ledger.write()
            print(f"draw {draw}  {data}, {way}  {runs[0]['nearest']}", flush=True)


if __name__ == "__main__":
    main()
