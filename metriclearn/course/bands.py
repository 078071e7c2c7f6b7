"""Bands: the range in which a trained figure lies, whatever the machine."""

import json
import os
from pathlib import Path
from typing import Any

RECORD_VARIABLE = "METRICLEARN_RECORD"


class Bands:
    """The range in which each figure of the notebooks lies, whatever the machine.

    A trained network gives slightly other numbers with another processor or number of threads. So
    the notebooks print whether a figure lies in the band that was measured over seeds and threads.
    The file is made by `benchmarks/bands.py`, on `mnist-5k`: figures of another set have no band.

    Args:
        path: a JSON file of the form `{"name": {"low": …, "high": …, "values": […]}}`; the values are those
            that were measured, and may be missing.
        dataset: the set of images that the figures will come from.

    Raises:
        FileNotFoundError: if there is no such file.
    """

    def __init__(self, path: str | Path, dataset: str = "mnist-5k") -> None:
        self._bands: dict[str, dict[str, Any]] = json.loads(Path(path).read_text(encoding="utf-8"))
        self._hold = dataset == "mnist-5k"

    def verdict(self, name: str, value: float) -> str:
        """Return one line that says whether `value` lies in its band, and what was measured for it.

        With the environment variable METRICLEARN_RECORD set to a file, the value is also added to it.
        """
        if record := os.environ.get(RECORD_VARIABLE):
            with Path(record).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"name": name, "value": float(value)}) + "\n")
        if not self._hold:
            return f"{name}: {value:.4g} (no band for this data set)"
        if name not in self._bands:
            return f"{name}: no band has been measured yet"
        band = self._bands[name]
        low, high, values = band["low"], band["high"], band.get("values")
        if not low <= value <= high:
            return f"{name}: OUTSIDE the band {low:g} to {high:g}, at {value:.4g}"
        seen = f" (measured {min(values):.3g} to {max(values):.3g})" if values else ""
        return f"{name}: inside the band {low:g} to {high:g}{seen}"
