"""Fault injection at length: all kinds, at least 100,000 inputs, and the table of docs/trust.md.

    python tests/faults/run.py [--inputs 100000] [--moments 100]

Exits with 1 if anything came as a surprise, and prints the first ones of each kind.
"""

import argparse
import math
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parent.parent))

import kinds
import processes
import pytest

PAGE = Path(__file__).parent.parent.parent / "docs" / "trust.md"
BEGIN, END = "<!-- faults: begin -->\n", "<!-- faults: end -->"
CHUNK = 500  # inputs in one go
MOST_MEMORY = 500  # MB above what a process holds before the first input
ROOM = 400_000  # bytes that are free at most, when a disk is full

_made = {}


def prepared():
    """Return this process's own folders, and the kinds of input."""
    if not _made:
        root = Path(tempfile.mkdtemp(prefix="faults-"))
        patch = pytest.MonkeyPatch()
        kinds.make_folders(root, patch)
        cached = kinds.cache_of_pictures(root, patch)
        _made.update(root=root, patch=patch, kinds=kinds.kinds(root, cached))
        for kind, folder in _made["kinds"]:  # what is loaded once, is loaded now
            kind.read(folder)
        _made["memory"] = memory()
    return _made["root"], _made["patch"]


def memory():
    """Return how many MB this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def job(what, number, numbers, moments):
    """Try one kind with some inputs, or one task; return a row of the table and what came as a surprise."""
    root, patch = prepared()
    if what == "kind":
        kind, folder = _made["kinds"][number]
        patch.setenv("METRICLEARN_CACHE", str(root / "pictures" / "cache"))
        name, tally = kind.name, kinds.try_kind(kind, folder, numbers)
    else:
        patch.setenv("METRICLEARN_CACHE", str(root / "cache"))
        if what == "kill":
            task = processes.tasks(root)[number]
            name, tally = f"killed: {task.name}", processes.try_kills(task, root / "killed", moments=moments)
        elif what == "two":
            name, tally = "two `add`, or two `fit`, at once", processes.try_two_at_once(root, numbers)
        elif what == "fork":
            name, tally = "an index in a forked child", processes.try_forks(root, numbers)
        else:
            task = processes.tasks(root)[number]
            name, tally = f"full disk: {task.name}", kinds.Tally()
            with processes.small_disk(root / "disk", 8) as disk:
                if disk:
                    tally = processes.try_full_disk(task, disk, numbers, ROOM)
    return name, tally, memory() - _made["memory"]


def silence():
    """Let the libraries that decode pictures say nothing about each damaged one."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def clear(_):
    """Remove this process's folders."""
    if _made:
        shutil.rmtree(_made.pop("root"), ignore_errors=True)
        time.sleep(0.5)


def jobs(inputs, moments):
    """Return all jobs, in the order of the table."""
    prepared()
    n_kinds, n_tasks = len(_made["kinds"]), len(processes.tasks(_made["root"]))
    few, all_shares = max(20, moments // 2), sum(kind.share for kind, _ in _made["kinds"])
    found = []
    for i in range(n_kinds):
        each = math.ceil(inputs * _made["kinds"][i][0].share / all_shares)
        found += [("kind", i, range(start, min(start + CHUNK, each)), 0) for start in range(0, each, CHUNK)]
    if not moments:
        return found
    found += [("kill", i, (), moments) for i in range(n_tasks)]
    found += [("two", 0, range(few), 0), ("fork", 0, range(few), 0)]
    return found + [("disk", i, range(few), 0) for i in range(n_tasks)]


def table(tallies):
    """Return the table as Markdown."""
    lines = [
        "| kind of input | tried | refused in one sentence | harmless | surprises |",
        "|---|--:|--:|--:|--:|",
    ]
    whole = Counter()
    for name, tally in tallies.items():
        whole += tally.outcomes
        lines.append(_row(name, tally.outcomes))
    return "\n".join([*lines, _row("**all**", whole)]) + "\n"


def _row(name, outcomes):
    counts = (outcomes.total(), *(outcomes[key] for key in ("refused", "harmless", "surprise")))
    return f"| {name} | " + " | ".join(f"{n:,}" for n in counts) + " |"


def main():
    """Try all, print the table, and write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--moments", type=int, default=100, help="of kills; 0: damaged files alone")
    parser.add_argument("--no-page", action="store_true", help="do not write docs/trust.md")
    options = parser.parse_args()
    tallies, most, started = {}, 0.0, time.monotonic()
    spawn = multiprocessing.get_context("spawn")
    workers = min(4, os.cpu_count() or 1)
    todo = jobs(options.inputs, options.moments)
    clear(None)
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=silence) as pool:
        futures = [pool.submit(job, *one) for one in todo]
        for done, future in enumerate(futures, 1):
            name, tally, grown = future.result()
            most = max(most, grown)
            whole = tallies.setdefault(name, kinds.Tally())
            whole.outcomes += tally.outcomes
            whole.surprises += tally.surprises
            for surprise in tally.surprises[:3]:
                print(surprise, flush=True)
            if done % 20 == 0:
                print(f"{done} of {len(futures)} parts, {time.monotonic() - started:.0f} s", flush=True)
        [*pool.map(clear, range(workers))]
    print(text := table(tallies))
    print(
        f"Memory grew by at most {most:.0f} MB ({MOST_MEMORY} allowed); {time.monotonic() - started:.0f} s."
    )
    surprises = sum(tally.outcomes["surprise"] for tally in tallies.values())
    if not options.no_page:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        note = f"\nNo input took {kinds.LONGEST_SECONDS} seconds, and memory grew by {most:.0f} MB at most.\n"
        PAGE.write_text(before + BEGIN + text + note + END + rest.partition(END)[2], encoding="utf-8")
    return 1 if surprises or most > MOST_MEMORY else 0


if __name__ == "__main__":
    sys.exit(main())
