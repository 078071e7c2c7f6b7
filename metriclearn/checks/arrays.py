from metriclearn.validate import *  # noqa: F403  shim
