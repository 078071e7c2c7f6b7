"""`metriclearn review`: likely wrong labels, duplicates, outliers, what to label next; as table and page."""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metriclearn.cli.common import Result, UsageError, table_bytes
from metriclearn.cli.model_folder import REVIEW, REVIEW_PAGE, REVIEW_TABLE, ModelFolder, open_model
from metriclearn.cli.report import review_page
from metriclearn.curation import duplicates, what_to_review
from metriclearn.files import PATIENCE, locked, write_file, write_output
from metriclearn.photos import Photographs, decode_listing
from metriclearn.photos.listing import joined, list_photographs, printable

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
    photographs, at = _photographs(model)
    texts = [model.class_of[row] for row in at]
    pairs = duplicates(photographs.with_labels(texts))
    findings = what_to_review(
        model.embeddings[at], model.labels[at], pairs, n_next=options.next, seed=model.card["seed"]
    )
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
    out = Path(options.out).expanduser() if options.out else model.path / REVIEW
    page_file, table_file = out / REVIEW_PAGE, out / REVIEW_TABLE
    table = table_bytes(COLUMNS, [[*row.values()] for row in rows])
    page = review_page(photographs, texts, model.class_names, findings, rows).encode()
    if options.out:
        write_output(table_file, table)
        write_output(page_file, page)
    else:  # the model may be a stranger's: no link in it leads anywhere
        if out.is_symlink():
            raise FileExistsError(f"{out} is a link: name a folder by --out.")
        with locked(model.path, PATIENCE):
            write_file(table_file, table)
            write_file(page_file, page)
    counts = {kind: sum(finding.kind == kind for finding in findings) for kind in KINDS}
    result = {
        "findings": rows,
        "counts": counts,
        "page": str(page_file),
        "table": str(table_file),
    }
    lines = [f"{counts[kind]:>5}  {text}" for kind, text in KINDS.items()]
    lines.append(
        f"Open {printable(str(page_file))}, correct the labels and save them; "
        f"then: metriclearn add {options.model} --labels FILE"
    )
    return result, "\n".join(lines)


def _photographs(model: ModelFolder) -> tuple[Photographs, npt.NDArray[np.int64]]:
    """Return the classifier's pictures as they lie in their folders now, and the row of each.

    Raises:
        FileNotFoundError: if a folder is gone, or holds none of them any more.
    """
    rows = {digest: row for row, digest in enumerate(model.digests)}
    folders = [*dict.fromkeys(model.folders)]
    for folder in folders:
        if not Path(folder).is_dir():
            raise FileNotFoundError(
                f"The pictures in {printable(folder)} are not there any more: put them back."
            )
    photographs = decode_listing(joined([list_photographs(folder) for folder in folders]))
    kept = [i for i, digest in enumerate(photographs.digests) if digest in rows]
    if not kept:
        where = " and ".join(map(printable, folders))
        raise FileNotFoundError(f"The pictures in {where} are others now: fit anew.")
    chosen = photographs.chosen(kept)
    return chosen, np.array([rows[digest] for digest in chosen.digests])
