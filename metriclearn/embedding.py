"""MetricEmbedding: the whole method as one scikit-learn transformer, from images to embeddings."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
import torch
from safetensors.torch import load as load_weights
from safetensors.torch import save as save_weights
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from metriclearn.augment import AUGMENTS, Augment
from metriclearn.backbones import LITE0, PACKAGED, Backbone, as_backbone
from metriclearn.checks.arguments import check_choice, check_device, check_folder, shown
from metriclearn.checks.arrays import DIFFER, FloatArray, ImageArray, as_array, check_images
from metriclearn.checks.forms import fits
from metriclearn.checks.labels import check_class_labels, is_labelled
from metriclearn.default_settings import default_settings
from metriclearn.files import (
    CHECKSUM,
    LARGEST_CARD,
    json_bytes,
    plain,
    read_file,
    read_json,
    read_unchanged,
    write_files,
)
from metriclearn.finetune import TUNE, BackboneEncoder, embed_images, train_on_backbone
from metriclearn.losses import LOSSES, Loss
from metriclearn.models import Encoder
from metriclearn.training import DEFAULT_STEPS, train_metric

PUBLISHED = Path(__file__).parent / "weights"
WEIGHTS_FILE, CARD_FILE = "encoder.safetensors", "card.json"
REMEDY = "copy both files again, or save the encoder anew"
CARD_FORM = {
    "encoder_id": str,
    "input_shape": [int],
    "dim": range(1, 2**31),
    "classes": [int],
    "label_budget": range(2**53),
    "parameters": dict,
}
CARD_FORM_ON_BACKBONE = CARD_FORM | {
    "input_shape": list,
    "backbone": {"name": str, "fingerprint": str, "aspect": (float, None), "tune": tuple(TUNE)},
}


class MetricEmbedding(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Metric learning as a transformer: embeddings in which images of one class lie close together.

    It learns an encoder from few labels and an unlabelled pool, and drops the decoder; see
    `metriclearn.training.train_metric` for the loop. The same defaults serve any set of images. Rows of
    numbers, shape `(n, d)`, are accepted too and get a small dense encoder without augmentation.

    Photographs may start from a pretrained backbone; `choose_method` tells whether that pays on your own
    labels. Images may then be of any size, and what is trained is a small head, or more.

    Args:
        dim: N, the length of the embedding.
        backbone: None trains a small network from scratch; or a name for `load_backbone`, such as
            `"efficientnet-lite0"`; or any module from images to features.
        tune: what of it is trained: `"head"`, a small head on its frozen features; `"last"`, its last part
            as well; `"all"`, which wants a GPU; or `"frozen"`, nothing: its own features, centred (see
            `metriclearn.finetune`).
        loss: `"supcon"`, `"triplet"`, `"contrastive"`, or a function of embeddings and labels; a module with
            weights of its own, such as ArcFace, learns along (see `train_metric`).
        augment: how to change the images at random: True (affine maps; on a backbone `"photographs"`), False,
            `"affine"`, `"photographs"`, or a function of a batch and a generator.
        pseudo_labels: whether to learn from the pool through its neighbour graph. If the pool holds
            classes without a label, it pulls them to the labelled ones (notebook 8 measures it).
        reconstruction: weight of D(X, X′) in the loss; 0 leaves the decoder out, and a backbone has none.
        steps: number of gradient steps; None takes 600, or 100 where a backbone is tuned.
        batch_size: labelled images per step, from the pool come twice as many; None takes 128, for more than
            64 classes up to 256, and 32 where a backbone is tuned.
        learning_rate: the highest learning rate of the schedule.
        random_state: seed; the same seed on the same machine gives the same encoder.
        device: where to train and embed, such as `"cpu"`, `"cuda"` or `"auto"`.

    Attributes:
        encoder_: the trained `Encoder`, or a `BackboneEncoder`.
        encoder_id_: 16 hexadecimal digits, a hash of the architecture and the weights as they are now.
        classes_: int64, the classes seen in `fit`.
        n_labels_: how many images had a label in `fit`.
        losses_: the metric loss of each step.
        n_features_in_: the number of channels, or of columns. An encoder on a backbone, read from a file, has
            none: it takes images of any size, grey or in colour.

    Example:
        >>> from metriclearn import MetricEmbedding, load_images, scarce_labels
        >>> pool, test = load_images("mnist-5k")
        >>> labels = scarce_labels(pool.labels, per_class=10, seed=0)
        >>> embedding = MetricEmbedding(steps=1, random_state=0).fit(pool.pixels, labels)
        >>> embedding.transform(test.pixels).shape
        (1000, 32)
    """

    def __init__(
        self,
        dim: int = 32,
        *,
        backbone: str | nn.Module | None = None,
        tune: str = "head",
        loss: str | Loss = "supcon",
        augment: bool | str | Augment = True,
        pseudo_labels: bool = True,
        reconstruction: float = 0.0,
        steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float = 3e-3,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
    ) -> None:
        self.dim = dim
        self.backbone = backbone
        self.tune = tune
        self.loss = loss
        self.augment = augment
        self.pseudo_labels = pseudo_labels
        self.reconstruction = reconstruction
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.device = device

    def fit(self, X: ImageArray, y: npt.ArrayLike) -> "MetricEmbedding":
        """Train the encoder.

        Args:
            X: the pool, float32 in [0, 1] or uint8, shape `(n, channels, height, width)`, or rows `(n, d)`.
            y: int, shape `(n,)`: the class of each image, −1 = unlabelled.

        Returns:
            The estimator itself. If `fit` is interrupted or fails, the estimator stays as it was.

        Raises:
            ValueError: for images of a wrong shape, type or range or of different sizes, NaN or
                infinity, labels that do not match, fewer than two labelled classes, or a parameter
                out of range.
        """
        X, pixels = self._check_pixels(X, fitting=True)
        labels = check_class_labels(y, len(pixels))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        names = ("loss", "augment", "pseudo_labels", "batch_size", "learning_rate")
        options: dict[str, Any] = {name: getattr(self, name) for name in names} | {"seed": seed}
        encoder: Encoder | BackboneEncoder
        if (backbone := self._wanted_backbone(pixels)) is not None:
            encoder, losses = train_on_backbone(
                backbone, pixels, labels, self.dim, tune=self.tune, steps=self.steps, **options
            )
        else:
            model, losses = train_metric(
                pixels,
                labels,
                self.dim,
                reconstruction=self.reconstruction,
                steps=DEFAULT_STEPS if self.steps is None else self.steps,
                device=self.device,
                **options,
            )
            encoder = model.encoder
        # Everything is set at the end: an interrupted fit changes nothing.
        validate_data(self, X, skip_check_array=True)  # notes the columns' number, and their names
        self.encoder_ = encoder
        known = is_labelled(labels)
        self.classes_ = np.unique(labels[known])
        self.n_labels_ = int(known.sum())
        self.losses_ = losses
        if hasattr(self, "card_"):  # that of an encoder read from a file, which is another one
            del self.card_
        return self

    def transform(self, X: ImageArray) -> FloatArray:
        """Return the embeddings of images, float32 of shape `(n, N)`, unit length.

        Args:
            X: float32 in [0, 1] or uint8, shape `(n, channels, height, width)`, or rows, as in `fit`.

        Raises:
            ValueError: for images unlike those that the encoder was trained on.
        """
        check_is_fitted(self, "encoder_")
        return embed_images(self.encoder_, self._check_pixels(X, fitting=False)[1])

    @property
    def encoder_id_(self) -> str:
        """16 hexadecimal digits that change with all that the embeddings depend on."""
        if "encoder_" not in vars(self):
            raise AttributeError("encoder_id_ is there once fit() is done.")
        return encoder_id(self.encoder_)

    def save(self, folder: str | Path, **notes: Any) -> dict[str, Any]:
        """Write the encoder's weights (safetensors) and its card (JSON) into a folder.

        Args:
            folder: made if missing; an encoder that lies there is replaced, once both files are written.
            notes: further entries of the card, such as `data="mnist-5k"` or `accuracy=96.6`. What JSON
                does not know is written as a list, a dictionary or a text.

        Returns:
            The card, as `load` will read it.

        Raises:
            ValueError: for a note with a name that the card uses itself, or one that holds itself.
            OSError: if the folder cannot be written. What lay there is then untouched.
        """
        path = check_folder(folder)
        card, files = encoder_files(self, notes)
        write_files(path, files)
        return card

    @classmethod
    @default_settings()
    def load(
        cls, folder: str | Path = PUBLISHED, device: str = "cpu", *, backbone: str | nn.Module | None = None
    ) -> "MetricEmbedding":
        """Read an encoder back; by default the one published with the package.

        Nothing in the files is executed: they hold numbers and text only.

        Args:
            folder: where `save` wrote the weights and the card.
            device: where to embed, such as `"cpu"`, `"cuda"` or `"auto"`.
            backbone: the network below, if it was one of your own, or if its weights are not on this machine:
                a card may be a stranger's, so no hub is asked for what it names.

        Returns:
            A fitted estimator, ready to `transform`.

        Raises:
            FileNotFoundError: if the weights or the card are missing.
            OSError: if they cannot be read.
            ValueError: if they are damaged, the weights are not those that the card describes, the backbone
                is another one or not here, or the device is not there.
        """
        path, where = check_folder(folder), check_device(device)
        weights_file, card_file = path / WEIGHTS_FILE, path / CARD_FILE
        card, stored = read_unchanged(
            (weights_file, card_file),
            lambda: (read_json(card_file, REMEDY, LARGEST_CARD), read_file(weights_file, REMEDY)),
        )
        network = card.get("backbone")
        if not fits(card, CARD_FORM if network is None else CARD_FORM_ON_BACKBONE):
            raise ValueError(f"{card_file} is not the card of an encoder: {REMEDY}.")
        parameters = _known_parameters(card["parameters"]) | {"dim": card["dim"], "device": device}
        below, parameters["backbone"] = None, None
        if network is not None:  # what is wrong with a backbone, it says itself
            parameters["backbone"] = backbone or network["name"]
            below = _same_backbone(network, backbone, where)
        try:
            encoder = _restored(card, load_weights(stored), below)
            intact = encoder_id(encoder.eval()) == card["encoder_id"]
        except Exception:  # of many kinds, according to where the damage lies
            intact = False
        if not intact:
            raise ValueError(f"The weights in {path} are damaged, or of another card: copy both files again.")
        embedding = cls(**parameters)
        if network is None:
            embedding.n_features_in_ = card["input_shape"][0]
        embedding.encoder_ = encoder.to(where)
        embedding.classes_ = np.array(card["classes"], dtype=np.int64)
        embedding.n_labels_ = card["label_budget"]
        embedding.card_ = card
        return embedding

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _wanted_backbone(self, pixels: ImageArray) -> Backbone | None:
        """Return the backbone to begin with, if one is wanted and all that goes with it fits."""
        tune = check_choice(self.tune, "tune", TUNE)
        if self.backbone is None:
            if tune != "head":
                raise ValueError(f'tune is "{tune}" without a backbone: name one, as backbone="{LITE0}".')
            return None
        if pixels.ndim != 4 or self.reconstruction:
            raise ValueError(
                "A backbone wants images, and has no decoder: leave it out, or set reconstruction=0."
            )
        return as_backbone(self.backbone, self.device)

    def _check_pixels(self, X: Any, fitting: bool) -> tuple[Any, ImageArray]:
        """Return X, as a table or an array, and its numbers as float32 or bytes, shape `(n, ...)`."""
        if not (hasattr(X, "columns") or sparse.issparse(X)):  # scikit-learn has its own words for these
            X = as_array(X, "The images", DIFFER)
        if np.ndim(X) > 2:
            X = pixels = check_images(X)
        elif fitting:
            pixels = check_array(X, dtype=np.float32, estimator=self)
        else:
            pixels = validate_data(self, X, reset=False, dtype=np.float32)
        if fitting or isinstance(self.encoder_, BackboneEncoder):  # which takes images of any size
            return X, pixels
        if pixels.shape[1:] != self.encoder_.input_shape:
            raise ValueError(
                f"X holds inputs of shape {pixels.shape[1:]}, but the encoder was trained on "
                f"{self.encoder_.input_shape}: resize them to that shape."
            )
        return X, pixels


def encoder_files(
    embedding: MetricEmbedding, notes: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the card of an encoder, and the content of each of its files by name, as `save` writes them.

    Raises:
        ValueError: for a note with a name that the card uses itself, or one that holds itself.
    """
    check_is_fitted(embedding, "encoder_")
    encoder, parameters = embedding.encoder_, embedding.get_params()
    if isinstance(encoder, BackboneEncoder):
        parameters["backbone"] = encoder.backbone.name  # even if a module was passed
    card: dict[str, Any] = {
        "encoder_id": embedding.encoder_id_,
        **describe(encoder),
        "dim": encoder.dim,
        "classes": [int(label) for label in embedding.classes_],
        "label_budget": embedding.n_labels_,
        "parameters": parameters,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "numpy", "scikit-learn")},
    }
    notes = notes or {}
    if taken := sorted({*card, CHECKSUM} & notes.keys()):
        raise ValueError(f"The card itself says {taken[0]!r}: give this note another name.")
    try:
        card = plain(card | dict(notes))
    except RecursionError:
        raise ValueError("A note holds itself, which no file can: leave it out.") from None
    stored = json_bytes(card, largest=LARGEST_CARD)
    return card, {WEIGHTS_FILE: save_weights(weights_to_save(encoder)), CARD_FILE: stored}


def _restored(
    card: dict[str, Any], weights: dict[str, torch.Tensor], below: Backbone | None
) -> Encoder | BackboneEncoder:
    """Return the encoder of a card and its weights, which alone say how much memory it takes."""
    dim = card["dim"]
    if below is None:
        with torch.device("meta"):
            encoder = Encoder(card["input_shape"], dim)
        for name, tensor in weights.items():
            if tensor.dtype != torch.float32 and not name.endswith("num_batches_tracked"):
                raise ValueError(f"{name} is of {tensor.dtype}")
        encoder.load_state_dict(weights, assign=True)
        return encoder
    tune = card["backbone"]["tune"]
    if dim != len(weights["centre"] if tune == "frozen" else weights["head.head.weight"]):
        raise ValueError("The card says another dim.")
    return BackboneEncoder.of(below, weights, tune, dim)


def _known_parameters(stored: dict[str, Any]) -> dict[str, Any]:
    """Return those of a card's parameters that can be set again; a function is only named there."""
    names = MetricEmbedding().get_params()
    found = {name: value for name, value in stored.items() if name in names}
    if not fits(found.get("loss"), tuple(LOSSES)):
        found.pop("loss", None)
    if not fits(found.get("augment"), (bool, *AUGMENTS)):
        found.pop("augment", None)
    if not isinstance(found.get("random_state"), int):
        found.pop("random_state", None)
    return found


def encoder_id(encoder: Encoder | BackboneEncoder) -> str:
    """Return 16 hexadecimal digits that change with any weight, and with any layer that was replaced."""
    return encoder.fingerprint()


def describe(encoder: Encoder | BackboneEncoder) -> dict[str, Any]:
    """Return what a card says of an encoder's architecture."""
    if isinstance(encoder, BackboneEncoder):
        below = encoder.backbone
        network = {
            "name": below.name,
            "fingerprint": encoder.origin,
            "aspect": below.aspect,
            "tune": encoder.tune,
        }
        return {"architecture": "backbone and head", "backbone": network, "input_shape": ["any size"]}
    kind = "convolutional" if len(encoder.input_shape) == 3 else "dense"
    return {"architecture": kind, "input_shape": list(encoder.input_shape)}


def weights_to_save(encoder: Encoder | BackboneEncoder) -> dict[str, torch.Tensor]:
    """Return the weights that a file must hold; those of a backbone are named on the card instead."""
    weights = encoder.trained() if isinstance(encoder, BackboneEncoder) else encoder.state_dict()
    return {name: tensor.contiguous() for name, tensor in weights.items()}


def _same_backbone(card: dict[str, Any], given: str | nn.Module | None, where: torch.device) -> Backbone:
    """Return the backbone that a card names, or the one given, if it has the weights that the card says."""
    name = card["name"]
    if given is None and not _is_on_this_machine(name):
        raise ValueError(
            f"The encoder stands on {shown(name)}, a backbone of yours or one whose weights are not on this "
            "machine: pass it, or fetch it by load_backbone before."
        )
    backbone = as_backbone(name if given is None else given, where, card["aspect"])
    if backbone.fingerprint != card["fingerprint"]:
        raise ValueError(
            f"The backbone {backbone.name} is not the one that the encoder was trained on, in weights, "
            "settings or code: pass that one."
        )
    return backbone


def _is_on_this_machine(name: str) -> bool:
    """Return whether `load_backbone` finds a network here: it came with a package, or was fetched before."""
    return all(part in PACKAGED or _was_fetched(part) for part in name.split("+"))


def _was_fetched(name: str) -> bool:
    if name.startswith("torchvision/"):
        from torchvision import models

        short = name.removeprefix("torchvision/")
        known = short in models.list_models(models)
        return known and _was_downloaded(models.get_model_weights(short).DEFAULT.url)
    import timm
    from huggingface_hub import try_to_load_from_cache

    settings = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if settings is None:
        return False
    repository, _, revision = (settings.hf_hub_id or "").partition("@")
    files = (settings.hf_hub_filename, "model.safetensors", "pytorch_model.bin")
    return _was_downloaded(settings.url) or any(
        isinstance(try_to_load_from_cache(repository, file, revision=revision or None), str)
        for file in files
        if repository and file
    )


def _was_downloaded(url: Any) -> bool:
    """Return whether a file lies where PyTorch keeps what it has downloaded."""
    return bool(url) and (Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(str(url)).name).is_file()
