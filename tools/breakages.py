"""Break twenty things on purpose, one after the other, and say which of them the tests notice.

python tools/breakages.py                    all twenty, about ten minutes
python tools/breakages.py --short            three that need only fast tests
python tools/breakages.py "a label leak"     those whose names start so

Each is a small change in a copy of the repository: a loss without its margin, a label that leaks, a figure
in a page. Then the tests that should notice it run there, and must fail. The work tree itself stays as it is.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info", "encoders", "raw")
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
FAILED = 1  # what pytest returns when tests ran and some failed; a file that cannot be read gives another


@dataclass(frozen=True)
class Breakage:
    """One thing to break.

    Attributes:
        name: what is broken.
        file: where, from the repository's top.
        old: text that stands there once.
        new: what takes its place.
        tests: what should notice it, as arguments of pytest.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


BREAKAGES = [
    Breakage(
        "a contrastive loss without its margin",
        "metriclearn/losses.py",
        "push = (margin - distances[",
        "push = (2 - distances[",
        ("tests/test_losses.py", "-k", "contrastive"),
    ),
    Breakage(
        "a triplet loss without its margin",
        "metriclearn/losses.py",
        "ordered.gather(1, place) + margin)",
        "ordered.gather(1, place))",
        ("tests/test_losses.py", "-k", "triplet"),
    ),
    Breakage(
        "a gate that lets everything pass",
        "metriclearn/label_propagation.py",
        "ranked[: int(np.ceil(share * len(members)))]",
        "ranked",
        ("tests/test_label_propagation.py", "-k", "gate"),
    ),
    Breakage(
        "a figure in a page",
        "docs/faq.md",
        "96.8 [96.3, 97.4]",
        "97.8 [97.3, 98.4]",
        ("tests/test_figures.py", "-k", "generator"),
    ),
    Breakage(
        "an anchor among its own positives",
        "metriclearn/losses.py",
        "similarity.masked_fill(self_pairs, -torch.inf)",
        "similarity",
        ("tests/test_losses.py", "-k", "supcon"),
    ),
    Breakage(
        "a label leak: every label of a class is kept",
        "metriclearn/data.py",
        "scarce[random.choice(members, per_class, replace=False)]",
        "scarce[members]",
        ("tests/test_data.py", "-k", "scarce or draw"),
    ),
    Breakage(
        "a leak: test images lie in the pool",
        "metriclearn/data.py",
        "everything[:4000], everything[4000:]",
        "everything[1000:], everything[4000:]",
        ("tests/test_data.py", "-k", "share_no_image or split"),
    ),
    Breakage(
        "an encoder that is not trained",
        "metriclearn/training.py",
        "        optimizer.step()\n        schedule.step()",
        "        schedule.step()",
        ("tests/test_training.py", "-k", "parts_the_classes"),
    ),
    Breakage(
        "augmentation off",
        "metriclearn/batches.py",
        "return self.change(x, self.random) if self.change and x.ndim == 4 else x",
        "return x",
        ("tests/test_training.py", "-k", "augmentation_changes"),
    ),
    Breakage(
        "pseudo-labels off",
        "metriclearn/training.py",
        "if pseudo_labels and pseudo.due(step)",
        "if step < 0 and pseudo.due(step)",
        ("tests/test_training.py", "-k", "spread_labels_only or raise_the_accuracy"),
    ),
    Breakage(
        "a class that swallows the others when labels spread",
        "metriclearn/label_propagation.py",
        "scores = scores / scores.sum(axis=0)\n",
        "",
        ("tests/test_label_propagation.py", "-k", "swallow or plain_matrices"),
    ),
    Breakage(
        "embeddings that are not scaled to unit length",
        "metriclearn/models.py",
        "return F.normalize(self(x), dim=1)",
        "return self.forward(x)",
        ("tests/test_models.py", "-k", "unit_length"),
    ),
    Breakage(
        "a filter that is ignored",
        "metriclearn/index/filters.py",
        "return models.Filter(must=conditions)",
        "return models.Filter(should=[*conditions, models.Filter(must_not=conditions)])",
        ("tests/test_index.py", "-k", "filter or where"),
    ),
    Breakage(
        "votes that do not sum to one",
        "metriclearn/neighbours.py",
        "shares / shares.sum(axis=1, keepdims=True)",
        "shares",
        ("tests/test_classify.py", "-k", "votes_are_shares"),
    ),
    Breakage(
        "a threshold that rejects one image too few",
        "metriclearn/unknown.py",
        "np.sort(scores)[rank - 1]",
        "np.sort(scores)[rank - 2]",
        ("tests/test_unknown.py", "-k", "loop or promise or wanted"),
    ),
    Breakage(
        "two encoders in one collection",
        "metriclearn/index/collection.py",
        '(("encoder_id", "encoder"), ("dim"',
        '(("dim"',
        ("tests/test_index.py", "-k", "encoder"),
    ),
    Breakage(
        "an interval that is too narrow",
        "metriclearn/metrics.py",
        "(1 + confidence) / 2, len(numbers) - 1)",
        "(1 + confidence) / 2, 10 * len(numbers))",
        ("tests/test_metrics.py", "-k", "interval"),
    ),
    Breakage(
        "a range that nothing is outside of",
        "metriclearn/course/bands.py",
        "inside = (low is None or value >= low)",
        "inside = (low is None or value >= -low)",
        ("tests/test_bands.py",),
    ),
    Breakage(
        "a judge that always says right",
        "metriclearn/course/checks.py",
        'return Verdict("not yet", str(hint))',
        'return Verdict("right", str(hint))',
        ("tests/test_exercises.py", "-k", "wrong_answer and 1.1"),
    ),
    Breakage(
        "a notebook that measures something else",
        "notebooks/05_index_in_qdrant.ipynb",
        "by embedding: {right.mean():.0%}",
        "by embedding: {right[:, :1].mean() / 2:.0%}",
        (*NBVAL, "notebooks/05_index_in_qdrant.ipynb"),
    ),
]
SHORT = [BREAKAGES[0], *BREAKAGES[2:4]]


def notices(copy: Path, tests: tuple[str, ...]) -> tuple[bool, str]:
    """Return whether tests of a copy of the repository fail, and the last line that they print."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
    )
    return run.returncode == FAILED, (run.stdout.strip().splitlines() or [run.stderr])[-1]


def try_out(breakages: list[Breakage]) -> list[str]:
    """Break one thing after the other in a copy, say how each went, and return the names of those missed.

    Raises:
        ValueError: if the text to change does not stand there exactly once.
    """
    missed = []
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(REPOSITORY, copy, ignore=LEFT_OUT)
        for breakage in breakages:
            file = copy / breakage.file
            whole = file.read_text(encoding="utf-8")
            if whole.count(breakage.old) != 1:
                raise ValueError(
                    f"{breakage.file} does not hold {breakage.old!r} once: mend {breakage.name!r}."
                )
            file.write_text(whole.replace(breakage.old, breakage.new), encoding="utf-8")
            noticed, said = notices(copy, breakage.tests)
            file.write_text(whole, encoding="utf-8")
            print(f"{'caught' if noticed else 'MISSED':8} {breakage.name}: {said}", flush=True)
            missed += [] if noticed else [breakage.name]
    return missed


def main(arguments: list[str] | None = None) -> int:
    """Try the chosen breakages and return 1 if one was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="how the names start; all by default")
    parser.add_argument("--short", action="store_true", help="only three that need fast tests")
    options = parser.parse_args(arguments)
    chosen = SHORT if options.short else BREAKAGES
    chosen = [one for one in chosen if not options.names or one.name.startswith(tuple(options.names))]
    missed = try_out(chosen)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} were noticed")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
