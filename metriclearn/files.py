"""Files: the cache folder, cached arrays, JSON of plain values, and writing all or nothing."""

import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metriclearn.checks.arguments import check_folder

NEW, READY = ".new", ".ready"
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

    The file is there whole or not at all, so a program that is killed goes on from the last one. Its name
    must tell all that the array depends on.

    Raises:
        OSError: if the file cannot be written.
    """
    with suppress(OSError, ValueError, EOFError):
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
    array = compute()
    write_file(path, npy_bytes(array))
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
    if isinstance(value, set | frozenset):
        return sorted((plain(part) for part in value), key=str)
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value)):
        return value
    return getattr(value, "__qualname__", str(value))


def json_bytes(value: Any) -> bytes:
    """Return a value as the content of a JSON file; NumPy's and PyTorch's numbers and arrays become Python's.

    NaN and infinity, which JSON lacks, become texts, and so does whatever else JSON does not know.
    """
    return (json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode()


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all: beside the one that it replaces, then renamed.

    Raises:
        OSError: if that is not possible; what lay there is then untouched.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(content)
            _flush(beside)
            os.replace(beside, path)
        except BaseException:  # such as Ctrl-C
            beside.unlink(missing_ok=True)
            raise


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, by name, into a folder, all or none; who reads them calls `finish_replacing` before.

    Raises:
        OSError: if that is not possible; what lay there is then untouched.
    """

    def write(beside: Path) -> None:
        for name, content in files.items():
            (beside / name).write_bytes(content)

    with writing(folder):
        replace_files(folder, [*files], write)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the system within into an OSError whose sentence says what cannot be written."""
    try:
        yield
    except OSError as error:
        if error.strerror is None:  # a sentence already
            raise
        why = f"{path} cannot be written ({error.strerror})"
        raise OSError(f"{why}: choose another folder, or make room.") from None


def replace_files(folder: Path, names: Sequence[str], write: Callable[[Path], None]) -> None:
    """Atomic replacement of several files in a folder: killed, a run leaves all old files or all new ones.

        write all of them into .new, and force them onto the disk
        rename .new to .ready          from here on the new files count
        move each file to its place    `finish_replacing` does so for a run that was killed meanwhile

    Only files whose names the caller states are ever replaced or removed. Whatever else lies in the folder
    stays.

    Args:
        folder: made if missing, by one renaming; it is then there whole or not at all.
        names: paths within the folder, with `/`, of the files that may be replaced.
        write: writes files of these names, or some of them, into the empty folder that it is given.

    Raises:
        OSError: if that is not possible.
    """
    beside = _beside(folder)
    check_replaceable(folder, names)
    finish_replacing(folder, names)
    _remove(beside, names)
    beside.mkdir(parents=True)
    try:
        write(beside)
        for path in (*beside.rglob("*"), beside):
            _flush(path)
    except BaseException:  # such as Ctrl-C
        _remove(beside, names)
        raise
    if folder.exists():
        os.replace(beside, folder / READY)
        finish_replacing(folder, names)
    else:
        os.replace(beside, folder)
    _flush(folder.parent)


def finish_replacing(folder: Path, names: Sequence[str]) -> None:
    """Complete the replacement of a run that was killed after its files were ready; else do nothing.

    Raises:
        OSError: if that is not possible.
    """
    ready = folder / READY
    if not ready.is_dir():
        return
    check_replaceable(folder, names)  # the folder may be somebody else's, with links that lead out of it
    for name in names:
        if (ready / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            os.replace(ready / name, folder / name)
            _flush((folder / name).parent)
    _remove(ready, names)


def check_replaceable(folder: Path, names: Sequence[str]) -> None:
    """Check that nothing stands in the way of `replace_files`.

    Raises:
        FileExistsError: for a folder where a file would be written, a link to another folder, or a foreign
            file where the new files are written first.
    """
    for taken in (_beside(folder), folder / READY):
        if taken.is_symlink() or any(_is_foreign(path, taken, names) for path in taken.rglob("*")):
            raise FileExistsError(f"{taken} is in the way: move it elsewhere")
    for name in names:
        parents = [folder / parent for parent in Path(name).parents if parent.name]
        if (folder / name).is_dir() or any(parent.is_symlink() for parent in parents):
            raise FileExistsError(f"{name} in it is a folder or lies behind a link: move it elsewhere")


def _beside(folder: Path) -> Path:
    return folder / NEW if folder.exists() else folder.with_name(f".{folder.name}{NEW}")


def _is_foreign(path: Path, root: Path, names: Sequence[str]) -> bool:
    """Return whether a path is none of those; .encoder.new is what a killed run leaves of a folder."""
    parts = [part for part in path.relative_to(root).parts if part not in (NEW, READY)]
    name = "/".join(
        part[1 : -len(NEW)] if part.startswith(".") and part.endswith(NEW) else part for part in parts
    )
    folders = {"", *(parent.as_posix() for name in names for parent in Path(name).parents)}
    return path.is_symlink() or (name not in names if path.is_file() else name not in folders)


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Remove the files of these names, and each folder that is then empty."""
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.exists() and not _is_foreign(path, folder, names):
            path.unlink()


def _flush(path: Path) -> None:
    """Force a file, or the names in a folder, onto the disk; Windows can do so for files only."""
    if path.is_dir() and os.name != "posix":
        return
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
