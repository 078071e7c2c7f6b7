"""The folder of notebook 11: what is planted in it is there; and the notebook runs on any other folder."""

import contextlib
import io
import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from drawn_pictures import draw_folder
from PIL import Image

from metriclearn import finetune
from metriclearn.cli.main import main
from metriclearn.course import own_folder
from metriclearn.course.own_folder import CLASSES, FREE, LABELLED, SUFFIXES, write_folder
from metriclearn.curation import duplicates
from metriclearn.photos import read_photographs

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "11_your_own_data.ipynb"
KINDS = {"JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF"}


@pytest.fixture(scope="module", autouse=True)
def cells_are_read_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_folder, "solar_cells", cache(own_folder.solar_cells))
        yield


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    home = tmp_path_factory.mktemp("own")
    planted = write_folder(home / "photos")
    return home / "photos", planted, read_photographs(home / "photos", cache=home / "cache")


def test_every_picture_but_the_broken_one_is_read(written):
    _, planted, photographs = written
    assert set(photographs.files) == set(planted.truth)
    assert photographs.skipped == {planted.broken: "is damaged or cut off"}
    assert photographs.class_names == tuple(sorted(CLASSES))
    found = Counter(photographs.labels.tolist())
    assert found.pop(-1) == FREE * len(CLASSES) + len(planted.duplicates)
    assert sum(found.values()) == LABELLED * len(CLASSES)
    assert photographs.grey.sum() > 100


def test_kinds_and_sizes_are_mixed(written):
    folder, planted, photographs = written
    counts = Counter(Path(file).suffix for file in photographs.files)
    assert set(counts) == set(SUFFIXES)
    assert min(counts.values()) >= 25
    assert len(set(photographs.widths.tolist())) > 50
    # Squares: what is made of the edges of a picture plays no part here.
    np.testing.assert_array_equal(photographs.widths, photographs.heights)
    kinds = set()
    for file in planted.truth:
        with Image.open(folder / file) as picture:
            kinds.add(picture.format)
    assert kinds == KINDS  # by their contents, not only by their names


def test_exactly_the_wrong_labels_are_wrong(written):
    _, planted, photographs = written
    differ = {
        file
        for file, label in zip(photographs.files, photographs.labels, strict=True)
        if label >= 0 and photographs.class_names[label] != planted.truth[file]
    }
    assert differ == set(planted.wrong)
    assert len(differ) == 3


def test_the_duplicates_are_found_first(written):
    _, planted, photographs = written
    found = duplicates(photographs)
    files = [{photographs.files[pair.first], photographs.files[pair.second]} for pair in found]
    # And two cells that look nearly the same: exercise 11.2 asks about them.
    assert sorted(map(sorted, files[:2])) == sorted(map(sorted, planted.duplicates))
    assert len(files) == 3
    assert found[2].cosine < found[1].cosine - 0.001
    assert not any(pair.same_file for pair in found)
    width = dict(zip(photographs.files, photographs.widths.tolist(), strict=True))
    (original, again), (larger, smaller) = planted.duplicates
    assert width[original] == width[again]
    assert width[smaller] < width[larger]


def test_names_tell_nothing_and_a_seed_gives_the_same_folder(written, tmp_path):
    folder, planted, _ = written
    assert not any(name in Path(file).name for file in planted.truth for name in CLASSES)
    assert write_folder(tmp_path / "again") == planted
    for file in [*planted.wrong, planted.broken, planted.duplicates[1][1]]:
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()
    assert write_folder(tmp_path / "other", seed=1).truth.keys() != planted.truth.keys()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(ValueError, match="holds something already: name a new folder"):
        write_folder(tmp_path)
    assert [*tmp_path.iterdir()] == [tmp_path / "mine.jpg"]


def here(command, cwd, **_):
    """Run the command line without a process of its own, which would take seconds to begin."""
    with contextlib.chdir(cwd), contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(command[3:])
    return subprocess.CompletedProcess(command, code, out.getvalue(), "")


@pytest.fixture
def lesson(monkeypatch, tmp_path):
    """Return a function that runs the notebook on a folder, with short trainings, and returns its print."""

    def run(folder):
        monkeypatch.setenv("METRICLEARN_FOLDER", str(folder))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        names = {"__name__": "__main__"}
        with contextlib.redirect_stdout(io.StringIO()) as out:
            for cell in notebook.cells:
                if cell.cell_type == "code" and "exercise" not in cell.metadata.get("tags", []):
                    exec(cell.source, names)
        return out.getvalue()

    monkeypatch.setattr(finetune, "HEAD_STEPS", 2)
    monkeypatch.setattr(subprocess, "run", here)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(NOTEBOOK.parent)
    return run


def test_the_notebook_runs_on_a_folder_of_other_classes(lesson, tmp_path):
    printed = lesson(draw_folder(tmp_path / "my photos"))
    assert "33 pictures, 24 labels, 0 skipped" in printed
    compared = re.findall(r"^.+: [\d.]+(?: %| points)?  \(.+$", printed, flags=re.MULTILINE)
    assert len(compared) > 8
    assert all(line.endswith("(no range is known for this data set)") for line in compared)
    assert not any(name in printed for name in CLASSES)
    assert "planted" not in printed
    assert "Intended use: " in printed
    assert "of a class left out, called unknown" in printed


def test_the_notebook_says_what_a_small_folder_cannot_tell(lesson, tmp_path):
    printed = lesson(draw_folder(tmp_path / "few", n=4, free=0, kinds=("disc", "bars")))
    assert "8 pictures, 8 labels, 0 skipped" in printed
    assert "fewer than 19 labelled pictures: no threshold" in printed
    assert "called unknown: " in printed
    assert "of a class left out" not in printed
