"""Templates of the pages: names of files and classes are data in them and never markup.

In HTML everything is escaped; in Markdown the filter `plain` does so. Characters that cannot be seen, or that
turn the text around, are spelled out in both.
"""

import base64
import hashlib
import html
import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_environment, select_autoescape
from markupsafe import Markup

from metriclearn.photos.class_names import printable


def render(template: str, **context: Any) -> str:
    """Return a page: a file in `metriclearn/cli/templates` that shows the context."""
    return _environment().get_template(template).render(context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("metriclearn.cli"),
        autoescape=select_autoescape(["html.j2"]),
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"plain": plain, "source": source, "sha256": sha256, "thousands": "{:,}".format}
    return environment


def _visible(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def plain(text: str) -> str:
    """Return a name as Markdown shows it and nothing else: no tag, no link, no new column."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~-])", r"\\\1", html.escape(printable(text), quote=False))


@pass_environment
def source(environment: Environment, name: str) -> Markup:
    """Return a file of our own beside the templates, such as a script, as it is."""
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def sha256(script: str) -> str:
    """Return the hash by which a content security policy allows a script (https://www.w3.org/TR/CSP3/)."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
