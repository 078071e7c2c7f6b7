"""What a program sets for PyTorch or NumPy changes no result, and stays set."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from drawn_pictures import stripes
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import nn

from metriclearn import MetricEmbedding, backbones, finetune
from metriclearn.backbones import LITE0, Backbone, as_backbone
from metriclearn.default_settings import default_settings
from metriclearn.label_propagation import spread_labels
from metriclearn.losses import contrastive_loss, supervised_contrastive_loss, triplet_loss
from metriclearn.models import Encoder
from metriclearn.training import embed, predict_logits, train_autoencoder, train_classifier

IMAGES, LABELS = (array[::3] for array in stripes(40))
SCARCE = np.where(np.arange(len(LABELS)) % 2, LABELS, -1)


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(before)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SETTINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "another device": lambda: torch.device("meta"),
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": deterministic,
    "errors of NumPy": lambda: np.errstate(all="raise"),
}


def small_backbone():
    generator = torch.Generator().manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU())
    tail = nn.Sequential(nn.Conv2d(8, 16, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    backbone = Backbone(tail, trunk, name="small")
    for weight in backbone.parameters():
        weight.data = torch.randn(weight.shape, generator=generator, device="cpu").to(weight.dtype) / 8
    return backbone


def results():
    """Return what each public door gives, as bytes and texts."""
    found, options = {}, {"steps": 2, "batch_size": 6, "random_state": 0}
    for loss in ("supcon", "triplet", ARC):
        fitted = MetricEmbedding(4, loss=loss, reconstruction=0.1, **options).fit(IMAGES, SCARCE)
        found[str(loss)[:9]] = fitted.encoder_id_, fitted.transform(IMAGES).tobytes()
    for tune in ("frozen", "head", "last", "all"):
        fitted = MetricEmbedding(4, backbone=BACKBONE, tune=tune, **options).fit(IMAGES, SCARCE)
        found[tune] = fitted.encoder_id_, fitted.transform(IMAGES).tobytes()
    model, losses = train_autoencoder(IMAGES, 4, steps=2, batch_size=6)
    found["autoencoder"] = losses, embed(model.encoder, IMAGES).tobytes()
    classifier = train_classifier(IMAGES, SCARCE, steps=2, batch_size=6)
    found["classifier"] = predict_logits(classifier, IMAGES).tobytes()
    found["published"] = MetricEmbedding.load().encoder_id_
    found["spread"] = spread_labels(embed(model.encoder, IMAGES), SCARCE)[0].tobytes()
    return found


BACKBONE, ARC = small_backbone(), ArcFaceLoss(3, 4)


@pytest.fixture(scope="module")
def usual():
    finetune.HEAD_STEPS, before = 2, finetune.HEAD_STEPS
    yield results()
    finetune.HEAD_STEPS = before


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_no_setting_around_changes_a_result(setting, usual):
    finetune._remembered.clear()
    with setting():
        found = results()
    assert [name for name, value in found.items() if value != usual[name]] == []


def test_weights_are_those_of_their_package_under_float64():
    backbones._loaded.cache_clear()
    with default_dtype(torch.float64):
        assert as_backbone(LITE0).fingerprint == "cda9c3fbe0762dd5"
    with torch.inference_mode():
        backbones._loaded.cache_clear()
        assert not any(weight.is_inference() for weight in as_backbone(LITE0).parameters())


def test_the_global_random_numbers_are_neither_used_nor_changed(usual):
    finetune._remembered.clear()
    backbones._loaded.cache_clear()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert results() == usual
    as_backbone(LITE0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("tune", ["frozen", "head", "last", "all"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_backbone_may_have_weights_of_another_type(dtype, tune, usual):
    backbone = small_backbone().to(dtype)
    fitted = MetricEmbedding(4, backbone=backbone, tune=tune, steps=2, batch_size=6).fit(IMAGES, SCARCE)
    vectors = fitted.transform(IMAGES)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()


def test_a_network_and_a_loss_built_under_float64():
    with default_dtype(torch.float64):
        encoder, loss = Encoder((3, 40, 40), 4), ArcFaceLoss(3, 4)
    assert embed(encoder, IMAGES).dtype == np.float32
    MetricEmbedding(4, loss=loss, steps=2, batch_size=6).fit(IMAGES, SCARCE)


@pytest.mark.parametrize("loss", [contrastive_loss, triplet_loss, supervised_contrastive_loss])
def test_losses_keep_their_precision(loss):
    rows = nn.functional.normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    labels, wanted = torch.arange(12) % 3, loss(rows, torch.arange(12) % 3)
    with default_dtype(torch.float64):
        assert loss(rows, labels) == wanted
        torch.testing.assert_close(loss(rows.double(), labels).float(), wanted)
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(rows, labels) == wanted


def test_the_default_type_comes_back_when_the_last_thread_leaves():
    inside, leave = threading.Barrier(3), threading.Event()

    def work():
        with default_settings():
            inside.wait(10)
            leave.wait(10)

    with default_dtype(torch.float64):
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        inside.wait(10)
        with default_settings():
            assert torch.zeros(1).dtype == torch.float32
        assert torch.get_default_dtype() == torch.float32  # others are still inside
        leave.set()
        for thread in threads:
            thread.join()
        assert torch.get_default_dtype() == torch.float64


def test_it_also_comes_back_after_an_error():
    def fails():
        with default_settings():
            raise ZeroDivisionError

    with default_dtype(torch.float64):
        with pytest.raises(ZeroDivisionError):
            fails()
        assert torch.get_default_dtype() == torch.float64
