"""On a GPU the same encoder gives the same embeddings, and the same training as good a one.

Both compute in float32; a GPU may round what goes into a convolution to ten bits (TF32). So embeddings agree
to a cosine of 0.999, and accuracies as those of two runs with different rounding do.
"""

import numpy as np
import pytest
import torch
from drawn_pictures import stripes
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from metriclearn import MetricEmbedding, load_images, scarce_labels
from metriclearn.backbones import LITE0, load_backbone
from metriclearn.finetune import TUNE
from metriclearn.model_selection import choose_method
from metriclearn.training import predict_logits, train_autoencoder, train_classifier

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
AGREEING = 0.999  # cosine of the two embeddings of an image
NEAR = 3.0  # points of accuracy between a training here and there

PICTURES, CLASSES = stripes(64)
SCARCE = np.where(np.arange(60) % 20 < 5, CLASSES, -1)


def cosines(one, other):
    """Return the cosine of each row with its counterpart."""
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def accuracy(embedding):
    """Return the accuracy of an embedding of digits on the test images, by the nearest labelled one."""
    pool, test = load_images("mnist-5k")
    known = scarce_labels(pool.labels, 10, 0) >= 0
    model = KNeighborsClassifier(1).fit(embedding.transform(pool.pixels[known]), pool.labels[known])
    return 100 * float(model.score(embedding.transform(test.pixels), test.labels))


def test_the_published_encoder_agrees():
    images = load_images("mnist-5k")[1].pixels
    here, there = (MetricEmbedding.load(device=device).transform(images) for device in ("cpu", "cuda"))
    assert there.dtype == np.float32
    assert cosines(here, there).min() > AGREEING


def test_a_training_is_as_good():
    pool, _ = load_images("mnist-5k")
    labels = scarce_labels(pool.labels, 10, 0)
    here, there = (
        accuracy(MetricEmbedding(random_state=0, device=device).fit(pool.pixels, labels))
        for device in ("cpu", "auto")
    )
    assert here > 93
    assert abs(there - here) <= NEAR


def test_features_of_a_backbone_agree():
    image = torch.tensor(PICTURES).float() / 255
    here = load_backbone()(image).numpy()
    there = load_backbone(device="cuda")(image.cuda()).cpu().numpy()
    assert not load_backbone().mean.is_cuda  # each device has its own
    assert cosines(here, there).min() > AGREEING


@pytest.mark.parametrize("tune", TUNE)
def test_what_was_learned_there_works_here(tune, tmp_path):
    embedding = MetricEmbedding(8, backbone=LITE0, tune=tune, steps=8, random_state=0, device="cuda")
    vectors = embedding.fit(PICTURES, SCARCE).transform(PICTURES)
    embedding.save(tmp_path)
    back = MetricEmbedding.load(tmp_path)
    assert next(back.encoder_.parameters()).device.type == "cpu"
    assert back.encoder_id_ == embedding.encoder_id_
    assert cosines(back.transform(PICTURES), vectors).min() > AGREEING


@pytest.mark.parametrize("loss", ["supcon", "triplet", "contrastive", "arcface"])
@pytest.mark.parametrize("augment", ["affine", "photographs", False])
def test_each_loss_with_each_change(loss, augment):
    from pytorch_metric_learning.losses import ArcFaceLoss

    chosen = ArcFaceLoss(3, 8) if loss == "arcface" else loss
    embedding = MetricEmbedding(
        8, loss=chosen, augment=augment, steps=12, random_state=0, reconstruction=1.0, device="cuda"
    )
    vectors = embedding.fit(PICTURES, SCARCE).transform(PICTURES)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.isfinite(embedding.losses_).all()


def test_the_other_loops():
    model, errors = train_autoencoder(PICTURES, 8, steps=30, device="cuda")
    assert next(model.parameters()).is_cuda
    assert errors[-1] < errors[0]
    classifier = train_classifier(PICTURES, SCARCE, steps=60, device="cuda")
    assert (predict_logits(classifier, PICTURES).argmax(axis=1) == CLASSES).mean() > 0.9


def test_ways_are_judged_there():
    choice = choose_method(PICTURES, SCARCE, device="cuda", seconds=120)
    assert all(judged.accuracy for judged in choice.table), str(choice)


def test_a_network_of_ones_own_stays_where_it_is_told():
    network = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    embedding = MetricEmbedding(8, backbone=network, steps=8, random_state=0, device="cuda")
    assert embedding.fit(PICTURES, SCARCE).transform(PICTURES).shape == (60, 8)
