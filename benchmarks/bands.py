"""Measure the ranges that the notebooks expect of their figures.

Runs every notebook under twelve seeds, some with one thread and some with two, one as an older processor
computes, and records the values that it passes to `Bands.compare`. A range is a normal prediction interval:
one more such run lies inside with a probability of 99 % (Hahn and Meeker 1991, Statistical Intervals, chapter
4). After twelve runs it reaches 3.2 standard deviations to either side. A range of five runs in the file is
older and wider, 6.7; one without values was set by hand.

    python -m benchmarks.bands                           # all notebooks, two runs at a time
    python -m benchmarks.bands 03 04                     # only some
    METRICLEARN_LANES=1 python -m benchmarks.bands 03    # one run at a time
"""

import json
import os
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from scipy import stats

from metriclearn.course.bands import RECORD_VARIABLE

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
BANDS = NOTEBOOKS / "bands.json"
PROBABILITY = 0.99
# Each run has a draw of its own, since a prediction interval takes the values for independent.
SETTINGS = [{"METRICLEARN_SEED": str(seed), "OMP_NUM_THREADS": "1112"[seed % 4]} for seed in range(12)]
SETTINGS[0] |= {"ONEDNN_MAX_CPU_ISA": "SSE41"}  # as an older processor computes


def record(notebook: Path, settings: dict[str, str]) -> dict[str, float]:
    """Run a notebook once and return the values that it checked, by name."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as lines:
        environment = os.environ | settings | {RECORD_VARIABLE: lines.name}
        client = NotebookClient(nbformat.read(notebook, as_version=4), timeout=900, allow_errors=True)
        with client.setup_kernel(cwd=str(NOTEBOOKS), env=environment):
            for number, cell in enumerate(client.nb.cells):
                client.execute_cell(cell, number)
        entries = [json.loads(line) for line in Path(lines.name).read_text(encoding="utf-8").splitlines()]
    return {entry["name"]: entry["value"] for entry in entries}


def band(name: str, values: list[float]) -> dict[str, float | list[float]]:
    """Return the band of these values, its ends rounded outwards; a percentage ends at 0 and 100."""
    numbers, n = np.array(values), len(values)
    factor = stats.t.ppf((1 + PROBABILITY) / 2, n - 1) * np.sqrt(1 + 1 / n)
    half = factor * numbers.std(ddof=1)
    step = 10 ** np.floor(np.log10(max(half, 1e-9))) / 5
    if name.endswith("%"):  # what hardly varies here may do so elsewhere
        step = max(step, 0.1)
    low = np.floor((numbers.mean() - half) / step) * step
    high = np.ceil((numbers.mean() + half) / step) * step
    if name.endswith("%"):
        low, high = max(low, 0), min(high, 100)
    return {
        "low": float(f"{low:.6g}"),
        "high": float(f"{high:.6g}"),
        "values": [float(f"{v:.5g}") for v in values],
    }


def main() -> None:
    """Record, then write the bands of the notebooks that were run."""
    wanted = tuple(sys.argv[1:])
    for notebook in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        if wanted and not notebook.name.startswith(wanted):
            continue
        print(notebook.name, flush=True)
        values = defaultdict(list)
        with ProcessPoolExecutor(int(os.environ.get("METRICLEARN_LANES", "2"))) as lanes:
            for found in lanes.map(partial(record, notebook), SETTINGS):
                for name, value in found.items():
                    values[name].append(value)
        earlier = json.loads(BANDS.read_text(encoding="utf-8")) if BANDS.exists() else {}
        measured = {name: band(name, numbers) for name, numbers in sorted(values.items())}
        text = json.dumps(earlier | {notebook.name[:2]: measured}, indent=1, ensure_ascii=False)
        BANDS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
