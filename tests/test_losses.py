"""Every loss against a hand-written loop and against pytorch-metric-learning."""

import math
import subprocess
import sys
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import distances, miners
from pytorch_metric_learning import losses as reference
from pytorch_metric_learning.reducers import MeanReducer

from metriclearn import losses
from metriclearn.losses import contrastive_loss, supervised_contrastive_loss, triplet_loss

MININGS = ("all", "semihard", "hard")
LOSSES = {
    "contrastive": contrastive_loss,
    "supcon": supervised_contrastive_loss,
    **{f"triplet-{mining}": partial(triplet_loss, mining=mining) for mining in MININGS},
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def batch(seed, n=14, classes=4, dim=5):
    random = torch.Generator().manual_seed(seed)
    embeddings = F.normalize(torch.randn(n, dim, generator=random, dtype=torch.float64), dim=1)
    return embeddings, torch.randint(classes, (n,), generator=random)


# Loops, written from the formulas and without a look at the package.


def contrastive_by_loop(e, y, margin):
    pull, push = [], []
    for i in range(len(y)):
        for j in range(len(y)):
            d = math.dist(e[i].tolist(), e[j].tolist())
            if i != j and y[i] == y[j]:
                pull.append(d**2)
            if y[i] != y[j]:
                push.append(max(0.0, margin - d) ** 2)
    return sum(pull) / len(pull) + sum(push) / len(push)


def triplet_by_loop(e, y, margin, mining):
    n, costs = len(y), []
    d = [[math.dist(e[i].tolist(), e[j].tolist()) for j in range(n)] for i in range(n)]
    for a in range(n):
        positives = [j for j in range(n) if j != a and y[j] == y[a]]
        negatives = [j for j in range(n) if y[j] != y[a]]
        if not positives or not negatives:
            continue
        if mining == "hard":
            cost = max(d[a][p] for p in positives) - min(d[a][q] for q in negatives) + margin
            costs.append(max(0.0, cost))
        for p in positives:
            if mining == "all":
                costs += [c for q in negatives if (c := d[a][p] - d[a][q] + margin) > 0]
            if mining == "semihard":
                farther = [d[a][q] for q in negatives if d[a][q] > d[a][p]]
                chosen = min(farther) if farther else max(d[a][q] for q in negatives)
                costs.append(max(0.0, d[a][p] - chosen + margin))
    return sum(costs) / len(costs) if costs else 0.0


def supcon_by_loop(e, y, temperature):
    n, per_anchor = len(y), []
    for a in range(n):
        weight = {j: math.exp(float(e[a] @ e[j]) / temperature) for j in range(n) if j != a}
        positives = [j for j in weight if y[j] == y[a]]
        if positives:
            costs = [-math.log(weight[p] / sum(weight.values())) for p in positives]
            per_anchor.append(sum(costs) / len(costs))
    return sum(per_anchor) / len(per_anchor)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("margin", [0.5, 1.8])
def test_contrastive_equals_its_loop(seed, margin):
    e, y = batch(seed)
    assert contrastive_loss(e, y, margin).item() == pytest.approx(contrastive_by_loop(e, y, margin))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("margin", [0.05, 1.0])
@pytest.mark.parametrize("mining", MININGS)
def test_triplet_equals_its_loop(seed, margin, mining):
    e, y = batch(seed)
    expected = triplet_by_loop(e, y, margin, mining)
    assert triplet_loss(e, y, margin, mining).item() == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_supcon_equals_its_loop(seed, temperature):
    e, y = batch(seed)
    expected = supcon_by_loop(e, y, temperature)
    assert supervised_contrastive_loss(e, y, temperature).item() == pytest.approx(expected)


# What no loop shows: unlabelled rows, half precision, sizes, and batches without a pair.


@every_loss
def test_unlabelled_rows_are_left_out(loss):
    """Nobody knows whose positives they are: the loss and the gradients are those of the other rows."""
    e, y = batch(3, n=20)
    y[::3] = -1
    e.requires_grad_()
    value = loss(e, y)
    value.backward()
    assert value.item() == pytest.approx(loss(e.detach()[y >= 0], y[y >= 0]).item())
    assert not e.grad[y < 0].any()
    assert e.grad[y >= 0].any()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_finite_gradients(loss, dtype):
    """Also for equal rows, where the root has no slope, and for rows that differ in the last digit only."""
    e, y = batch(0, n=24)
    e[4:8], e[9] = e[4], e[8] * 1.001
    y[4:8] = torch.tensor([0, 0, 1, 1])
    low = F.normalize(e, dim=1).to(dtype).requires_grad_()
    value = loss(low, y)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(low.detach().double(), y).item(), rel=1e-3)
    assert low.grad.dtype == dtype
    assert low.grad.isfinite().all()


@every_loss
def test_automatic_mixed_precision_gives_finite_gradients(loss):
    e, y = batch(1, n=24)
    e = e.float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss(e, y).backward()
    assert e.grad.isfinite().all()


WIDE = """
import resource, sys, torch
import torch.nn.functional as F
from metriclearn import losses
e = F.normalize(torch.randn(2000, 128), dim=1).requires_grad_()
y = torch.arange(2000) % 400
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
losses.contrastive_loss(e, y).backward()
losses.supervised_contrastive_loss(e, y).backward()
for mining in losses.MINERS:
    losses.triplet_loss(e, y, mining=mining).backward()
unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
def test_a_batch_wide_enough_for_hundreds_of_classes_fits_into_a_gigabyte():
    """In a process of its own, whose peak is not that of another test."""
    run = subprocess.run([sys.executable, "-c", WIDE], capture_output=True, text=True, check=True)
    print(f"{int(run.stdout) / 2**20:.0f} MiB")
    assert int(run.stdout) < 1e9


@every_loss
@pytest.mark.parametrize(
    ("y", "message"),
    [(range(8), "has a positive"), ([5] * 8, "has a negative"), ([-1] * 8, "has a positive")],
)
def test_a_batch_without_a_pair_is_not_silent(loss, y, message):
    e, _ = batch(0, n=8)
    with pytest.warns(UserWarning, match=f"No anchor of this batch {message}"):
        loss(e, torch.tensor(y))


@every_loss
@pytest.mark.parametrize(
    ("e", "y", "message"),
    [
        (torch.randn(6, 3), torch.zeros(5, dtype=torch.long), "There are 6 embeddings but 5 labels"),
        (
            torch.randn(6),
            torch.zeros(6, dtype=torch.long),
            r"shape \(6,\) .*pass a tensor of floats, shape \(n, N\)",
        ),
        (torch.zeros(6, 3, dtype=torch.long), torch.zeros(6), "type torch.int64: pass a tensor of floats"),
        ([[1.0, 0.0]], torch.zeros(1), "of type list: pass a tensor"),
    ],
)
def test_what_does_not_fit(loss, e, y, message):
    with pytest.raises(ValueError, match=message):
        loss(e, y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e, y: contrastive_loss(e, y, margin=0), "margin is 0: choose a number above 0 and at most 2"),
        (lambda e, y: contrastive_loss(e, y, margin=3), "margin is 3: choose a number"),
        (lambda e, y: triplet_loss(e, y, margin=-1), "margin is -1: choose a number of at least 0"),
        (lambda e, y: triplet_loss(e, y, margin="wide"), "margin is 'wide'"),
        (lambda e, y: triplet_loss(e, y, mining="easy"), 'choose "all", "semihard" or "hard"'),
        (lambda e, y: supervised_contrastive_loss(e, y, 0), "temperature is 0: choose a number above 0"),
        (lambda e, y: supervised_contrastive_loss(e, y, math.nan), "temperature is nan"),
    ],
)
def test_settings_out_of_range(call, message):
    with pytest.raises(ValueError, match=message):
        call(*batch(0))


# pytorch-metric-learning: plain distances of unit rows.

EUCLIDEAN = distances.LpDistance(p=2, normalize_embeddings=False)


@pytest.mark.parametrize("seed", range(2))
def test_contrastive_equals_the_reference(seed):
    e, y = batch(seed)
    # The reference squares distances only by its power option, where the margin would be squared too;
    # so its linear costs are taken pair by pair, squared, and averaged over all pairs of each kind.
    linear = reference.ContrastiveLoss(neg_margin=1.0, distance=EUCLIDEAN, reducer=MeanReducer())
    parts = linear.compute_loss(e, y, None, e, y)
    expected = sum(parts[name]["losses"].square().mean() for name in ("pos_loss", "neg_loss"))
    torch.testing.assert_close(contrastive_loss(e, y, 1.0), expected)


@pytest.mark.parametrize("seed", range(2))
def test_triplets_equal_the_reference(seed):
    e, y = batch(seed)
    every = reference.TripletMarginLoss(margin=0.2, distance=EUCLIDEAN)  # means over the active triplets
    torch.testing.assert_close(triplet_loss(e, y, 0.2, "all"), every(e, y))
    hard = reference.TripletMarginLoss(margin=0.2, distance=EUCLIDEAN, reducer=MeanReducer())
    chosen = miners.BatchHardMiner(distance=EUCLIDEAN)(e, y)
    torch.testing.assert_close(triplet_loss(e, y, 0.2, "hard"), hard(e, y, chosen))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_supcon_equals_the_reference(seed, temperature):
    e, y = batch(seed)
    theirs = reference.SupConLoss(temperature)(e, y)
    torch.testing.assert_close(supervised_contrastive_loss(e, y, temperature), theirs)


@every_loss
def test_gradients_equal_finite_differences(loss):
    e, y = batch(seed=3, n=9, classes=3, dim=4)
    assert torch.autograd.gradcheck(lambda x: loss(x, y), e.requires_grad_())


@every_loss
def test_gradients_through_the_normalisation(loss):
    random = torch.Generator().manual_seed(8)
    codes = torch.randn(9, 4, generator=random, dtype=torch.float64, requires_grad=True)
    y = torch.arange(9) % 3
    assert torch.autograd.gradcheck(lambda x: loss(F.normalize(x, dim=1), y), codes)


EDGES = {
    "one row": ([[1.0, 0.0]], [0]),
    "no positives": ([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], [0, 1, 2]),
    "no negatives": ([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [5, 5, 5]),
    "all in one point": ([[1.0, 0.0]] * 6, [0, 0, 1, 1, 2, 2]),
    "duplicates of one class": ([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [0, 0, 1, 1]),
    "one class alone has a pair": ([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], [0, 0, 1]),
}


@every_loss
@pytest.mark.parametrize("edge", EDGES)
def test_edge_batches_give_a_finite_loss_and_finite_gradients(loss, edge):
    rows, y = EDGES[edge]
    e = torch.as_tensor(rows, dtype=torch.float32).clone().requires_grad_()
    value = loss(e, torch.tensor(y, dtype=torch.long))
    value.backward()
    assert value.ndim == 0
    assert value.isfinite()
    assert value >= 0
    assert e.grad.isfinite().all()


@pytest.mark.parametrize("edge", ["one row", "no positives", "no negatives"])
@pytest.mark.parametrize("mining", MININGS)
def test_without_a_triplet_the_loss_is_zero(edge, mining):
    rows, y = EDGES[edge]
    assert triplet_loss(torch.as_tensor(rows), torch.tensor(y), mining=mining) == 0


@pytest.mark.parametrize("mining", MININGS)
def test_at_a_collapse_the_loss_sits_at_the_margin(mining):
    rows, y = EDGES["all in one point"]
    loss = triplet_loss(torch.tensor(rows), torch.tensor(y), 0.2, mining)
    assert loss.item() == pytest.approx(0.2, abs=1e-5)


@every_loss
def test_separated_classes_cost_less_than_mixed_ones(loss):
    e = torch.eye(4).repeat_interleave(2, dim=0)
    apart, mixed = torch.arange(4).repeat_interleave(2), torch.arange(8) % 4
    assert loss(e, apart) < 0.01
    assert loss(e, mixed) > 0.1


@every_loss
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_names_and_rotation_do_not_matter(loss, seed):
    e, y = batch(seed)
    random = torch.Generator().manual_seed(seed)
    value = loss(e, y)
    order = torch.randperm(len(y), generator=random)
    torch.testing.assert_close(loss(e[order], y[order]), value)
    names = 10 + torch.randperm(4, generator=random)
    torch.testing.assert_close(loss(e, names[y]), value)
    turn, _ = torch.linalg.qr(torch.randn(5, 5, generator=random, dtype=torch.float64))
    torch.testing.assert_close(loss(e @ turn, y), value)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_batch_hard_costs_at_least_as_much_as_semihard(seed):
    # Per anchor no triplet costs more than its hardest; the means follow, as all classes are equally large.
    e, y = batch(seed, n=12)[0], torch.arange(12) % 3
    assert triplet_loss(e, y, mining="hard") >= triplet_loss(e, y, mining="semihard") - 1e-12


def test_masks():
    y = torch.tensor([0, 0, 1])
    assert losses.positive_mask(y).tolist() == [
        [False, True, False],
        [True, False, False],
        [False, False, False],
    ]
    assert losses.negative_mask(y).tolist() == [
        [False, False, True],
        [False, False, True],
        [True, True, False],
    ]


def test_pairwise_distances_equal_cdist():
    e, _ = batch(0)
    torch.testing.assert_close(losses.pairwise_distances(e), torch.cdist(e, e), atol=2e-6, rtol=1e-6)
