"""The pages in docs/: the companion, the questions, the kit for workshops, the cheat sheet."""

import inspect
import re
from pathlib import Path

import nbformat
import pytest
from markdown_links import dead_links

from benchmarks.common import read_results
from benchmarks.figures import TABLE, documents, numbers
from metriclearn import losses
from metriclearn.metrics import t_interval

ROOT = Path(__file__).parent.parent
PAGES = ("podcast.md", "faq.md", "workshop.md", "cheatsheet.md")
# What the workshop quotes from notebooks: the words there, the notebook, and what it printed.
PRINTED = [
    ("81,000 statements", "03_positives_and_negatives", "triplets: 81000"),
    ("turns away 26 % of good digits", "06_classify", "from the 100 labelled rejects 26.4"),
    (
        "90 % are right by pixels and 98 % by embedding",
        "05_index_in_qdrant",
        "90% by pixels, 98% by embedding",
    ),
    ("3,900 images without one", "04_pseudo_labels", "100 labelled images, 3900 without a label"),
]
PLANS = {"90 minutes": 90, "Half a day": 210, "A full day": 420}
LONGEST_BLOCK = 60


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_no_page_quotes_the_default_from_five_draws_beside_ten():
    default = "all but reconstruction (the default)"
    five = str(t_interval(read_results("ablation")["recipes"][default]["accuracy"]))
    ten = str(
        t_interval(read_results("label_efficiency")["methods"]["metric embedding + 1-NN"]["10"]["accuracy"])
    )
    assert five != ten
    texts = {path.name: TABLE.sub("", path.read_text(encoding="utf-8")) for path in documents()}
    assert [name for name, text in texts.items() if five in text] == []


@pytest.mark.parametrize("claim", range(1, 6))
def test_each_claim_has_a_notebook_and_a_verdict(claim):
    section = re.search(rf"### {claim}\. (.*?)(?=\n##)", page("podcast.md"), flags=re.DOTALL)
    assert section
    assert "](../notebooks/" in section[1]
    assert re.search(r"\*\*(Holds|Does not hold)", section[1])


@pytest.mark.parametrize("name", PAGES)
def test_its_links_resolve(name):
    assert dead_links(page(name), ROOT / "docs") == []


# The kit for workshops


def section(text, heading):
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(plan):
    """Return the cells of a plan's table, without its head."""
    lines = [line for line in plan.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]


def unsound(plan, minutes):
    """Return what does not fit in a plan: its starts, its sum, a block that is too long, an empty one."""
    found, at = [], 0
    for start, length, show, *_ in rows(plan):
        if start != f"{at // 60}:{at % 60:02}":
            found.append(f"{start}: starts at {at} minutes")
        if not 0 < int(length) <= LONGEST_BLOCK:
            found.append(f"{start}: takes {length} minutes")
        if not show:
            found.append(f"{start}: shows nothing")
        at += int(length)
    return found + [f"{at} minutes instead of {minutes}"] * (at != minutes)


@pytest.mark.parametrize("name", PLANS)
def test_the_minutes_of_a_plan_add_up(name):
    plan = section(page("workshop.md"), name)
    assert unsound(plan, PLANS[name]) == []
    assert len({len(row) for row in rows(plan)}) == 1
    breaks = [row for row in rows(plan) if row[2] in {"Break", "Lunch"}]
    assert len(breaks) == {90: 0, 210: 2, 420: 3}[PLANS[name]]


def test_a_plan_that_does_not_add_up_is_caught():
    table = "| start | min | show |\n|---|---|---|\n| 0:00 | 20 | a |\n| 0:30 | 61 |  |\n"
    assert unsound(table, 90) == [
        "0:30: starts at 20 minutes",
        "0:30: takes 61 minutes",
        "0:30: shows nothing",
        "81 minutes instead of 90",
    ]


@pytest.mark.parametrize("name", PLANS)
def test_a_notebook_that_a_plan_names_is_the_one_it_links_to(name):
    plan = section(page("workshop.md"), name)
    for cell in (cell for row in rows(plan) for cell in row):
        if named := re.match(r"Notebook (\d)", cell):
            assert set(re.findall(r"notebooks/0(\d)_", cell)) <= {named[1]}
    for number, _, file in re.findall(r"(\d) (\[[^]]+\])\(\.\./notebooks/0(\d)_", plan):
        assert number == file


@pytest.mark.parametrize(("words", "name", "printed"), PRINTED)
def test_what_the_workshop_quotes_was_printed(words, name, printed):
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert words in page("workshop.md")
    assert printed in "".join(output.get("text", "") for output in outputs)


def test_the_minutes_of_thirty_fits_follow_from_the_seconds_of_one():
    seconds = int(numbers()["seconds of a fit"])
    assert "16 cores are busy for\n  one to two minutes" in page("workshop.md")
    assert 55 < 30 * seconds / 16 < 65  # and up to twice that


@pytest.mark.parametrize("name", ["workshop.md", "cheatsheet.md", "faq.md"])
def test_make_targets_exist(name):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`[^`\n]*\bmake ([a-z-]+)", page(name)):
        assert f"\n{target}:" in makefile


# The cheat sheet


def test_the_cheat_sheet_is_short():
    assert len(page("cheatsheet.md").splitlines()) <= 70


def test_the_ten_lines_run(monkeypatch, capsys):
    [code] = re.findall(r"```python\n(.*?)```", page("cheatsheet.md"), flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line]) == 10
    monkeypatch.delenv("QDRANT_URL", raising=False)
    assert code.count("MetricEmbedding(random_state=0)") == 1
    names = {}
    exec(code.replace("MetricEmbedding(", "MetricEmbedding(steps=20, "), names)  # a short training
    accuracy, unknown = map(float, capsys.readouterr().out.split())
    assert accuracy > 0.5
    assert 0 < unknown < 0.2
    assert len(names["classifier"].index_) == 100 + 20
    assert not re.search(r"(?:fit|upsert)\([^\n]*(?:test|asked|aside)", code)  # test images are never stored
    assert set(names["y"][-20:]) == {-1}  # what is added was not stored before


@pytest.mark.parametrize(
    ("loss", "parameter", "shown"),
    [
        (losses.contrastive_loss, "margin", "*m* = {}"),
        (losses.triplet_loss, "margin", "*m* = {}"),
        (losses.supervised_contrastive_loss, "temperature", "τ = {}"),
    ],
)
def test_the_defaults_of_the_losses(loss, parameter, shown):
    name = loss.__name__.removesuffix("_loss").replace("_", " ")
    [line] = [line for line in page("cheatsheet.md").splitlines() if line.startswith(f"| {name}")]
    assert shown.format(inspect.signature(loss).parameters[parameter].default) in line
    assert ("semi-hard" in line) == (loss is losses.triplet_loss)
