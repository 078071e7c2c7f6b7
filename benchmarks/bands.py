"""Measure the bands that the notebooks check their figures against.

Runs every notebook under several seeds, with one thread and with two, and records the values that
it passes to `Bands.verdict`. A band reaches four standard deviations to either side of the mean,
and at least to the smallest and largest value seen; its ends are rounded outwards.

    python benchmarks/bands.py             # all notebooks
    python benchmarks/bands.py 03 04       # only some
"""

import json
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient

from metriclearn.evaluate import RECORD_VARIABLE

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
BANDS = NOTEBOOKS / "bands.json"
SETTINGS = [
    {"METRICLEARN_SEED": "0", "OMP_NUM_THREADS": "2"},
    {"METRICLEARN_SEED": "0", "OMP_NUM_THREADS": "1", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"METRICLEARN_SEED": "1", "OMP_NUM_THREADS": "1"},
    {"METRICLEARN_SEED": "2", "OMP_NUM_THREADS": "1"},
    {"METRICLEARN_SEED": "3", "OMP_NUM_THREADS": "1"},
]


def record(notebook: Path, settings: dict[str, str]) -> list[tuple[str, float]]:
    """Run a notebook once and return the names and values that it checked."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as lines:
        environment = os.environ | settings | {RECORD_VARIABLE: lines.name}
        client = NotebookClient(nbformat.read(notebook, as_version=4), timeout=900, allow_errors=True)
        with client.setup_kernel(cwd=str(NOTEBOOKS), env=environment):
            for number, cell in enumerate(client.nb.cells):
                client.execute_cell(cell, number)
        entries = [json.loads(line) for line in Path(lines.name).read_text(encoding="utf-8").splitlines()]
    return [(entry["name"], entry["value"]) for entry in entries]


def band(name: str, values: list[float]) -> dict[str, float | list[float]]:
    """Return the band of these values, its ends rounded outwards; a percentage ends at 0 and 100."""
    numbers = np.array(values)
    deviation = numbers.std(ddof=1)
    low = min(numbers.mean() - 4 * deviation, numbers.min())
    high = max(numbers.mean() + 4 * deviation, numbers.max())
    step = 10 ** np.floor(np.log10(max(high - low, 1e-9) / 3))
    low, high = np.floor(low / step) * step, np.ceil(high / step) * step
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
        values = defaultdict(list)
        for settings in SETTINGS:
            print(notebook.name, settings, flush=True)
            for name, value in record(notebook, settings):
                values[name].append(value)
        earlier = json.loads(BANDS.read_text(encoding="utf-8")) if BANDS.exists() else {}
        bands = {name: entry for name, entry in earlier.items() if not name.startswith(notebook.name[:2])}
        bands |= {name: band(name, numbers) for name, numbers in values.items()}
        text = json.dumps(dict(sorted(bands.items())), indent=1, ensure_ascii=False)
        BANDS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
