"""Moved to `metriclearn.index.examples`."""  # shim

from metriclearn.index.examples import *  # noqa: F403
from metriclearn.index.examples import StoredExamples as Kept  # noqa: F401
