"""The whole method as one scikit-learn transformer: images in, embeddings out."""

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file, save_file
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from metriclearn.labels import UNLABELLED, check_class_labels
from metriclearn.models import Encoder
from metriclearn.training import LOSSES, Loss, embed, train_metric
from metriclearn.validate import DIFFER, FloatArray, as_array, check_images

PUBLISHED = Path(__file__).parent / "weights"
WEIGHTS_FILE, CARD_FILE = "encoder.safetensors", "card.json"


class MetricEmbedding(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Learn from few labels and an unlabelled pool where images of one class lie close together.

    Trains an encoder and drops the decoder; see `metriclearn.training.train_metric` for the loop and
    its sources. The same defaults serve any set of images. Rows of numbers, shape `(n, d)`, are
    accepted too and get a small dense encoder without augmentation.

    Args:
        dim: N, the length of the embedding.
        loss: `"supcon"`, `"triplet"`, `"contrastive"`, or a function of embeddings and labels.
        augment: whether to change the labelled images by random affine maps.
        pseudo_labels: whether to learn from the pool through its neighbour graph. If the pool holds
            classes without a label, it pulls them to the labelled ones (notebook 8 measures it).
        reconstruction: weight of D(X, X′) in the loss; 0 leaves the decoder out.
        steps: number of gradient steps.
        batch_size: labelled images per step; from the pool come twice as many.
        learning_rate: the highest learning rate of the schedule.
        random_state: seed; the same seed on the same machine gives the same encoder.
        device: where to train and embed, such as `"cpu"` or `"cuda"`.

    Attributes:
        encoder_: the trained `Encoder`.
        encoder_id_: 16 hexadecimal digits, a hash of the architecture and the weights.
        classes_: int64, the classes seen in `fit`.
        n_labels_: how many images had a label in `fit`.
        losses_: the metric loss of each step.

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
        loss: str | Loss = "supcon",
        augment: bool = True,
        pseudo_labels: bool = True,
        reconstruction: float = 0.0,
        steps: int = 600,
        batch_size: int = 128,
        learning_rate: float = 3e-3,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
    ) -> None:
        self.dim = dim
        self.loss = loss
        self.augment = augment
        self.pseudo_labels = pseudo_labels
        self.reconstruction = reconstruction
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.device = device

    def fit(self, X: FloatArray, y: npt.ArrayLike) -> "MetricEmbedding":
        """Train the encoder.

        Args:
            X: the pool, float32 of shape `(n, channels, height, width)` in [0, 1], or rows `(n, d)`.
            y: int, shape `(n,)`: the class of each image, −1 = unlabelled.

        Returns:
            The estimator itself. If `fit` is interrupted or fails, the estimator stays as it was.

        Raises:
            ValueError: for images of a wrong shape, type or range or of different sizes, NaN or
                infinity, labels that do not match, fewer than two labelled classes, or a parameter
                out of range.
        """
        self._check_parameters()
        pixels = self._check_pixels(X, fitting=True)
        labels = check_class_labels(y, len(pixels))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        model, losses = train_metric(
            pixels,
            labels,
            self.dim,
            loss=self.loss,
            augment=self.augment,
            pseudo_labels=self.pseudo_labels,
            reconstruction=self.reconstruction,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=seed,
            device=self.device,
        )
        # Everything is set at the end: an interrupted fit changes nothing.
        self.n_features_in_ = pixels.shape[1]
        self.encoder_ = model.encoder
        self.encoder_id_ = encoder_id(model.encoder)
        self.classes_ = np.unique(labels[labels != UNLABELLED])
        self.n_labels_ = int((labels != UNLABELLED).sum())
        self.losses_ = losses
        return self

    def transform(self, X: FloatArray) -> FloatArray:
        """Return the embeddings of images, float32 of shape `(n, N)`, unit length.

        Args:
            X: float32, shape `(n, channels, height, width)` in [0, 1], or rows, as in `fit`.

        Raises:
            ValueError: for images unlike those that the encoder was trained on.
        """
        check_is_fitted(self, "encoder_")
        return embed(self.encoder_, self._check_pixels(X, fitting=False))

    def save(self, folder: str | Path, **notes: Any) -> dict[str, Any]:
        """Write the encoder's weights (safetensors) and its card (JSON) into a folder.

        Args:
            folder: made if missing; an encoder that lies there is replaced.
            notes: further entries of the card, such as `data="mnist-5k"` or `accuracy=96.6`.

        Returns:
            The card.
        """
        check_is_fitted(self, "encoder_")
        card = {
            "encoder_id": self.encoder_id_,
            "architecture": "convolutional" if len(self.encoder_.input_shape) == 3 else "dense",
            "input_shape": list(self.encoder_.input_shape),
            "dim": self.encoder_.dim,
            "classes": [int(label) for label in self.classes_],
            "label_budget": self.n_labels_,
            "parameters": {
                name: value if isinstance(value, int | float | str | bool | None) else repr(value)
                for name, value in self.get_params().items()
            },
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in ("torch", "numpy", "scikit-learn")},
            **notes,
        }
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"  # fails before anything is written
        save_file(self.encoder_.state_dict(), folder / WEIGHTS_FILE)
        (folder / CARD_FILE).write_text(text, encoding="utf-8")
        return card

    @classmethod
    def load(cls, folder: str | Path = PUBLISHED, device: str = "cpu") -> "MetricEmbedding":
        """Read an encoder back; by default the one published with the package.

        Nothing in the files is executed: they hold numbers and text only.

        Args:
            folder: where `save` wrote the weights and the card.
            device: where to embed, such as `"cpu"` or `"cuda"`.

        Returns:
            A fitted estimator, ready to `transform`.

        Raises:
            FileNotFoundError: if the weights or the card are missing.
            ValueError: if the weights are not those that the card describes.
        """
        folder = Path(folder)
        for name in (WEIGHTS_FILE, CARD_FILE):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder / name} is missing: point to a folder that save() wrote.")
        try:
            card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
            encoder = Encoder(card["input_shape"], card["dim"]).eval()
            classes, n_labels = np.array(card["classes"], dtype=np.int64), int(card["label_budget"])
        except Exception as error:
            raise ValueError(f"{folder / CARD_FILE} cannot be read: copy both files again.") from error
        try:
            encoder.load_state_dict(load_file(folder / WEIGHTS_FILE))
            intact = encoder_id(encoder) == card["encoder_id"]
        except Exception as error:
            raise ValueError(f"{folder / WEIGHTS_FILE} cannot be read: copy both files again.") from error
        if not intact:
            raise ValueError(f"The weights in {folder} are not those of its card: copy both files again.")
        embedding = cls(dim=card["dim"], device=device)
        embedding.n_features_in_ = card["input_shape"][0]
        embedding.encoder_ = encoder.to(device)
        embedding.encoder_id_ = card["encoder_id"]
        embedding.classes_ = classes
        embedding.n_labels_ = n_labels
        embedding.card_ = card
        return embedding

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _check_parameters(self) -> None:
        for name in ("dim", "steps", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} is {value!r}: choose a whole number of at least 1.")
        if not (callable(self.loss) or self.loss in LOSSES):
            raise ValueError(f"loss is {self.loss!r}: choose one of {', '.join(LOSSES)}, or pass a function.")
        if not 0 < self.learning_rate < np.inf:  # NaN fails too
            raise ValueError(f"learning_rate is {self.learning_rate}: choose a number above 0.")
        if not 0 <= self.reconstruction < np.inf:
            raise ValueError(f"reconstruction is {self.reconstruction}: choose 0 or a number above.")

    def _check_pixels(self, X: FloatArray, fitting: bool) -> FloatArray:
        if isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1):
            X = as_array(X, "The images", DIFFER)
        dimensions = len(getattr(X, "shape", ()))
        if dimensions == 4:
            pixels = check_images(X)
        else:
            if dimensions == 3:
                raise ValueError(
                    f"X has shape {X.shape}: pass images as (n, channels, height, width); "
                    "for grey images add the channel axis with X[:, None]."
                )
            pixels = validate_data(self, X, reset=fitting, dtype=np.float32)
        if not fitting and pixels.shape[1:] != self.encoder_.input_shape:
            raise ValueError(
                f"X holds inputs of shape {pixels.shape[1:]}, but the encoder was trained on "
                f"{self.encoder_.input_shape}: resize them to that shape."
            )
        return pixels


def encoder_id(encoder: Encoder) -> str:
    """Return 16 hexadecimal digits that change with any weight: a SHA-256 of shapes and contents."""
    digest = hashlib.sha256(repr((encoder.input_shape, encoder.dim)).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return digest.hexdigest()[:16]
