"""Moved to `metriclearn.model_selection`."""  # shim

from metriclearn.model_selection import Score, choose_method, decide  # noqa: F401  shim
from metriclearn.model_selection import logistic_regression as logistic  # noqa: F401  shim
from metriclearn.model_selection import significantly_better as beats  # noqa: F401  shim
from metriclearn.photos import downscale

Judged = Score
Score.right = property(lambda self: self.correct)  # type: ignore[attr-defined]  # shim


def shrunk(images, side=48):  # type: ignore[no-untyped-def]  # shim
    return downscale(images, side)
