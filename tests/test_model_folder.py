"""A classifier's folder: what is replaced in it and what is left alone, and who is asked for its examples."""

import copy
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from drawn_pictures import draw, draw_folder
from forged import forge
from PIL import Image

from metriclearn.cli import model_folder
from metriclearn.cli.card import as_markdown
from metriclearn.cli.main import FAILED, WRONG_USE, main
from metriclearn.files import json_bytes, locked, read_json

FIT = ["--method", "frozen", "--device", "cpu"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METRICLEARN_CACHE", str(root / "cache"))
        patch.delenv("QDRANT_URL", raising=False)
        yield draw_folder(root / "in", n=3, free=1)


@pytest.fixture(scope="module")
def fitted(photos):
    out = photos.parent / "model"
    assert main(["fit", str(photos), "--out", str(out), *FIT]) == 0
    return out


@pytest.fixture
def model(fitted, tmp_path):
    return Path(shutil.copytree(fitted, tmp_path / "model"))


def content(folder):
    """Return all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def refused(capsys, *arguments):
    capsys.readouterr()
    code = main([*map(str, arguments)])
    return code, capsys.readouterr().err.strip()


# What --force replaces.


def test_pictures_in_the_model_are_never_deleted(model, photos, tmp_path, capsys):
    shutil.copytree(photos, model / "photos")
    (tmp_path / "link").symlink_to(model / "photos")
    before = content(model)
    for folder in (model / "photos", tmp_path / "link"):
        code, sentence = refused(capsys, "fit", folder, "--out", model, "--force", *FIT)
        assert (code, sentence.count("\n")) == (WRONG_USE, 0)
        assert "FOLDER lies in MODEL" in sentence
        assert content(model) == before


def test_force_replaces_what_fit_wrote_and_nothing_else(model, photos):
    assert main(["review", str(model), str(photos)]) == 0
    foreign = {
        "notes.txt": b"mine",
        "photos/a.png": b"x",
        "encoder/notes.txt": b"mine",
        "review/reviewed.csv": b"mine",
        ".hidden": b"",
    }
    for name, held in foreign.items():
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(held)
    before = content(model)
    (model / "report.html").write_text("old")
    assert main(["fit", str(photos), "--out", str(model), "--force", "--seed", "1", *FIT]) == 0
    after = content(model)
    assert before.keys() - after.keys() == {"review/review.html", "review/review.csv"}  # of the old one
    assert after.keys() < before.keys()
    assert foreign.items() <= after.items()
    assert after["card.json"] != before["card.json"]
    assert after["report.html"] != b"old"
    assert not [*model.parent.glob(".*")]


@pytest.mark.parametrize("name", ["labels.csv", "review/review.csv"])
def test_a_table_of_labels_in_the_model_is_kept(model, photos, name):
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("file_name,label\ndisc/1.png,bars\n")
    before = (model / name).read_bytes()
    assert (
        main(["fit", str(photos), "--out", str(model), "--labels", str(model / name), "--force", *FIT]) == 0
    )
    assert (model / name).read_bytes() == before
    assert json.loads((model / "card.json").read_text())["classes"]["bars"]["labels"] == 4


@pytest.mark.parametrize("inside", [True, False])
def test_a_folder_of_somebody_else_is_not_cleared_away(inside, model, photos, tmp_path, capsys):
    out = model if inside else tmp_path / "fresh"
    taken = model / ".new" if inside else tmp_path / ".fresh.new"
    taken.mkdir()
    (taken / "card.json").touch()
    (taken / "notes.txt").write_text("mine")
    code, sentence = refused(capsys, "fit", photos, "--out", out, "--force", *FIT)
    assert (code, sentence.count("\n")) == (WRONG_USE, 0)
    assert "is in the way: move it elsewhere" in sentence
    assert (taken / "notes.txt").read_text() == "mine"
    (taken / "notes.txt").unlink()  # what remains was left by a run that was killed
    assert main(["fit", str(photos), "--out", str(out), "--force", *FIT]) == 0
    assert not taken.exists()


@pytest.mark.parametrize("card", ["", "[]", '{"name": "something else"}'])
def test_a_card_of_another_program_is_no_classifier(card, photos, tmp_path, capsys):
    (tmp_path / "card.json").write_text(card)
    (tmp_path / "README.md").write_text("mine")
    before = content(tmp_path)
    code, sentence = refused(capsys, "fit", photos, "--out", tmp_path, "--force", *FIT)
    assert code == WRONG_USE
    assert "holds something else than a classifier" in sentence
    assert content(tmp_path) == before


def test_a_link_in_the_model_leads_nobody_astray(model, photos, tmp_path, capsys):
    """Neither a fit nor a look into a folder from somebody else writes where a link leads."""
    elsewhere = model.rename(tmp_path / "elsewhere")
    shutil.copytree(elsewhere, model)
    shutil.rmtree(model / "encoder")
    (model / "encoder").symlink_to(elsewhere / "encoder")
    before = content(elsewhere)
    code, sentence = refused(capsys, "fit", photos, "--out", model, "--force", "--seed", "1", *FIT)
    assert code == WRONG_USE
    assert "lies behind a link" in sentence
    (model / ".ready" / "encoder").mkdir(parents=True)
    shutil.copy(elsewhere / "encoder" / "card.json", model / ".ready" / "encoder" / "card.json")
    code, sentence = refused(capsys, "add", model, photos)
    assert code == FAILED
    assert "lies behind a link" in sentence
    assert content(elsewhere) == before


class Stopped(BaseException):
    """Ends a run as a signal would."""


@pytest.mark.parametrize("command", ["fit", "add"])
def test_stopped_at_any_step_the_old_or_the_new_classifier_opens(
    command, fitted, photos, tmp_path, monkeypatch
):
    table = tmp_path / "labels.csv"
    table.write_text("file_name,label\ndisc/1.png,bars\nunlabelled/disc0.png,disc\n")
    arguments = {
        "fit": ["fit", str(photos), "--labels", str(table), "--force", *FIT, "--out"],
        "add": ["add", "--labels", str(table)],
    }[command]
    whole = Path(shutil.copytree(fitted, tmp_path / "whole"))
    assert main([*arguments, str(whole)]) == 0
    new = content(whole)
    old_card, new_card = (model_folder.ModelFolder.open(path, "cpu").card for path in (fitted, whole))
    seen = set()
    for moment in range(100):
        model = Path(shutil.copytree(fitted, tmp_path / f"model-{moment}"))
        (model / "notes.txt").write_text("mine")
        count = 0

        def step(real, path, *rest, **named):
            nonlocal count
            if str(path).startswith(f"{model}/"):  # noqa: B023
                count += 1
                if count > moment:  # noqa: B023
                    raise Stopped
            real(path, *rest, **named)

        with monkeypatch.context() as patch:
            for name in ("replace", "unlink"):
                patch.setattr(os, name, partial(step, getattr(os, name)))
            try:
                done = main([*arguments, str(model)]) == 0
            except Stopped:
                done = False
        opened = model_folder.ModelFolder.open(model, "cpu")
        assert opened.card in (old_card, new_card)
        seen.add("new" if opened.card == new_card else "old")
        assert main([*arguments, str(model)]) == 0
        assert content(model) == new | {"notes.txt": b"mine"}
        assert sorted(path.name for path in tmp_path.glob(".*")) == []
        if done:
            break
    assert seen == {"old", "new"}
    assert 4 < moment < 99


# One writer at a time.


@pytest.mark.parametrize("command", ["fit", "fit anew", "add"])
def test_a_folder_that_is_being_written_is_left_alone(command, model, photos, tmp_path, capsys):
    out = tmp_path / "new" if command == "fit anew" else model
    arguments = ["add", out, photos] if command == "add" else ["fit", photos, "--out", out, "--force", *FIT]
    before = content(tmp_path)
    with locked(out):
        code, sentence = refused(capsys, *arguments)
    assert code == FAILED
    assert sentence.endswith(f"{out} is being written by another metriclearn: wait until it is done.")
    assert content(tmp_path) == before
    assert main([*map(str, arguments)]) == 0


def test_of_two_additions_at_once_none_is_lost(model, photos, tmp_path):
    """Whoever is refused says so; whoever is not has added its picture."""
    folders = []
    for i in range(2):
        (tmp_path / f"{i}" / "disc").mkdir(parents=True)
        draw("disc", 900 + i).save(tmp_path / f"{i}" / "disc" / "new.png")
        folders.append(tmp_path / f"{i}")
    before = len(model_folder.ModelFolder.open(model, "cpu").files)
    with ThreadPoolExecutor() as pool:
        codes = [*pool.map(lambda folder: main(["add", str(model), str(folder)]), folders)]
    assert 0 in codes
    assert len(model_folder.ModelFolder.open(model, "cpu").files) == before + codes.count(0)


def test_a_reader_meets_no_half_addition(model, photos, tmp_path, monkeypatch):
    """Files are opened one after another; an addition in between makes the reader begin again."""
    table = tmp_path / "labels.csv"
    table.write_text("file_name,label\ndisc/1.png,bars\n")
    load, calls = model_folder.read_points, []

    def slow(path):
        calls.append(path)
        if len(calls) == 1:
            assert main(["add", str(model), "--labels", str(table)]) == 0
        return load(path)

    monkeypatch.setattr(model_folder, "read_points", slow)
    opened = model_folder.ModelFolder.open(model, "cpu")
    assert opened.card["classes"]["bars"]["labels"] == opened.class_of.count("bars") == 4
    assert len(calls) == 3  # the addition reads as well


# What a damaged folder, or one from somebody else, may hold.


def test_no_flipped_bit_is_opened_as_something_else(fitted, tmp_path):
    model = Path(shutil.copytree(fitted, tmp_path / "model"))
    expected, draws = model_folder.ModelFolder.open(model, "cpu"), np.random.default_rng(0)
    read = ["card.json", "points.json", "vectors.npy", "encoder/card.json", "encoder/encoder.safetensors"]
    refused = 0
    for name in read:
        whole = (model / name).read_bytes()
        for bit in draws.integers(8 * len(whole), size=20).tolist():
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            (model / name).write_bytes(damaged)
            try:
                opened = model_folder.ModelFolder.open(model, "cpu")
            except ValueError as error:
                refused += "\n" not in str(error)
            else:
                assert (opened.card, opened.class_of) == (expected.card, expected.class_of)
                np.testing.assert_array_equal(opened.embeddings, expected.embeddings)
        (model / name).write_bytes(whole)
    assert refused > 90


ODD = [None, True, -1, 0.5, 10**30, "", "x", [], [1], {}, {"x": None}, "\x1b[31m"]


def entries(content, path=()):
    """Yield the path of each entry of nested dictionaries and lists."""
    for key, part in content.items() if isinstance(content, dict) else enumerate(content):
        yield (*path, key)
        if isinstance(part, dict | list):
            yield from entries(part, (*path, key))


def test_a_forged_card_is_used_or_refused_in_one_sentence(fitted, photos, tmp_path, capsys):
    """With the right checksum; whatever opens does its work."""
    model = Path(shutil.copytree(fitted, tmp_path / "model"))
    card, draws = read_json(model / "card.json", ""), np.random.default_rng(0)
    opened = 0
    for path in entries(card):
        for value in draws.permutation(np.array(ODD, dtype=object))[:1].tolist():
            forged = copy.deepcopy(card)
            inner = forged
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            (model / "card.json").write_bytes(json_bytes(forged))
            try:
                found = model_folder.ModelFolder.open(model, "cpu")
            except ValueError as error:
                assert str(error).count("\n") == 0  # noqa: PT017
                continue
            opened += 1
            found.embed(np.zeros((1, 3, 256, 256), dtype=np.uint8))
            as_markdown(found.card)
            np.random.default_rng(found.card["seed"])
    assert opened > 1


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("card.json", {"unknown": {"threshold": "nan"}}),
        ("card.json", {"input": {"side": 48, "channels": 3}}),
        ("card.json", {"seed": -1}),
        ("card.json", {"collection": ["x"]}),
        ("encoder/card.json", {"dim": 700_000}),
        ("encoder/card.json", {"classes": [2**70]}),
        ("encoder/card.json", {"parameters": None}),
        ("points.json", {"vectors_sha256": "x"}),
    ],
)
def test_forged_entries_are_refused(name, change, model, photos, capsys):
    forge(model / name, **change)
    code, sentence = refused(capsys, "classify", model, photos / "disc" / "1.png")
    assert code == FAILED
    assert sentence.count("\n") == 0
    assert "copy" in sentence


@pytest.mark.parametrize("name", ["resnet18", "torchvision/resnet18", "efficientnet-lite0+resnet18"])
def test_no_hub_is_asked_for_the_network_of_a_strangers_card(name, model, photos, monkeypatch, capsys):
    import timm
    import torchvision

    monkeypatch.setattr(timm, "create_model", pytest.fail)
    monkeypatch.setattr(torchvision.models, "get_model", pytest.fail)
    network = read_json(model / "encoder" / "card.json", "")["backbone"]
    forge(model / "encoder" / "card.json", backbone=network | {"name": name})
    code, sentence = refused(capsys, "classify", model, photos / "disc" / "1.png")
    assert code == FAILED
    assert "not on this machine: pass it, or fetch it by load_backbone before" in sentence


def test_a_damaged_classifier_is_replaced_by_force_alone(model, photos, capsys):
    (model / "card.json").write_bytes((model / "card.json").read_bytes()[:-9])
    code, sentence = refused(capsys, "fit", photos, "--out", model, *FIT)
    assert (code, "replace it with --force" in sentence) == (WRONG_USE, True)
    assert main(["fit", str(photos), "--out", str(model), "--force", *FIT]) == 0
    assert model_folder.ModelFolder.open(model, "cpu").card["classes"].keys() == {"bars", "disc", "triangle"}


def test_a_damaged_step_in_the_cache_is_made_again(photos, tmp_path, monkeypatch, capsys):
    """A run that was stopped after its training finds damaged files in place of what it had kept."""
    monkeypatch.setattr("metriclearn.model_selection.Candidates.clear_cache", lambda self: None)
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path / "cache"))
    fit = ["fit", str(photos), *FIT, "--out"]
    assert main([*fit, str(tmp_path / "one")]) == 0
    kept = [path for path in (tmp_path / "cache" / "fits").rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} >= {".json", ".safetensors"}
    for path in kept:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    capsys.readouterr()
    assert main([*fit, str(tmp_path / "two")]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said
    assert all(line.startswith("metriclearn fit: ") and "anew" in line for line in said)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_review_follows_no_link_of_a_stranger(model, photos, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "review.csv").write_text("mine")
    (model / "review").symlink_to(tmp_path / "mine")
    code, sentence = refused(capsys, "review", model, photos)
    assert (code, "is a link: name a folder by --out" in sentence) == (FAILED, True)
    (model / "review").unlink()
    (model / "review").mkdir()
    (model / "review" / "review.csv").symlink_to(tmp_path / "mine" / "review.csv")
    assert main(["review", str(model), str(photos)]) == 0
    assert (tmp_path / "mine" / "review.csv").read_text() == "mine"
    assert main(["review", str(model), str(photos), "--out", str(model / "review" / "..")]) == 0


def test_a_table_into_a_folder_is_refused_before_the_work(model, photos, tmp_path, capsys):
    code, sentence = refused(capsys, "classify", model, photos, "--csv", tmp_path)
    assert (code, "a folder: name a file" in sentence) == (WRONG_USE, True)


# Whom a folder from somebody else may make us ask.


@pytest.fixture
def listener():
    """Address of a server that answers everything, and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self):
            asked.append(str(self.rfile.readline()))
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_strangers_card_learns_neither_key_nor_picture(
    model,
    photos,
    tmp_path,
    listener,
    monkeypatch,
    capsys,
):
    url, asked = listener
    monkeypatch.setenv("QDRANT_API_KEY", "the-key")
    monkeypatch.setenv("QDRANT_URL", url)
    forge(model / "card.json", qdrant_url=url)
    table = tmp_path / "labels.csv"
    table.write_text("file_name,label\ndisc/1.png,bars\n")
    assert main(["classify", str(model), str(photos / "disc"), "--device", "cpu"]) == 0
    assert main(["review", str(model), str(photos)]) == 0
    capsys.readouterr()
    assert main(["add", str(model), "--labels", str(table)]) == 0
    assert f"The copy of the examples on {url} is older now" in capsys.readouterr().out
    assert main(["add", str(model), str(photos)]) == 0
    assert asked == []


@pytest.mark.parametrize("command", ["fit", "add", "classify"])
def test_an_address_with_a_password_is_refused_and_not_shown(command, model, photos, capsys):
    paths = [photos, "--out", model.parent / "new"] if command == "fit" else [model, photos]
    code, sentence = refused(
        capsys, command, *paths, "--qdrant-url", "https://me:secret@host:6333/?key=hidden"
    )
    assert (code, sentence.count("\n")) == (WRONG_USE, 0)
    assert "leave out user, password" in sentence
    assert "secret" not in sentence
    assert "hidden" not in sentence


# Files of more than 8 bits.


def card_of(model):
    return json.loads((model / "card.json").read_text())


def deep(source, target, levels=1023):
    """Write a picture again as 16-bit grey file whose values end below `levels`."""
    grey = np.asarray(Image.open(source).convert("L")).astype(np.uint16)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey * (levels // 255)).save(target)
    return target


@pytest.fixture(scope="module")
def deep_fitted(photos, tmp_path_factory):
    """A classifier of pictures of 10 bits, all but two of them dark, and their folder."""
    root = tmp_path_factory.mktemp("deep")
    for path in photos.rglob("*.*"):
        levels = 1023 if path.stem == "0" else 255
        deep(path, (root / "in" / path.relative_to(photos)).with_suffix(".png"), levels)
    assert main(["fit", str(root / "in"), "--out", str(root / "model"), *FIT]) == 0
    return root


def test_the_card_keeps_the_range_and_later_pictures_are_read_on_it(deep_fitted, tmp_path, capsys):
    model = Path(shutil.copytree(deep_fitted / "model", tmp_path / "model"))
    assert card_of(model)["input"]["ranges"] == {"16-bit": [0, 1023]}
    dark = deep_fitted / "in" / "disc" / "1.png"
    capsys.readouterr()
    for path in (dark, shutil.copy(dark, tmp_path / "alone.png")):
        assert main(["classify", str(model), str(path), "--json"]) == 0
        [answer] = json.loads(capsys.readouterr().out)["answers"]
        assert answer["evidence"][0]["file"] == "disc/1.png"
        assert answer["similarity"] == 1
    deep(dark, tmp_path / "more" / "new" / "0.png", 255)
    with Image.open(dark) as image:
        image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(tmp_path / "more" / "new" / "1.png")
    assert main(["add", str(model), str(tmp_path / "more")]) == 0
    capsys.readouterr()
    assert main(["classify", str(model), str(tmp_path / "more" / "new" / "1.png"), "--json"]) == 0
    [answer] = json.loads(capsys.readouterr().out)["answers"]
    assert (answer["label"], answer["similarity"]) == ("new", 1)
    assert card_of(model)["input"]["ranges"] == {"16-bit": [0, 1023]}


def test_check_says_how_deep_files_are_read(deep_fitted, photos, capsys):
    for folder, said in ((deep_fitted / "in", True), (photos, False)):
        capsys.readouterr()
        assert main(["check", str(folder)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert ("16-bit files hold values up to 1023: read as 10 bits." in lines) == said


def test_a_range_that_is_added_later_is_kept(model, tmp_path, photos, capsys):
    assert card_of(model)["input"]["ranges"] == {}
    for name in ("0.jpg", "1.png"):
        deep(photos / "disc" / name, (tmp_path / "more" / "new" / name).with_suffix(".png"))
    assert main(["add", str(model), str(tmp_path / "more")]) == 0
    assert card_of(model)["input"]["ranges"] == {"16-bit": [0, 1023]}


def test_a_cache_that_cannot_be_written_is_said_in_a_line(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path / "cache"))
    capsys.readouterr()
    assert main(["check", str(photos)]) == 0
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.err.startswith("metriclearn check: Going on without the cache. ")
    assert "12 pictures" in said.out
