"""Claims beside their controls: the tables follow from the draws, and each control is what it says."""

import re

import numpy as np
import pytest

from benchmarks import claims, common
from benchmarks.common import DRAWS, Ledger, read_results
from benchmarks.digits import POOL, TEST
from benchmarks.studies import controls, strangers
from benchmarks.tables import tables


def test_p_values_are_corrected_for_their_number():
    assert claims.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert claims.holm([0.9, 0.8]) == [1.0, 1.0]


def test_no_table_shows_an_interval_without_width():
    narrow = re.compile(r"([\d.]+) \[\1, \1\]")
    assert {name: narrow.findall(text) for name, text in tables().items() if narrow.search(text)} == {}
    assert claims.counted([0.0, 0.0, 0.0]) == "0 of 131 in each of 3 draws"
    assert claims.counted([0.0, 2.0]) == "1.0 [-11.7, 13.7]"
    assert claims.shown([50.0, 50.0]) == "50.0 in each draw"


def test_the_counts_are_of_the_images_that_judge():
    assert (TEST.labels[500:] >= 7).sum() == claims.JUDGED
    assert claims.counts()["poison, right at most"] == "0"
    assert "0 of 131 in each of 5 draws" in tables()["poison"]


@pytest.mark.parametrize("name", claims.TWELVE)
def test_what_twelve_seeds_recorded_is_quoted(name):
    assert len(claims.figures()[name]) == 12
    with pytest.raises(KeyError, match="0 notebooks"):
        claims.of_twelve_seeds("unheard, %")


def test_the_best_rival_is_the_best():
    for budget, (best, entry, gap) in claims.best_rivals().items():
        methods = read_results("label_efficiency")["methods"] | read_results("rivals")["methods"]
        ours = methods[claims.OURS][budget]
        rivals = [
            of[budget]["accuracy"]
            for name, of in methods.items()
            if len(of.get(budget, {}).get("draws", [])) >= 5 and not name.startswith("metric embedding")
        ]
        assert np.mean(entry["accuracy"]) == max(map(np.mean, rivals)), best
        assert len(gap) == len(set(ours["draws"]) & set(entry["draws"])) >= len(DRAWS)
        assert gap[0] == pytest.approx(ours["accuracy"][0] - entry["accuracy"][0])


def test_each_choice_of_labels_was_measured_in_all_draws():
    for kinds in read_results("active_learning")["estimates"].values():
        assert all(entry["draws"] == DRAWS for budgets in kinds.values() for entry in budgets.values())
    in_full = [choice for choice, budget in claims.choices() if budget == 200]
    assert tables()["bought-in-full"].count("| full |") == 1 + len(in_full)


def test_a_file_of_results_keeps_its_other_sections(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    Ledger("some", "one", False, {"protocol": "a"}).add(["x"], 0, 1.0, 0.0)
    Ledger("some", "two", False, {"protocol": "b"}).add(["y"], 0, 2.0, 0.0)
    assert read_results("some") == {
        "protocol": "b",
        "one": {"x": {"draws": [0], "accuracy": [1.0], "cpu_seconds": [0.0]}},
        "two": {"y": {"draws": [0], "accuracy": [2.0], "cpu_seconds": [0.0]}},
    }


def test_letters_are_forty_of_each_and_differ_by_font():
    sheet = strangers.letters()
    assert sheet.shape == (26 * strangers.SHAKEN, 1, 28, 28)
    of_one, of_next = sheet[: strangers.SHAKEN], sheet[strangers.SHAKEN : 2 * strangers.SHAKEN]
    assert np.abs(of_one.mean(axis=0) - of_next.mean(axis=0)).max() > 0.3
    assert not np.allclose(sheet, strangers.letters("DejaVuSerif"))
    assert {name: len(images) for name, images in strangers.worlds().items()} == {
        "letters": 1040,
        "turned digits": 1000,
        "photographs": 1000,
        "noise": 1000,
    }


def test_auroc_counts_wins_and_half_of_the_ties():
    known, strange = np.array([3.0, 2.0]), np.array([2.0, 1.0])
    assert strangers.auroc(known, strange) == pytest.approx(100 * 3.5 / 4)


def test_an_interval_over_letters_is_wider_than_over_images():
    shares = np.repeat([0.0, 100.0], 13)
    low, high = strangers.over_groups(shares)
    assert 25 < low < 35
    assert 65 < high < 75


def test_alignment_undoes_a_shift():
    images = POOL.pixels[:20]
    np.testing.assert_allclose(
        controls.aligned(images), controls.aligned(np.roll(images, 1, axis=3)), atol=1e-5
    )
    assert not np.allclose(images, np.roll(images, 1, axis=3), atol=0.5)


def test_a_group_is_found_where_there_is_one():
    random, barred = np.random.default_rng(0), np.arange(60) < 20
    vectors = random.normal(size=(60, 4)) + 20 * np.eye(3, 4)[np.arange(60) // 20]
    found = controls.found_group(vectors, barred, seed=0)
    assert found == {
        "F1, %": 100.0,
        "of the group barred, %": 100.0,
        "of the barred in the group, %": 100.0,
        "images in the group": 20.0,
    }
    assert controls.found_group(random.normal(size=(60, 4)), barred, seed=0)["F1, %"] < 70
    assert max(controls.BARRED) < (POOL.labels == 7).sum()
    assert len(set(controls.BARRED)) == len(controls.BARRED)
