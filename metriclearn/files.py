"""Files: the cache folder, cached arrays, JSON of plain values, and writing all or nothing."""

import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metriclearn.checks.arguments import check_folder

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


def cached_array(path: Path, compute: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
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
    array = compute()
    write_files(path.parent, {path.name: npy_bytes(array)})
    return array


def npy_bytes(array: npt.NDArray[Any]) -> bytes:
    """Return an array as the content of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: numbers, texts, lists, dictionaries; of all else its name or text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "tolist"):  # of NumPy or PyTorch
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value)):
        return value
    return getattr(value, "__qualname__", str(value))


def json_bytes(value: Any) -> bytes:
    """Return a value as the content of a JSON file; NumPy's and PyTorch's numbers and arrays become Python's.

    NaN and infinity, which JSON lacks, become texts, and so does whatever else JSON does not know.

    Raises:
        ValueError: for a value that holds itself.
    """
    return (json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode()


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, all of them or none: beside those that they replace, which are then renamed.

    Args:
        folder: made if missing.
        files: content by name.

    Raises:
        OSError: if that is not possible; what lay there is then untouched.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as scratch:
            for name, content in files.items():
                with (Path(scratch) / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            for name in files:
                os.replace(Path(scratch) / name, folder / name)
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written ({error.strerror or error}): choose another folder, or make room."
        ) from None
