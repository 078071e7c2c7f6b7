"""The commands that train or ask: fit, classify, review, add. Each gives what a machine reads, and a text."""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metriclearn.app import card, project
from metriclearn.app.cli import UsageError, photographs_of
from metriclearn.app.project import Answer, Project
from metriclearn.app.report import report, review_page
from metriclearn.backbones import load_backbone
from metriclearn.cache import cache_folder
from metriclearn.connect import connect, find_home
from metriclearn.cross_validation import predict_by_neighbours
from metriclearn.decode import Picture, read_pictures
from metriclearn.embedding import write_whole
from metriclearn.folders import SUFFIXES, check_enough, joined, list_photographs, printable, read_table
from metriclearn.model_selection import AUTO, Candidates
from metriclearn.photos import Photographs, decode_listing, progress_bar
from metriclearn.review import Finding, duplicates, what_to_review
from metriclearn.settings import check_device, check_seed

CARD_PAGE, REPORT_PAGE = "README.md", "report.html"
AT_ONCE = 64  # pictures that are classified at a time
Result = tuple[dict[str, Any], str]


def run_fit(options: argparse.Namespace) -> Result:
    """Choose a way, train it on the whole folder, and write the classifier."""
    out = _new_folder(options.out, options.folder)
    seed, device = _usable(check_seed, options.seed), str(_usable(check_device, options.device))
    if options.qdrant_url:
        connect(_usable(partial(find_home, None), options.qdrant_url)).close()  # it answers, before we train
    if options.method != "scratch":
        network = _usable(partial(load_backbone, device=device), options.backbone)  # before we look
        if options.method == "last" and not network.has_trunk:
            raise UsageError(f"{network.name} has no stated last part to tune: choose another --method.")
    photographs = photographs_of(options.folder, options.labels)
    labels = photographs.labels
    check_enough({name: int((labels == code).sum()) for code, name in enumerate(photographs.class_names)})
    candidates = Candidates(
        photographs,
        labels,
        backbone=options.backbone,
        random_state=seed,
        device=device,
        cache=cache_folder() / "fits",
        progress=_say,
    )
    made_by = f"{candidates.key}-{options.method}"
    if out.exists() and not options.force:
        if _made_by(out, made_by):
            return _about(out), f"{out} is there already, and complete."
        raise UsageError(f"{out} is there already: choose another MODEL, or replace it with --force.")
    fitted = candidates.fit(AUTO if options.method == "auto" else [options.method])
    facts = card.card_of(photographs, fitted, seed, options.qdrant_url) | {"made_by": made_by}
    made = Project(
        facts,
        fitted.embedding,
        fitted.embeddings,
        labels,
        photographs.class_names,
        photographs.files,
        (str(photographs.folder),) * len(photographs),
        photographs.digests,
    )
    if options.qdrant_url:
        made.index(options.qdrant_url, fill=True).close()
    pages = {CARD_PAGE: card.as_markdown(facts), REPORT_PAGE: report(photographs, fitted, facts)}
    project.write_new(made, out, pages)
    candidates.clear_cache()
    return facts | {"model": str(out)}, "\n".join(
        [
            f"{fitted.method}: {card.interval(facts['accuracy'])} % right, by cross-validation. "
            + card.advice(facts),
            *(f"  {found['way']:17} {card.judged(found, facts)}" for found in facts["tried"]),
            facts["verdict"],
            card.promise(facts),
            f"Written to {printable(str(out))}; look at {printable(str(out / REPORT_PAGE))}",
            f"Next: metriclearn classify {printable(str(out))} PICTURE...",
        ]
    )


def _say(text: str) -> None:
    """Tell a person who waits; a pipe hears nothing."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def _new_folder(out: str, folder: str) -> Path:
    """Return where the classifier will lie.

    Raises:
        UsageError: if that is a file, or within the folder of pictures, where it would be read as a class.
    """
    path = Path(out).expanduser().resolve()
    if path.exists() and not path.is_dir():
        raise UsageError(f"{out!r} is a file: name a new folder as MODEL.")
    if path.is_relative_to(Path(folder).expanduser().resolve()):
        raise UsageError("MODEL lies in FOLDER, or is FOLDER itself: choose a place outside.")
    if path.is_dir() and any(path.iterdir()) and not (path / project.CARD).is_file():
        raise UsageError(f"{out!r} holds something else than a classifier: choose another MODEL.")
    return path


def _made_by(folder: Path, key: str) -> bool:
    try:
        return bool(json.loads((folder / project.CARD).read_text(encoding="utf-8"))["made_by"] == key)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _about(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / project.CARD).read_text(encoding="utf-8"))
    return found | {"model": str(folder)}


def _usable(check: Any, value: Any) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _open(folder: str, device: str = "auto") -> tuple[Path, Project]:
    path = Path(folder).expanduser()
    if not (path / project.CARD).is_file():
        raise UsageError(f"{folder!r} is no classifier: name a folder that metriclearn fit wrote.")
    return path, project.load(path, str(_usable(check_device, device)))


def run_classify(options: argparse.Namespace) -> Result:
    """Give each picture a label or "unknown", with the examples that speak for it."""
    _, opened = _open(options.model, options.device)
    files = [*_files(options.paths)]
    answers: list[dict[str, Any]] = []
    pictures = read_pictures([path for _, path in files])
    with opened.index(opened.card["qdrant_url"]) as index, progress_bar(len(files), "Asking") as bar:
        for start in range(0, len(files), AT_ONCE):
            names = [name for name, _ in files[start : start + AT_ONCE]]
            found = [next(pictures) for _ in names]
            good = [i for i, picture in enumerate(found) if isinstance(picture, Picture)]
            said: Iterator[Answer] = iter(())
            if good:
                squares = np.stack([found[i].pixels for i in good])  # type: ignore[union-attr]
                said = iter(opened.ask(opened.embed(squares), index))
            for name, picture in zip(names, found, strict=True):
                if not isinstance(picture, Picture):
                    answers.append({"file": name, "label": None, "skipped": str(picture)})
                    continue
                answer = next(said)
                answers.append(
                    {
                        "file": name,
                        "label": answer.label,
                        "confidence": round(answer.confidence, 3),
                        "similarity": round(answer.similarity, 3),
                        "nearest_class": answer.nearest_class,
                        "evidence": [
                            {"file": file, "label": label, "cosine": cosine}
                            for file, label, cosine in answer.evidence
                        ],
                    }
                )
            bar.update(len(names))
    if options.csv:
        columns = ["file_name", "label", "confidence", "similarity", "nearest_class", "evidence", "skipped"]
        rows = [[_cell(answer, column) for column in columns] for answer in answers]
        _write_table(Path(options.csv).expanduser(), columns, rows)
    return {"answers": answers}, "\n".join(map(_line, answers))


def _line(answer: dict[str, Any]) -> str:
    if answer["label"] is None:
        return f"{printable(answer['file'])}\tskipped\t{answer['skipped']}"
    evidence = ", ".join(printable(found["file"]) for found in answer["evidence"][:3])
    nearest = f" (most like {answer['nearest_class']})" if answer["label"] == "unknown" else ""
    return f"{printable(answer['file'])}\t{answer['label']}{nearest}\t{answer['confidence']:.2f}\t{evidence}"


def _cell(answer: dict[str, Any], column: str) -> str:
    value = answer.get("file" if column == "file_name" else column)
    if column == "evidence" and value:
        return json.dumps([[found["file"], found["label"], found["cosine"]] for found in value])
    return "" if value is None else str(value)


def _files(paths: list[str]) -> Iterator[tuple[str, Path]]:
    """Yield each picture that was named, or lies in a folder that was, with the name to print.

    Raises:
        UsageError: if a path is not there, or a folder holds no picture.
    """
    for name in paths:
        path = Path(name).expanduser()
        if path.is_dir():
            found = sorted(
                place
                for place in path.rglob("*")
                if place.suffix.lower() in SUFFIXES and not place.is_symlink() and not _is_hidden(place, path)
            )
            if not found:
                raise UsageError(f"There is no picture in {name!r}: name pictures, or folders of pictures.")
            yield from ((str(place), place) for place in found)
        elif path.exists():
            yield name, path
        else:
            raise UsageError(f"{name!r} is not there: name pictures, or folders of pictures.")


def _is_hidden(place: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in place.relative_to(root).parts)


def _write_table(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([columns, *rows])
    try:
        write_whole(path.parent, {path.name: text.getvalue().encode("utf-8", "surrogateescape")})
    except OSError as error:
        raise OSError(f"{printable(str(path))} cannot be written ({error.strerror or error}).") from None


def run_review(options: argparse.Namespace) -> Result:
    """Write what to look at, as a table and as a page on which labels are corrected."""
    folder, opened = _open(options.model)
    if options.next < 0:
        raise UsageError(f"--next is {options.next}: choose 0 or more.")
    photographs, rows = _pictures_of(opened)
    labels = opened.labels[rows]
    texts = [opened.class_names[label] if label >= 0 else None for label in labels]
    twins = duplicates(photographs.with_labels(texts))
    findings = what_to_review(
        opened.vectors[rows], labels, twins, n_next=options.next, seed=opened.card["seed"]
    )
    out = Path(options.out).expanduser() if options.out else folder / "review"
    columns = ["file_name", "label", "kind", "score", "suggestion", "other", "sha256"]
    table = [_row(photographs, texts, opened.class_names, finding) for finding in findings]
    _write_table(
        out / "review.csv", columns, [["" if cell is None else str(cell) for cell in row] for row in table]
    )
    page = review_page(photographs, texts, opened.class_names, findings)
    write_whole(out, {"review.html": page.encode()})
    counts = {kind: sum(finding.kind == kind for finding in findings) for kind in KINDS}
    result = {"findings": [dict(zip(columns, row, strict=True)) for row in table], "counts": counts}
    lines = [f"{counts[kind]:>5}  {text}" for kind, text in KINDS.items()]
    where = printable(str(out / "review.html"))
    lines.append(
        f"Open {where}, correct the labels and save them; then: metriclearn add {options.model} --labels FILE"
    )
    return result | {"page": str(out / "review.html"), "table": str(out / "review.csv")}, "\n".join(lines)


KINDS = {
    "label": "labels that look wrong",
    "twin": "pictures that are there twice",
    "outlier": "pictures unlike all others",
    "next": "pictures to label next",
}


def _row(
    photographs: Photographs, texts: list[str | None], names: tuple[str, ...], finding: Finding
) -> list[Any]:
    return [
        photographs.files[finding.row],
        texts[finding.row],
        finding.kind,
        round(finding.score, 4),
        names[finding.suggestion] if finding.suggestion >= 0 else None,
        photographs.files[finding.other] if finding.other >= 0 else None,
        photographs.digests[finding.row],
    ]


def _pictures_of(opened: Project) -> tuple[Photographs, Any]:
    """Return the classifier's pictures as they lie in their folders now, and the row of each.

    Raises:
        FileNotFoundError: if none of them is there any more.
    """
    rows = {digest: row for row, digest in enumerate(opened.digests)}
    for folder in dict.fromkeys(opened.folders):
        if not Path(folder).is_dir():
            raise FileNotFoundError(
                f"The pictures in {printable(folder)} are not there any more: put them back."
            )
    folders = [*dict.fromkeys(opened.folders)]
    photographs = decode_listing(joined([list_photographs(folder) for folder in folders]))
    kept = [i for i, digest in enumerate(photographs.digests) if digest in rows]
    if not kept:
        where = " and ".join(map(printable, folders))
        raise FileNotFoundError(f"The pictures in {where} are others now: fit anew.")
    some_of_them = photographs.chosen(kept)
    return some_of_them, np.array([rows[digest] for digest in some_of_them.digests])


def run_add(options: argparse.Namespace) -> Result:
    """Take in new pictures, new classes or corrected labels; say when to train again would pay."""
    folder, opened = _open(options.model, options.device)
    if not options.folder and not options.labels:
        raise UsageError("There is nothing to add: name a FOLDER of pictures, or --labels FILE, or both.")
    before = opened
    fresh: list[int] = []
    if options.folder:
        photographs = photographs_of(options.folder, options.labels)
        if not (photographs.labels >= 0).any():
            raise ValueError("No picture in the folder has a label: sort them into a folder per class.")
        vectors = np.concatenate([opened.embed(batch) for batch in photographs.batches()])
        opened = opened.extended(photographs, vectors)
        fresh = [*range(len(before.digests), len(opened.digests))]
    else:
        opened = opened.relabelled(_corrections(opened, Path(options.labels).expanduser()))
    check_enough({name: int((opened.labels == code).sum()) for code, name in enumerate(opened.class_names)})
    changed = sum(_name(before, row) != _name(opened, row) for row in range(len(before.labels)))
    facts = opened.card | {"added": opened.card["added"] + len(fresh)}
    old = facts["classes"]
    facts["classes"] = {
        name: {
            "labels": int((opened.labels == code).sum()),
            "accuracy": old[name]["accuracy"] if name in old else None,
        }
        for code, name in enumerate(opened.class_names)
    }
    opened = project.with_card(opened, facts)
    if facts["qdrant_url"]:
        opened.index(facts["qdrant_url"], fill=True).close()
    project.update(opened, folder, {CARD_PAGE: card.as_markdown(facts)})
    new = [name for name in opened.class_names if name not in before.class_names]
    hint = _train_again(before, opened, fresh)
    result = {"added": len(fresh), "relabelled": changed, "new_classes": new, "advice": hint}
    named = f", {len(new)} new classes ({', '.join(new)})" if new else ""
    return result, f"{len(fresh):,} pictures added, {changed:,} labels changed{named}. {hint}"


def _name(opened: Project, row: int) -> str | None:
    return opened.class_names[opened.labels[row]] if opened.labels[row] >= 0 else None


def _corrections(opened: Project, table: Path) -> dict[int, str | None]:
    """Return the rows that a table names, with their new labels.

    Raises:
        UsageError: if the table is not there.
        ValueError: if it cannot be meant.
    """
    if not table.is_file():
        raise UsageError(f"{str(table)!r} is no file: name a CSV file.")
    rows = read_table(table)
    if "file_name" not in rows[0] or "label" not in rows[0]:
        raise ValueError(f"{table.name} needs the columns file_name and label.")
    by_digest = {digest: row for row, digest in enumerate(opened.digests)}
    by_name = {file: row for row, file in enumerate(opened.files)}
    found: dict[int, str | None] = {}
    for line in rows:
        row = by_digest.get(line.get("sha256", ""), by_name.get(line["file_name"]))
        if row is None:
            raise ValueError(
                f"{table.name} names {printable(line['file_name'])}, which is no picture of this classifier: "
                "leave the row out, or add its folder."
            )
        if row in found:
            raise ValueError(f"{table.name} names {printable(line['file_name'])} twice: keep the right row.")
        found[row] = line["label"].strip() or None
    return found


def _train_again(before: Project, after: Project, fresh: list[int]) -> str:
    """Return whether training again would pay; the encoder has not met the new pictures, so they judge."""
    labelled = [row for row in fresh if after.labels[row] >= 0]
    was, now = len(before.known), len(after.known)
    if len(labelled) >= 10:
        examples = after.known
        right = 0
        for row in labelled:
            others = examples[examples != row]
            said = predict_by_neighbours(after.vectors[others], after.labels[others], after.vectors[[row]])
            right += int(said.labels[0] == after.labels[row])
        share = 100 * right / len(labelled)
        if share < before.card["accuracy"]["low"]:
            return (
                f"Of the new labelled pictures {share:.0f} % are given their own class, below the interval "
                f"from {before.card['accuracy']['low']:.0f} % on: to train again (metriclearn fit) would pay."
            )
    if now >= 1.5 * was:
        return (
            f"There are {now} labels now, {was} before: to train again (metriclearn fit) would probably pay."
        )
    return "To train again would not pay yet."
