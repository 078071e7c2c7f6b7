"""Every figure on the pages in docs/ is one that was measured."""

import inspect
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from markdown_links import dead_links

from metriclearn import losses
from metriclearn.evaluate import mean_interval

ROOT = Path(__file__).parent.parent
INTERVAL = r"\d+\.\d \[\d+\.\d, \d+\.\d\]"


def efficiency(method, budget):
    """Return where the accuracy of a method with some labels per class stands."""
    return ("label_efficiency", "methods", method, str(budget), "accuracy")


PIXELS, AUTOENCODER = efficiency("raw pixels, 1-NN", 10), efficiency("autoencoder + 1-NN", 10)
CNN, METRIC = efficiency("supervised CNN", 10), efficiency("metric embedding + 1-NN", 10)
ONE_LABEL = [efficiency("metric embedding + 1-NN", 1), efficiency("supervised CNN", 1)]
FIFTY_LABELS = [efficiency("metric embedding + 1-NN", 50), efficiency("supervised CNN", 50)]
FIXMATCH = ("rivals", "methods", "supervised CNN + pseudo-labels (FixMatch-style)", "10", "accuracy")
ABLATION = [
    ("ablation", "recipes", "metric loss on the labelled images", "accuracy"),
    ("ablation", "recipes", "+ augmentation", "accuracy"),
    METRIC,  # of ten draws, as everywhere
]
WRONG_LABELS = ("label_errors", "methods", "neighbours in the metric embedding", "0.05", "precision")
CLEANLAB = ("label_errors", "methods", "cleanlab, supervised CNN", "0.05", "precision")
NEW_DIGITS = ("new_classes", "worlds", "closed pool", "class means stored", "5", "new")
NO_GATE = ("poisoning", "ways", "no gate", "new", "accuracy")
ROLLED_BACK = ("poisoning", "ways", "rolled back, labelled anew", "new", "accuracy")
BOUGHT = [
    ("active_learning", "strategies", "diversity", "pool index", "200", "accuracy"),
    ("active_learning", "strategies", "random", "pool index", "200", "accuracy"),
]
WASTE = [
    ("photographs", "sets", "TrashNet", "logistic regression", "10", "accuracy"),
    ("photographs", "sets", "TrashNet", "head + pool", "10", "accuracy"),
]
COMPANION = [
    *(*ONE_LABEL, METRIC, CNN, *FIFTY_LABELS, FIXMATCH),
    *(
        *ABLATION,
        AUTOENCODER,
        PIXELS,
        ("rivals", "methods", "frozen autoencoder + triplet head", "10", "accuracy"),
    ),
    *(WRONG_LABELS, CLEANLAB, NEW_DIGITS, *BOUGHT, NO_GATE, ROLLED_BACK, *WASTE),
]
FAQ = [
    *(*FIFTY_LABELS[::-1], FIXMATCH, METRIC, ONE_LABEL[0]),
    ("robustness", "pools", "unequal, 10 to 1", "accuracy"),
    ("new_classes", "worlds", "closed pool", "before", "auroc"),
    *(WRONG_LABELS, *BOUGHT),
]
WORKSHOP = [
    *(PIXELS, *ABLATION, *ONE_LABEL),  # 90 minutes
    *(PIXELS, CNN, *ABLATION, *FIFTY_LABELS),  # half a day
    *(PIXELS, CNN, AUTOENCODER, *ABLATION, *ONE_LABEL, *FIFTY_LABELS),  # a full day
    *(WRONG_LABELS, NEW_DIGITS, ROLLED_BACK),
    CLEANLAB,  # notebook by notebook
    ("new_classes", "worlds", "closed pool", "spread, layer before", "5", "new"),
    *BOUGHT,
    *WASTE,
]
CHEATSHEET = [
    *(*ONE_LABEL, *FIFTY_LABELS, *ABLATION, WRONG_LABELS, CLEANLAB, NEW_DIGITS, NO_GATE, ROLLED_BACK),
]
FIGURES = {"podcast.md": COMPANION, "faq.md": FAQ, "workshop.md": WORKSHOP, "cheatsheet.md": CHEATSHEET}
# What the workshop quotes from notebooks: the words there, the notebook, and what it printed.
PRINTED = [
    ("81,000 statements", "03_positives_and_negatives", "triplets: 81000"),
    ("turns away 26 % of good digits", "06_classify", "from the 100 labelled     rejects 26.0 %"),
    (
        "90 % are right by pixels and 98 % by embedding",
        "05_index_in_qdrant",
        "90% by pixels, 98% by embedding",
    ),
    ("3,900 images without one", "04_drop_the_decoder", "100 labelled images, 3900 without a label"),
]
PLANS = {"90 minutes": 90, "Half a day": 210, "A full day": 420}
LONGEST_BLOCK = 60


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def measured(path):
    value = json.loads((ROOT / "benchmarks" / "results" / f"{path[0]}.json").read_text(encoding="utf-8"))
    for key in path[1:]:
        value = value[key]
    return str(mean_interval(value))


@pytest.mark.parametrize("name", FIGURES)
def test_a_page_shows_the_measured_figures_in_their_order(name):
    assert re.findall(INTERVAL, page(name)) == [measured(path) for path in FIGURES[name]]


def test_no_page_quotes_the_default_from_five_draws_beside_ten():
    five = measured(("ablation", "recipes", "all but reconstruction (the default)", "accuracy"))
    assert five != measured(METRIC)
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    assert [path.name for path in pages if five in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("claim", range(1, 6))
def test_each_claim_has_a_notebook_and_a_verdict(claim):
    section = re.search(rf"### {claim}\. (.*?)(?=\n##)", page("podcast.md"), flags=re.DOTALL)
    assert section
    assert "](../notebooks/" in section[1]
    assert re.search(r"\*\*(Holds|Does not hold)", section[1])


@pytest.mark.parametrize("name", FIGURES)
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


def test_the_processor_time_of_a_fit():
    results = json.loads((ROOT / "benchmarks/results/ablation.json").read_text(encoding="utf-8"))
    seconds = np.mean(results["recipes"]["all but reconstruction (the default)"]["cpu_seconds"])
    text = page("workshop.md")
    assert f"about {seconds:.0f} seconds of processor time" in text
    assert "16 cores are busy for\n  one to two minutes" in text
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
    assert len(names["classifier"].index_) == 100 + names["unknown"].sum()


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
