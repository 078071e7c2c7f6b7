from metriclearn.files import *  # noqa
from metriclearn.files import CACHE_VARIABLE, CHECKOUT, cached_array as kept_array  # noqa
