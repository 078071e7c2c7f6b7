"""Shim."""

from metriclearn.batches import batch_of as take  # noqa: F401  # shim
from metriclearn.batches import in_batches as in_batches  # shim
from metriclearn.batches import keep_freed_memory as keep_freed_memory  # shim
from metriclearn.training import embed as embed  # shim
from metriclearn.training import predict_logits as predict_logits  # shim
