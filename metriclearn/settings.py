"""See `metriclearn.checks.arguments`."""

from metriclearn.checks.arguments import *  # noqa: F403  # shim
