"""The glossary: one sentence for each term, and a link from the notebook that uses it first.

Each complaint is also shown to catch a glossary or a notebook broken on purpose.
"""

import inspect
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
import pytest
from markdown_links import INLINE_CODE, headings

from metriclearn import (
    augment,
    classify,
    curation,
    data,
    embedding,
    index,
    label_propagation,
    losses,
    metrics,
    models,
    unknown,
)
from metriclearn.course import bands

ROOT = Path(__file__).parent.parent
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
NOTEBOOKS = {int(path.name[:2]): path for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))}
MODULES = (
    augment,
    bands,
    classify,
    curation,
    data,
    embedding,
    index,
    label_propagation,
    losses,
    metrics,
    models,
    unknown,
)
ENTRY = re.compile(
    r"### (?P<term>.+)\n\n(?P<sentence>.+)\n\n"
    r"(?:\*Symbol:\* \$[^$]+\$ · )?(?:\*In code:\* `(?P<code>[^`]+)` · )?"
    r"\*First in:\* (?:\[notebook (?P<number>\d+)\]\(\.\./notebooks/(?P<file>[\w.]+)\)"
    r"|\[the (?:results|questions)\]\((?:results|faq)\.md\))"
)
SENTENCE = re.compile(r"[A-Z][^.!?]*\.")
TWO_SENTENCES = {"Metric learning", "Embedding"}  # the words that carry the course
NAME = re.compile(r'(?P<owner>\w+)(?:\.(?P<member>\w+))?(?:\((?P<parameter>\w+)=(?:…|"(?P<value>.+)")\))?')
LINK = re.compile(r"\[([^\]]+)\]\((?:\.\./)+docs/glossary\.md#([\w-]+)\)")
# Where an earlier notebook has the word in another, everyday sense.
OTHER_SENSE = {
    ("Point", 1): "points of a percentage",
    ("Point", 2): "points of a percentage",
    ("Point", 3): "points of a percentage",
    ("Point", 4): "points of a percentage",
    ("Score", 1): "a classifier would score differently",
    ("Score", 4): "the score of a class when labels are spread",
}


@dataclass(frozen=True)
class Entry:
    """One entry of the glossary; `code` is empty where the term has no name in the package.

    A term that a page uses and no notebook has the notebook 0.
    """

    term: str
    sentence: str
    code: str
    notebook: int
    file: str

    @property
    def anchor(self):
        return next(iter(headings(f"# {self.term}")))


def entries(glossary):
    return [
        Entry(m["term"], m["sentence"], m["code"] or "", int(m["number"] or 0), m["file"] or "")
        for block in glossary.split("\n\n### ")[1:]
        if (m := ENTRY.fullmatch("### " + block.rstrip()))
    ]


@cache
def stored():
    """Return the Markdown of each notebook without exercises and quiz, which may look back and ahead."""
    return {
        number: "\n\n".join(
            cell.source
            for cell in nbformat.read(path, as_version=4).cells
            if cell.cell_type == "markdown" and not {"exercise", "quiz"} & set(cell.metadata.get("tags", []))
        ).partition("\n## Exercises")[0]
        for number, path in NOTEBOOKS.items()
    }


def uses(word, text):
    """Return whether a text has a word or a phrase, also in the plural; inline code does not count."""
    phrase = r"[\s-]+".join(re.escape(part) for part in re.split(r"[\s_-]+", word.strip("`")))
    return bool(re.search(rf"(?<!\w){phrase}(?:s|es)?(?!\w)", INLINE_CODE.sub("", text), flags=re.IGNORECASE))


def form(glossary):
    """Return the entries that are not of the form of the others, or not in their place."""
    found = entries(glossary)
    written = re.findall(r"^#{2,} (.+)$", glossary, flags=re.MULTILINE)
    complaints = [f"{term}: not an entry" for term in written if term not in {entry.term for entry in found}]
    order = [re.sub(r"[^a-z0-9]", "", term.lower()) for term in written]
    complaints += [
        f"{written[i]}: not in alphabetical order" for i in range(1, len(order)) if order[i - 1] >= order[i]
    ]
    for entry in found:
        parts = entry.sentence.split(". ") if entry.term in TWO_SENTENCES else [entry.sentence]
        ends = [f"{part}." for part in parts[:-1]] + parts[-1:]
        if len(parts) > 2 or not all(map(SENTENCE.fullmatch, ends)):
            complaints.append(f"{entry.term}: not one sentence")
    return complaints


def names(glossary):
    """Return the entries whose name in code is not in the package."""
    return [
        f"{entry.term}: the package has no {entry.code}"
        for entry in entries(glossary)
        if entry.code and not in_package(entry.code)
    ]


def in_package(code):
    """Look for a name such as `f`, `Class.method`, `f(parameter=…)` or `f(parameter="value")`."""
    parts = NAME.fullmatch(code)
    homes = [module for module in MODULES if parts and hasattr(module, parts["owner"])]
    if not parts or not homes:
        return False
    owner = found = getattr(homes[0], parts["owner"])
    if parts["member"]:
        found = getattr(owner, parts["member"], None)
        if found is None:
            return parts["member"] in inspect.get_annotations(owner)
    if parts["parameter"] and parts["parameter"] not in inspect.signature(found).parameters:
        return False
    return not parts["value"] or f'"{parts["value"]}"' in (inspect.getdoc(found) or "")


def first_uses(glossary, notebooks):
    """Return the entries whose first notebook does not link to them, or is not the first."""
    complaints = []
    for entry in (entry for entry in entries(glossary) if entry.file):
        if entry.notebook not in notebooks or NOTEBOOKS[entry.notebook].name != entry.file:
            complaints.append(f"{entry.term}: there is no notebook {entry.notebook} called {entry.file}")
            continue
        linked = {
            number: [words for words, anchor in LINK.findall(text) if anchor == entry.anchor]
            for number, text in notebooks.items()
        }
        if len(linked[entry.notebook]) != 1:
            complaints.append(f"{entry.term}: notebook {entry.notebook} should link to it, once")
        for number in (earlier for earlier in notebooks if earlier < entry.notebook):
            used = any(uses(word, notebooks[number]) for word in (entry.term, *linked[entry.notebook]))
            if used != ((entry.term, number) in OTHER_SENSE):
                verb = "uses" if used else "does not use"
                complaints.append(f"{entry.term}: notebook {number} {verb} it")
        complaints += [
            f"{entry.term}: notebook {number} links to it, too"
            for number, words in linked.items()
            if words and number != entry.notebook
        ]
    return complaints


def unknown_anchors(glossary, text):
    terms = headings(glossary)
    return [f"#{anchor}: no such term" for _, anchor in LINK.findall(text) if anchor not in terms]


def test_the_glossary_is_sound():
    assert len(entries(GLOSSARY)) >= 35
    assert form(GLOSSARY) == []
    assert names(GLOSSARY) == []


def test_each_term_is_linked_from_the_notebook_that_uses_it_first():
    assert first_uses(GLOSSARY, stored()) == []


def test_links_to_the_glossary_resolve():
    pages = [*(ROOT / "notebooks").rglob("*.ipynb"), *(ROOT / "docs").glob("*.md")]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    assert [line for text in texts for line in unknown_anchors(GLOSSARY, text)] == []


# The tests of the test: a sound glossary passes, and each way of breaking it is caught.

SOUND = """# Glossary

Words.

### Anchor

The image that others are compared with.

*Symbol:* $a$ · *First in:* [notebook 1](../notebooks/01_scarce_labels.ipynb)

### Hard negative

One of another class, but near.

*In code:* `triplet_loss(mining="hard")` · *First in:* [notebook 2](../notebooks/02_autoencoder.ipynb)

### Score

How near it is.

*In code:* `Neighbours.scores` · *First in:* [notebook 2](../notebooks/02_autoencoder.ipynb)
"""
SEEN = {
    1: "An *[anchor](../docs/glossary.md#anchor)* may score differently; `hard_negative` is code.",
    2: "A [harder\nnegative](../docs/glossary.md#hard-negative) and its [score](../docs/glossary.md#score).",
}


def test_a_sound_glossary_passes():
    assert len(entries(SOUND)) == 3
    assert form(SOUND) + names(SOUND) + first_uses(SOUND, SEEN) == []
    assert unknown_anchors(SOUND, SEEN[1] + SEEN[2]) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("### Anchor", "### Zebra", "Hard negative: not in alphabetical order"),
        ("### Score", "### Hard negative", "Hard negative: not in alphabetical order"),
        ("*First in:* [notebook 1]", "First in: [notebook 1]", "Anchor: not an entry"),
        ("### Score", "## Score", "Score: not an entry"),
        ("How near it is.", "How near it is. Or how far.", "Score: not one sentence"),
        ("How near it is.", "How near it is", "Score: not one sentence"),
        ("triplet_loss", "triple_loss", "Hard negative: the package has no triple_loss"),
        ("mining=", "miner=", "Hard negative: the package has no triplet_loss(miner="),
        ('"hard"', '"hardest"', "Hard negative: the package has no triplet_loss(mining="),
        (".scores", ".points", "Score: the package has no Neighbours.points"),
        ("01_scarce_labels.ipynb", "01_many_labels.ipynb", "Anchor: there is no notebook 1"),
        ("[notebook 1]", "[notebook 2]", "Anchor: there is no notebook 2"),
        ("[notebook 1](../notebooks/01", "[notebook 0](../notebooks/00", "Anchor: there is no notebook 0"),
    ],
)
def test_a_broken_glossary_is_caught(old, new, complaint):
    broken = SOUND.replace(old, new, 1)
    assert broken != SOUND
    assert complaint in " ".join(form(broken) + names(broken) + first_uses(broken, SEEN))


@pytest.mark.parametrize(
    ("number", "text", "complaint"),
    [
        (1, "An anchor may score.", "Anchor: notebook 1 should link to it, once"),
        (1, SEEN[1] * 2, "Anchor: notebook 1 should link to it, once"),
        (1, SEEN[1] + " Two hard\nnegatives.", "Hard negative: notebook 1 uses it"),
        (1, SEEN[1] + " What is harder, negatives?", ""),
        (1, SEEN[1] + " A harder negative.", "Hard negative: notebook 1 uses it"),
        (1, SEEN[1].replace("score", "err"), "Score: notebook 1 does not use it"),
        (2, SEEN[2] + SEEN[1], "Anchor: notebook 2 links to it, too"),
    ],
)
def test_a_broken_notebook_is_caught(number, text, complaint):
    found = " ".join(first_uses(SOUND, SEEN | {number: text}))
    assert (complaint in found) if complaint else (found == "")


def test_a_link_to_no_term_is_caught():
    assert unknown_anchors(SOUND, "[score](../../docs/glossary.md#scores)") == ["#scores: no such term"]
