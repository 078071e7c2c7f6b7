"""A classifier's folder: what is replaced in it and what is left alone, and who is asked for its examples."""

import json
import os
import shutil
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from drawn_pictures import draw_folder
from forged import forge

from metriclearn.cli import model_folder
from metriclearn.cli.main import FAILED, WRONG_USE, main

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


def test_the_card_records_a_server_without_its_password():
    assert model_folder.without_password("https://me:secret@host:6333/path?key=1") == "https://host:6333/path"
    assert model_folder.without_password("http://localhost:6333") == "http://localhost:6333"
