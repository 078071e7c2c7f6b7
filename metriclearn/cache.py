"""Where downloads and decoded pictures are kept, so that each is made once."""

import os
import sys
from pathlib import Path

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
