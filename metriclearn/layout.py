"""Moved to `metriclearn.index.collection`."""  # shim

from metriclearn.index.collection import *  # noqa: F403
