"""Find links in Markdown that lead nowhere in this repository."""

import re
from urllib.parse import unquote

import nbformat

LINK = re.compile(
    r"""!?\[[^\]]*\]\(<?([^()\s>]+)>?(?:\s+"[^"]*")?\)|<(?:img|a)\b[^>]*?(?:src|href)=["']([^"']+)["']"""
)
FENCE = re.compile(r"^(```|~~~).*?^\1", flags=re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*`")


def dead_links(text, folder):
    """Return the links in `text`, a file of `folder`, whose file or heading does not exist.

    Links to other sites are not followed.
    """
    prose = INLINE_CODE.sub("", FENCE.sub("", text))
    dead = []
    for match in LINK.finditer(prose):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = folder / path
        if path and not file.exists():
            dead.append(f"{target}: there is no such file")
        elif anchor and anchor.lower() not in headings(markdown_of(file) if path else text):
            dead.append(f"{target}: there is no such heading")
    return dead


def markdown_of(file):
    """Return the Markdown of a file or of a notebook; nothing for any other file."""
    if file.suffix == ".ipynb":
        cells = nbformat.read(file, as_version=4).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return file.read_text(encoding="utf-8") if file.suffix == ".md" else ""


def headings(text):
    """Return the anchors of all headings, as GitHub forms them."""
    titles = re.findall(r"^#+\s+(.+?)\s*$", FENCE.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
