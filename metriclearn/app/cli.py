"""The command line: a folder of photographs in, a classifier that knows when it does not know out.

Each command is a page: what it reads, what it calls in the method, what it prints. Results go to the standard
output, progress and messages to the standard error, so that a pipe carries results alone.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metriclearn.photos import Photographs

FAILED, WRONG_USE, STOPPED = 1, 2, 130
METHODS = ("auto", "frozen", "head-without-pool", "head", "scratch", "last")  # of model_selection
BACKBONE = "efficientnet-lite0"  # as in metriclearn.backbones, which takes seconds to load
SHOWN = 10  # lines of a kind that a person sees; a machine gets all

EXAMPLES = """\
examples:
  metriclearn check photos                          what is there, before anything is trained
  metriclearn fit photos --out model                choose a way, train it, say how good it is
  metriclearn classify model new/*.jpg --csv a.csv  a label or "unknown" for each, and why
  metriclearn review model                          what to look at, as a table and as a page
  metriclearn add model more_photos                 new examples or classes, without training

A folder holds a folder of pictures per class, and one called "unlabelled"; or pictures and a table labels.csv
with the columns file_name and label. Without a name of its own, what is decoded is kept in the user's cache
folder; METRICLEARN_CACHE names another one.
"""


class UsageError(ValueError):
    """Arguments that cannot be meant: exit code 2."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 if all went well, 1 if the run failed, 2 for a wrong use, 130 if it was stopped by Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a letter shows its number
            stream.reconfigure(errors="backslashreplace")
    options = parser().parse_args(arguments)
    try:
        result, text = options.run(options)
        print(json.dumps(result, indent=2) if options.json else text, flush=True)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        return 0
    except (ValueError, OSError, RuntimeError) as error:
        code = WRONG_USE if isinstance(error, UsageError) else FAILED
        if options.json:
            print(json.dumps({"error": str(error), "exit_code": code}), flush=True)
        print(f"metriclearn {options.command}: {error}", file=sys.stderr)
        return code
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser, which knows all commands and has imported nothing of them."""
    whole = argparse.ArgumentParser(
        prog="metriclearn",
        description="From a folder of photographs with few labels to a classifier that you can trust.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[..., Any], text: str, example: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.add_argument("--json", action="store_true", help="print one JSON object, for machines")
        added.set_defaults(run=run)
        return added

    check = command(
        "check", run_check, "say what a folder holds, and what is wrong with it", "metriclearn check photos"
    )
    check.add_argument("folder", metavar="FOLDER")
    check.add_argument("--labels", metavar="FILE", help="a further table of labels, whose rows win")
    fit = command(
        "fit",
        commands_of("run_fit"),
        "choose a way on your own labels, train it, and write a classifier",
        "metriclearn fit photos --out model",
    )
    fit.add_argument("folder", metavar="FOLDER")
    fit.add_argument("--out", required=True, metavar="MODEL", help="the folder to write; it must be new")
    fit.add_argument("--labels", metavar="FILE", help="a further table of labels, whose rows win")
    fit.add_argument("--method", choices=METHODS, default="auto", help="how to learn (default: %(default)s)")
    fit.add_argument(
        "--backbone",
        metavar="NAME",
        default=BACKBONE,
        help="pretrained network, or several joined by + (default: %(default)s)",
    )
    fit.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: 0)")
    fit.add_argument("--device", default="auto", help="where to compute: auto, cpu, cuda ... (default: auto)")
    fit.add_argument("--qdrant-url", metavar="URL", help="keep the examples on this server as well")
    fit.add_argument("--force", action="store_true", help="replace MODEL if it is there")
    classify = command(
        "classify",
        commands_of("run_classify"),
        'give each picture a label or "unknown"',
        "metriclearn classify model new/*.jpg --csv answers.csv",
    )
    classify.add_argument("model", metavar="MODEL")
    classify.add_argument("paths", nargs="+", metavar="PATH", help="pictures, or folders of pictures")
    classify.add_argument("--csv", metavar="OUT", help="write the answers into a table as well")
    classify.add_argument("--device", default="auto", help=argparse.SUPPRESS)
    review = command(
        "review",
        commands_of("run_review"),
        "write what to look at: wrong labels, doubles, outliers, what to label next",
        "metriclearn review model --out review",
    )
    review.add_argument("model", metavar="MODEL")
    review.add_argument("--out", metavar="FOLDER", help="where to write (default: MODEL/review)")
    review.add_argument(
        "--next", type=int, default=20, metavar="N", help="how many to label next (default: 20)"
    )
    add = command(
        "add",
        commands_of("run_add"),
        "take in new examples, new classes or corrected labels, without training",
        "metriclearn add model more_photos --labels reviewed.csv",
    )
    add.add_argument("model", metavar="MODEL")
    add.add_argument("folder", nargs="?", metavar="FOLDER", help="new pictures")
    add.add_argument("--labels", metavar="FILE", help="labels, such as the review page saves")
    add.add_argument("--device", default="auto", help=argparse.SUPPRESS)
    return whole


def commands_of(name: str) -> Callable[[argparse.Namespace], tuple[dict[str, Any], str]]:
    """Return a command that is imported when it runs: what trains takes seconds to load."""

    def run(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
        from metriclearn.app import commands

        result: tuple[dict[str, Any], str] = getattr(commands, name)(options)
        return result

    return run


def run_check(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Look at a folder: pictures per class, their sizes, bad files, pictures that are there twice."""
    photographs = photographs_of(options.folder, options.labels)
    from metriclearn.review import duplicates

    found = summary(photographs)
    files, names = photographs.files, (*photographs.class_names, None)
    found["twins"] = [
        {
            "files": [files[pair.first], files[pair.second]],
            "labels": [names[photographs.labels[pair.first]], names[photographs.labels[pair.second]]],
            "same_file": pair.same_file,
            "labels_differ": pair.labels_differ,
        }
        for pair in duplicates(photographs)
    ]
    return found, _check_text(found, options.folder)


def photographs_of(folder: str, labels: str | None) -> "Photographs":
    """Return the pictures of a folder that the user named.

    Raises:
        UsageError: if the folder or the table is not there.
    """
    from metriclearn.photos import read_photographs

    if not Path(folder).expanduser().is_dir():
        raise UsageError(f"{folder!r} is no folder: name a folder of pictures.")
    if labels is not None and not Path(labels).expanduser().is_file():
        raise UsageError(f"{labels!r} is no file: name a CSV file.")
    return read_photographs(folder, labels)


def summary(photographs: "Photographs") -> dict[str, Any]:
    """Return what a folder holds, in numbers and names."""
    from metriclearn.folders import check_enough

    listing, labels = photographs.listing, photographs.labels
    counts = {name: int((labels == code).sum()) for code, name in enumerate(photographs.class_names)}
    try:
        check_enough(counts)
        enough = ""
    except ValueError as error:
        enough = str(error)
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
        "skipped": photographs.skipped,
        "other_files": listing.others,
        "to_train": enough,
    }


def _check_text(found: dict[str, Any], folder: str) -> str:
    from metriclearn.folders import printable

    (narrow, wide), (low, high) = found["widths"], found["heights"]
    size = f"{wide} x {high}" if (narrow, low) == (wide, high) else f"{narrow} x {low} to {wide} x {high}"
    lines = [
        f"{found['pictures']:,} pictures, {found['labelled']:,} of them labelled, of {len(found['classes'])} "
        f"classes; {size} pixels" + (f", {found['grey']:,} without colour" if found["grey"] else "")
    ]
    width = max((len(name) for name in found["classes"]), default=0)
    lines += [f"  {name:{width}}  {n:>7,}" for name, n in found["classes"].items()]
    if found["other_files"]:
        lines.append(f"{found['other_files']:,} other files were passed over.")
    if found["empty_classes"]:
        lines.append(f"Folders without a picture: {', '.join(map(printable, found['empty_classes']))}")
    skipped = [f"{printable(name)}  {reason}" for name, reason in found["skipped"].items()]
    lines += some("Skipped", skipped)
    for same, title in ((True, "The same file twice"), (False, "Nearly the same picture")):
        pairs = [
            "  =  ".join(map(printable, pair["files"]))
            + (f"  but labelled {pair['labels'][0]} and {pair['labels'][1]}" if pair["labels_differ"] else "")
            for pair in found["twins"]
            if pair["same_file"] == same
        ]
        lines += some(title, pairs)
    lines.append(found["to_train"] or f"Next: metriclearn fit {folder} --out model")
    return "\n".join(lines)


def some(title: str, lines: list[str]) -> list[str]:
    """Return the first lines under a title with their number, and how many more there are."""
    if not lines:
        return []
    more = [f"  and {len(lines) - SHOWN:,} more; --json lists all"] if len(lines) > SHOWN else []
    return [f"{title}: {len(lines):,}", *(f"  {line}" for line in lines[:SHOWN]), *more]
