"""Pseudo-labels: wrong labels in the flow, weights of few bits, bridges between moons, a gate."""

from collections.abc import Callable
from functools import cache

import numpy as np

from metriclearn.course.exercises import (
    NotYet,
    array,
    call,
    choice,
    count,
    entries,
    number,
    of_guess,
    percent,
    percents,
    plain,
)
from metriclearn.data import load_images, scarce_labels
from metriclearn.embedding import MetricEmbedding
from metriclearn.label_propagation import most_confident


def exercise_4_1(guess: object, right: object, wrong_that_pass: object) -> str:
    """Five wrong labels of 100: the flow outvotes them, and never mends them."""
    guessed = number(guess, "your guess", 0, 100)
    before, after = (
        percent(share, f'the share for "{key}"')
        for key, share in entries(right, "right", ("all right", "five wrong")).items()
    )
    passed = count(wrong_that_pass, "the number of wrong labels that pass", 0, 5)
    if before == after:
        raise NotYet("Both shares are the same: did the changed labels reach `spread_labels`?")
    if min(before, after) < 50:
        raise NotYet("Compare with the hidden truth, `pool.labels`: in `labels` nearly all are -1.")
    if max(abs(before - 89.3), abs(after - 88.6)) < 0.8:
        raise NotYet("That is the share without a gate: let `most_confident` pass half of each class.")
    if before > 99.3:
        raise NotYet("That is better than raw pixels can do: hand `points` to the flow, not embeddings.")
    if max(abs(before - 98.70), abs(after - 98.30)) < 0.03:
        raise NotYet("The images in `known` are among them: what was given to the flow is not its own work.")
    if max(abs(before - 98.48), abs(after - 98.63)) < 0.03:
        raise NotYet("Wrong labels do not help: are the two keys swapped?")
    if max(abs(before - 97.89), abs(after - 97.53)) < 0.03:
        raise NotYet("That is one gate for all: let `most_confident` pass half of each class.")
    if max(abs(before - 98.63), abs(after - 98.48)) > 0.06:
        raise NotYet("These are not the shares of the surest half, without the images in `known`.")
    if passed == 0:
        raise NotYet("Count before you take the known images out: which of the rows in `five` pass?")
    if passed != 5:
        raise NotYet("How sure is the flow of a label that was given to it? Look at its second result.")
    return (
        f"{of_guess(guessed, before - after)} A wrong label is outvoted by the right ones around it. But the "
        "flow trusts all that it was given: the five wrong ones pass the gate themselves, as surest of all."
    )


@cache
def _one_nn_at(bits: int) -> float:
    """Return the 1-NN accuracy in percent of the published encoder with its weights rounded."""
    pool, test = load_images("mnist-5k")
    known = np.flatnonzero(scarce_labels(pool.labels, per_class=10, seed=0) >= 0)
    encoder = MetricEmbedding.load()
    for weight in encoder.encoder_.parameters():
        step = weight.data.abs().max() / (2 ** (bits - 1) - 1)
        weight.data = (weight.data / step).round() * step
    near = (encoder.transform(test.pixels) @ encoder.transform(pool.pixels[known]).T).argmax(axis=1)
    return 100 * float((pool.labels[known][near] == test.labels).mean())


def exercise_4_2(accuracy_at: object, fewest_bits: object) -> str:
    """Weights rounded to few bits: eight and four are enough, two are not."""
    given = entries(accuracy_at, "accuracy_at", (32, 8, 4, 2))
    found = {bits: percent(value, f"the accuracy at {bits} bits") for bits, value in given.items()}
    fewest = number(fewest_bits, "the fewest bits")
    if fewest not in given:
        raise NotYet("Which of the four is asked for: 32, 8, 4 or 2?")
    if found[32] < 95:
        raise NotYet("At 32 bits nothing should be lost: `one_nn` of the encoder as published gives it.")
    if found[2] > 60:
        raise NotYet("Two bits are too good to be true: did `rounded(2)` reach `one_nn`?")
    if found[2] < 15:
        raise NotYet("At 2 bits all is lost: does each one start from the encoder as published?")
    away = {bits: abs(found[bits] - _one_nn_at(bits)) for bits in given}
    if max(away[8], away[4]) > 0.25:
        raise NotYet("At 8 and 4 bits little should be lost: is each accuracy under its own key?")
    if away[32] > 0.25 or away[2] > 3:
        raise NotYet("Is it the published encoder that you rounded, and the test images that you asked?")
    if fewest == 2:
        raise NotYet("Two points may be lost, not more: compare 2 bits with 32 again.")
    if fewest != 4:
        raise NotYet("Fewer bits than that also stay within two points of 32: look at all four.")
    return (
        "Four bits, an eighth of the bytes, serve nearly as well here. "
        "But a rounded encoder gives other embeddings: stored with an index, it needs an id of its own."
    )


# Right dots, in percent, for the starts 0 to 9.
MOONS = {
    4: [70.5, 29.5, 70.5, 70.5, 67.5, 67.5, 70.5, 70.5, 70.5, 67.5],
    10: [97.5, 74.5, 98.0, 94.5, 95.0, 96.0, 78.0, 91.5, 95.0, 100.0],
}


def exercise_4_3(right: object, bridges: object, with_four: object) -> str:
    """Moons: too few neighbours cut dots off, one bridge lets the labels leak."""
    given, counted = entries(right, "right", (4, 8, 10)), entries(bridges, "bridges", (4, 8, 10))
    shares = {k: percents(share, f"the share with {k} neighbours", 10) for k, share in given.items()}
    crossing = {k: count(n, f"the number of bridges with {k} neighbours") for k, n in counted.items()}
    answer = choice(with_four, "what happens with four", ("cut off", "leak"))
    if np.ptp(shares[10]) == 0:
        raise NotYet("With 10 neighbours all starts give the same: does the known dot change with the start?")
    if shares[8].min() < 99:
        raise NotYet("With 8 neighbours every start colours both moons right: does `n_neighbors` arrive?")
    if shares[4].min() > 99:
        raise NotYet("With 4: a dot that no label reaches is not right, and all 200 count.")
    if any(not np.allclose(shares[k], truth, rtol=0, atol=0.6) for k, truth in MOONS.items()):
        raise NotYet("With 8 neighbours it is right; with 4 or 10 check the two start dots, one per moon.")
    if crossing[10] == 2:
        raise NotYet("Count from one side: a dot and a neighbour of its own are one bridge, not two.")
    if crossing[4] > 0 or crossing[8] > 0 or crossing[10] > 1:
        raise NotYet("A bridge leads to the *other* moon: leave each dot itself out, and compare `truth`.")
    if crossing[10] == 0:
        raise NotYet("With 10 neighbours there is a bridge: look at the tenth neighbour of each dot as well.")
    if answer == "leak":
        raise NotYet("With 4 there is no bridge to leak over: of how many dots is the flow not sure at all?")
    return (
        "With 4 neighbours part of a moon hangs together with nothing that is known. With 10 a single bridge "
        "lets labels leak into the other moon. How much goes wrong depends on where the known dot lies."
    )


def exercise_4_4(gate: Callable[..., object]) -> str:
    """A gate per class, tested against the package's."""
    random = np.random.default_rng(0)
    spread = random.choice([3, 7, 8], size=41, p=[0.6, 0.3, 0.1])
    confidence = np.where(spread == 3, 0.6, 0.2) + random.permutation(41) / 100
    cases = [(spread, confidence, 0.5), (spread, confidence, 0.2), (spread, confidence, 1.0)]
    cases.append((np.array([4, 4, 4, 1]), np.array([0.9, 0.3, 0.8, 0.1]), 0.3))
    cases.append((np.array([5, 5, 5, 5, 2]), np.array([0.1, 0.7, 0.3, 0.9, 0.2]), 0.3))
    for case in cases:
        labels, sure, share = case
        wanted, passed = most_confident(*case), call(gate, labels.copy(), sure.copy(), share)
        if isinstance(passed, list | tuple) and any(np.ndim(part) for part in passed):
            raise NotYet("Join what passes of each class into one array: `np.concatenate` does it.")
        got = plain(passed)
        if got.dtype == bool:
            raise NotYet("Return row numbers, not a mask: `np.flatnonzero` turns one into the other.")
        if got.ndim != 1:
            raise NotYet(f"Return one row of row numbers, and yours has the shape {got.shape}.")
        if np.array_equal(got, wanted):
            continue
        if np.array_equal(np.sort(got.ravel()), wanted):
            raise NotYet("The right rows pass, but they should come in rising order.")
        all_at_once = np.argsort(-sure)[: int(np.ceil(share * len(sure)))]
        if np.array_equal(np.sort(got), np.sort(all_at_once)):
            raise NotYet("That is one gate for all: an easy class fills it alone. Give each class its own.")
        if len(set(got.tolist())) < len(got) and np.isin(got, labels).all():
            raise NotYet("These are labels: return the numbers of the rows that pass.")
        if set(got.ravel().tolist()) <= set(range(max(np.bincount(labels)))) and len(labels) == 41:
            raise NotYet("Some of these count within a class: turn them back into rows of `spread`.")
        if len(got) < len(wanted):
            raise NotYet("Too few pass: round up, so that a small class sends at least one image.")
        if len(got) > len(wanted):
            raise NotYet("Too many pass: the share is one of each class, rounded up.")
        array(got, "what it returns", wanted.shape)
        if np.array_equal(got, most_confident(labels, -sure, share)):
            raise NotYet("These are the least sure ones: which way round does `argsort` sort?")
        raise NotYet(f"With share={share:g} other rows should pass: sort each class by its confidence.")
    return (
        "In raw pixels one gate for all would let hardly any 3 and no 8 pass. "
        "With a gate per class, hard classes get pseudo-labels, too."
    )
