"""Two notebooks as a processor without the newer vector instructions computes them: they print the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from loaded import loaded

REPOSITORY = Path(__file__).parent.parent
NBVAL = [*loaded(REPOSITORY / "tools" / "breakages.py").NBVAL, "--nbval-cell-timeout", "600"]


@pytest.mark.parametrize("notebook", ["01_scarce_labels", "05_index_in_qdrant"])
def test_prints_the_same(notebook: str) -> None:
    path = f"notebooks/{notebook}.ipynb"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *NBVAL, "-p", "no:cacheprovider", "-p", "no:xdist", path],
        cwd=REPOSITORY,
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "SSE41"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]
