"""Measure the bands that the notebooks check their figures against.

Runs every notebook under ten seeds, half of them with one thread and half with two, and records the values
that it passes to `Bands.verdict`. A band is a normal tolerance interval: with 95 % confidence it holds
99 % of all such runs (Howe 1969; https://www.itl.nist.gov/div898/handbook/prc/section2/prc263.htm).
Few runs tell little about the spread: after ten, a band is 4.4 standard deviations wide to either side;
after five, as some bands in the file, 6.7.

    python benchmarks/bands.py             # all notebooks
    python benchmarks/bands.py 03 04       # only some
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

from metriclearn.evaluate import RECORD_VARIABLE

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
BANDS = NOTEBOOKS / "bands.json"
CONTENT, CONFIDENCE = 0.99, 0.95
# Each run has a draw of its own, since a tolerance interval takes the values for independent.
SETTINGS = [{"METRICLEARN_SEED": str(seed), "OMP_NUM_THREADS": str(1 + seed % 2)} for seed in range(10)]
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
    factor = stats.norm.ppf((1 + CONTENT) / 2) * np.sqrt(
        (n - 1) * (1 + 1 / n) / stats.chi2.ppf(1 - CONFIDENCE, n - 1)
    )
    half = factor * numbers.std(ddof=1)
    step = 10 ** np.floor(np.log10(max(half, 1e-9)))
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
        with ProcessPoolExecutor(2) as two:
            for found in two.map(partial(record, notebook), SETTINGS):
                for name, value in found.items():
                    values[name].append(value)
        earlier = json.loads(BANDS.read_text(encoding="utf-8")) if BANDS.exists() else {}
        bands = {name: entry for name, entry in earlier.items() if not name.startswith(notebook.name[:2])}
        bands |= {name: band(name, numbers) for name, numbers in values.items()}
        text = json.dumps(dict(sorted(bands.items())), indent=1, ensure_ascii=False)
        BANDS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
