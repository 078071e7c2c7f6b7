"""Know your data: outliers and twins, wrong labels that agree, suspicion and its evidence."""

from collections.abc import Callable

import numpy as np

from metriclearn import EmbeddingIndex
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
)
from metriclearn.curation import label_errors

KINDS = ("any class", "4 and 9", "0 and 1")


def exercise_7_1(guess: object, stay: object, still_loneliest: object) -> str:
    """Outliers with k=1 and k=10, and what one twin does to them."""
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
        raise NotYet("Its nearest other is now its twin. How far away is that, with k=1?")
    if not ten:
        raise NotYet(
            "With k=10: is the largest score that of the image, or of the new row at the end? Either counts."
        )
    return (
        f"{of_guess(guessed, 14, 'images')} One twin hides an image from k=1; from k=10 it takes ten. "
        "So look for duplicates first, and for outliers after."
    )


def exercise_7_2(precision_of: object, cause: object) -> str:
    """Two hundred wrong labels, spread over all classes or within two."""
    given = entries(precision_of, "precision_of", KINDS)
    spread, alike, unlike = (percent(one, f"the precision for {kind!r}") for kind, one in given.items())
    answer = choice(cause, "the cause", ("alike", "many"))
    if min(spread, alike, unlike) < 15:
        raise NotYet(
            "Hardly one suspect is guilty: rank the *spoilt* labels, the most suspicious image first."
        )
    if 20 < min(alike, unlike) < 65:
        raise NotYet(
            "Are 200 wrong, in both directions? Give *each* chosen image the other label of the two."
        )
    if any(2 * one != round(2 * one) for one in (spread, alike, unlike)):
        raise NotYet("Of 200 suspects the share is a whole or a half percent: take the first 200.")
    if max(alike, unlike) > 89:
        raise NotYet(
            "Too good: rank all 4,000 images, since nobody tells you that only two classes are spoilt."
        )
    if not 87 <= spread <= 95:
        raise NotYet(
            "For any class it should be near 91 %: in `vectors`, with 200 wrong labels, k=20, the first 200."
        )
    if not (73 <= alike <= 82 and 73 <= unlike <= 82):
        raise NotYet(
            "Within two classes: 200 images of the two, in `vectors`, k=20, the first 200 of all 4,000."
        )
    if answer != "many":
        raise NotYet("0 and 1 do not look alike. Compare their figure with that of 4 and 9.")
    return (
        "A quarter of two classes is wrong, so a wrong label finds neighbours that agree. Odd images "
        "of other classes then look more suspicious. That the 4 resembles the 9 hardly matters here."
    )


def exercise_7_3(suspicion_of: Callable[..., object]) -> str:
    """The share of the neighbours that carry another label, the image itself left out."""
    random = np.random.default_rng(7)
    vectors = random.normal(size=(40, 5)).astype(np.float32)
    vectors[[0, 1]] = [1, 0, 0, 0, 0]  # twins
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
                "Wrong for the twins only: which of the two have you left out, the image or its twin?"
            )
        far = labels[np.argsort(likeness, axis=1, kind="stable")[:, :k]] != labels[:, None]
        if np.allclose(got, far.mean(axis=1)):
            raise NotYet("These are the *farthest* images: the nearest have the largest cosines.")
        raise NotYet(f"With k={k} some scores are not right: the k nearest others, and one vote for each.")
    return "That is all of it. `label_errors` only adds a temperature, so that near neighbours count more."


def exercise_7_4(evidence: Callable[..., object]) -> str:
    """The nearest image with the same label and the nearest with another, from a store."""
    random = np.random.default_rng(8)
    vectors = random.normal(size=(31, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels, cosine = np.tile([3, 5, 8], 11)[:31], vectors @ vectors.T
    with EmbeddingIndex(dim=6, collection="exercise") as store:
        store.upsert(vectors[:30], labels[:30], sources=[str(row) for row in range(30)])
        for row in (0, 7, 17, 30):  # the last is new
            found = call(
                evidence, store, vectors[row].copy(), int(labels[row]), None if row == 30 else str(row)
            )
            got = array(found, "what it returns", (2,)).astype(float)
            same = np.flatnonzero((labels[:30] == labels[row]) & (np.arange(30) != row))
            rival = np.flatnonzero(labels[:30] != labels[row])
            wanted = [cosine[row, same].max(), cosine[row, rival].max()]
            if np.allclose(got, wanted, atol=1e-4):
                continue
            if np.allclose(got, wanted[::-1], atol=1e-4):
                raise NotYet("The two are swapped: first its own label, then another.")
            if np.allclose(got, 1 - np.array(wanted), atol=1e-4):
                raise NotYet("These are distances, or 1 - cosine: return the cosines.")
            if got[0] > 0.9999:
                raise NotYet("The image speaks for itself: leave out what is stored under its own source.")
            if row == 30 and np.isclose(got[0], np.sort(cosine[row, same])[-2], atol=1e-4):
                raise NotYet("A new image is not stored, so do not throw its first neighbour away.")
            if not np.isclose(got[0], wanted[0], atol=1e-4):
                raise NotYet(
                    'The first cosine is not right: `where={"label": label}`, and the nearest that is left.'
                )
            if np.isclose(got[1], max(wanted), atol=1e-4) or got[1] > 0.9999:
                raise NotYet("The second is to come from *other* labels only: give `where` a list of them.")
            raise NotYet("The second cosine is not right: the nearest of all other labels together.")
    return (
        "Two filtered searches put both sides on one line, and no image speaks for itself. Where the second "
        "cosine is the larger, a person should look."
    )
