from metriclearn.curation import *  # noqa
from metriclearn.curation import label_errors as suspicious_labels, select_for_labelling as what_to_label_next  # noqa
from metriclearn.label_propagation import propagate_labels  # noqa
from metriclearn.unknown import unknown_threshold, conformal_threshold as lowest_allowed  # noqa
