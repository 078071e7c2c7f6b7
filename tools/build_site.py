"""Build the course's site from the repository: pages, notebooks with their stored outputs, API reference.

python tools/build_site.py     the site is then in build/site; open index.html there, or serve the folder

The pages of docs/, the notebooks and the README are copied to build/site-source, and their links are
changed to where each file then lies. Sphinx makes the site of that; any warning is an error.
"""

import json
import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE, SITE = ROOT / "build" / "site-source", ROOT / "build" / "site"
DOCTREES = ROOT / "build" / "site-doctrees"
FOLDED = {"imports", "hide-input"}  # tags of cells whose code the site hides until it is asked for
LOOKS = ("light", "dark")
PLOT = (
    "Accuracy in percent against labels per class, from 1 to 50, each method with its 95 % interval. "
    "The metric embedding lies on top everywhere; the supervised CNN joins it at 50 labels per class."
)
LINK = re.compile(r"(\]\(<?)([^()\s>]+)(>?(?:\s+\"[^\"]*\")?\))")
FIGURE_NAME = re.compile(r"(?<=[\d\]])<!--[^>]*-->")  # see benchmarks/figures.py
CODE = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)\s*$|`[^`\n]*`)", flags=re.MULTILINE | re.DOTALL)


def pages(root: Path = ROOT) -> dict[str, str]:
    """Return the files that become pages: path in the repository -> path in the site's source."""
    found = {f"docs/{path.name}": path.name for path in sorted((root / "docs").glob("*.md"))}
    found |= {name: name for name in notebooks(root)}
    return found | {
        "README.md": "readme.md",
        "CONTRIBUTING.md": "contributing.md",
        "CHANGELOG.md": "changelog.md",
        "data/README.md": "data.md",
        "deploy/README.md": "deploy.md",
    }


def notebooks(root: Path = ROOT) -> list[str]:
    """Return the paths of all notebooks in the repository, those of solutions last."""
    folders = (root / "notebooks", root / "notebooks" / "solutions")
    return [
        path.relative_to(root).as_posix() for folder in folders for path in sorted(folder.glob("*.ipynb"))
    ]


def modules(root: Path = ROOT) -> list[str]:
    """Return the names of the package's public modules, such as `index` or `course.widgets`."""
    package = root / "metriclearn"
    found = [*sorted(package.glob("*.py")), *sorted(package.glob("course/*.py"))]
    names = [".".join(path.relative_to(package).with_suffix("").parts) for path in found]
    return [name for name in names if not name.endswith("__")]


def relink(text: str, old: str, new: str, moved: dict[str, str]) -> tuple[str, set[str]]:
    """Change the links of a page so that they hold where the page goes.

    Args:
        text: Markdown.
        old: the page's path in the repository.
        new: its path in the site's source.
        moved: where the other pages go, by their path in the repository.

    Returns:
        The text, and the repository's paths of linked files that are no pages: they must be copied too.
    """
    files: set[str] = set()

    def change(match: re.Match[str]) -> str:
        target, _, anchor = match[2].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        path = os.path.normpath(str(PurePosixPath(old).parent / target)).replace(os.sep, "/")
        if path not in moved:
            files.add(path)
        there = os.path.relpath(moved.get(path, path), PurePosixPath(new).parent).replace(os.sep, "/")
        return f"{match[1]}{there}{'#' * bool(anchor)}{anchor}{match[3]}"

    parts = CODE.split(text)  # every second part is code, where nothing is a link
    return "".join(part if i % 2 else LINK.sub(change, part) for i, part in enumerate(parts)), files


def landing_page(text: str, root: Path = ROOT) -> str:
    """Leave out the lines that link to pages which are not written yet; put in the plot and the contents."""
    lines = [
        line
        for line in text.splitlines()
        if all(
            re.match(r"[a-z]+:|#", target) or (root / "docs" / target.partition("#")[0]).exists()
            for _, target, _ in LINK.findall(line)
        )
    ]
    plot = "\n".join(
        f'<img class="only-{look}" src="_static/results-{look}.svg" alt="{PLOT}">' for look in LOOKS
    )
    written = [
        path.stem for path in sorted((root / "docs").glob("*.md")) if path.stem not in {"index", "api"}
    ]
    order = ["notebooks/index", "The course <readme>", *sorted(written, key=rank), "api", "data"]
    contents = "\n".join(
        ["```{toctree}", ":hidden:", "", *order, "deploy", "contributing", "changelog", "```"]
    )
    return "\n".join(lines).replace("<!-- results -->", plot) + f"\n\n{contents}\n"


def rank(name: str) -> tuple[int, str]:
    """Return where a page of docs/ stands in the menu: first what most visitors look for."""
    first = ("play", "install", "results", "own_folder", "faq", "glossary", "podcast", "workshop")
    return (first.index(name) if name in first else len(first), name)


def copy_pages(root: Path = ROOT, source: Path = SOURCE) -> None:
    """Copy all pages, with their links changed, and the files that they link to."""
    moved, files = pages(root), set()
    for old, new in moved.items():
        text = (root / old).read_text(encoding="utf-8")
        if old == "docs/index.md":
            text = landing_page(text, root)
        if old.endswith(".md"):
            text, linked = relink(FIGURE_NAME.sub("", text), old, new, moved)
            files |= linked
        else:
            notebook = json.loads(text)
            for cell in notebook["cells"]:
                fold_imports(cell)
                if cell["cell_type"] == "markdown":
                    cell["source"], linked = relink("".join(cell["source"]), old, new, moved)
                    files |= linked
            text = json.dumps(notebook)
        (source / new).parent.mkdir(parents=True, exist_ok=True)
        (source / new).write_text(text, encoding="utf-8")
    for name in files:
        if not (root / name).is_file():
            raise SystemExit(f"A page links to {name}, which does not exist: mend the link.")
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, source / name)


def fold_imports(cell: dict[str, Any]) -> None:
    """Hide the code of a cell that is tagged `imports` or `hide-input` behind a line that opens it."""
    tags = cell["metadata"].get("tags", [])
    if FOLDED & set(tags):
        what = "imports" if "imports" in tags or is_import(cell) else "code"
        cell["metadata"]["tags"] = [*tags, *({"hide-input"} - set(tags))]
        cell["metadata"]["mystnb"] = cell["metadata"].get("mystnb", {}) | {
            "code_prompt_show": f"Show the {what}",
            "code_prompt_hide": f"Hide the {what}",
        }


def is_import(cell: dict[str, Any]) -> bool:
    """Return whether a cell of code begins with an import."""
    return bool(re.match(r"\s*(?:import|from)\s", "".join(cell["source"])))


def notebook_list(root: Path = ROOT) -> str:
    """Return the page that lists the notebooks: the README's map of the course, and the solutions."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    part = readme.partition("## The course\n")[2].partition("\n## ")[0]
    course_map = "\n".join(line for line in part.splitlines() if line.startswith("|"))
    course_map, _ = relink(course_map, "README.md", "notebooks/index.md", pages(root))
    names = [path.removeprefix("notebooks/") for path in notebooks(root)]
    lessons = "\n".join(name for name in names if "/" not in name)
    solutions = "\n".join(name for name in names if "/" in name)
    head = "# Notebooks\n\nTake them in order; each also runs alone. The outputs are those of the last run."
    return (
        f"{head}\n\n{course_map}\n\n```{{toctree}}\n:hidden:\n\n{lessons}\n```\n\n"
        f"## Solutions of the exercises\n\n```{{toctree}}\n:maxdepth: 1\n\n{solutions}\n```\n"
    )


def last_sentence(text: str) -> str:
    """Return the last sentence of a text, without the stop or the colon that ends it."""
    sentences = [part for part in text.replace("\n", " ").replace("? ", "?. ").split(". ") if part]
    return sentences[-1].rstrip(".:") if sentences else ""


def describe_figure(heading: str, before: str) -> str:
    """Return a description for a picture that has none: its heading, and the sentence just before it."""
    last = last_sentence(before)
    return f"Figure in “{heading}”" + (f": {last}" if last else "") + "."


def mathjax_file() -> Path:
    """Return MathJax in one file, from a package: its name has a hyphen, so no statement can import it."""
    package = find_spec("sphinx-mathjax-offline")
    if package is None or package.origin is None:
        raise SystemExit("The package sphinx-mathjax-offline is missing: run make course.")
    return Path(package.origin).parent / "static" / "mathjax" / "tex-svg-full.js"


def write_reference(root: Path = ROOT, source: Path = SOURCE) -> None:
    """Write one page per module of the package, filled by Sphinx from the docstrings; list the notebooks."""
    (source / "notebooks" / "index.md").write_text(notebook_list(root), encoding="utf-8")
    (source / "api").mkdir(parents=True, exist_ok=True)
    for name in modules(root):
        directive = f"```{{eval-rst}}\n.. automodule:: metriclearn.{name}\n   :members:\n```"
        text = f"# metriclearn.{name}\n\n{directive}\n"
        (source / "api" / f"{name}.md").write_text(text, encoding="utf-8")


def draw_results(out: Path) -> None:
    """Draw accuracy against labels from the committed results, for light pages and for dark ones."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from benchmarks.pictures import draw_curve  # as in the README's picture

    for look, style in zip(LOOKS, ("default", "dark_background"), strict=True):
        with plt.style.context([style, {"svg.hashsalt": "results", "font.size": 11}]):
            figure = draw_curve()
            figure.savefig(out / f"results-{look}.svg", transparent=True, metadata={"Date": None})
            plt.close(figure)


def main() -> int:
    """Build the site and return 0, or Sphinx's exit status if anything warned."""
    sys.path.insert(0, str(ROOT))
    for folder in (SOURCE, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    copy_pages()
    write_reference()
    for name in ("_static", "_templates"):
        shutil.copytree(ROOT / "docs" / name, SOURCE / name, dirs_exist_ok=True)
    if (ROOT / "tools" / "living_data.py").exists():  # the figures that also run in notebooks
        from importlib import import_module

        import_module("living_data").write(SOURCE / "_static" / "living")
    draw_results(SOURCE / "_static")
    shutil.copy2(ROOT / "docs" / "conf.py", SOURCE)
    for name in notebooks():
        copy = SOURCE / "_extra" / name.replace("notebooks", "download", 1)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy)
    shutil.rmtree(DOCTREES, ignore_errors=True)
    from sphinx.cmd.build import main as sphinx  # in this process: torch is imported only once

    status = sphinx(["-W", "--keep-going", "-q", "-b", "html", "-d", str(DOCTREES), str(SOURCE), str(SITE)])
    if status == 0:
        print(f"The site is in {SITE.relative_to(ROOT)}: open {SITE.relative_to(ROOT)}/index.html")
    return status


if __name__ == "__main__":
    sys.exit(main())
