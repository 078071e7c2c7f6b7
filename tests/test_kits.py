"""Every figure in the companion to the episode is one that was measured."""

import json
import re
from pathlib import Path

import pytest
from markdown_links import dead_links

from metriclearn.evaluate import mean_interval

ROOT = Path(__file__).parent.parent
INTERVAL = r"\d+\.\d \[\d+\.\d, \d+\.\d\]"
FIGURES = [
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


def companion() -> str:
    return (ROOT / "docs" / "podcast.md").read_text(encoding="utf-8")


def measured(path: tuple[str, ...]) -> str:
    value = json.loads((ROOT / "benchmarks" / "results" / f"{path[0]}.json").read_text(encoding="utf-8"))
    for key in path[1:]:
        value = value[key]
    return str(mean_interval(value))


def test_the_companion_shows_the_measured_figures_in_their_order() -> None:
    assert re.findall(INTERVAL, companion()) == [measured(path) for path in FIGURES]


@pytest.mark.parametrize("claim", range(1, 6))
def test_each_claim_has_a_notebook_and_a_verdict(claim: int) -> None:
    section = re.search(rf"### {claim}\. (.*?)(?=\n##)", companion(), flags=re.DOTALL)
    assert section
    assert "](../notebooks/" in section[1]
    assert re.search(r"\*\*(Holds|Does not hold)", section[1])


def test_its_links_resolve() -> None:
    assert dead_links(companion(), ROOT / "docs") == []
