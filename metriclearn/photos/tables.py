"""Tables of labels: read row by row, and matched with the pictures that they name.

    file_name,label                    CSV, also with semicolons, tabs or bars; UTF-8, or UTF-16 as of Excel
    filename,cat,dog                   a column per class, with 1 for the one that is meant
    {"file_name": "1.jpg", "label": "cat"}                  JSON, an object per line or a list of them
    {"classes": ["cat", "dog"], "labels": {"1": 0}}         labels.json of FiftyOne

Only the label of a picture that is there is kept, so that memory does not grow with the table. A cell that a
spreadsheet would run as a formula is written with an apostrophe in front, and read without it.
"""

import csv
import json
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from urllib.parse import unquote

from metriclearn.photos.class_names import enumerated, excerpt, parse_label

FILE_COLUMNS, LABEL_COLUMN = ("file_name", "image_path", "path", "file"), "label"
# What other programs call these columns; of the files the first that is there counts.
FILE_COLUMNS_ELSEWHERE = (
    *("filename", "filepath", "file_path", "image_name", "image_file", "image", "img", "image_id", "id"),
)
LABEL_COLUMNS_ELSEWHERE = (
    "labels",
    "class",
    "class_name",
    "category",
    "choice",
    "target",
    "species",
    "breed",
)
BOX_COLUMNS = {"xmin", "x_min", "bbox", "region_shape_attributes"}
LARGEST_TABLE = 100_000_000  # bytes
LARGEST_LINE = 1_000_000  # characters of the first line, which tells what parts the columns
FORMULA = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # at the start of a cell; in review.js likewise
BOXES = (
    "holds boxes, which label parts of a picture: write one label per picture, as labels.csv with the "
    "columns file_name and label"
)


class TableRow(NamedTuple):
    """What counts of a row of a table: the picture as it is written there, its label, its SHA-256 or ""."""

    file: str
    label: str | None
    digest: str


class ColumnsError(ValueError):
    """A table that can be read, but holds no labels of pictures."""


def escape_formula(cell: str) -> str:
    """Return a cell of a CSV file that no spreadsheet takes for a formula; `unescape_formula` undoes it.

    An apostrophe comes first, as OWASP advises (https://owasp.org/www-community/attacks/CSV_Injection).
    """
    return f"'{cell}" if re.match(f"'*{FORMULA}", cell) else cell


def unescape_formula(cell: str) -> str:
    """Return a cell as it was before `escape_formula`."""
    return cell[1:] if re.match(f"'+{FORMULA}", cell) else cell


def read_rows(table: Path, column: str | None = None) -> Iterator[TableRow]:
    """Read a table of labels, row by row.

    Args:
        table: the file.
        column: which column counts instead of that of the labels.

    Raises:
        FileNotFoundError: if it is not there.
        ColumnsError: if it names no files, or has no column of labels, or none of that name.
        ValueError: if it cannot be read, or a row makes no sense.
    """
    if not table.is_file():
        raise FileNotFoundError(f"{excerpt(str(table))} is not there: name a CSV file.")
    name = excerpt(table.name)
    if table.stat().st_size > LARGEST_TABLE:
        raise ValueError(f"{name} is larger than 100 MB: is it a table of labels?")
    try:
        records = _records(table)
        if (first := next(records, None)) is None:
            raise ValueError(f"{name} has no rows: name the columns, then write a row per file.")
        columns = _columns(first, name, column)
        for record in chain([first], records):
            yield _row(record, columns, name)
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError, RecursionError) as error:
        why = excerpt(str(error))
        raise ValueError(f"{name} cannot be read as a table ({why}): save it as CSV in UTF-8.") from None


def label_column(table: Path) -> str:
    """Return which column of a table that can be read holds the labels, or "" if there is one per class."""
    return _columns(next(_records(table)), excerpt(table.name), None).label


def _records(table: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a table, each as a dictionary of its columns."""
    with table.open("rb") as raw:
        mark = raw.read(2)
    if mark == b"PK":
        raise ColumnsError(f"{excerpt(table.name)} is a workbook of a spreadsheet: save it as CSV in UTF-8.")
    if b"\0" in mark:
        raise ValueError(f"{excerpt(table.name)} is no text in UTF-8: save it as CSV in UTF-8.")
    encoding = "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with table.open(encoding=encoding, newline="") as file:
        if table.suffix.lower() == ".json":
            yield from _json_records(_json(file.read()), excerpt(table.name))
        elif table.suffix.lower() in (".jsonl", ".ndjson"):
            yield from _json_lines(file, excerpt(table.name))
        else:
            yield from _csv_records(file, excerpt(table.name))


def _csv_records(file: TextIO, name: str) -> Iterator[Mapping[str, str]]:
    first = "\n"
    while first.isspace():  # "" at the end is none
        start = file.tell()
        first = file.readline(LARGEST_LINE)
    if parted := re.fullmatch(r'"?sep=([^\w\s"]|\t)"?\s*', first):  # a note of Excel to itself
        delimiter = parted[1]
    else:
        delimiter = max(",;\t|", key=first.count)
        file.seek(start)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    lines = ([*map(_unquoted, line)] for line in reader if any(cell.strip() for cell in line))
    header = [name.strip() for name in next(lines, [])]
    while header and not header[-1]:  # a spreadsheet may write more columns than are filled
        header.pop()
    if len({column.lower() for column in header if column}) < len([column for column in header if column]):
        raise ValueError(f"{name} has two columns of one name: keep the one that is right.")
    for line in lines:
        while len(line) > len(header) and not line[-1].strip():
            line.pop()
        if len(line) != len(header):
            found = f"{len(header)} columns, but {len(line)} in the row of {excerpt(line[0])}"
            raise ValueError(f"{name} has {found}: set texts that hold a comma in quotes.")
        yield dict(zip(header, line, strict=True))


def _unquoted(cell: str) -> str:
    """Return a cell without its quotes, which the reader keeps if a blank comes before them."""
    return cell.strip()[1:-1] if cell[:1] == " " and re.fullmatch(r'"[^"]*"', cell.strip()) else cell


def _json(text: str) -> Any:
    """Return what a JSON text holds; numbers stay as they are written."""
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)


def _json_records(found: Any, name: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(found, dict) and isinstance(found.get("labels"), dict) and "classes" in found:
        classes = found["classes"]
        for file, label in found["labels"].items():
            code = label.get("label") if isinstance(label, dict) else label
            if isinstance(code, str) and isinstance(classes, list) and re.fullmatch(r"\d{1,9}", code):
                code = classes[int(code)] if int(code) < len(classes) else code
            yield {"file_name": file, "label": code}
        return
    if isinstance(found, dict) and {"images", "annotations"} <= found.keys():
        raise ColumnsError(f"{name} {BOXES}.")
    yield from (_as_record(record, name) for record in (found if isinstance(found, list) else [None]))


def _json_lines(file: TextIO, name: str) -> Iterator[Mapping[str, Any]]:
    yield from (_as_record(_json(line), name) for line in file if line.strip())


def _as_record(found: Any, name: str) -> Mapping[str, Any]:
    if isinstance(found, dict) and {"data", "annotations"} <= found.keys():
        raise ColumnsError(f"{name} is Label Studio's full JSON: export CSV or JSON-MIN from there.")
    if not isinstance(found, dict):
        raise ColumnsError(
            f"{name} holds no rows of a table: write labels.csv with the columns file_name and label."
        )
    return found


@dataclass(frozen=True)
class _Columns:
    """Which columns count; `classes` are those of 0 and 1, if there is one per class instead of labels."""

    file: str
    label: str
    digest: str
    classes: tuple[str, ...]


def _columns(first: Mapping[str, Any], name: str, column: str | None) -> _Columns:
    by_name = {_plain_column(str(column)): str(column) for column in first}
    if BOX_COLUMNS & by_name.keys():
        raise ColumnsError(f"{name} {BOXES}.")
    files = [column for column in FILE_COLUMNS if column in by_name] or [
        column for column in FILE_COLUMNS_ELSEWHERE if column in by_name
    ][:1]
    wanted = LABEL_COLUMN if column is None else _plain_column(column)
    labels = [wanted] if wanted in by_name else []
    classes: tuple[str, ...] = ()
    if column is None and not labels:
        labels = [other for other in LABEL_COLUMNS_ELSEWHERE if other in by_name]
        others = [other for other in first if other and by_name[files[0]] != other] if len(files) == 1 else []
        if not labels and len(others) > 1 and all(_bit(first[other]) is not None for other in others):
            classes = tuple(others)
    if len(files) != 1 or (len(labels) != 1 and not classes):
        there = enumerated(filter(None, by_name), 12)
        raise ColumnsError(
            f"{name} needs one column {', '.join(FILE_COLUMNS[:-1])} or {FILE_COLUMNS[-1]}, and one column "
            f"{excerpt(wanted)}: its columns are {there}."
        )
    label = "" if classes else by_name[labels[0]]
    return _Columns(by_name[files[0]], label, by_name.get("sha256", ""), classes)


def _plain_column(name: str) -> str:
    """Return how the name of a column is compared: "File Name" as "file_name"."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _row(record: Mapping[str, Any], columns: _Columns, name: str) -> TableRow:
    file = str(record.get(columns.file) or "")
    digest = str(record.get(columns.digest) or "") if columns.digest else ""
    value = record.get(columns.label)
    if columns.classes:
        bits = {column: _bit(record.get(column)) for column in columns.classes}
        if odd := [column for column, bit in bits.items() if bit is None]:
            raise ValueError(
                f"{name} is neither 0 nor 1 for {excerpt(file)} in the column {excerpt(odd[0])}: "
                "correct the row."
            )
        value = [column for column, bit in bits.items() if bit]
        value = value[0] if len(value) == 1 else value or ""
    if isinstance(value, list | dict) or str(value).startswith(('{"', '["')):
        raise ValueError(f"{name} gives {excerpt(file)} several labels: keep one per picture.")
    label = "" if value is None else unescape_formula(str(value))
    return TableRow(file, parse_label(label), digest.strip().lower())


def _bit(cell: Any) -> bool | None:
    """Return what a cell of 0 or 1 says, or None if it is another one."""
    return {"0": False, "1": True, "0.0": False, "1.0": True}.get(str(cell).strip())


class PictureNames:
    """Finds the pictures that a table names, however it writes their names.

    Blanks around a name, backslashes, `./`, an absolute path, the other Unicode form of an accent, the name
    of the folder in front, other capitals, no ending, or an address of Label Studio.

    Args:
        files: one name per picture, below its folder, with `/`.
        folders: these folders, absolute, one per picture and per skipped file.
        digests: SHA-256 of each, if they are known.
        skipped: further files, which count only where a name means none of the others.
        spelled: the folder as the user wrote it, absolute, if there is only one.
    """

    def __init__(
        self,
        files: Sequence[str],
        folders: Sequence[str],
        digests: Sequence[str] = (),
        *,
        skipped: Sequence[str] = (),
        spelled: str = "",
    ) -> None:
        self.files = [*files, *skipped]
        self.folders = [_composed(folder.replace(os.sep, "/")) for folder in folders]
        self._spelled, self._n_files = _composed(spelled.replace(os.sep, "/")), len(files)
        self._by_name: dict[str, list[int]] = {}
        self._by_digest: dict[str, list[int]] = {}
        self._loosely: dict[str, list[int]] = {}
        for row, file in enumerate(self.files):
            self._by_name.setdefault(_composed(file), []).append(row)
        for row, digest in enumerate(digests):
            self._by_digest.setdefault(digest, []).append(row)

    def find(self, given: str, digest: str = "") -> list[int]:
        """Return the rows of the pictures that a row of a table may mean; several if it is not clear."""
        named = next(filter(None, map(self._named, {unescape_formula(given): 0, given: 0})), [])
        named = [row for row in named if row < self._n_files] or named
        if not digest or not self._by_digest:
            return named
        same = self._by_digest.get(digest, [])
        return [row for row in named if row in same] or same

    def below(self, given: str) -> list[str]:
        """Return the folders in which a picture of that name lies, or of that name and an ending."""
        tail = f"/{_plain_paths(given)[0]}"
        forms = (form for file in map(_composed, self.files) for form in (file, posixpath.splitext(file)[0]))
        return sorted({form[: 1 - len(tail)] for form in forms if form.endswith(tail)})

    def _named(self, given: str) -> list[int]:
        exact = [row for row in self._by_name.get(_composed(given), []) if self.files[row] == given]
        if exact or not given.strip():
            return exact
        return next(filter(None, map(self._at, _plain_paths(given))), [])

    def _at(self, name: str) -> list[int]:
        if name.startswith("../"):  # out of the folder, and perhaps into it again
            above = {posixpath.normpath(f"{folder}/{name}") for folder in {*self.folders}}
            return [row for path in sorted(above) for row in self._in_folder(path)]
        found = self._by_name.get(name) or self._in_folder(name)
        if not found and not self._loosely:
            for row, file in enumerate(map(_composed, self.files)):
                for form in {file.casefold(), posixpath.splitext(file)[0].casefold()}:
                    self._loosely.setdefault(form, []).append(row)
        return found or self._loosely.get(name.casefold(), [])

    def _in_folder(self, path: str) -> list[int]:
        """Return the pictures of a path that names their folder as well, or the end of its path."""
        parts = path.split("/")
        for i in range(1, len(parts)):
            folder, file = "/".join(parts[:i]), "/".join(parts[i:])
            found = [row for row in self._by_name.get(file, []) if self._is_folder(folder, self.folders[row])]
            if found:
                return found
        return []

    def _is_folder(self, named: str, folder: str) -> bool:
        if named.startswith("/") or not named:
            return named in (folder, self._spelled)
        return f"/{folder}".endswith(f"/{named}") or named == self._spelled


@dataclass
class Match:
    """Which pictures a table labels.

    Attributes:
        labels: the label of each picture, by its row.
        below: the folder that all names of the table are meant below, or "".
        missing: the first name that is no picture, and how many there are.
    """

    labels: dict[int, str | None]
    below: str = ""
    missing: tuple[str, int] = ("", 0)


def match_labels(table: Path, pictures: PictureNames, column: str | None = None) -> Match:
    """Return which pictures a table labels, or what another column says of them.

    If it names other pictures than those that are there, but all of them lie below one folder, that is meant.

    Raises:
        ValueError: if a picture is named twice, or a name may mean several; see also `read_rows`.
        FileNotFoundError: if the table is not there.
    """
    found = _match(table, pictures, "", column)
    if not found.missing[1]:
        return found
    for below in pictures.below(found.missing[0])[:10]:
        other = _match(table, pictures, below, column)
        if not other.missing[1]:
            return other
    return found


def _match(table: Path, pictures: PictureNames, below: str, column: str | None) -> Match:
    match, labels = Match({}, below), dict[str | None, str | None]()
    for given, label, digest in read_rows(table, column):
        rows = pictures.find(below + unescape_formula(given) if below else given, digest)
        if len(rows) > 1:
            where = enumerated(f"{pictures.folders[row]}/{pictures.files[row]}" for row in rows)
            raise ValueError(
                f"{excerpt(table.name)} names {excerpt(given)}, which may be {where}: write its whole "
                "path, or the column sha256 as in the table of metriclearn review."
            )
        if not rows:
            first, n = match.missing
            match.missing = (first if n else given, n + 1)
        elif match.labels.get(rows[0], label) != label:
            raise ValueError(
                f"{excerpt(table.name)} names {excerpt(given)} twice: keep the row that is right."
            )
        else:
            match.labels[rows[0]] = labels.setdefault(label, label)  # one text per class
    return match


def _plain_paths(given: str) -> list[str]:
    """Return a path as `find` compares it; for an address of Label Studio the names that it may mean."""
    name = _composed(posixpath.normpath(given.strip().replace("\\", "/")))
    if address := re.fullmatch(r"/data/(?:upload/\d+/|local-files/\?d=)(.+)", name):
        file = _composed(unquote(address[1]))
        return [file, re.sub("^[0-9a-f]{8}-", "", file), name]
    return [name]


def _composed(text: str) -> str:
    """Return a text in the form that most systems write; macOS writes accents apart."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
