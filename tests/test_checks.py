"""Input in every form that people have: the checks read each alike, or say in one sentence why not."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from metriclearn.checks.arguments import check_choice, check_count, check_flag, check_folder, check_number
from metriclearn.checks.arrays import (
    as_array,
    as_floats,
    check_embeddings,
    check_ids,
    check_images,
    check_inputs,
    check_payloads,
    check_sources,
)
from metriclearn.checks.labels import (
    check_class_labels,
    check_labels,
    check_targets,
)

# Values that half precision holds exactly, so that every form holds the same numbers.
PIXELS = np.random.default_rng(0).integers(0, 129, (6, 1, 3, 2)) / 128
ROWS = np.random.default_rng(1).integers(-128, 129, (6, 4)) / 128
LABELS = np.array([2, 0, 1, -1, 2, 0])
FOREIGN = [5, 3, 0, 1, 4, 2]  # an index of pandas that tells another order

ARRAYS = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(a),
    "objects": lambda a: a.astype(object),
    "not contiguous": lambda a: np.repeat(a, 2, axis=0)[::2],
    "by columns": np.asfortranarray,
    "tensor": torch.tensor,
    "list of tensors": lambda a: [torch.tensor(part) for part in a],
}
FLOATS = {
    "half": lambda a: a.astype(np.float16),
    "long double": lambda a: a.astype(np.longdouble),
    "big-endian": lambda a: a.astype(">f8"),
    "tensor with gradient": lambda a: torch.tensor(a, requires_grad=True),
    "half tensor": lambda a: torch.tensor(a).half(),
    "bfloat16 tensor": lambda a: torch.tensor(a).bfloat16(),
    "list of tensors with gradient": lambda a: [torch.tensor(part, requires_grad=True) for part in a],
}
CLASSES = {
    "int8": lambda a: a.astype(np.int8),
    "whole floats": lambda a: a.astype(np.float32),
    "int32 tensor": lambda a: torch.tensor(a).int(),
    "float tensor": lambda a: torch.tensor(a).double(),
    "series": lambda a: pd.Series(a, index=FOREIGN),
    "series by name": lambda a: pd.Series(a, index=list("fdabec")),
    "nullable series": lambda a: pd.Series(a, index=FOREIGN, dtype="Int64"),
    "column of a table": lambda a: pd.DataFrame({"y": a}, index=FOREIGN)["y"],
}


@pytest.mark.parametrize("form", ARRAYS | FLOATS)
def test_images_are_read_alike_in_every_form(form):
    images = check_images((ARRAYS | FLOATS)[form](PIXELS))
    assert images.dtype == np.float32
    assert images.flags.c_contiguous
    np.testing.assert_array_equal(images, PIXELS)


@pytest.mark.parametrize("form", [*ARRAYS, *FLOATS, "table"])
def test_embeddings_are_read_alike_in_every_form(form):
    given = ARRAYS | FLOATS | {"table": lambda a: pd.DataFrame(a, index=FOREIGN, columns=list("wxyz"))}
    rows = check_embeddings(given[form](ROWS), 4, unit_length=False)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, ROWS)
    np.testing.assert_array_equal(check_inputs(given[form](ROWS)), ROWS)


@pytest.mark.parametrize("form", ARRAYS | CLASSES)
def test_labels_are_read_alike_in_every_form(form):
    given = (ARRAYS | CLASSES)[form](LABELS)
    for check in (check_labels, check_class_labels, check_targets):
        labels = check(given, 6)
        assert labels.dtype == np.int64
        assert labels.tolist() == LABELS.tolist()
        assert labels is not given  # a copy


@pytest.mark.parametrize("form", ["list", "tuple", "objects"])
def test_names_are_targets_in_every_form(form):
    names = np.array(list("badbad"))
    assert check_targets(ARRAYS[form](names), 6).tolist() == names.tolist()
    categories = pd.Series(names, index=FOREIGN, dtype="category")
    assert check_targets(categories, 6).tolist() == names.tolist()


def test_a_read_only_map_is_read_like_an_array(tmp_path):
    np.save(tmp_path / "array.npy", ROWS)
    mapped = np.load(tmp_path / "array.npy", mmap_mode="r")
    np.testing.assert_array_equal(check_embeddings(mapped, unit_length=False), ROWS)


# Images


def test_bytes_stay_bytes_and_become_floats_when_asked():
    photographs = np.array([0, 51, 255], dtype=np.uint8).reshape(1, 1, 1, 3)
    assert check_images(photographs).dtype == np.uint8
    np.testing.assert_allclose(as_floats(check_images(photographs)).ravel(), [0, 0.2, 1])


@pytest.mark.parametrize("brightest", [0, 1])
def test_a_black_picture_is_a_picture(brightest):
    night = np.full((1, 3, 4, 4), brightest, dtype=np.uint8)
    assert check_images(night).dtype == np.uint8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (sparse.csr_array(ROWS), r"sparse or masked array: use .toarray\(\)"),
        (np.ma.masked_array(ROWS, ROWS > 0), r"sparse or masked array: use .* or .filled\(\)"),
        ([[1.0, 2.0], [1.0]], "have parts of different shapes"),
    ],
)
def test_what_is_no_plain_array_is_refused(values, message):
    with pytest.raises(ValueError, match=rf"^The numbers .*{message}"):
        as_array(values, "The numbers")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:0], r"Found array with 0 sample\(s\)"),
        ([["a", "b"]], "could not convert string to float"),
        ([[1.0, np.nan]], "Input contains NaN"),
        ([[1.0], [1e300]], "Input contains infinity or a value too large"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_rows_that_no_encoder_can_read(rows, message):
    with pytest.raises(ValueError, match=message):
        check_inputs(rows)


# What is stored beside an embedding


@pytest.mark.parametrize("form", [list, tuple, np.array, lambda column: pd.Series(column, index=FOREIGN[:2])])
def test_sources_payloads_and_ids_are_read_by_position(form):
    names, payloads = ["b", "a"], [{"row": 0}, {"row": 1}]
    ids = ["92c39fe7-2aeb-5c37-ad29-4bc8d4a0c3d1", "936f8f35-8967-5af6-8909-a69dae58e82c"]
    assert check_sources(form(names), 2) == names
    assert check_payloads(form(payloads), 2, set()) == payloads
    assert check_ids(form(ids)) == ids
    assert check_ids(ids[0]) == ids[:1]


def test_a_payload_is_stored_as_json_has_it():
    (stored,) = check_payloads([{"box": (1, 2), "name": np.str_("a"), "in": {"b": ()}}], 1, set())
    assert stored == {"box": [1, 2], "name": "a", "in": {"b": []}}
    assert type(stored["name"]) is str


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({3: 2}, "Payload 0 sets 3: use other texts as keys"),
        ({"a": 2**63}, "cannot be stored"),
        ({"a": float("nan")}, "cannot be stored"),
        ({"a": "\ud800"}, "cannot be stored"),
        ({"a": np.int64(1)}, "not JSON serializable.*: use JSON's types, with .item"),
        ({"label": 1}, "Payload 0 sets 'label': use other texts as keys"),
        (3, "payloads does not fit the 1 embeddings: pass one dictionary for each"),
    ],
)
def test_a_payload_that_no_database_can_store(payload, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_payloads([payload], 1, {"label"})
    assert str(caught.value).isascii()


def test_columns_and_sets_are_no_list_of_sources():
    for sources in ({"a", "b"}, {"a": 1, "b": 2}, np.array([["a"], ["b"]]), "ab", 3):
        with pytest.raises(ValueError, match="sources does not fit the 2 embeddings: pass one text for each"):
            check_sources(sources, 2)


@pytest.mark.parametrize("ids", [7, {"a": 1}, np.zeros((2, 2), dtype="U36"), b"ab", "image 3", [None]])
def test_what_is_no_id_is_refused(ids):
    with pytest.raises(ValueError, match="are not all ids: pass a list that upsert returned"):
        check_ids(ids)


# Labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, None, 1], "the label in row 1 is None; number the classes from 0, as .*, and write -1"),
        ([0, 1, "a"], "the label in row 2 is 'a'"),
        ([0, np.nan, 1], "the label in row 1 is nan"),
        ([0, np.inf, 1], "the label in row 1 is inf"),
        ([0, 0.5, 1], "the label in row 1 is 0.5"),
        ([0, -100, 1], "the label in row 1 is -100"),
        (np.array([0, 1, 2**63], dtype=np.uint64), "the label in row 2 is 9223372036854775808"),
        (["a", "b", "c"], "the label in row 0 is 'a'; number the classes from 0, as np.unique"),
        ([True, False, True], "the label in row 0 is True"),
        (np.eye(3), "should be a 1d array"),
        (3, "should be a 1d array"),
        ([0, 1], "There are 3 embeddings but 2 labels"),
    ],
)
def test_labels_that_are_no_class_numbers(labels, message):
    with pytest.raises(ValueError, match=message):
        check_labels(labels, 3, "embedding")


@pytest.mark.parametrize("marker", ["", "?", "nan", "-1", "none", "N/A", "null", "_Unlabeled"])
def test_a_text_that_names_no_class_is_refused(marker):
    with pytest.raises(ValueError, match=f"row 1 is '{marker}', which names no class".replace("?", r"\?")):
        check_targets(["a", marker, "b"], 3)


# Arguments


@pytest.mark.parametrize("number", [3, np.int8(3), np.array(3), torch.tensor(3)])
def test_a_whole_number_of_any_library_becomes_one_of_python(number):
    assert type(check_count(number, "k")) is int
    assert type(check_number(number, "k")) is float


@pytest.mark.parametrize("value", [True, 2.0, "2", None, np.float32(2), [2], torch.tensor(2.0)])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(ValueError, match=r"^k is .*: choose a whole number of at least 1\.$"):
        check_count(value, "k")


def test_a_message_is_made_from_the_bounds():
    for call, message in [
        (lambda: check_count(0, "k", 1, 9), "k is 0: choose a whole number from 1 to 9."),
        (lambda: check_number(-1, "margin", low=0), "margin is -1: choose a number of at least 0."),
        (lambda: check_number(0, "t", low=0, without=(0,)), "t is 0: choose a number above 0."),
        (
            lambda: check_number(1, "share", low=0, high=1, without=(0, 1)),
            "share is 1: choose a number above 0 and below 1.",
        ),
        (
            lambda: check_number(np.float64(np.nan), "s", low=0, high=1, without=(1,)),
            "s is nan: choose a number of at least 0 and below 1.",
        ),
        (lambda: check_flag("no", "versioned"), "versioned is 'no': choose True or False."),
        (lambda: check_choice("dot", "distance", ["a", "b"]), 'distance is \'dot\': choose "a" or "b".'),
    ]:
        with pytest.raises(ValueError, match=r"\.$") as caught:
            call()
        assert str(caught.value) == message


def test_a_folder_need_not_exist_but_must_be_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert check_folder("~/new") == tmp_path / "new"
    (tmp_path / "file").write_text("here")
    for folder in ("", 7, None, "~nobody-of-this-name/models", tmp_path / "file"):
        with pytest.raises(ValueError, match="is no folder: pass the path of one"):
            check_folder(folder)
