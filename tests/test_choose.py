"""The labels decide which way suits the images; where they are too few to tell, that is said."""

import numpy as np
import pytest
from test_tuning import IMAGES, LABELS, SCARCE, small_backbone
from torch import nn

from metriclearn import choose
from metriclearn.choose import METHODS, Judged, beats, choose_method, decide, shrunk
from metriclearn.evaluate import share_interval


def test_every_way_is_judged_on_the_same_images():
    found = choose_method(
        IMAGES, LABELS, backbone=small_backbone(), methods=["frozen", "logistic"], seconds=100
    )
    assert [judged.method for judged in found.table] == ["frozen", "logistic"]
    assert [len(judged.right) for judged in found.table] == [60, 60]
    for judged in found.table:
        assert judged.accuracy == share_interval(int(judged.right.sum()), 60)
    assert found.winner in str(found)


def test_a_way_that_knows_nothing_loses():
    blind = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # the mean colour alone
    seeing = small_backbone()
    blind_alone = choose_method(IMAGES, LABELS, backbone=blind, methods=["frozen"]).table[0]
    seeing_alone = choose_method(IMAGES, LABELS, backbone=seeing, methods=["frozen"]).table[0]
    assert beats(seeing_alone, blind_alone)
    assert not beats(blind_alone, seeing_alone)


def test_held_out_images_are_not_learned_from(monkeypatch):
    learned = []
    train = choose.train_metric

    def watched(rows, labels, **options):
        learned.append({int(row[0]) for row in rows.reshape(len(rows), -1)})
        return train(rows, labels, steps=1, **options)

    monkeypatch.setattr(choose, "train_metric", watched)
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
    found = choose_method(IMAGES, SCARCE, backbone=backbone, methods=["frozen", "tune"])
    assert [judged.accuracy is None for judged in found.table] == [False, True]
    assert "tune      not tried (the backbone has no stated last part)" in str(found)


def test_too_few_labels_to_tell():
    found = choose_method(IMAGES, SCARCE, backbone=small_backbone(), methods=["frozen", "logistic"])
    assert not found.clear
    assert "12 labelled images are too few labels to tell it from" in found.verdict


def judged(right, of=40, method="frozen"):
    rows = np.arange(of)
    return Judged(method, share_interval(right, of), rows, rows < right, 0.0)


def test_beyond_chance():
    assert beats(judged(30), judged(24))  # six wins, no loss, or the other way round: 1 in 32
    assert not beats(judged(24), judged(30))
    assert not beats(judged(30), judged(25))  # five: 1 in 16
    assert not beats(judged(30), judged(30))


def test_ways_are_compared_on_the_images_that_both_met():
    """What was broken off after ten easy images, on which others were better still, does not win."""
    whole = judged(20)
    easy = Judged("scratch", share_interval(12, 20), np.arange(20), np.arange(20) < 12, 0.0)
    assert easy.accuracy.mean > whole.accuracy.mean
    found = decide([whole, easy])
    assert (found.winner, found.clear) == ("frozen", True)


def test_time_is_kept(monkeypatch):
    clock = iter(range(1_000_000))
    monkeypatch.setattr(choose.time, "monotonic", lambda: float(next(clock)))
    found = choose_method(IMAGES, SCARCE, backbone=small_backbone(), seconds=60)
    tried = {judged.method: judged for judged in found.table}
    assert tried["frozen"].note == ""
    assert tried["scratch"].accuracy is None
    assert tried["scratch"].note == "no time was left"
    assert found.winner in ("frozen", "logistic", "head")


def test_images_below_the_stride_are_learned_from_scratch(monkeypatch):
    train = choose.train_metric
    monkeypatch.setattr(choose, "train_metric", lambda *of, **options: train(*of, steps=1, **options))
    found = choose_method(IMAGES[:, :, :28, :28], SCARCE)
    assert found.winner == "scratch"
    assert [judged.note for judged in found.table if judged.method != "scratch"] == [
        "the images are smaller than 32 pixels"
    ] * (len(METHODS) - 1)


def test_large_images_are_shrunk_for_the_small_network():
    large = np.full((3, 1, 128, 256), 200, dtype=np.uint8)
    assert shrunk(large).shape == (3, 1, 48, 96)
    assert (shrunk(large) == 200).all()
    assert shrunk(IMAGES) is IMAGES


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": np.where(np.arange(60) == 59, 7, SCARCE)}, "Class 7 has one labelled picture"),
        ({"labels": np.full(60, -1)}, "holds no label"),
        ({"methods": ["best"]}, "methods is 'best': choose"),
        ({"methods": "frozen"}, "pass a list of some of frozen"),
        ({"methods": []}, "pass a list of some of frozen"),
        ({"seconds": 0}, "seconds is 0: choose a number above 0"),
        ({"random_state": -1}, "seed is -1"),
        ({"device": "tpu9"}, "device is 'tpu9'"),
        (
            {"images": IMAGES[:, :, :20, :20], "methods": ["frozen"], "backbone": choose.LITE0},
            "No way could be",
        ),
    ],
)
def test_what_does_not_fit(options, words):
    given = {"images": IMAGES, "labels": SCARCE, "backbone": small_backbone()} | options
    with pytest.raises(ValueError, match=words):
        choose_method(**given)
