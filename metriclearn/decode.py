from metriclearn.photos.decode import *  # noqa
