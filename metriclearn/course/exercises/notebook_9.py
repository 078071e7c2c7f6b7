"""Label less: which images to ask for, a wrong label that spreads, and a roll back."""

from collections.abc import Callable
from itertools import product

import numpy as np
import numpy.typing as npt

from metriclearn.checks.arrays import FloatArray
from metriclearn.checks.labels import LabelArray
from metriclearn.course.exercises import NotYet, array, call, compare, count, entries, number, percent
from metriclearn.curation import select_for_labelling
from metriclearn.index import EmbeddingIndex
from metriclearn.label_propagation import propagate_labels

DEGREES = np.array([0, 5, 10, 45, 80, 85, 90, -70])
TOY_LABELS = np.array([0, -1, -1, -1, -1, -1, 1, -1])
STRATEGIES = ("uncertainty", "diversity")
DAYS = ("2026-01-15", "2026-01-16", "2026-01-17")


def exercise_9_1(guess: object, picked: object, wanted_by_both: object) -> str:
    """Uncertainty stands between two clusters, diversity far from all; who satisfies both?"""
    guessed, found = (_angles(answer, name) for answer, name in ((guess, "guess"), (picked, "picked")))
    truth = {strategy: DEGREES[row] for strategy, row in _rows(DEGREES, TOY_LABELS).items()}
    for strategy in STRATEGIES:
        angle, right = found[strategy], truth[strategy]
        if angle == right:
            continue
        if angle == np.argmax(right == DEGREES):
            raise NotYet(f"For {strategy} that is the row number: which angle stands in that row?")
        if angle == truth[STRATEGIES[1 - STRATEGIES.index(strategy)]]:
            raise NotYet("The two strategies are swapped in `picked`.")
        if angle in (0, 90):
            raise NotYet(
                f"{angle:g} degrees has a label already: let `select_for_labelling` choose for {strategy}."
            )
        raise NotYet(f"{strategy.capitalize()} asks for another one: keep degrees and labels as they were.")
    ninth = number(wanted_by_both, "the angle of the ninth image", -360, 360)
    rows = _rows(np.append(DEGREES, ninth), np.append(TOY_LABELS, -1))
    missed = [strategy for strategy, row in rows.items() if row != len(DEGREES)]
    if missed == ["uncertainty"]:
        near = DEGREES[np.cos(np.radians(DEGREES - ninth)).argmax()]
        raise NotYet(
            f"At {ninth:g} degrees only diversity asks for it: the image at {near} degrees is less than a "
            "right angle away and lends it a sure name."
        )
    if missed == ["diversity"]:
        raise NotYet(f"At {ninth:g} degrees only uncertainty asks for it: go farther from all labels.")
    if missed:
        raise NotYet(
            f"At {ninth:g} degrees neither asks for it: where is it far from both labels, and from -70 "
            "degrees too?"
        )
    hits = sum(guessed[strategy] == truth[strategy] for strategy in STRATEGIES)
    return (
        f"You guessed {hits} of 2. Uncertainty stands between the two classes, diversity where nobody is. "
        "Both ask for an image that resembles none: it may be a find, or a scan that failed."
    )


def _angles(answer: object, name: str) -> dict[str, float]:
    given = entries(answer, name, STRATEGIES)
    return {key: number(angle, f"the angle for {key}", -360, 360) for key, angle in given.items()}


def _rows(degrees: npt.NDArray[np.number], labels: LabelArray) -> dict[str, int]:
    """Return the row that each strategy asks for, of images at these angles on a circle."""
    angles = np.radians(degrees)
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    return {name: int(select_for_labelling(vectors, labels, 1, name)[0]) for name in STRATEGIES}


def exercise_9_2(
    guess: object,
    measured_with: object,
    gate_protects: object,
    pool: tuple[FloatArray, LabelArray, LabelArray],
) -> str:
    """One wrong label of ten: its whole class gets the wrong name, and the gate opens for it."""
    guessed = percent(guess, "your guess")
    given = entries(measured_with, "measured_with", (1.0, 0.5))
    found = {
        1.0: percent(given[1.0], "what is wrong at share=1.0"),
        0.5: number(given[0.5], "what is wrong at share=0.5", 0, 100),
    }
    every, half = (_wrong(*pool, share)["right"] for share in given)
    if np.allclose([found[1.0], found[0.5]], [half, every], rtol=0, atol=0.06):
        raise NotYet("The two are swapped: the gate is shut half-way at share=0.5.")
    for share, wrong in found.items():
        mistakes = _wrong(*pool, share)
        truth = mistakes.pop("right")
        if wrong == round(truth) != truth:
            raise NotYet(f"At share={share} do not round: hand over the figure as it is.")
        compare(
            wrong,
            truth,
            [(value, f"At share={share} {hint}") for hint, value in mistakes.items()],
            f"At share={share} these `in_pool` and `labels` give another figure: change the 4 alone, count "
            "what the machine labelled, and do not round.",
            atol=0.06,
        )
    if not isinstance(gate_protects, bool | np.bool_):
        raise NotYet("Say True or False: does the gate protect against a wrong label by a person?")
    if gate_protects:
        raise NotYet(
            "Compare: when all ten labels are right, hardly any of the surest half is wrong. And with yours?"
        )
    near = "not far off" if abs(guessed - every) < 4 else "too high" if guessed > every else "too low"
    worse = f"With the gate it is even worse, {half:.0f} % instead of {every:.0f} %: " if half > every else ""
    reason = "the gate asks whether neighbours agree, and around a wrong label they do."
    return (
        f"Your guess was {near}. A tenth of the pool are 4s, and nearly all of them are now called 9. "
        f"{worse}{reason if worse else reason.capitalize()}"
    )


def _wrong(vectors: FloatArray, labels: LabelArray, truth: LabelArray, share: float) -> dict[str, float]:
    """Return what percentage of the machine's labels is wrong, and what mistakes would give, by hint."""

    def spread(one: int, called: int) -> tuple[LabelArray, npt.NDArray[np.bool_]]:
        mistaken = np.where(labels == one, called, labels)
        added = propagate_labels(vectors, mistaken, share)
        return added, (added >= 0) & (mistaken < 0)

    added, machine = spread(4, 9)
    backwards, by_machine = spread(9, 4)
    untouched, by_it = spread(4, 4)
    right = float(100 * np.mean(added[machine] != truth[machine]))
    return {
        "right": right,
        "you count the right ones: which are wrong?": 100 - right,
        "an image without a label counts as wrong: the machine named only some.": float(
            100 * np.mean(added != truth)
        ),
        "you count people's labels as well: only the machine's are asked for.": float(
            100 * np.mean(added[added >= 0] != truth[added >= 0])
        ),
        "all labels are still right: did the wrong name reach `propagate_labels`?": float(
            100 * np.mean(untouched[by_it] != truth[by_it])
        ),
        "the 9 is called 4: it should be the other way round.": float(
            100 * np.mean(backwards[by_machine] != truth[by_machine])
        ),
    }


def exercise_9_3(roll_back: Callable[..., object]) -> str:
    """A roll back by filter: the machine's labels of one day, and nothing else."""
    for day in (DAYS[1], DAYS[0], DAYS[2]):
        with EmbeddingIndex(dim=4, collection="exercise", path=":memory:") as index:
            points = _fill(index)
            bad = [name for name, (by, when) in points.items() if (by, when) == ("machine", day)]
            returned = call(roll_back, index, day)
            left = {name: index.count({"source": name}) for name in points}
            cleared = any(
                left[name] and not index.count({"source": name, "label": [0, 1, 2]}) for name in bad
            )
        if cleared:
            raise NotYet("You cleared labels: delete the points themselves, with their vectors.")
        for name, (by, when) in points.items():
            if name in bad and left[name]:
                raise NotYet(f"A label that the machine gave on {day} is still there.")
            if name not in bad and not left[name]:
                raise NotYet(f"A label of {when} by '{by}' is gone: only the machine's of {day} were wrong.")
        removed = count(returned, "how many were removed", 0, len(points))
        if removed == len(points) - len(bad) != len(bad):
            raise NotYet("You return how many are left: return how many were removed.")
        if removed == 0 != len(bad):
            raise NotYet("You return 0: count the points that meet the condition before you delete them.")
        if removed != len(bad):
            raise NotYet(
                f"The right points are gone, but you return {removed:g}: there were {len(bad)} of them."
            )
    return "Other days, people's labels and an image that a person corrected are all still there."


def _fill(index: EmbeddingIndex) -> dict[str, tuple[str, str]]:
    """Store labels with who gave them and when; return both by the name of the image."""
    random = np.random.default_rng(0)
    points = {f"{by} {day} {i}": (by, day) for by, day, i in product(("person", "import"), DAYS, range(2))}
    points |= {
        f"machine {day} {i}": ("machine", day)
        for day, n in zip(DAYS, (4, 7, 0), strict=True)
        for i in range(n)
    }
    corrected = f"machine {DAYS[1]} 0"
    for given in (points, {corrected: ("person", DAYS[1])}):
        index.upsert(
            random.normal(size=(len(given), 4)).astype(np.float32),
            labels=np.arange(len(given)) % 3,
            sources=list(given),
            payloads=[{"label_by": by, "labelled": day} for by, day in given.values()],
        )
    return points | {corrected: ("person", DAYS[1])}


def exercise_9_4(farthest_first: Callable[..., object]) -> str:
    """k-center greedy, step by step."""
    random = np.random.default_rng(0)
    for n_images, n_labels, width, n in [(40, 4, 3, 1), (60, 5, 3, 6), (200, 10, 8, 12), (20, 3, 4, 17)]:
        vectors = random.normal(size=(n_images, width)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        labels = np.full(n_images, -1)
        labels[random.permutation(n_images)[:n_labels]] = np.arange(n_labels)
        found = array(call(farthest_first, vectors.copy(), labels.copy(), n), "what it returns", (n,))
        _compare(found, vectors, labels, n)
    return "One image after the other, the same as `select_for_labelling`, up to the last one of the pool."


def _compare(found: npt.NDArray[np.int_], vectors: FloatArray, labels: LabelArray, n: int) -> None:
    """Raise the hint that fits, unless these are the rows of k-center greedy in their order."""
    free = np.flatnonzero(labels < 0)
    wanted = select_for_labelling(vectors, labels, n, "diversity")
    if np.array_equal(found, wanted):
        return
    cosine = vectors[free] @ vectors[labels >= 0].T
    nearest = cosine.max(axis=1)
    if np.array_equal(free[found[found < len(free)]], wanted):
        raise NotYet("These are places among the images without a label: give row numbers of all images.")
    if np.any((found < 0) | (found >= len(labels))):
        raise NotYet("That is no list of row numbers: return rows of `vectors`.")
    if np.any(labels[found] >= 0):
        raise NotYet(f"Row {found[labels[found] >= 0][0]} has a label already: choose among the others.")
    if len(np.unique(found)) < n:
        raise NotYet("One image is chosen twice: what is taken must not be taken again.")
    if found[0] == free[nearest.argmax()]:
        raise NotYet("You begin with the nearest: a large cosine is near, so look for the smallest.")
    if found[0] == free[cosine.min(axis=1).argmin()] != wanted[0]:
        raise NotYet("You look at the farthest labelled image of each: the nearest one decides.")
    if found[0] == free[cosine.mean(axis=1).argmin()] != wanted[0]:
        raise NotYet("You look at the labelled images on average: the nearest one decides.")
    if np.array_equal(found, free[np.argsort(nearest)[:n]]):
        raise NotYet(
            "You take all at once: an image that is chosen counts from then on, so look again each time."
        )
    if set(found) == set(wanted):
        raise NotYet("These are the right images: return them in the order in which they are chosen.")
    right = int(np.argmax(found != wanted))
    if right == 0:
        raise NotYet(
            "The first choice is wrong: which image has the smallest cosine to its nearest labelled one?"
        )
    raise NotYet(
        f"The first {right} choices are right, the next is not: is it far from those chosen before, too?"
    )
