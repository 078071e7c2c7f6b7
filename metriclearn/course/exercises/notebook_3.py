"""Positives and negatives: a larger margin, batch-hard without a loop, and hard negatives later."""

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from metriclearn.course.exercises import NotYet, call, choice, number
from metriclearn.data import load_images, scarce_labels
from metriclearn.losses import Mining, negative_mask, pairwise_distances, positive_mask, triplet_loss
from metriclearn.metrics import CollapseDiagnostics, collapse_diagnostics
from metriclearn.models import Encoder
from metriclearn.training import embed


def exercise_3_1(guess: object, loss: Callable[..., object], end: object) -> str:
    """A larger margin: the collapse stays, and its loss is the margin."""
    guessed = number(guess, "your guess", 0, 2.5)
    points, labels = _points(), torch.arange(12) % 4
    given = number(_value(call(loss, points, labels)), "what your loss returns")
    defaults: list[tuple[Mining, float, str]] = [
        ("hard", 0.2, "Your loss has the default margin of 0.2: `partial` takes `margin` as well."),
        ("semihard", 0.5, 'Your loss takes semi-hard triplets: `partial` takes `mining="hard"` as well.'),
        ("semihard", 0.2, 'This loss is the default one: give `partial` both `mining="hard"` and `margin`.'),
    ]
    for mining, margin, hint in defaults:
        if abs(given - triplet_loss(points, labels, margin, mining).item()) < 1e-4:
            raise NotYet(hint)
    apart = F.normalize(torch.eye(4)[labels] + 0.3 * points, dim=1)  # here some costs end at 0
    there = number(_value(call(loss, apart, labels)), "what your loss returns")
    wanted = triplet_loss(points, labels, 0.5, "hard").item(), triplet_loss(apart, labels, 0.5, "hard").item()
    if max(abs(given - wanted[0]), abs(there - wanted[1])) > 1e-4:
        raise NotYet("Your loss is not batch-hard with a margin of 0.5: see how `recipes` makes its losses.")
    diagnostics = _diagnostics(end, "end")
    if diagnostics.mean_distance > 0.3:
        raise NotYet("No collapse: is `end` of the encoder that `train` returned for this very loss?")
    if abs(diagnostics.hard_loss - 0.2) < 0.05:
        raise NotYet("The loss reads 0.2, the default: does `collapse_diagnostics` know the margin of 0.5?")
    if abs(diagnostics.hard_loss - 0.5) > 0.1 or diagnostics.active < 0.9:
        raise NotYet("The embeddings are one point, but the loss is not that of margin 0.5: read it again.")
    said = "As you guessed: it" if abs(guessed - 0.5) < 0.05 else f"You guessed {guessed:.2g}; it"
    return (
        f"{said} sits at the margin, 0.5. In one point all distances are 0 and only the margin is left, "
        "whatever it is. So a loss that rests at the margin is the sign of a collapse."
    )


def exercise_3_2(batch_hard: Callable[..., object]) -> str:
    """Batch-hard without a loop: masks, the farthest positive, the nearest negative."""
    points, by_class = _points(), torch.arange(12) % 4
    for labels, margin in ((by_class, 0.2), (by_class, 0.5)):
        _compare(call(batch_hard, points.clone(), labels, margin), points, labels, margin)
    apart = F.normalize(torch.eye(4)[by_class] + 0.01 * points, dim=1)
    cost = number(_value(call(batch_hard, apart.clone(), by_class, 0.2)), "the loss")
    if cost < 0:
        raise NotYet("Classes far apart cost less than nothing: a cost ends at 0.")
    for margin in (0.2, 1.0, 2.0):  # their nearest negatives are at distance 1.4
        _compare(call(batch_hard, apart.clone(), by_class, margin), apart, by_class, margin)
    alone = torch.cat([by_class[:-1], torch.tensor([9])])
    _compare(call(batch_hard, points.clone(), alone, 0.2), points, alone, 0.2)
    trained = points.clone().requires_grad_()
    loss = call(batch_hard, trained, by_class, 0.2)
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise NotYet("The values are right, but no gradient comes through: stay with tensors to the end.")
    (pull,) = torch.autograd.grad(loss.sum(), trained, allow_unused=True)
    if pull is None or not pull.any():
        raise NotYet("The values are right, but no gradient comes through to the embeddings.")
    return "One matrix of distances and two masks replace the loop, and the gradient comes for free."


def exercise_3_3(loss_at: Callable[..., object], encoder: object, shown_by: object) -> str:
    """Hard negatives later: the classes part, and then shrink into a speck that keeps its order."""
    for step in (0, 49, 50, 149):
        _compare_at(step, call(loss_at, step))
    if not callable(getattr(encoder, "embed", None)):
        raise NotYet("Hand over the encoder itself, as `train` returns it.")
    answer = choice(shown_by, "what shows it", ("diagnostics", "accuracy"))
    diagnostics, accuracy = _measured(encoder)
    if not np.isfinite(diagnostics.mean_distance):
        raise NotYet("The embeddings hold NaN: did the loss stay finite during the training?")
    if accuracy < 40:
        raise NotYet("This encoder has learned next to nothing: is it the one that `train` returned?")
    if diagnostics.mean_distance > 0.6:
        raise NotYet("The embeddings are spread out: did batch-hard take over? Print the mining per step.")
    if accuracy < 80:
        raise NotYet(
            "So low is batch-hard from the start. Which step did your loss see? Does it ever change?"
        )
    if answer == "accuracy":
        raise NotYet(
            "Semi-hard mining alone reaches 93 to 95 %. Does yours stand out? And the mean distance?"
        )
    return (
        "The first steps brought the classes in order, and batch-hard then shrank the whole, order and all. "
        "1-NN hardly notices. Whoever compares a cosine with a threshold does."
    )


def _compare_at(step: int, loss: object) -> None:
    """Raise the hint that fits, unless a loss is the right one for a step."""
    if not callable(loss):
        raise NotYet("`loss_at(step)` should give a loss, so a function of embeddings and labels.")
    points, labels = _points(), torch.arange(12) % 4
    given = number(_value(call(loss, points.clone(), labels)), f"the loss at step {step}")
    right: Mining = "semihard" if step < 50 else "hard"
    if abs(given - triplet_loss(points, labels, mining=right).item()) < 1e-4:
        return
    if abs(given - triplet_loss(points, labels, mining="all").item()) < 1e-4:
        raise NotYet(f"At step {step} your loss takes all triplets: `mining` has another name for semi-hard.")
    other: Mining = "hard" if step < 50 else "semihard"
    if abs(given - triplet_loss(points, labels, mining=other).item()) < 1e-4:
        edge = "The first 50 steps are 0 to 49. " if step in (49, 50) else ""
        raise NotYet(f"{edge}At step {step} your loss should be {right}, and is {other}.")
    raise NotYet(f"At step {step} your loss is not the triplet loss with {right} and a margin of 0.2.")


def _measured(encoder: object) -> tuple[CollapseDiagnostics, float]:
    """Return the diagnostics of an encoder's labelled images, and its 1-NN accuracy in percent."""
    pool, test = load_images("mnist-5k")
    known = np.flatnonzero(scarce_labels(pool.labels, per_class=10, seed=0) >= 0)
    try:
        mine, asked = (embed(cast(Encoder, encoder), pixels) for pixels in (pool.pixels[known], test.pixels))
    except (TypeError, ValueError, RuntimeError, AttributeError):
        raise NotYet("This encoder cannot embed the images of this notebook: is it from `train`?") from None
    labels = pool.labels[known]
    if mine.ndim != 2 or not np.isfinite(mine).all():
        return CollapseDiagnostics(np.nan, np.nan, np.nan, np.nan), 0.0
    nearest = pairwise_distances(torch.as_tensor(np.vstack([asked, mine])).double())[
        : len(asked), len(asked) :
    ]
    accuracy = 100 * float((labels[nearest.argmin(dim=1).numpy()] == test.labels).mean())
    return collapse_diagnostics(mine, labels), accuracy


def _diagnostics(answer: object, name: str) -> CollapseDiagnostics:
    if not isinstance(answer, CollapseDiagnostics):
        raise NotYet(
            f"`{name}` should be what `collapse_diagnostics` returns, not a {type(answer).__name__}."
        )
    if not np.isfinite([answer.mean_distance, answer.rank, answer.hard_loss, answer.active]).all():
        raise NotYet(f"In `{name}` is NaN: are the embeddings finite, and the labels those of these images?")
    return answer


def _points() -> Tensor:
    """Return twelve points at unit length."""
    return F.normalize(torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), dim=1)


def _value(loss: object) -> object:
    return loss.detach() if isinstance(loss, Tensor) else loss


def _compare(answer: object, points: Tensor, labels: Tensor, margin: float) -> None:
    """Raise the hint that fits, unless the answer is the batch-hard loss."""
    got = number(_value(answer), "the loss")
    if abs(got - triplet_loss(points, labels, margin, "hard").item()) < 1e-4:
        return
    for value, hint in _mistakes(points, labels, margin):
        if abs(got - float(value)) < 1e-4:
            raise NotYet(hint)
    if not positive_mask(labels).any(dim=1).all():
        raise NotYet("One image was alone in its class: an anchor without a positive must not count.")
    if abs(got - triplet_loss(points, labels, margin, "all").item()) < 1e-4:
        raise NotYet("That is the mean over all triplets: one positive and one negative for each anchor.")
    if abs(got - triplet_loss(points, labels, margin, "semihard").item()) < 1e-4:
        raise NotYet("That is semi-hard mining: batch-hard asks for the farthest and the nearest of all.")
    raise NotYet(
        "Not the loss yet. Print the farthest positive of one anchor and compare it with `distance`."
    )


def _mistakes(points: Tensor, labels: Tensor, margin: float) -> list[tuple[Tensor, str]]:
    """Return the losses that common mistakes give, each with its hint."""
    d, positives, negatives = pairwise_distances(points), positive_mask(labels), negative_mask(labels)
    usable = positives.any(dim=1)
    far = d.where(positives, -torch.inf).amax(dim=1)
    near = d.where(negatives, torch.inf).amin(dim=1)
    nearest_positive = d.where(positives, torch.inf).amin(dim=1)
    farthest_negative = d.where(negatives, -torch.inf).amax(dim=1)
    costs = (far - near + margin).clamp(min=0)

    def mean(gaps: Tensor, add: float = margin) -> Tensor:
        return (gaps + add).clamp(min=0)[usable].mean()

    return [
        (mean(far), "Your nearest negative is at distance 0: the anchor itself, or a zero that a mask left?"),
        (
            mean(far - near.clamp(max=1)),
            "Your nearest negative is never farther than 1: what does the mask leave? Distances reach 2.",
        ),
        (mean(nearest_positive - near), "Batch-hard takes the farthest positive of each anchor."),
        (mean(far - farthest_negative), "Batch-hard takes the nearest negative of each anchor."),
        (
            mean(nearest_positive - farthest_negative),
            "That is batch-easy: positive and negative are swapped.",
        ),
        (mean(near - far), "The sign is the other way round: a farther positive costs more."),
        (mean(far - near, 0.2), "The margin is an argument: yours is 0.2, whatever is asked for."),
        (mean(far - near, 0.0), "The margin is missing."),
        (mean(far**2 - near**2), "Those are squared distances. Take the root."),
        ((far - near + margin)[usable].mean().clamp(min=0), "Each anchor's cost ends at 0, before the mean."),
        (costs[usable].sum(), "That is the sum over the anchors. The loss is their mean."),
        (costs[costs > 0].mean(), "Here the mean is over all anchors with a positive, free ones included."),
    ]
