"""Turn the code of a notebook, and its stored outputs, into HTML that fits a slide."""

import ast
import base64
import html
import re
from math import ceil
from typing import NamedTuple

from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from slide_text import PICTURES

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
WIDTH = 1124  # pixels
LETTER = 0.604  # how wide a letter of code is, in parts of its height
WIDEST = 120  # characters; what is wider is no table but a sentence, which may be wrapped
SHORT, SMALLEST = 9, 18.5  # lines of code, and pixels of its letters; what is longer or wider is not shown
STYLE = HtmlFormatter(nowrap=True, style="a11y-high-contrast-light")


class Block(NamedTuple):
    """Code, or what it printed, as HTML; its lines, and the size of its letters and its height in pixels."""

    html: str
    lines: int
    size: float
    height: float

    def fits(self, room: float) -> bool:
        """Whether it is short, large enough to be read, and no higher than so many pixels."""
        return 0 < self.lines <= SHORT and self.size >= SMALLEST and self.height <= room


def block(text: str, kind: str, largest: float = 30.0) -> Block:
    """Set code (`code`) or what was printed (`printed`) as large as its longest line allows."""
    lines = text.splitlines()
    if not lines:
        return Block("", 0, largest, 0.0)
    longest = max(map(len, lines))
    size = min(largest, WIDTH / LETTER / (longest if longest <= WIDEST else 80))
    if kind == "printed" and len(lines) == 1:  # no table: it may be wrapped
        size = max(size, min(largest, 24.0))
    rows = sum(max(1, ceil(len(line) * size * LETTER / WIDTH)) for line in lines)
    inner = highlight(text, PythonLexer(), STYLE) if kind == "code" else html.escape(text)
    made = f'<pre class="{kind}" style="font-size: {size:.1f}px">{inner}</pre>'
    return Block(made, len(lines), size, 1.4 * size * rows + 44)


def printing(code: str) -> str:
    """Return those statements of a cell that print, or nothing if it also prints in loops or functions."""
    try:
        statements = ast.parse(code).body
    except SyntaxError:  # one of Jupyter's own commands
        return ""
    shown = [line for line in statements if ast.unparse(line).startswith("print(")]
    if len(shown) < code.count("print("):
        return ""
    return "\n".join(ast.get_source_segment(code, line) or "" for line in shown)


def outputs(cell: NotebookNode) -> tuple[str, list[str]]:
    """Return what a cell printed, and its pictures as data addresses."""
    printed, pictures = "", []
    for output in cell.outputs:
        data = output.get("data", {})
        if mime := next((mime for mime in PICTURES if mime in data), ""):
            raw = data[mime]
            raw = base64.b64encode(raw.encode()).decode() if mime.endswith("xml") else raw.replace("\n", "")
            pictures.append(f"data:{mime};base64,{raw}")
        elif output.output_type == "stream" and output.name == "stdout":
            printed += output.text
        elif output.output_type == "execute_result":
            printed += data.get("text/plain", "") + "\n"
        elif output.output_type == "error":
            printed += f"{output.ename}: {output.evalue}\n"
    return COLOURS.sub("", printed).rstrip(), pictures
