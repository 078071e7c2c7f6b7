"""Filters: conditions on points. A condition that says nothing is refused, however it is spelt.

To Qdrant an empty filter means every point, and so do `Filter(must=[])` or a range without ends. A count
would be too large, and a delete would empty the collection. So each part of a filter must say something.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from qdrant_client import models

from metriclearn.checks.arguments import shown
from metriclearn.checks.arrays import as_array

Where = Mapping[str, Any] | models.Filter

INT64 = range(-(2**63), 2**63)


def filter_of(where: Where | None) -> models.Filter | None:
    """Turn a condition (see `EmbeddingIndex.query`) into Qdrant's filter; None stays None.

    Raises:
        ValueError: for anything else, or if a part of it says nothing.
    """
    if where is None:
        return None
    if isinstance(where, models.Filter):
        if not _says_something(where):
            raise ValueError(
                f"The filter is empty, or a part of it is, and would mean every point: {shown(where)}. "
                'Leave that part out; to delete every point, say so with where={"encoder": encoder_id}.'
            )
        return where
    if not isinstance(where, Mapping) or len(where) == 0:
        raise ValueError(f'where is {shown(where)}: pass a dictionary such as {{"label": 3}}, or a Filter.')
    conditions: list[models.Condition] = []
    for key, value in where.items():
        values = _values(value)
        kinds = {type(v) for v in values}
        fits = kinds == {str} or (kinds == {bool} and len(values) == 1)
        fits = fits or (kinds == {int} and all(v in INT64 for v in values))
        if not isinstance(key, str) or not key or not fits:
            raise ValueError(
                f"where[{key!r}] is {shown(value)}: name an entry of the payload, and pass whole numbers "
                "(int64), texts or one bool."
            )
        match = models.MatchValue(value=values[0]) if len(values) == 1 else models.MatchAny(any=values)
        conditions.append(models.FieldCondition(key=key, match=match))
    return models.Filter(must=conditions)


def _values(value: Any) -> list[Any]:
    """Return the values that a key may have, as Python's own; [None] for what is no list of values."""
    if getattr(value, "ndim", 0):  # an array, a tensor, a column of pandas or a table
        array = as_array(value, "The values")
        if array.ndim > 1 and array.shape[1:] != (1,):
            return [None]
        value = array.reshape(-1).tolist()
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    if several and not isinstance(value, np.ndarray | torch.Tensor):  # those left have no axis
        return [_plain(v) for v in value]
    return [_plain(value)]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray | torch.Tensor):
        return value.tolist()
    return str(value) if isinstance(value, str) else value


def _says_something(part: Any) -> bool:
    """Return whether a part of a filter, and each part of this part, can tell points apart."""
    if isinstance(part, models.Filter):
        clauses = [clause for clause in (part.must, part.should, part.must_not, part.min_should) if clause]
        return bool(clauses) and all(map(_says_something, clauses))
    if isinstance(part, models.MatchValue):
        return True  # even the empty text is one that a payload may hold
    if isinstance(part, models.MinShould) and part.min_count < 1:
        return False
    if isinstance(part, BaseModel):
        said = {name: value for name, value in part if value is not None}
        if said.get("total") == 1:  # the only slice is the whole
            return False
        if set(said) == {"key"}:  # a condition on a field, without the condition
            return type(part).__name__ == "PayloadField"
        return bool(said) and all(map(_says_something, said.values()))
    if isinstance(part, str | list | tuple | set | frozenset | dict):
        return len(part) > 0 and (isinstance(part, str | dict) or all(map(_says_something, part)))
    return True
