"""Wrong answers to the exercises of notebook 6, each with a part of its hint."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CAUGHT = {"letters": 0.5, "turned digits": 0.1, "photos": 77.9, "noise": 100.0}


def columns(cosine: Floats, labels: Ints, k: int = 5) -> tuple[Floats, Ints]:
    """Shares of the votes, and the numbers of the columns that win."""
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    weights = np.exp((np.take_along_axis(cosine, nearest, axis=1) - 1) / 0.1)
    shares = (weights[:, :, None] * (labels[nearest][:, :, None] == np.unique(labels))).sum(axis=1)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares, shares.argmax(axis=1)


def classes(cosine: Floats, labels: Ints, k: int = 5) -> Ints:
    return np.unique(labels)[columns(cosine, labels, k)[1]]


def column_as_class(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return np.where(cosine.max(axis=1) < threshold, -1, columns(cosine, labels)[1])


def by_share(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    shares, _ = columns(cosine, labels)
    return np.where(shares.max(axis=1) < threshold, -1, classes(cosine, labels))


def too_strict(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return np.where(cosine.max(axis=1) <= threshold, -1, classes(cosine, labels))


def turned_round(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return np.where(cosine.max(axis=1) > threshold, -1, classes(cosine, labels))


def never_unknown(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return classes(cosine, labels)


def nearest_only(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return np.where(cosine.max(axis=1) < threshold, -1, labels[cosine.argmax(axis=1)])


def all_vote(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return np.where(cosine.max(axis=1) < threshold, -1, classes(cosine, labels, k=300))


def size_of_threshold(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return np.where(cosine.max(axis=1) < abs(threshold), -1, classes(cosine, labels))


def cosine_of_another_image(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return np.where(cosine.max(axis=0)[: len(cosine)] < threshold, -1, classes(cosine, labels))


def heads_counted(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    nearest = labels[np.argsort(-cosine, axis=1)[:, :5]]
    most = np.array([np.bincount(row).argmax() for row in nearest])
    return np.where(cosine.max(axis=1) < threshold, -1, most)


def four_vote(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return np.where(cosine.max(axis=1) < threshold, -1, classes(cosine, labels, k=4))


def by_fifth(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return np.where(np.sort(cosine, axis=1)[:, -5] < threshold, -1, classes(cosine, labels))


def by_mean(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return np.where(np.sort(cosine, axis=1)[:, -5:].mean(axis=1) < threshold, -1, classes(cosine, labels))


def names_by_heart(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    named = np.array([2, 5, 7, 9])[columns(cosine, labels)[1]]
    return np.where(cosine.max(axis=1) < threshold, -1, named)


def in_blocks_of_100(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    named = labels[(100 * columns(cosine, labels)[1]).clip(max=len(labels) - 1)]
    return np.where(cosine.max(axis=1) < threshold, -1, named)


def in_order_of_appearance(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    named = np.array([*dict.fromkeys(labels.tolist())])[columns(cosine, labels)[1]]
    return np.where(cosine.max(axis=1) < threshold, -1, named)


def thirty_images(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    return np.where(cosine.max(axis=1) < threshold, -1, classes(cosine, labels))[:30]


def zero_is_none(cosine: Floats, labels: Ints, threshold: float) -> Ints:
    named = classes(cosine, labels)
    return np.where((cosine.max(axis=1) < threshold) | (named == 0), -1, named)


WRONG = [
    ("6.1", (0.75, {1: 59.9, 0.01: 71.8}), "looks like a share"),
    ("6.1", (75, {1: 0.599, 0.01: 0.718}), "look like shares"),
    ("6.1", (75, {1: 2.24, 0.01: 0.0}), "sum of all five weights"),
    ("6.1", (75, {1: 40.1, 0.01: 28.2}), "votes for 2"),
    ("6.1", (75, {1: 71.8, 0.01: 59.9}), "may be swapped"),
    ("6.1", (75, {1: 59.0, 0.01: 59.0}), "reach the weights"),
    ("6.1", (75, {1: 59.9, 0.01: 100.0}), "all five cosines"),
    ("6.1", (75, [59.9, 71.8]), "the keys 1 and 0.01"),
    ("6.1", (75, {1: 60.0, 0.01: 71.8}), "count of heads"),
    ("6.1", (75, {1: 60, 0.01: 60}), "count of heads"),
    ("6.1", (75, {1: 60, 0.01: 73}), "count of heads"),
    ("6.1", (75, {1: 59.99, 0.01: 71.8}), "count of heads"),  # T = 10
    ("6.1", (75, {1: 59.82, 0.01: 71.8}), "all five cosines"),  # cosines as weights
    ("6.1", (75, {1: 59.88, 0.01: 60.0}), "all five cosines"),  # times T
    ("6.1", (75, {1: 223.9, 0.01: 0.0}), "between 0 and 100"),  # not divided
    ("6.1", (75, {1: 59.88, 0.01: np.nan}), "NaN"),  # 0 divided by 0
    ("6.1", (175, {1: 59.88, 0.01: 71.79}), "between 0 and 100"),
    ("6.2", ({0.01: 1.2, 0.2: 0.178}, {0.01: 0, 0.2: 0.977}), "look like shares"),
    ("6.2", ({0.01: 98.8, 0.2: 82.2}, {0.01: 100, 0.2: 2.3}), "*below* the threshold"),
    ("6.2", ({0.01: 17.8, 0.2: 1.2}, {0.01: 0, 0.2: 97.7}), "swapped"),
    ("6.2", ({0.01: 0.8, 0.2: 19.8}, {0.01: 0, 0.2: 99}), "chosen on the images that judge"),
    ("6.2", ({0.01: 1.0, 0.2: 19.0}, {0.01: 0, 0.2: 98}), "the two halves apart"),
    ("6.2", ({0.01: 12.0, 0.2: 45.0}, {0.01: 0, 0.2: 99}), "is not what the 500 lose"),
    ("6.2", ({0.01: 1.2, 0.2: 17.8}, {0.01: 18.8, 0.2: 77.4}), "noise is not"),
    ("6.2", ({1: 1.2, 20: 17.8}, {1: 0, 20: 97.7}), "the keys 0.01 and 0.2"),
    ("6.2", ({0.01: 1, 0.2: 18}, {0.01: 0, 0.2: 98}), "one digit of 500 is 0.2 %"),
    ("6.2", ({0.01: 1.4, 0.2: 17.8}, {0.01: 0, 0.2: 98.0}), "Choose with `cut`"),  # np.quantile
    ("6.2", ({0.01: 1.2, 0.2: 18.9}, {0.01: 0, 0.2: 98.0}), "the two halves apart"),  # of all 1,000
    ("6.2", ({0.01: 6, 0.2: 89}, {0.01: 0, 0.2: 97.7}), "is not what the 500 lose"),  # counts
    ("6.2", ({0.01: 1.2, 0.2: 17.8}, {0.01: 0, 0.2: 95.0}), "noise is not"),  # photos
    ("6.2", ({0.01: 1.2, 0.2: 17.8}, {0.01: 97.7, 0.2: 0}), "*below* the threshold"),
    ("6.2", ({0.01: 1.2, 0.2: 17.8}, {0.01: 0, 0.2: np.nan}), "NaN"),
    ("6.2", ({0.01: 1.2, 0.2: 17.8}, {0.01: 0, 0.2: 977}), "between 0 and 100"),
    ("6.2", ({0.01: 99.0, 0.2: 80.2}, {0.01: 100, 0.2: 100}), "*below* the threshold"),  # wrong end
    ("6.3", (column_as_class,), "Which class does the column stand for"),
    ("6.3", (by_share,), "not the share of the votes"),
    ("6.3", (cosine_of_another_image,), "Others are turned away"),
    ("6.3", (too_strict,), "exactly the threshold"),
    ("6.3", (turned_round,), "*small* cosines"),
    ("6.3", (never_unknown,), "Nobody is turned away"),
    ("6.3", (nearest_only,), "let five of them vote"),
    ("6.3", (all_vote,), "some classes are not"),
    ("6.3", (size_of_threshold,), "it should turn none away"),
    ("6.3", (lambda cosine, labels, threshold: 7,), "shape"),
    ("6.3", (heads_counted,), "some classes are not"),
    ("6.3", (four_vote,), "Some classes are not"),
    ("6.3", (by_fifth,), "Others are turned away"),
    ("6.3", (by_mean,), "Others are turned away"),
    ("6.3", (names_by_heart,), "in mixed order"),
    ("6.3", (in_blocks_of_100,), "in mixed order"),
    ("6.3", (in_order_of_appearance,), "in mixed order"),
    ("6.3", (zero_is_none,), "in mixed order"),
    ("6.3", (thirty_images,), "(41,)"),
    ("6.3", (lambda c, y, t: classes(c, y).sort(),), "returns nothing"),
    ("6.3", (lambda c, y, t: np.full(30, np.nan),), "NaN"),
    ("6.3", (lambda c, y, t: too_strict(c, y, t) >= 0,), "Nobody is turned away"),
    ("6.4", (0.044, CAUGHT, 0), "look like shares"),
    ("6.4", (4.4, {name: caught / 100 for name, caught in CAUGHT.items()}, 0), "look like shares"),
    ("6.4", (95.6, CAUGHT, 0), "digits that stay"),
    ("6.4", (0, dict.fromkeys(CAUGHT, 0), 0), "`encoder.transform` scales"),
    ("6.4", (3.4, {"letters": 21, "turned digits": 33, "photos": 0.8, "noise": 0}, 46), "print both medians"),
    ("6.4", (4.2, {"letters": 14, "turned digits": 22, "photos": 74, "noise": 100}, 20), "at the other end"),
    ("6.4", (4.8, CAUGHT, 0), "chosen on the images that judge"),
    ("6.4", (2.2, CAUGHT | {"photos": 63.0}, 0), "another limit"),
    ("6.4", (4.4, CAUGHT, 100), "Dim the noise before"),
    ("6.4", (4.4, {"noise": 100}, 0), "Keep `caught_by_length`"),
    ("6.4", (4.6, CAUGHT | {"photos": 78.2}, 0), "chosen on the images that judge"),  # on all 1,000
    ("6.4", (0.8, CAUGHT | {"photos": 68.2}, 0), "another limit"),  # 1 %
    ("6.4", (8.8, CAUGHT | {"letters": 1.0, "photos": 81.8}, 0), "another limit"),  # 10 %
    ("6.4", (0.2, CAUGHT | {"letters": 0.0, "photos": 56.0}, 0), "another limit"),  # the longest
    ("6.4", (4.4, CAUGHT | {"letters": 0.1, "turned digits": 0.5}, 0), "under its own key"),
    ("6.4", (4.4, CAUGHT, 97.7), "Dim the noise before"),
    ("6.4", (np.nan, CAUGHT, 0), "NaN"),
    ("6.4", (4, {"letters": 0, "turned digits": 0, "photos": 78, "noise": 100}, 0), "one decimal"),
    ("6.4", (4.4, dict.fromkeys(CAUGHT, 77.9), 0), "at the other end"),
    ("6.4", (22, CAUGHT, 0), "another limit"),  # a count of 500
]
