"""Expected ranges of trained figures, whatever the machine."""

import json
import math
import os
import re
from pathlib import Path

RECORD_VARIABLE = "METRICLEARN_RECORD"
_UNIT = re.compile(r", (%|points)$")


def _line(name: str, value: float, low: float | None = None, high: float | None = None) -> str:
    """Return a line with a value and the range expected for it: ``"D: 0.12  (expected 0.10 to 0.14)"``."""
    known = [end for end in (low, high) if end is not None]
    digits = _digits(known or [0.1 * value])
    unit = _UNIT.search(name)
    line = f"{name[: unit.start()] if unit else name}: {value:.{digits}f}{f' {unit[1]}' if unit else ''}"
    if not known:
        return line
    ends = [f"{end:.{digits}f}" for end in known]
    expected = " to ".join(ends) if len(ends) == 2 else f"{'below' if low is None else 'above'} {ends[0]}"
    inside = (low is None or value >= low) and (high is None or value <= high) and not math.isnan(value)
    return f"{line}  {'' if inside else 'OUTSIDE '}(expected {expected})"


def _digits(ends: list[float]) -> int:
    """Return how many decimals show about two figures of the width of a range, or of its one end."""
    width = max(ends) - min(ends) or abs(ends[0]) or 1
    return min(max(1 - math.floor(math.log10(width)), 0), 6)


class Bands:
    """Expected ranges of the figures of the notebooks, as measured over seeds and threads.

    The file is made by `benchmarks/bands.py`, on `mnist-5k`: figures of another set have no range.

    Args:
        path: a JSON file, for each notebook ``{"name": {"low": …, "high": …, "values": […]}}``; the values
            are those that were measured, and may be missing.
        dataset: the set of images that the figures will come from.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if two notebooks use one name.
    """

    def __init__(self, path: str | Path, dataset: str = "mnist-5k") -> None:
        notebooks = json.loads(Path(path).read_text(encoding="utf-8"))
        names = [name for bands in notebooks.values() for name in bands]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{path} has {twice[0]!r} in two notebooks: give each figure a name of its own")
        self._bands = {name: band for bands in notebooks.values() for name, band in bands.items()}
        self._hold = dataset == "mnist-5k"

    def compare(self, name: str, value: float, low: float | None = None, high: float | None = None) -> str:
        """Return a line with a measured value and the range that is expected for it.

        A trained network gives slightly other numbers with another processor or number of threads. So
        each such number is printed with its range, and a number outside it says so. With the environment
        variable METRICLEARN_RECORD set to a file, a value whose range is measured is also added to it.

        Args:
            name: what was measured, as the file of ranges names it; a unit at its end, ``", %"`` or
                ``", points"``, is put after the number.
            value: the value measured.
            low: the smallest value expected, for a figure that is not in the file.
            high: the largest value expected, likewise.

        Returns:
            For example ``"1-NN accuracy: 97.4 %  (expected 96.6 to 99.0)"``, or, for a value outside,
            ``"1-NN accuracy: 91.0 %  OUTSIDE (expected 96.6 to 99.0)"``.
        """
        measured = low is None and high is None
        if measured and (record := os.environ.get(RECORD_VARIABLE)):
            with Path(record).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"name": name, "value": float(value)}) + "\n")
        if not self._hold:
            return f"{_line(name, value)}  (no range is known for this data set)"
        if measured and name not in self._bands:
            return f"{_line(name, value)}  (no range has been measured yet)"
        if measured:
            low, high = self._bands[name]["low"], self._bands[name]["high"]
        return _line(name, value, low, high)
