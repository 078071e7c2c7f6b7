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
import numpy.typing as npt
from PIL import Image
from sklearn.metrics import confusion_matrix

from metriclearn.calibration import Probabilities, expected_calibration_error
from metriclearn.cli.card import told
from metriclearn.cli.render import render
from metriclearn.curation import Finding
from metriclearn.model_selection import FittedMethod
from metriclearn.photos import Photographs, downscale
from metriclearn.photos.decode import Bytes

SIDE = 128  # pixels of the longer side of a picture
REVIEW_SIDE = 256  # likewise, on the page where labels are corrected
MISTAKES = 12  # shown in the report
CONFUSIONS = 10  # pairs of classes, likewise
LARGEST_MATRIX = 20  # classes
BINS = 10  # of the reliability diagram
WIDE = 10  # points: an interval that is worth more labels


def report_page(
    photographs: Photographs, fitted: FittedMethod, card: dict[str, Any], probabilities: Probabilities
) -> str:
    """Return the report of a fit: how good it is, where it errs, and what to do next.

    `probabilities` says of each held-out answer how likely it was right.
    """
    context = {
        "classes": _classes(fitted, card),
        "mistakes": [*_mistakes(photographs, fitted, probabilities)],
        "confusions": _confusions(fitted, photographs.class_names),
        "reliability": _reliability(fitted, probabilities),
        "answered": _answered(fitted, card["unknown"]["threshold"]),
        "next_steps": [*_next_steps(fitted, card)],
        "skipped": photographs.skipped,
    }
    return render("report.html.j2", **told(card), **context)


def _classes(fitted: FittedMethod, card: dict[str, Any]) -> list[dict[str, Any]]:
    """Return for each class its recall, with an interval, and its precision, the weakest class first."""
    said, correct = fitted.held_out.predictions.labels, fitted.held_out.correct
    rows = [
        {
            "name": name,
            "labels": found["labels"],
            "recall": found["accuracy"],
            "precision": _share(correct[said == code]) if (said == code).any() else None,
        }
        for code, (name, found) in enumerate(card["classes"].items())
    ]
    return sorted(rows, key=lambda row: row["recall"]["percent"] if row["recall"] else 101)


def _confusions(fitted: FittedMethod, names: Sequence[str]) -> dict[str, Any]:
    """Return the confusion matrix of the held-out pictures, and its pairs of classes, frequent ones first.

    The matrix is left out where there are too many classes to read it.
    """
    held = fitted.held_out
    counts = confusion_matrix(held.labels, held.predictions.labels, labels=np.arange(len(names)))
    wrong = counts * (1 - np.eye(len(names), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [(*map(int, np.unravel_index(place, wrong.shape)), int(wrong.flat[place])) for place in order]
    return {
        "names": list(names),
        "matrix": counts.tolist() if len(names) <= LARGEST_MATRIX else None,
        "pairs": [(names[label], names[said], n) for label, said, n in pairs if n],
    }


def _reliability(fitted: FittedMethod, probabilities: Probabilities) -> dict[str, Any]:
    """Return the reliability diagram: of answers of about one confidence, how many were right, in percent."""
    correct = fitted.held_out.correct
    parts = np.array_split(np.argsort(probabilities, kind="stable"), min(BINS, max(len(correct) // 10, 1)))
    return {
        "points": [
            (round(100 * float(probabilities[part].mean()), 1), _share(correct[part]), len(part))
            for part in parts
        ],
        "error": round(expected_calibration_error(probabilities, correct, len(parts)), 1),
    }


def _answered(fitted: FittedMethod, threshold: float | None) -> list[dict[str, Any]]:
    """Return for several thresholds how many pictures get an answer, and how many of these are right.

    Both in percent; the threshold in use is marked.
    """
    said, correct = fitted.held_out.predictions.similarity, fitted.held_out.correct
    at = [(float(np.quantile(said, q)), False) for q in (0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)]
    at += [] if threshold is None else [(threshold, True)]
    found = []
    for value, chosen in sorted(at):
        kept = said >= value
        if kept.any():
            found.append({"answered": _share(kept), "right": _share(correct[kept]), "chosen": chosen})
    return found


def _share(hits: npt.NDArray[np.bool_]) -> float:
    return round(100 * float(hits.mean()), 1)


def _next_steps(fitted: FittedMethod, card: dict[str, Any]) -> Iterator[str]:
    """Yield what to do next, at most three sentences, the most useful first."""
    accuracy, measured = (
        card["accuracy"],
        [
            (found["accuracy"]["percent"], name)
            for name, found in card["classes"].items()
            if found["accuracy"] is not None
        ],
    )
    if accuracy["high"] - accuracy["low"] > WIDE:
        yield (
            f"Label more pictures: with {accuracy['pictures']} the accuracy is only known to lie between "
            f"{accuracy['low']} and {accuracy['high']} %."
        )
    worst, name = min(measured)
    if worst < accuracy["low"]:
        yield f"Look at {name} first: {worst} % of its pictures were named right."
    if not fitted.held_out.correct.all():
        yield "Run metriclearn review: it lists the labels that the classifier contradicts."
    yield (
        "Test it on pictures from another day or camera before you rely on it: these numbers hold for "
        "pictures like those in the folder."
    )


def _mistakes(
    photographs: Photographs, fitted: FittedMethod, probabilities: Probabilities
) -> Iterator[dict[str, str]]:
    """Yield the most confident mistakes, each with the nearest example of the wrong class."""
    held, names = fitted.held_out, photographs.class_names
    wrong = np.flatnonzero(~held.correct)
    wrong = wrong[np.argsort(-probabilities[wrong], kind="stable")][:MISTAKES]
    asked, nearest = held.rows[wrong], held.predictions.nearest[wrong, 0]
    shown = zip(_pictures(photographs, asked), _pictures(photographs, nearest), strict=True)
    for i, row, (picture, example) in zip(wrong, asked, shown, strict=True):
        yield {
            "picture": picture,
            "example": example,
            "file": photographs.files[row],
            "label": names[held.labels[i]],
            "taken_for": names[held.predictions.labels[i]],
            "confidence": f"{100 * probabilities[i]:.0f}",
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
