"""Every page of the built site, in a real browser: each guard is also shown to catch a broken page."""

import re
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT, Visit, leaves, serve

sys.path.insert(0, str(ROOT / "tools"))
import build_site
import find_browser

PAGES = [
    *(new.rpartition(".")[0] + ".html" for new in build_site.pages().values()),
    "notebooks/index.html",
    *(f"api/{name}.html" for name in build_site.modules()),
]
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
SERIOUS = {"serious", "critical"}
# Preloading would ask for style sheets again, at wrong addresses; only the findings are of interest.
AXE = {"preload": False, "resultTypes": ["violations"]}
LARGEST_SITE = 30_000_000


def complaints(visit: Visit) -> list[str]:
    """Return console errors and failed requests, and requests to other hosts."""
    return visit.errors + [f"asks another host: {url}" for url in visit.external]


def bad_pictures(visit: Visit) -> list[str]:
    """Return the pictures that do not load or have no description."""
    found = visit.page.evaluate(
        """() => Promise.all([...document.images].map(async picture => {
            await picture.decode().catch(() => null);
            return [picture.getAttribute("src").slice(0, 60), picture.naturalWidth, picture.alt.trim()];
        }))"""
    )
    return [f"{src}: width {width}, alt {alt!r}" for src, width, alt in found if not width or not alt]


def raw_maths(visit: Visit) -> list[str]:
    """Return formulas that MathJax did not turn into pictures."""
    if not visit.page.locator(".math").count():
        return []
    visit.page.wait_for_function("() => window.MathJax?.startup?.promise")
    visit.page.evaluate("() => MathJax.startup.promise")
    bare = "all => all.filter(e => !e.querySelector('mjx-container svg')).map(e => e.textContent)"
    return visit.page.locator(".math").evaluate_all(bare)


def too_wide(visit: Visit) -> list[str]:
    """Return how far the page scrolls sideways on a phone."""
    visit.page.set_viewport_size(PHONE)
    width = visit.page.evaluate("() => document.documentElement.scrollWidth")
    visit.page.set_viewport_size(DESKTOP)
    return [] if width <= PHONE["width"] else [f"{width} pixels wide on a screen of {PHONE['width']}"]


def hard_to_use(visit: Visit) -> list[str]:
    """Return axe's serious and critical findings, in light and, for what depends on colours, in dark."""
    found = []
    visit.page.add_style_tag(content="* { transition: none !important }")  # no colour on its way to another
    for look, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        visit.page.evaluate("look => { document.documentElement.dataset.theme = look }", look)
        for finding in Axe().run(visit.page, options=AXE | rules).response["violations"]:
            if finding["impact"] in SERIOUS:
                found.append(f"{look}: {finding['id']}: {finding['nodes'][0]['html'][:150]}")
    return found


GUARDS: list[Callable[[Visit], list[str]]] = [complaints, bad_pictures, raw_maths, too_wide, hard_to_use]


@pytest.mark.parametrize("path", PAGES)
def test_page(visit: Visit, path: str) -> None:
    page = visit.open(path)
    assert page.locator("h1").count() >= 1
    found = {guard.__name__: guard(visit) for guard in GUARDS}
    found["complaints"] = complaints(visit)  # also what the other guards brought about
    assert {name: what for name, what in found.items() if what} == {}


def links(text: str) -> Iterator[str]:
    """Yield where a page's links, pictures, styles and scripts point."""
    for match in re.finditer(r'<[^>]*?\s(?:href|src)="([^"]*)"', text):
        yield match[1].replace("&amp;", "&")


def dead(folder: Path, file: Path) -> list[str]:
    """Return the links of a page of the site whose file or anchor is not there."""
    found = []
    for link in links(file.read_text(encoding="utf-8")):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or link.startswith("data:"):
            continue
        there = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        there = there / "index.html" if there.is_dir() else there
        if not there.is_file():
            found.append(f"{link}: no such file")
        elif parts.fragment and there.suffix == ".html":
            anchor = re.escape(unquote(parts.fragment))
            if not re.search(rf'\bid="{anchor}"', there.read_text(encoding="utf-8")):
                found.append(f"{link}: no such anchor")
    return found


@pytest.mark.parametrize("path", PAGES)
def test_internal_links_and_anchors_resolve(site: Path, path: str) -> None:
    assert dead(site, site / path) == []


def test_search_finds_a_word(visit: Visit) -> None:
    page = visit.open("search.html?q=triplet")
    page.locator("#search-results li a").first.wait_for()
    assert "notebooks/03_positives_and_negatives" in " ".join(
        page.locator("#search-results li a").evaluate_all("all => all.map(a => a.href)")
    )
    assert complaints(visit) == []


def test_notebooks_follow_each_other_and_can_be_downloaded(visit: Visit, site: Path) -> None:
    notebooks = [path for path in PAGES if re.match(r"notebooks/\d", path)]
    for before, path in pairwise(notebooks):
        page = visit.open(path)
        assert page.locator("a.left-prev").evaluate("a => a.href").endswith(before)
        page = visit.open(before)
        assert page.locator("a.right-next").evaluate("a => a.href").endswith(path)
    for name in build_site.notebooks():
        path = site / Path(name).with_suffix(".html")
        copy = name.replace("notebooks", "download", 1)
        assert f'{copy}" download' in path.read_text(encoding="utf-8")
        assert (site / copy).read_bytes() == (ROOT / name).read_bytes()


def test_the_list_of_notebooks_is_the_map_of_the_course() -> None:
    page = build_site.notebook_list()
    for number, path in enumerate(build_site.notebooks(), start=1):
        name = path.removeprefix("notebooks/")
        assert name in page
        if name[0].isdigit():
            assert re.search(
                rf"^\| {number} \| \[.+\]\({name}\) \| .+\? \| \d+ min \|$", page, flags=re.MULTILINE
            )


def test_formulas_are_there(visit: Visit) -> None:
    page = visit.open("index.html")
    page.locator("mjx-container svg").first.wait_for(state="attached")
    assert page.locator("mjx-container svg").count() >= 5


def test_every_page_was_tested(site: Path) -> None:
    built = {
        path.relative_to(site).as_posix() for path in site.rglob("*.html") if "_static" not in path.parts
    }
    assert built - set(PAGES) == {"search.html", "genindex.html", "py-modindex.html"}


def test_the_site_is_small(site: Path) -> None:
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < LARGEST_SITE


# Each guard, on a page broken on purpose.

GOOD = '<!doctype html><html lang="en"><title>A page</title><main><h1>A page</h1>{}</main></html>'


@pytest.mark.parametrize(
    ("guard", "broken", "message"),
    [
        (complaints, "<script>console.error('oh no')</script>", "oh no"),
        (complaints, "<script>gone()</script>", "gone is not defined"),
        (complaints, '<script src="gone.js"></script>', "404"),
        (complaints, '<script src="http://other.invalid/a.js"></script>', "asks another host"),
        (bad_pictures, '<img src="gone.png" alt="a seven">', "width 0"),
        (bad_pictures, '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "alt ''"),
        (raw_maths, '<script>MathJax={startup:{promise:1}}</script><p class="math">x^2</p>', "x^2"),
        (too_wide, '<div style="width: 700px">wide</div>', "on a screen of 390"),
        (hard_to_use, '<p style="color: #ccc; background: #fff">pale</p>', "color-contrast"),
        (hard_to_use, "<button></button>", "button-name"),
    ],
)
def test_guards_catch_broken_pages(
    new_visit: Visit, tmp_path: Path, guard: Callable[[Visit], list[str]], broken: str, message: str
) -> None:
    (tmp_path / "favicon.ico").touch()
    server = serve(tmp_path)
    new_visit.address = f"http://127.0.0.1:{server.server_port}"
    head = '<meta name="viewport" content="width=device-width">'
    for name, content in (("good", "<p>Sound.</p>"), ("broken", broken)):
        (tmp_path / f"{name}.html").write_text(GOOD.format(head + content), encoding="utf-8")
    new_visit.open("good.html")
    assert guard(new_visit) == []
    new_visit.open("broken.html")
    assert message in " ".join(guard(new_visit))
    server.shutdown()


def test_dead_links_of_the_site_are_caught(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<h2 id="here">', encoding="utf-8")
    page = tmp_path / "a.html"
    page.write_text(
        '<a href="b.html#here"><a href="b.html#gone"><a href="c.html"><a href="https://example.org">',
        encoding="utf-8",
    )
    assert dead(tmp_path, page) == ["b.html#gone: no such anchor", "c.html: no such file"]


def test_links_follow_their_pages() -> None:
    moved = {"docs/a.md": "a.md", "notebooks/1.ipynb": "notebooks/1.ipynb", "README.md": "readme.md"}
    text = "[n](../notebooks/1.ipynb#x) [r](../README.md) [l](../LICENSE) [w](https://a.org) `[c](d.md)`"
    new, files = build_site.relink(text, "docs/a.md", "a.md", moved)
    assert new == "[n](notebooks/1.ipynb#x) [r](readme.md) [l](LICENSE) [w](https://a.org) `[c](d.md)`"
    assert files == {"LICENSE"}


def test_other_hosts_are_told_from_this_one() -> None:
    assert leaves("https://example.org/a.js")
    assert not leaves("http://127.0.0.1:8000/a.js")
    assert not leaves("data:image/png;base64,AA")


def test_a_missing_browser_is_not_installed_without_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_browser.shutil, "which", lambda name: None)
    assert find_browser.find_browser() is None
    assert find_browser.find_browser(install=True) is None  # there is no apt-get


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_the_cheat_sheet_prints_on_one_page(visit: Visit, paper: str) -> None:
    def sheets() -> int:
        return len(re.findall(rb"/Type\s*/Page\b", visit.page.pdf(format=paper)))

    visit.open("cheatsheet.html")
    assert sheets() == 1
    visit.page.evaluate("() => document.querySelector('.one-page').remove()")  # without its style
    assert sheets() > 1
