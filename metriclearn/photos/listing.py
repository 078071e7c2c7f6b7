"""List an image folder: which files are there, and how they are labelled.

Three forms. `root/class/*.jpg`, at any depth below; pictures in `root/unlabelled/`, or in `root` itself, have
no label. Or a table in the root, which then counts alone: `labels.csv` or `metadata.csv` with a column
`file_name` and a column `label`, empty where there is none; or another one of `TABLES`, see `tables.py`. Or
both: the rows of a further table, as the review page saves it, win over what the folder says.

Whatever was guessed or passed over stands in `notes`, a sentence each.
"""

import os
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from metriclearn.checks.arguments import check_folder
from metriclearn.checks.arrays import is_broken
from metriclearn.checks.labels import means_unlabelled
from metriclearn.photos.class_names import check_class_names, enumerated, excerpt, printable
from metriclearn.photos.tables import (
    LABEL_COLUMN,
    ColumnsError,
    PictureNames,
    label_column,
    match_labels,
    read_rows,
)


def _endings(text: str) -> frozenset[str]:
    return frozenset(f".{ending}" for ending in text.split())


SUFFIXES = _endings("jpg jpeg jpe jfif pjpeg pjp mpo png apng bmp gif webp tif tiff")
RAW = _endings(
    "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
)
OTHER_PICTURES = RAW | _endings(
    "avif avifs dcm dds eps exr heic heics heif hif icns ico j2k jp2 jpf jpx jxl jxr pbm pcx pgm pnm ppm psb "
    "psd qoi svg svgz tga wdp xcf"
)
TABLES = (
    *("labels.csv", "labels.tsv", "labels.jsonl", "labels.json", "_classes.csv"),
    *("metadata.csv", "metadata.tsv", "metadata.jsonl"),
)
STRICT_TABLES = (
    "labels.csv",
    "labels.tsv",
    "labels.jsonl",
)  # they must hold labels; the others may hold else
OTHER_TABLES = {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".ods", ".parquet"}
LISTS = r"(labels?|classes|annotations?|train|val|valid|test|list)\.txt|(data|dataset)\.ya?ml"
SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
SYSTEM_FOLDERS = {
    *("__macosx", "$recycle.bin", "system volume information", "lost+found", "lost.dir", "__pycache__"),
    *("@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot"),
}
TRAIN, TEST = {"train", "training", "trainset"}, {"test", "testing", "testset", "val", "valid", "validation"}
PARTS = TRAIN | TEST | {"dev", "eval", "evaluation", "pred", "holdout", "fold", "split"}
PART_WORDS = PARTS | {
    "set",
    "data",
    "dataset",
    "images",
    "imgs",
    "img",
    "pictures",
    "seg",
    "raw",
    "small",
    "full",
}
PLAIN_FOLDERS = {"images", "image", "imgs", "img", "data", "jpegimages", "dcim"}
OTHER_KIND = "is a picture of a kind that is not read here"
PEEKED = 20_000_000  # bytes of a table that is opened only to say what it is
SHOWN_TABLES = 5


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
        notes: sentences on what was guessed or passed over.
    """

    folder: Path
    files: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    others: int = 0
    empty: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

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

    Links to folders are not followed, nor links to files outside. Hidden files, and those that systems and
    other programs keep for themselves, are passed over.

    Args:
        folder: in one of the forms above.
        labels: a further table, whose rows win; its paths are relative to the folder.

    Raises:
        FileNotFoundError: if the folder or the table is not there.
        ValueError: if the folder holds no picture, is divided into parts such as train and test, or has
            labels that cannot be meant: a file named twice or not there, two classes that differ only in case
            or blanks, a name that is no class.
        OSError: if the folder cannot be read.
    """
    listing = find_pictures(folder)
    spelled = os.path.abspath(check_folder(folder))
    further = None if labels is None else Path(labels).expanduser()
    tables = _tables_of_root(listing, str(folder), further)
    named: dict[str, str | None] = {}
    if tables:
        named = _labels_of(listing, tables[0], spelled)
        n, of = len(named.keys() & {*listing.files}), len(listing.files)
        rest = f" It names {n:,} of the {of:,} pictures; the others have no label." if n < of else ""
        folders = any("/" in name for name in listing.files)
        rest += " What folders are called does not count." if folders else ""
        listing.notes.append(f"Labels are those of {_source(tables[0])}.{rest}")
    else:
        named = _labels_of_folders(listing, str(folder), table=further is not None)
    if further is not None:
        rows = _labels_of(listing, further, spelled)
        listing.notes.append(f"Labels of {_source(further)} count for {len(rows):,} pictures that it names.")
        named |= rows
    listing.labels = [named.get(name) for name in listing.files]
    check_class_names(listing.class_names)
    return listing


def read_column(folder: str | Path, column: str, labels: str | Path | None = None) -> dict[str, str | None]:
    """Return what a column of the folder's tables says of each picture, such as the plant that it is from.

    Args:
        folder: as for `list_photographs`.
        column: its name, in capitals or not; a table in the folder need not have labels as well.
        labels: a further table, whose rows win.

    Returns:
        What the column says, by the names of the files; None or no entry where it says nothing.

    Raises:
        ValueError: if no table has this column; see also `list_photographs`.
    """
    listing = find_pictures(folder)
    tables = [] if labels is None else [Path(labels).expanduser()]
    for entry in sorted(os.scandir(listing.folder), key=lambda entry: entry.name):
        inside = Path(entry.path).resolve().is_relative_to(listing.folder)
        if entry.name.lower() in TABLES and entry.is_file() and inside:
            tables.append(Path(entry.path))
    found, missing = dict[str, str | None](), list[ColumnsError]()
    for table in tables:
        try:
            found = _labels_of(listing, table, os.path.abspath(check_folder(folder)), column) | found
        except ColumnsError as error:
            missing.append(error)
    if len(missing) == len(tables):
        name = excerpt(column)
        raise (
            missing[0]
            if missing
            else ValueError(
                f"There is no table with a column {name}: write labels.csv with file_name, label and {name}."
            )
        )
    return found


def find_pictures(folder: str | Path) -> Listing:
    """Find the pictures of a folder, without labels.

    Raises:
        FileNotFoundError: if the folder is not there.
        ValueError: if it holds no picture.
        OSError: if it cannot be read.
    """
    root = check_folder(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{printable(str(folder))} is not there: name a folder of pictures.")
    listing = Listing(root.resolve())
    listing.files = sorted(_walk(listing))
    listing.labels = [None] * len(listing.files)
    if not listing.files and not listing.skipped:
        kinds = "JPEG, PNG, BMP, GIF, WebP or TIFF"
        other = f", only {listing.others:,} other files" if listing.others else ""
        raise ValueError(f"There is no picture in {printable(str(folder))}{other}: put {kinds} files there.")
    if raw := [name for name in listing.skipped if _suffix(name) in RAW]:
        stems = set(map(_stem, listing.files))
        beside = "is the raw file of the picture beside it, which is read"
        listing.skipped |= {name: beside for name in raw if _stem(name) in stems}
    return listing


def joined(listings: Sequence[Listing]) -> Listing:
    """Return the pictures of several folders as one, each named from the folder that holds them all.

    Raises:
        ValueError: if there is no such folder, as with two drives of Windows.
    """
    if len(listings) == 1:
        return listings[0]
    try:
        whole = Listing(Path(os.path.commonpath([listing.folder for listing in listings])))
    except ValueError:
        raise ValueError("The folders lie on two drives: name those of one drive at a time.") from None
    files: set[str] = set()
    for listing in listings:
        below = listing.folder.relative_to(whole.folder)
        files |= {(below / name).as_posix() for name in listing.files}
        whole.skipped |= {(below / name).as_posix(): why for name, why in listing.skipped.items()}
    whole.files = sorted(files)
    whole.labels = [None] * len(files)
    return whole


def _walk(listing: Listing) -> Iterator[str]:
    """Yield the names of the picture files below the folder; note what is skipped or passed over."""
    waiting, passed, tables = [""], set[str](), list[str]()
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
            if entry.name.lower() in SYSTEM_FOLDERS:
                passed.add(entry.name)
            elif _hidden(entry.name):
                continue
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
            elif (reason := _reason_to_skip(entry, listing.folder)) is not None:
                listing.skipped[name] = reason
            elif _suffix(entry.name) in SUFFIXES:
                yield name
            else:
                listing.others += 1
                if below and entry.name.lower() in TABLES:
                    tables.append(name)
    if passed:
        listing.notes.append(
            f"Passed over: what systems and other programs keep in {enumerated(sorted(passed))}."
        )
    if tables:
        where = "since a table counts only in the folder itself"
        listing.notes.append(f"Passed over: {enumerated(sorted(tables))}, {where}.")


def _hidden(name: str) -> bool:
    return name.startswith((".", "~$")) or name.lower() in SYSTEM_FILES | SYSTEM_FOLDERS


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")).lower()


def other_kind(name: str) -> str | None:
    """Return why a file is no picture that can be read, by its name, or None."""
    suffix = _suffix(name)
    return f"{OTHER_KIND} ({suffix[1:]}): save it as JPEG or PNG" if suffix in OTHER_PICTURES else None


def _reason_to_skip(entry: os.DirEntry[str], root: Path) -> str | None:
    """Return why a file is left out though it may be a picture, or None."""
    readable = _suffix(entry.name) in SUFFIXES
    if entry.is_symlink():
        try:
            target = Path(entry.path).resolve(strict=True)
        except (OSError, RuntimeError):
            return "is a link to nothing" if readable or other_kind(entry.name) else None
        if target.is_dir():
            return "is a link to a folder, which is not followed"
        if readable and not target.is_relative_to(root):
            return "is a link that leads out of the folder"
    if readable and is_broken(entry.name):
        return "has a name that is no valid text: rename it"
    return other_kind(entry.name)


# Labels by folders.


def _labels_of_folders(listing: Listing, shown: str, *, table: bool) -> dict[str, str | None]:
    """Return the label of each file by its folder; the user knows the folder of all as `shown`.

    Raises:
        ValueError: if the folders are the parts of a data set, unless a table labels what lies in them.
    """
    root, below = printable(shown.rstrip("/")), ""
    folders, direct = _folders(listing.files, below)
    while True:
        if parts := _parts(folders):
            if table:
                listing.notes.append(
                    f"The folders {enumerated(parts)} are parts of a data set, and no classes."
                )
                return {}
            first = f"{root}/{printable(below)}{printable(parts[0])}"
            raise ValueError(
                f"The folder is divided into {enumerated(parts)}, which are parts of a data set and no "
                f"classes: name one of them, such as {first}, or put the class folders of all parts together."
            )
        if len(folders) != 1 or direct:
            break
        below += f"{next(iter(folders))}/"
        folders, direct = _folders(listing.files, below)
    top = below.partition("/")[0]
    no_class = top.lower() in PLAIN_FOLDERS
    if below and (no_class or len(folders) > 1):
        what = "; they have no label" if no_class else ""
        then = "sort them into a folder per class, or write a table labels.csv"
        if folders:
            classes = enumerated(map(printable, folders))
            then = f"if the folders in it ({classes}) are the classes, name {root}/{printable(below[:-1])}"
        listing.notes.append(f"All pictures lie in one folder, {printable(below[:-1])}{what}: {then}.")
    labels = {name: None if no_class else _class_folder(name) for name in listing.files}
    used = {label for label in labels.values() if label}
    listing.empty = sorted(
        entry.name
        for entry in os.scandir(listing.folder)
        if entry.is_dir(follow_symlinks=False)
        and not _hidden(entry.name)
        and entry.name.strip() not in used
        and not means_unlabelled(entry.name)
        and not any(
            name.startswith(f"{entry.name}/") for name in [*listing.skipped, *(listing.files * no_class)]
        )
    )
    return labels


def _folders(files: Iterable[str], below: str) -> tuple[dict[str, bool], bool]:
    """Return the folders that hold pictures, with whether folders in them do; and if a picture lies here."""
    found: dict[str, bool] = {}
    direct = False
    for name in files:
        if name.startswith(below):
            first, slash, rest = name[len(below) :].partition("/")
            if not slash:
                direct = True
            elif below or not means_unlabelled(first):
                found[first] = found.get(first, False) or "/" in rest
    return found, direct


def _parts(folders: Mapping[str, bool]) -> list[str]:
    """Return which folders are parts of a data set, such as train, val2017 or test_set, and no classes.

    They are if all are called so. Beside others, "train" and "test" are; "fold" and "split" may be classes.
    """
    words = {folder: {*re.findall(r"[^\W\d_]+", folder.lower())} for folder in folders}
    parts = [name for name, found in words.items() if found & PARTS and found <= PART_WORDS]
    all_are = len(parts) == len(folders) and (len(folders) > 1 or any(folders.values()))
    both = all(any(words[name] & kind for name in parts) for kind in (TRAIN, TEST))
    return sorted(parts, key=lambda name: (not words[name] & TRAIN, name)) if all_are or both else []


def _class_folder(name: str) -> str | None:
    first, slash, _ = name.partition("/")
    return None if not slash or means_unlabelled(first) else first.strip()


# Labels by a table.


def _tables_of_root(listing: Listing, shown: str, further: Path | None) -> list[Path]:
    """Return the table of the folder itself, if there is one; note the tables that are passed over.

    Raises:
        ValueError: if there are two, or one cannot be read.
    """
    found, passed = [], []
    beside = {form for file in listing.files if "/" not in file for form in (file.lower(), _stem(file))}
    for entry in sorted(os.scandir(listing.folder), key=lambda entry: entry.name):
        name, path = entry.name.lower(), listing.folder / entry.name
        if _hidden(name) or not os.path.isfile(path):
            continue
        if name in TABLES and path.resolve().is_relative_to(listing.folder):
            try:
                next(read_rows(path))
                found.append(path)
            except ColumnsError as error:
                if name in STRICT_TABLES:
                    raise
                passed.append(str(error))
        elif further and further.exists() and path.samefile(further):
            continue
        elif re.fullmatch(LISTS, name) or (_suffix(name) in OTHER_TABLES and not _is_sidecar(name, beside)):
            passed.append(_how_to_use(path, os.path.join(shown, entry.name)))
    if len(found) > 1:
        both = " and ".join(printable(path.name) for path in found[:2])
        raise ValueError(f"The folder holds both {both}: keep the one that is right.")
    listing.others -= len(found)
    more = len(passed) - SHOWN_TABLES
    listing.notes += [f"Passed over: {what}" for what in passed[:SHOWN_TABLES]]
    listing.notes += [f"Passed over: {more:,} more tables."] * (more > 0)
    return found


def _how_to_use(path: Path, shown: str) -> str:
    """Return what to do with a table that is not read by itself; the user knows it by the second path."""
    if _suffix(path.name) in (".csv", ".tsv", ".json", ".jsonl", ".ndjson") and path.stat().st_size < PEEKED:
        try:
            next(read_rows(path))
        except ValueError as error:
            return str(error)
        return f"{printable(path.name)}; to take its labels, add --labels {printable(shown)}."
    return (
        f"{printable(path.name)}; write labels.csv with the columns file_name and label to take what it says."
    )


def _is_sidecar(name: str, beside: Container[str]) -> bool:
    """Return whether a file says something about one picture, such as 1.jpg.json beside 1.jpg."""
    parts = name.split(".")
    return any(".".join(parts[:i]) in beside for i in range(1, len(parts)))


def _source(table: Path) -> str:
    """Return the name of a table of labels, and which column counts if that was guessed."""
    column = label_column(table)
    guessed = "" if column.strip().lower() == LABEL_COLUMN else f" (column {excerpt(column.strip())})"
    return printable(table.name) + (guessed if column else " (a column per class)")


def _labels_of(
    listing: Listing, table: Path, spelled: str, column: str | None = None
) -> dict[str, str | None]:
    """Return the label of each file that a table names; see `list_photographs` for what is refused.

    With a column, return what that says instead.
    """
    root, n = str(listing.folder), len(listing.files) + len(listing.skipped)
    pictures = PictureNames(listing.files, [root] * n, skipped=[*listing.skipped], spelled=spelled)
    match, shown = match_labels(table, pictures, column), printable(table.name)
    given, n_missing = match.missing
    inside = os.path.normpath(os.path.join(root, given.strip().replace("\\", "/")))
    if n_missing and (not given.strip() or "\0" in given or not Path(inside).is_relative_to(root)):
        raise ValueError(
            f"{shown} names {excerpt(given) or 'no file'}: name a file in the folder, or leave the row out."
        )
    if n_missing:
        more = f" and {n_missing - 1} more" if n_missing > 1 else ""
        raise FileNotFoundError(
            f"{shown} names {excerpt(given)}{more}, but there is no such picture in the folder: "
            "correct the rows, or leave them out."
        )
    if match.below:
        listing.notes.append(f"The names in {shown} are read as those in {printable(match.below[:-1])}.")
    return {pictures.files[row]: label for row, label in match.labels.items()}
