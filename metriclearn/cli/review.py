"""`metriclearn review`: likely wrong labels, duplicates, outliers, what to label next; as table and page."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from metriclearn.cli.common import Result, UsageError, check_output, expanded, path_of, quoted, table_bytes
from metriclearn.cli.model_folder import REVIEW, REVIEW_PAGE, REVIEW_TABLE, ModelFolder, open_model
from metriclearn.cli.report import review_page
from metriclearn.curation import duplicates, what_to_review
from metriclearn.files import PATIENCE, locked, write_file, write_output
from metriclearn.photos import Photographs, decode_listing
from metriclearn.photos.class_names import enumerated, printable
from metriclearn.photos.listing import find_pictures, joined

KINDS = {
    "label": "labels that look wrong",
    "duplicate": "pictures that are there twice",
    "outlier": "pictures unlike all others",
    "next": "pictures to label next",
}
COLUMNS = ("file_name", "label", "kind", "score", "suggestion", "other", "sha256")


def run(options: argparse.Namespace) -> Result:
    """Write what to look at, as a table and as a page on which labels are corrected."""
    model = open_model(options.model)
    if options.next < 0:
        raise UsageError(f"--next is {options.next}: choose 0 or more.")
    if not options.folders:
        before = enumerated(dict.fromkeys(model.folders))
        raise UsageError(
            "Name the folders that hold the classifier's pictures, as in: metriclearn review "
            f"{printable(options.model)} FOLDER; it was made from {before}."
        )
    photographs, at = _photographs(model, expanded(options.folders))
    texts = [model.class_of[row] for row in at]
    pairs = duplicates(photographs.with_labels(texts))
    predicted, confidence = _held_out(model, at)
    findings = what_to_review(
        model.embeddings[at],
        model.labels[at],
        pairs,
        predicted=predicted,
        confidence=confidence,
        n_next=options.next,
        seed=model.card["seed"],
    )
    # Of two labels for one picture either may be wrong: both can be corrected on the page.
    differ = {(pair.first, pair.second) for pair in pairs if pair.labels_differ}
    both = [[found, replace(found, row=found.other, other=found.row)] for found in findings]
    findings = [one for pair in both for one in pair[: 1 + ((pair[0].row, pair[0].other) in differ)]]
    names = (*model.class_names, None)
    files = (*photographs.files, None)
    rows = [
        {
            "file_name": files[finding.row],
            "label": texts[finding.row],
            "kind": finding.kind,
            "score": round(finding.score, 4),
            "suggestion": names[finding.suggestion],
            "other": files[finding.other],
            "sha256": photographs.digests[finding.row],
        }
        for finding in findings
    ]
    out = path_of(options.out) if options.out else model.path / REVIEW
    page_file, table_file = out / REVIEW_PAGE, out / REVIEW_TABLE
    table = table_bytes(COLUMNS, [[*row.values()] for row in rows])
    page = review_page(photographs, texts, model.class_names, findings, rows, out).encode()
    if out.is_symlink() and not options.out:  # the model may be a stranger's: no link in it leads anywhere
        raise FileExistsError(f"{out} is a link: name a folder by --out.")
    beginnings = {table_file: table_bytes(COLUMNS, []), page_file: page[: page.index(b"</title>")]}
    for file, beginning in beginnings.items():
        if options.out or not file.is_symlink():  # a link in the model is replaced itself
            check_output(file, beginning)
    if options.out:
        write_output(table_file, table)
        write_output(page_file, page)
    else:
        with locked(model.path, PATIENCE):
            write_file(table_file, table)
            write_file(page_file, page)
    counts = {kind: sum(finding.kind == kind for finding in findings) for kind in KINDS}
    missing = len(model.files) - len(at)
    result = {
        "findings": rows,
        "missing": missing,
        "counts": counts,
        "page": str(page_file),
        "table": str(table_file),
    }
    lines = [f"{counts[kind]:>5}  {text}" for kind, text in KINDS.items()]
    if counts["label"]:
        lines.append(_usual_share(model))
    if missing:
        lines.append(
            f"{missing:,} pictures of the classifier lie elsewhere, or are others now: they are left out."
        )
    lines.append(
        f"Open {printable(str(page_file))}, correct the labels and save them; "
        f"then: metriclearn add {quoted(options.model)} --labels FILE"
    )
    return result, "\n".join(lines)


def _usual_share(model: ModelFolder) -> str:
    """Return what to expect of a list of suspicious labels: it holds the classifier's own errors as well."""
    wrong = 100 - model.card["accuracy"]["percent"]
    return (
        f"The classifier contradicts {wrong:.0f} % of the labels that it was tested on. Many of its "
        "contradictions are its own mistakes: change a label only where you see that it is wrong."
    )


def _held_out(
    model: ModelFolder, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the class that each picture was given by a classifier that had not met it, and how surely.

    -1 for a picture that was not held out, and for one of a class that was named later: it was not on offer.
    """
    offered = {said["class"] for said in model.held_out if said}
    code_of = {name: code for code, name in enumerate(model.class_names) if name in offered}
    predicted, confidence = np.full(len(rows), -1), np.zeros(len(rows))
    for place, row in enumerate(rows):
        if (said := model.held_out[row]) and model.class_of[row] in offered:
            predicted[place] = code_of.get(said["class"], -1)
            confidence[place] = said["confidence"]
    return predicted, confidence


def _photographs(model: ModelFolder, folders: Sequence[str]) -> tuple[Photographs, npt.NDArray[np.int64]]:
    """Return the classifier's pictures as they lie in these folders now, and the row of each.

    A picture is known by its bytes. Where several rows have the same, each takes the file that bears its
    name, or else the next one.

    Raises:
        UsageError: if a folder does not exist.
        FileNotFoundError: if none of the pictures lies there.
        ValueError: if those that do have no labels of two classes.
    """
    for folder in folders:
        if not path_of(folder).is_dir():
            raise UsageError(f"{folder!r} is no folder: name the folders of the classifier's pictures.")
    photographs = decode_listing(joined([find_pictures(folder) for folder in folders]), ranges=model.ranges)
    found = _files_of_rows(model, photographs)
    where = enumerated(folders)
    if not found:
        raise FileNotFoundError(
            f"No picture of this classifier lies in {where}: name the folders that it was made from."
        )
    if len({model.class_of[row] for row in found.values()} - {None}) < 2:
        raise ValueError(
            f"The classifier's pictures in {where} are not of two classes: name its other folders as well."
        )
    rows = sorted(found, key=found.__getitem__)
    return photographs.chosen([found[row] for row in rows]), np.array(rows)


def _files_of_rows(model: ModelFolder, photographs: Photographs) -> dict[int, int]:
    """Return for each row of the classifier the place of its picture; each picture serves one row."""
    free: dict[str, list[int]] = {}
    for place, digest in enumerate(photographs.digests):
        free.setdefault(digest, []).append(place)
    found: dict[int, int] = {}
    for by_name in (True, False):
        for row, (file, digest) in enumerate(zip(model.files, model.digests, strict=True)):
            places = free.get(digest, []) if row not in found else []
            if by_name:
                places = [i for i in places if f"/{photographs.files[i]}".endswith(f"/{file}")]
            if places:
                found[row] = places[0]
                free[digest].remove(places[0])
    return found
