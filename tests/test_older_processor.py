"""A notebook as a processor without the newer vector instructions computes it: it prints the same.

One that trains nothing, so that it takes half a minute; `make test-elsewhere` runs all of them so, and such a
run stands behind the measured bands, too (`benchmarks/bands.py`).
"""

import os
import subprocess
import sys
from pathlib import Path

from loaded import loaded

REPOSITORY = Path(__file__).parent.parent
NBVAL = [*loaded(REPOSITORY / "tools" / "breakages.py").NBVAL, "--nbval-cell-timeout", "600"]


def test_prints_the_same():
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", *NBVAL, "-p", "no:cacheprovider", "-p", "no:xdist"),
            "notebooks/05_index_in_qdrant.ipynb",
        ],
        cwd=REPOSITORY,
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "SSE41"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]
