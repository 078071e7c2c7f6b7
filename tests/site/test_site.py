"""Every page of the built site, in a real browser, by HTTP and from the disk.

Each guard is also shown to catch a broken page.
"""

import json
import re
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import DESKTOP, ROOT, WAYS, both, leaves, serve
from playwright.sync_api import expect

sys.path.insert(0, str(ROOT / "tools"))
import build_site
import find_browser

PAGES = [
    *(new.rpartition(".")[0] + ".html" for new in build_site.pages().values()),
    "notebooks/index.html",
    *(f"api/{name}.html" for name in build_site.modules()),
]
PHONE = {"width": 390, "height": 844}
SERIOUS = {"serious", "critical"}
# Preloading would ask for style sheets again, at wrong addresses; only the findings are of interest.
AXE = {"preload": False, "resultTypes": ["violations"]}
RUN_AXE = "options => axe.run(document, options).then(result => result.violations)"
LARGEST_SITE = 30_000_000


def complaints(visit):
    """Return console errors and failed requests, and requests that leave the site."""
    return visit.errors + [f"asks another place: {url}" for url in visit.external]


def bad_pictures(visit):
    """Return the pictures that do not load or have no description."""
    found = visit.page.evaluate(
        """() => Promise.all([...document.images].map(async picture => {
            await picture.decode().catch(() => null);
            return [picture.getAttribute("src").slice(0, 60), picture.naturalWidth, picture.alt.trim()];
        }))"""
    )
    return [f"{src}: width {width}, alt {alt!r}" for src, width, alt in found if not width or not alt]


def raw_maths(visit):
    """Return formulas that MathJax did not turn into pictures."""
    if not visit.page.locator(".math").count():
        return []
    visit.page.wait_for_function("() => window.MathJax?.startup?.promise")
    visit.page.evaluate("() => MathJax.startup.promise")
    bare = "all => all.filter(e => !e.querySelector('mjx-container svg')).map(e => e.textContent)"
    return visit.page.locator(".math").evaluate_all(bare)


# On a phone: what goes over the edge, what is cut or touches its neighbour in the header, and which cells of
# tables nobody can scroll to, or would not know to scroll to.
ON_A_PHONE = """() => {
    const found = [], width = innerWidth, near = 4;
    const wide = document.documentElement.scrollWidth;
    if (wide > width) found.push(`${wide} pixels wide on a screen of ${width}`);

    const parts = [], pressable = "a, button, input, select";
    const add = (name, box, clipped) => {
        if (!box.width || !box.height) return;
        parts.push([name, box]);
        if (clipped || box.left < 0 || box.right > width) found.push(`header: ${name} is cut`);
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode, element = node.parentElement;
        if (!element.closest("header") || !element.checkVisibility({ visibilityProperty: true })) continue;
        if (node.nodeType === Node.TEXT_NODE && node.data.trim() && !element.closest("button")) {
            const range = document.createRange();
            range.selectNodeContents(node);
            const clips = getComputedStyle(element).overflowX !== "visible";
            add(`"${node.data.trim()}"`, range.getBoundingClientRect(),
                clips && element.scrollWidth > element.clientWidth);
        } else if (node.matches?.(pressable) && !node.textContent.trim() || node.matches?.("button")) {
            add(node.ariaLabel || node.outerHTML.slice(0, 40), node.getBoundingClientRect());
        }
    }
    parts.forEach(([name, one], i) => parts.slice(i + 1).forEach(([other, two]) => {
        const beside = one.left < two.right + near && two.left < one.right + near;
        if (beside && one.top < two.bottom && two.top < one.bottom)
            found.push(`header: ${name} touches ${other}`);
    }));

    for (const table of document.querySelectorAll("main table")) {
        const cells = [...table.querySelectorAll("td, th")];
        const edge = () => Math.max(...cells.map(cell => cell.getBoundingClientRect().right));
        if (!table.checkVisibility()) continue;
        const name = `table "${table.textContent.trim().slice(0, 20)}"`;
        let box = table.parentElement, end = width;
        while (box && getComputedStyle(box).overflowX === "visible") box = box.parentElement;
        if (box && box !== document.documentElement) end = Math.min(end, box.getBoundingClientRect().right);
        if (edge() <= end + 1) continue;
        const hint = box?.previousElementSibling;
        if (!hint?.matches(".scrolls-hint") || !hint.checkVisibility() || box.tabIndex < 0)
            found.push(`${name}: nothing says that it goes on`);
        if (box) box.scrollLeft = 1e6;
        if (!["auto", "scroll"].includes(box && getComputedStyle(box).overflowX) || edge() > end + 1)
            found.push(`${name}: cells are out of reach`);
        if (box) box.scrollLeft = 0;
    }
    return found;
}"""


def resize(page, size):
    """Give a page another size, and wait until it has seen it and is laid out anew."""
    page.set_viewport_size(size)
    page.wait_for_function("width => innerWidth === width", arg=size["width"])
    page.evaluate("async () => { for (const _ of [1, 2]) await new Promise(requestAnimationFrame); }")


def poor_on_a_phone(visit):
    """Return what a reader with a phone cannot see or reach."""
    resize(visit.page, PHONE)
    found = visit.page.evaluate(ON_A_PHONE)
    resize(visit.page, DESKTOP)  # what is looked at next is the page of the desktop, its hints hidden again
    return found


# Nearly all of axe's time goes into the contrast of single words of code. Of words that look the same, by
# their classes and those around them, three are enough; of single letters axe says nothing anyway. Nothing
# else is asked of the page afterwards.
THIN_OUT = """() => {
    const seen = {};
    for (const word of document.querySelectorAll(":is(pre, .sig) span:not(:has(*))")) {
        let key = word.getAttribute("style");
        for (let up = word; up; up = up.parentElement) key += "/" + up.className;
        if (word.textContent.trim().length < 2 || seen[key] >= 3) word.remove();
        else seen[key] = (seen[key] ?? 0) + 1;
    }
}"""


def hard_to_use(visit):
    """Return axe's serious and critical findings, in light and, for what depends on colours, in dark."""
    found = []
    visit.page.add_style_tag(content="* { transition: none !important }")  # no colour on its way to another
    visit.page.evaluate(THIN_OUT)
    visit.page.evaluate(Axe().axe_script)
    for look, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        visit.page.evaluate("look => { document.documentElement.dataset.theme = look }", look)
        for finding in visit.page.evaluate(RUN_AXE, AXE | rules):
            if finding["impact"] in SERIOUS:
                found.append(f"{look}: {finding['id']}: {finding['nodes'][0]['html'][:150]}")
    return found


GUARDS = [complaints, bad_pictures, raw_maths, poor_on_a_phone]
# All elements of a page, but what is said about files, and all words of its text.
SHAPE = """() => [...document.querySelectorAll("body *:not(.page-files *)")].map(e => e.tagName)
    + document.querySelector("article").innerText"""
shapes = {}  # of each page, as it is the way that is tested first


@pytest.mark.parametrize("path", PAGES)
def test_page(visit, path):
    page = visit.open(path)
    assert page.locator("h1").count() >= 1
    if path == "play.html":
        page.locator("[data-state=ready]").nth(2).wait_for()
    found = {guard.__name__: guard(visit) for guard in GUARDS}
    shape = page.evaluate(SHAPE)
    if shape != shapes.setdefault(path, shape):
        found["not the same both ways"] = [shape]
    if visit.address.startswith("http:"):  # the other way the same elements would be judged again
        found["hard_to_use"] = hard_to_use(visit)
    found["complaints"] = complaints(visit)  # also what the other guards brought about
    assert {name: what for name, what in found.items() if what} == {}


# A laptop's window: a line of code or of output that goes on beyond its box is not read.
NOTEBOOKS = [path for path in PAGES if path.startswith("notebooks/") and "index" not in path]
CUT_OFF = """() => [...document.querySelectorAll(":is(article, main) pre")]
    .filter(box => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1)
    .map(box => box.textContent.split("\\n").sort((one, other) => other.length - one.length)[0])"""


def cut_off(visit):
    """Return the longest line of each box of code or output whose text goes on beyond its right edge."""
    return visit.page.evaluate(CUT_OFF)


@pytest.mark.parametrize("visit", ["file"], indirect=True)
@pytest.mark.parametrize("path", [path for path in PAGES if not path.startswith("api/")])
def test_nothing_is_cut_off_on_a_laptop(visit, path):
    page = visit.open(path)
    page.evaluate("() => document.querySelectorAll('article details').forEach(box => { box.open = true })")
    assert cut_off(visit) == []


@pytest.mark.parametrize("visit", ["file"], indirect=True)
@pytest.mark.parametrize("path", NOTEBOOKS)
def test_cells_of_imports_are_folded(visit, path):
    """A cell of imports shows one line; its code is there when that is pressed."""
    notebook = json.loads((ROOT / path.replace(".html", ".ipynb")).read_text(encoding="utf-8"))
    folded = [c for c in notebook["cells"] if build_site.FOLDED & set(c["metadata"].get("tags", []))]
    page = visit.open(path)
    boxes = page.locator("article details.hide.above-input")
    expect(boxes).to_have_count(len(folded))
    if folded:
        expect(boxes.first.locator("pre")).to_be_hidden()
        boxes.first.locator("summary").click()
        expect(boxes.first.locator("pre")).to_be_visible()


def links(text):
    """Yield where a page's links, pictures, styles and scripts point."""
    for match in re.finditer(r'<[^>]*?\s(?:href|src)="([^"]*)"', text):
        yield match[1].replace("&amp;", "&")


@cache
def text_of(file):
    """Return the text of a page; many links lead to the same."""
    return file.read_text(encoding="utf-8")


def dead(folder, file):
    """Return the links of a page of the site whose file or anchor is not there.

    A folder is no page: only a server looks for its index.html.
    """
    found = []
    for link in links(text_of(file)):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or link.startswith("data:"):
            continue
        there = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        if not there.is_file():
            found.append(f"{link}: no such file")
        elif parts.fragment and there.suffix == ".html":
            anchor = f'id="{unquote(parts.fragment)}"'
            found += [] if anchor in text_of(there) else [f"{link}: no such anchor"]
    return found


@pytest.mark.parametrize("path", PAGES)
def test_internal_links_and_anchors_resolve(site, path):
    assert dead(site, site / path) == []


def test_search_finds_a_word_and_shows_where(visit):
    page = visit.open("search.html?q=triplets")
    expect(page.locator(".search-summary")).to_contain_text(re.compile(r"found \d+ pages"))
    pages = page.locator("#search-results li:has(a[href='notebooks/03_positives_and_negatives.html'])")
    expect(pages.locator(".context")).to_contain_text("triplet")
    unexplained = page.locator("#search-results li:not(:has(span, .context))")
    expect(unexplained).to_have_count(0)
    assert complaints(visit) == []
    pages.get_by_role("link").click()
    expect(page.locator("h1")).to_contain_text("Positives and negatives")


def test_a_section_that_is_found_is_shown_itself(visit):
    page = visit.open("search.html?q=hard+negative")
    found = page.locator("#search-results li:has(a[href='glossary.html#hard-negative'])")
    expect(found.locator(".context")).to_contain_text(re.compile(r"^Hard negative"))


def test_a_notebook_can_be_downloaded(visit):
    """From a server the browser saves the file; from the disk it shows it, and the page says what to do."""
    page = visit.open("notebooks/01_scarce_labels.html")
    link, how = (
        page.get_by_role("link", name="Download this notebook"),
        page.get_by_text("save it with Ctrl+S"),
    )
    wanted = (ROOT / "notebooks/01_scarce_labels.ipynb").read_text(encoding="utf-8")
    if visit.address.startswith("http:"):
        with page.expect_download() as started:
            link.click()
        assert started.value.path().read_text(encoding="utf-8") == wanted
        expect(how).to_have_count(0)
    else:
        expect(how).to_be_visible()
        link.click()
        page.wait_for_url("**/*.ipynb")
        assert page.locator("body").inner_text() == wanted


@pytest.mark.parametrize("visit", ["file"], indirect=True)
def test_the_theme_is_kept_from_page_to_page(visit):
    theme = "() => document.documentElement.dataset.theme"
    page = visit.open("index.html")
    assert page.evaluate(theme) == "light"
    page.get_by_role("button", name="Color mode").click()
    page.get_by_role("button", name="Dark").click()
    visit.open("play.html")
    assert page.evaluate(theme) == "dark"
    page.evaluate("() => localStorage.clear()")


def test_notebooks_follow_each_other_and_can_be_downloaded(site):
    notebooks = [path for path in PAGES if re.match(r"notebooks/\d", path)]
    for before, path in pairwise(notebooks):
        for here, way, there in ((path, "left-prev", before), (before, "right-next", path)):
            [link] = re.findall(rf'<a class="{way}"\s+href="([^"]+)"', text_of(site / here))
            assert (site / here).parent / link == site / there
    for name in build_site.notebooks():
        path = site / Path(name).with_suffix(".html")
        copy = name.replace("notebooks", "download", 1)
        assert f'{copy}" download' in text_of(path)
        assert (site / copy).read_bytes() == (ROOT / name).read_bytes()


def test_the_list_of_notebooks_is_the_map_of_the_course():
    page = build_site.notebook_list()
    for path in build_site.notebooks():
        name = path.removeprefix("notebooks/")
        assert name in page
        if name[0].isdigit():
            assert re.search(
                rf"^\| {int(name[:2])} \| \[.+\]\({name}\) \| .+\? \| \d+ min \| \d+ min \|$",
                page,
                flags=re.MULTILINE,
            )


def test_formulas_are_there(visit):
    page = visit.open("index.html")
    page.locator("mjx-container svg").first.wait_for(state="attached")
    assert page.locator("mjx-container svg").count() >= 5


def test_every_page_was_tested(site):
    built = {
        path.relative_to(site).as_posix() for path in site.rglob("*.html") if "_static" not in path.parts
    }
    assert built - set(PAGES) == {"search.html", "genindex.html", "py-modindex.html"}


def test_the_site_is_small(site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < LARGEST_SITE


# Each guard, on a page broken on purpose.

GOOD = '<!doctype html><html lang="en"><title>A page</title><main><h1>A page</h1>{}</main></html>'
HEADER = '<header style="display: flex; font: 1rem monospace; white-space: nowrap">{}</header>'
WIDE = '<table style="width: 600px"><tr><td>one<td>two</table>'
HINT = '<p class="scrolls-hint">Scroll.</p>'


@pytest.mark.parametrize(
    ("guard", "sound", "broken", "message"),
    [
        (
            cut_off,
            "<pre>short</pre>",
            "<pre style='width: 80px; overflow: auto'>a line of text</pre>",
            "of text",
        ),
        (complaints, "", "<script>console.error('oh no')</script>", "oh no"),
        (complaints, "", "<script>gone()</script>", "gone is not defined"),
        (complaints, "", '<script src="gone.js"></script>', "Failed to load resource"),
        (complaints, "", '<script src="http://other.invalid/a.js"></script>', "asks another place"),
        (complaints, "", '<img src="file:///usr/a.png">', "asks another place"),
        (bad_pictures, "", '<img src="gone.png" alt="a seven">', "width 0"),
        (bad_pictures, "", '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "alt ''"),
        (raw_maths, "", '<script>MathJax={startup:{promise:1}}</script><p class="math">x^2</p>', "x^2"),
        (poor_on_a_phone, "", '<div style="width: 700px">wide</div>', "on a screen of 390"),
        (
            poor_on_a_phone,
            HEADER.format("<b>A title</b><button style='margin-left: 9px'>Search</button>"),
            HEADER.format("<b>A title</b><button>Search</button>"),
            '"A title" touches',
        ),
        (
            poor_on_a_phone,
            HEADER.format("<button style='margin: 0 9px'>A</button><button>B</button>"),
            HEADER.format("<button style='margin: -9px'>A</button><button>B</button>"),
            "is cut header: <button",
        ),
        (
            poor_on_a_phone,
            HEADER.format("<b>A title</b>"),
            HEADER.format("<b style='width: 60px; overflow: hidden'>A title</b>"),
            '"A title" is cut',
        ),
        (
            poor_on_a_phone,
            f'{HINT}<div style="overflow: auto" tabindex="0">{WIDE}</div>',
            f'<div style="overflow: auto" tabindex="0">{WIDE}</div>',
            "nothing says that it goes on",
        ),
        (
            poor_on_a_phone,
            f'{HINT}<div style="overflow: auto" tabindex="0">{WIDE}</div>',
            f'{HINT}<div style="overflow: clip" tabindex="0">{WIDE}</div>',
            "cells are out of reach",
        ),
        (hard_to_use, "", '<p style="color: #ccc; background: #fff">pale</p>', "color-contrast"),
        (
            hard_to_use,
            "<pre><span class=a>word</span></pre>" * 5,
            "<style>.b .a { color: #ccc }</style>"
            + "<pre><span class=a>word</span></pre>" * 5
            + "<pre class=b><span class=a>word</span></pre>",
            "color-contrast",
        ),
        (hard_to_use, "", "<button></button>", "button-name"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_guards_catch_broken_pages(
    new_visit,
    tmp_path,
    way,
    guard,
    sound,
    broken,
    message,
):
    (tmp_path / "favicon.ico").touch()
    server = serve(tmp_path)
    new_visit.address = both(server, tmp_path)[way]
    head = '<meta name="viewport" content="width=device-width">'
    for name, content in (("good", f"<p>Sound.</p>{sound}"), ("broken", broken)):
        (tmp_path / f"{name}.html").write_text(GOOD.format(head + content), encoding="utf-8")
    new_visit.open("good.html")
    assert guard(new_visit) == []
    new_visit.open("broken.html")
    assert message in " ".join(guard(new_visit))
    server.shutdown()


@pytest.mark.parametrize(
    "modern",
    ['<script type="module" src="a.js"></script>', '<script>fetch("a.js").then(() => 0)</script>'],
)
def test_what_works_only_on_a_server_is_caught(new_visit, tmp_path, modern):
    (tmp_path / "a.js").write_text("export default 1;", encoding="utf-8")
    (tmp_path / "favicon.ico").touch()
    (tmp_path / "page.html").write_text(GOOD.format(modern), encoding="utf-8")
    server = serve(tmp_path)
    for way, address in both(server, tmp_path).items():
        new_visit.address = address
        new_visit.open("page.html").wait_for_load_state("networkidle")
        assert bool(complaints(new_visit)) == (way == "file")
    server.shutdown()


def test_dead_links_of_the_site_are_caught(tmp_path):
    (tmp_path / "b.html").write_text('<h2 id="here">', encoding="utf-8")
    page = tmp_path / "a.html"
    page.write_text(
        '<a href="b.html#here"><a href="b.html#gone"><a href="c.html"><a href="https://a.org"><a href="./">',
        encoding="utf-8",
    )
    assert dead(tmp_path, page) == ["b.html#gone: no such anchor", "c.html: no such file", "./: no such file"]


def test_links_follow_their_pages():
    moved = {"docs/a.md": "a.md", "notebooks/1.ipynb": "notebooks/1.ipynb", "README.md": "readme.md"}
    text = "[n](../notebooks/1.ipynb#x) [r](../README.md) [l](../LICENSE) [w](https://a.org) `[c](d.md)`"
    new, files = build_site.relink(text, "docs/a.md", "a.md", moved)
    assert new == "[n](notebooks/1.ipynb#x) [r](readme.md) [l](LICENSE) [w](https://a.org) `[c](d.md)`"
    assert files == {"LICENSE"}


def test_what_leaves_the_site_is_told_from_what_does_not():
    here, disk = "http://127.0.0.1:8000", "file:///course/site"
    assert leaves("https://example.org/a.js", here)
    assert leaves(f"{disk}/a.js", here)
    assert leaves(f"{here}/a.js", disk)
    assert leaves("file:///course/site-source/a.js", disk)
    assert not leaves(f"{here}/a.js", here)
    assert not leaves(f"{disk}/a.js", disk)
    assert not leaves("data:image/png;base64,AA", here)


def test_a_missing_browser_is_not_installed_without_leave(monkeypatch):
    monkeypatch.setattr(find_browser.shutil, "which", lambda name: None)
    assert find_browser.find_browser() is None
    assert find_browser.find_browser(install=True) is None  # there is no apt-get


@pytest.mark.parametrize("visit", ["file"], indirect=True)
@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_the_cheat_sheet_prints_on_one_page(visit, paper):
    def sheets():
        return len(re.findall(rb"/Type\s*/Page\b", visit.page.pdf(format=paper)))

    visit.open("cheatsheet.html")
    assert sheets() == 1
    visit.page.evaluate("() => document.querySelector('.one-page').remove()")  # without its style
    assert sheets() > 1
