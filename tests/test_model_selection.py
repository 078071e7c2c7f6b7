"""The labels decide which method suits the images; where they are too few to tell, that is said."""

import numpy as np
import pytest
from drawn_pictures import draw_folder
from PIL import Image
from test_finetune import IMAGES, LABELS, SCARCE, small_backbone
from torch import nn

from metriclearn import MetricEmbedding, finetune, model_selection
from metriclearn.backbones import LITE0
from metriclearn.metrics import wilson_interval
from metriclearn.model_selection import (
    METHODS,
    Candidates,
    Score,
    choose_method,
    decide,
    significantly_better,
    small_side,
)
from metriclearn.photos import read_photographs


def test_every_method_is_judged_on_the_same_images():
    found = choose_method(
        IMAGES, LABELS, backbone=small_backbone(), methods=["frozen", "logistic"], seconds=100
    )
    assert [judged.method for judged in found.table] == ["frozen", "logistic"]
    assert [len(judged.correct) for judged in found.table] == [60, 60]
    for judged in found.table:
        assert judged.accuracy == wilson_interval(int(judged.correct.sum()), 60)
    assert found.winner in str(found)


def test_a_method_that_knows_nothing_loses():
    blind = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # the mean colour alone
    seeing = small_backbone()
    blind_alone = choose_method(IMAGES, LABELS, backbone=blind, methods=["frozen"]).table[0]
    seeing_alone = choose_method(IMAGES, LABELS, backbone=seeing, methods=["frozen"]).table[0]
    assert significantly_better(seeing_alone, blind_alone)
    assert not significantly_better(blind_alone, seeing_alone)


def test_held_out_images_are_not_learned_from(monkeypatch):
    learned = []
    train = model_selection.train_metric

    def watched(rows, labels, **options):
        learned.append({int(row[0]) for row in rows.reshape(len(rows), -1)})
        return train(rows, labels, steps=1, **options)

    monkeypatch.setattr(model_selection, "train_metric", watched)
    numbered = np.zeros((60, 3, 8, 8), dtype=np.uint8)
    numbered[:] = 2 + np.arange(60)[:, None, None, None]
    choose_method(numbered, SCARCE, methods=["scratch"])
    assert [len(rows) for rows in learned] == [60 - 3] * 4  # four labels of each of three kinds: four folds
    held_out = [set(range(2, 62)) - rows for rows in learned]
    assert set.union(*held_out) == {2 + row for row in np.flatnonzero(SCARCE >= 0)}


@pytest.mark.parametrize(
    "backbone", ["efficientnet-lite0+efficientnet-lite2", nn.Flatten()], ids=["two", "own"]
)
def test_a_backbone_without_a_last_part_is_not_tuned(backbone):
    found = choose_method(IMAGES, SCARCE, backbone=backbone, methods=["frozen", "last"])
    assert [judged.accuracy is None for judged in found.table] == [False, True]
    assert "last              not tried (the backbone has no stated last part)" in str(found)


def test_too_few_labels_to_tell():
    found = choose_method(IMAGES, SCARCE, backbone=small_backbone(), methods=["frozen", "logistic"])
    assert not found.clear
    assert "12 labelled images are too few labels to tell it from" in found.verdict


def judged(right, of=40, method="frozen"):
    return Score(method, np.arange(of), np.arange(of) < right)


def test_beyond_chance():
    assert significantly_better(judged(30), judged(24))  # six wins, no loss, or the other way round: 1 in 32
    assert not significantly_better(judged(24), judged(30))
    assert not significantly_better(judged(30), judged(25))  # five: 1 in 16
    assert not significantly_better(judged(30), judged(30))


def test_methods_are_compared_on_the_images_that_both_met():
    """What was broken off after ten easy images, on which others were better still, does not win."""
    whole = judged(20)
    easy = judged(12, 20, "scratch")
    assert easy.accuracy.mean > whole.accuracy.mean
    found = decide([whole, easy])
    assert (found.winner, found.clear) == ("frozen", True)


def test_time_is_kept(monkeypatch):
    clock = iter(range(1_000_000))
    monkeypatch.setattr(model_selection.time, "monotonic", lambda: float(next(clock)))
    found = choose_method(IMAGES, SCARCE, backbone=small_backbone(), seconds=60)
    tried = {judged.method: judged for judged in found.table}
    assert tried["frozen"].note == ""
    assert tried["scratch"].accuracy is None
    assert tried["scratch"].note == "no time was left"
    assert found.winner in ("frozen", "logistic", "head")


def test_images_below_the_stride_are_learned_from_scratch(monkeypatch):
    train = model_selection.train_metric
    monkeypatch.setattr(
        model_selection, "train_metric", lambda *of, **options: train(*of, steps=1, **options)
    )
    found = choose_method(IMAGES[:, :, :28, :28], SCARCE)
    assert found.winner == "scratch"
    assert [judged.note for judged in found.table if judged.method != "scratch"] == [
        "the images are smaller than 32 pixels"
    ] * (len(METHODS) - 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": np.where(np.arange(60) == 59, 7, SCARCE)}, "Class 7 has one labelled picture"),
        ({"labels": np.full(60, -1)}, "holds no label"),
        ({"methods": ["best"]}, "methods is 'best': choose"),
        ({"methods": "frozen"}, "pass a list of some of frozen"),
        ({"methods": []}, "pass a list of some of frozen"),
        ({"groups": [1, 2]}, "pass one for each of the 60 images"),
        ({"groups": LABELS}, "fewer than two classes in more than one"),
        ({"seconds": 0}, "seconds is 0: choose a number above 0"),
        ({"random_state": -1}, "seed is -1"),
        ({"device": "tpu9"}, "device is 'tpu9'"),
        (
            {"images": IMAGES[:, :, :20, :20], "methods": ["frozen"], "backbone": LITE0},
            "No method could be",
        ),
    ],
)
def test_what_does_not_fit(options, words):
    given = {"images": IMAGES, "labels": SCARCE, "backbone": small_backbone()} | options
    with pytest.raises(ValueError, match=words):
        choose_method(**given)


# Candidates: what the command line calls


@pytest.fixture
def short(monkeypatch):
    """Trainings of five steps, not 600."""
    train = model_selection.train_metric
    monkeypatch.setattr(finetune, "HEAD_STEPS", 5)
    monkeypatch.setattr(
        model_selection, "train_metric", lambda *of, **options: train(*of, **options, steps=5)
    )


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.by_neighbours])
def test_what_is_trained_is_what_metric_embedding_gives(method, short, monkeypatch):
    monkeypatch.setattr(finetune, "TUNING_STEPS", 2)
    fitted = Candidates(IMAGES, SCARCE, backbone=small_backbone(), random_state=3).fit([method])
    backbone = small_backbone() if METHODS[method].on_backbone else None
    steps = None if backbone else 5
    alone = MetricEmbedding(backbone=backbone, random_state=3, steps=steps, **METHODS[method].settings)
    assert fitted.embedding.encoder_id_ == alone.fit(IMAGES, SCARCE).encoder_id_
    np.testing.assert_allclose(fitted.embeddings, alone.transform(IMAGES), atol=1e-5)
    np.testing.assert_allclose(fitted.embedding.transform(IMAGES), fitted.embeddings, atol=1e-5)
    assert fitted.held_out.rows.tolist() == np.flatnonzero(SCARCE >= 0).tolist()


def test_a_method_without_neighbours_is_reported_and_not_shipped(short):
    candidates = Candidates(IMAGES, SCARCE, backbone=small_backbone())
    fitted = candidates.fit(["logistic", "frozen"])
    assert [score.method for score in fitted.table] == ["frozen", "logistic"]
    assert fitted.winner == "frozen"
    with pytest.raises(ValueError, match="name another method"):
        candidates.fit(["logistic"])


def test_the_simpler_method_is_named_if_it_is_better(monkeypatch):
    blind = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    candidates = Candidates(IMAGES, LABELS, backbone=blind)
    assert "logistic regression" not in candidates.fit(["frozen"]).verdict
    all_right = Score("logistic", np.arange(60), np.ones(60, dtype=bool))
    monkeypatch.setattr(candidates, "_score_logistic", lambda method: all_right)
    assert "Plain logistic regression" in candidates.fit(["frozen", "logistic"]).verdict


def test_a_method_that_is_beaten_is_spared_the_rest():
    candidates = Candidates(IMAGES, LABELS, backbone=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    alone = candidates.score("frozen")
    assert (alone.folds, alone.note) == (5, "")
    assert alone.held_out is not None
    rival = Score("head", np.arange(60), np.ones(60, dtype=bool), held_out=alone.held_out)
    beaten = candidates.score("frozen", [rival])
    assert beaten.folds < 5
    assert beaten.note == f"{beaten.folds} of 5 folds, then head was significantly better"
    np.testing.assert_array_equal(beaten.correct, alone.correct[np.isin(alone.rows, beaten.rows)])


def test_equal_images_are_judged_once():
    images, labels = np.concatenate([IMAGES, IMAGES[:3]]), np.concatenate([SCARCE, SCARCE[:3]])
    candidates = Candidates(images, labels, backbone=small_backbone())
    np.testing.assert_array_equal(candidates.judged, np.concatenate([SCARCE, [-1] * 3]))
    assert candidates.fit(["frozen"]).embedding.n_labels_ == (labels >= 0).sum()


def test_a_label_is_not_lost_to_a_double_without_one():
    images, labels = np.concatenate([IMAGES[:3], IMAGES]), np.concatenate([[-1] * 3, SCARCE])
    np.testing.assert_array_equal(Candidates(images, labels, backbone=small_backbone()).judged, labels)


def test_a_class_of_nothing_but_duplicates_is_judged_as_it_is():
    images = IMAGES.copy()
    images[SCARCE == 0] = images[0]
    assert (Candidates(images, SCARCE).judged == SCARCE).all()


def test_all_methods_are_judged_on_the_same_groups(monkeypatch):
    """Both sides of a fold hold whole groups, for every method, and where a class is left out."""
    groups = np.arange(60) // 2  # pairs of which one has a label, or both, or none
    labels = np.where(np.arange(60) % 20 < 13, LABELS, -1)
    candidates = Candidates(IMAGES, labels, groups=groups, backbone=small_backbone())
    learned, encoder = [], candidates._encoder

    def watched(method, rows, *rest):
        learned.append(rows)
        return encoder("frozen", rows, *rest)  # which takes no time

    monkeypatch.setattr(candidates, "_encoder", watched)
    for method in METHODS:
        learned.clear()
        score = candidates.score(method)
        np.testing.assert_array_equal(np.sort(score.rows), np.flatnonzero(labels >= 0))
        np.testing.assert_array_equal(score.groups, groups[score.rows])
        for rows in learned:
            assert not set(groups[rows]) & set(groups[np.setdiff1d(np.arange(60), rows)])
        assert len(learned) == (0 if method == "logistic" else 5)
    for stay, out in candidates.folds:
        assert not set(groups[stay]) & set(groups[out])
    learned.clear()
    candidates.unseen("frozen", 0.5)
    assert len(learned) == 3
    for rows in learned:
        assert not set(groups[rows]) & set(groups[np.setdiff1d(np.arange(60), rows)])


def test_three_frames_of_a_scene_with_classes_by_lot():
    """Where nothing can be learned, the best of several methods is right in about half of the cases."""
    random = np.random.default_rng(3)
    shown = np.repeat(np.arange(16), 3)
    pictures = random.integers(40, 216, (16, 3, 6, 6))[shown].repeat(6, axis=2).repeat(6, axis=3)
    images = (pictures + random.normal(0, 4, pictures.shape)).astype(np.uint8)
    labels = random.permutation(np.arange(16) % 2)[shown]
    methods = ["frozen", "logistic"]
    alone = choose_method(images, labels, backbone=small_backbone(), methods=methods)
    together = choose_method(images, labels, groups=shown, backbone=small_backbone(), methods=methods)
    assert alone.table[0].accuracy.low > 80
    for score in together.table:
        assert score.accuracy.low < 50 < score.accuracy.high


def test_an_interrupted_run_goes_on_and_gives_the_same(tmp_path, short, monkeypatch):
    methods = ["frozen", "logistic", "head", "scratch"]
    whole = Candidates(IMAGES, SCARCE, backbone=small_backbone()).fit(methods)
    train, trained = model_selection.train_head, []

    def stopped(*data, **options):
        trained.append(options)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train(*data, **options)

    monkeypatch.setattr(model_selection, "train_head", stopped)
    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        Candidates(IMAGES, SCARCE, backbone=small_backbone(), cache=cache).fit(methods)
    monkeypatch.setattr(model_selection, "train_head", train)
    candidates = Candidates(IMAGES, SCARCE, backbone=small_backbone(), cache=cache)
    assert len([*candidates.folder.glob("head-fold-*.npy")]) == 2
    again = candidates.fit(methods)
    assert (again.winner, again.verdict) == (whole.winner, whole.verdict)
    assert again.embedding.encoder_id_ == whole.embedding.encoder_id_
    for one, other in zip(whole.table, again.table, strict=True):
        np.testing.assert_array_equal(one.correct, other.correct)
    np.testing.assert_allclose(again.embeddings, whole.embeddings, atol=1e-6)
    candidates.clear_cache()
    assert not [*cache.iterdir()]


def test_other_images_labels_or_settings_have_another_key():
    keys = [
        Candidates(images, labels, backbone=backbone, random_state=seed).key
        for images, labels, backbone, seed in [
            (IMAGES, SCARCE, LITE0, 0),
            (IMAGES[::-1], SCARCE, LITE0, 0),
            (IMAGES, LABELS, LITE0, 0),
            (IMAGES, SCARCE, small_backbone(), 0),
            (IMAGES, SCARCE, LITE0, 1),
        ]
    ]
    keys += [Candidates(IMAGES, SCARCE, groups=np.arange(60) // size).key for size in (2, 3)]
    assert len(set(keys)) == 7
    assert keys[0] == Candidates(IMAGES.copy(), SCARCE.tolist()).key


def test_photographs_are_taken_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("METRICLEARN_CACHE", str(tmp_path / "cache"))
    photographs = read_photographs(draw_folder(tmp_path / "in", n=6, free=2))
    choice = choose_method(photographs, photographs.labels, methods=["frozen", "logistic"])
    assert [len(score.rows) for score in choice.table] == [18, 18]
    assert (tmp_path / "cache" / "features").is_dir()
    assert small_side(photographs) == 48  # of 64 x 48 pixels


@pytest.mark.parametrize(
    ("shape", "side"), [((1, 1, 28, 28), 28), ((1, 3, 300, 200), 48), ((1, 3, 40, 64), 40)]
)
def test_small_images_stay_as_they_are(shape, side):
    assert small_side(np.zeros(shape, dtype=np.uint8)) == side


def test_the_side_is_one_that_most_photographs_have(tmp_path):
    for i, side in enumerate((28, 40, 56) * 4):
        Image.new("L", (side, side + 3)).save(tmp_path / f"{i}.png")
    photographs = read_photographs(tmp_path, cache=tmp_path / "cache")
    assert small_side(photographs) == 28
