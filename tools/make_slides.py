"""Make slides from the notebooks as they are stored, one deck each, to be shown without a network.

python tools/make_slides.py     the decks are then in build/slides; open index.html there

The same rules hold for every numbered notebook, and nothing is run:

* The title cell makes the title slide, and "What you will learn" the next one; what is needed and how long
  it takes go to the speaker's notes.
* Each heading "## ..." or "### ..." begins a column of slides. Long text is cut between paragraphs, items
  of lists and, within long paragraphs, sentences.
* Code with a picture becomes the picture; the last sentence of a text right before it is the caption. Code
  that prints becomes code and print; if it is long or wide, only those of its statements that print. Code
  without output is left out, unless it is short and defines a function.
* The exercises become one slide with their headings, the quiz none. <details> are dropped everywhere.
* Code that is not on a slide, and the text of the exercises, are in the speaker's notes (press S).
* A cell's metadata may say otherwise, as {"slideshow": {"slide_type": "..."}}: `skip` leaves it out, `notes`
  moves it to the speaker's notes, `slide` begins a new column, and `slide` or `subslide` show any code.
* Links to other files of the repository become plain text, pictures lie within the deck.
"""

import re
import shutil
from dataclasses import dataclass, field
from html import escape
from importlib.util import find_spec
from pathlib import Path

import nbformat
from build_site import ROOT, describe_figure, last_sentence, mathjax_file
from jinja2 import Environment, FileSystemLoader
from nbformat import NotebookNode
from slide_code import STYLE, block, outputs, printing
from slide_text import Part, inline, pack, parts, plain, render

SLIDES, LOOKS = ROOT / "build" / "slides", ROOT / "docs" / "slides"
CLOSING = {"exercise": "Exercises", "quiz": "Quiz"}  # a cell's tag, and the heading of that part
ASIDE = re.compile(r"\*\*(What you need|How long it takes)")
DEFINES = re.compile(r"^(def|class) ", flags=re.MULTILINE)
HEIGHT = 520  # pixels for code and what it prints
BESIDE = 3  # lines of print that may stand on the slide of a picture


@dataclass
class Slide:
    """A slide, `title`, `text` or `code`: its parts are HTML."""

    kind: str
    heading: str
    body: str
    notes: str = ""


@dataclass
class Deck:
    """The slides of a notebook, in columns."""

    name: str
    title: str
    columns: list[list[Slide]] = field(default_factory=list)

    @property
    def maths(self) -> bool:
        """Whether any slide needs MathJax."""
        return any('class="math' in slide.body for column in self.columns for slide in column)

    def add(self, slide: Slide, new_column: bool = False) -> None:
        """Put a slide at the end; one with a new heading opens a column."""
        if new_column or not self.columns or self.columns[-1][-1].heading != slide.heading:
            self.columns.append([])
        self.columns[-1].append(slide)

    def note(self, text: str) -> None:
        """Add to the notes of the last slide."""
        if self.columns:
            self.columns[-1][-1].notes += text


class Maker:
    """Makes the deck of one notebook, cell by cell."""

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self.deck = Deck(path.stem, path.stem)
        self.heading = ""  # the last one, as Markdown
        self.before = ""  # the last paragraph, as plain text
        self.direct = False  # whether it stands right before the cell to come
        self.exercises: list[Part] = []

    def add(self, cell: NotebookNode) -> None:
        """Make slides of a cell, by the rules at the top of this file."""
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "")
        closing = [CLOSING[tag] for tag in cell.metadata.get("tags", []) if tag in CLOSING]
        self.heading = closing[0] if closing else self.heading
        if kind == "skip":
            return
        if cell.cell_type == "markdown":
            pieces = list(parts(cell.source))
            if kind == "notes":
                self.deck.note(render(pieces, self.folder))
            else:
                self.add_text(pieces, kind == "slide")
        elif cell.cell_type == "code" and self.heading not in CLOSING.values():
            if kind == "notes":
                self.deck.note(f"<pre>{escape(cell.source)}</pre>")
            else:
                self.add_code(cell, kind)

    def add_text(self, pieces: list[Part], new_column: bool) -> None:
        """Make slides of a cell's text; a heading within it begins a new column."""
        start = 0
        for place, part in enumerate([*pieces, Part("h2", "")]):
            if part.kind[0] != "h" or (part.kind != "h2" and self.heading in CLOSING.values()):
                continue
            self._add_section(pieces[start:place], new_column)
            start, new_column = place + 1, False
            if part.text:
                self.heading, self.before = part.text.lstrip("# "), ""
            if part.kind == "h1":
                self.deck.title = plain(self.heading)

    def _add_section(self, pieces: list[Part], new_column: bool) -> None:
        if self.heading in CLOSING.values():
            self.exercises += pieces if self.heading == "Exercises" else []
            return
        shown = [part for part in pieces if not ASIDE.match(part.text)]
        for group in filter(None, pack(shown)):
            kind = "text" if self.deck.columns else "title"
            self.deck.add(Slide(kind, inline(self.heading), render(group, self.folder)), new_column)
            new_column = False
        self.deck.note(render((part for part in pieces if ASIDE.match(part.text)), self.folder))
        if pieces:
            self.before = pieces[-1].plain
            self.direct = True

    def add_code(self, cell: NotebookNode, kind: str) -> None:
        """Make slides of a cell's pictures, or of what it prints, or of its code."""
        printed, pictures = outputs(cell)
        code, result = block(cell.source, "code"), block(printed, "printed", 24.0 if pictures else 30.0)
        room, caption = HEIGHT - result.height, self._caption() if self.direct else ""
        shows = not pictures and code.fits(room) and (printed or DEFINES.search(cell.source))
        bodies = []
        if shows or kind in ("slide", "subslide"):
            bodies = [code.html + self._figures(cell, pictures) + result.html]
        elif pictures:
            bodies = [caption + self._figures(cell, pictures), result.html]
            bodies = bodies if result.lines > BESIDE else ["".join(bodies)]
        elif printed:
            lines = block(printing(cell.source), "code")
            bodies = [caption + lines.html * lines.fits(room) + result.html]
        for place, body in enumerate(bodies):
            new_column = kind == "slide" and place == 0
            self.deck.add(Slide("code", inline(self.heading), body), new_column)
        if code.html not in "".join(bodies):
            self.deck.note(f"<pre>{escape(cell.source)}</pre>")
        self.direct = False

    def _caption(self) -> str:
        last = last_sentence(self.before)
        whole = last and last.count("(") == last.count(")")
        return f'<p class="caption">{escape(last)}{"" if last.endswith("?") else "."}</p>' if whole else ""

    def _figures(self, cell: NotebookNode, pictures: list[str]) -> str:
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
        alt = escape(alt or describe_figure(plain(self.heading), self.before))
        return "".join(f'<figure><img src="{picture}" alt="{alt}"></figure>' for picture in pictures)

    def finish(self) -> Deck:
        """Add the slide of the exercises and return the deck."""
        titles = [part.text for part in self.exercises if part.kind == "h3"]
        if titles:
            body = "".join(f"<li>{inline(title)}</li>" for title in titles)
            notes = render(self.exercises, self.folder)
            self.deck.add(Slide("text", "Exercises", f"<ul>{body}</ul>", notes), new_column=True)
        return self.deck


def numbered() -> list[Path]:
    """Return the notebooks that have slides."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def read_deck(path: Path) -> Deck:
    """Return the deck of a stored notebook."""
    maker = Maker(path)
    for cell in nbformat.read(path, as_version=4).cells:
        maker.add(cell)
    return maker.finish()


def write(paths: list[Path], out: Path) -> list[Deck]:
    """Write the decks of these notebooks, their list, and all files that they need."""
    package = find_spec("sphinx_revealjs")
    if package is None or package.origin is None:
        raise SystemExit("The package sphinx-revealjs is missing: run make course.")
    reveal = Path(package.origin).parent / "_static" / "revealjs"
    static = out / "_static"
    static.mkdir(parents=True, exist_ok=True)
    names = ("LICENSE", "dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")
    for file in (*(reveal / name for name in names), LOOKS / "slides.css", ROOT / "docs/_static/favicon.svg"):
        shutil.copy2(file, static)
    (static / "code.css").write_text(STYLE.get_style_defs("pre.code"), encoding="utf-8")
    decks = [read_deck(path) for path in paths]
    mathjax = mathjax_file()
    if any(deck.maths for deck in decks):
        shutil.copy2(mathjax, static)
    pages = Environment(loader=FileSystemLoader(LOOKS), autoescape=True, trim_blocks=True)
    for deck in decks:
        text = pages.get_template("deck.html").render(deck=deck, mathjax=mathjax.name)
        (out / f"{deck.name}.html").write_text(text, encoding="utf-8")
    text = pages.get_template("index.html").render(decks=decks)
    (out / "index.html").write_text(text, encoding="utf-8")
    return decks


def main() -> None:
    """Make the slides of all numbered notebooks."""
    shutil.rmtree(SLIDES, ignore_errors=True)
    decks = write(numbered(), SLIDES)
    where = SLIDES.relative_to(ROOT)
    print(f"{len(decks)} decks are in {where}: open {where}/index.html")


if __name__ == "__main__":
    main()
