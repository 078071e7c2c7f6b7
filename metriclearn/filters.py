"""Moved to `metriclearn.index.filters`."""  # shim

from metriclearn.index.filters import *  # noqa: F403
