"""`metriclearn fit`: choose a method by cross-validation, train it on all pictures, write a classifier."""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from metriclearn.backbones import load_backbone
from metriclearn.calibration import Probabilities, held_out_probabilities
from metriclearn.checks.arguments import check_device, check_seed
from metriclearn.cli import card
from metriclearn.cli.common import (
    Result,
    UsageError,
    label_counts,
    path_of,
    photographs_of,
    quoted,
    wrong_use,
)
from metriclearn.cli.groups import groups_of
from metriclearn.cli.model_folder import (
    CARD_PAGE,
    FILES,
    REPORT_PAGE,
    REVIEW,
    REVIEW_PAGE,
    REVIEW_TABLE,
    ModelFolder,
    check_server,
    holds_classifier,
)
from metriclearn.cli.report import report_page
from metriclearn.files import cache_folder, check_replaceable, finish_replacing, locked
from metriclearn.model_selection import AUTO, METHODS, Candidates, FittedMethod
from metriclearn.photos.class_names import check_enough, printable


def run(options: argparse.Namespace) -> Result:
    """Choose a method, train it, and write the classifier; what takes long is checked first."""
    out = _place(options.out, options.folder)
    with locked(out):
        return _fit(out, options)


def _fit(out: Path, options: argparse.Namespace) -> Result:
    _check_replaceable(out, options.out)
    with wrong_use():
        seed, device = check_seed(options.seed), str(check_device(options.device))
    server = check_server(options.qdrant_url)
    if options.method != "scratch":
        with wrong_use():
            network = load_backbone(options.backbone, device)
        if options.method == "last" and not network.has_trunk:
            raise UsageError(f"{network.name} has no stated last part to tune: choose another --method.")
    photographs = photographs_of(options.folder, options.labels)
    check_enough(label_counts(photographs.labels, photographs.class_names))
    groups, grouped = groups_of(photographs, options.group_by, options.labels, seed)
    candidates = Candidates(
        photographs,
        photographs.labels,
        groups=groups,
        backbone=options.backbone,
        random_state=seed,
        device=device,
        cache=cache_folder() / "fits",
        progress=_say,
    )
    names, folder = photographs.class_names, str(photographs.folder)
    shown = (candidates.key, options.method, options.group_by, names, photographs.files, folder)
    made_by = hashlib.sha256(repr(shown).encode()).hexdigest()[:32]  # changes with all that it shows
    if holds_classifier(out) and not options.force:
        with suppress(ValueError, OSError):  # it is damaged, or of another version
            there = ModelFolder.open(out, device).card
            if there["made_by"] == made_by:
                return there | {"model": str(out)}, f"{out} is there already, and complete."
        raise UsageError(f"{out} is there already: choose another MODEL, or replace it with --force.")
    fitted = candidates.fit(AUTO if options.method == "auto" else [options.method])
    facts = card.card_of(photographs, fitted, grouped, seed, server) | {"made_by": made_by}
    confidences = held_out_probabilities(fitted.held_out)
    model = ModelFolder(
        out,
        facts,
        fitted.embedding,
        fitted.embeddings,
        tuple((*names, None)[label] for label in photographs.labels),
        photographs.files,
        (folder,) * len(photographs),
        photographs.digests,
        _held_out(fitted, confidences, len(photographs), names),
    )
    if server:
        facts["collection"] = model.collection
        model.classifier(options.qdrant_url).close()
    report = report_page(photographs, fitted, facts, confidences)
    model.write({CARD_PAGE: card.as_markdown(facts), REPORT_PAGE: report})
    _remove_old_review(out, options.labels)
    candidates.clear_cache()
    notes = photographs.listing.notes
    return facts | {"model": str(out), "notes": notes}, "\n".join([*notes, _text(facts, out)])


def _held_out(
    fitted: FittedMethod, confidences: Probabilities, n: int, names: Sequence[str]
) -> tuple[dict[str, Any] | None, ...]:
    """Return what was said of each picture by a classifier that had not met it, as a model folder has it."""
    said: list[dict[str, Any] | None] = [None] * n
    found = fitted.held_out.predictions
    for row, label, confidence in zip(fitted.held_out.rows, found.labels, confidences, strict=True):
        said[row] = {"class": names[label], "confidence": round(float(confidence), 4)}
    return tuple(said)


def _say(text: str) -> None:
    """Tell a person who waits; a pipe hears nothing."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def _place(out: str, pictures: str) -> Path:
    """Return the folder that a classifier of pictures is to be written into, as the user named both.

    Raises:
        UsageError: if that is a file, or lies within the folder of pictures, where it would be read as a
            class, or around it.
    """
    path, source = path_of(out).resolve(), path_of(pictures).resolve()
    if path.exists() and not path.is_dir():
        raise UsageError(f"{out!r} is a file: name a new folder as MODEL.")
    if path.is_relative_to(source):
        raise UsageError("MODEL lies in FOLDER, or is FOLDER itself: choose a place outside.")
    if source.is_relative_to(path):
        raise UsageError("FOLDER lies in MODEL: choose a MODEL outside, such as a new folder beside FOLDER.")
    return path


def _check_replaceable(path: Path, out: str) -> None:
    """Check that a folder is new, empty, or holds a classifier, and complete what a killed run has left.

    Raises:
        UsageError: if it holds foreign files instead of a classifier, or in the place of ours.
    """
    try:
        check_replaceable(path, FILES)
        finish_replacing(path, FILES)
    except FileExistsError as error:
        raise UsageError(f"{out!r} cannot be used: {error}.") from None
    if path.is_dir() and any(path.iterdir()) and not holds_classifier(path):
        raise UsageError(f"{out!r} holds something else than a classifier: choose another MODEL.")


def _remove_old_review(out: Path, labels: str | None) -> None:
    """Remove the review of the classifier that was there before, unless these labels came from its table."""
    table = path_of(labels).resolve() if labels else None
    for page in (out / REVIEW / REVIEW_PAGE, out / REVIEW / REVIEW_TABLE):
        if page.resolve() == page != table:  # and no link leads out of the folder
            page.unlink(missing_ok=True)


def _text(facts: dict[str, Any], out: Path) -> str:
    where, width = printable(str(out)), max(len(name) for name in METHODS)
    on_server = [card.how_to_open(facts)] if facts["qdrant_url"] else []
    return "\n".join(
        [
            f"{facts['method']}: {card.interval(facts['accuracy'])} % right, by cross-validation. "
            + card.advice(facts),
            *(f"  {found['method']:{width}} {card.judged(found, facts)}" for found in facts["tried"]),
            facts["verdict"],
            card.promise(facts),
            *on_server,
            f"Written to {where}; look at {printable(str(out / REPORT_PAGE))}",
            f"Next: metriclearn classify {quoted(out)} PICTURE...",
        ]
    )
