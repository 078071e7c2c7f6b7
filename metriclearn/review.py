from metriclearn.curation import DuplicatePair as Twins, Finding, duplicates, what_to_review  # noqa
