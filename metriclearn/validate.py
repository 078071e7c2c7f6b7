"""See `metriclearn.checks.arrays`."""

from metriclearn.checks.arrays import *  # noqa: F403  # shim
