"""See `metriclearn.checks.labels`."""

from metriclearn.checks.labels import *  # noqa: F403  # shim
