"""Processes: kills at each step on the disk and at random moments, two at once, a full disk, forked children.

Each trial runs in a forked child. What it leaves must open, as it was before or as it becomes; and the same
command, given again, must end well and leave nothing else behind.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from drawn_pictures import draw
from kinds import FIT, LONGEST_SECONDS, Tally, is_sentence, read_encoder, read_export, read_model
from mutations import generator

from metriclearn import EmbeddingIndex, MetricEmbedding, QdrantClassifier
from metriclearn.cli.main import main
from metriclearn.files import write_file
from metriclearn.index.export import read_points, write_points
from metriclearn.index.reindex import reindex
from metriclearn.photos import read_photographs

STEPS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "sqlite3.connect", "shutil.rmtree")
DIM = 4


@dataclass(frozen=True)
class Task:
    """A command that writes.

    Attributes:
        name: as the table has it.
        prepare: makes a folder as it is before the command.
        run: the command.
        read: opens what the command wrote, and returns what it holds.
    """

    name: str
    prepare: Callable[[Path], object]
    run: Callable[[Path], object]
    read: Callable[[Path], object]


def in_child(task, *, step=None, seconds=None, wait=60):
    """Run a task in a child; kill it at a step on the disk or after some seconds, if it is still there.

    Returns:
        The exit code (negative: the signal), what it wrote to its standard error, and how many steps it made.
    """
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.close(told)
            os.dup2(tell, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            sys.addaudithook(_counting(step))
            code = int(task() or 0)
        except BaseException as error:
            print(str(error) if is_sentence(error) else f"{type(error).__name__}: {error}", file=sys.stderr)
            code = 1 if is_sentence(error) else 71
        finally:
            with contextlib.suppress(BaseException):
                print(f"\nsteps {_counting.steps}", file=sys.stderr, flush=True)
            os._exit(code)
    os.close(tell)
    end = time.monotonic() + (wait if seconds is None else seconds)
    while (found := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
        time.sleep(0.0005)
    hung = found[0] == 0 and seconds is None
    if found[0] == 0:
        os.kill(child, signal.SIGKILL)
        found = os.waitpid(child, 0)
    with open(told, "rb") as pipe:
        text = pipe.read().decode(errors="replace")
    said, _, steps = text.rpartition("\nsteps ")
    code = 72 if hung else os.waitstatus_to_exitcode(found[1])
    return code, (said if steps else text).strip(), int(steps) if steps.strip().isdigit() else 0


def _counting(step):
    """Return an audit hook that counts the steps on the disk, and kills its process before one of them."""
    _counting.steps = 0

    def hook(event, arguments):
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if (writes and arguments[0] != os.devnull) or event in STEPS:
            _counting.steps += 1
            if _counting.steps == step:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def files_below(folder):
    """Return the names of all files and folders below one; digits drawn at random become #."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(re.sub("[0-9a-f]{8,}", "#", name) for name in names)


def try_kills(task, place, *, moments, steps=None):
    """Kill a task at each step (or at `steps` of them) and at random moments; see the module's docstring."""
    tally, number = Tally(), 0
    _fresh(task, place)
    before = task.read(place)
    _fresh(task, place)  # to read may fill a cache
    started = time.monotonic()
    code, said, n_steps = in_child(lambda: task.run(place))
    took = time.monotonic() - started
    assert code == 0, said
    after, left = task.read(place), files_below(place)
    assert after != before
    every = range(1, n_steps + 1)
    random = generator(task.name, 0)
    chosen = [*every] if steps is None or steps >= n_steps else sorted(random.sample(every, steps))
    plans = [{"step": step} for step in chosen]
    plans += [{"seconds": random.uniform(0, took)} for _ in range(moments)]
    for number, plan in enumerate(plans):
        _fresh(task, place)
        in_child(lambda: task.run(place), **plan)
        fault = _after_a_kill(task, place, before, after, left)
        tally.outcomes["surprise" if fault else "harmless"] += 1
        if fault:
            tally.surprises.append(f"{task.name}, killed at {plan} (trial {number}): {fault}")
    return tally


def _after_a_kill(task, place, before, after, left):
    """Return what is wrong with what a killed task left, or an empty text."""
    try:
        found = task.read(place)
    except BaseException as error:
        return f"it does not open: {type(error).__name__}: {error}"
    if found not in (before, after):
        return "it holds something else than before and after"
    code, said, _ = in_child(lambda: task.run(place))
    if code:
        return f"the same command ends with {code}: {said}"
    try:
        if task.read(place) != after:
            return "the same command makes something else"
    except BaseException as error:
        return f"it does not open after the same command: {type(error).__name__}: {error}"
    if (there := files_below(place)) != left:
        more, fewer = Counter(there) - Counter(left), Counter(left) - Counter(there)
        return f"files too many: {sorted(more)}, too few: {sorted(fewer)}"
    return ""


def _fresh(task, place):
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    task.prepare(place)


def try_full_disk(task, disk, numbers, limit):
    """Let a task run where there is room for a random number of bytes only, up to `limit`."""
    tally, place = Tally(), disk / "place"
    for number in numbers:
        (disk / "filler").unlink(missing_ok=True)
        _fresh(task, place)
        before, left = task.read(place), files_below(place)
        fill(disk, generator(task.name, number).randrange(limit))
        code, said, _ = in_child(lambda: task.run(place))
        fault, found = "", None
        try:
            found = task.read(place)
        except BaseException as error:
            fault = f"it does not open: {type(error).__name__}: {error}"
        if code not in (0, 1, 2) or "\n" in said or "Errno" in said or (code and not said):
            fault = f"it ended with {code}: {said[:400]}"
        elif code and found != before:
            fault = fault or "it failed, and what was there is another one"
        elif code and (litter := set(files_below(place)) - set(left)):
            fault = f"it left {sorted(litter)}"
        tally.outcomes["surprise" if fault else "refused" if code else "harmless"] += 1
        if fault:
            tally.surprises.append(f"{task.name}, full disk, input {number}: {fault}")
    return tally


def fill(disk, room):
    """Fill a disk, all but a number of bytes."""
    free = shutil.disk_usage(disk).free
    with contextlib.suppress(OSError), (disk / "filler").open("wb") as file:
        file.write(bytes(max(0, free - room)))


@contextlib.contextmanager
def small_disk(place, megabytes):
    """Mount a small disk in memory; yields None where that is not allowed."""
    place.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    try:
        yield place if done else None
    finally:
        if done:
            subprocess.run(["umount", "-l", str(place)], check=False)


def try_two_at_once(root, numbers):
    """Let two `add`, or two `fit`, write one model at once: what was said to be done must be there."""
    tally, place = Tally(), root / "two"
    model = place / "model"

    def add(one):
        return _in_background(lambda: main(["add", str(model), str(place / one)]))

    def fit(one):
        seed = str("ab".index(one))
        return _in_background(
            lambda: main(["fit", str(root / "in"), "--out", str(model), "--seed", seed, *FIT])
        )

    for number in numbers:
        shutil.rmtree(place, ignore_errors=True)
        for one in "ab":
            (place / one / "disc").mkdir(parents=True)
            draw("disc", 9000 + 2 * number + "ab".index(one)).save(place / one / "disc" / f"{one}.png")
        command = fit if number % 3 == 2 else add
        if command is add:
            shutil.copytree(root / "model", model)
        children = [command(one) for one in "ab"]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        done = [one for one, code in zip("ab", codes, strict=True) if code == 0]
        fault = ""
        try:
            card, (_, files, *_), *_ = read_model(model)
            added = [one for one in "ab" if f"disc/{one}.png" in files]
            there = added if command is add else ["ab"[card["seed"]]]
            if there != done or not set(codes) <= {0, 1, 2}:
                fault = f"exit codes {codes}, but there is what {there} wrote"
        except BaseException as error:
            fault = f"it does not open: {type(error).__name__}: {error}"
        tally.outcomes["surprise" if fault else "refused" if any(codes) else "harmless"] += 1
        if fault:
            tally.surprises.append(f"two {command.__name__} at once, input {number}: {fault}")
    return tally


def _in_background(task):
    """Run a task in a child, whose output nobody sees; return the child's number."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        code = int(task() or 0)
    finally:
        os._exit(code)


def try_forks(root, numbers):
    """Use an index in a forked child: it is told so, and the parent's index and folder are as they were."""
    tally, points = Tally(), np.eye(DIM, dtype=np.float32)
    uses = {
        "query": lambda index: index.query(points[:1], k=1),
        "upsert": lambda index: index.upsert(points[:1], sources=["child"]),
        "delete": lambda index: index.delete(ids=index.upsert(points[:1], sources=["child"])),
        "count": lambda index: index.count(),
        "close": lambda index: index.close(),
    }
    for number in numbers:
        random = generator("fork", number)
        name, where = random.choice([*uses]), random.choice(["memory", "folder"])
        place = root / "forked"
        shutil.rmtree(place, ignore_errors=True)
        with EmbeddingIndex(DIM, path=place if where == "folder" else ":memory:") as index:
            index.upsert(points, sources=["a", "b", "c", "d"])
            code, said, _ = in_child(
                lambda index=index, name=name: uses[name](index) and 0, wait=LONGEST_SECONDS
            )
            fault = ""
            if (code, bool(said)) != ((0, False) if name == "close" else (1, True)):
                fault = f"the child ends with {code}: {said}"
            elif index.count() != DIM:
                fault = "the parent's points are others now"
            elif where == "folder" and _opens_elsewhere(place):
                fault = "another program may open the folder that the parent has open"
        tally.outcomes["surprise" if fault else "harmless" if name == "close" else "refused"] += 1
        if fault:
            tally.surprises.append(f"fork, {name}, {where}, input {number}: {fault}")
    return tally


def _opens_elsewhere(place):
    """Return whether another process can open a folder of points."""

    def task():
        EmbeddingIndex(DIM, path=place).close()

    return in_child(task)[0] == 0


# What is run.


def tasks(root):
    """Return all tasks; `root` is what `kinds.make_folders` made."""

    def copied(name):
        return lambda place: shutil.copytree(root / name, place / name, dirs_exist_ok=True)

    def fit(place):
        return main(["fit", str(root / "in"), "--out", str(place / "model"), "--force", "--seed", "1", *FIT])

    def add(place):
        return main(["add", str(place / "model"), str(root / "corrections" / "in")])

    def save(place):
        other = MetricEmbedding.load(root / "encoder", device="cpu")
        other.save(place / "encoder", note="another")

    def export(place):
        points = read_points(root / "model")
        points.about["note"] = "another"
        write_points(points, place / "export")

    def refit(place, turn=1):
        classifier = QdrantClassifier(1, path=place / "points").fit(
            np.roll(np.eye(DIM), turn, 0), ["a", "b", "c", "d"]
        )
        classifier.close()

    def ask(place):
        with QdrantClassifier.open(path=place / "points") as classifier:
            return classifier.predict(np.eye(DIM)).tolist(), len(classifier.index_)

    def look(place):
        read_photographs(place / "in", cache=place / "cache")
        write_file(place / "seen", b"")

    def seen(place):
        found = read_photographs(place / "in", cache=place / "cache")
        return found.files, found.skipped, found.pixels.tobytes(), (place / "seen").exists()

    def embeddings(seed):
        return np.random.default_rng(seed).normal(size=(40, DIM)).astype(np.float32)

    def fill_index(place):
        with EmbeddingIndex(DIM, encoder_id="old", path=place / "points", versioned=True) as index:
            index.upsert(embeddings(0), sources=[str(i) for i in range(40)])

    def embed_anew(place):
        rows = embeddings(1)
        for encoder in ("old", "new"):
            with (
                contextlib.suppress(ValueError),
                EmbeddingIndex(DIM, encoder_id=encoder, path=place / "points") as index,
            ):
                reindex(
                    index, lambda sources: rows[[int(source) for source in sources]], "new", least_agreement=0
                )

    def read_index(place):
        for encoder in ("new", "old"):
            with (
                contextlib.suppress(ValueError),
                EmbeddingIndex(DIM, encoder_id=encoder, path=place / "points") as index,
            ):
                return encoder, sorted(
                    (str(r.id), str(r.vector)) for r in index.storage.records(vectors=True)
                )
        raise ValueError("The index is of neither encoder.")

    return [
        Task("fit --force", copied("model"), fit, lambda place: read_model(place / "model")),
        Task("add", copied("model"), add, lambda place: read_model(place / "model")),
        Task("MetricEmbedding.save", copied("encoder"), save, lambda place: read_encoder(place / "encoder")),
        Task("export", copied("export"), export, lambda place: read_export(place / "export")),
        Task("refit on a path", lambda place: refit(place, 0), refit, ask),
        Task(
            "reading photographs",
            lambda place: shutil.copytree(root / "pictures" / "in", place / "in"),
            look,
            seen,
        ),
        Task("reindex on a path", fill_index, embed_anew, read_index),
    ]
