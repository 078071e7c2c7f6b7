from metriclearn.metrics import *  # noqa
from metriclearn.metrics import (
    wilson_interval as share_interval,
    t_interval as mean_interval,
    collapse_diagnostics as collapse_gauges,
    CollapseDiagnostics as Gauges,
)  # noqa
from metriclearn.course.bands import Bands  # noqa
