"""The old place of `metriclearn.cli.main`."""

from metriclearn.cli.main import FAILED, WRONG_USE, main  # shim

__all__ = ["FAILED", "WRONG_USE", "main"]
