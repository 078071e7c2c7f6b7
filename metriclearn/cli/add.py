"""`metriclearn add`: new pictures, new classes or corrected labels for a classifier, without training."""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from metriclearn.cli import card
from metriclearn.cli.common import Result, UsageError, label_counts, path_of, photographs_of, quoted
from metriclearn.cli.model_folder import (
    CARD_PAGE,
    NEIGHBOURS,
    ModelFolder,
    check_server,
    model_path,
    open_model,
)
from metriclearn.files import locked
from metriclearn.neighbours import nearest, votes
from metriclearn.photos.class_names import check_class_names, check_enough, excerpt, printable
from metriclearn.photos.tables import PictureNames, match_labels

ENOUGH_TO_JUDGE = 10  # new labelled pictures
MANY_MORE = 1.5  # times as many labels as before


def run(options: argparse.Namespace) -> Result:
    """Take in pictures and labels; say when to train again would pay."""
    with locked(model_path(options.model)):
        return _add(options)


def _add(options: argparse.Namespace) -> Result:
    before = open_model(options.model, options.device)
    if not (options.folder or options.labels or options.qdrant_url):
        raise UsageError("There is nothing to add: name a FOLDER of pictures, or --labels FILE, or both.")
    server = check_server(options.qdrant_url)
    after, notes = _extended(before, options)
    counts = label_counts(after.labels, after.class_names)
    check_class_names(after.class_names)
    check_enough(counts)
    fresh = range(len(before.files), len(after.files))
    relabelled = sum(old != new for old, new in zip(before.class_of, after.class_of, strict=False))
    outdated = before.card["qdrant_url"] if not server and (fresh or relabelled) else None
    measured = {name: found["accuracy"] for name, found in before.card["classes"].items()}
    facts = after.card | {
        "added": before.card["added"] + len(fresh),
        "classes": {name: {"labels": n, "accuracy": measured.get(name)} for name, n in counts.items()},
    }
    after = replace(after, card=facts)
    if server:
        facts |= {"qdrant_url": server, "collection": after.collection}
    with after.classifier(options.qdrant_url) if server else nullcontext() as stored:
        after.write({CARD_PAGE: card.as_markdown(facts)}, encoder=False)
        if stored:
            after.drop_older(stored.index_.storage.connection, before)
    new = [name for name in after.class_names if name not in before.class_names]
    result = {
        "added": len(fresh),
        "relabelled": relabelled,
        "new_classes": new,
        "notes": notes,
        "advice": _train_again(before, after, fresh),
        "outdated_copy": outdated,
        "collection": facts["collection"] if server else None,
    }
    named = f", {len(new)} new classes ({', '.join(new)})" if new else ""
    text = (
        "".join(f"{note}\n" for note in notes)
        + f"{len(fresh):,} pictures added, {relabelled:,} labels changed{named}. {result['advice']}"
    )
    if server:
        text += f"\n{card.how_to_open(facts)}"
    if outdated:
        text += (
            f"\nThe copy of the examples on {printable(str(outdated))} is older now; this brings it up to "
            f"date: metriclearn add {quoted(options.model)} --qdrant-url URL"
        )
    return result, text


def _extended(model: ModelFolder, options: argparse.Namespace) -> tuple[ModelFolder, list[str]]:
    """Return the classifier with the pictures and labels that were named, and the notes on these."""
    if options.folder:
        photographs = photographs_of(options.folder, options.labels, model.ranges)
        if not (photographs.labels >= 0).any():
            raise ValueError("No picture in the folder has a label: sort them into a folder per class.")
        embeddings = np.concatenate([model.embed(batch) for batch in photographs.batches()])
        return model.extended(photographs, embeddings), photographs.listing.notes
    if options.labels:
        return model.relabelled(_corrections(model, path_of(options.labels))), []
    return model, []


def _corrections(model: ModelFolder, table: Path) -> dict[int, str | None]:
    """Return the rows that a table names, with their new labels.

    Raises:
        UsageError: if the table does not exist.
        ValueError: if it lacks a column, names a foreign picture, or names one twice.
    """
    if not table.is_file():
        raise UsageError(f"{str(table)!r} is no file: name a CSV file.")
    match = match_labels(table, PictureNames(model.files, model.folders, model.digests))
    given, n_missing = match.missing
    if n_missing:
        more = f" and {n_missing - 1} more" if n_missing > 1 else ""
        raise ValueError(
            f"{printable(table.name)} names {excerpt(given)}{more}, which is no picture of this "
            "classifier: leave the row out, or add its folder."
        )
    return match.labels


def _train_again(before: ModelFolder, after: ModelFolder, fresh: Sequence[int]) -> str:
    """Return whether training again would pay; the encoder has not met the new pictures, so they judge."""
    examples = after.labelled_rows
    labels, new = after.labels[examples], np.isin(examples, fresh)
    if new.sum() >= ENOUGH_TO_JUDGE:
        vectors = after.embeddings[examples]
        rows, cosines = nearest(vectors, vectors, min(NEIGHBOURS, len(vectors) - 1), skip_self=True)
        classes, shares = votes(labels[rows], cosines)
        correct = classes[shares.argmax(axis=1)] == labels
        share, low = 100 * float(correct[new].mean()), before.card["accuracy"]["low"]
        if share < low:
            return (
                f"Of the new labelled pictures {share:.0f} % are given their own class, below the interval "
                f"from {low:.0f} % on: to train again (metriclearn fit) would pay."
            )
    was, now = len(before.labelled_rows), len(examples)
    if now >= MANY_MORE * was:
        return (
            f"There are {now} labels now, {was} before: to train again (metriclearn fit) would probably pay."
        )
    return "To train again would not pay yet."
