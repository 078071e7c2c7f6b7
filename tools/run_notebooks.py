"""Run the notebooks, each in a fresh kernel, and say how each went.

python tools/run_notebooks.py                  all of them, two at a time; copies go to build/notebooks/
python tools/run_notebooks.py 01 03            those whose names start so
python tools/run_notebooks.py --inplace 01     keep the new outputs in the notebook itself
python tools/run_notebooks.py --solutions      the solutions of the exercises instead
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from check_environment import own_kernels_first
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from traitlets.config import Config

REPOSITORY = Path(__file__).resolve().parent.parent
NOTEBOOKS = REPOSITORY / "notebooks"
OUT = REPOSITORY / "build" / "notebooks"
SECONDS_PER_CELL = 600
RECORDED = "recorded on"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Run:
    """How one notebook went: its name, its seconds, its headline lines, and what broke, if anything."""

    name: str
    seconds: float
    headlines: list[str] = field(default_factory=list)
    failure: str = ""


def run_notebook(path: Path, out: Path, threads: int | None = None) -> Run:
    """Execute a notebook in its own folder and write the executed copy to `out`.

    Its kernel computes with that many threads; by default with as many as it likes. The copy holds neither
    times nor widget states: these would differ in every run. Over the notebook itself it is written only if
    every cell worked.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
        # Otherwise each kernel warns the learner that its traffic on this machine is not encrypted.
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),
    )
    start, failure = time.perf_counter(), ""
    # A thread that waits sleeps: it would take the core from the notebook beside it.
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    try:
        client.execute(env=environment)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        failure = describe_failure(notebook, error)
    seconds = time.perf_counter() - start
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    if not failure or out.resolve() != path.resolve():
        out.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, out)
    return Run(path.stem, seconds, headlines(notebook), failure)


def run_all(paths: list[Path], outs: list[Path], at_once: int) -> Iterator[Run]:
    """Run notebooks, several at once, and yield how each went as soon as it has ended.

    Each kernel gets its share of the cores: two trainings that both want all of them wait for each other.
    """
    threads = max(1, (os.cpu_count() or 1) // at_once) if at_once > 1 else None
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(run_notebook, path, out, threads) for path, out in zip(paths, outs, strict=True)]
        for job in as_completed(jobs):
            yield job.result()


def headlines(notebook: NotebookNode) -> list[str]:
    """Return what the cells tagged `headline` printed, line by line."""
    return [
        line
        for cell in notebook.cells
        if cell.cell_type == "code" and "headline" in cell.metadata.get("tags", [])
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
        for line in output.text.splitlines()
    ]


def describe_failure(notebook: NotebookNode, error: Exception) -> str:
    """Return the source of the cell that broke and its error, without colour codes."""
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                trace = COLOURS.sub("", "\n".join(output.traceback)).strip()
                return f"Cell {number} failed:\n{indent(cell.source)}\n\n{indent(trace)}"
    return f"{type(error).__name__}:\n{indent(COLOURS.sub('', str(error)).strip())}"


def indent(text: str) -> str:
    """Set a text off from the lines around it."""
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def report(runs: list[Run]) -> str:
    """Return the closing table: what each notebook measured, its seconds, and whether it went well.

    The notebooks also show figures on file, and say so: these were not measured in this run.
    """
    lines = ["What the notebooks measured", ""]
    for run in runs:
        if run.headlines:
            lines += [run.name, *(f"    {line}".rstrip() for line in run.headlines), ""]
    if any(line.startswith(RECORDED) for run in runs for line in run.headlines):
        dataset = os.environ.get("METRICLEARN_DATASET", "mnist-5k")
        lines += [
            f'"{RECORDED} ..." is on file, from make bench; all else was measured here, on {dataset}.',
            "",
        ]
    width = max(len(run.name) for run in runs)
    lines += [f"{'notebook':<{width}}  seconds", "-" * (width + 15)]
    lines += [f"{run.name:<{width}}  {run.seconds:7.0f}  {'FAIL' if run.failure else 'ok'}" for run in runs]
    return "\n".join([*lines, f"{'all':<{width}}  {sum(run.seconds for run in runs):7.0f}"])


def choose(starts: list[str], folder: Path | None = None) -> list[Path]:
    """Return the numbered notebooks in order; with `starts`, only those whose names start so."""
    names = [Path(start).name for start in starts]
    paths = sorted((folder or NOTEBOOKS).glob("[0-9][0-9]_*.ipynb"))
    return [path for path in paths if not names or path.name.startswith(tuple(names))]


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen notebooks and return 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="how the notebooks' names start; all by default")
    parser.add_argument("--inplace", action="store_true", help="keep the new outputs in the notebooks")
    parser.add_argument("--solutions", action="store_true", help="run the solutions of the exercises instead")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the executed copies")
    options = parser.parse_args(arguments)
    folder = NOTEBOOKS / "solutions" if options.solutions else NOTEBOOKS
    paths = choose(options.names, folder)
    if not paths:
        parser.error(f"no notebook in {folder} has such a name: {' '.join(options.names)}")
    own_kernels_first()
    # What is kept comes from a kernel that has the machine to itself, as a learner's has.
    at_once = 1 if options.inplace else min(2, os.cpu_count() or 1)
    how = ", two at a time" if at_once > 1 else ""
    print(f"Running {len(paths)} notebook{'s' * (len(paths) > 1)}{how}", flush=True)
    outs = [path if options.inplace else options.out / path.name for path in paths]
    runs = []
    for number, run in enumerate(run_all(paths, outs, at_once), start=1):
        print(
            f"[{number}/{len(paths)}] {run.name} ... {run.seconds:.0f} s, {'FAIL' if run.failure else 'ok'}",
            flush=True,
        )
        if run.failure:
            print(f"\n{run.failure}\n", flush=True)
        runs.append(run)
    print(f"\n{report(sorted(runs, key=lambda run: run.name))}")
    where = "in place" if options.inplace else f"in {options.out}"
    print(f"\nThe executed notebooks are {where}.")
    return int(any(run.failure for run in runs))


if __name__ == "__main__":
    sys.exit(main())
