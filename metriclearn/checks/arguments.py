from metriclearn.settings import *  # noqa: F403  shim
