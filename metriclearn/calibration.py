"""Calibrated confidence: how likely an answer of nearest neighbours is right.

The share of the votes is no probability: five neighbours of one class give a share of 1, whether they are
near or far. So a logistic regression learns from held-out answers how often an answer was right, given the
similarity of its nearest example and its share of the votes (Platt scaling, Platt 1999; Niculescu-Mizil and
Caruana 2005, https://doi.org/10.1145/1102351.1102430).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from metriclearn.cross_validation import CrossValidation
from metriclearn.neighbours import Predictions

FEWEST = 20  # held-out answers; with fewer, one number stands for all
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A map from the neighbours' similarity and votes to the probability that the answer is right.

    Attributes:
        intercept: of the logistic regression.
        similarity: its weight of the similarity of the nearest example.
        share: its weight of the share of the votes.

    Example:
        >>> calibration = Calibration.fit(held_out.predictions, held_out.correct)  # doctest: +SKIP
        >>> calibration.probability(classifier.explain(embeddings))  # doctest: +SKIP
    """

    intercept: float
    similarity: float
    share: float

    @classmethod
    def fit(cls, predictions: Predictions, correct: npt.NDArray[np.bool_]) -> "Calibration":
        """Learn it from held-out answers.

        Args:
            predictions: what was said of n images by classifiers that had not met them.
            correct: bool, shape `(n,)`: which of these answers were right.

        Raises:
            ValueError: for no answer, or another number of them.
        """
        right = np.asarray(correct, dtype=bool)
        if right.shape != predictions.confidence.shape or not right.size:
            raise ValueError(f"correct has shape {right.shape}: pass one for each held-out answer.")
        hits, n = int(right.sum()), right.size
        if n < FEWEST or hits in (0, n):
            share = (hits + 1) / (n + 2)  # Laplace's rule of succession: never quite sure
            return cls(float(np.log(share / (1 - share))), 0.0, 0.0)
        known = _features(predictions)
        mean, scale = known.mean(axis=0), known.std(axis=0) + 1e-6
        model = LogisticRegression(C=1.0).fit((known - mean) / scale, right)
        weights = np.maximum(model.coef_[0], 0) / scale  # nearer is never worse
        # The intercept alone is fitted anew, so that the mean probability is the share that was right.
        intercept = _intercept(known @ weights, right)
        return cls(intercept, *map(float, weights))

    def probability(self, predictions: Predictions) -> Probabilities:
        """Return the probability that each answer is right, float64 of shape `(n,)`."""
        scores = self.intercept + _features(predictions) @ np.array([self.similarity, self.share])
        found: Probabilities = expit(scores)
        return found


def held_out_probabilities(held_out: CrossValidation, seed: int = 0) -> Probabilities:
    """Return the probability that each held-out answer is right, from the other held-out answers.

    Each answer is calibrated by those of the other four of five folds, so that the probabilities can be
    compared with what was right.

    Args:
        held_out: what was said of n images by classifiers that had not met them.
        seed: of the folds.

    Returns:
        float64, shape `(n,)`.
    """
    said, right = held_out.predictions, held_out.correct
    found = np.empty(len(right))
    for rest, asked in KFold(min(5, len(right)), shuffle=True, random_state=seed).split(right):
        found[asked] = Calibration.fit(said.chosen(rest), right[rest]).probability(said.chosen(asked))
    return found


def expected_calibration_error(probabilities: npt.ArrayLike, correct: npt.ArrayLike, bins: int = 10) -> float:
    """Return the expected calibration error, in percent.

    The answers are put into bins of equal numbers by their probability; in each bin the mean probability is
    compared with the share that is right (Naeini et al. 2015, https://doi.org/10.1609/aaai.v29i1.9602; equal
    numbers as Nixon et al. 2019, https://arxiv.org/abs/1904.01685).

    Args:
        probabilities: float, shape `(n,)`, in [0, 1].
        correct: bool, shape `(n,)`.
        bins: how many; of fewer answers, as many.
    """
    told, right = np.asarray(probabilities, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    parts = np.array_split(np.argsort(told, kind="stable"), min(bins, len(told)))
    gaps = [abs(told[part].mean() - right[part].mean()) * len(part) for part in parts]
    return 100 * float(sum(gaps)) / len(told)


def _features(predictions: Predictions) -> npt.NDArray[np.float64]:
    return np.column_stack([predictions.similarity, predictions.confidence]).astype(np.float64)


def _intercept(scores: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float:
    """Return the intercept with which the mean probability is the share that is right."""
    low, high = -100.0 - scores.max(), 100.0 - scores.min()
    return float(brentq(lambda start: expit(scores + start).mean() - right.mean(), low, high))
