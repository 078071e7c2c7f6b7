"""Moved to `metriclearn.cross_validation`."""  # shim

from metriclearn.cross_validation import CrossValidation as HeldOut  # shim
from metriclearn.cross_validation import Predictions
from metriclearn.cross_validation import cross_validate as _cross_validate
from metriclearn.cross_validation import leave_one_class_out as _leave_one_class_out
from metriclearn.cross_validation import predict_by_neighbours as vote  # noqa: F401  shim
from metriclearn.cross_validation import stratified_folds as deal  # noqa: F401  shim
from metriclearn.neighbours import votes as _votes

CrossValidation = HeldOut
HeldOut.votes = property(lambda self: self.predictions)  # type: ignore[attr-defined]  # shim
HeldOut.right = property(lambda self: self.correct)  # type: ignore[attr-defined]  # shim


def votes_of(labels, cosines, nearest):  # type: ignore[no-untyped-def]  # noqa: D103  shim
    classes, shares = _votes(labels, cosines)
    return Predictions(classes[shares.argmax(axis=1)], shares.max(axis=1), cosines[:, 0], nearest, cosines)


def cross_fit(learn, labels, *, enough=None, **options):  # type: ignore[no-untyped-def]  # noqa: D103  shim
    return _cross_validate(learn, labels, stop=enough, **options)


def caught(learn, labels, threshold, *, most=5, k=5):  # type: ignore[no-untyped-def]  # noqa: D103  shim
    return _leave_one_class_out(learn, labels, threshold, max_classes=most, k=k)
