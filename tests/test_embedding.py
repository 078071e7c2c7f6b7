"""MetricEmbedding: scikit-learn's contract, bad input, and encoders on disk."""

import copy
import datetime
import json
import os
import pickle
import shutil
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from forged import forge
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from metriclearn import MetricEmbedding, load_images, scarce_labels
from metriclearn.checks.arrays import check_images
from metriclearn.embedding import CARD_FILE, WEIGHTS_FILE, encoder_id
from metriclearn.files import plain
from metriclearn.metrics import Interval

TINY = {"dim": 4, "steps": 3, "batch_size": 12, "random_state": 0}


@parametrize_with_checks([MetricEmbedding(steps=5, random_state=0)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def images(n=12, shape=(1, 9, 8), seed=0):
    return np.random.default_rng(seed).random((n, *shape), dtype=np.float32)


LABELS = np.array([0, 1, 2, 0, 1, 2, -1, -1, -1, -1, -1, -1])


@pytest.fixture(scope="module")
def fitted():
    return MetricEmbedding(**TINY).fit(images(), LABELS)


# What it learns.


def test_on_real_images_from_pool_to_neighbours():
    pool, test = load_images()
    labels = scarce_labels(pool.labels[:800], 10, seed=0)
    known = labels >= 0
    pixels, truth = pool.pixels[:800], test.labels[:500]

    def accuracy(function):
        nearest = KNeighborsClassifier(1).fit(function(pixels[known]), labels[known])
        return nearest.score(function(test.pixels[:500]), truth)

    embedding = MetricEmbedding(steps=60, random_state=0).fit(pixels, labels)
    raw = accuracy(lambda x: x.reshape(len(x), -1))
    assert accuracy(embedding.transform) > raw + 0.08
    assert embedding.classes_.tolist() == list(range(10))
    assert embedding.n_labels_ == 100
    assert len(embedding.losses_) == 60


def test_embeddings_have_unit_length_and_their_type(fitted):
    embeddings = fitted.transform(images(5, seed=3))
    assert embeddings.shape == (5, 4)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(fitted.transform(images(5, seed=3).astype(float)), embeddings, atol=1e-6)


def test_the_same_seed_gives_the_same_encoder(fitted):
    assert clone(fitted).fit(images(), LABELS).encoder_id_ == fitted.encoder_id_
    assert clone(fitted).set_params(random_state=1).fit(images(), LABELS).encoder_id_ != fitted.encoder_id_


def test_whole_numbers_may_come_as_floats(fitted):
    again = MetricEmbedding(**TINY).fit(images(), LABELS.astype(float))
    assert again.encoder_id_ == fitted.encoder_id_


def test_the_identity_changes_with_any_weight(fitted):
    encoder = copy.deepcopy(fitted.encoder_)
    assert encoder_id(encoder) == fitted.encoder_id_
    encoder.head.bias.data[0] += 1e-6
    assert encoder_id(encoder) != fitted.encoder_id_


def test_the_identity_changes_with_what_is_no_weight(fitted):
    other, trained = copy.deepcopy(fitted), copy.deepcopy(fitted)
    other.encoder_.body[2] = torch.nn.LeakyReLU()
    trained.encoder_.head.weight.data *= 1.5
    assert len({fitted.encoder_id_, other.encoder_id_, trained.encoder_id_}) == 3


def test_there_is_no_identity_before_fit():
    assert not hasattr(MetricEmbedding(), "encoder_id_")


def test_rows_work_like_images():
    rows = np.random.default_rng(0).normal(size=(12, 5)) * 100  # any range
    assert MetricEmbedding(**TINY).fit(rows, LABELS).transform(rows).shape == (12, 4)


def test_colour_images():
    assert MetricEmbedding(**TINY).fit_transform(images(shape=(3, 16, 16)), LABELS).shape == (12, 4)


# What it refuses: one clear sentence each, and nothing learned.


def spoiled(value):
    x = images()
    x[3, 0, 2, 2] = value
    return x


BAD_FITS = {
    "grey images without channels": (
        images()[:, 0],
        LABELS,
        r"shape \(12, 9, 8\).*X\[:, None\]",
    ),
    "one image": (images()[0], LABELS, r"pass at least one as \(n, channels, height, width\).*X\[None\]"),
    "no image": (images(0), LABELS[:0], r"shape \(0, 1, 9, 8\): pass at least one"),
    "empty images": (images(shape=(1, 0, 8)), LABELS, r"shape \(12, 1, 0, 8\): pass at least one"),
    "channels last": (
        images(shape=(9, 8, 3)),
        LABELS,
        r"pass .*\(n, channels, height, width\); X.transpose\(0, 3, 1, 2\) moves channels that stand last",
    ),
    "a list of different sizes": (
        [*images(6), *images(6, (1, 8, 8))],
        LABELS,
        "The images differ in size: resize them to one height and width first",
    ),
    "different sizes as objects": (
        np.array([*images(6), *images(6, (3, 8, 7)), None], dtype=object)[:12],
        LABELS,
        "The images differ in size: resize them",
    ),
    "NaN": (spoiled(np.nan), LABELS, "hold NaN, infinity or no numbers: repair or remove"),
    "infinity": (spoiled(-np.inf), LABELS, "hold NaN, infinity or no numbers: repair or remove"),
    "texts": (np.full((12, 1, 9, 8), "a"), LABELS, "no numbers"),
    "range 0 to 255": (
        images() * 255,
        LABELS,
        r"lie in \[.*\]: pass uint8 from 0 to 255, or scale them to floats in \[0, 1\], as X / 255",
    ),
    "whole numbers": ((images() * 255).astype(np.int64), LABELS, r"type int64 .*, as X / 255"),
    "sixteen bits": ((images() * 65535).astype(np.uint16), LABELS, r"type uint16 .*, as X / 65535"),
    "negative pixels": (spoiled(-0.5), LABELS, r"lie in \[-0.5, .*scale them to floats in \[0, 1\]"),
    "from -1 to 1": (images() * 2 - 1, LABELS, r"floats in \[0, 1\], as \(X \+ 1\) / 2"),
    "standardised": ((images() - 0.5) * 4, LABELS, r"floats in \[0, 1\], as before their normalisation"),
    "a mask": (images() > 0.5, LABELS, r"type bool .*, as X.astype\('float32'\)"),
    "a resize that overshoots": (images() * 1.2 - 0.1, LABELS, r"np.clip\(X, 0, 1\) .*overshoots"),
    "no y": (images(), None, "y is None: pass labels"),
    "no label": (images(), np.full(12, -1), "y holds no label: label images of at least two classes"),
    "one class": (images(), np.where(LABELS == 1, 1, -1), r"y holds only one class \(1\)"),
    "too few labels": (images(), LABELS[:11], "There are 12 images but 11 labels: pass one for each"),
    "names as labels": (images(), np.array(["a", "b"] * 6), "number the classes from 0"),
    "a column per class": (images(), np.eye(3)[LABELS], "should be a 1d array"),
    "fractions as labels": (images(), np.linspace(0, 0.9, 12), "row 1 is .*; number the classes"),
    "NaN in the labels": (images(), np.array([np.nan, *LABELS[1:]]), "row 0 is nan; .*write -1 where"),
    "None among the labels": (images(), [None, *LABELS[1:]], "row 0 is None; .*write -1 where"),
    "PyTorch's mark": (images(), np.where(LABELS < 0, -100, LABELS), "row 6 is -100; .*write -1 where"),
    "pandas' mark": (images(), pd.array([pd.NA, *LABELS[1:]], dtype="Int64"), "row 0 is .*write -1 where"),
}


@pytest.mark.parametrize(("X", "y", "message"), BAD_FITS.values(), ids=BAD_FITS)
def test_bad_input_to_fit(X, y, message):
    embedding = MetricEmbedding(**TINY)
    with pytest.raises(ValueError, match=message):
        embedding.fit(X, y)
    assert not [name for name in vars(embedding) if name.endswith("_")]


BAD_TRANSFORMS = {
    "another size": (
        images(shape=(1, 8, 8)),
        r"shape \(1, 8, 8\), but the encoder was trained on \(1, 9, 8\): resize",
    ),
    "another number of channels": (images(shape=(3, 9, 8)), r"inputs of shape \(3, 9, 8\)"),
    "rows": (images().reshape(12, -1), "features|inputs of shape"),
    "NaN": (spoiled(np.nan), "hold NaN, infinity or no numbers"),
    "range": (images() * 2, r"scale them to floats in \[0, 1\]"),
    "whole numbers": (images().astype(int), "type int64"),
    "no channels": (images()[:, 0], "adds the channel axis"),
}


@pytest.mark.parametrize(("X", "message"), BAD_TRANSFORMS.values(), ids=BAD_TRANSFORMS)
def test_bad_input_to_transform(fitted, X, message):
    with pytest.raises(ValueError, match=message):
        fitted.transform(X)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("augment", "no", 'augment is \'no\': choose "affine" or "photographs"'),
        ("pseudo_labels", 0.5, "pseudo_labels is 0.5: choose True or False"),
        ("dim", True, "dim is True: choose a whole number"),
        ("steps", np.array([3]), "steps is .*: choose a whole number"),
        ("learning_rate", "fast", "learning_rate is 'fast': choose a number above 0"),
        ("dim", 0, "dim is 0: choose a whole number of at least 1"),
        ("dim", 2.5, "dim is 2.5: choose a whole number"),
        ("steps", 0, "steps is 0: choose a whole number"),
        ("batch_size", -1, "batch_size is -1: choose a whole number"),
        (
            "loss",
            "softmax",
            "loss is 'softmax': choose one of contrastive, triplet, supcon, or pass a function",
        ),
        ("learning_rate", 0, "learning_rate is 0: choose a number above 0"),
        ("learning_rate", float("nan"), "learning_rate is nan: choose a number above 0"),
        ("reconstruction", -0.1, "reconstruction is -0.1: choose a number of at least 0"),
    ],
)
def test_parameters_out_of_range(parameter, value, message):
    with pytest.raises(ValueError, match=message):
        MetricEmbedding(**(TINY | {parameter: value})).fit(images(), LABELS)


def test_not_fitted(tmp_path):
    with pytest.raises(NotFittedError):
        MetricEmbedding().transform(images())
    with pytest.raises(NotFittedError):
        MetricEmbedding().save(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_check_images_wants_four_axes():
    with pytest.raises(
        ValueError, match=r"shape \(2, 3\): pass at least one as \(n, channels, height, width\)"
    ):
        check_images(np.zeros((2, 3)))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_fit_leaves_a_fitted_estimator_as_it_was(error):
    embedding = MetricEmbedding(**TINY).fit(images(), LABELS)
    before, identity, attributes = embedding.transform(images()), embedding.encoder_id_, set(vars(embedding))
    calls = []

    def loss(embeddings, labels):
        calls.append(1)
        if len(calls) == 2:
            raise error
        return embeddings.square().sum()

    embedding.set_params(loss=loss)
    with pytest.raises(error):
        embedding.fit(images(12, (3, 10, 10), seed=1), LABELS)
    assert len(calls) == 2
    np.testing.assert_array_equal(embedding.transform(images()), before)
    assert embedding.encoder_id_ == identity == encoder_id(embedding.encoder_)
    assert set(vars(embedding)) == attributes


# What is strange but allowed.


def test_a_rounding_error_is_clipped(fitted):
    x = images()
    x[0, 0, 0, 0], x[1, 0, 0, 0] = np.float32(1.0000001), -1e-7
    clipped = np.clip(x, 0, 1)
    assert (
        MetricEmbedding(**TINY).fit(x, LABELS).encoder_id_
        == MetricEmbedding(**TINY).fit(clipped, LABELS).encoder_id_
    )
    assert x.max() > 1  # the caller's images stay as they were


def test_images_divided_twice_are_noticed(fitted):
    with pytest.warns(UserWarning, match="divided by 255 twice"):
        fitted.transform(images() / 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.transform((images() > 0.5).astype(np.float32) / 255)  # merely dark


def test_a_failed_fit_keeps_the_names_of_the_columns():
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(12, 3)), columns=["a", "b", "c"])
    embedding = MetricEmbedding(**TINY).fit(table, LABELS)
    with pytest.raises(ValueError, match="no label"):
        embedding.fit(table.rename(columns={"a": "z"}), np.full(12, -1))
    assert embedding.feature_names_in_.tolist() == ["a", "b", "c"]
    embedding.transform(table)


def one_class_alike():
    x = images()
    x[LABELS == 1] = x[1]
    return x


STRANGE_FITS = {
    "one label per class": (images(), np.where(np.arange(12) < 3, LABELS, -1), {}),
    "a single label beside many": (images(), np.array([0] * 6 + [1] + [-1] * 5), {}),
    "a class whose images are all alike": (one_class_alike(), LABELS, {}),
    "all images black": (np.zeros_like(images()), LABELS, {}),
    "all images white": (np.ones_like(images()), LABELS, {}),
    "a batch larger than the pool": (images(), LABELS, {"batch_size": 100}),
    "labels of the first rows only": (images(), np.where(np.arange(12) < 4, LABELS, -1), {}),
    "a batch smaller than the number of classes": (images(), LABELS, {"batch_size": 2}),
    "every image labelled": (images(), np.arange(12) % 3, {}),
    "a list of images": ([*images()], LABELS, {}),
    "images of one pixel": (images(shape=(1, 1, 1)), LABELS, {}),
    "another loss": (one_class_alike(), LABELS, {"loss": "triplet"}),
    "a third loss": (one_class_alike(), LABELS, {"loss": "contrastive"}),
}


@pytest.mark.parametrize(("X", "y", "parameters"), STRANGE_FITS.values(), ids=STRANGE_FITS)
def test_strange_input_works(X, y, parameters):
    options = TINY | {"steps": 13} | parameters  # enough steps for pseudo-labels
    embedding = MetricEmbedding(**options).fit(X, y)
    vectors = embedding.transform(X)
    assert vectors.shape == (12, 4)
    assert np.isfinite(embedding.losses_).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


# On disk.


@pytest.fixture
def saved(fitted, tmp_path):
    fitted.save(tmp_path, data="noise", accuracy=50.5)
    return tmp_path


def test_saved_and_loaded_it_is_the_same(fitted, saved):
    loaded = MetricEmbedding.load(saved)
    np.testing.assert_array_equal(loaded.transform(images(7, seed=5)), fitted.transform(images(7, seed=5)))
    assert loaded.encoder_id_ == fitted.encoder_id_
    assert loaded.classes_.tolist() == [0, 1, 2]
    assert loaded.n_labels_ == 6
    assert loaded.dim == 4
    assert not loaded.encoder_.training


def test_rows_are_saved_and_loaded(tmp_path):
    rows = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    embedding = MetricEmbedding(**TINY).fit(rows, LABELS)
    embedding.save(tmp_path)
    np.testing.assert_array_equal(MetricEmbedding.load(tmp_path).transform(rows), embedding.transform(rows))


def test_the_card_says_what_it_is(fitted, saved):
    card = json.loads((saved / CARD_FILE).read_text(encoding="utf-8"))
    assert card["encoder_id"] == fitted.encoder_id_
    assert (card["architecture"], card["input_shape"], card["dim"]) == ("convolutional", [1, 9, 8], 4)
    assert (card["classes"], card["label_budget"]) == ([0, 1, 2], 6)
    assert (card["data"], card["accuracy"]) == ("noise", 50.5)
    assert card["parameters"]["random_state"] == 0
    assert set(card["versions"]) >= {"python", "torch", "numpy", "scikit-learn"}
    assert sorted(os.listdir(saved)) == [CARD_FILE, WEIGHTS_FILE]


def holds_itself():
    note = {}
    note["self"] = note
    return note


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"dim": 3}, "The card itself says 'dim': give this note another name"),
        ({"classes": ["cat", "dog"]}, "The card itself says 'classes'"),
        ({"encoder_id": "mine"}, "The card itself says 'encoder_id'"),
        ({"checksum": "mine"}, "The card itself says 'checksum'"),
    ],
)
def test_notes_that_cannot_be_written_leave_the_old_encoder(fitted, saved, notes, message):
    other = MetricEmbedding(**(TINY | {"random_state": 1})).fit(images(), LABELS)
    with pytest.raises(ValueError, match=message):
        other.save(saved, **notes)
    assert MetricEmbedding.load(saved).encoder_id_ == fitted.encoder_id_
    assert sorted(os.listdir(saved)) == [CARD_FILE, WEIGHTS_FILE]


@pytest.mark.parametrize("after", [0, 1])
def test_a_full_disk_leaves_the_old_encoder(fitted, saved, monkeypatch, after):
    other = MetricEmbedding(**(TINY | {"random_state": 1})).fit(images(), LABELS)
    write, done = Path.write_bytes, []

    def write_until_full(path, content):
        if len(done) == after:
            write(path, content[:10])
            raise OSError(28, "No space left on device")
        done.append(path)
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    with pytest.raises(
        OSError, match=r"cannot be written \(No space left on device\): choose another folder"
    ):
        other.save(saved)
    assert MetricEmbedding.load(saved).encoder_id_ == fitted.encoder_id_
    assert sorted(os.listdir(saved)) == [CARD_FILE, WEIGHTS_FILE]


def test_old_files_are_replaced_and_never_written_over(saved, monkeypatch):
    """A program that is killed while it writes leaves them whole."""
    write, places = Path.write_bytes, []
    monkeypatch.setattr(
        Path, "write_bytes", lambda path, content: places.append(path.parent) or write(path, content)
    )
    MetricEmbedding.load(saved).save(saved)
    assert len(places) == 2
    assert saved not in places


NOTES = {
    "a NumPy float": (np.float32(0.5), 0.5),
    "a NumPy integer": (np.int64(7), 7),
    "a NumPy bool": (np.True_, True),
    "NaN": (float("nan"), "nan"),
    "infinity": (np.float64("-inf"), "-inf"),
    "an array": (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    "a tensor": (torch.tensor([0.5, 2.0], requires_grad=True).bfloat16(), [0.5, 2.0]),
    "a column": (pd.Series([1, 2], index=["b", "a"]), [1, 2]),
    "keys that are no texts": ({1: "one", (0, 2): np.int8(2)}, {"1": "one", "(0, 2)": 2}),
    "an interval": (Interval(95.0, 94.0, 96.0, 5), {"mean": 95.0, "low": 94.0, "high": 96.0, "n": 5}),
    "a path": (Path("data") / "images", "data/images"),
    "a set": ({"b", "a"}, ["a", "b"]),
    "a date": (datetime.date(2022, 5, 15), "2022-05-15"),
    "a function": (np.linalg.norm, "norm"),
    "nested": ([(np.float32(1), None), {"x": [np.nan]}], [[1.0, None], {"x": ["nan"]}]),
    "half a character": ("caf\udce9", "caf\udce9"),
    "other letters": ("Zoë \u202e 数字", "Zoë \u202e 数字"),
}


@pytest.mark.parametrize(("note", "read"), NOTES.values(), ids=NOTES)
def test_what_save_wrote_load_reads(fitted, tmp_path, note, read):
    card = fitted.save(tmp_path / "new", **{"a note": note})
    loaded = MetricEmbedding.load(tmp_path / "new")
    assert loaded.card_ == card
    assert card["a note"] == read
    json.loads(
        (tmp_path / "new" / CARD_FILE).read_text(), parse_constant=pytest.fail
    )  # no NaN: JSON has none


def test_a_search_over_arrays_ends_in_a_file(tmp_path):
    rows = np.random.default_rng(0).normal(size=(24, 5))
    labels = np.arange(24) % 2
    steps = make_pipeline(MetricEmbedding(**TINY), KNeighborsClassifier(1))
    grid = {"metricembedding__dim": np.array([4, 8]), "metricembedding__learning_rate": np.float32([1e-3])}
    best = GridSearchCV(steps, grid, cv=2).fit(rows, labels).best_estimator_[0]
    best.save(tmp_path)
    loaded = MetricEmbedding.load(tmp_path)
    np.testing.assert_array_equal(loaded.transform(rows), best.transform(rows))
    assert loaded.get_params() == {key: plain(value) for key, value in best.get_params().items()}


def test_numpy_parameters_give_the_same_encoder(fitted):
    odd = {name: np.int64(value) for name, value in TINY.items()}
    again = MetricEmbedding(**odd, learning_rate=np.float64(3e-3)).fit(images(), LABELS)
    assert again.encoder_id_ == fitted.encoder_id_


def test_a_loaded_estimator_can_be_fitted_as_before(fitted, saved):
    again = MetricEmbedding.load(saved).fit(images(), LABELS)
    assert again.encoder_id_ == fitted.encoder_id_


def test_the_home_folder_has_a_short_name(fitted, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fitted.save("~/models/first")
    assert MetricEmbedding.load("~/models/first").encoder_id_ == fitted.encoder_id_
    assert (tmp_path / "models" / "first" / CARD_FILE).is_file()


def test_places_where_no_folder_can_be(fitted, tmp_path):
    (tmp_path / "file").write_text("here")
    for folder in (tmp_path / "file", "", 7, "~nobody-of-this-name/models"):
        for call in (fitted.save, MetricEmbedding.load):
            with pytest.raises(ValueError, match="is no folder"):
                call(folder)
    with pytest.raises(OSError, match=r"cannot be written \(Not a directory\)"):
        fitted.save(tmp_path / "file" / "below")


@pytest.mark.parametrize("device", ["cuda:99", "meta", "warp", None, 3.5])
def test_devices_that_are_not_there(fitted, saved, device):
    for call in (
        lambda: MetricEmbedding(**TINY, device=device).fit(images(), LABELS),
        lambda: MetricEmbedding.load(saved, device=device),
    ):
        with pytest.raises(ValueError, match=r"device is .*, which this machine does not have: choose"):
            call()


def test_a_second_save_replaces_the_first(saved):
    other = MetricEmbedding(**(TINY | {"random_state": 1})).fit(images(), LABELS)
    other.save(saved)
    assert MetricEmbedding.load(saved).encoder_id_ == other.encoder_id_


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CARD_FILE])
def test_missing_files(saved, name):
    (saved / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=f"{name} is missing: copy both files again, or save the encoder anew"
    ):
        MetricEmbedding.load(saved)


def change_weights(folder):
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)


def cut_weights(folder):
    (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:-100])


def empty_weights(folder):
    (folder / WEIGHTS_FILE).write_bytes(b"")


def other_encoder(folder):
    MetricEmbedding(**(TINY | {"random_state": 1})).fit(images(), LABELS).save(folder / "other")
    shutil.copy(folder / "other" / WEIGHTS_FILE, folder / WEIGHTS_FILE)


def other_shape(folder):
    forge(folder / CARD_FILE, input_shape=[1, 30, 30])


def other_id(folder):
    forge(folder / CARD_FILE, encoder_id="0" * 16)


@pytest.mark.parametrize(
    "damage", [change_weights, cut_weights, empty_weights, other_encoder, other_shape, other_id]
)
def test_files_that_do_not_belong_together_are_refused(saved, damage):
    damage(saved)
    with pytest.raises(ValueError, match="copy both files again"):
        MetricEmbedding.load(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 700_000},
        {"dim": 2**40},
        {"dim": True},
        {"input_shape": [1, 10**6, 10**6]},
        {"input_shape": [1, 9, 8, 8]},
        {"input_shape": [10**9]},
        {"input_shape": []},
        {"classes": [0.5]},
        {"classes": [2**63]},
        {"label_budget": None},
        {"encoder_id": 7},
        {"parameters": []},
        {"backbone": "efficientnet-lite0"},
        {"backbone": {"name": "efficientnet-lite0", "fingerprint": "", "aspect": None, "tune": []}},
    ],
    ids=str,
)
def test_a_forged_card_is_refused_before_it_takes_memory(saved, changes):
    resource = pytest.importorskip("resource", reason="this system does not say how much memory was taken")
    forge(saved / CARD_FILE, **changes)
    tracemalloc.start()
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with pytest.raises(ValueError, match="copy both files again"):
            MetricEmbedding.load(saved)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start < 100_000  # kB, PyTorch's own included


def test_parameters_that_are_none_become_the_usual_ones(saved):
    parameters = {"loss": [], "augment": {}, "random_state": "x", "else": 1, "backbone": "resnet18"}
    forge(saved / CARD_FILE, parameters=parameters)
    loaded = MetricEmbedding.load(saved)
    assert (loaded.loss, loaded.augment, loaded.random_state, loaded.backbone) == ("supcon", True, None, None)


def test_weights_of_another_precision_are_refused(fitted, saved):
    weights = load_file(saved / WEIGHTS_FILE)
    save_file({name: tensor.double() for name, tensor in weights.items()}, saved / WEIGHTS_FILE)
    with pytest.raises(ValueError, match="are damaged, or of another card"):
        MetricEmbedding.load(saved)


def test_the_default_precision_changes_nothing(fitted, saved):
    torch.set_default_dtype(torch.float64)
    try:
        loaded = MetricEmbedding.load(saved)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(loaded.transform(images(3)), fitted.transform(images(3)))


def test_one_flipped_bit_is_never_read_as_another_card(fitted, saved):
    whole, card = (saved / CARD_FILE).read_bytes(), MetricEmbedding.load(saved).card_
    refused = 0
    for bit in np.random.default_rng(0).integers(8 * len(whole), size=200).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (saved / CARD_FILE).write_bytes(damaged)
        try:
            assert MetricEmbedding.load(saved).card_ == card
        except ValueError:
            refused += 1
    assert refused > 150  # the others change the space between entries


@pytest.mark.parametrize(
    "card", ["", "{", "[]", "{}", '{"input_shape": "x", "dim": 4}', '{"input_shape": [1, 9, 8], "dim": -4}']
)
def test_a_card_that_is_none_is_refused(saved, card):
    (saved / CARD_FILE).write_text(card, encoding="utf-8")
    with pytest.raises(ValueError, match="copy both files again"):
        MetricEmbedding.load(saved)


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_loading_executes_nothing(saved, tmp_path):
    target = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(target))
    pickle.loads(bomb)  # it does go off where pickles are trusted
    assert target.is_dir()
    target.rmdir()
    (saved / WEIGHTS_FILE).write_bytes(bomb)
    with pytest.raises(ValueError, match="are damaged"):
        MetricEmbedding.load(saved)
    assert not target.exists()
