"""Two notebooks as a processor without the newer vector instructions computes them: they print the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "600"]
ALIKE = ["--nbval-sanitize-with", "tests/nbval_sanitize.cfg", "-p", "no:cacheprovider", "-p", "no:xdist"]


@pytest.mark.parametrize("notebook", ["01_scarce_labels", "05_index_in_qdrant"])
def test_prints_the_same(notebook: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *NBVAL, *ALIKE, f"notebooks/{notebook}.ipynb"],
        cwd=REPOSITORY,
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "SSE41"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]
