"""Moved to `metriclearn.model_selection`."""  # shim

from types import SimpleNamespace

from metriclearn.model_selection import Score, choose_method, decide, significantly_better  # noqa: F401  shim
from metriclearn.model_selection import logistic_regression as logistic  # noqa: F401  shim
from metriclearn.photos import downscale

Judged = Score
Score.right = property(lambda self: self.correct)  # type: ignore[attr-defined]  # shim


def beats(one, other):  # type: ignore[no-untyped-def]  # noqa: D103  shim
    both = [SimpleNamespace(rows=each.rows, correct=each.right) for each in (one, other)]
    return significantly_better(*both)


def shrunk(images, side=48):  # type: ignore[no-untyped-def]  # noqa: D103  shim
    return downscale(images, side)
