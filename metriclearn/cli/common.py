"""What several commands share. `main` imports this for its help, so nothing at the top takes long to load."""

import csv
import glob
import io
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metriclearn.checks.labels import LabelArray
    from metriclearn.photos import Photographs
    from metriclearn.photos.depth import Ranges

Result = tuple[dict[str, Any], str]  # what a command says to a machine, and to a person


class UsageError(ValueError):
    """A wrong use of the command line: exit code 2."""


@contextmanager
def wrong_use() -> Iterator[None]:
    """Turn each ValueError within into a UsageError of the same text."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from None


def path_of(name: str) -> Path:
    """Return a path that the user named; `~` is the home folder, unless a file is really called so.

    Raises:
        UsageError: if it is empty.
    """
    if not name.strip():
        raise UsageError("A path is empty: name a file or a folder.")
    with suppress(RuntimeError):  # there is no such user
        if not os.path.lexists(name):
            return Path(name).expanduser()
    return Path(name)


def quoted(name: str | Path) -> str:
    """Return a path for a command that is shown: in quotes where a shell would take a letter as its own."""
    from metriclearn.photos.class_names import printable

    return shlex.quote(printable(str(name)))


def expanded(paths: Sequence[str]) -> list[str]:
    """Return paths, each pattern such as `new/*.jpg` replaced by what it fits: not every shell does so.

    Raises:
        UsageError: if a pattern fits nothing.
    """
    found: list[str] = []
    for name in paths:
        path = str(path_of(name))
        if not glob.has_magic(name) or Path(path).exists():
            found.append(name)
        # First with brackets as they stand, as in "scans [1]/*.png".
        elif fitting := glob.glob(path.replace("[", "[[]"), recursive=True) or glob.glob(path):
            found += sorted(fitting)
        else:
            raise UsageError(f"{name!r} fits no file: name pictures, or folders of pictures.")
    return found


def photographs_of(folder: str, labels: str | None, ranges: "Ranges | None" = None) -> "Photographs":
    """Return the pictures of a folder that the user named, and perhaps a table of labels, whose rows win.

    Raises:
        UsageError: if the folder or the table does not exist.
        ValueError: if they cannot be read; see `read_photographs`.
    """
    from metriclearn.photos import read_photographs

    if not path_of(folder).is_dir():
        raise UsageError(f"{folder!r} is no folder: name a folder of pictures.")
    if labels is not None and not path_of(labels).is_file():
        raise UsageError(f"{labels!r} is no file: name a CSV file.")
    return read_photographs(path_of(folder), labels and path_of(labels), ranges=ranges)


def label_counts(labels: "LabelArray", class_names: Sequence[str]) -> dict[str, int]:
    """Return how many labels each class has, by its name."""
    return {name: int((labels == code).sum()) for code, name in enumerate(class_names)}


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a CSV file that the user has named, whole or not at all; see `table_bytes`.

    Raises:
        OSError: if it cannot be written.
    """
    from metriclearn.files import write_output

    write_output(path, table_bytes(columns, rows))


def check_output(path: Path, beginning: bytes) -> None:
    """Check that a file to be written is new, or was written by the same command: it begins in the same way.

    Raises:
        UsageError: if it is a folder, or another file, such as a picture.
    """
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a folder: name a file.")
    if path.is_file():
        with path.open("rb") as file:
            found = file.read(len(beginning))
        if found and found != beginning:
            raise UsageError(f"{str(path)!r} is there already, and is another file: name a new one.")


def table_bytes(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """Return the content of a CSV file; None becomes an empty cell, and no text a formula."""
    from metriclearn.photos.tables import escape_formula

    text = io.StringIO(newline="")
    cells = [[escape_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    # In quotes, so that a semicolon in a name ends no cell where spreadsheets part columns by it.
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows([columns, *cells])
    return text.getvalue().encode("utf-8", "surrogateescape")
