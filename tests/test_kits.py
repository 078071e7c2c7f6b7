"""Every figure on the pages in docs/ is one that was measured."""

import json
import re
from pathlib import Path

import pytest
from markdown_links import dead_links

from metriclearn.evaluate import mean_interval

ROOT = Path(__file__).parent.parent
INTERVAL = r"\d+\.\d \[\d+\.\d, \d+\.\d\]"
COMPANION = [
    ("label_efficiency", "methods", "metric embedding + 1-NN", "1", "accuracy"),
    ("label_efficiency", "methods", "supervised CNN", "1", "accuracy"),
    ("label_efficiency", "methods", "metric embedding + 1-NN", "10", "accuracy"),
    ("label_efficiency", "methods", "supervised CNN", "10", "accuracy"),
    ("label_efficiency", "methods", "metric embedding + 1-NN", "50", "accuracy"),
    ("label_efficiency", "methods", "supervised CNN", "50", "accuracy"),
    ("rivals", "methods", "supervised CNN + pseudo-labels (FixMatch-style)", "10", "accuracy"),
    ("ablation", "recipes", "metric loss on the labelled images", "accuracy"),
    ("ablation", "recipes", "+ augmentation", "accuracy"),
    ("ablation", "recipes", "all but reconstruction (the default)", "accuracy"),
    ("label_efficiency", "methods", "autoencoder + 1-NN", "10", "accuracy"),
    ("label_efficiency", "methods", "raw pixels, 1-NN", "10", "accuracy"),
    ("rivals", "methods", "frozen autoencoder + triplet head", "10", "accuracy"),
    ("label_errors", "methods", "neighbours in the metric embedding", "0.05", "precision"),
    ("label_errors", "methods", "cleanlab, supervised CNN", "0.05", "precision"),
    ("new_classes", "worlds", "closed pool", "class means stored", "5", "new"),
]
FAQ = [
    ("label_efficiency", "methods", "supervised CNN", "50", "accuracy"),
    ("label_efficiency", "methods", "metric embedding + 1-NN", "50", "accuracy"),
    ("rivals", "methods", "supervised CNN + pseudo-labels (FixMatch-style)", "10", "accuracy"),
    ("label_efficiency", "methods", "metric embedding + 1-NN", "10", "accuracy"),
    ("label_efficiency", "methods", "metric embedding + 1-NN", "1", "accuracy"),
    ("robustness", "pools", "unequal, 10 to 1", "accuracy"),
    ("new_classes", "worlds", "closed pool", "before", "auroc"),
    ("label_errors", "methods", "neighbours in the metric embedding", "0.05", "precision"),
]
FIGURES = {"podcast.md": COMPANION, "faq.md": FAQ}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def measured(path: tuple[str, ...]) -> str:
    value = json.loads((ROOT / "benchmarks" / "results" / f"{path[0]}.json").read_text(encoding="utf-8"))
    for key in path[1:]:
        value = value[key]
    return str(mean_interval(value))


@pytest.mark.parametrize("name", FIGURES)
def test_a_page_shows_the_measured_figures_in_their_order(name: str) -> None:
    assert re.findall(INTERVAL, page(name)) == [measured(path) for path in FIGURES[name]]


@pytest.mark.parametrize("claim", range(1, 6))
def test_each_claim_has_a_notebook_and_a_verdict(claim: int) -> None:
    section = re.search(rf"### {claim}\. (.*?)(?=\n##)", page("podcast.md"), flags=re.DOTALL)
    assert section
    assert "](../notebooks/" in section[1]
    assert re.search(r"\*\*(Holds|Does not hold)", section[1])


@pytest.mark.parametrize("name", FIGURES)
def test_its_links_resolve(name: str) -> None:
    assert dead_links(page(name), ROOT / "docs") == []
