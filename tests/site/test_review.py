"""The review page in Chromium: labels are corrected by keyboard, saved, and read back; no name runs."""

import csv
import json
import shutil

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
    shutil.copy(photos / "triangle" / "3.png", photos / "disc" / "again.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METRICLEARN_CACHE", str(root / "cache"))
        patch.delenv("QDRANT_URL", raising=False)
        fit = ["fit", str(photos), "--out", str(root / "model"), "--method", "frozen", "--device", "cpu"]
        assert main(fit) == 0
        assert main(["review", str(root / "model"), str(photos), "--next", "6"]) == 0
        yield root


@pytest.fixture
def page(project, new_visit):
    """The page to review on, as a double-click opens it, with what is to be looked at."""
    folder = project / "model" / "review"
    new_visit.address = folder.as_uri()
    page = new_visit.open("review.html")
    with (folder / "review.csv").open(newline="", encoding="utf-8") as file:
        page.findings = list(csv.DictReader(file))
    yield page
    page.evaluate("localStorage.clear()")


def where(page):
    """Return the number of the picture that is shown, and how many labels were changed."""
    at, _, changed = page.locator("#where").inner_text().partition("; ")
    return int(at.split()[0]), int(changed.split()[0])


def shown(page):
    return page.locator("#name").inner_text()


def test_each_decision_goes_on_to_the_next_picture_and_can_be_undone(page):
    first, second = page.findings[0], page.findings[1]
    assert where(page) == (1, 0)
    other = next(kind for kind in KINDS if kind != first["label"])
    page.keyboard.press(other[0])
    assert where(page) == (2, 1)
    page.keyboard.press("-")
    assert where(page)[0] == 3
    page.keyboard.press("Backspace")
    assert where(page) == (2, 1)
    assert shown(page).endswith(f": {second['label'] or 'no label'}")
    page.get_by_role("button", name="Undo").click()
    assert where(page) == (1, 0)
    assert shown(page).endswith(f": {first['label']}")


def test_enter_after_a_click_takes_what_the_classifier_says(page):
    page.get_by_role("button", name="no label").click()
    said = page.findings[1]
    assert said["suggestion"] not in ("", said["label"])
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    assert shown(page).endswith(f": {said['suggestion']}")


def test_decisions_outlive_a_reload(page):
    page.keyboard.press("-")
    assert where(page) == (2, 1)
    page.reload()
    assert where(page) == (1, 1)
    assert shown(page).endswith(": no label")


def test_the_original_is_one_click_away(page):
    with page.context.expect_page() as opened:
        page.locator("#picture").click()
    opened.value.wait_for_load_state()
    assert opened.value.evaluate("document.images.length") == 1
    opened.value.close()


def test_of_two_files_of_one_picture_one_is_kept(page):
    number = next(i for i, found in enumerate(page.findings) if found["kind"] == "duplicate")
    for _ in range(number):
        page.keyboard.press("ArrowRight")
    found = page.findings[number]
    page.get_by_role("button", name="Keep this one").click()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#otherName").inner_text() == f"{found['other']}: no label"
    assert shown(page) == f"{found['file_name']}: {found['label']}"


def test_each_class_has_a_key_of_its_own(project, tmp_path, new_visit):
    names = ["3", "0", "9", "cat", "cow", "c", "\u00e4rger", *(f"class {n}" for n in range(40))]
    html = (project / "model" / "review" / "review.html").read_text(encoding="utf-8")
    before, _, rest = html.partition('<script type="application/json" id="data">')
    data, _, after = rest.partition("</script>")
    content = json.dumps(json.loads(data) | {"classes": names})
    script = f'<script type="application/json" id="data">{content}</script>'
    (tmp_path / "review.html").write_text(before + script + after, encoding="utf-8")
    new_visit.address = tmp_path.as_uri()
    page = new_visit.open("review.html")
    keys = page.eval_on_selector_all(
        "#classes button",
        "all => all.map((one) => [one.dataset.label, one.querySelector('kbd')?.textContent ?? ''])",
    )
    found = {name: key for name, key in keys if name}
    assert (found["3"], found["0"], found["9"]) == ("3", "0", "9")
    assert (found["c"], found["cat"], found["cow"], found["\u00e4rger"]) == ("c", "a", "o", "r")
    given = [key for key in found.values() if key]
    assert len(given) == len({*given}) == 36
    assert list(found) == names


def test_a_label_is_corrected_by_keyboard_and_counts(project, page, new_visit, capsys):
    assert where(page) == (1, 0)
    wanted = {}
    for number, finding in enumerate(page.findings, 1):
        assert where(page)[0] == number
        if finding["file_name"].removeprefix("bars/") in HOSTILE and finding["label"] == "bars":
            assert "bars" in shown(page)
            page.keyboard.press("d")
            wanted[finding["file_name"]] = "disc"
        elif finding["kind"] == "next":
            page.keyboard.press("Enter")
            wanted[finding["file_name"]] = finding["suggestion"]
        else:
            page.keyboard.press("ArrowRight")
    assert {f"bars/{name}" for name in HOSTILE[:3]} <= {*wanted}
    assert len(wanted) == 6 + 3
    with page.expect_download() as download:
        page.keyboard.press("Control+s")
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
    assert page.locator("h1").inner_text() == "3 classes from 31 labels"
    broken = page.eval_on_selector_all("img", "found => found.filter(one => !one.naturalWidth).length")
    assert broken == 0
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert new_visit.errors == []
    assert new_visit.external == []
