"""Count the Python calls within the package that two everyday tasks make, and which of them are checks.

python tools/count_calls.py

* predict: `QdrantClassifier.predict` on 50 rows, in memory, with 100 examples of 32 numbers in ten classes;
* fit: `MetricEmbedding(steps=3).fit` on 200 digits of mnist-5k, of which ten per class have a label.

A call is a Python frame that is entered in a file of the package: of a function, a method, a lambda or a
generator, and before Python 3.12 of a list comprehension, too. It checks arguments if its function is named
`check_…` or `_check…`, or lies in `metriclearn.checks`.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np

import metriclearn
from metriclearn import MetricEmbedding, QdrantClassifier, load_images, scarce_labels

PACKAGE = Path(metriclearn.__file__).parent
CHECKING_MODULES = ("validate", "labels", "settings")  # where checks stood before they had a folder


class Calls(NamedTuple):
    """What a task calls.

    Attributes:
        counts: how often each function of the package was called, by its module and name.
    """

    counts: Counter[tuple[str, str]]

    @property
    def total(self) -> int:
        """The number of calls."""
        return self.counts.total()

    @property
    def modules(self) -> list[str]:
        """The modules that were entered."""
        return sorted({module for module, _ in self.counts})

    @property
    def checking(self) -> float:
        """The share of calls that check arguments, in percent."""
        checks = sum(n for (module, name), n in self.counts.items() if is_check(module, name))
        return 100 * checks / self.total


def is_check(module: str, name: str) -> bool:
    """Return whether a function checks arguments, by its name or its module."""
    return name.startswith(("check_", "_check")) or module.startswith("checks.") or module in CHECKING_MODULES


def count(task: Callable[[], object]) -> Calls:
    """Run a task, and count the calls of each function of the package."""
    counts: Counter[tuple[str, str]] = Counter()

    def note(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(f"{PACKAGE}{os.sep}"):
            module = Path(code.co_filename).relative_to(PACKAGE).with_suffix("")
            counts[".".join(module.parts), code.co_name] += 1

    sys.setprofile(note)
    try:
        task()
    finally:
        sys.setprofile(None)
    return Calls(counts)


def predict() -> Calls:
    """Count what predicting 50 rows calls."""
    random = np.random.default_rng(0)
    examples, asked = (random.normal(size=(n, 32)).astype(np.float32) for n in (100, 50))
    with QdrantClassifier().fit(examples, np.arange(100) % 10) as classifier:
        classifier.predict(asked)  # what happens only once is over
        return count(lambda: classifier.predict(asked))


def fit() -> Calls:
    """Count what a short training calls."""
    pool, _ = load_images("mnist-5k")
    pixels, labels = pool.pixels[:200], scarce_labels(pool.labels[:200], 10, seed=0)
    return count(lambda: MetricEmbedding(steps=3, random_state=0).fit(pixels, labels))


def main() -> None:
    """Print a line for each task."""
    for name, calls in (("predict", predict()), ("fit", fit())):
        modules = f"{len(calls.modules)} modules ({', '.join(calls.modules)})"
        print(f"{name}: {calls.total} calls, {calls.checking:.0f} % of them check arguments; {modules}")


if __name__ == "__main__":
    main()
