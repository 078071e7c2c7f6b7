"""The notebooks on another set of images: nothing of mnist-5k is shown as if it were that set's own.

Two notebooks run here on a small set that is drawn below: one that trains, judges by bands and quotes the
benchmarks, and one that starts from a trained encoder.
"""

import contextlib
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

import metriclearn
from metriclearn import ImageSet
from metriclearn.course import checks, dataset
from metriclearn.course.dataset import OWN, encoder_for
from metriclearn.embedding import MetricEmbedding

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
NAME, SIDE, SIGN, CLASSES = "tiny-signs", 8, 4, 10  # small images train fast
LESSONS = ("04_pseudo_labels", "05_index_in_qdrant")


def draw_signs(n, seed):
    """Return n small images of ten signs, each somewhere in its image, and in another strength."""
    signs = np.random.default_rng(0).random((CLASSES, SIGN, SIGN)) > 0.5
    random = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    pixels = 0.2 * random.random((n, 1, SIDE, SIDE), dtype=np.float32)
    for image, label in zip(pixels[:, 0], labels, strict=True):
        top, left = random.integers(0, SIDE - SIGN + 1, size=2)
        image[top : top + SIGN, left : left + SIGN] += random.uniform(0.5, 0.8) * signs[label]
    return ImageSet(pixels, labels, tuple("ABCDEFGHIJ"))


POOL, TEST = draw_signs(600, seed=1), draw_signs(260, seed=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def another_set(monkeypatch, folder):
    def load_images(name):
        assert name == NAME
        return POOL, TEST

    monkeypatch.setenv("METRICLEARN_DATASET", NAME)
    monkeypatch.delenv("QDRANT_URL", raising=False)
    monkeypatch.chdir(NOTEBOOKS)
    monkeypatch.setattr(metriclearn, "load_images", load_images)
    monkeypatch.setattr(dataset, "load_images", load_images)
    monkeypatch.setenv("METRICLEARN_CACHE", str(folder))
    fit = MetricEmbedding.fit
    # A short training: what is looked at here is what the notebooks say, not how good it is.
    monkeypatch.setattr(MetricEmbedding, "fit", lambda self, *data: fit(self.set_params(steps=60), *data))
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def run(name):
    """Run a lesson without its exercises, and return what each cell printed on mnist-5k and here."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    names = {"__name__": "__main__"}
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and "exercise" not in cell.metadata.get("tags", []):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(cell.source, names)
            found.append((printed(cell), out.getvalue()))
    return found


def shown_as_its_own(cells):
    """Return the lines that say the same figure on both sets, in cells that do not name mnist-5k."""
    return [
        line
        for stored, here in cells
        if OWN not in here
        for line in here.splitlines()
        if line in stored.splitlines() and re.search(r"\d\.\d", line)
    ]


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")  # so few pass the gate
@pytest.mark.parametrize("name", LESSONS)
def test_a_notebook_on_another_set(name, folder):
    cells = run(name)
    text = "".join(here for _, here in cells)
    assert shown_as_its_own(cells) == []
    assert "(expected " not in text
    ranges = sum(stored.count("(expected ") for stored, _ in cells)
    assert text.count("(no range is known for this data set)") == ranges
    assert text.count("training one, which will be kept") <= 1
    kept = MetricEmbedding.load(folder / "encoders" / NAME)
    assert kept.card_["data"] == NAME
    assert kept.encoder_id_ != MetricEmbedding.load().encoder_id_


@pytest.mark.parametrize("number", ["04", "06", "07", "09"])
def test_the_headlines_say_what_was_recorded_elsewhere(number):
    """The closing table reads by line, so each figure on file, known by its interval, says so."""
    [path] = NOTEBOOKS.glob(f"{number}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    [headline] = [cell for cell in cells if "headline" in cell.metadata.get("tags", [])]
    on_file = [line for line in printed(headline).splitlines() if re.search(r"\d \[", line)]
    assert on_file
    assert [line for line in on_file if not line.startswith(f"recorded on {OWN}")] == []


def test_a_figure_shown_as_its_own_is_found():
    line = "full method: 97.0 [95.9, 98.1] %\n"
    assert shown_as_its_own([(line, line)]) == [line.strip()]
    assert shown_as_its_own([(line, f"recorded on {OWN}:\n{line}")]) == []
    assert shown_as_its_own([(line, "full method: 86.0 [85.9, 87.1] %\n")]) == []


def test_the_encoder_is_trained_once(monkeypatch):
    first = encoder_for(NAME)
    monkeypatch.setattr(dataset, "train_encoder", None)
    assert encoder_for(NAME).encoder_id_ == first.encoder_id_
    assert encoder_for(OWN).encoder_id_ == MetricEmbedding.load().encoder_id_


def test_a_check_says_what_its_figures_belong_to(capsys):
    checks.check("1.1", 90, {1: [10.0] * 5, 50: [20.0] * 5})
    assert f"those of {OWN}, and this is {NAME}" in capsys.readouterr().out
