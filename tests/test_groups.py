"""What `fit` holds out together: near-duplicates and the groups of `--group-by`; card and pages say so."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from metriclearn.checks.labels import check_groups
from metriclearn.cli.main import FAILED, WRONG_USE, main


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METRICLEARN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def write_scenes(folder, n=16, frames=3, noise=4.0):
    """Write frames of n scenes; the scenes drew their classes by lot, so that nothing can be learned."""
    random = np.random.default_rng(1)
    for scene, kind in enumerate(random.permutation(["left", "right"] * (n // 2))):
        grid = random.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        still = np.asarray(Image.fromarray(grid).resize((160, 120), Image.Resampling.BICUBIC), dtype=float)
        (folder / kind / f"plant{scene % 4}").mkdir(parents=True, exist_ok=True)
        for i in range(frames):
            frame = np.roll(still, i, axis=1) + random.normal(0, noise, still.shape)
            name = f"{kind}/plant{scene % 4}/s{scene:02}_{i}.jpg"
            Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def scenes(cache, tmp_path_factory):
    """Three frames each of 16 scenes, in four plants; and a table that names the days."""
    folder = write_scenes(tmp_path_factory.mktemp("scenes") / "in")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))
    rows = [f"{name},{'' if '_2' in name else int(name[-8:-6]) // 2}" for name in names]
    (folder / "metadata.csv").write_text("\n".join(["file_name,Day", *rows]))
    return folder


def fit(folder, out, capsys, *more):
    """Return the exit code, what a person is told, and the card."""
    capsys.readouterr()
    options = ["--method", "frozen", "--device", "cpu", *more]
    code = main(["fit", str(folder), "--out", str(out), *options])
    said = capsys.readouterr()
    return code, said.out + said.err, json.loads((out / "card.json").read_text()) if code == 0 else None


def test_near_pairs_are_kept_in_one_fold_and_that_is_said(scenes, tmp_path, capsys):
    code, said, card = fit(scenes, tmp_path / "model", capsys)
    assert code == 0
    assert card["accuracy"]["low"] < 50 < card["accuracy"]["high"]
    pairs = card["groups"]["near_pairs"]
    assert main(["check", str(scenes), "--json"]) == 0
    assert pairs == len(json.loads(capsys.readouterr().out)["duplicates"]) >= 32
    for text in (
        said,
        (tmp_path / "model/README.md").read_text(),
        (tmp_path / "model/report.html").read_text(),
    ):
        assert f"{pairs} near pairs were kept in one fold" in text


@pytest.mark.parametrize(
    ("by", "groups", "alone"),
    [
        ("column:day", 8, 16),  # the third frame of each has none, but resembles the others
        (r"pattern:s(\d\d)_", 16, 0),
        ("level:2", 4, 0),
    ],
)
def test_groups_may_be_named(by, groups, alone, scenes, tmp_path, capsys):
    code, said, card = fit(scenes, tmp_path / "model", capsys, "--group-by", by)
    assert code == 0
    assert (card["groups"]["by"], card["groups"]["number"], card["groups"]["alone"]) == (by, groups, alone)
    assert card["accuracy"]["low"] < 50 < card["accuracy"]["high"]
    for text in (
        said,
        (tmp_path / "model/README.md").read_text(),
        (tmp_path / "model/report.html").read_text(),
    ):
        assert f"They are of {groups} groups, and each group was judged by the others." in text
        assert (f"Only {48 - alone} of 48 pictures are in a group by that" in text) == bool(alone)
    assert fit(scenes, tmp_path / "model", capsys, "--group-by", by)[0] == 0  # it is there already
    code, said, _ = fit(scenes, tmp_path / "model", capsys)  # not by other groups
    assert (code, "choose another MODEL" in said) == (WRONG_USE, True)


@pytest.mark.parametrize(
    ("by", "code", "words"),
    [
        ("plant", WRONG_USE, "--group-by is 'plant': write column:NAME, pattern:REGEX or level:N."),
        ("level:0", WRONG_USE, "write column:NAME, pattern:REGEX or level:N"),
        ("level:9", WRONG_USE, "finds no group for any of 48 pictures, such as left/"),
        ("pattern:(", WRONG_USE, "no regular expression"),
        ("pattern:page", WRONG_USE, "finds no group for any of 48 pictures"),
        ("pattern:jpg", WRONG_USE, "puts all 48 pictures into one group"),
        (r"pattern:\d\d_\d", WRONG_USE, "gives no two pictures one group"),
        ("column:night", WRONG_USE, "and one column night: its columns are file_name and day."),
        ("level:1", FAILED, "lie in 2 groups, but fewer than two classes in more than one"),
    ],
)
def test_groups_that_make_no_sense(by, code, words, scenes, tmp_path, capsys):
    found, said, _ = fit(scenes, tmp_path / "model", capsys, "--group-by", by)
    assert found == code
    assert words in said.splitlines()[-1]
    assert not (tmp_path / "model").exists()


def test_where_all_pictures_are_alike_there_is_still_an_answer(cache, tmp_path, capsys):
    """A camera that never moves: of each class all pictures are near-duplicates."""
    folder = write_scenes(tmp_path / "in", n=2, frames=8)
    code, said, card = fit(folder, tmp_path / "model", capsys)
    assert code == 0
    assert card["accuracy"]["percent"] == 100
    assert "near pairs were not kept in one fold" in said


def test_one_group_in_two_spellings_is_one():
    groups = ["caf\u00e9", "cafe\u0301", " caf\u00e9 ", "b", "b", "c"]
    assert check_groups(groups, 6).tolist() == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("kind", ["string", "object", "category"])
def test_missing_values_of_pandas_are_no_group(kind):
    groups = pd.Series(["a", None, "a", None], dtype=kind)
    assert check_groups(groups, 4).tolist() == [0, 1, 0, 2]
    assert check_groups(pd.Series([1, None, 1, None], dtype="Int64"), 4).tolist() == [0, 1, 0, 2]
    assert check_groups(np.array([1, np.nan, 1, np.nan]), 4).tolist() == [0, 1, 0, 2]
