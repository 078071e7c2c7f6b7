"""Files: the cache folder, cached arrays, JSON with a checksum, and writing all or nothing."""

import hashlib
import io
import json
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metriclearn.checks.arguments import check_folder

NEW, READY = ".new", ".ready"
CHECKSUM = "checksum"  # the entry of a JSON file that `json_bytes` adds
LARGEST_JSON = 2**26  # bytes of a file of JSON that is read, unless more is asked for
DIGEST_SIZE = hashlib.sha256().digest_size
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
    must tell all that the array depends on. Behind the array stands a SHA-256 of it: one that was damaged
    since is computed anew, with a warning; so is one that cannot be written.
    """
    with suppress(OSError):
        content = path.read_bytes()
        stored, digest = content[:-DIGEST_SIZE], content[-DIGEST_SIZE:]
        with suppress(ValueError):
            if hashlib.sha256(stored).digest() == digest:
                return npy_array(stored)
        warnings.warn(f"{path} is damaged: it is computed anew.", stacklevel=2)
    array = compute()
    stored = npy_bytes(array)
    try:
        write_file(path, stored + hashlib.sha256(stored).digest())
    except OSError as error:
        warnings.warn(f"Going on without the cache. {error}", stacklevel=2)
    return array


def npy_bytes(array: npt.NDArray[Any]) -> bytes:
    """Return an array as the content of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def npy_array(content: bytes) -> npt.NDArray[Any]:
    """Return the array in the content of a `.npy` file; no header makes it larger than the file is.

    Raises:
        ValueError: if it is none, is cut off, or holds objects.
    """
    buffer = io.BytesIO(content)
    try:
        first = np.lib.format.read_magic(buffer) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(buffer)
        if dtype.hasobject or prod(shape) * dtype.itemsize != len(content) - buffer.tell():
            raise ValueError
        array = np.frombuffer(content, dtype, offset=buffer.tell())
        return array.reshape(shape, order="F" if by_columns else "C").copy()
    except Exception:  # of a dozen kinds, according to where the damage lies
        raise ValueError("This is no whole array of NumPy.") from None


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


def json_bytes(content: Mapping[str, Any], indent: int | None = 2) -> bytes:
    """Return entries as the content of a JSON file that `read_json` reads: with a checksum over all of them.

    The entry "checksum" is the SHA-256 of all other entries, written with sorted keys.

    Args:
        content: texts as keys, and below them what JSON knows; see `plain` for what it does not.
        indent: None writes everything in one line.

    Raises:
        ValueError: for NaN, infinity, or an entry called "checksum".
    """
    if CHECKSUM in content:
        raise ValueError(f"An entry is called {CHECKSUM!r}, as our own: give it another name.")
    whole = {**content, CHECKSUM: _checksum(content)}
    return (json.dumps(whole, indent=indent, allow_nan=False) + "\n").encode()


def read_json(path: Path, remedy: str, largest: int = LARGEST_JSON) -> dict[str, Any]:
    """Read a JSON file that `json_bytes` made, and check that no entry has changed since.

        write_file(path, json_bytes({"entries": [...]}))
        read_json(path, "delete its folder")["entries"]

    Space between the entries, and their order, may differ, and nothing else. No entry may come twice, and
    none may be NaN or infinity.

    Args:
        path: the file.
        remedy: what to do about a file that is not as it was written: the end of the sentence.
        largest: bytes from which on a file is not even read.

    Returns:
        The entries, without the checksum.

    Raises:
        FileNotFoundError: if there is no such file.
        OSError: if it cannot be read.
        ValueError: if it is damaged, was changed, or has no checksum. Each says so in one sentence.
    """
    if not path.is_file():  # to open a pipe would wait for ever
        raise FileNotFoundError(f"{path} is missing: {remedy}.")
    try:
        with path.open("rb") as file:
            held = file.read(largest + 1)
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}): {remedy}.") from None
    try:
        if len(held) > largest:
            raise ValueError
        content = json.loads(
            held.decode(),
            object_pairs_hook=_entries,
            parse_float=_number,
            parse_constant=_number,
        )
        found = content.pop(CHECKSUM, None)
        expected = _checksum(content)
    except (ValueError, AttributeError, TypeError, RecursionError, MemoryError):  # no JSON, or no dictionary
        raise ValueError(f"{path} is damaged: {remedy}.") from None
    if found is None:
        raise ValueError(f"{path} has no checksum, as another program or version left it: {remedy}.")
    if found != expected:
        raise ValueError(f"{path} was damaged or changed after it was written: {remedy}.")
    return content  # type: ignore[no-any-return]


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _entries(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("an entry twice")
    return entries


def _number(digits: str) -> float:
    if not isfinite(number := float(digits)):
        raise ValueError("NaN or infinity")
    return number


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
