"""`metriclearn check`: pictures per class, their sizes, unreadable files, duplicates."""

import argparse
from typing import Any

from metriclearn.cli.common import Result, label_counts, photographs_of, quoted
from metriclearn.curation import duplicates
from metriclearn.photos import Photographs
from metriclearn.photos.class_names import check_enough, printable
from metriclearn.photos.depth import described

SHOWN = 10  # lines of a kind that a person sees; a machine gets all


def run(options: argparse.Namespace) -> Result:
    """Say what a folder holds, and what is wrong with it."""
    photographs = photographs_of(options.folder, options.labels)
    files, names = photographs.files, (*photographs.class_names, None)
    found = _summary(photographs)
    found["duplicates"] = [
        {
            "files": [files[pair.first], files[pair.second]],
            "labels": [names[photographs.labels[pair.first]], names[photographs.labels[pair.second]]],
            "same_file": pair.same_file,
            "labels_differ": pair.labels_differ,
        }
        for pair in duplicates(photographs)
    ]
    return found, _text(found, options.folder)


def _summary(photographs: Photographs) -> dict[str, Any]:
    listing, labels = photographs.listing, photographs.labels
    counts = label_counts(labels, photographs.class_names)
    try:
        check_enough(counts)
        missing = ""
    except ValueError as error:
        missing = str(error)
    widths, heights = photographs.widths, photographs.heights
    return {
        "pictures": len(photographs),
        "labelled": int((labels >= 0).sum()),
        "unlabelled": int((labels < 0).sum()),
        "classes": counts,
        "empty_classes": listing.empty,
        "widths": [int(widths.min()), int(widths.max())],
        "heights": [int(heights.min()), int(heights.max())],
        "grey": int(photographs.grey.sum()),
        "ranges": photographs.ranges,
        "skipped": photographs.skipped,
        "other_files": listing.others,
        "notes": listing.notes,
        "to_train": missing,
    }


def _text(found: dict[str, Any], folder: str) -> str:
    (narrow, wide), (low, high) = found["widths"], found["heights"]
    size = f"{wide} x {high}" if (narrow, low) == (wide, high) else f"{narrow} x {low} to {wide} x {high}"
    lines = [
        f"{found['pictures']:,} pictures, {found['labelled']:,} of them labelled, of {len(found['classes'])} "
        f"classes; {size} pixels" + (f", {found['grey']:,} without colour" if found["grey"] else "")
    ]
    lines += described(found["ranges"])
    width = max((len(name) for name in found["classes"]), default=0)
    lines += [f"  {name:{width}}  {n:>7,}" for name, n in found["classes"].items()]
    lines += found["notes"]
    if found["other_files"]:
        lines.append(f"{found['other_files']:,} other files were passed over.")
    if found["empty_classes"]:
        lines.append(f"Folders without a picture: {', '.join(map(printable, found['empty_classes']))}")
    lines += _first("Skipped", [f"{printable(name)}  {why}" for name, why in found["skipped"].items()])
    for same, title in ((True, "The same file twice"), (False, "Nearly the same picture")):
        pairs = [
            "  =  ".join(map(printable, pair["files"]))
            + (f"  but labelled {pair['labels'][0]} and {pair['labels'][1]}" if pair["labels_differ"] else "")
            for pair in found["duplicates"]
            if pair["same_file"] == same
        ]
        lines += _first(title, pairs)
    lines.append(found["to_train"] or f"Next: metriclearn fit {quoted(folder)} --out model")
    return "\n".join(lines)


def _first(title: str, lines: list[str]) -> list[str]:
    """Return the first lines under a title with their number, and how many more there are."""
    if not lines:
        return []
    more = [f"  and {len(lines) - SHOWN:,} more; --json lists all"] if len(lines) > SHOWN else []
    return [f"{title}: {len(lines):,}", *(f"  {line}" for line in lines[:SHOWN]), *more]
