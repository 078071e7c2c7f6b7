"""Each mean with its interval in a text is one that was measured, and says of how many draws it is.

The same method on the same labels has one mean over ten draws and another over the first five of them. Both
are right, and a reader who meets both on two pages without a word on the draws takes one for a mistake.
"""

import json
import re
from pathlib import Path

import nbformat
import pytest

from benchmarks import figures
from benchmarks.tables import tables
from metriclearn.metrics import t_interval

ROOT = Path(__file__).parent.parent
INTERVAL = re.compile(r"\d+\.\d \[[-−]?\d+\.\d, \d+\.\d\]")
NUMBER = r"[-−]?\d+(?:\.\d+)?"
QUOTED = re.compile(rf"({NUMBER})(?: %| points| points of the new digits)?\s\[({NUMBER}), ({NUMBER})\]")
FEW, SAID = 5, re.compile(r"\b(five|5)\b[^.|]*\bdraws?\b|\bdraws?\b[^.|]*\b(five|5)\b")


def lists_of_draws(node):
    """Yield every list of numbers in a file of results: one figure, draw by draw."""
    if isinstance(node, dict):
        for part in node.values():
            yield from lists_of_draws(part)
    elif isinstance(node, list) and node and all(type(part) in (int, float) for part in node):
        yield tuple(map(float, node))
    elif isinstance(node, list):
        for part in node:
            yield from lists_of_draws(part)


def of_fewer_draws(lists):
    """Return the figures, as they are quoted, of the first five draws where more were measured.

    A figure that is also that of all draws of something is none of these.
    """
    more = [values for values in lists if len(values) > FEW]
    return {str(t_interval(values[:FEW])) for values in more} - {str(t_interval(v)) for v in more}


def texts():
    """Yield where a text stands and the text: paragraphs of pages and cells, and what cells printed."""
    pages = [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "notebooks/solutions").glob("*.md")),
    ]
    for page in pages:
        for paragraph in page.read_text(encoding="utf-8").split("\n\n"):
            yield page.name, paragraph
    for path in sorted((ROOT / "notebooks").rglob("[0-9]*.ipynb")):
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
            parts = cell.source.split("\n\n") if cell.cell_type == "markdown" else []
            printed = "".join(output.get("text", "") for output in cell.get("outputs", []))
            for part in [*parts, printed]:
                yield f"{path.name} [{number}]", part


def unsaid(text, fewer):
    """Return the figures of five draws in a text that does not say that they are five.

    A table with a column for the number of draws says it.
    """
    if re.search(r"\| draws \|$", text, flags=re.MULTILINE):
        return []
    found = [figure.replace("−", "-") for figure in INTERVAL.findall(text)]
    return [figure for figure in found if figure in fewer and not SAID.search(text)]


@pytest.fixture(scope="module")
def fewer():
    files = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    lists = {
        values for file in files for values in lists_of_draws(json.loads(file.read_text(encoding="utf-8")))
    }
    return of_fewer_draws(lists)


def test_no_figure_of_fewer_draws_stands_without_their_number(fewer):
    complaints = [f"{where}: {figure}" for where, text in texts() for figure in unsaid(text, fewer)]
    assert complaints == []


def test_the_default_from_five_draws_is_one_of_these(fewer):
    ablation = json.loads((ROOT / "benchmarks/results/ablation.json").read_text(encoding="utf-8"))
    five = str(t_interval(ablation["recipes"]["all but reconstruction (the default)"]["accuracy"]))
    assert five in fewer
    assert unsaid(f"The method is right for {five} % of the images.", fewer) == [five]
    assert unsaid(f"The method is right for {five} % (five draws).", fewer) == []
    assert unsaid(f"The five draws of the ablation come to {five} %.", fewer) == []
    assert unsaid("Ten draws come to 96.8 [96.3, 97.4] %.", fewer) == []


# Whether it was measured.


Quote = tuple[str, str, str]


def quotes(text):
    """Return each mean with its interval that stands in a text."""
    return {(a, b, c) for a, b, c in QUOTED.findall(text.replace("−", "-"))}


def rounded(values):
    """Return how the mean of these draws and its interval may be quoted.

    With two digits after the point or fewer, turned round ("trails by"), and no share above 100.
    """
    found = t_interval(values)
    ways = [(found.mean, found.low, found.high), (-found.mean, -found.high, -found.low)]
    ways.append((found.mean, found.low, min(found.high, 100)))
    return {(f"{a:.{n}f}", f"{b:.{n}f}", f"{c:.{n}f}") for a, b, c in ways for n in (0, 1, 2)}


def turned(quote):
    """Return a quote of the difference the other way round."""
    mean, low, high = (part.removeprefix("-") if part.startswith("-") else f"-{part}" for part in quote)
    return mean, high, low


@pytest.fixture(scope="module")
def measured():
    """Return what may be quoted: figures on file, and what cells printed."""
    known = set()
    for file in (ROOT / "benchmarks" / "results").glob("*.json"):
        for values in set(lists_of_draws(json.loads(file.read_text(encoding="utf-8")))):
            if len(values) >= 3:
                known |= rounded(values) | rounded(values[:FEW])
    # What the generator writes: its tables, some of whose columns are paired by draw, and its figures.
    known |= quotes("\n".join(tables().values()))
    known |= {quote for values in figures.measured().values() for quote in rounded(values)}
    for path in (ROOT / "notebooks").rglob("[0-9]*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            printed = quotes("".join(output.get("text", "") for output in cell.get("outputs", [])))
            known |= printed | {turned(quote) for quote in printed}
    return known


def test_each_quoted_interval_was_measured(measured):
    complaints, counted = [], 0
    for where, text in texts():
        found = quotes(text)
        counted += len(found)
        complaints += [f"{where}: {mean} [{low}, {high}]" for mean, low, high in sorted(found - measured)]
    assert complaints == []
    assert counted > 150


def test_a_figure_that_nobody_measured_is_caught(measured):
    assert quotes("It is right for 96.8 % [96.3, 97.4], trails by −4.1 points [−5.6, −2.6].") <= measured
    assert quotes("costs −0.1 points [−0.6, 0.4]") == {("-0.1", "-0.6", "0.4")}
    assert not quotes("It is right for 96.8 % [96.3, 97.9].") & measured
    assert not quotes("It leads by 2.4 [1.1, 4.2].") & measured
