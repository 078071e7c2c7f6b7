"""Cut the Markdown of a notebook into pieces, share them out to slides, and turn them into HTML."""

import base64
import html
import re
from collections.abc import Iterable, Iterator
from math import ceil
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

PICTURES = {"image/png": ".png", "image/jpeg": ".jpeg", "image/svg+xml": ".svg"}
DETAILS = re.compile(r"<details.*?(?:</details>|\Z)", flags=re.DOTALL)
SENTENCES = re.compile(r"(?<=[.?!]) +(?=[A-Z“\"*`])")
MARK = re.compile(r"^(?:[*+-]|\d+\.) +")
# What a slide holds: lines, characters in a line; and the characters of one thought.
LINES, CHARACTERS, THOUGHT = 9.5, 60, 230


def _maths(text: str, how: dict[str, bool]) -> str:
    return html.escape(f"\\[{text}\\]" if how["display_mode"] else f"\\({text}\\)")


MARKDOWN = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=_maths)


class Part(NamedTuple):
    """A piece of Markdown that stays whole: `h1` to `h6`, `paragraph`, `item` of a list, or `other`."""

    kind: str
    text: str

    @property
    def plain(self) -> str:
        """Its text without marks."""
        return plain(MARK.sub("", self.text) if self.kind == "item" else self.text)

    @property
    def lines(self) -> float:
        """How many lines of a slide it takes, roughly, with the gap below."""
        rows = self.text.splitlines()
        if self.text.startswith("!["):
            return LINES  # a picture stands alone
        if self.text.startswith("|"):
            width = 1.4 * CHARACTERS / rows[0].count("|")
            return sum(0.3 + 0.7 * max(ceil(len(cell) / width) for cell in row.split("|")) for row in rows)
        if self.kind == "other":
            return len(rows)
        return ceil(len(self.plain) / CHARACTERS) + (0.2 if self.kind == "item" else 0.5)

    @property
    def leads(self) -> bool:
        """Whether it makes no sense without what follows."""
        return self.text.endswith(":")


def parts(source: str) -> Iterator[Part]:
    """Cut Markdown into its pieces."""
    source = DETAILS.sub("", source)
    lines = source.splitlines()
    for token in MARKDOWN.parse(source):
        if token.nesting < 0 or not token.map:
            continue
        text = "\n".join(lines[slice(*token.map)]).strip("\n")
        if token.type == "list_item_open" and token.level == 1:
            yield Part("item", text)
        elif token.level == 0 and token.type == "paragraph_open":
            yield from (Part("paragraph", thought) for thought in thoughts(text))
        elif token.level == 0 and token.type == "heading_open":
            yield Part(token.tag, text)
        elif token.level == 0 and not token.type.endswith("list_open"):
            yield Part("other", text)


def thoughts(paragraph: str) -> list[str]:
    """Cut a long paragraph between sentences, but never within bold text, code or a link."""
    found: list[str] = []
    for sentence in SENTENCES.split(paragraph.replace("\n", " ")):
        last = found[-1] if found else ""
        within = last.count("**") % 2 or last.count("`") % 2 or last.count("[") != last.count("]")
        if last and (within or len(last) + len(sentence) < THOUGHT):
            found[-1] += f" {sentence}"
        else:
            found.append(sentence)
    return found


def pack(pieces: list[Part]) -> list[list[Part]]:
    """Share pieces out to as few slides as will do, all filled alike; a colon stays with what follows."""
    best = fewest = _pack(pieces, LINES)
    for room in range(int(LINES), 2, -1):
        slides = _pack(pieces, room)
        if len(slides) == len(fewest) and _torn(slides) <= _torn(fewest):
            best = slides
    return best


def _torn(slides: list[list[Part]]) -> int:
    return sum(slide[-1].leads for slide in slides if slide)


def _pack(pieces: list[Part], room: float) -> list[list[Part]]:
    slides: list[list[Part]] = [[]]
    for part in pieces:
        last = slides[-1]
        begins = part.text.startswith("**What you will learn")
        if last and (begins or sum(other.lines for other in last) + part.lines > room):
            slides.append([last.pop()] if len(last) > 1 and last[-1].leads and not begins else [])
        slides[-1].append(part)
    return slides


def render(pieces: Iterable[Part], folder: Path) -> str:
    """Return pieces of Markdown as HTML; pictures lie within, links to files of `folder` are plain text."""
    source = before = ""
    for kind, text in pieces:
        source += ("\n" if kind == before == "item" else "\n\n") + text
        before = kind
    tokens = MARKDOWN.parse(source.strip())
    for token in tokens:
        token.children = list(_local(token.children, folder)) if token.children else token.children
    return MARKDOWN.renderer.render(tokens, MARKDOWN.options, {})


def _local(tokens: Iterable[Token], folder: Path) -> Iterator[Token]:
    plain = False
    for token in tokens:
        if token.type == "link_open":
            plain = not re.match(r"[a-z]+:", str(token.attrs["href"]))
        if token.type == "image":
            file = folder / str(token.attrs["src"])
            mime = {ending: mime for mime, ending in PICTURES.items()}.get(file.suffix)
            if mime is None or not file.is_file():
                raise SystemExit(f"{file} is no picture that a slide can show: name a png, jpeg or svg file.")
            token.attrs["src"] = f"data:{mime};base64,{base64.b64encode(file.read_bytes()).decode()}"
        if not (plain and token.type in ("link_open", "link_close")):
            yield token


def plain(text: str) -> str:
    """Return a paragraph or a heading of Markdown without its marks."""
    [line] = MARKDOWN.parseInline(text)
    return "".join(" " if child.type == "softbreak" else child.content for child in line.children or [])


def inline(text: str) -> str:
    """Return a heading's Markdown as HTML."""
    return MARKDOWN.renderInline(text.lstrip("# "))
