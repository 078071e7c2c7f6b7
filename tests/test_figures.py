"""Every figure in README and docs is written by the generator, from the results on file."""

import copy
import re

import pytest
from markdown_links import dead_links

from benchmarks import common, figures, tables
from benchmarks.figures import documents, measured, numbers, rewritten

INTERVAL = re.compile(rf"{figures.NUMBER}(?: %| points)?\s\[{figures.NUMBER}, {figures.NUMBER}\](?!<!--)")
SCALE = common.read_results("scale")


@pytest.fixture(scope="module")
def known():
    return tables.tables(), measured(), numbers()


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_running_the_generator_changes_nothing(path, known):
    text = path.read_text(encoding="utf-8")
    assert rewritten(text, *known) == text


def test_every_table_stands_in_a_document(known):
    texts = "".join(path.read_text(encoding="utf-8") for path in documents())
    assert sorted(match["name"] for match in figures.TABLE.finditer(texts)) == sorted(known[0])


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_no_interval_is_typed(path):
    text = figures.TABLE.sub("", path.read_text(encoding="utf-8"))
    assert INTERVAL.findall(text) == []


# On these pages a number with a percent sign or a decimal point is measured, and written by the generator.
SPOKEN = (
    "README.md",
    "index.md",
    "play.md",
    "own_folder.md",
    "results.md",
    "faq.md",
    "podcast.md",
    "cheatsheet.md",
)
BARE = re.compile(r"(?<![\w./])\d+(?:\.\d+| %|(?= %))(?![\d.]*<!--)")
# But for what was wanted, allowed, assumed or said to explain: no figure that could be wrong.
NO_MEASUREMENT = re.compile(
    r"95 % (?:\[?confidence )?interval|[Ww]e wanted \d+ %|95 % takes|nothing here reaches 97 %"
    r"|[Ii]f 5 % |[Ww]h(?:ere|en) 5 % |With 5 % |5 % of them may|loses 5 % of the digits"
    r"|all shares are 100 %|A share of 100 %"
    r"|a similarity of 0\.999|= \d\.\d|License 2\.0|CC BY 4\.0|version 0\.1\.0|Python [\d.]+|[\d.]+ GB"
    r"|arXiv [\d.]+|doi [\d./]+"
)


def bare(text):
    """Return the figures of a page that are typed: neither in code or a table, nor before a name."""
    text = figures.FIGURE.sub("", figures.TABLE.sub("", text))
    text = re.sub(r"```.*?```|`[^`\n]*`|\]\([^)]*\)", "", text, flags=re.DOTALL)
    return BARE.findall(NO_MEASUREMENT.sub("", text))


@pytest.mark.parametrize(
    "path", [path for path in documents() if path.name in SPOKEN], ids=lambda path: path.name
)
def test_no_figure_is_typed(path):
    assert bare(path.read_text(encoding="utf-8")) == []


def test_a_typed_figure_is_caught():
    assert bare("It leads by 3.6 points, and 72 % are right, if 5 % may be lost.") == ["3.6", "72 %"]
    assert bare("It leads by 3.6 [1.0, 2.0]<!--a-->; 72<!--b--> % are right, version 0.1.0; `0.5`.") == []


def test_figures_are_put_where_their_names_stand():
    text = "It adds 7 points [−1, 2]<!--a--> to 1.0 [1.0, 1.0]<!--b--> in 3<!--c--> s."
    assert rewritten(text, {}, {"a": [-1.0, 1.0], "b": [50.0, 50.0]}, {"c": "1,234"}) == (
        "It adds 0.0 points [−12.7, 12.7]<!--a--> to 50.0 [50.0, 50.0]<!--b--> in 1,234<!--c--> s."
    )
    table = "<!-- t:begin -->\nold\n<!-- t:end -->"
    assert rewritten(table, {"t": "new"}, {}, {}) == "<!-- t:begin -->\nnew\n<!-- t:end -->"
    with pytest.raises(KeyError, match="unheard"):
        rewritten("1.0 [1.0, 1.0]<!--unheard-->", {}, {}, {})


# The page about scaling.


@pytest.mark.parametrize(
    "path",
    [
        ("digits", "graph", "1000000", "build seconds"),
        ("digits", "graph", "100000", "ef=64", "recall"),
        ("digits", "int8", "1000000", "memory", "bytes", "int8"),
        ("digits", "int8", "1000000", "rescored", "64", "recall"),
        ("images embedded per second of one core", "onnxruntime"),
    ],
)
def test_another_measurement_changes_the_page(path, monkeypatch):
    other = copy.deepcopy(SCALE)
    inner = other
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] *= 1.3

    def read(name):
        return other if name == "scale" else common.read_results(name)

    monkeypatch.setattr(tables, "read_results", read)
    monkeypatch.setattr(figures, "read_results", read)
    page = (figures.ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert rewritten(page, tables.tables(), {}, numbers()) != page


def test_the_links_of_the_page_about_scaling_resolve():
    docs = figures.ROOT / "docs"
    assert dead_links((docs / "scaling.md").read_text(encoding="utf-8"), docs) == []


def test_what_was_promised_and_what_was_reached():
    """At a million points: recall of 0.99 at 50 times the speed; int8 small, and the vote unmoved."""
    graph, int8 = SCALE["digits"]["graph"]["1000000"], SCALE["digits"]["int8"]["1000000"]
    assert graph["ef=32"]["recall"] >= 0.99
    assert graph["ef=32"]["times faster than exact"] >= 50
    assert int8["memory"]["bytes"]["int8"] <= 0.35 * int8["memory"]["bytes"]["vectors"]
    assert abs(int8["not rescored"]["vote, %"] - graph["exact"]["vote, %"]) <= 0.2
