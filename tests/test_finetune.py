"""A head, the last part or all of a backbone learns the task; what is saved names the backbone."""

import numpy as np
import pytest
import torch
from drawn_pictures import stripes
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from torch import nn

from metriclearn import MetricEmbedding, finetune
from metriclearn.backbones import LITE0, LITE2, Backbone, as_backbone
from metriclearn.embedding import encoder_id

IMAGES, LABELS = stripes(40)
SCARCE = np.where(np.arange(60) % 20 < 4, LABELS, -1)


def small_backbone(seed=0):
    """Return an untrained network of two parts, small enough for a test."""
    torch.manual_seed(seed)
    trunk = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU())
    tail = nn.Sequential(nn.Conv2d(8, 16, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return Backbone(tail, trunk, name="small").requires_grad_(False)


@pytest.fixture(autouse=True)
def short_head(monkeypatch):
    """Before a backbone is tuned, its head learns for five steps, not 600."""
    monkeypatch.setattr(finetune, "HEAD_STEPS", 5)


def fitted(tune, **options):
    """Return an embedding on the small backbone."""
    options = {"steps": 6, "batch_size": 12, "random_state": 0} | options
    return MetricEmbedding(8, backbone=small_backbone(), tune=tune, **options).fit(IMAGES, SCARCE)


@pytest.mark.parametrize(("tune", "changed"), [("frozen", set()), ("head", set()), ("last", {"tail"})])
def test_what_is_tuned_changes_and_nothing_else(tune, changed):
    encoder, before = fitted(tune).encoder_, small_backbone().state_dict()
    after = encoder.backbone.state_dict()
    moved = {name.split(".")[0] for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert moved == changed


def test_all_of_it_may_change():
    encoder, before = fitted("all").encoder_, dict(small_backbone().named_parameters())
    after = dict(encoder.backbone.named_parameters())
    assert not any(torch.equal(weight, after[name]) for name, weight in before.items())
    running = encoder.backbone.state_dict()["trunk.1.running_mean"]
    assert torch.equal(running, torch.zeros(8))  # the batch norms keep what they knew


def test_the_given_backbone_stays_as_it_is():
    backbone = small_backbone()
    for tune in ("last", "all"):
        MetricEmbedding(8, backbone=backbone, tune=tune, steps=2, random_state=0).fit(IMAGES, SCARCE)
    assert all(
        torch.equal(weight, other)
        for weight, other in zip(backbone.parameters(), small_backbone().parameters(), strict=True)
    )
    assert not any(weight.requires_grad for weight in backbone.parameters())


@pytest.mark.parametrize("tune", ["frozen", "head", "last", "all"])
def test_saved_and_read_back(tune, tmp_path):
    embedding = fitted(tune)
    card = embedding.save(tmp_path)
    again = MetricEmbedding.load(tmp_path, backbone=small_backbone())
    assert np.array_equal(again.transform(IMAGES), embedding.transform(IMAGES))
    assert again.encoder_id_ == encoder_id(again.encoder_) == card["encoder_id"]
    assert card["backbone"]["name"] == card["parameters"]["backbone"] == "small"
    assert embedding.n_features_in_ == 3
    assert not hasattr(again, "n_features_in_")  # images of any size, grey or in colour


def test_a_backbone_with_a_name_is_not_copied(tmp_path):
    embedding = MetricEmbedding(8, backbone=LITE0, steps=2, random_state=0).fit(IMAGES, SCARCE)
    embedding.save(tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 800_000  # the backbone has 13 MB
    assert np.array_equal(MetricEmbedding.load(tmp_path).transform(IMAGES), embedding.transform(IMAGES))


@pytest.mark.parametrize("name", [LITE0, f"{LITE0}+{LITE2}"])
def test_the_shape_that_pictures_are_shown_in_is_kept(name, tmp_path):
    embedding = MetricEmbedding(8, backbone=as_backbone(name, aspect=4 / 3), steps=2, random_state=0)
    embedding.fit(IMAGES, SCARCE)
    assert embedding.save(tmp_path)["backbone"]["aspect"] == 4 / 3
    again = MetricEmbedding.load(tmp_path)
    finetune._remembered.clear()
    assert np.array_equal(again.transform(IMAGES), embedding.transform(IMAGES))
    other = MetricEmbedding(8, backbone=LITE0, steps=2, random_state=0).fit(IMAGES, SCARCE)
    assert other.encoder_id_ != again.encoder_id_


def test_another_backbone_is_refused(tmp_path):
    fitted("head").save(tmp_path)
    with pytest.raises(ValueError, match="backbone small is not the one that the encoder was trained on"):
        MetricEmbedding.load(tmp_path, backbone=small_backbone(seed=1))
    with pytest.raises(
        ValueError, match=r"stands on 'small', a backbone of yours or .* not on this machine: pass it"
    ):
        MetricEmbedding.load(tmp_path)


def test_a_head_learns_the_kinds():
    vectors, known = fitted("head", steps=150).transform(IMAGES), SCARCE >= 0
    nearest = SCARCE[known][(vectors[~known] @ vectors[known].T).argmax(axis=1)]
    assert (nearest == LABELS[~known]).mean() > 0.9


def test_bytes_and_floats_give_the_same_embeddings():
    embedding = fitted("head")
    floats = embedding.transform(IMAGES.astype(np.float32) / 255)
    np.testing.assert_allclose(embedding.transform(IMAGES), floats, atol=1e-5)


def test_images_of_any_size_are_embedded():
    embedding = MetricEmbedding(backbone=LITE0, tune="frozen").fit(IMAGES, SCARCE)
    assert embedding.transform(IMAGES[:1, :, :36]).shape == (1, 1280)


def test_features_are_computed_once(monkeypatch):
    finetune._remembered.clear()
    backbone, looks = small_backbone(), []
    monkeypatch.setattr(Backbone, "maps", lambda self, x: (looks.append(len(x)), self.trunk(x))[1])
    first = finetune.features_of(backbone, IMAGES)
    seen = sum(looks)
    first[:] = 0  # whoever changes what it got changes nobody else's
    again = finetune.features_of(backbone, IMAGES)
    assert sum(looks) == seen == len(IMAGES)
    assert again.any()


def test_the_same_seed_gives_the_same_encoder():
    assert (
        fitted("last").encoder_id_ == fitted("last").encoder_id_ != fitted("last", random_state=1).encoder_id_
    )


def test_it_can_become_onnx(tmp_path):
    """What follows the preparation is an ordinary network: other programs prepare, and ask it."""
    import onnxruntime

    class Prepared(nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.encoder = encoder

        def forward(self, prepared):
            return self.encoder.embed_maps(self.encoder.backbone.trunk(prepared))

    embedding, file = fitted("head"), tmp_path / "encoder.onnx"
    x = torch.tensor(IMAGES[:4]).float() / 255
    torch.onnx.export(
        Prepared(embedding.encoder_).eval(), (x,), file, input_names=["images"], dynamo=True, verbose=False
    )
    (vectors,) = onnxruntime.InferenceSession(file).run(None, {"images": x.numpy()})
    np.testing.assert_allclose(vectors, embedding.transform(IMAGES[:4]), atol=1e-4)


class Channel(nn.Module):
    """A network without weights: one channel of the image, coarsely."""

    def __init__(self, channel):
        super().__init__()
        self.channel = channel

    def forward(self, x):
        return nn.functional.adaptive_avg_pool2d(x[:, self.channel], 8).flatten(1)


def test_each_candidate_of_a_grid_search_is_itself():
    """Both have one class and no weights, and one is right always where the other is blind."""
    blind = np.stack([IMAGES[:, 0], np.zeros_like(IMAGES[:, 0]), IMAGES[:, 0]], axis=1)
    ways = Pipeline(
        [("embed", MetricEmbedding(tune="frozen")), ("vote", KNeighborsClassifier(1, algorithm="brute"))]
    )
    networks = [Channel(1), Channel(0)]
    search = GridSearchCV(ways, {"embed__backbone": networks}, cv=2).fit(blind, LABELS)
    for network, score in zip(networks, search.cv_results_["mean_test_score"], strict=True):
        finetune._remembered.clear()
        alone = clone(ways).set_params(embed__backbone=network)
        assert score == cross_val_score(alone, blind, LABELS, cv=2).mean()
    assert search.best_params_["embed__backbone"].channel == 0
    ids = [MetricEmbedding(backbone=each, tune="frozen").fit(blind, LABELS).encoder_id_ for each in networks]
    assert ids[0] != ids[1]


def test_features_follow_a_backbone_that_is_changed():
    backbone = small_backbone()
    before = finetune.features_of(backbone, IMAGES)
    backbone.tail[0].weight.data *= 2
    trained = finetune.features_of(backbone, IMAGES)
    backbone.tail[1] = nn.Tanh()
    replaced = finetune.features_of(backbone, IMAGES)
    assert not np.allclose(before, trained)
    assert not np.allclose(trained, replaced)


@pytest.mark.parametrize("tune", ["frozen", "head", "last", "all"])
def test_what_is_done_to_the_backbone_later_changes_no_fitted_encoder(tune):
    backbone = small_backbone()
    embedding = MetricEmbedding(8, backbone=backbone, tune=tune, steps=2, batch_size=12, random_state=0)
    identity, vectors = embedding.fit(IMAGES, SCARCE).encoder_id_, embedding.transform(IMAGES)
    backbone.trunk[0].weight.data *= 2
    assert embedding.encoder_id_ == identity
    assert np.array_equal(embedding.transform(IMAGES), vectors)
    assert clone(embedding).fit(IMAGES, SCARCE).encoder_id_ != identity
    embedding.encoder_.backbone.trunk[0].weight.data *= 2  # which is another encoder
    assert embedding.encoder_id_ != identity


def test_a_network_that_counts_its_calls_can_be_read_back(tmp_path):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.seen = 0, []

        def forward(self, x):
            self.calls += 1
            self.seen.append(len(x))
            return nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)

    embedding = MetricEmbedding(8, backbone=Counting(), steps=2, random_state=0).fit(IMAGES, SCARCE)
    vectors, identity = embedding.transform(IMAGES), embedding.encoder_id_
    embedding.save(tmp_path)
    again = MetricEmbedding.load(tmp_path, backbone=Counting())
    assert again.encoder_id_ == identity == embedding.encoder_id_
    assert np.array_equal(again.transform(IMAGES), vectors)


@pytest.mark.parametrize(
    ("options", "images", "words"),
    [
        ({"tune": "last"}, IMAGES, 'tune is "last" without a backbone'),
        ({"tune": "some", "backbone": LITE0}, IMAGES, "tune is 'some': choose"),
        ({"backbone": LITE0}, IMAGES[:, :, :20], "from 32 pixels a side on"),
        ({"backbone": LITE0}, np.repeat(IMAGES, 2, axis=1)[:, :4], "drop the alpha channel"),
        ({"backbone": LITE0}, IMAGES.reshape(60, -1).astype(np.float32), "A backbone wants images"),
        ({"backbone": LITE0, "reconstruction": 1.0}, IMAGES, "has no decoder"),
        ({"backbone": nn.Conv2d(3, 2, 1)}, IMAGES, "one row of numbers per image"),
        ({"backbone": nn.Flatten(), "tune": "last"}, IMAGES, "has no stated last part"),
        ({"backbone": LITE0, "augment": "mirror"}, IMAGES, "augment is 'mirror': choose"),
        ({"backbone": LITE0}, IMAGES[:1], "1 images but 60 labels"),
    ],
)
def test_what_does_not_fit(options, images, words):
    with pytest.raises(ValueError, match=words):
        MetricEmbedding(**options).fit(images, SCARCE)


class Clamp(nn.Module):
    """A network with a setting that its own code writes again, and one that only this does."""

    def __init__(self, most):
        super().__init__()
        self.most, self.calls = most, 0

    def forward(self, x):
        self.most, self.calls = float(self.most), self.calls + 1
        return nn.functional.adaptive_avg_pool2d(x, 4).flatten(1).clamp(max=self.most)


def test_a_setting_that_the_network_writes_again_is_one():
    """Two networks that answer differently have two ids, and neither gets what the other gave."""
    together = [
        MetricEmbedding(8, backbone=Clamp(most), tune="frozen").fit(IMAGES, SCARCE) for most in (0.2, 0.5)
    ]
    assert together[0].encoder_id_ != together[1].encoder_id_
    finetune._remembered.clear()
    alone = MetricEmbedding(8, backbone=Clamp(0.5), tune="frozen").fit(IMAGES, SCARCE)
    assert alone.encoder_id_ == together[1].encoder_id_
    assert np.array_equal(alone.transform(IMAGES), together[1].transform(IMAGES))


def test_a_hook_on_a_fitted_encoder_makes_it_another():
    embedding = MetricEmbedding(backbone=LITE0, tune="frozen").fit(IMAGES, SCARCE)
    identity = embedding.encoder_id_
    embedding.transform(IMAGES)
    assert embedding.encoder_id_ == identity
    embedding.encoder_.backbone.tail.register_forward_hook(lambda module, given, found: found**2)
    assert embedding.encoder_id_ != identity
