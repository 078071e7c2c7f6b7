r"""Groups of pictures that `fit` holds out together: near-duplicates, and what `--group-by` names.

    column:plant         a column of the table of labels
    pattern:(part\d+)_   a regular expression for the file's name below the folder; its first group counts
    level:2              the second folder on the way to a file; folders that are classes are level 1

Pictures for which that is the same text are a group. One without such a text is a group of its own.
"""

import re
from typing import Any

import numpy as np

from metriclearn.checks.labels import LabelArray, check_groups, is_labelled, names_no_class
from metriclearn.cli.common import UsageError, wrong_use
from metriclearn.cross_validation import stratified_folds, without_duplicates
from metriclearn.curation import duplicate_groups, duplicates
from metriclearn.photos import Photographs
from metriclearn.photos.class_names import printable
from metriclearn.photos.listing import read_column


def groups_of(
    photographs: Photographs, by: str | None, table: str | None, seed: int
) -> tuple[LabelArray | None, dict[str, Any]]:
    """Return the groups that are held out together, and what the card says of them.

    Near-duplicates join a group, as long as enough is left to judge by: of a camera that never moves all
    pictures may nearly be the same.

    Args:
        photographs: the pictures.
        by: what `--group-by` says, or None.
        table: the further table of labels, or None.
        seed: of the folds.

    Returns:
        `groups, facts`: int64, shape `(n,)`, or None if each picture is judged alone; and a part of the card.

    Raises:
        UsageError: if `--group-by` is none of the three forms, or names nothing that makes groups.
        ValueError: see `read_photographs`.
    """
    n = len(photographs)
    names = [None] * n if by is None else _names(photographs, by, table)
    named = check_groups(names, n)
    pairs = sum(not pair.same_file for pair in duplicates(photographs))
    groups = duplicate_groups(photographs, named)
    kept = _can_be_judged(photographs, groups, named, seed)
    if not kept:
        groups = named
    facts = {
        "by": by,
        "number": len(np.unique(groups[is_labelled(photographs.labels)])),
        "alone": 0 if by is None else names.count(None),
        "near_pairs": pairs,
        "near_pairs_kept": kept,
    }
    return (groups if len(np.unique(groups)) < n else None), facts


def _can_be_judged(photographs: Photographs, groups: LabelArray, named: LabelArray, seed: int) -> bool:
    """Return whether these groups leave enough to judge by: two classes, and half of the labels in each fold.

    What the user named may be larger than half.
    """
    labels = without_duplicates(photographs.labels, photographs.digests)
    known = is_labelled(labels)
    largest, allowed = (int(np.bincount(each[known]).max()) for each in (groups, named))
    if largest > max(allowed, int(known.sum()) / 2):
        return False
    try:
        return bool(stratified_folds(labels, seed=seed, groups=groups))
    except ValueError:
        return False


def _names(photographs: Photographs, by: str, table: str | None) -> list[str | None]:
    """Return the group of each picture by its name, or None."""
    form, _, what = by.partition(":")
    if form == "column" and what.strip():
        with wrong_use():
            cells = read_column(photographs.folder, what.strip(), table)
        named = [cells.get(name) for name in photographs.files]
        found = [None if cell is None or names_no_class(cell) else cell for cell in named]
    elif form == "pattern" and what:
        found = _matches(photographs, what)
    elif form == "level" and re.fullmatch(r"[1-9]\d{0,2}", what):
        folders = [name.split("/")[:-1] for name in photographs.files]
        found = [path[int(what) - 1] if len(path) >= int(what) else None for path in folders]
    else:
        raise UsageError(f"--group-by is {by!r}: write column:NAME, pattern:REGEX or level:N.")
    n, shared = len(found), {name for name in found if name}
    if not shared:
        example = printable(photographs.files[0])
        raise UsageError(f"--group-by {by} finds no group for any of {n} pictures, such as {example}.")
    if shared == {*found} and len(shared) == 1:
        raise UsageError(f"--group-by {by} puts all {n} pictures into one group: name what tells them apart.")
    if len(shared) == n - found.count(None):
        raise UsageError(
            f"--group-by {by} gives no two pictures one group: name what several have in common."
        )
    return found


def _matches(photographs: Photographs, pattern: str) -> list[str | None]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--group-by has a pattern that is no regular expression ({error}).") from None
    matches = [compiled.search(name) for name in photographs.files]
    return [match[min(1, compiled.groups)] or None if match else None for match in matches]
