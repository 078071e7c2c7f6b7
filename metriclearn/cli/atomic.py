"""Atomic replacement of several files in a folder: killed, a run leaves all old files or all new ones.

    write all of them into .new, and force them onto the disk
    rename .new to .ready          from here on the new files count
    move each file to its place    `finish` does so for a run that was killed meanwhile

Only files whose names the caller states are ever replaced or removed. Whatever else lies in the folder stays.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

NEW, READY = ".new", ".ready"


def replace_files(folder: Path, names: Sequence[str], write: Callable[[Path], None]) -> None:
    """Write files into a folder, all of them or none.

    Args:
        folder: made if missing, by one renaming; it is then there whole or not at all.
        names: paths within the folder, with `/`, of the files that may be replaced.
        write: writes files of these names, or some of them, into the empty folder that it is given.

    Raises:
        OSError: if that is not possible.
    """
    beside = _beside(folder)
    check_replaceable(folder, names)
    finish(folder, names)
    _remove(beside, names)
    beside.mkdir(parents=True)
    write(beside)
    for path in beside.rglob("*"):
        _flush(path)
    _flush(beside)
    if folder.exists():
        os.replace(beside, folder / READY)
        finish(folder, names)
    else:
        os.replace(beside, folder)
    _flush(folder.parent)


def finish(folder: Path, names: Sequence[str]) -> None:
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
    """Return whether a path is none of those; folders .saving-* are what a killed `write_whole` leaves."""
    name = "/".join(part for part in path.relative_to(root).parts if not part.startswith(".saving-"))
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
