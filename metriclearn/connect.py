"""Moved to `metriclearn.index.connection`."""  # shim

from metriclearn.index.connection import *  # noqa: F403
from metriclearn.index.connection import Location, find_location

Home, find_home = Location, find_location
