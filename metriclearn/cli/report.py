"""Two HTML pages that need only a browser: the report of a fit, and the page to review pictures on.

A content security policy in each page forbids it to ask any address, and to run any script but its own.
"""

import base64
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from metriclearn.cli.card import told
from metriclearn.cli.render import render
from metriclearn.curation import Finding
from metriclearn.model_selection import FittedMethod
from metriclearn.photos import Photographs, downscale
from metriclearn.photos.decode import Bytes

SIDE = 128  # pixels of the longer side of a picture
REVIEW_SIDE = 256  # likewise, on the page where labels are corrected
MISTAKES = 12  # shown in the report


def report_page(photographs: Photographs, fitted: FittedMethod, card: dict[str, Any]) -> str:
    """Return the report of a fit: how good it is, where it errs, and what "unknown" promises."""
    mistakes = [*_mistakes(photographs, fitted)]
    return render("report.html.j2", **told(card), mistakes=mistakes, skipped=photographs.skipped)


def _mistakes(photographs: Photographs, fitted: FittedMethod) -> Iterator[dict[str, str]]:
    """Yield the most confident mistakes, each with the nearest example of the wrong class."""
    held, names = fitted.held_out, photographs.class_names
    wrong = np.flatnonzero(~held.correct)
    wrong = wrong[np.argsort(-held.predictions.confidence[wrong], kind="stable")][:MISTAKES]
    asked, nearest = held.rows[wrong], held.predictions.nearest[wrong, 0]
    shown = zip(_pictures(photographs, asked), _pictures(photographs, nearest), strict=True)
    for i, row, (picture, example) in zip(wrong, asked, shown, strict=True):
        yield {
            "picture": picture,
            "example": example,
            "file": photographs.files[row],
            "label": names[held.labels[i]],
            "taken_for": names[held.predictions.labels[i]],
        }


def review_page(
    photographs: Photographs,
    labels: Sequence[str | None],
    class_names: Sequence[str],
    findings: Sequence[Finding],
    rows: Sequence[dict[str, Any]],
    out: Path,
) -> str:
    """Return the page on which a person corrects labels by keyboard; `rows` are the findings as a table.

    `out` is the folder that it will lie in: the files themselves are linked from there.
    """
    shown = _pictures(photographs, [finding.row for finding in findings], REVIEW_SIDE)
    doubles = [finding.other for finding in findings if finding.other >= 0]
    others = iter(_pictures(photographs, doubles, REVIEW_SIDE))
    items = [
        row
        | {"picture": picture, "original": _link(photographs.folder / photographs.files[finding.row], out)}
        | ({} if finding.other < 0 else {"otherPicture": next(others), "otherLabel": labels[finding.other]})
        | ({} if finding.other < 0 else {"otherDigest": photographs.digests[finding.other]})
        for row, finding, picture in zip(rows, findings, shown, strict=True)
    ]
    page_id = hashlib.sha256(repr(rows).encode(errors="surrogatepass")).hexdigest()[:16]
    return render("review.html.j2", page={"id": page_id, "classes": list(class_names), "items": items})


def _link(file: Path, folder: Path) -> str:
    """Return the address of a file for a page in a folder."""
    with suppress(ValueError):  # on Windows they may lie on two drives
        return quote(os.fsencode(Path(os.path.relpath(file, folder)).as_posix()))
    return file.absolute().as_uri()


def _pictures(photographs: Photographs, rows: Sequence[int] | Any, side: int = SIDE) -> list[str]:
    """Return pictures, by their rows, as data URLs of the shape that each had."""
    chosen = np.asarray(rows, dtype=np.int64)
    sizes = np.column_stack([photographs.widths, photographs.heights])[chosen]
    shapes = np.maximum(1, side * sizes // sizes.max(axis=1, keepdims=True))
    squares = (square for batch in photographs.batches(chosen) for square in downscale(batch, side))
    return [_data_url(square, *shape) for square, shape in zip(squares, shapes.tolist(), strict=True)]


def _data_url(square: Bytes, width: int, height: int) -> str:
    buffer = io.BytesIO()
    Image.fromarray(square.transpose(1, 2, 0)).resize((width, height)).save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
