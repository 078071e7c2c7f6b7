"""Where downloads and decoded pictures are kept, so that each is made once."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metriclearn.settings import check_folder

CACHE_VARIABLE = "METRICLEARN_CACHE"
CHECKOUT = Path(__file__).parent.parent


def cache_folder() -> Path:
    """Return the folder for what can be made or fetched again; it need not exist, and may be deleted.

    It is what the environment variable METRICLEARN_CACHE says; in a checkout of the course its folder `data`;
    otherwise the place that the system has for such files: `~/.cache` (or XDG_CACHE_HOME), on macOS
    `~/Library/Caches`, on Windows the local AppData.

    Raises:
        ValueError: if METRICLEARN_CACHE is a file.
    """
    if named := os.environ.get(CACHE_VARIABLE, "").strip():
        return check_folder(named)
    if (CHECKOUT / "pyproject.toml").is_file() and (CHECKOUT / "data" / "README.md").is_file():
        return CHECKOUT / "data"
    if sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    else:  # a relative one is to be ignored, says the XDG Base Directory Specification
        given = os.environ.get("XDG_CACHE_HOME", "")
        home = given if os.path.isabs(given) else Path.home() / ".cache"
    return Path(home) / "metriclearn"


def kept_array(path: Path, compute: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the array in a `.npy` file, which is computed and written if it is not there yet.

    The file is there whole or not at all, so a program that is killed goes on from the last one.

    Args:
        path: the file; its folder is made if missing. Its name must tell all that the array depends on.
        compute: gives the array.

    Raises:
        OSError: if the file cannot be written.
    """
    try:
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError):
        pass
    array, buffer = compute(), io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_bytes(buffer.getvalue())
    os.replace(beside, path)
    return array
