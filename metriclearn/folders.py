from metriclearn.photos.listing import *  # noqa
