"""Entry point of the command line: parser, output, exit codes.

Results go to the standard output, progress and messages to the standard error, so that a pipe carries
results alone. Each command is a module of the same name, imported when it runs:
PyTorch takes seconds to load.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import version

from metriclearn.cli.common import UsageError

FAILED, WRONG_USE, STOPPED = 1, 2, 130
METHODS = {  # those of model_selection that can be shipped
    "auto": "judge all but the last of these, and take the best",
    "frozen": "compare the features of a pretrained network; nothing is trained",
    "head-without-pool": "train a small network on these features, with the labelled pictures alone",
    "head": "the same, with the unlabelled pictures as well",
    "scratch": "train a small network on the pictures themselves",
    "last": "train the last blocks of the pretrained network as well; takes minutes for each fold",
}
BACKBONE = "efficientnet-lite0"  # as in metriclearn.backbones, which takes seconds to load

EXAMPLES = """\
examples:
  metriclearn check photos                          what is there, before anything is trained
  metriclearn fit photos --out model                choose a method, train it, say how good it is
  metriclearn classify model new/*.jpg --csv a.csv  a label or "unknown" for each, and why
  metriclearn review model photos                   what to look at, as a table and as a page
  metriclearn add model more_photos                 new examples or classes, without training
  metriclearn evaluate model other_photos           how good it is on labelled pictures of another day

A folder holds a folder of pictures per class, and one called "unlabelled"; or pictures and a table labels.csv
with the columns file_name and label. Without a name of its own, what is decoded is kept in the user's cache
folder; METRICLEARN_CACHE names another one.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command and its options; by default those of the program, `sys.argv[1:]`.

    Returns:
        0 if all went well, 1 if the run failed, 2 for a wrong use, 130 if it was stopped by Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a letter shows its number
            stream.reconfigure(errors="backslashreplace")
    options = parser().parse_args(arguments)
    try:
        with _warnings_in_a_line(options.command):
            result, text = import_module(f"metriclearn.cli.{options.command}").run(options)
        print(json.dumps(result, indent=2) if options.json else text, flush=True)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        return 0
    except (ValueError, OSError, RuntimeError) as error:
        code = WRONG_USE if isinstance(error, UsageError) else FAILED
        sentence = _sentence(error)
        if options.json:
            with suppress(OSError):  # the output itself may be what cannot be written
                print(json.dumps({"error": sentence, "exit_code": code}), flush=True)
        from metriclearn.photos.class_names import printable  # here: it takes long to load

        print(f"metriclearn {options.command}: {printable(sentence)}", file=sys.stderr)
        return code
    return 0


@contextmanager
def _warnings_in_a_line(command: str) -> Iterator[None]:
    """Print each warning as one line; of those that begin with the same sentence only the first."""
    shown = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        first = str(message).partition(". ")[0]
        if first not in shown:
            shown.add(first)
            print(f"metriclearn {command}: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _sentence(error: Exception) -> str:
    """Return what an error says; one of the system's own gets words instead of a number."""
    if isinstance(error, OSError) and error.strerror:
        what = error.filename or "A file, or the output,"
        return f"{what} cannot be read or written ({error.strerror}): check it, or make room."
    return str(error)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog="metriclearn",
        description="From a folder of photographs with few labels to a classifier that you can trust.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"%(prog)s {version('metriclearn')}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, example: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.add_argument("--json", action="store_true", help="print one JSON object, for machines")
        return added

    check = command("check", "say what a folder holds, and what is wrong with it", "metriclearn check photos")
    check.add_argument("folder", metavar="FOLDER")
    check.add_argument("--labels", metavar="FILE", help="a further table of labels, whose rows win")

    fit = command(
        "fit",
        "choose a method on your own labels, train it, and write a classifier",
        "metriclearn fit photos --out model",
    )
    fit.add_argument("folder", metavar="FOLDER")
    fit.add_argument("--out", required=True, metavar="MODEL", help="the new folder to write, outside FOLDER")
    fit.add_argument("--labels", metavar="FILE", help="a further table of labels, whose rows win")
    fit.add_argument(
        "--group-by",
        metavar="WHAT",
        help="hold out together what belongs together: column:NAME of the table, pattern:REGEX in the file's "
        "name, or level:N, the N-th folder on the way to the file; near-duplicates are in any case",
    )
    fit.add_argument("--method", choices=METHODS, default="auto", help="how to learn (default: %(default)s)")
    assert fit.epilog
    fit.epilog += "\n\nmethods:\n" + "\n".join(f"  {name:18} {text}" for name, text in METHODS.items())
    fit.add_argument(
        "--backbone",
        metavar="NAME",
        default=BACKBONE,
        help="pretrained network, or several joined by + (default: %(default)s)",
    )
    fit.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: 0)")
    fit.add_argument("--device", default="auto", help="where to compute: auto, cpu, cuda ... (default: auto)")
    fit.add_argument("--qdrant-url", metavar="URL", help="keep the examples on this server as well")
    fit.add_argument("--force", action="store_true", help="replace the classifier in MODEL; other files stay")

    classify = command(
        "classify",
        'give each picture a label or "unknown"',
        "metriclearn classify model new/*.jpg --csv answers.csv",
    )
    classify.add_argument("model", metavar="MODEL")
    classify.add_argument("paths", nargs="+", metavar="PATH", help="pictures, or folders of pictures")
    classify.add_argument("--csv", metavar="OUT", help="write the answers into a table as well")
    classify.add_argument(
        "--sort-into",
        metavar="FOLDER",
        help="copy the pictures into a new folder, one folder for each answer",
    )
    classify.add_argument("--qdrant-url", metavar="URL", help="let this server find the nearest examples")
    classify.add_argument("--device", default="auto", help=argparse.SUPPRESS)

    evaluate = command(
        "evaluate",
        "test a classifier on labelled pictures that it has not met",
        "metriclearn evaluate model photos_of_another_day",
    )
    evaluate.add_argument("model", metavar="MODEL")
    evaluate.add_argument("folder", metavar="FOLDER", help="labelled pictures")
    evaluate.add_argument("--labels", metavar="FILE", help="a further table of labels, whose rows win")
    evaluate.add_argument("--device", default="auto", help=argparse.SUPPRESS)

    review = command(
        "review",
        "write what to look at: wrong labels, duplicates, outliers, what to label next",
        "metriclearn review model photos --out review",
    )
    review.add_argument("model", metavar="MODEL")
    review.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="the folders that hold the classifier's pictures"
    )
    review.add_argument("--out", metavar="FOLDER", help="where to write (default: MODEL/review)")
    review.add_argument(
        "--next", type=int, default=20, metavar="N", help="how many to label next (default: 20)"
    )

    add = command(
        "add",
        "take in new examples, new classes or corrected labels, without training",
        "metriclearn add model more_photos --labels reviewed.csv",
    )
    add.add_argument("model", metavar="MODEL")
    add.add_argument("folder", nargs="?", metavar="FOLDER", help="new pictures")
    add.add_argument("--labels", metavar="FILE", help="labels, such as the review page saves")
    add.add_argument("--qdrant-url", metavar="URL", help="bring the copy on this server up to date as well")
    add.add_argument("--device", default="auto", help=argparse.SUPPRESS)
    return whole
