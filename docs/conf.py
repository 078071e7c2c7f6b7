"""How Sphinx builds the site. tools/build_site.py copies this file beside the pages and runs Sphinx."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent  # the file runs as build/site-source/conf.py
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
from build_site import describe_figure, mathjax_file, pages  # noqa: E402

project = "Metric learning with a vector database"
author = "The metriclearn authors"
copyright = "the metriclearn authors; text and figures CC BY 4.0, code Apache 2.0"
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_extra", "_templates"]
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline", "html_image"]
myst_heading_anchors = 4  # a link to a heading is written as GitHub forms it
suppress_warnings = ["myst.header"]  # the questions are of the third level, right below the title
smartquotes_action = "q"  # quotation marks only: two hyphens before an option stay two
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # otherwise they come from another host
nb_merge_streams = True

default_role = "literal"  # docstrings write code between single backticks
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the docstrings say the type and the shape

mathjax_path = mathjax_file().name

html_theme = "pydata_sphinx_theme"
html_title = "Metric learning, hands on"
html_static_path = ["_static", str(mathjax_file())]
html_extra_path = ["_extra"]
templates_path = ["_templates"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_search_summary = False  # Sphinx would fetch each page for it; docs/_static/search.js needs no fetch
# Only notebooks and the API have neighbours to list at the left.
html_sidebars = {
    page: [] for page in ("index", "readme", "contributing", "changelog", "data", "deploy", "search")
} | {path.stem: [] for path in (ROOT / "docs").glob("*.md") if path.stem != "api"}
html_theme_options: dict[str, Any] = {
    "logo": {"text": "Metric learning, hands on"},
    "navbar_align": "left",
    "header_links_before_dropdown": 3,
    "show_prev_next": True,
    "secondary_sidebar_items": {"**": ["page-toc", "page-files"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "icon_links": [],
}
# Where a page's source can be edited, such as https://HOST/OWNER/REPOSITORY/edit/main; unset: no such links.
EDIT_URL = os.environ.get("METRICLEARN_EDIT_URL", "").rstrip("/")

# For the search: each page's sections, their anchors and their texts.
TEXTS: dict[str, list[tuple[str, str]]] = {}
LEFT_OUT = (nodes.Inline, nodes.raw, nodes.comment)


def page_files(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Tell the template where this page's notebook can be downloaded, and where its source is edited."""
    old = {new.rpartition(".")[0]: path for path, new in pages().items()}.get(page)
    if old and old.endswith(".ipynb"):
        context["notebook_file"] = old.replace("notebooks", "download", 1)
    if old and EDIT_URL:
        context["edit_address"] = f"{EDIT_URL}/{old}"


def describe_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Give each picture without a description one from what stands around it.

    An author describes a notebook's picture in its cell's metadata, as `{"mystnb": {"image": {"alt": "…"}}}`.
    Otherwise the heading and the sentence just before the cell say what the picture shows.
    """
    heading = before = ""
    for node in doctree.findall():
        if isinstance(node, nodes.title):
            heading, before = node.astext(), ""
        elif isinstance(node, nodes.paragraph):
            before = node.astext()
        elif isinstance(node, nodes.image) and not node.get("alt"):
            node["alt"] = describe_figure(heading, before)


def keep_texts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Keep a page's texts for the search; the page of the search itself gets the scripts that show them."""
    if isinstance(doctree, nodes.document):
        TEXTS[page] = [(section["ids"][0], own_text(section)) for section in doctree.findall(nodes.section)]
    elif page == "search":
        app.add_js_file("search-texts.js")
        app.add_js_file("search.js")


def own_text(section: nodes.section) -> str:
    """Return the text of a section without that of the sections within it."""
    parts = [part for part in section.children if not isinstance(part, nodes.section)]
    texts = [text for part in parts for text in part.findall(nodes.TextElement)]
    return " ".join(" ".join(text.astext() for text in texts if not isinstance(text, LEFT_OUT)).split())


def write_texts(app: Sphinx, error: Exception | None) -> None:
    """Write the texts of all pages as a script: a page opened from the disk may load no other data."""
    if error is None:
        text = f"const SEARCH_TEXTS = {json.dumps(TEXTS, ensure_ascii=False)};\n"
        (Path(app.outdir) / "_static" / "search-texts.js").write_text(text, encoding="utf-8")


def escape_names(app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]) -> None:
    """Keep `numpy.str_` a name: to Sphinx an underscore at the end of a word makes it a link."""
    lines[:] = [re.sub(r"(?<=\bnumpy\.str)_\b", r"\\_", line) for line in lines]


def skip_routing(
    app: Sphinx, what: str, name: str, found: object, skip: bool, options: object
) -> bool | None:
    """Leave out what scikit-learn adds to its estimators: the docstrings link into its own manual."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("html-page-context", page_files)
    app.connect("html-page-context", keep_texts)
    app.connect("build-finished", write_texts)
    app.connect("doctree-read", describe_pictures)
    app.connect("autodoc-skip-member", skip_routing)
    app.connect("autodoc-process-docstring", escape_names)
