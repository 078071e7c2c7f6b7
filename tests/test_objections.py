"""The answers to objections: the committed figures follow from their draws; what they rest on is right."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import auc

from benchmarks.common import read_results
from benchmarks.studies.objections_stores import open_set
from benchmarks.studies.objections_training import among_copies, mined
from metriclearn.losses import supervised_contrastive_loss, triplet_loss
from metriclearn.metrics import t_interval

FILES = ("objections", "strangers", "controls")
ANSWERS = {f"{file}: {claim}": entry for file in FILES for claim, entry in read_results(file).items()}


@pytest.mark.parametrize("claim", ANSWERS)
def test_means_and_intervals_follow_from_the_draws(claim):
    entry = ANSWERS[claim]
    assert len(entry["draws"]) >= 5
    for line, figures in entry["lines"].items():
        for figure, found in figures.items():
            again = t_interval(found["values"])
            written = [found["mean"], *found["interval 95 %"], found["n"]]
            assert written == pytest.approx(
                [again.mean, again.low, again.high, len(entry["draws"])], abs=6e-4
            )
            for title in (title for title in entry if title.startswith("minus ")):
                usual = title.removeprefix("minus ").removesuffix(", draw by draw")
                if line != usual and figure in entry["lines"][usual]:
                    gap = np.subtract(found["values"], entry["lines"][usual][figure]["values"])
                    assert entry[title][line][figure]["values"] == pytest.approx(gap.tolist(), abs=2e-4)


@pytest.fixture
def batch():
    embeddings = F.normalize(torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    return embeddings, torch.arange(12) // 4


def test_choosing_both_apart_gives_the_package_s_losses(batch):
    hard, semi = (triplet_loss(*batch, 0.2, mining) for mining in ("hard", "semihard"))
    torch.testing.assert_close(mined(*batch, positive="hardest", negative="nearest"), hard)
    torch.testing.assert_close(mined(*batch, positive="all", negative="semi-hard"), semi)
    others = [mined(*batch, positive="all", negative="nearest")]
    others += [mined(*batch, positive="hardest", negative="semi-hard")]
    assert len({round(float(cost), 4) for cost in [hard, semi, *others]}) == 4


def test_without_copies_a_batch_is_as_if_each_image_met_one_copy_of_the_others(batch):
    embeddings, labels = (part.repeat_interleave(2, dim=0) for part in batch)
    by_hand = []
    for anchor in range(0, len(labels), 2):
        cosine = embeddings @ embeddings[anchor] / 0.1
        others = [j for j in range(len(labels)) if j // 2 != anchor // 2]
        chances = cosine - torch.logsumexp(cosine[others], dim=0)
        by_hand.append(-torch.stack([chances[j] for j in others if labels[j] == labels[anchor]]).mean())
    torch.testing.assert_close(
        among_copies(embeddings, labels, copies=False, others=True), torch.stack(by_hand).mean()
    )
    every = supervised_contrastive_loss(embeddings, labels)
    torch.testing.assert_close(among_copies(embeddings, labels, copies=True, others=True), every)


def test_oscr_is_the_area_under_its_curve():
    random = np.random.default_rng(0)
    scores, strange = random.normal(size=300), np.arange(300) % 3 == 0
    scores[~strange] += 1
    right = ~strange & (random.random(300) < 0.9)
    steps = np.sort(np.append(scores, np.inf))[::-1]
    let_in = [np.mean(scores[strange] >= step) for step in steps]
    answered = [np.mean((scores >= step)[~strange] & right[~strange]) for step in steps]
    found = open_set(scores, right, strange)
    assert found["OSCR, %"] == pytest.approx(100 * auc(let_in, answered), abs=1e-6)
    assert found["OSCR, %"] < found["AUROC, %"]
