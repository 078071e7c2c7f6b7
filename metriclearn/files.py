"""Files: the cache folder, cached arrays, JSON with a checksum, and writing all or nothing."""

import errno
import hashlib
import io
import json
import os
import shutil
import stat
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from math import isfinite, prod
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt
import portalocker

from metriclearn.checks.arguments import check_folder

NEW, READY = ".new", ".ready"
CHECKSUM = "checksum"  # the entry of a JSON file that `json_bytes` adds
LARGEST = 2**36  # bytes of a file that is read, unless the caller knows better
LARGEST_CARD = 2**24
PATIENCE = 60  # seconds to wait for another writer, who is done much sooner
DIGEST_SIZE = hashlib.sha256().digest_size
CACHE_VARIABLE = "METRICLEARN_CACHE"
CHECKOUT = Path(__file__).parent.parent
Result = TypeVar("Result")


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
        if not path.is_file():  # to open a pipe would wait for ever
            raise FileNotFoundError
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


def json_bytes(content: Mapping[str, Any], indent: int | None = 2, largest: int = LARGEST) -> bytes:
    """Return entries as the content of a JSON file that `read_json` reads: with a checksum over all of them.

    The entry "checksum" is the SHA-256 of all other entries, written with sorted keys.

    Args:
        content: texts as keys, and below them what JSON knows; see `plain` for what it does not.
        indent: None writes everything in one line.
        largest: bytes that whoever reads it will take.

    Raises:
        ValueError: for NaN, infinity, an entry called "checksum", or more than can be read again.
    """
    if CHECKSUM in content:
        raise ValueError(f"An entry is called {CHECKSUM!r}, as our own: give it another name.")
    whole = {**content, CHECKSUM: _checksum(content)}
    text = json.dumps(whole, indent=indent, allow_nan=False) + "\n"
    if len(text) > largest:
        raise ValueError(f"The entries take more than {largest:,} bytes: leave out the largest.")
    return text.encode()


def read_json(path: Path, remedy: str, largest: int = LARGEST) -> dict[str, Any]:
    """Read a JSON file that `json_bytes` made, and check that no entry has changed since.

        write_file(path, json_bytes({"entries": [...]}))
        read_json(path, "delete its folder")["entries"]

    Space between the entries, and their order, may differ, and nothing else. No entry may come twice, and
    none may be NaN or infinity.

    Args:
        path: the file; see `read_file`.
        remedy: what to do about a file that is not as it was written: the end of the sentence.
        largest: bytes above which a file is not even read.

    Returns:
        The entries, without the checksum.

    Raises:
        FileNotFoundError: if there is no such file.
        OSError: if it cannot be read.
        ValueError: if it is damaged, was changed, is too large or has no checksum. Each says so in one
            sentence.
    """
    held = read_file(path, remedy, largest)
    try:
        content = json.loads(
            held.decode(), object_pairs_hook=_entries, parse_float=_number, parse_constant=_number
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


def read_file(path: Path, remedy: str, largest: int = LARGEST) -> bytes:
    """Return what a file holds.

    Args:
        path: the file, which may lie in READY, still: see `replace_files`.
        remedy: what to do if it cannot be read: the end of the sentence.
        largest: bytes above which a file is not even read.

    Raises:
        FileNotFoundError: if there is no such file.
        OSError: if it cannot be read.
        ValueError: if it is too large.
    """
    path = _in_ready(path) or path
    if not path.is_file():  # to open a pipe would wait for ever
        raise FileNotFoundError(f"{path} is missing: {remedy}.")
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > largest:
                raise ValueError(f"{path} is larger than {largest:,} bytes: {remedy}.")
            return file.read()
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}): {remedy}.") from None


def read_unchanged(paths: Sequence[Path], read: Callable[[], Result]) -> Result:
    """Return what `read` makes of files that belong together; again, if they were replaced meanwhile.

    Readers neither wait for a writer nor write themselves, so that a folder may be write-protected.
    """
    while True:
        before = [*map(_identity, paths)]
        try:
            found = read()
        except (OSError, ValueError):
            if before == [*map(_identity, paths)]:
                raise
        else:
            if before == [*map(_identity, paths)]:
                return found


def _identity(path: Path) -> tuple[Any, ...]:
    """Return what changes if a file is replaced or moved."""
    place = _in_ready(path) or path
    try:
        found = place.stat()
    except OSError:
        return (place,)
    return place, found.st_ino, found.st_size, found.st_mtime_ns


def _in_ready(path: Path) -> Path | None:
    """Return where a file lies that counts already, but is not yet in its place, for whatever reason."""
    for above in (path.parent, path.parent.parent):
        ready = above / READY / path.relative_to(above)
        if ready.is_file():
            return ready
    return None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the system within into an OSError whose sentence says what cannot be written."""
    try:
        yield
    except BrokenPipeError:  # whoever reads a pipe has seen enough
        raise
    except OSError as error:
        if error.strerror is None:  # a sentence already
            raise
        why = f"{path} cannot be written ({error.strerror})"
        raise OSError(f"{why}: choose another folder, or make room.") from None


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all: beside the one that it replaces, then renamed.

    A link is replaced, and not what it leads to: it may be a stranger's. See `write_output`.

    Raises:
        OSError: if that is not possible; what lay there is then untouched.
    """
    beside = _hidden(path, NEW)
    with writing(path), locked(path, seconds=PATIENCE):
        try:
            beside.write_bytes(content)
            _flush(beside)
            _keep_mode(path, beside)
            os.replace(beside, path)
        except BaseException:  # such as Ctrl-C
            beside.unlink(missing_ok=True)
            raise


def write_output(path: Path, content: bytes) -> None:
    """Write a file that a user has named: whole or not at all, if it is one.

    Through a link it goes to where that leads; into a device, a pipe or our own standard output as it comes.

    Raises:
        OSError: if that is not possible, as for a folder.
    """
    with writing(path):
        try:
            found = path.stat()
        except FileNotFoundError:
            return write_file(Path(os.path.realpath(path)), content)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(f"{path} is a folder: name a file.")
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or no file of the system
                if os.path.samestat(found, os.fstat(stream.fileno())):
                    stream.flush()
                    with open(os.dup(stream.fileno()), "wb") as same:
                        same.write(content)
                    return None
        if stat.S_ISREG(found.st_mode):
            return write_file(Path(os.path.realpath(path)), content)
        with path.open("wb") as file:
            file.write(content)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, by name, into a folder, all or none; of several writers one after the other.

    Raises:
        OSError: if that is not possible; what lay there is then untouched.
    """
    with writing(folder), locked(folder, seconds=PATIENCE):
        replace_files(folder, files, [*files])


@contextmanager
def locked(folder: Path, seconds: float = 0) -> Iterator[None]:
    """Lock a folder, which need not be there yet: one writer at a time, of all programs and threads.

    The lock is an empty file beside the folder. When a program dies, the system lets go of its lock.

    Args:
        folder: what is to be written.
        seconds: how long to wait for another writer.

    Raises:
        OSError: if another one is still writing, or nothing can be written there.
    """
    deadline = time.monotonic() + seconds
    folder = Path(os.path.realpath(folder))
    missing = [above for above in folder.parents if not above.exists()]
    with writing(folder):
        while (lock := _lock(folder)) is None:
            if time.monotonic() >= deadline:
                raise BlockingIOError(
                    f"{folder} is being written by another metriclearn: wait until it is done."
                )
            time.sleep(0.01)
    try:
        with lock:
            try:
                yield
            finally:
                if os.name == "posix":  # while it is held, so that nobody else's is removed
                    _remove_lock(lock.name)
    finally:
        if os.name != "posix":  # where an open file cannot be removed
            _remove_lock(lock.name)
        for above in missing:  # and are empty, if nothing was written
            with suppress(OSError):
                above.rmdir()


def _remove_lock(name: str) -> None:
    with suppress(OSError):
        if not os.path.getsize(name):  # or it was there before, for another purpose
            os.unlink(name)


def _lock(folder: Path) -> IO[bytes] | None:
    """Return the open file that is locked now, or None if another writer has it."""
    if not folder.parent.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
    inside = folder.is_dir() and not os.access(folder.parent, os.W_OK)
    path = folder / ".lock" if inside else _hidden(folder, ".lock")
    while True:
        file = open(path, "ab", opener=_no_link)  # noqa: SIM115
        try:
            portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
            file.close()
        except portalocker.AlreadyLocked:
            file.close()
            return None
        except portalocker.LockException:  # the file system knows no locks
            return file
        except FileNotFoundError:  # its last holder removed it after we had opened it
            file.close()


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def replace_files(folder: Path, files: Mapping[str, bytes], names: Sequence[str]) -> None:
    """Atomic replacement of several files in a folder: killed, a run leaves all old files or all new ones.

        write all of them into .new, and force them onto the disk
        rename .new to .ready          from here on the new files count, and `read_file` finds them there
        move each file to its place    `finish_replacing` does so for a run that was killed meanwhile

    Only files of the names stated are ever replaced or removed. The caller has locked the folder.

    Args:
        folder: made if missing, by one renaming; it is then there whole or not at all.
        files: the content of each, by its name: its path within the folder, with `/`.
        names: all that may ever be written like this, and so may be left by a run that was killed.

    Raises:
        OSError: if that is not possible.
    """
    folder = Path(os.path.realpath(folder))
    beside = _beside(folder)
    check_replaceable(folder, names)
    finish_replacing(folder, names)
    _remove(beside, names)
    try:
        beside.mkdir(parents=True)
        for name, content in files.items():
            (beside / name).parent.mkdir(exist_ok=True)
            (beside / name).write_bytes(content)
            _flush(beside / name)
            _keep_mode(folder / name, beside / name)
        for path in (*filter(Path.is_dir, beside.rglob("*")), beside):
            _flush(path)
        os.replace(beside, folder / READY if folder.exists() else folder)
    except BaseException:  # such as Ctrl-C
        _remove(beside, names)
        raise
    finish_replacing(folder, names)
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
    return folder / NEW if folder.exists() else _hidden(folder, NEW)


def _hidden(path: Path, ending: str) -> Path:
    """Return the path of a hidden file beside another; its name is not too long if the other's is not."""
    return path.with_name(f".{path.name[-50:]}{ending}")


def _is_foreign(path: Path, root: Path, names: Sequence[str]) -> bool:
    """Return whether a path is none of the files of these names, and no folder of theirs."""
    name = path.relative_to(root).as_posix()
    folders = {parent.as_posix() for name in names for parent in Path(name).parents}
    return path.is_symlink() or name not in (names if path.is_file() else folders)


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Remove the files of these names, and each folder that is then empty."""
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.exists() and not _is_foreign(path, folder, names):
            path.unlink()


def _keep_mode(old: Path, new: Path) -> None:
    """Give a new file the permissions of the one that it replaces; one that is write-protected stays."""
    if old.is_file() and not old.is_symlink():
        if not os.access(old, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        shutil.copymode(old, new)


def _flush(path: Path) -> None:
    """Force a file, or the names in a folder, onto the disk; Windows can do so for files only."""
    if path.is_dir() and os.name != "posix":
        return
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
