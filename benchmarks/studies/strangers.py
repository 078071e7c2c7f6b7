"""Who notices strangers: the metric embedding, its pool, or just the question for the nearest image?

Notebooks 6 and 8 compare the embedding's nearest cosine with the softmax of a supervised CNN. That changes
two things at once, the encoder and the score. Here each encoder is asked for its nearest labelled image: the
CNN by its layer before last, the pixels themselves, and the embedding with and without the pool. All see the
same ten labels of each class. Two worlds:

* far strangers, those of notebook 6: letters, turned digits, crops of photographs, noise;
* near strangers, those of notebook 8: trained on the digits 0 to 6, asked about 7, 8 and 9.

    python -m benchmarks.studies.strangers            # ten minutes on one core
"""

from functools import cache
from string import ascii_uppercase

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.common import DRAWS, read_results, unit
from benchmarks.digits import POOL, TEST, rows
from benchmarks.new_classes import OLD, features
from benchmarks.studies.objections import run
from benchmarks.studies.objections_encoders import budget, network, usual, without_pool
from benchmarks.studies.objections_stores import CALIBRATION, HALVES, NEIGHBOURS, TEMPERATURE, open_set
from benchmarks.studies.objections_training import Claim, Table
from metriclearn import MetricEmbedding
from metriclearn.course.strangers import CROPS, SHAKEN, letters, strangers
from metriclearn.neighbours import nearest, votes
from metriclearn.training import predict_logits
from metriclearn.unknown import conformal_threshold

FONT = "DejaVuSans"
OTHER_FONTS = ["DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral", "cmr10", "cmss10", "cmtt10"]
SHARE, RESAMPLES = 0.05, 10_000
DIGITS, OLD_DIGITS = tuple(range(10)), tuple(OLD.tolist())
METHOD = "embedding, nearest cosine"
ALONE = "embedding without the pool, nearest cosine"
SOFTMAX = "CNN, softmax"
CNN_NEAREST = "CNN, nearest cosine on its layer before last"
PIXELS = "raw pixels, nearest cosine"
SHARE_OF_VOTES = "embedding, share of votes"
BRIGHTNESS = "mean brightness alone (the darker, the more like a digit)"
NEAR_FIGURES = ("AUROC, %", "strangers let in at 5 % rejects, %")
Answers = dict[str, tuple[np.ndarray, np.ndarray]]


# The strangers of notebook 6.


@cache
def worlds() -> dict[str, np.ndarray]:
    """Return the four kinds of strangers, each float32 of shape `(n, 1, 28, 28)`."""
    found = strangers(TEST.pixels)
    return {"photographs" if name == "photos" else name: images for name, images in found.items()}


# Every score, for images of any kind.


def by_nearest(stored: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine to the nearest stored image, and its label."""
    cosine = asked @ stored.T
    return cosine.max(axis=1), labels[cosine.argmax(axis=1)]


def without_the_pool(draw: int, known: tuple[int, ...], images: np.ndarray) -> Answers:
    """Return what each method without the pool says of images: how familiar they look, and their digit.

    Args:
        draw: of the labels.
        known: the digits that have labels.
        images: float32, shape `(n, 1, 28, 28)`.
    """
    learnt = np.flatnonzero(np.isin(budget(draw), known))
    pixels, labels = POOL.pixels[learnt], POOL.labels[learnt]
    cnn, alone = network(draw, known), without_pool(draw, known)
    logits = torch.as_tensor(predict_logits(cnn, images)).double()
    of_pixels = by_nearest(unit(rows(pixels)), labels, unit(rows(images)))
    return {
        SOFTMAX: (logits.softmax(dim=1).amax(dim=1).numpy(), np.array(known)[logits.argmax(dim=1).numpy()]),
        CNN_NEAREST: by_nearest(features(cnn, pixels), labels, features(cnn, images)),
        PIXELS: of_pixels,
        ALONE: by_nearest(alone.transform(pixels), labels, alone.transform(images)),
        BRIGHTNESS: (-images.mean(axis=(1, 2, 3)), of_pixels[1]),
    }


def with_the_pool(draw: int, embedding: MetricEmbedding, images: np.ndarray) -> Answers:
    """Return what the default says of images: the nearest labelled one, and the votes of five."""
    learnt = np.flatnonzero(budget(draw) >= 0)
    stored, asked = embedding.transform(POOL.pixels[learnt]), embedding.transform(images)
    found, cosines = nearest(asked, stored, NEIGHBOURS)
    classes, shares = votes(POOL.labels[learnt][found], cosines, temperature=TEMPERATURE)
    return {
        METHOD: by_nearest(stored, POOL.labels[learnt], asked),
        SHARE_OF_VOTES: (shares.max(axis=1), classes[shares.argmax(axis=1)]),
    }


def auroc(known: np.ndarray, strange: np.ndarray) -> float:
    """Return how often a known image scores higher than a stranger, in percent."""
    truth = np.repeat([1, 0], [len(known), len(strange)])
    return 100 * float(roc_auc_score(truth, np.concatenate([known, strange])))


def far(draw: int) -> Table:
    """Tell digits from the strangers of notebook 6."""

    def said(images: np.ndarray) -> Answers:
        return without_the_pool(draw, DIGITS, images) | with_the_pool(draw, usual(draw), images)

    digits = said(TEST.pixels)
    found: Table = {name: {} for name in digits}
    for world, images in worlds().items():
        for name, (scores, _) in said(images).items():
            found[name][f"{world}, AUROC, %"] = auroc(digits[name][0], scores)
    for figures in found.values():
        figures["mean, AUROC, %"] = float(np.mean(list(figures.values())))
    return found


def near(draw: int) -> Table:
    """Tell the digits 0 to 6 from 7, 8 and 9, of which nothing was seen."""
    strange = TEST.labels >= len(OLD)
    found = {
        name: open_set(scores, label == TEST.labels, strange)
        for name, (scores, label) in without_the_pool(draw, OLD_DIGITS, TEST.pixels).items()
    }
    found[BRIGHTNESS] = {key: found[BRIGHTNESS][key] for key in NEAR_FIGURES}  # it names no digit
    recorded = read_results("new_classes")["worlds"]["closed pool"]["before"]
    at = recorded["draws"].index(draw)
    values = (recorded[name][at] for name in ("auroc", "false_accepts"))
    found[METHOD] = dict(zip(NEAR_FIGURES, values, strict=True))
    return found


# How uncertain these shares are, of letters and of photographs.


def caught(draw: int) -> Table:
    """Count the strangers below a threshold that rejects 5 % of the digits, by letter and by photograph."""
    learnt = budget(draw) >= 0
    stored = usual(draw).transform(POOL.pixels[learnt])

    def score(images: np.ndarray) -> np.ndarray:
        best: np.ndarray = (usual(draw).transform(images) @ stored.T).max(axis=1)
        return best

    threshold = conformal_threshold(score(TEST.pixels[:CALIBRATION]), SHARE)
    found: Table = {}
    for font in [FONT, *OTHER_FONTS]:
        shares = 100 * (score(letters(font)) < threshold).reshape(len(ascii_uppercase), SHAKEN).mean(axis=1)
        low, high = over_groups(shares)
        figures = {
            "caught, %": shares.mean(),
            "low end over letters, %": low,
            "high end over letters, %": high,
        }
        found[f"letters in {font}"] = {key: float(value) for key, value in figures.items()}
        if font == FONT:
            found |= {
                f"the letter {letter}": {"caught, %": float(share)}
                for letter, share in zip(ascii_uppercase, shares, strict=True)
            }
    for name, images in worlds().items():
        below = 100 * (score(images) < threshold)
        if name == "photographs":
            for number in range(len(images) // CROPS):
                part = below[number * CROPS : (number + 1) * CROPS]
                found[f"photograph {number + 1}"] = {"caught, %": float(part.mean())}
        elif name != "letters":
            found[name] = {"caught, %": float(below.mean())}
    return found


def over_groups(shares: np.ndarray) -> tuple[float, float]:
    """Return a 95 % interval of the mean over groups, such as letters: the bootstrap's percentiles."""
    random = np.random.default_rng(0)
    means = shares[random.integers(0, len(shares), (RESAMPLES, len(shares)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


# Whose scores set the threshold.


def thresholds(draw: int) -> Table:
    """Count the test images below thresholds from the labelled images, the pool, and images set aside."""
    learnt = budget(draw) >= 0
    stored, pool, test = (
        usual(draw).transform(pixels) for pixels in (POOL.pixels[learnt], POOL.pixels[~learnt], TEST.pixels)
    )
    best = (test @ stored.T).max(axis=1)
    own = nearest(stored, stored, 1, skip_self=True)[1][:, 0]
    sources = {"the labelled images": own, "the unlabelled pool": (pool @ stored.T).max(axis=1)}
    found = {
        f"from {name}": {"of the 1,000 test images rejected, %": 100 * float((best < cut).mean())}
        for name, cut in ((name, conformal_threshold(scores, SHARE)) for name, scores in sources.items())
    }
    random, shares = np.random.default_rng(draw), []
    for _ in range(HALVES):
        mixed = random.permutation(len(best))
        aside, judges = best[mixed[:CALIBRATION]], best[mixed[CALIBRATION:]]
        shares.append(100 * (judges < conformal_threshold(aside, SHARE)).mean())
    found[f"from {CALIBRATION} images set aside"] = {
        "of the 1,000 test images rejected, %": float(np.mean(shares)),
        "standard deviation over halves, points": float(np.std(shares)),
    }
    rows_of, cosines = nearest(test, stored, NEIGHBOURS)
    classes, votes_of = votes(POOL.labels[learnt][rows_of], cosines, temperature=TEMPERATURE)
    right, sure = classes[votes_of.argmax(axis=1)] == TEST.labels, votes_of.max(axis=1) > 1 - 1e-6
    found["share of votes"] = {
        "test images with a share of 100 %": float(sure.sum()),
        "of these right, %": 100 * float(right[sure].mean()),
        "of the others right, %": 100 * float(right[~sure].mean()),
    }
    return found


SAME = "the same 10 labels of each class, default training; the 1,000 test images are known or strange"
CLAIMS = {
    "far strangers": Claim(f"the strangers of notebook 6; {SAME}", METHOD, far, DRAWS),
    "near strangers": Claim(
        f"digits 0 to 6 have labels, and the pool holds no others; 7, 8 and 9 are strange; {SAME}; the "
        "embedding with the pool as recorded in new_classes.json",
        METHOD,
        near,
        DRAWS,
    ),
    "caught, by letter and by photograph": Claim(
        f"threshold at 5 % from {CALIBRATION} test images; {SHAKEN} shaken images of each letter, {CROPS} "
        "crops of each of two photographs; the ends are those of a bootstrap over the 26 letters",
        "",
        caught,
        DRAWS,
    ),
    "whose scores set the threshold": Claim(
        f"threshold at 5 %; set aside: mean over {HALVES} halves of the test images, the other half judges",
        "",
        thresholds,
        DRAWS,
    ),
}


def main() -> None:
    """Measure what is not done yet."""
    run("strangers", CLAIMS, __doc__)


if __name__ == "__main__":
    main()
