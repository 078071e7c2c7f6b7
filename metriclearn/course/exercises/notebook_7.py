"""Know your data: outliers and duplicates, wrong labels that agree, suspicion and its evidence."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from metriclearn import EmbeddingIndex
from metriclearn.checks.arrays import FloatArray
from metriclearn.checks.labels import LabelArray
from metriclearn.course.exercises import (
    NotYet,
    array,
    call,
    choice,
    compare,
    count,
    entries,
    number,
    of_guess,
    percent,
)
from metriclearn.curation import label_errors

KINDS, WRONG = ("any class", "4 and 9", "0 and 1"), 200


def exercise_7_1(guess: object, stay: object, still_loneliest: object) -> str:
    """Outliers with k=1 and k=10, and what one duplicate does to them."""
    guessed, counted = number(guess, "your guess", 0, 20), count(stay, "how many stay", 0, 20)
    if counted == 20:
        raise NotYet("All of them: did `k=1` reach `outliers`?")
    if counted <= 1:
        raise NotYet("Hardly any: the loneliest have the *largest* scores, and there are 20 to compare.")
    if counted == 6:
        raise NotYet("Are these the ones that stay, or those that go?")
    if counted != 14:
        raise NotYet("Compare row numbers: the 20 largest of `outliers(vectors, k=1)`, and `lonely`.")
    given = entries(still_loneliest, "still_loneliest", (1, 10))
    one, ten = (choice(answer, f"the answer for k={k}", (True, False)) for k, answer in given.items())
    if one:
        raise NotYet("Its nearest other is now its duplicate. How far away is that, with k=1?")
    if not ten:
        raise NotYet(
            "With k=10: is the largest score that of the image, or of the new row at the end? Either counts."
        )
    return (
        f"{of_guess(guessed, 14, 'images')} One duplicate hides an image from k=1; from k=10 it takes ten. "
        "So look for duplicates first, and for outliers after."
    )


def exercise_7_2(
    spoilt: object, precision_of: object, cause: object, pool: tuple[FloatArray, LabelArray]
) -> str:
    """Two hundred wrong labels, spread over all classes or within two."""
    vectors, labels = pool
    names = entries(spoilt, "spoilt", KINDS)
    given = entries(precision_of, "precision_of", KINDS)
    answer = choice(cause, "the cause", ("alike", "many"))
    for kind, pair in zip(KINDS, (None, (4, 9), (0, 1)), strict=True):
        wrong = array(names[kind], f"spoilt[{kind!r}]", np.shape(labels))
        _check_spoilt(wrong, labels, kind, pair)
        found = percent(given[kind], f"the precision for {kind!r}")
        _compare_precision(found, vectors, wrong.astype(int), labels, kind)
    if answer != "many":
        raise NotYet("0 and 1 do not look alike. Compare their figure with that of 4 and 9.")
    return (
        "A quarter of two classes is wrong, so a wrong label finds neighbours that agree. Odd images "
        "of other classes then look more suspicious. That the 4 resembles the 9 hardly matters here."
    )


def _check_spoilt(
    names: npt.NDArray[np.int_], labels: LabelArray, kind: str, pair: tuple[int, int] | None
) -> None:
    """Raise the hint that fits, unless 200 labels are wrong, within the pair if there is one."""
    changed = names != labels
    if changed.sum() != WRONG:
        raise NotYet(
            f"In spoilt[{kind!r}] {changed.sum()} labels are wrong: choose {WRONG} different images, "
            "and give each another class than its own."
        )
    if not np.isin(names, labels).all():
        raise NotYet(f"In spoilt[{kind!r}] there are labels that no image has: take a class from 0 to 9.")
    if pair is None:
        if len(np.unique(labels[changed])) < 5:
            raise NotYet("For 'any class', draw the images from all 4,000.")
        return
    if not (np.isin(labels[changed], pair).all() and np.isin(names[changed], pair).all()):
        raise NotYet(f"In spoilt[{kind!r}] other classes are touched: each of the two gets the other label.")
    if len(np.unique(labels[changed])) < 2:
        raise NotYet(f"For {kind!r} draw from both classes together, so that both directions are wrong.")


def _compare_precision(
    found: float, vectors: FloatArray, names: npt.NDArray[np.int_], labels: LabelArray, kind: str
) -> None:
    """Raise the hint that fits, unless this is the share of wrong labels among the first 200 suspects."""
    wrong = names != labels

    def precision(doubts: npt.NDArray[np.floating], among: npt.NDArray[np.bool_] = wrong) -> float:
        return float(100 * among[np.argsort(-doubts, kind="stable")[:WRONG]].mean())

    doubts = label_errors(vectors, names, k=20)
    two = np.isin(labels, labels[wrong])
    mistakes = [
        (precision(label_errors(vectors, labels, k=20)), "rank the *spoilt* labels, not the true ones."),
        (precision(-doubts), "rank the most suspicious image first."),
        (precision(label_errors(vectors, names, k=10)), "let 20 neighbours vote: k=20."),
        (precision(label_errors(vectors, names, k=5)), "let 20 neighbours vote: k=20."),
        (float(100 * wrong[doubts > 0.5].mean()), "take the first 200 suspects, without a limit."),
    ]
    if len(np.unique(labels[two])) == 2:
        alone = precision(np.where(two, doubts, -1))
        mistakes.append((alone, "rank all 4,000 images: nobody tells you which classes are spoilt."))
    compare(
        found,
        precision(doubts),
        [(value, f"For {kind!r}, {hint}") for value, hint in mistakes],
        f"For {kind!r} these labels give another figure: `label_errors(vectors, ..., k=20)`, and how many "
        "percent of the first 200 of all images are wrong.",
    )


def exercise_7_3(suspicion_of: Callable[..., object]) -> str:
    """The share of the neighbours that carry another label, the image itself left out."""
    random = np.random.default_rng(7)
    vectors = random.normal(size=(40, 5)).astype(np.float32)
    vectors[[0, 1]] = [1, 0, 0, 0, 0]  # duplicates
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels, likeness = random.integers(0, 3, 40), vectors @ vectors.T
    labels[[0, 1]] = [0, 1]
    for k in (4, 1, 39):
        given = call(suspicion_of, vectors.copy(), labels.copy(), k)
        got = array(given, "what it returns", (40,)).astype(float)
        wanted = label_errors(vectors, labels, k=k, temperature=1e9)
        if np.allclose(got, wanted):
            continue
        if np.allclose(got, 1 - wanted):
            raise NotYet("You count the neighbours that agree. Suspicious are those that do not.")
        if np.allclose(got, 100 * wanted):
            raise NotYet("A share from 0 to 1 is asked for, and yours is in percent.")
        if np.allclose(got, k * wanted) and k > 1:
            raise NotYet("You count the votes. Divide by their number.")
        near = labels[np.argsort(-likeness, axis=1, kind="stable")[:, :k]] != labels[:, None]
        if np.allclose(got[2:], near[2:].mean(axis=1)):
            raise NotYet("Each image is among its own neighbours, and agrees with itself. Leave it out.")
        if np.allclose(got[2:], wanted[2:]):
            raise NotYet(
                "Wrong for the duplicates only: which have you left out, the image or its duplicate?"
            )
        far = labels[np.argsort(likeness, axis=1, kind="stable")[:, :k]] != labels[:, None]
        if np.allclose(got, far.mean(axis=1)):
            raise NotYet("These are the *farthest* images: the nearest have the largest cosines.")
        raise NotYet(f"With k={k} some scores are not right: the k nearest others, and one vote for each.")
    return "That is all of it. `label_errors` only adds a temperature, so that near neighbours count more."


def exercise_7_4(evidence: Callable[..., object]) -> str:
    """The nearest image with the same label and the nearest with another, from a store."""
    random = np.random.default_rng(8)
    vectors = random.normal(size=(53, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[20] = vectors[0]  # stored twice
    labels, cosine = np.arange(53) % 10, vectors @ vectors.T
    asked = [*range(3, 50, 3), 50, 51, 52, 0]  # from 50 on they are new: two without a name, one with its own
    with EmbeddingIndex(dim=6, collection="exercise") as store:
        store.upsert(vectors[:50], labels[:50], sources=[str(row) for row in range(50)])
        for row in asked:
            new = row >= 50
            source = None if new and row < 52 else str(row)
            found = call(evidence, store, vectors[row].copy(), int(labels[row]), source)
            got = array(found, "what it returns", (2,)).astype(float)
            same = np.flatnonzero((labels[:50] == labels[row]) & (np.arange(50) != row))
            rival = np.flatnonzero(labels[:50] != labels[row])
            wanted = [cosine[row, same].max(), cosine[row, rival].max()]
            if np.allclose(got, wanted, atol=1e-4):
                continue
            if np.allclose(got, wanted[::-1], atol=1e-4):
                raise NotYet("The two are swapped: first its own label, then another.")
            if np.allclose(got, 1 - np.array(wanted), atol=1e-4):
                raise NotYet("These are distances, or 1 - cosine: return the cosines.")
            if got[0] > 0.9999 > wanted[0]:
                raise NotYet("The image speaks for itself: leave out what is stored under its own source.")
            if new and np.isclose(got[0], np.sort(cosine[row, same])[-2], atol=1e-4):
                raise NotYet("A new image is not stored, so do not throw its first neighbour away.")
            if row == 0 and got[0] < 0.9999:
                raise NotYet(
                    "An image is stored twice, and its duplicate is evidence: leave out what has the same "
                    "source, not what has the same embedding."
                )
            if not np.isclose(got[0], wanted[0], atol=1e-4):
                raise NotYet(
                    'The first cosine is not right: `where={"label": label}`, and the nearest that is left.'
                )
            if np.isclose(got[1], max(wanted), atol=1e-4) or got[1] > 0.9999:
                raise NotYet("The second is to come from *other* labels only: give `where` a list of them.")
            for left_out in (0, 9):  # the slips of a range
                others = rival[labels[rival] != left_out]
                if np.isclose(got[1], cosine[row, others].max(), atol=1e-4):
                    raise NotYet(f"The other labels run from 0 to 9, and yours leave out the {left_out}.")
            raise NotYet("The second cosine is not right: the nearest of all other labels together.")
    return (
        "Two filtered searches put both sides on one line, and no image speaks for itself. Where the second "
        "cosine is the larger, a person should look."
    )
