"""`metriclearn classify`: a label or "unknown" for each picture, with the nearest examples as evidence."""

import argparse
import json
import os
import re
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from metriclearn import QdrantClassifier
from metriclearn.cli.common import (
    Result,
    UsageError,
    check_output,
    expanded,
    path_of,
    table_bytes,
    write_table,
    wrong_use,
)
from metriclearn.cli.model_folder import ModelFolder, check_server, open_model
from metriclearn.files import write_output
from metriclearn.photos.cache import progress_bar
from metriclearn.photos.class_names import printable
from metriclearn.photos.decode import Bytes, Picture, UnreadableError, read_pictures, value_ranges
from metriclearn.photos.depth import Ranges
from metriclearn.photos.listing import find_pictures, other_kind

AT_ONCE = 64  # pictures that are classified at a time
ENOUGH = 20  # pictures to tell whether they are like those that were learned from
UNLIKELY = 0.001  # how seldom chance alone may bring the warning that they are not
COLUMNS = ("file_name", "label", "confidence", "votes", "similarity", "nearest_class", "evidence", "skipped")


def run(options: argparse.Namespace) -> Result:
    """Classify pictures."""
    model = open_model(options.model, options.device)
    check_server(options.qdrant_url)
    table = path_of(options.csv) if options.csv else None
    if table:
        check_output(table, table_bytes(COLUMNS, []))
    files = [*_files(options.paths)]
    sorted_into = _new_folder(options.sort_into) if options.sort_into else None
    pictures = _pictures(files, model.ranges)
    answers: list[dict[str, Any]] = []
    with model.classifier(options.qdrant_url) as classifier, progress_bar(len(files), "Asking") as bar:
        for start in range(0, len(files), AT_ONCE):
            names = [name for name, _ in files[start : start + AT_ONCE]]
            answers += _answers(names, [*islice(pictures, len(names))], model, classifier)
            bar.update(len(names))
    if table:
        rows = [[_cell(answer, column) for column in COLUMNS] for answer in answers]
        write_table(table, COLUMNS, rows)
    if sorted_into:
        _sort(sorted_into, answers)
    shift = _shift(model, answers)
    return {"answers": answers, "shift": shift}, "\n".join([*map(_line, answers), *filter(None, [shift])])


def _shift(model: ModelFolder, answers: Sequence[dict[str, Any]]) -> str:
    """Return a warning if more pictures are called unknown than chance explains, or an empty text."""
    unknown = [answer["label"] == "unknown" for answer in answers if answer["label"] is not None]
    share = model.card["unknown"]["share"]
    if len(unknown) < ENOUGH or binomtest(sum(unknown), len(unknown), share, "greater").pvalue > UNLIKELY:
        return ""
    return (
        f"{100 * sum(unknown) / len(unknown):.0f} % of these pictures are unknown, where {100 * share:g} % "
        "were expected: is it another camera, place or season? Label twenty of them and run metriclearn add."
    )


def _new_folder(name: str) -> Path:
    """Return the folder that pictures are to be copied into.

    Raises:
        UsageError: if it is there already and not empty.
    """
    folder = path_of(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{name!r} is there already: name a new folder for --sort-into.")
    return folder


def _sort(folder: Path, answers: Sequence[dict[str, Any]]) -> None:
    """Copy each picture into the folder of its answer; one of a name that is taken gets a number.

    Raises:
        OSError: if that is not possible.
    """
    for answer in answers:
        if answer["label"] is None:
            continue
        name = re.sub(r'[<>:"/\\|?*]', "_", answer["label"]).strip(" .")
        place = folder / (name or "_")
        place.mkdir(parents=True, exist_ok=True)
        source = path_of(answer["file"])
        free = (place / f"{source.stem}{f' ({n})' if n else ''}{source.suffix}" for n in count())
        write_output(next(file for file in free if not file.exists()), source.read_bytes())


def _answers(
    names: Sequence[str], pictures: Sequence[Any], model: ModelFolder, classifier: QdrantClassifier
) -> Iterator[dict[str, Any]]:
    """Yield an answer per picture; one that could not be read is an error that says why."""
    squares = [picture.pixels for picture in pictures if isinstance(picture, Picture)]
    classified = _classified(np.stack(squares), model, classifier) if squares else iter(())
    for name, picture in zip(names, pictures, strict=True):
        if isinstance(picture, Picture):
            yield {"file": name} | next(classified)
        else:
            yield {"file": name, "label": None, "skipped": str(picture)}


def _classified(squares: Bytes, model: ModelFolder, classifier: QdrantClassifier) -> Iterator[dict[str, Any]]:
    """Yield the vote of the nearest examples, or "unknown", for each square."""
    found, threshold = classifier.explain(model.embed(squares)), model.card["unknown"]["threshold"]
    probabilities = model.calibration.probability(found)
    for i, name in enumerate(found.labels.tolist()):
        similarity = float(found.similarity[i])
        yield {
            "label": "unknown" if threshold is not None and similarity < threshold else name,
            "confidence": round(float(probabilities[i]), 3),
            "votes": round(float(found.confidence[i]), 3),
            "similarity": round(similarity, 3),
            "nearest_class": name,
            "evidence": [
                {"file": model.files[row], "label": model.class_of[row], "cosine": round(float(cosine), 4)}
                for row, cosine in zip(found.nearest[i], found.cosines[i], strict=True)
            ],
        }


def _line(answer: dict[str, Any]) -> str:
    if answer["label"] is None:
        return f"{printable(answer['file'])}\tskipped\t{answer['skipped']}"
    evidence = ", ".join(printable(found["file"]) for found in answer["evidence"][:3])
    nearest = f" (most like {answer['nearest_class']})" if answer["label"] == "unknown" else ""
    label = printable(f"{answer['label']}{nearest}")
    return f"{printable(answer['file'])}\t{label}\t{answer['confidence']:.2f}\t{evidence}"


def _cell(answer: dict[str, Any], column: str) -> Any:
    value = answer.get("file" if column == "file_name" else column)
    if column == "evidence" and value:
        return json.dumps([[found["file"], found["label"], found["cosine"]] for found in value])
    return value


def _files(paths: Sequence[str]) -> Iterator[tuple[str, Path | UnreadableError]]:
    """Yield each picture that was named, or lies in a folder that was, or why it is skipped; with its name.

    Raises:
        UsageError: if a path does not exist, or a folder holds no picture.
    """
    for name in expanded(paths):
        path = path_of(name)
        if path.is_dir():
            with wrong_use():
                found = find_pictures(path)
            for below in sorted([*found.files, *found.skipped]):
                reason = found.skipped.get(below)
                yield str(path / below), UnreadableError(reason) if reason else path / below
        elif os.path.lexists(path):
            reason = other_kind(path.name)
            yield name, UnreadableError(reason) if reason else path
        else:
            raise UsageError(f"{name!r} is not there: name pictures, or folders of pictures.")


def _pictures(
    files: Sequence[tuple[str, Path | UnreadableError]], ranges: Ranges
) -> Iterator[Picture | UnreadableError]:
    """Yield what `read_pictures` makes of each file, or the reason that was given already."""
    paths = [path for _, path in files if isinstance(path, Path)]
    read = read_pictures(paths, value_ranges(paths, ranges)[0])
    yield from (next(read) if isinstance(path, Path) else path for _, path in files)
