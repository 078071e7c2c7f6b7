"""Names of classes: which are allowed, which texts mean "no label", and how a name is shown in a terminal."""

import unicodedata
from collections.abc import Iterable

from metriclearn.checks.labels import means_unlabelled, names_no_class

LONGEST_NAME = 120  # letters of it in a message
JOINERS = "\u200c\u200d"  # between letters of Persian, and parts of an emoji
UNKNOWN = "unknown"  # what a classifier answers, and so no class


def parse_label(text: str) -> str | None:
    """Return the class that a cell of a table names, or None where it says that there is no label."""
    return None if means_unlabelled(text) else text.strip()


def check_class_names(names: Iterable[str]) -> None:
    """Raise a ValueError for a class name that cannot be meant, or two that a reader would take for one."""
    alike: dict[str, str] = {}
    for name in names:
        if reason := _reason_to_rename(name):
            raise ValueError(f'A class is called "{excerpt(name)}", which {reason}.')
        plain = unicodedata.normalize("NFKC", _same_case(name))
        if other := alike.get(plain):
            differ = "case or blanks"
            if _same_case(name) != _same_case(other):
                differ = "how Unicode writes their letters"
            both = f'"{excerpt(other)}" and "{excerpt(name)}"'
            raise ValueError(f"The classes {both} differ only in {differ}: give both one name.")
        alike[plain] = name


def check_enough(counts: dict[str, int]) -> None:
    """Raise a ValueError unless there are two classes or more, with two labelled pictures each.

    Raises:
        ValueError: if not.
    """
    if len(counts) < 2:
        found = "No picture has a label"
        if counts:
            found = f"All labelled pictures are of one class ({excerpt(next(iter(counts)))})"
        wanted = "sort some into a folder per class, or write labels.csv with the columns file_name and label"
        raise ValueError(f"{found}: {wanted}.")
    if few := [excerpt(name) for name, n in counts.items() if n < 2]:
        raise ValueError(f"The class {few[0]} has one labelled picture: label a second, or leave it out.")


def printable(text: str) -> str:
    """Return a text for a terminal: what cannot be seen in it, such as a line break, is spelled out."""
    if text.isprintable():
        return text
    return "".join(
        letter if _is_shown(letter) else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def excerpt(text: str) -> str:
    """Return a text for a message: printable, and cut if it is longer than a name is."""
    return printable(text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}...")


def enumerated(names: Iterable[str], most: int = 5) -> str:
    """Return the first names as a person lists them, such as "cat, dog and 3 more"."""
    shown = [excerpt(name) for name in names]
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(shown) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "none"


def _is_shown(letter: str) -> bool:
    """Return whether a letter may be shown: one that can be seen, joins two others, or is a blank."""
    return letter.isprintable() or letter in JOINERS or unicodedata.category(letter) == "Zs"


def _same_case(name: str) -> str:
    return " ".join(name.translate(dict.fromkeys(map(ord, JOINERS))).split()).casefold()


def _reason_to_rename(name: str) -> str | None:
    """Return why a name cannot be that of a class, and what to do, or None."""
    if "".join(filter(str.isalnum, name)).casefold() == UNKNOWN:
        return "means that nothing is near: rename it"
    if names_no_class(name):
        return (
            'means no class: rename it, to "unlabelled" (in a table leave the cell empty) if these pictures '
            "have no label"
        )
    if printable(name) != name:
        return "has a character that a terminal or a file system may not show: rename it"
    return None
