"""Print how large and how entangled the package is: one table, without what only the notebooks use.

python tools/code_numbers.py --root PATH    # of another checkout

* Code lines hold code: no blank line, no comment, no docstring.
* Checking lines are code lines of functions named `check_…` or `_check…`, of `raise` statements, and of `if`
  and `try` statements that do nothing but raise. Of an `if` these are its condition and its body; of a `try`
  the line `try:` and the handlers. The message may be put together before the `raise`.
* An import arrow leads from a module to another that it imports, at its top or in a function. What only type
  checkers import is left out, and so is `metriclearn/__init__.py`, which lists the public names.
* An import cycle is a set of modules that all reach one another along the arrows.
* A private use is `x._name`, where x is not `self` or `cls` and another module defines `_name`, or
  `from module import _name`.
* Public are the functions and classes at the top of a module whose name has no underscore in front.
"""

import argparse
import ast
import io
import tokenize
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

PACKAGE, LEFT_OUT = "metriclearn", "course"
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module:
    """A file of the package.

    Args:
        name: such as `metriclearn.index.filters`; a package's `__init__.py` has the name of the package.
        text: what the file holds.
        is_package: whether it is an `__init__.py`.
    """

    def __init__(self, name: str, text: str, is_package: bool = False) -> None:
        self.name, self.text, self.tree = name, text, ast.parse(text)
        self.package = name if is_package else name.rpartition(".")[0]

    @cached_property
    def code(self) -> set[int]:
        """The numbers of its code lines."""
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in NO_CODE:
                lines.update(range(token.start[0], token.end[0] + 1))
        for node in ast.walk(self.tree):
            if isinstance(node, Documented) and ast.get_docstring(node, clean=False) is not None:
                lines -= span(node.body[0])
        return lines

    @cached_property
    def checks(self) -> set[int]:
        """The numbers of its code lines that check arguments."""
        lines: set[int] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Raise) or (
                isinstance(node, Function) and node.name.startswith(("check_", "_check"))
            ):
                lines |= span(node)
            elif isinstance(node, ast.If) and only_raises(node.body):
                lines |= set(range(node.lineno, (node.body[-1].end_lineno or node.lineno) + 1))
            elif isinstance(node, ast.Try) and all(only_raises(handler.body) for handler in node.handlers):
                lines |= {node.lineno}.union(*(span(handler) for handler in node.handlers))
        return lines & self.code

    @property
    def raises(self) -> int:
        """The number of its `raise` statements."""
        return sum(isinstance(node, ast.Raise) for node in ast.walk(self.tree))

    @property
    def public(self) -> int:
        """The number of its public functions and classes."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return sum(isinstance(node, kinds) and not node.name.startswith("_") for node in self.tree.body)

    @cached_property
    def imports(self) -> list[tuple[str, str | None]]:
        """What it imports while it runs: the module, and the name from it, None for the module itself."""
        found: list[tuple[str, str | None]] = []
        for node in running(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, None) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                folders = self.package.split(".")[: len(self.package.split(".")) - node.level + 1]
                source = (
                    ".".join([*folders, node.module or ""]).rstrip(".") if node.level else node.module or ""
                )
                found += [(source, alias.name) for alias in node.names]
        return found

    @cached_property
    def private_names(self) -> set[str]:
        """The private names that it defines, at its top, in a class, or as an attribute of an object."""
        found = {node.name for node in ast.walk(self.tree) if isinstance(node, Function | ast.ClassDef)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.id if isinstance(node, ast.Name) else node.attr)
        return {name for name in found if is_private(name)}

    @property
    def reached_into(self) -> list[str]:
        """The private names after a dot that are not of `self` or `cls`."""
        return [
            node.attr
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute)
            and is_private(node.attr)
            and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        ]


def span(node: ast.stmt | ast.ExceptHandler) -> set[int]:
    """Return the numbers of the lines of a statement."""
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def only_raises(body: list[ast.stmt]) -> bool:
    """Return whether statements do nothing but raise, once they have put together the message."""
    *before, last = body
    return isinstance(last, ast.Raise) and all(isinstance(each, ast.Assign) for each in before)


def is_private(name: str) -> bool:
    """Return whether a name is private by convention."""
    return name.startswith("_") and not name.startswith("__") and name != "_"


def running(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from running(child)


def modules(root: Path) -> list[Module]:
    """Return the modules of the package in a checkout."""
    found = []
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if LEFT_OUT not in parts:
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            found.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return found


def arrows(parts: list[Module]) -> set[tuple[str, str]]:
    """Return who imports whom: pairs of names."""
    names = {part.name for part in parts} - {PACKAGE}
    found = set()
    for part in parts:
        for source, name in part.imports:
            target = f"{source}.{name}" if f"{source}.{name}" in names else source
            if target in names and part.name in names and target != part.name:
                found.add((part.name, target))
    return found


def cycles(arrows: set[tuple[str, str]]) -> list[set[str]]:
    """Return the sets of more than one name that all reach one another."""
    names = {name for pair in arrows for name in pair}
    reach = {name: {target for source, target in arrows if source == name} for name in names}
    for through in names:
        for name in names:
            if through in reach[name]:
                reach[name] |= reach[through]
    circles = {frozenset(other for other in reach[name] if name in reach[other]) for name in names}
    return [set(circle) for circle in sorted(circles, key=sorted) if len(circle) > 1]


def private_uses(parts: list[Module]) -> list[tuple[str, str]]:
    """Return each use of another module's private name: the module that uses it, and the name."""
    found = []
    for part in parts:
        foreign = {name for other in parts if other is not part for name in other.private_names}
        found += [(part.name, name) for name in part.reached_into if name in foreign - part.private_names]
        found += [
            (part.name, name)
            for source, name in part.imports
            if name and is_private(name) and source.startswith(PACKAGE)
        ]
    return found


def numbers(parts: list[Module]) -> dict[str, str]:
    """Return each number as it is printed."""
    code = sum(len(part.code) for part in parts)
    checks, raises = sum(len(part.checks) for part in parts), sum(part.raises for part in parts)
    pairs = arrows(parts)
    return {
        "files": str(len(parts)),
        "folders": str(len({part.package for part in parts})),
        "lines": f"{sum(part.text.count(chr(10)) for part in parts):,}",
        "code lines": f"{code:,}",
        "checking lines, share of the code lines": f"{100 * checks / code:.1f} %",
        "raise per 1,000 code lines": f"{1000 * raises / code:.1f}",
        "import arrows": str(len(pairs)),
        "import cycles": str(len(cycles(pairs))),
        "private uses across modules": str(len(private_uses(parts))),
        "public functions and classes": str(sum(part.public for part in parts)),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).resolve().parent.parent, help="a checkout"
    )
    found = numbers(modules(parser.parse_args().root))
    width = max(map(len, found))
    print("\n".join(f"{name:{width}}  {value:>8}" for name, value in found.items()))


if __name__ == "__main__":
    main()
