"""The review page in Chromium: labels are corrected by keyboard, saved, and read back; no name runs."""

import csv
import json
from pathlib import Path

import pytest
from drawn_pictures import KINDS, draw_folder

from metriclearn.cli.main import main

HOSTILE = (
    "<img src=x onerror=window.hacked=1>.png",
    'quo"te, comma.png',
    "line\nbreak.png",
    "turned \u202egnp.png",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A classifier of drawn pictures with hostile names, three of them with a wrong label."""
    root = tmp_path_factory.mktemp("review")
    photos = draw_folder(root / "photos", n=10, free=2)
    for i, name in enumerate(HOSTILE[:3]):
        (photos / "disc" / f"{i}.{'png' if i % 2 else 'jpg'}").rename(photos / "bars" / name)
    (photos / "unlabelled" / "disc0.png").rename(photos / "unlabelled" / HOSTILE[3])
    (photos / "unlabelled" / "disc1.png").rename(photos / "=1.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METRICLEARN_CACHE", str(root / "cache"))
        patch.delenv("QDRANT_URL", raising=False)
        fit = ["fit", str(photos), "--out", str(root / "model"), "--method", "frozen", "--device", "cpu"]
        assert main(fit) == 0
        assert main(["review", str(root / "model"), str(photos), "--next", "6"]) == 0
        yield root


def test_a_label_is_corrected_by_keyboard_and_counts(project, new_visit, capsys):
    folder = project / "model" / "review"
    with (folder / "review.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    new_visit.address = folder.as_uri()
    page = new_visit.open("review.html")
    assert page.locator("#where").inner_text() == f"1 of {len(found)}; 0 changed"
    wanted = {}
    for finding in found:
        here = page.locator("#name").inner_text()
        if "bars/" in finding["file_name"] and finding["file_name"].removeprefix("bars/") in HOSTILE:
            assert "bars" in here
            page.keyboard.press(str(1 + KINDS.index("disc")))
            assert page.locator("#name").inner_text().endswith(": disc")
            wanted[finding["file_name"]] = "disc"
        elif finding["kind"] == "next":
            page.keyboard.press("Enter")
            wanted[finding["file_name"]] = finding["suggestion"]
        page.keyboard.press("ArrowRight")
    assert len(wanted) >= 6 + 2  # at least two of the three wrong labels were found
    assert any(name in HOSTILE[:3] for name in (Path(key).name for key in wanted))
    with page.expect_download() as download:
        page.keyboard.press("s")
    reviewed = project / "reviewed.csv"
    download.value.save_as(reviewed)
    with reviewed.open(newline="", encoding="utf-8") as file:
        assert {row["file_name"]: row["label"] for row in csv.DictReader(file)} == wanted
    assert "'=1.png" in wanted  # no formula for a spreadsheet, and read back below
    assert page.evaluate("window.hacked") is None
    assert new_visit.errors == []
    assert new_visit.external == []

    [moved] = [project / "photos" / name for name in wanted if name.endswith("comma.png")]
    ask = ["classify", str(project / "model"), str(moved), "--json"]
    capsys.readouterr()
    assert main(ask) == 0
    before = json.loads(capsys.readouterr().out)["answers"][0]["evidence"][0]
    assert before["label"] == "bars"  # the picture itself, which is stored under its wrong label
    assert main(["add", str(project / "model"), "--labels", str(reviewed)]) == 0
    capsys.readouterr()
    assert main(ask) == 0
    after = json.loads(capsys.readouterr().out)["answers"][0]
    assert (after["evidence"][0]["file"], after["evidence"][0]["label"]) == (before["file"], "disc")
    assert after["label"] == "disc"


def test_the_report_shows_no_error_and_asks_nobody(project, new_visit):
    new_visit.address = (project / "model").as_uri()
    page = new_visit.open("report.html")
    assert page.locator("h1").inner_text() == "3 classes from 30 labels"
    broken = page.eval_on_selector_all("img", "found => found.filter(one => !one.naturalWidth).length")
    assert broken == 0
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert new_visit.errors == []
    assert new_visit.external == []
