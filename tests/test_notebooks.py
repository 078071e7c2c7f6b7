"""Guards over the stored notebooks, for what a comparison of their outputs cannot see.

`pytest --nbval` compares text outputs, but it passes a notebook that was never run and looks at no
picture. Each guard below returns a list of complaints; each is shown to catch a notebook broken on
purpose.
"""

import base64
import io
import re
import statistics
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
from markdown_links import dead_links
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))  # the playground is a page of figures
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))
LARGEST_FILE = 1_000_000
EXEMPTIONS = {"nbval-ignore-output", "nbval-skip", "raises-exception"}
LONGEST_LINE = 88  # characters of code or output that fit into a page without a scroll bar
MOST_ASIDES = 3  # round brackets in the text of a notebook
MOST_FIGURES = 3  # in a paragraph
FIRST_PICTURE = 5  # cells
FOLDED = re.compile(r"<details>.*?</details>", flags=re.DOTALL)
CODE_OR_FORMULA = re.compile(r"`[^`]*`|\$[^$]*\$")
LINK_TARGET = re.compile(r"\]\([^)]*\)")
INTERVAL = re.compile(r"\[[−-]?[\d.,]+, [−-]?[\d.,]+\]")
FIGURE = re.compile(r"\d[\d,]*\.\d+|\d[\d,]*(?= (?:%|points))")
ASIDE = re.compile(r"\([^()]*\s[^()]*\)")
MACHINE_PATHS = re.compile(r"/(home|Users|root|tmp|mnt|work)/|[A-Z]:\\Users|site-packages")
NOT_EVERYWHERE = re.compile(r"^\s*(:::|> \[!|```mermaid|```\{)", flags=re.MULTILINE)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def markdown(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def tags(cell):
    return set(cell.metadata.get("tags", []))


def not_run_in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    wanted = list(range(1, len(counts) + 1))
    return [] if counts == wanted else [f"execution counts are {counts}: run the notebook from the top"]


def noisy_metadata(notebook):
    timed = [cell.id for cell in notebook.cells if "execution" in cell.metadata]
    widgets = ["widgets"] if "widgets" in notebook.metadata else []
    return [f"{where} holds times or widget states" for where in timed + widgets]


def errors_and_warnings(notebook):
    bad = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                bad.append(f"cell {cell.id} stored an error: {output.ename}")
            if output.output_type == "stream" and output.name == "stderr":
                bad.append(f"cell {cell.id} wrote to stderr: {output.text[:80]}")
    return bad


def exemptions(notebook):
    cells = code_cells(notebook)
    exempt = [cell for cell in cells if tags(cell) & EXEMPTIONS]
    complaints = [
        f"cell {cell.id} is exempt from comparison without a reason in its metadata"
        for cell in exempt
        if not str(cell.metadata.get("reason", "")).strip()
    ]
    if len(exempt) * 10 > len(cells):
        complaints.append(f"{len(exempt)} of {len(cells)} code cells are exempt: at most one in ten may be")
    return complaints


def pictures(notebook):
    images = [
        output.data["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})
    ]
    complaints = [] if len(images) >= 2 else [f"{len(images)} pictures stored: at least 2 are expected"]
    for number, image in enumerate(images, start=1):
        try:
            pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(image))).convert("L"), dtype=float)
        except Exception as error:
            complaints.append(f"picture {number} cannot be read: {error}")
            continue
        if pixels.std() < 1:
            complaints.append(f"picture {number} is blank")
    return complaints


def lesson(notebook):
    """Return the notebook without exercises and quiz, which come on top of its length."""
    short = notebook.copy()
    short.cells = [cell for cell in notebook.cells if not tags(cell) & {"exercise", "quiz"}]
    return short


def body(notebook):
    """Return the text that everybody reads: without exercises and quiz, and without what is folded away."""
    return FOLDED.sub("", markdown(lesson(notebook)))


def prose(notebook):
    """Return the paragraphs of the body, without tables, headings, code and the targets of links."""
    text = LINK_TARGET.sub("]", CODE_OR_FORMULA.sub("", body(notebook)))
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*(?:[*-]|\d+\.) )", text)
    return [paragraph for paragraph in paragraphs if not paragraph.lstrip().startswith(("#", "|", "!"))]


def plain_text(notebook):
    paragraphs = prose(notebook)
    complaints = [
        f"{kind}: {paragraph[:60]!r} has {number}, {most} at most"
        for paragraph in paragraphs
        for kind, number, most in (
            ("figures", len(FIGURE.findall(INTERVAL.sub("", paragraph))), MOST_FIGURES),
            ("intervals", len(INTERVAL.findall(paragraph)), 1),
        )
        if number > most
    ]
    asides = [aside for paragraph in paragraphs for aside in ASIDE.findall(paragraph)]
    if len(asides) > MOST_ASIDES:
        complaints.append(f"{len(asides)} asides in brackets, {MOST_ASIDES} at most: {asides}")
    return complaints


def numbers_in_view(notebook):
    lines = [line for output in outputs(notebook) for line in output.get("text", "").splitlines()]
    return [f"prints a verdict, no number: {line}" for line in lines if re.search(r"\b(True|False)$", line)]


def long_lines(notebook):
    cells = [line for cell in code_cells(notebook) for line in cell.source.splitlines()]
    shown = [line for output in outputs(notebook) for line in output.get("text", "").splitlines()]
    return [
        f"{len(line)} characters, {LONGEST_LINE} at most: {line}"
        for line in cells + shown
        if len(line) > LONGEST_LINE
    ]


def folded_imports(notebook):
    return [
        f"cell {cell.id} only imports, and is not tagged hide-input"
        for cell in code_cells(notebook)
        if all(re.match(r"(from|import|    |\)|$)", line) for line in cell.source.splitlines())
        and "exercise" not in tags(cell)
        and "hide-input" not in tags(cell)
    ]


def first_picture(notebook):
    for place, cell in enumerate(notebook.cells[:FIRST_PICTURE]):
        drawn = any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        if drawn or (place and cell.cell_type == "markdown" and "![" in cell.source):
            return []
    return [f"no picture in the first {FIRST_PICTURE} cells"]


def cell_to_remember(notebook):
    marks = markdown(notebook).count("**The cell to remember")
    return [] if marks == 1 else [f"{marks} cells are marked as the cell to remember: one is right"]


def sizes(notebook):
    notebook = lesson(notebook)
    lines = [sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in code_cells(notebook)]
    words = len(re.findall(r"\S*\w\S*", body(notebook)))
    allowed = [
        (25 <= len(notebook.cells) <= 45, f"{len(notebook.cells)} cells: 25 to 45 are right"),
        (500 <= words <= 1200, f"{words} words: 500 to 1,200 are right"),
        (
            statistics.median(lines or [0]) <= 6,
            f"code cells have {statistics.median(lines or [0]):g} lines: 6 at most",
        ),
        (max(lines, default=0) <= 20, f"the longest code cell has {max(lines, default=0)} lines: 20 at most"),
        (all(lines), "a code cell is empty"),
    ]
    return [complaint for holds, complaint in allowed if not holds]


def opening_and_closing(notebook):
    first_code = next((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), 0)
    opening = "\n".join(cell.source for cell in notebook.cells[:first_code])
    text = markdown(notebook)
    complaints = [] if re.match(r"# \d+\. \S", opening) else ['the first line is not "# N. Title"']
    for part in ("What you will learn", "What you need", "How long it takes"):
        if part.lower() not in opening.lower():
            complaints.append(f'the opening does not say "{part}"')
    places = [f"\n\n{text}".find(f"\n## {part}\n") for part in ("What we measured", "Exercises", "Quiz")]
    if -1 in places or places != sorted(places):
        complaints.append('"What we measured", "Exercises", "Quiz" do not close the notebook in this order')
    headlines = [cell for cell in code_cells(notebook) if "headline" in tags(cell)]
    if not any(output.get("name") == "stdout" for cell in headlines for output in cell.outputs):
        complaints.append("no cell tagged `headline` prints what was measured")
    return complaints


def form(notebook):
    complaints = []
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        complaints.append(f"the notebook's format is not valid: {error}")
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        complaints.append("the kernel is not python3")
    if NOT_EVERYWHERE.search(markdown(notebook)):
        complaints.append(
            "its Markdown uses what GitHub or JupyterLab shows raw: ::: blocks, alerts or mermaid"
        )
    return complaints


def machine_paths(notebook):
    texts = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        texts += [output.get("text", ""), "\n".join(output.get("traceback", []))]
        texts += [
            str(data) for kind, data in output.get("data", {}).items() if not kind.startswith("image/png")
        ]
    return [
        f"names a path of one machine: {found[0]}" for text in texts if (found := MACHINE_PATHS.search(text))
    ]


def links(notebook):
    return dead_links(markdown(notebook), FOLDER)


Guard = Callable[[NotebookNode], list[str]]
GUARDS = [
    not_run_in_order,
    noisy_metadata,
    errors_and_warnings,
    exemptions,
    pictures,
    sizes,
    plain_text,
    numbers_in_view,
    long_lines,
    folded_imports,
    first_picture,
    cell_to_remember,
    opening_and_closing,
    form,
    machine_paths,
    links,
]


def test_there_are_notebooks():
    numbers = [int(path.name[:2]) for path in NOTEBOOKS]
    assert numbers == [*range(1, 13)]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, guard):
    assert guard(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_solutions(path):
    notebook = nbformat.read(path, as_version=4)
    guards = (not_run_in_order, noisy_metadata, errors_and_warnings, exemptions, form, machine_paths)
    assert [complaint for guard in guards for complaint in guard(notebook)] == []
    assert dead_links(markdown(notebook), path.parent) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_file(path):
    assert path.stat().st_size < LARGEST_FILE
    assert nbformat.read(path, as_version=4).cells[0].source.startswith(f"# {int(path.name[:2])}. ")


# The tests of the tests: a sound notebook passes every guard, and each way of breaking it is caught.


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def picture_output(pixels):
    return new_output("display_data", {"image/png": png(pixels)})


def sound_notebook():
    opening = "# 1. A title\n\n**What you will learn**\n\n**What you need**\n\n**How long it takes**"
    checkerboard = np.indices((8, 8)).sum(axis=0) % 2 * 255
    cells = [new_markdown_cell(opening), new_code_cell("draw()", outputs=[picture_output(checkerboard)])]
    cells += [new_markdown_cell("word " * 60) for _ in range(11)]
    cells.append(new_markdown_cell("**The cell to remember**"))
    cells += [new_code_cell("x = 1\nprint(x)", outputs=[new_output("stream", text="1\n")]) for _ in range(11)]
    cells.append(new_code_cell("draw()", outputs=[picture_output(checkerboard)]))
    cells.append(new_markdown_cell("\n## What we measured\n\nSee [the map](../README.md#the-course)."))
    cells.append(new_code_cell("print(1)", outputs=[new_output("stream", text="1\n")]))
    cells[-1].metadata["tags"] = ["headline"]
    cells.append(new_markdown_cell("## Exercises\n\nPredict, then run.", metadata={"tags": ["exercise"]}))
    cells.append(new_code_cell("answer = ...", metadata={"tags": ["exercise"]}))
    cells.append(new_markdown_cell("## Quiz\n\nWhy? " + "word " * 900, metadata={"tags": ["quiz"]}))
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for count, cell in enumerate(code_cells(notebook), start=1):
        cell.execution_count = count
    return notebook


def exempt(*numbers, reason):
    def mark(notebook):
        for number in numbers:
            code_cells(notebook)[number].metadata.update(tags=["nbval-ignore-output"], reason=reason)

    return mark


def put_output(output):
    return lambda notebook: code_cells(notebook)[11].outputs.append(output)


def put_source(number, source):
    return lambda notebook: notebook.cells[number].update(source=source)


def never_run(notebook):
    for cell in code_cells(notebook):
        cell.execution_count, cell.outputs = None, []


def run_twice(notebook):
    code_cells(notebook)[0].execution_count = 15


def timed(notebook):
    code_cells(notebook)[0].metadata["execution"] = {"iopub.status.busy": "2022-05-15T00:00:00Z"}


def widget_state(notebook):
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}


def no_pictures(notebook):
    for cell in code_cells(notebook):
        cell.outputs = []


def unreadable_picture(notebook):
    code_cells(notebook)[0].outputs[0].data["image/png"] = base64.b64encode(b"no picture").decode()


def no_headline(notebook):
    code_cells(notebook)[-2].metadata["tags"] = []


def silent_headline(notebook):
    code_cells(notebook)[-2].outputs = []


def too_few_cells(notebook):
    del notebook.cells[5:12]


def exercises_first(notebook):
    notebook.cells.insert(1, notebook.cells.pop())


def other_kernel(notebook):
    notebook.metadata["kernelspec"]["name"] = "my-env"


def invalid(notebook):
    notebook.cells[0]["unknown"] = 1


def too_many_cells(notebook):
    notebook.cells += [new_markdown_cell("word") for _ in range(20)]


def few_words(notebook):
    for cell in notebook.cells[2:7]:
        cell.source = "word"


def long_code_cells(notebook):
    for cell in code_cells(notebook):
        cell.source = "x = 1\n" * 7


def late_picture(notebook):
    notebook.cells[1], notebook.cells[14] = notebook.cells[14], notebook.cells[1]


VERDICT = new_output("stream", text="well above the margin: True\n")
LONG = new_output("stream", text="1" * 89)
BLANK = picture_output(np.full((8, 8), 255))
ERROR = new_output("error", ename="ValueError", evalue="", traceback=[])
WARNING = new_output("stream", name="stderr", text="UserWarning")
FOREIGN_PATH = new_output("stream", text="C:\\" + "Users\\someone")
BREAKS = [
    ("never run", not_run_in_order, never_run, "execution counts"),
    ("run twice", not_run_in_order, run_twice, "execution counts"),
    ("timed", noisy_metadata, timed, "times"),
    ("widget state", noisy_metadata, widget_state, "widgets"),
    ("error", errors_and_warnings, put_output(ERROR), "stored an error: ValueError"),
    ("warning", errors_and_warnings, put_output(WARNING), "wrote to stderr: UserWarning"),
    ("two exemptions", exemptions, exempt(0, 1, reason="differs in every run"), "2 of 15 code cells"),
    ("no reason", exemptions, exempt(0, reason=" "), "without a reason"),
    ("no pictures", pictures, no_pictures, "0 pictures"),
    ("unreadable picture", pictures, unreadable_picture, "picture 1 cannot be read"),
    ("blank picture", pictures, put_output(BLANK), "picture 2 is blank"),
    ("few cells", sizes, too_few_cells, "cells: 25 to 45"),
    ("many cells", sizes, too_many_cells, "cells: 25 to 45"),
    ("many words", sizes, put_source(2, "word " * 1000), "words: 500 to 1,200"),
    ("few words", sizes, few_words, "words: 500 to 1,200"),
    ("long code cell", sizes, put_source(14, "x = 1\n" * 21), "has 21 lines"),
    ("long code cells", sizes, long_code_cells, "code cells have 7 lines"),
    ("empty code cell", sizes, put_source(14, "\n"), "is empty"),
    ("four figures", plain_text, put_source(2, "1.0, 2.0, 3 %\nand 4 points"), "figures"),
    ("two intervals", plain_text, put_source(2, "1.0 [0.5, 1.5], 2.0 [−1.0, 5.0]"), "intervals"),
    ("many brackets", plain_text, put_source(2, "so (a b), (c d), (e f) (g h)"), "4 asides"),
    ("a verdict", numbers_in_view, put_output(VERDICT), "no number"),
    ("long code line", long_lines, put_source(14, "x = " + 85 * "1"), "89 characters"),
    ("long printed line", long_lines, put_output(LONG), "89 characters"),
    ("imports in view", folded_imports, put_source(14, "import os\nfrom a import (\n    b\n)"), "hide-input"),
    ("late picture", first_picture, late_picture, "no picture"),
    ("nothing to remember", cell_to_remember, put_source(13, "word"), "0 cells"),
    ("no number", opening_and_closing, put_source(0, "# A title"), "N. Title"),
    ("no time", opening_and_closing, put_source(0, "# 1. A\n\nWhat you need"), "How long it takes"),
    ("no headline", opening_and_closing, no_headline, "headline"),
    ("silent headline", opening_and_closing, silent_headline, "headline"),
    ("exercises first", opening_and_closing, exercises_first, "do not close"),
    ("other kernel", form, other_kernel, "python3"),
    ("not valid", form, invalid, "not valid"),
    ("mermaid", form, put_source(2, "```mermaid\ngraph TD\n```"), "mermaid"),
    ("alert", form, put_source(2, "> [!TIP]\n> raw"), "alerts"),
    (
        "path in code",
        machine_paths,
        put_source(14, "open('/" + "home/someone/x.csv')"),
        "path of one machine",
    ),
    ("path in output", machine_paths, put_output(FOREIGN_PATH), "path of one machine"),
    ("dead link", links, put_source(2, "[the next](99_missing.ipynb)"), "no such file"),
    ("dead picture", links, put_source(2, "![figure](figures/missing.png)"), "no such file"),
    ("dead anchor", links, put_source(2, "[the map](../README.md#no-such-part)"), "no such heading"),
]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_sound_notebook_passes(guard):
    notebook = sound_notebook()
    exempt(0, reason="the seconds differ in every run")(notebook)
    assert guard(notebook) == []


@pytest.mark.parametrize(
    ("guard", "damage", "complaint"), [case[1:] for case in BREAKS], ids=[case[0] for case in BREAKS]
)
def test_broken_notebook_is_caught(guard, damage, complaint):
    notebook = sound_notebook()
    damage(notebook)
    assert any(complaint in found for found in guard(notebook))


def test_every_guard_is_tested():
    assert {guard for _, guard, _, _ in BREAKS} == set(GUARDS)
