"""Moved to `metriclearn.index.export`."""  # shim

from metriclearn.index.export import *  # noqa: F403
