"""Moved to `metriclearn.model_selection`."""  # shim

from metriclearn.model_selection import small_side as side_for  # noqa: F401  shim

SCRATCH_STEPS = 600  # shim
