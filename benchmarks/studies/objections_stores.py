"""Objections to what notebooks 5 to 9 say about stores and neighbours: see `objections.py`."""

from functools import partial

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import NearestNeighbors
from torchvision.transforms.functional import InterpolationMode, rotate

from benchmarks import poisoning
from benchmarks.common import DRAWS, read_results, unit
from benchmarks.digits import POOL, TEST, rows
from benchmarks.label_errors import K_METRIC, flipped
from benchmarks.new_classes import class_means, features, new_rows, old_labels, spread_again
from benchmarks.studies.objections_encoders import budget, network, split_encoder, usual, without_new_digits
from benchmarks.studies.objections_training import Claim, Table
from metriclearn import MetricEmbedding
from metriclearn.augment import random_affine
from metriclearn.curation import near_duplicates
from metriclearn.training import predict_logits
from metriclearn.unknown import unknown_threshold

COPIES, CALIBRATION, HALVES = 200, 500, 50
NEIGHBOURS, TEMPERATURE = 5, 0.1  # QdrantClassifier's defaults
COMPONENTS = [8, 32, 128]
FOLDS = 3


# Near-duplicates that do not lie where their originals do.


def changed(source: np.ndarray, draw: int) -> dict[str, np.ndarray]:
    """Return copies of images, changed in each way."""
    images, random = torch.as_tensor(source), torch.Generator().manual_seed(draw)
    slight = random_affine(images, random, degrees=2, translate=0, scale=0.02, shear=2)
    return {
        "turned and sheared by up to 2 degrees": slight.numpy(),
        "moved by one pixel": np.roll(source, 1, axis=3),
        "moved by two pixels": np.roll(source, 2, axis=3),
        "turned by 10 degrees": rotate(images, 10, InterpolationMode.BILINEAR).numpy(),
        "dimmed to 0.6": source * np.float32(0.6),
        "under a grey veil, 0.2 + 0.6 x": np.float32(0.2) + source * np.float32(0.6),
    }


def duplicates(draw: int) -> Table:
    """Plant 200 copies in the pool, and count those among the 200 closest pairs."""
    originals = np.random.default_rng(draw).choice(len(POOL.pixels), COPIES, replace=False)
    planted = set(zip(originals.tolist(), range(len(POOL.pixels), len(POOL.pixels) + COPIES), strict=True))

    def recall(points: np.ndarray) -> float:
        pairs = near_duplicates(points, threshold=0.5, k=20)[0][:COPIES]
        return 100 * sum(tuple(pair) in planted for pair in pairs.tolist()) / COPIES

    found = {}
    for way, images in changed(POOL.pixels[originals], draw).items():
        crowd = np.concatenate([POOL.pixels, images])
        pixels, embedding = recall(rows(crowd)), recall(usual(draw).transform(crowd))
        found[way] = {"pixels": pixels, "embedding": embedding, "embedding minus pixels": embedding - pixels}
    return found


# A gallery that the encoder has never met.


def gallery(draw: int) -> Table:
    """Ask with the test images: in the pool, in as many of its images as there are held out, and in those."""
    some = np.random.default_rng(draw).choice(len(POOL), len(TEST) - 1, replace=False)
    spaces = {
        "embedding": (usual(draw).transform(POOL.pixels), usual(draw).transform(TEST.pixels)),
        "pixels": (rows(POOL.pixels), rows(TEST.pixels)),
    }
    found: Table = {}
    for space, (pool, test) in spaces.items():
        asked = [
            ("the pool, 4,000", pool, POOL.labels, test),
            ("999 images of the pool", pool[some], POOL.labels[some], test),
            ("the 999 other test images", test, TEST.labels, None),  # None: each asks for its others
        ]
        for name, stored, labels, queries in asked:
            search = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(stored)
            nearest = search.kneighbors(queries, return_distance=False)
            share = 100 * np.mean(labels[nearest] == TEST.labels[:, None])
            found.setdefault(name, {})[f"right of five, by {space}, %"] = float(share)
    return found


# Whom the threshold rejects.


def rejects(draw: int) -> Table:
    """Set 500 test images aside, many times, and count whom the threshold rejects of the others."""
    known = budget(draw) >= 0
    stored, asked = (usual(draw).transform(pixels) for pixels in (POOL.pixels[known], TEST.pixels))
    best, random = (asked @ stored.T).max(axis=1), np.random.default_rng(draw)
    shares = []
    for _ in range(HALVES):
        mixed = random.permutation(len(asked))
        aside, judges = mixed[:CALIBRATION], mixed[CALIBRATION:]
        rejected = best < unknown_threshold(stored, asked[aside])
        by_digit = [rejected[judges][TEST.labels[judges] == digit].mean() for digit in range(10)]
        shares.append([rejected[judges].mean(), *by_digit])
    mean = 100 * np.mean(shares, axis=0)
    names = ["all digits", *(f"digit {digit}" for digit in range(10))]
    found = {name: {"rejected, %": value} for name, value in zip(names, mean, strict=True)}
    found["all digits"]["standard deviation over halves, points"] = float(100 * np.std(shares, axis=0)[0])
    found["most rejected digit"] = {"rejected, %": mean[1:].max()}
    found["least rejected digit"] = {"rejected, %": mean[1:].min()}
    return found


# The layer before the last, in fewer numbers.


def layer(draw: int) -> Table:
    """Spread five labels of each new digit over the pool, in ever fewer numbers of the layer before."""
    encoder, labels = without_new_digits(draw), old_labels(draw)
    examples = new_rows(draw, 5)
    labels[examples] = POOL.labels[examples]
    pool, test = (features(encoder.encoder_, images.pixels) for images in (POOL, TEST))
    views = {
        "embedding, 32 numbers": (encoder.transform(POOL.pixels), encoder.transform(TEST.pixels)),
        "layer before, 2,048 numbers": (pool, test),
    }
    for fitted, images in {"old digits only": POOL.labels < 7, "the whole pool": POOL.labels >= 0}.items():
        pca = PCA(max(COMPONENTS), svd_solver="covariance_eigh").fit(pool[images])
        in_pool, in_test = pca.transform(pool), pca.transform(test)
        for n in COMPONENTS:
            name = f"its first {n} components, fitted on {fitted}"
            views[name] = unit(in_pool[:, :n]), unit(in_test[:, :n])
    found = {}
    for name, (stored, asked) in views.items():
        figures = spread_again(stored, labels, asked)
        found[name] = {"new": figures["new"], "old": figures["old"]}
    return found


# Open set: accuracy and rejection in one measure.


def open_set(scores: np.ndarray, right: np.ndarray, strange: np.ndarray) -> dict[str, float]:
    """Return how well scores (high = known) keep strangers out, and right answers in, in percent.

    OSCR is the area under the share of known images answered rightly, over the share of strangers let in,
    for all thresholds (Dhamija et al. 2018, https://arxiv.org/abs/1811.04110): the chance that a known
    image is answered rightly and scores higher than a stranger.

    Args:
        scores: float, shape `(n,)`.
        right: bool, shape `(n,)`: whether the answer is right.
        strange: bool, shape `(n,)`: whether the image is of an unknown kind.
    """
    known, unknown = scores[~strange][:, None], scores[strange]
    wins = (known > unknown).mean(axis=1) + (known == unknown).mean(axis=1) / 2
    cut = np.sort(scores[~strange])[int(0.05 * len(known))]
    return {
        "accuracy on known, %": 100 * float(right[~strange].mean()),
        "AUROC, %": 100 * float(roc_auc_score(~strange, scores)),
        "strangers let in at 5 % rejects, %": 100 * float(np.mean(unknown >= cut)),
        "OSCR, %": 100 * float((wins * right[~strange]).mean()),
    }


def known_and_strange(draw: int, embedding: MetricEmbedding, known: tuple[int, ...]) -> Table:
    """Return the open-set figures of each score, for an encoder that has met some digits only."""
    stored_rows = np.flatnonzero(np.isin(budget(draw), known))
    stored, asked = (embedding.transform(pixels) for pixels in (POOL.pixels[stored_rows], TEST.pixels))
    logits = torch.as_tensor(predict_logits(network(draw, known), TEST.pixels)).double()
    means, classes = class_means(stored, POOL.labels[stored_rows])
    nearest, central = asked @ stored.T, asked @ unit(means).T
    by_network = np.array(known)[logits.argmax(dim=1).numpy()]
    answers = {
        "embedding, nearest cosine": (
            nearest.max(axis=1),
            POOL.labels[stored_rows][nearest.argmax(axis=1)],
        ),
        "embedding, nearest class mean": (central.max(axis=1), classes[central.argmax(axis=1)]),
        "CNN, largest softmax": (logits.softmax(dim=1).amax(dim=1).numpy(), by_network),
        "CNN, largest logit": (logits.amax(dim=1).numpy(), by_network),
        "CNN, energy": (logits.logsumexp(dim=1).numpy(), by_network),
    }
    strange = ~np.isin(TEST.labels, known)
    return {
        name: open_set(scores, predicted == TEST.labels, strange)
        for name, (scores, predicted) in answers.items()
    }


def old_split(draw: int) -> Table:
    """Take the split of notebook 8: the digits 0 to 6 are known."""
    return known_and_strange(draw, without_new_digits(draw), tuple(range(7)))


def other_splits(draw: int) -> Table:
    """Take seven digits at random: another seven, and other labels, for each draw."""
    known = tuple(sorted(np.random.default_rng(draw).permutation(10)[:7].tolist()))
    return known_and_strange(draw, split_encoder(draw, known), known)


# Machine labels, with other votes.


def votes(draw: int) -> Table:
    """Ask each store of `poisoning.py` by each vote."""
    made = poisoning.stores(draw, without_new_digits(draw))
    asked, truth = made.test[500:], TEST.labels[500:]
    found: Table = {}
    for way, stored in made.ways.items():
        kept = stored >= 0
        vectors, labels = made.pool[kept], stored[kept]
        cosine = asked @ vectors.T
        nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :NEIGHBOURS]
        one_hot = np.eye(10)[labels[nearest]]  # (questions, neighbours, classes)
        weights = np.exp(np.take_along_axis(cosine, nearest, axis=1) / TEMPERATURE)
        means, classes = class_means(vectors, labels)
        predicted = {
            "plain vote of five": one_hot.sum(axis=1).argmax(axis=1),
            "weighted vote of five": (one_hot * weights[..., None]).sum(axis=1).argmax(axis=1),
            "nearest class mean": classes[(asked @ unit(means).T).argmax(axis=1)],
        }
        for vote, answers in predicted.items():
            right = answers == truth
            old, new = (
                100 * float(right[part].mean()) for part in (truth < poisoning.OLD, truth >= poisoning.OLD)
            )
            alone = found.get(f"people only; {vote}", {"old": old, "new": new})
            found[f"{way}; {vote}"] = {
                "old": old,
                "new": new,
                "old minus people only": old - alone["old"],
                "new minus people only": new - alone["new"],
            }
    return found


# Wrong labels: an embedding that has not met the label which it judges.


def cross_fitted(labels: np.ndarray, draw: int) -> np.ndarray:
    """Return each image's suspicion, by neighbours and encoders that know other folds only."""
    scores = np.zeros(len(labels))
    for learn, ask in StratifiedKFold(FOLDS, shuffle=True, random_state=draw).split(POOL.pixels, labels):
        embedding = MetricEmbedding(random_state=draw, pseudo_labels=False).fit(
            POOL.pixels[learn], labels[learn]
        )
        stored, asked = (embedding.transform(POOL.pixels[part]) for part in (learn, ask))
        cosine = asked @ stored.T
        nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :K_METRIC]
        weights = np.exp((np.take_along_axis(cosine, nearest, axis=1) - 1) / TEMPERATURE)
        agree = labels[learn][nearest] == labels[ask][:, None]
        scores[ask] = 1 - (weights * agree).sum(axis=1) / weights.sum(axis=1)
    return scores


def wrong_labels(share: str, draw: int) -> Table:
    """Rank flipped labels by a cross-fitted embedding, beside what `label_errors.py` measured."""
    labels, wrong = flipped(float(share), draw)
    suspects = np.argsort(-cross_fitted(labels, draw), kind="stable")[: len(wrong)]
    recorded = read_results("label_errors")
    at = recorded["draws"].index(draw)
    found = {
        name: {"precision, %": recorded["methods"][name][share]["precision"][at]}
        for name in ("cleanlab, supervised CNN", "neighbours in the metric embedding")
    }
    found["neighbours in a cross-fitted embedding"] = {
        "precision, %": 100 * float(np.isin(suspects, wrong).mean())
    }
    return found


# What to label next: draw by draw.


def bought(draw: int) -> Table:
    """Return what `active_learning.py` measured in one draw."""
    found: Table = {}
    for strategy, indexes in read_results("active_learning")["strategies"].items():
        for labels, entry in indexes["pool index"].items():
            at = entry["draws"].index(draw)
            found.setdefault(strategy, {})[f"{labels} labels"] = entry["accuracy"][at]
    return found


def _wrong(share: str) -> Claim:
    setting = (
        f"{float(share):.0%} of 4,000 labels wrong; {FOLDS} folds; the {K_METRIC} nearest of the other folds "
        "vote; the other lines are those of label_errors.json, same labels"
    )
    return Claim(setting, "cleanlab, supervised CNN", partial(wrong_labels, share), DRAWS)


HALF = "encoders trained in 300 steps, half of the default"
OPEN_SET = (
    "10 labels per known digit; no image of a strange one in the pool; 1,000 test images; "
    f"{HALF}, the CNN in its 600; "
)
FIVE_VOTES = "the stores of poisoning.py, 5 examples of each new digit, the second 500 test images; "
BOUGHT = "active_learning.json, 5-NN over the pool; minus: draw by draw, at the same budget"

CLAIMS = {
    "bought": Claim(BOUGHT, "random", bought, DRAWS),
    "bought, beside a balanced choice": Claim(BOUGHT, "balanced random", bought, DRAWS),
    "duplicates": Claim(
        f"{COPIES} changed copies planted in the pool; recall in the first {COPIES} pairs, %, by cosine; "
        "MetricEmbedding's defaults, 10 labels per class",
        "",
        duplicates,
        DRAWS,
    ),
    "gallery": Claim(
        "MetricEmbedding's defaults, 10 labels per class, trained on the pool; the 1,000 test images ask",
        "999 images of the pool",
        gallery,
        DRAWS,
    ),
    "rejects": Claim(
        "MetricEmbedding's defaults, 10 labels per class; threshold at 5 % from "
        f"{CALIBRATION} test images, the others judge; mean of {HALVES} halves",
        "all digits",
        rejects,
        DRAWS,
    ),
    "layer": Claim(
        f"the closed pool of new_classes.py, {HALF}; five labels of each new digit spread over the "
        "whole pool, 5-NN",
        "layer before, 2,048 numbers",
        layer,
        DRAWS,
    ),
    "votes": Claim(f"{FIVE_VOTES}{HALF}", "", votes, DRAWS),
    "open set, 0 to 6": Claim(f"{OPEN_SET}0 to 6 known", "CNN, largest softmax", old_split, DRAWS),
    "open set, five splits": Claim(
        f"{OPEN_SET}seven digits known, chosen at random in each draw",
        "CNN, largest softmax",
        other_splits,
        DRAWS,
    ),
    "wrong labels, 5 %": _wrong("0.05"),
    "wrong labels, 2 %": _wrong("0.02"),
    "wrong labels, 10 %": _wrong("0.10"),
}
