"""Moved to `metriclearn.index.reindex`."""  # shim

from metriclearn.index.reindex import *  # noqa: F403
