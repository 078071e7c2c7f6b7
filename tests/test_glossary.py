"""The glossary: one sentence a term, and the first notebook that uses it links to it."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
import pytest
from markdown_links import INLINE_CODE, headings

from metriclearn import augment, classify, data, evaluate, explore, index, losses, models, propagate, training

ROOT = Path(__file__).parent.parent
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ENTRY = re.compile(
    r"### (?P<term>.+)\n\n(?P<sentence>.+)\n\n(?:\*In symbols and code:\* (?P<symbol>.+) · )?"
    r"\*First in:\* \[notebook (?P<number>\d)\]\(\.\./notebooks/(?P<file>[\w.]+)\)\n"
)
# Everyday words: an earlier notebook may use them before it needs their meaning here.
EVERYDAY = {
    "Class mean",
    "Collection",
    "Cosine",
    "Diversity",
    "Draw",
    "Facet",
    "Filter",
    "Gate",
    "Interval",
    "Outlier",
    "Point",
    "Pool",
    "Precision",
    "Recall",
    "Reconstruction",
    "Roll back",
    "Score",
    "Temperature",
    "Threshold",
    "Uncertainty",
}
PLACES = (augment, classify, data, evaluate, explore, index, losses, models, propagate, training)


@dataclass(frozen=True)
class Entry:
    """One entry of the glossary."""

    term: str
    sentence: str
    symbol: str
    notebook: Path

    @property
    def link(self) -> str:
        """How a notebook links to it."""
        return f"](../docs/glossary.md#{re.sub(r'[^a-z0-9 -]', '', self.term.lower()).replace(' ', '-')})"


def read(text: str) -> list[Entry]:
    return [
        Entry(m["term"], m["sentence"], m["symbol"] or "", ROOT / "notebooks" / m["file"])
        for m in ENTRY.finditer(text)
    ]


@cache
def prose(notebook: Path) -> str:
    """Return the Markdown of a notebook without exercises, headings and code."""
    cells = nbformat.read(notebook, as_version=4).cells
    kept = [
        cell.source
        for cell in cells
        if cell.cell_type == "markdown" and not {"exercise", "quiz"} & set(cell.metadata.get("tags", []))
    ]
    return re.sub(r"^#.*$", "", "\n\n".join(kept), flags=re.MULTILINE)


def complaints(text: str) -> list[str]:
    """Return what is wrong with a glossary."""
    entries, found = read(text), []
    terms = [entry.term for entry in entries]
    if len(entries) != text.count("### "):
        found.append(f"{text.count('### ') - len(entries)} entries are not of the form of the others")
    if terms != sorted(terms, key=str.lower):
        found.append("the terms are not in alphabetical order")
    for entry in entries:
        if not re.fullmatch(r"[A-Z$T][^.!?]*\.", entry.sentence.replace("$k$", "k")):
            found.append(f"{entry.term}: not one sentence")
        for name in re.findall(r"`(\w+)`", entry.symbol):
            if not known(name):
                found.append(f"{entry.term}: the package has no {name}")
        if not entry.notebook.is_file():
            found.append(f"{entry.term}: there is no {entry.notebook.name}")
        elif prose(entry.notebook).count(entry.link) != 1:
            found.append(f"{entry.term}: {entry.notebook.name} should link to it once")
        earlier = [path for path in sorted(entry.notebook.parent.glob("0*.ipynb")) if path < entry.notebook]
        word = re.compile(rf"(?<![\w-]){entry.term}", flags=re.IGNORECASE)
        if entry.term not in EVERYDAY:
            found += [
                f"{entry.term}: {path.name} uses it before"
                for path in earlier
                if word.search(INLINE_CODE.sub("", prose(path)))
            ]
    return found


@cache
def known(name: str) -> bool:
    """Return whether a name is a function, class, method or parameter of the package."""
    sources = [Path(str(place.__file__)).read_text(encoding="utf-8") for place in PLACES]
    return any(re.search(rf"\b(?:def|class) {name}\b|\b{name}: |\b{name}_? = ", source) for source in sources)


def test_the_glossary_is_sound() -> None:
    assert len(read(GLOSSARY)) >= 40
    assert complaints(GLOSSARY) == []


def test_links_to_the_glossary_resolve() -> None:
    anchors = headings(GLOSSARY)
    used = [
        anchor
        for path in (ROOT / "notebooks").glob("*.ipynb")
        for anchor in re.findall(r"glossary\.md#([^)]+)\)", prose(path))
    ]
    assert set(used) <= anchors
    assert len(used) == len(read(GLOSSARY))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("### Anchor\n", "### Zebra\n", "alphabetical"),
        ("*First in:* [notebook 3]", "First: [notebook 3]", "not of the form"),
        ("The image of a pair", "See below. The image of a pair", "Anchor: not one sentence"),
        ("`random_affine`", "`random_affinity`", "no random_affinity"),
        (
            "(../notebooks/04_drop_the_decoder.ipynb)",
            "(../notebooks/04_drop.ipynb)",
            "there is no 04_drop.ipynb",
        ),
        ("### Ablation\n", "### Abjad\n", "should link to it once"),
        (
            "[notebook 3](../notebooks/03_positives_and_negatives.ipynb)",  # the first of these is Anchor's
            "[notebook 4](../notebooks/04_drop_the_decoder.ipynb)",
            "Anchor: 03_positives_and_negatives.ipynb uses it before",
        ),
    ],
)
def test_a_broken_glossary_is_caught(old: str, new: str, complaint: str) -> None:
    assert old in GLOSSARY
    assert complaint in " ".join(complaints(GLOSSARY.replace(old, new, 1)))
