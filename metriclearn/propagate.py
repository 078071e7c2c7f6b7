from metriclearn.label_propagation import *  # noqa
from metriclearn.label_propagation import most_confident as surest  # noqa
