"""Two pages that need nothing but a browser: the report of a fit, and the page to review pictures on.

Names of files and classes are data here and never markup: they are escaped, or lie in a block of JSON. A rule
in each page's head forbids it to ask any address, and to run any script but the one that was written into it.
"""

import base64
import hashlib
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from metriclearn.app.card import advice, interval, judged, promise, way_of
from metriclearn.decode import Bytes
from metriclearn.folders import printable
from metriclearn.model_selection import FittedMethod
from metriclearn.photos import Photographs, smaller
from metriclearn.review import Finding

SIDE = 128
MISTAKES = 12  # shown in the report
HERE = Path(__file__).parent
STYLE = (HERE / "page.css").read_text(encoding="utf-8")


def pictures(photographs: Photographs, rows: Sequence[int]) -> list[str]:
    """Return pictures, by their rows, as addresses that hold them."""
    chosen = np.asarray(rows, dtype=np.int64)
    sizes = np.column_stack([photographs.widths, photographs.heights])[chosen]
    shapes = np.maximum(1, SIDE * sizes // sizes.max(axis=1, keepdims=True))
    squares = (square for batch in photographs.batches(chosen) for square in smaller(batch, SIDE))
    return [_address(square, *shape) for square, shape in zip(squares, shapes.tolist(), strict=True)]


def _address(square: Bytes, width: int, height: int) -> str:
    """Return a square as a JPEG in an address, stretched to the shape that the picture had."""
    buffer = io.BytesIO()
    Image.fromarray(square.transpose(1, 2, 0)).resize((width, height)).save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def page(title: str, body: str, script: str = "") -> str:
    """Return a whole page that asks nothing of anybody."""
    allowed = (
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        if script
        else "'none'"
    )
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"
    code = f"<script>{script}</script>" if script else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{_text(title)}</title>\n'
        f"<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n{code}\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    return html.escape(printable(text))


def report(photographs: Photographs, fitted: FittedMethod, card: dict[str, Any]) -> str:
    """Return the report of a fit: how good it is, where it errs, and what "unknown" promises."""
    classes, data, accuracy = card["classes"], card["data"], card["accuracy"]
    lines = [
        f"<h1>{len(classes)} classes from {data['labelled']:,} labels</h1>",
        f"<p>{data['pictures']:,} pictures, {data['labelled']:,} of them labelled. ",
        f"{_text(way_of(card))}</p>",
        f'<p class="large">{accuracy["percent"]} % right '
        f"<small>[{accuracy['low']}, {accuracy['high']}], 95 % interval</small></p>",
        f"<p>{_text(advice(card))} {_text(card['verdict'])}</p>",
        "<h2>Class by class</h2>",
        "<table><tr><th>class<th>labels<th>right, %<th></tr>",
        *(
            f"<tr><td>{_text(name)}<td>{found['labels']}<td>{interval(found['accuracy'])}<td>{_bar(found['accuracy'])}</tr>"
            for name, found in classes.items()
        ),
        "</table>",
        "<h2>The ways that were tried</h2>",
        "<table><tr><th>way<th>right, %<th></tr>",
        *(
            f"<tr><td>{_text(found['way'])}<td>{judged(found, card)}<td>{_bar(found['accuracy'])}</tr>"
            for found in card["tried"]
        ),
        "</table>",
        "<h2>Unknown</h2>",
        f"<p>{_text(promise(card))}</p>",
        *_mistakes(photographs, fitted),
    ]
    if photographs.skipped:
        lines.append(f"<h2>Files that could not be read: {len(photographs.skipped):,}</h2><ul>")
        lines += [f"<li>{_text(name)} {_text(why)}</li>" for name, why in photographs.skipped.items()]
        lines.append("</ul>")
    return page("Report", "\n".join(lines))


def _bar(entry: dict[str, Any] | None) -> str:
    """Return an accuracy and its interval, drawn; the text beside it says the same."""
    if entry is None:
        return ""
    low, high, mean = entry["low"], entry["high"], entry["percent"]
    return (
        '<svg viewBox="-6 0 212 14" width="212" height="14" aria-hidden="true">'
        '<line x1="0" y1="7" x2="200" y2="7" class="scale"/>'
        f'<line x1="{2 * low:.1f}" y1="7" x2="{2 * high:.1f}" y2="7" class="interval"/>'
        f'<circle cx="{2 * mean:.1f}" cy="7" r="5"/></svg>'
    )


def _mistakes(photographs: Photographs, fitted: FittedMethod) -> list[str]:
    held, names = fitted.held_out, photographs.class_names
    wrong = np.flatnonzero(~held.correct)
    wrong = wrong[np.argsort(-held.predictions.confidence[wrong], kind="stable")][:MISTAKES]
    if not len(wrong):
        return ["<h2>Where it erred</h2><p>Nowhere, on the labels that it was judged by.</p>"]
    rows = [int(row) for i in wrong for row in (held.rows[i], held.predictions.nearest[i, 0])]
    shown = pictures(photographs, rows)
    lines = ["<h2>Where it erred, the surest mistakes first</h2>"]
    lines.append(
        '<p>Left the picture, right the example that spoke for the wrong label.</p><div class="grid">'
    )
    for number, i in enumerate(wrong):
        said = names[held.predictions.labels[i]]
        lines.append(
            f'<figure><img src="{shown[2 * number]}" alt=""><img src="{shown[2 * number + 1]}" alt="">'
            f"<figcaption><b>{_text(names[held.labels[i]])}</b> taken for <b>{_text(said)}</b><br>"
            f"<small>{_text(photographs.files[rows[2 * number]])}</small></figcaption></figure>"
        )
    return [*lines, "</div>"]


def review_page(
    photographs: Photographs,
    labels: Sequence[str | None],
    class_names: Sequence[str],
    findings: Sequence[Finding],
) -> str:
    """Return the page on which a person corrects labels by keyboard and saves them as a table.

    Args:
        photographs: the pictures.
        labels: the label of each, or None.
        class_names: all classes.
        findings: what to look at, in order.
    """
    rows = [row for finding in findings for row in (finding.row, max(finding.other, 0))]
    shown = pictures(photographs, rows)
    items = [
        {
            "file": photographs.files[finding.row],
            "digest": photographs.digests[finding.row],
            "kind": finding.kind,
            "label": labels[finding.row],
            "suggestion": class_names[finding.suggestion] if finding.suggestion >= 0 else None,
            "picture": shown[2 * i],
            "other": photographs.files[finding.other] if finding.other >= 0 else None,
            "otherPicture": shown[2 * i + 1] if finding.other >= 0 else None,
            "otherLabel": labels[finding.other] if finding.other >= 0 else None,
        }
        for i, finding in enumerate(findings)
    ]
    content = json.dumps({"classes": list(class_names), "items": items})  # ASCII: what is odd is spelled out
    content = content.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    body = (HERE / "review.html").read_text(encoding="utf-8")
    data = f'<script type="application/json" id="data">{content}</script>'
    return page("Review", body + data, (HERE / "review.js").read_text(encoding="utf-8"))
