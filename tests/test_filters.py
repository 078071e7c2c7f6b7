"""Conditions: what says nothing is refused in every spelling, and values are the same in every form."""

import numpy as np
import pandas as pd
import pytest
import torch
from qdrant_client import models
from qdrant_client.models import (
    FieldCondition,
    Filter,
    HasIdCondition,
    HasVectorCondition,
    IsEmptyCondition,
    MatchAny,
    MatchExcept,
    MatchText,
    MatchValue,
    MinShould,
    NestedCondition,
    PayloadField,
    Range,
    ValuesCount,
)

from metriclearn import EmbeddingIndex
from metriclearn.index.filters import filter_of

LABEL_1 = FieldCondition(key="label", match=MatchValue(value=1))


def on_label(**condition):
    return Filter(must=[FieldCondition(key="label", **condition)])


SAY_NOTHING = {
    "no clause": Filter(),
    "must": Filter(must=[]),
    "should": Filter(should=[]),
    "must_not": Filter(must_not=[]),
    "all clauses": Filter(must=[], should=[], must_not=[]),
    "none and empty": Filter(must=None, should=[]),
    "no alternatives": Filter(min_should=MinShould(conditions=[], min_count=1)),
    "none of one alternative": Filter(min_should=MinShould(conditions=[LABEL_1], min_count=0)),
    "within must": Filter(must=[Filter()]),
    "within must, not in a list": Filter(must=Filter()),
    "within should": Filter(should=[LABEL_1, Filter(must=[])]),
    "within must_not": Filter(must_not=[Filter(should=[])]),
    "twice within": Filter(must_not=[Filter(must_not=[Filter(must_not=[])])]),
    "beside a condition": Filter(must=[LABEL_1, Filter()]),
    "no ids": Filter(must_not=[HasIdCondition(has_id=[])]),
    "any of none": Filter(must_not=[FieldCondition(key="label", match=MatchAny(any=[]))]),
    "all except none": on_label(match=MatchExcept(**{"except": []})),
    "a range without ends": on_label(range=Range()),
    "any number of values": on_label(values_count=ValuesCount()),
    "a field without a condition": Filter(must=[FieldCondition(key="label")]),
    "nested": Filter(must=[NestedCondition(nested=models.Nested(key="a", filter=Filter()))]),
    "the vector that all have": Filter(must=[HasVectorCondition(has_vector="")]),
    "the empty text in texts": Filter(must=[FieldCondition(key="source", match=MatchText(text=""))]),
}
if hasattr(models, "SliceCondition"):  # not in the oldest client that will do
    SAY_NOTHING["the whole as a slice"] = Filter(
        must=[models.SliceCondition(slice=models.Slice(total=1, index=0))]
    )


@pytest.mark.parametrize("where", SAY_NOTHING.values(), ids=SAY_NOTHING)
def test_a_filter_that_says_nothing_is_refused_everywhere(where):
    with EmbeddingIndex(3, path=":memory:") as index:
        index.upsert(np.eye(3), labels=[0, 1, 2], sources=["a", "b", "c"])
        for call in (
            index.count,
            lambda where: index.query(np.eye(3), k=1, where=where),
            lambda where: index.delete(where=where),
        ):
            with pytest.raises(ValueError, match=r"The filter is empty, or a part of it.*encoder_id"):
                call(where)
        assert len(index) == 3


@pytest.mark.parametrize(
    ("where", "left"),
    [
        (Filter(must=[LABEL_1]), 2),
        (Filter(must=LABEL_1, must_not=[], should=None), 2),
        (Filter(must_not=[LABEL_1]), 1),
        (Filter(should=[Filter(must=[LABEL_1]), Filter(must_not=[Filter(must_not=[LABEL_1])])]), 2),
        (Filter(min_should=MinShould(conditions=[LABEL_1], min_count=1)), 2),
        (on_label(range=Range(gte=0, lt=1)), 2),
        (on_label(match=MatchExcept(**{"except": [0, 1]})), 2),
        (Filter(must=[IsEmptyCondition(is_empty=PayloadField(key="part"))]), 0),
        (Filter(must=[FieldCondition(key="source", match=MatchValue(value=""))]), 3),
        ({"encoder": "unknown"}, 0),  # the way to delete every point
    ],
)
def test_a_filter_that_says_something_is_obeyed(where, left):
    with EmbeddingIndex(3, path=":memory:") as index:
        index.upsert(np.eye(3), labels=[0, 1, 2], sources=["a", "b", "c"])
        index.delete(where=where)
        assert len(index) == left


NUMBERS = {
    "list": [1, 2],
    "tuple": (1, 2),
    "set": {1, 2},
    "array": np.array([1, 2], dtype=np.uint8),
    "scalars": [np.int16(1), np.int64(2)],
    "column": np.array([[1], [2]]),
    "objects": np.array([1, 2], dtype=object),
    "pandas": pd.Series([1, 2], index=["x", "y"]),
    "a table of one column": pd.DataFrame({"label": [1, 2]}),
    "tensor": torch.tensor([1, 2]),
    "tensors": [torch.tensor(1), torch.tensor(2)],
    "range": range(1, 3),
    "generator": None,
}


@pytest.mark.parametrize("form", NUMBERS)
def test_numbers_mean_the_same_in_every_form(form):
    values = (number for number in (1, 2)) if form == "generator" else NUMBERS[form]
    assert filter_of({"label": values}) == filter_of({"label": [1, 2]})


def test_texts_and_single_values_mean_the_same_in_every_form():
    plain = filter_of({"source": ["a", "b"]})
    for texts in (np.array(["a", "b"]), pd.Series(["a", "b"], index=[7, 3]), (t for t in "ab")):
        assert filter_of({"source": texts}) == plain
    for one in (3, np.int8(3), torch.tensor(3), np.array(3), [3], pd.Series([3], index=[9])):
        assert filter_of({"label": one}) == filter_of({"label": 3})
    assert filter_of({"source": np.str_("a")}) == filter_of({"source": "a"})
    assert filter_of({"suspect": np.True_}) == filter_of({"suspect": True})


@pytest.mark.parametrize(
    "where",
    [
        {"label": np.ones((2, 2), dtype=int)},
        {"label": pd.DataFrame({"a": [1], "b": [2]})},
        {"label": torch.tensor([1.0])},
        {"label": np.array([1.0, np.nan])},
        {"label": {"gte": 1}},
        {"source": b"a"},
        {"label": [1, True]},
        {"label": 2**63},
        {"label": pd.Series([1, pd.NA], dtype="Int64")},
        {3: 4},
        {"": 4},
        pd.Series({"label": 3}),
        "label",
        [("label", 3)],
    ],
)
def test_what_is_no_condition_is_refused_in_one_sentence(where):
    with pytest.raises(ValueError, match=r"^where.*: .*\.$"):
        filter_of(where)
