from metriclearn.labels import *  # noqa: F403  shim
