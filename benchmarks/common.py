"""What the benchmarks share: results on file, the draws of labels, the command line."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
BANDS = Path(__file__).parent.parent / "notebooks" / "bands.json"
DRAWS = [0, 1, 2, 3, 4]
ALL_DRAWS = list(range(10))  # for the figures that matter most
INPUTS = {
    "mnist": "folder with the two t10k files of MNIST",
    "omniglot": "images_background_small1.zip",
    "trashnet": "folder of TrashNet's pictures, a folder per class",
}


def read_results(name: str) -> Any:
    """Return what is in `results/NAME.json`."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def write_results(name: str, results: Any) -> None:
    """Write `results/NAME.json`."""
    (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


class Ledger:
    """A file of results that grows with every finished run.

    Args:
        name: of the file in `results`, without its suffix.
        section: the key under which results are kept; other sections of the file stay as they are.
        fresh: whether to forget earlier results, those of all sections.
        head: what stands before the results, such as the protocol.
    """

    def __init__(self, name: str, section: str, fresh: bool, head: dict[str, Any]) -> None:
        self.name, self.section = name, section
        exists = (RESULTS / f"{name}.json").exists() and not fresh
        old = read_results(name) if exists else {}
        self.results = old | head | {section: old.get(section, {})}

    def at(self, keys: list[str]) -> dict[str, Any]:
        """Return the entry under these keys, which is made if need be."""
        entry: dict[str, Any] = self.results[self.section]
        for key in keys:
            entry = entry.setdefault(key, {})
        return entry

    def add(self, keys: list[str], draw: int, accuracy: float, seconds: float, **more: float) -> None:
        """Write the result of one draw, and what else was measured of it."""
        entry = self.at(keys)
        entry.setdefault("draws", []).append(draw)
        for name, value in {"accuracy": accuracy, "cpu_seconds": seconds, **more}.items():
            entry.setdefault(name, []).append(round(value, 2))
        self.write()
        print(f"draw {draw}  {', '.join(keys):55} {accuracy:5.1f} %  {seconds:6.1f} CPU s", flush=True)

    def run(self, keys: list[str], draw: int, measure: Callable[[], float]) -> None:
        """Measure the accuracy of one draw, unless it is done, and write it."""
        if not self.has(keys, draw):
            self.add(keys, draw, *timed(measure))

    def has(self, keys: list[str], draw: int) -> bool:
        """Return whether this draw is done."""
        entry = self.results[self.section]
        for key in keys:
            entry = entry.get(key, {})
        return draw in entry.get("draws", [])

    def write(self) -> None:
        """Write the file."""
        write_results(self.name, self.results)


def command_line(description: str | None, *inputs: str) -> argparse.ArgumentParser:
    """Return a parser with `--fresh`, and with an option for each set of images that no package carries.

    Args:
        description: the docstring of the benchmark.
        inputs: "mnist", "omniglot", "trashnet".
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="forget earlier results first")
    for name in inputs:
        parser.add_argument(f"--{name}", type=Path, help=INPUTS[name])
    return parser


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a function returns, and its CPU seconds."""
    start = time.process_time()
    return function(), time.process_time() - start


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return rows at unit length, float32."""
    scaled: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled.astype(np.float32, copy=False)
