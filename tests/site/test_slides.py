"""The slides: the rules that make them, and every deck in a real browser, where no slide may overflow."""

import sys

import nbformat
import pytest
from conftest import ROOT, WAYS, both, serve
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_site import bad_pictures, complaints, dead, raw_maths

sys.path.insert(0, str(ROOT / "tools"))
import make_slides

SCREEN = {"width": 1280, "height": 720}
FEWEST = 25  # slides in a deck
# Walk through all slides; for each, name what leaves the deck or runs into the line of the slide number.
OVERFLOW = """() => {
    const deck = document.querySelector(".slides").getBoundingClientRect(), found = [];
    const scale = deck.width / 1280, bottom = deck.bottom - 40 * scale;
    Reveal.slide(0, 0);
    for (let place = 1; ; place++) {
        for (const part of Reveal.getCurrentSlide().querySelectorAll(".frame :not(mjx-container *)")) {
            const box = part.getBoundingClientRect();
            if (!box.width || !box.height)
                found.push(`slide ${place}: ${part.tagName} is empty`);
            if (box.left < deck.left || box.right > deck.right || box.top < deck.top || box.bottom > bottom)
                found.push(`slide ${place}: ${part.tagName} overflows: ${part.textContent.slice(0, 40)}`);
        }
        if (Reveal.isLastSlide()) return found;
        Reveal.next();
    }
}"""


@pytest.fixture(scope="session")
def slides(tmp_path_factory):
    """Make all decks anew, which takes two seconds."""
    folder = tmp_path_factory.mktemp("slides")
    make_slides.write(make_slides.numbered(), folder)
    return folder


@pytest.fixture(scope="session")
def slides_addresses(slides):
    """Serve the decks and return where they are, each way."""
    server = serve(slides)
    yield both(server, slides)
    server.shutdown()


@pytest.fixture(params=WAYS)
def show(request, new_visit, slides_addresses):
    """Return a visit whose `open` goes to the decks, on a projector's screen, each way."""
    new_visit.address = slides_addresses[request.param]
    new_visit.page.set_viewport_size(SCREEN)
    return new_visit


def overflows(visit):
    """Return what does not fit its slide."""
    visit.page.wait_for_function("() => window.Reveal?.isReady()")
    return visit.page.evaluate(OVERFLOW)


@pytest.mark.parametrize("path", make_slides.numbered(), ids=lambda path: path.stem)
def test_deck(show, slides, path):
    page = show.open(f"{path.stem}.html")
    assert overflows(show) == []
    assert bad_pictures(show) == []
    assert raw_maths(show) == []
    assert complaints(show) == []
    assert dead(slides, slides / f"{path.stem}.html") == []
    title = nbformat.read(path, as_version=4).cells[0].source.partition("\n")[0].removeprefix("# ")
    assert page.title() == page.locator("h1").inner_text() == title
    assert page.evaluate("Reveal.getTotalSlides()") == page.locator(".frame").count() >= FEWEST
    assert page.locator("html").get_attribute("lang") == "en"


def test_arrow_keys_visit_every_slide(show):
    page = show.open("01_scarce_labels.html")
    page.wait_for_function("() => window.Reveal?.isReady()")
    count = page.evaluate("Reveal.getTotalSlides()")
    for place in range(1, count + 1):
        assert page.locator(".slide-number").inner_text().split() == [str(place), "/", str(count)]
        page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.isLastSlide()")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".slide-number-a").inner_text() == str(count - 1)


def test_a_deck_opens_from_the_list(show):
    page = show.open("index.html")
    page.get_by_role("link", name="1. Scarce labels").click()
    page.wait_for_function("() => window.Reveal?.isReady()")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.getSlidePastCount()") == 1
    assert complaints(show) == []


def test_speakers_window_has_the_notes(show):
    page = show.open("01_scarce_labels.html")
    page.wait_for_function("() => window.Reveal?.isReady()")
    while not page.evaluate("Reveal.getSlideNotes()"):
        page.keyboard.press("ArrowRight")
    with page.expect_popup(timeout=60_000) as opened:  # a second window takes its time on a busy machine
        page.keyboard.press("s")
    notes = opened.value.locator(".speaker-controls-notes")
    notes.get_by_text("from metriclearn import").first.wait_for()
    opened.value.close()  # the next deck would take this window for its own
    assert complaints(show) == []


def test_the_list_has_all_decks(show, slides):
    page = show.open("index.html")
    names = page.locator("li a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert names == [f"{path.stem}.html" for path in make_slides.numbered()]
    assert dead(slides, slides / "index.html") == []
    assert complaints(show) == []


# Small notebooks made here: maths, and each guard on a broken deck.


def save(folder, *cells, name="small"):
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Small"), *cells]), path)
    return path


def printed(code, text, **metadata):
    return new_code_cell(code, outputs=[new_output("stream", name="stdout", text=text)], metadata=metadata)


PIXEL = "R0lGODlhAQABAAAAACw="


def drawn(code, **metadata):
    return new_code_cell(code, outputs=[new_output("display_data", {"image/png": PIXEL})], metadata=metadata)


@pytest.fixture
def open_small(new_visit, tmp_path):
    (tmp_path / "out").mkdir()
    server = serve(tmp_path / "out")
    new_visit.address = f"http://127.0.0.1:{server.server_port}"
    new_visit.page.set_viewport_size(SCREEN)
    yield new_visit
    server.shutdown()


@pytest.mark.parametrize(
    ("cell", "tag"),
    [
        (new_markdown_cell("This sentence cannot be cut, " + "and goes on " * 60), "P"),
        (new_markdown_cell("| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 20), "TABLE"),
        (new_markdown_cell("An `" + "unbreakable" * 20 + "`."), "CODE"),
        (printed("run()", "line\n" * 40), "PRE"),
    ],
)
def test_overflow_is_caught(open_small, tmp_path, cell, tag):
    good, broken = [new_markdown_cell("A short text.")], [new_markdown_cell("A short text."), cell]
    paths = [save(tmp_path, *good, name="good"), save(tmp_path, *broken, name="broken")]
    make_slides.write(paths, tmp_path / "out")
    open_small.open("good.html")
    assert overflows(open_small) == []
    open_small.open("broken.html")
    assert any(line.startswith(f"slide 2: {tag} overflows") for line in overflows(open_small))


def test_maths_is_set_without_a_network(open_small, tmp_path):
    out = tmp_path / "out"
    make_slides.write([save(tmp_path, new_markdown_cell("It costs 5 dollars."))], out)
    assert not (out / "_static" / make_slides.mathjax_file().name).exists()
    make_slides.write([save(tmp_path, new_markdown_cell("Mind $x^2$ and\n\n$$\\sum_i x_i$$"))], out)
    page = open_small.open("small.html")
    assert page.locator(".math").count() == 2
    assert raw_maths(open_small) == overflows(open_small) == complaints(open_small) == []


# The rules.


def deck(folder, *cells):
    return make_slides.read_deck(save(folder, *cells))


def bodies(made):
    return [[slide.body for slide in column] for column in made.columns]


def last(made):
    return made.columns[-1][-1]


def test_title_cell(tmp_path):
    text = "# 1. A *title*\n\nWhat it is about.\n\n**What you will learn**\n* this;\n* that.\n\n"
    text += "**What you need:** a pen."
    path = save(tmp_path)
    nbformat.write(new_notebook(cells=[new_markdown_cell(text)]), path)
    made = make_slides.read_deck(path)
    assert made.title == "1. A title"
    [[title, learn]] = made.columns
    assert (title.kind, title.heading) == ("title", "1. A <em>title</em>")
    assert title.body.strip() == "<p>What it is about.</p>"
    assert learn.body.count("<li>") == 2
    assert "a pen" not in title.body + learn.body
    assert "a pen" in learn.notes


def test_headings_begin_columns_and_long_text_is_cut(tmp_path):
    sentence = "This is a sentence of fifty characters, or so, no more. "
    text = new_markdown_cell(
        f"Before.\n\n## First\n\n{sentence * 12}\n\n## Second\n\nAfter that:\n\n* one\n* two"
    )
    made = deck(tmp_path, text)
    assert [column[0].heading for column in made.columns] == ["Small", "First", "Second"]
    assert len(made.columns[1]) == 2
    assert "".join(slide.body for slide in made.columns[1]).count("fifty") == 12
    assert [len(column) for column in made.columns] == [1, 2, 1]


def test_bold_text_code_and_links_are_not_torn(tmp_path):
    long = "words and more words " * 12
    for torn in (f"**{long}. Bold** end", f"`{long}. Code` end", f"[{long}. Link](https://a.org) end"):
        made = deck(tmp_path, new_markdown_cell(torn))
        assert sum(slide.body.count("<p>") for slide in made.columns[0]) == 1


def test_pictures_have_a_caption_and_a_description(tmp_path):
    text = new_markdown_cell("## Look\n\nFirst. Is it *here*?")
    made = deck(tmp_path, text, drawn("draw(1)"), drawn("draw(2)", mystnb={"image": {"alt": 'A "pixel".'}}))
    _, one, two = made.columns[0]
    assert '<p class="caption">Is it here?</p>' in one.body
    assert 'alt="Figure in “Look”: Is it here?."' in one.body
    assert "caption" not in two.body  # a picture came in between
    assert 'alt="A &quot;pixel&quot;."' in two.body
    assert one.notes == "<pre>draw(1)</pre>"


def test_code_is_shown_if_it_is_short(tmp_path):
    long = "\n".join(f"x = {i}" for i in range(20))
    made = deck(
        tmp_path, new_markdown_cell("Text."), printed("print(1)", "1\n"), printed(f"{long}\nprint(2)", "2")
    )
    [_, short, cut] = made.columns[0]
    assert 'class="code"' in short.body
    assert not short.notes
    assert "x = 1" not in cut.body.replace("</span>", "").replace('<span class="n">', "")
    assert cut.body.count("<pre") == 2
    assert "x = 1" in cut.notes


def test_code_without_output_is_left_to_the_notes(tmp_path):
    made = deck(
        tmp_path,
        new_markdown_cell("Text."),
        new_code_cell("import this"),
        new_code_cell("def f():\n    return 1"),
    )
    assert len(made.columns[0]) == 2
    assert made.columns[0][0].notes == "<pre>import this</pre>"
    assert "return" in last(made).body


def test_a_print_is_not_shown_beside_what_a_loop_printed(tmp_path):
    long = "for i in range(2):\n    print(i)\n" + "x = 1\n" * 20 + "print(2)"
    assert last(deck(tmp_path, new_markdown_cell("Text."), printed(long, "0\n1\n2"))).body.count("<pre") == 1


def test_jupyters_own_commands_are_no_hindrance(tmp_path):
    long = "%time x = 1\n" * 20
    assert last(deck(tmp_path, new_markdown_cell("Text."), printed(long, "1"))).body.count("<pre") == 1


def test_exercises_are_one_slide(tmp_path):
    tag = {"tags": ["exercise"]}
    hidden = "<details><summary>Hint</summary>\n\nsecret\n\n</details>"
    made = deck(
        tmp_path,
        new_markdown_cell(f"Text.\n\n{hidden}"),
        new_markdown_cell("## Exercises\n\nTry.", metadata=tag),
        new_markdown_cell(f"### 1.1 Do it (easy, 5 minutes)\n\nHow.\n\n{hidden}", metadata=tag),
        new_code_cell("answer = ...", metadata=tag),
        printed("print(3)", "3", tags=["exercise"]),
        new_markdown_cell("## Quiz\n\n1. Who?", metadata={"tags": ["quiz"]}),
    )
    assert [len(column) for column in made.columns] == [1, 1]
    assert last(made).body == "<ul><li>1.1 Do it (easy, 5 minutes)</li></ul>"
    assert "How." in last(made).notes
    everything = "".join(slide.body + slide.notes for column in made.columns for slide in column)
    assert "secret" not in everything
    assert "Who?" not in everything


def test_a_cell_may_overrule(tmp_path):
    def kind(name):
        return {"slideshow": {"slide_type": name}}

    made = deck(
        tmp_path,
        new_markdown_cell("Text."),
        new_markdown_cell("Unseen.", metadata=kind("skip")),
        printed("print(1)", "1", **kind("skip")),
        new_markdown_cell("Whispered.", metadata=kind("notes")),
        new_markdown_cell("New.", metadata=kind("slide")),
        new_code_cell("import this", metadata=kind("subslide")),
    )
    assert [len(column) for column in made.columns] == [1, 2]
    assert made.columns[0][0].notes.strip() == "<p>Whispered.</p>"
    assert "this" in last(made).body
    assert "Unseen" not in str(bodies(made))


def test_links_to_files_become_text_and_pictures_lie_within(tmp_path):
    (tmp_path / "dot.svg").write_text("<svg/>", encoding="utf-8")
    text = new_markdown_cell("[file](x.py) [anchor](#a) [web](https://a.org)\n\n![A dot](dot.svg)")
    [[shown, picture]] = bodies(deck(tmp_path, text))
    assert shown.startswith('<p>file anchor <a href="https://a.org">web</a></p>')
    assert '<img src="data:image/svg+xml;base64,PHN2Zy8+" alt="A dot" />' in picture
    for address in ("gone.png", "https://a.org/a.png"):
        with pytest.raises(SystemExit, match=r"\.png is no picture that a slide can show"):
            deck(tmp_path, new_markdown_cell(f"![A dot]({address})"))
