"""List an image folder: which files are there, and how they are labelled.

Three forms. `root/class/*.jpg`, at any depth below; pictures in `root/unlabelled/`, or in `root` itself, have
no label. Or a table, `labels.csv` or `metadata.csv`, in the root: a column `file_name`, `image_path`, `path`
or `file`, and a column `label`, empty where there is none. Or both: the rows of a further table, as the
review page saves it, win over what the folder says.
"""

import csv
import io
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from metriclearn.checks.arguments import check_folder
from metriclearn.checks.arrays import is_broken
from metriclearn.checks.labels import MARKERS

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
OTHER_PICTURES = {".heic", ".heif", ".avif", ".jxl", ".jp2", ".dng", ".cr2", ".nef", ".arw", ".svg", ".psd"}
TABLES = ("labels.csv", "metadata.csv")
FILE_COLUMNS, LABEL_COLUMN = ("file_name", "image_path", "path", "file"), "label"
UNLABELLED_FOLDERS = ("unlabelled", "unlabeled")
UNKNOWN = "unknown"  # what a classifier answers, and so no class
LARGEST_TABLE = 100_000_000  # bytes


@dataclass
class Listing:
    """The picture files of a folder and their labels, before any of them is opened.

    Attributes:
        folder: the folder.
        files: their names below the folder, with `/`, sorted.
        labels: for each the name of its class, or None.
        skipped: names of files that are left out, each with the reason.
        others: how many files are no pictures by their names, and were passed over.
        empty: folders of classes that hold no picture.
    """

    folder: Path
    files: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    others: int = 0
    empty: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        """Where the files are."""
        return [self.folder / name for name in self.files]

    @property
    def class_names(self) -> list[str]:
        """The classes, sorted."""
        return list(self.counts)

    @property
    def counts(self) -> dict[str, int]:
        """How many labelled pictures each class has, sorted by its name."""
        return dict(sorted(Counter(label for label in self.labels if label is not None).items()))


def list_photographs(folder: str | Path, labels: str | Path | None = None) -> Listing:
    """Find the pictures of a folder and their labels.

    Links to folders are not followed, nor links to files outside. Hidden files are passed over.

    Args:
        folder: in one of the three forms above.
        labels: a further table, whose rows win; its paths are relative to the folder.

    Raises:
        FileNotFoundError: if the folder or the table is not there.
        ValueError: if the folder holds no picture, or labels that cannot be meant: a file named twice or not
            there, two classes that differ only in case or blanks, a name that is no class.
        OSError: if the folder cannot be read.
    """
    root = check_folder(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{printable(str(folder))} is not there: name a folder of pictures.")
    listing = Listing(root.resolve())
    listing.files = sorted(_walk(listing))
    if not listing.files and not listing.skipped:
        kinds = "JPEG, PNG, BMP, GIF, WebP or TIFF"
        raise ValueError(f"There is no picture in {printable(str(folder))}: put {kinds} files there.")
    tables = [name for name in TABLES if (listing.folder / name).is_file()]
    if len(tables) == 2:
        raise ValueError("The folder holds both labels.csv and metadata.csv: keep the one that is right.")
    named: dict[str, str | None] = {}
    if tables:
        named = _labels_of(listing, listing.folder / tables[0])
    else:
        named = {name: _class_folder(name) for name in listing.files}
        used = {label for label in named.values() if label}
        listing.empty = sorted(
            entry.name
            for entry in os.scandir(listing.folder)
            if entry.is_dir(follow_symlinks=False)
            and not _hidden(entry.name)
            and entry.name not in used
            and entry.name.lower() not in UNLABELLED_FOLDERS
            and not any(name.startswith(f"{entry.name}/") for name in listing.skipped)
        )
    if labels is not None:
        named |= _labels_of(listing, Path(labels).expanduser())
    listing.labels = [named.get(name) for name in listing.files]
    check_class_names(listing.class_names)
    return listing


def joined(listings: Sequence[Listing]) -> Listing:
    """Return several folders as one; a file is then named from the folder that holds them all.

    Raises:
        ValueError: if there is no such folder, as with two drives of Windows.
    """
    if len(listings) == 1:
        return listings[0]
    root = Path(os.path.commonpath([listing.folder for listing in listings]))
    whole = Listing(root)
    labels: dict[str, str | None] = {}
    for listing in listings:
        below = listing.folder.relative_to(root)
        labels |= {
            (below / name).as_posix(): label
            for name, label in zip(listing.files, listing.labels, strict=True)
        }
        whole.skipped |= {(below / name).as_posix(): why for name, why in listing.skipped.items()}
    whole.files, whole.labels = list(labels), list(labels.values())
    return whole


def check_enough(counts: dict[str, int]) -> None:
    """Raise a ValueError unless there are two classes or more, with two labelled pictures each.

    Raises:
        ValueError: if not.
    """
    if len(counts) < 2:
        found = "No picture has a label"
        if counts:
            found = f"All labelled pictures are of one class ({printable(next(iter(counts)))})"
        wanted = "sort some into a folder per class, or write labels.csv with the columns file_name and label"
        raise ValueError(f"{found}: {wanted}.")
    if few := [printable(name) for name, n in counts.items() if n < 2]:
        raise ValueError(f"The class {few[0]} has one labelled picture: label a second, or leave it out.")


def _walk(listing: Listing) -> Iterator[str]:
    """Yield the names of the picture files below the folder; note what is skipped."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            entries = sorted(os.scandir(listing.folder / below), key=lambda entry: entry.name)
        except OSError as error:
            if not below:
                raise OSError(f"The folder cannot be read ({error.strerror}): allow it first.") from None
            listing.skipped[below.rstrip("/")] = f"cannot be opened ({error.strerror or error})"
            continue
        for entry in entries:
            name = below + entry.name
            if _hidden(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
            elif (reason := _reason_to_skip(entry, listing.folder)) is not None:
                listing.skipped[name] = reason
            elif PurePosixPath(entry.name).suffix.lower() in SUFFIXES:
                yield name
            elif name not in TABLES:
                listing.others += 1


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _reason_to_skip(entry: os.DirEntry[str], root: Path) -> str | None:
    """Return why a file is left out though it may be a picture, or None."""
    suffix = PurePosixPath(entry.name).suffix.lower()
    if entry.is_symlink():
        try:
            target = Path(entry.path).resolve(strict=True)
        except (OSError, RuntimeError):
            return "is a link to nothing" if suffix in SUFFIXES else None
        if target.is_dir():
            return "is a link to a folder, which is not followed"
        if suffix in SUFFIXES and not target.is_relative_to(root):
            return "is a link that leads out of the folder"
    if suffix in OTHER_PICTURES:
        return f"is a picture of a kind that is not read here ({suffix[1:]}): save it as JPEG or PNG"
    if suffix in SUFFIXES and is_broken(entry.name):
        return "has a name that is no valid text: rename it"
    return None


def _class_folder(name: str) -> str | None:
    first, slash, _ = name.partition("/")
    return None if not slash or first.lower() in UNLABELLED_FOLDERS else first


def _labels_of(listing: Listing, table: Path) -> dict[str, str | None]:
    """Return the label of each file that a table names; see `list_photographs` for what is refused."""
    rows = read_table(table)
    shown = table.name
    header = {name.strip().lower(): name for name in rows[0]} if rows else {}
    columns = [name for name in FILE_COLUMNS if name in header]
    if len(columns) != 1 or LABEL_COLUMN not in header:
        raise ValueError(
            f"{shown} needs one column {', '.join(FILE_COLUMNS[:-1])} or {FILE_COLUMNS[-1]}, and one column "
            f"label: its columns are {', '.join(printable(name) for name in header) or 'none'}."
        )
    known = {name: name for name in [*listing.files, *listing.skipped]}
    composed = {unicodedata.normalize("NFC", name): name for name in known}  # macOS writes accents apart
    found: dict[str, str | None] = {}
    missing = []
    for row in rows:
        given = row[header[columns[0]]]
        name = _inside(given, listing.folder, shown)
        name = known.get(name) or composed.get(unicodedata.normalize("NFC", name)) or name
        if name in found:
            raise ValueError(f"{shown} names {printable(given)} twice: keep the row that is right.")
        if name not in known:
            missing.append(given)
        found[name] = parse_label(row[header[LABEL_COLUMN]])
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FileNotFoundError(
            f"{shown} names {printable(missing[0])}{more}, but there is no such picture in the folder: "
            "correct the rows, or leave them out."
        )
    return found


def parse_label(text: str) -> str | None:
    """Return the class that a cell of a table names, or None where it names none."""
    name = text.strip()
    return None if not name or name.lower() in UNLABELLED_FOLDERS else name


def _inside(given: str, root: Path, table: str) -> str:
    """Return a path of a table as a name below the folder, or raise a ValueError if it leads out."""
    text = given
    if "\0" not in text and not os.path.lexists(root / text):  # blanks around it, or written on Windows
        text = text.strip().replace("\\", "/")
    inside = os.path.relpath(os.path.normpath(root / text), root).replace(os.sep, "/")
    if not text.strip() or "\0" in text or inside == ".." or inside.startswith("../"):
        raise ValueError(
            f"{table} names {printable(given) or 'no file'}: name a file in the folder, or leave the row out."
        )
    return inside


def read_table(table: Path) -> list[dict[str, str]]:
    """Read a table, a dictionary per row: the first names the columns; commas, semicolons or tabs part them.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no such table.
    """
    if not table.is_file():
        raise FileNotFoundError(f"{printable(str(table))} is not there: name a CSV file.")
    if table.stat().st_size > LARGEST_TABLE:
        raise ValueError(f"{printable(table.name)} is larger than 100 MB: is it a table of labels?")
    try:
        text = table.read_bytes().decode("utf-8-sig")
        first = text.lstrip("\r\n").partition("\n")[0]
        part = max(",;\t", key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=part, strict=True)
        lines = [line for line in reader if any(cell.strip() for cell in line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{printable(table.name)} cannot be read as a table ({error}): save it as CSV in UTF-8."
        ) from None
    if len(lines) < 2:
        raise ValueError(f"{printable(table.name)} has no rows: name the columns, then write a row per file.")
    header = lines[0]
    if len({name.strip().lower() for name in header}) < len(header):
        raise ValueError(f"{printable(table.name)} has two columns of one name: keep the one that is right.")
    if odd := [line for line in lines[1:] if len(line) != len(header)]:
        found = f"{len(header)} columns, but {len(odd[0])} in the row of {printable(odd[0][0])}"
        raise ValueError(f"{printable(table.name)} has {found}: set texts that hold a comma in quotes.")
    return [dict(zip(header, line, strict=True)) for line in lines[1:]]


def check_class_names(names: Sequence[str]) -> None:
    """Raise a ValueError for a class name that cannot be meant, or two that a reader would take for one."""
    alike: dict[str, str] = {}
    for name in names:
        if reason := _reason_to_rename(name):
            raise ValueError(f'A class is called "{printable(name)}", which {reason}: rename it.')
        plain = unicodedata.normalize("NFKC", " ".join(name.split())).casefold()
        if plain in alike:
            both = f'"{alike[plain]}" and "{name}"'
            raise ValueError(f"The classes {both} differ only in case or blanks: give both one name.")
        alike[plain] = name


def _reason_to_rename(name: str) -> str | None:
    """Return why a name cannot be that of a class, or None."""
    if name.lower() == UNKNOWN:
        return "means that nothing is near"
    if name in MARKERS:
        return "means no class"
    return (
        None if printable(name) == name else "has a character that a terminal or a file system may not show"
    )


def printable(text: str) -> str:
    """Return a text for a terminal: what cannot be seen in it, such as a line break, is spelled out."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
