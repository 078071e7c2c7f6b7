"""Photographs with few labels on a small pretrained backbone: what each way to use it is worth.

* ELPV: 2,624 solar cells, with a defect or without; the cells that the experts doubted lie in the pool,
  unlabelled (Deitsch et al. 2019, https://doi.org/10.1016/j.solener.2019.02.067). It comes as a package;
* TrashNet: 2,527 pictures of waste, six classes (https://github.com/garythung/trashnet), where its folder is.

Every method sees the same draws. A draw sets 22 % of the pictures aside to judge by, each class with its
share; of the others so many per class have a label. The backbone's features are computed once and kept.

    python -m benchmarks.photographs --trashnet FOLDER
    python -m benchmarks.photographs --budgets 10 50 --ways "head + pool"   # a part of it
"""

import hashlib
import resource
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from elpv_dataset.utils import load_dataset
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split

from benchmarks.common import DRAWS, Ledger, command_line, unit
from benchmarks.digits import rows
from metriclearn import MetricEmbedding, scarce_labels
from metriclearn.backbones import LITE0, LITE2, Backbone, as_backbone, load_backbone
from metriclearn.cross_validation import predict_by_neighbours
from metriclearn.files import cache_folder, cached_array
from metriclearn.finetune import features_of
from metriclearn.label_propagation import spread_labels
from metriclearn.model_selection import choose_method, logistic_regression
from metriclearn.photos import downscale, read_photographs

BUDGETS = [1, 5, 10, 20, 50]
TEST_SHARE = 0.22
TUNED_POOL = 400  # unlabelled pictures beside the labelled ones where the backbone itself is tuned
DEAR = {  # what takes minutes each time: at which budgets, on how many draws
    "choose_method's pick": ([10, 50], 3),
    "from scratch, 1-NN": ([10], 3),
    "last part tuned, 1-NN": ([10], 3),
}
PROTOCOL = {
    "draws": "test pictures, labelled pictures and the training seed of draw s all come from seed s",
    "test": "22 % of the pictures, drawn anew for each draw, each class with its share",
    "backbone": "EfficientNet-Lite0, frozen unless said otherwise; whole pictures at their own shape, "
    "224 pixels at the shorter side; rows of 1,280 numbers",
    "squeezed": "whole pictures, squeezed to 224 x 224; that they keep their shape was chosen on draws 100 "
    "to 104",
    "Lite2": "EfficientNet-Lite2 instead, 260 pixels at the shorter side; or its rows beside Lite0's",
    "edges cut": "of these squares the middle 7/8 of each side, as at ImageNet's tests",
    "ELPV": "0 against 1; the 401 cells with 1/3 and 2/3 are in the pool, unlabelled; drawn by cell, not by "
    "module, as the modules are not named",
    "raw pixels": "64 at the shorter side",
    "frozen": "rows minus the pool's mean, at unit length; 1 neighbour",
    "logistic regression": "C = 1, on the rows as they are",
    "label spreading": "spread_labels on the frozen rows, then the vote of 5 neighbours over the pool",
    "head": "MetricEmbedding's defaults on the rows; 1 neighbour among the labelled, or, + pool, the vote of "
    "5 neighbours over the pool with spread labels",
    "without the pool": "pseudo_labels=False; the mean over the pool is still taken away",
    "choose_method": "judges frozen, logistic and head by cross-validation on the labelled pictures; its "
    "pick is credited with what that way reached on the test pictures",
    "from scratch": "MetricEmbedding's defaults at 64 pixels; 1 neighbour",
    "last part tuned": f"tune='last', with {TUNED_POOL} unlabelled pictures instead of the whole pool; "
    "1 neighbour",
    "AUROC": "of the probability, or of the cosine to the nearest stored picture of class 1 minus that of "
    "class 0",
    "cpu_seconds": "of all that the method needs beyond the rows",
}


class Photographs:
    """Pictures, their classes (-1 = not certain), and what is computed of them once.

    Args:
        name: what the set is called.
        images: uint8, shape `(n, channels, height, width)`.
        classes: int64, shape `(n,)`.
        aspect: width over height of the pictures before they were squeezed to squares.
    """

    def __init__(self, name: str, images: np.ndarray, classes: np.ndarray, aspect: float) -> None:
        self.name, self.images, self.classes, self.aspect = name, images, classes, aspect
        self.looking = 0.0  # CPU seconds that a backbone's rows took

    @cached_property
    def small(self) -> np.ndarray:
        """All pictures with 64 pixels at the shorter side, uint8."""
        return downscale(self.images, 64)

    @cached_property
    def features(self) -> np.ndarray:
        """The features of the backbone, which sees whole pictures, float32 of shape `(n, 1280)`."""
        return self._kept(as_backbone(LITE0, aspect=self.aspect))

    @cached_property
    def features_of_lite2(self) -> np.ndarray:
        """The features of a larger backbone."""
        return self._kept(as_backbone(LITE2, aspect=self.aspect))

    @property
    def features_of_both(self) -> np.ndarray:
        """The features of both side by side, float32 of shape `(n, 2560)`."""
        return np.concatenate([self.features, self.features_of_lite2], axis=1)

    @cached_property
    def features_of_squares(self) -> np.ndarray:
        """Its features if it sees whole pictures, squeezed to squares."""
        return self._kept(as_backbone(LITE0, aspect=1))

    @cached_property
    def features_of_the_middle(self) -> np.ndarray:
        """Its features if it sees the middle of each square, as it did in training."""
        return self._kept(load_backbone(LITE0))

    def _kept(self, backbone: Backbone) -> np.ndarray:
        digest = hashlib.sha256(self.images).hexdigest()[:16]
        path, start = cache_folder() / "rows" / f"{backbone.fingerprint}-{digest}.npy", time.process_time()
        rows = cached_array(path, lambda: features_of(backbone, self.images))
        self.looking += time.process_time() - start
        return rows


def elpv() -> Photographs:
    """Return the solar cells: class 1 has a defect, class 0 has none, -1 is what the experts doubted."""
    images, probability, _ = load_dataset()
    classes = np.where(np.isin(probability, (0, 1)), probability, -1).astype(np.int64)
    return Photographs("ELPV", np.ascontiguousarray(images[:, None]), classes, aspect=1)


def trashnet(folder: Path) -> Photographs:
    """Return the pictures of waste, squeezed to squares of 256 pixels."""
    photographs = read_photographs(folder, cache="build")
    return Photographs("TrashNet", photographs.pixels, photographs.labels, photographs.aspect)


class Trial(NamedTuple):
    """One draw: which pictures are in the pool, their labels, and which are judged."""

    data: Photographs
    pool: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    draw: int

    @property
    def known(self) -> np.ndarray:
        """Which pictures of the pool have a label."""
        return self.labels >= 0

    def centred(self, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return features, by default the backbone's, of pool and test pictures, minus the pool's mean."""
        rows = self.data.features if rows is None else rows
        pool, test = rows[self.pool], rows[self.test]
        return pool - pool.mean(axis=0), test - pool.mean(axis=0)


def trial(data: Photographs, budget: int, draw: int) -> Trial:
    """Return one draw."""
    certain = np.flatnonzero(data.classes >= 0)
    learn, test = train_test_split(
        certain, test_size=TEST_SHARE, stratify=data.classes[certain], random_state=draw
    )
    pool = np.concatenate([learn, np.flatnonzero(data.classes < 0)])
    return Trial(data, pool, scarce_labels(data.classes[pool], budget, draw), test, draw)


class Said(NamedTuple):
    """What a method says of the test pictures, and a score for class 1 where there are two classes."""

    labels: np.ndarray
    score: np.ndarray | None = None


def by_neighbours(known: np.ndarray, labels: np.ndarray, asked: np.ndarray, k: int = 1) -> Said:
    """Let the nearest k stored vectors vote; the score compares the nearest of class 1 and of class 0."""
    known, asked = unit(known), unit(asked)
    cosine = asked @ known.T
    if len(np.unique(labels)) == 2:
        score = cosine[:, labels == 1].max(axis=1) - cosine[:, labels == 0].max(axis=1)
    else:
        score = None
    return Said(predict_by_neighbours(known, labels, asked, k).labels, score)


def raw_pixels(of: Trial) -> dict[str, Said]:
    """Compare pictures pixel by pixel."""
    pool, test = (rows(of.data.small[part]).astype(np.float32) for part in (of.pool, of.test))
    return {"raw pixels, 1-NN": by_neighbours(pool[of.known], of.labels[of.known], test)}


def frozen(of: Trial) -> dict[str, Said]:
    """Compare the backbone's features."""
    pool, test = of.centred()
    return {"frozen, 1-NN": by_neighbours(pool[of.known], of.labels[of.known], test)}


def linear(of: Trial) -> dict[str, Said]:
    """Fit a linear classifier to the backbone's features."""
    return {"logistic regression": by_logistic(of, of.data.features)}


def linear_on_squares(of: Trial) -> dict[str, Said]:
    """Fit the same to features of squeezed pictures."""
    return {"logistic regression, squeezed": by_logistic(of, of.data.features_of_squares)}


def linear_on_the_middle(of: Trial) -> dict[str, Said]:
    """Fit the same to features of the middle of each picture."""
    return {"logistic regression, edges cut": by_logistic(of, of.data.features_of_the_middle)}


def linear_on_lite2(of: Trial) -> dict[str, Said]:
    """Fit the same to the features of a larger backbone."""
    return {"logistic regression, Lite2": by_logistic(of, of.data.features_of_lite2)}


def linear_on_both(of: Trial) -> dict[str, Said]:
    """Fit the same to the features of both."""
    return {"logistic regression, Lite0 and Lite2": by_logistic(of, of.data.features_of_both)}


def by_logistic(of: Trial, rows: np.ndarray) -> Said:
    """Fit logistic regression to the labelled rows; the score is the probability of class 1."""
    pool, test = rows[of.pool], rows[of.test]
    model: LogisticRegression = logistic_regression(pool[of.known], of.labels[of.known])
    return Said(model.predict(test), model.predict_proba(test)[:, 1])


def spreading(of: Trial) -> dict[str, Said]:
    """Spread the labels over the graph of the backbone's features."""
    pool, test = map(unit, of.centred())
    return {"label spreading": by_neighbours(pool, spread_labels(pool, of.labels)[0], test, 5)}


def head(of: Trial) -> dict[str, Said]:
    """Train a head on the features, and classify with the labelled pictures or with the whole pool."""
    alone, pooled = by_head(of, of.data.features)
    return {"head, 1-NN": alone, "head + pool": pooled}


def head_without_the_pool(of: Trial) -> dict[str, Said]:
    """Train the head on the labelled pictures alone."""
    return {"head without the pool, 1-NN": by_head(of, of.data.features, pseudo_labels=False)[0]}


def head_on_both(of: Trial) -> dict[str, Said]:
    """Train the same on the features of two backbones."""
    alone, pooled = by_head(of, of.data.features_of_both)
    return {"head, 1-NN, Lite0 and Lite2": alone, "head + pool, Lite0 and Lite2": pooled}


def by_head(of: Trial, rows: np.ndarray, pseudo_labels: bool = True) -> tuple[Said, Said]:
    """Return what a head on these features says with the labelled pictures, and with the whole pool."""
    pool, test = of.centred(rows)
    embedding = MetricEmbedding(pseudo_labels=pseudo_labels, random_state=of.draw).fit(pool, of.labels)
    stored, asked = embedding.transform(pool), embedding.transform(test)
    return (
        by_neighbours(stored[of.known], of.labels[of.known], asked),
        by_neighbours(stored, spread_labels(stored, of.labels)[0], asked, 5),
    )


class KnownRows(torch.nn.Module):
    """A backbone for pictures whose features are known: these rows come in their place, in [0, 1]."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = torch.nn.Buffer(torch.tensor(scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features as they were."""
        return x.flatten(1) * self.scale


PICKS = {"frozen": frozen, "logistic": linear, "head": head}


def chosen(of: Trial) -> dict[str, Said]:
    """Let the labelled pictures themselves choose among the ways that need the features alone."""
    pool, scale = of.data.features[of.pool], float(of.data.features.max())
    choice = choose_method(
        (pool / scale)[:, None, None, :],
        of.labels,
        backbone=KnownRows(scale),
        methods=list(PICKS),
        random_state=of.draw,
    )
    print(choice, flush=True)
    return {"choose_method's pick": next(iter(PICKS[choice.winner](of).values()))}


def scratch(of: Trial) -> dict[str, Said]:
    """Train the small network on small pictures, without the backbone."""
    small, known = of.data.small, of.known
    embedding = MetricEmbedding(random_state=of.draw).fit(small[of.pool], of.labels)
    stored, asked = embedding.transform(small[of.pool[known]]), embedding.transform(small[of.test])
    return {"from scratch, 1-NN": by_neighbours(stored, of.labels[known], asked)}


def tuned(of: Trial) -> dict[str, Said]:
    """Tune the backbone's last part."""
    random, images, known = np.random.default_rng(of.draw), of.data.images, of.known
    others = random.choice(np.flatnonzero(~known), TUNED_POOL, replace=False)
    part = np.sort(np.concatenate([np.flatnonzero(known), others]))
    network = as_backbone(LITE0, aspect=of.data.aspect)
    embedding = MetricEmbedding(backbone=network, tune="last", random_state=of.draw)
    embedding.fit(images[of.pool[part]], of.labels[part])
    stored, asked = embedding.transform(images[of.pool[known]]), embedding.transform(images[of.test])
    return {"last part tuned, 1-NN": by_neighbours(stored, of.labels[known], asked)}


# Each under the last name that it gives: with that one written, all of its results are.
METHODS: dict[str, Callable[[Trial], dict[str, Said]]] = {
    "raw pixels, 1-NN": raw_pixels,
    "frozen, 1-NN": frozen,
    "logistic regression": linear,
    "logistic regression, squeezed": linear_on_squares,
    "logistic regression, edges cut": linear_on_the_middle,
    "logistic regression, Lite2": linear_on_lite2,
    "logistic regression, Lite0 and Lite2": linear_on_both,
    "label spreading": spreading,
    "head + pool": head,
    "head without the pool, 1-NN": head_without_the_pool,
    "head + pool, Lite0 and Lite2": head_on_both,
    "choose_method's pick": chosen,
    "from scratch, 1-NN": scratch,
    "last part tuned, 1-NN": tuned,
}


def measures(said: Said, truth: np.ndarray) -> dict[str, float]:
    """Return what is measured beside accuracy where there are two classes, in percent."""
    if said.score is None or len(np.unique(truth)) > 2:
        return {}
    return {
        "auroc": 100 * float(roc_auc_score(truth, said.score)),
        "balanced_accuracy": 100 * float(balanced_accuracy_score(truth, said.labels)),
    }


NEW_EXAMPLES, NEIGHBOURS = 5, 10


def spaces(of: Trial, left_out: int) -> dict[str, dict[str, float]]:
    """Return what the frozen features and the head's embeddings are worth beyond accuracy, in percent.

    The head of "left out" and of "new class" has met no picture of one class; of that class, five examples
    are then stored.
    """
    truth, classes = of.data.classes[of.test], of.data.classes[of.pool]
    pool, test = of.centred()
    inside = (classes != left_out) & (classes >= 0)
    labels = of.labels[inside]
    random = np.random.default_rng(of.draw)
    examples = random.choice(np.flatnonzero(classes == left_out), NEW_EXAMPLES, replace=False)
    whole = MetricEmbedding(random_state=of.draw).fit(pool, of.labels)
    without = MetricEmbedding(random_state=of.draw).fit(pool[inside], labels)
    found = {}
    for name, see, see_new in (
        ("frozen", unit, unit),
        ("head", whole.transform, without.transform),
    ):
        nearest = predict_by_neighbours(see(pool), classes, see(test), NEIGHBOURS).nearest
        stored, asked = see_new(pool[inside][labels >= 0]), see_new(test)
        similarity = predict_by_neighbours(stored, labels[labels >= 0], asked, 1).similarity
        more = np.concatenate([stored, see_new(pool[examples])])
        said = predict_by_neighbours(
            more, np.append(labels[labels >= 0], [left_out] * NEW_EXAMPLES), asked, 1
        ).labels
        found[name] = {
            "neighbours of the right class": 100 * float((classes[nearest] == truth[:, None]).mean()),
            "AUROC of a class left out": 100 * float(roc_auc_score(truth == left_out, -similarity)),
            "recall of a new class, five examples": 100 * float((said == truth)[truth == left_out].mean()),
            "accuracy with the new class": 100 * float((said == truth).mean()),
        }
    return found


def main() -> None:
    """Run what is not done yet."""
    parser = command_line(__doc__, "trashnet")
    parser.add_argument("--budgets", nargs="*", type=int, default=BUDGETS, help="labels per class")
    parser.add_argument("--ways", nargs="*", default=list(METHODS), help="methods to run, of those below")
    given = parser.parse_args()
    ledger = Ledger(
        "photographs", "sets", given.fresh, {"protocol": PROTOCOL, "budgets": BUDGETS, "draws": DRAWS}
    )
    speed = Ledger("photographs_speed", "rows", given.fresh, {"backbone": LITE0})
    sets = [elpv()] + ([trashnet(given.trashnet)] if given.trashnet else [])
    for data in sets:
        note_speed(speed, data)
    for budget in sorted(given.budgets, key=lambda n: n not in (10, 50)):  # the most important first
        for data in sets:
            for name in given.ways:
                budgets, draws = DEAR.get(name, (BUDGETS, len(DRAWS)))
                if name == "logistic regression, squeezed" and data.aspect == 1:
                    continue  # they are squares
                for draw in DRAWS[: draws if budget in budgets else 0]:
                    if not ledger.has([data.name, name, str(budget)], draw):
                        measure(ledger, trial(data, budget, draw), name, str(budget))
    for data in sets:
        if len(np.unique(data.classes[data.classes >= 0])) > 2:
            measure_spaces(data, given.fresh)


def measure(ledger: Ledger, of: Trial, name: str, budget: str) -> None:
    """Run one method on one draw, and write what it reached."""
    start, before, truth = time.process_time(), of.data.looking, of.data.classes[of.test]
    results = METHODS[name](of)
    seconds = time.process_time() - start - (of.data.looking - before)
    for each, said in results.items():
        accuracy = 100 * float((said.labels == truth).mean())
        ledger.add([of.data.name, each, budget], of.draw, accuracy, seconds, **measures(said, truth))


def note_speed(ledger: Ledger, data: Photographs) -> None:
    """Compute the features, and write how long it took and how much memory, unless they are there."""
    data.features  # noqa: B018 (computed at first sight)
    seconds = data.looking
    if data.name not in ledger.results["rows"] and seconds > 10:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        ledger.results["rows"][data.name] = {
            "images": len(data.images),
            "cpu_seconds": round(seconds, 1),
            "peak memory in GiB": round(peak, 2),
        }
        ledger.write()


def measure_spaces(data: Photographs, fresh: bool) -> None:
    """Write what the space gives with ten labels per class; draw s leaves out class s."""
    ledger = Ledger("photographs_space", data.name, fresh, {"budget": 10, "draws": DRAWS})
    place = ledger.results[data.name]
    for draw in DRAWS:
        if draw not in place.setdefault("draws", []):
            for name, values in spaces(trial(data, 10, draw), draw).items():
                for what, value in values.items():
                    place.setdefault(name, {}).setdefault(what, []).append(round(value, 2))
            place["draws"].append(draw)
            ledger.write()
            print(f"draw {draw}  the space of {data.name}", flush=True)


if __name__ == "__main__":
    main()
