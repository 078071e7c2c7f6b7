"""Encoder, decoder and autoencoder: small networks for images or rows of numbers.

An autoencoder squeezes an input X of K numbers into an embedding of N numbers, N much smaller
than K, and unfolds it again into X′. It is trained to make the distance D(X, X′) small:

    X (n, c, h, w)  --Encoder-->  code (n, N)  --Decoder-->  X′ (n, c, h, w)

The encoder halves the image three times while it widens it from c to 32, 64 and 128 channels,
and one linear layer turns what is left into N numbers. The decoder is its mirror. For 28 x 28
digits and N = 32 that is

    (1, 28, 28) -> (32, 14, 14) -> (64, 7, 7) -> (128, 4, 4) -> 32 numbers

A larger image is halved more often, by thin layers in front, until it is as small as a digit is after its
first halving: so the time grows with the pixels and not with pixels times channels.

Metric learning needs only the first half: `Encoder.embed` gives the code at unit length, and the
decoder can go. Rows of numbers instead of images, shape (n, d), get a small dense network.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metriclearn.default_settings import default_settings
from metriclearn.fingerprint import fingerprint, structure

CHANNELS = (32, 64, 128)
THIN = 16  # channels of the halvings in front
SMALL = 40  # pixels of the shorter side that need no halving in front
HIDDEN = 128


class Encoder(nn.Module):
    """Convolutional encoder: from images (or rows of numbers) to codes of N numbers.

    Args:
        input_shape: shape of one input: `(channels, height, width)`, or `(d,)` for rows.
        dim: N, the length of the embedding.
    """

    def __init__(self, input_shape: Sequence[int], dim: int = 32) -> None:
        super().__init__()
        self.input_shape, self.dim = tuple(int(side) for side in input_shape), int(dim)
        layers: list[nn.Module] = []
        if len(self.input_shape) == 1:
            width = HIDDEN
            layers += [nn.Linear(self.input_shape[0], width), nn.BatchNorm1d(width), nn.ReLU()]
        else:
            *_, (height, width_px) = halved_sizes(self.input_shape)
            before = self.input_shape[0]
            for after in widths(self.input_shape):
                # No bias: the batch norm that follows has one of its own.
                conv = nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1, bias=False)
                layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
                before = after
            layers.append(nn.Flatten())
            width = CHANNELS[-1] * height * width_px
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, self.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the codes, float32 of shape `(n, N)`, of any length."""
        code: Tensor = self.head(self.body(as_weights(x, self)))
        return code

    def embed(self, x: Tensor) -> Tensor:
        """Return the embeddings: the codes scaled to unit length, float32 of shape `(n, N)`."""
        return F.normalize(self(x), dim=1)

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with any weight, and with any layer that was replaced."""
        about = (self.input_shape, self.dim, *replaced(self, lambda: Encoder(self.input_shape, self.dim)))
        return fingerprint(self.state_dict(), repr(about))


def as_weights(x: Tensor, network: nn.Module) -> Tensor:
    """Return what a network is to see in the type of its weights, if all of them have the same."""
    types = {weight.dtype for weight in network.parameters() if weight.is_floating_point()}
    return x.to(types.pop()) if len(types) == 1 else x


def replaced(network: nn.Module, build: Callable[[], nn.Module]) -> tuple[str, ...]:
    """Return nothing for a network as it is built, and else a hash of its structure."""
    with default_settings(), torch.device("meta"):  # which holds no numbers and takes no time
        usual = structure(build())
    return () if (found := structure(network)) == usual else (found,)


class Decoder(nn.Module):
    """Decoder: from codes of N numbers back to inputs with values in [0, 1]; the `Encoder`'s mirror."""

    def __init__(self, input_shape: Sequence[int], dim: int = 32) -> None:
        super().__init__()
        shape = tuple(input_shape)
        layers: list[nn.Module]
        if len(shape) == 1:
            layers = [nn.Linear(dim, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, shape[0])]
        else:
            sizes = halved_sizes(shape)
            widest, (height, width) = CHANNELS[-1], sizes[-1]
            layers = [nn.Linear(dim, widest * height * width), nn.Unflatten(1, (widest, height, width))]
            channels = (shape[0], *widths(shape))
            for level in range(len(channels) - 1, 0, -1):
                # A halving forgets whether the side was even or odd: the padding tells it again.
                (h, w), (h_up, w_up) = sizes[level], sizes[level - 1]
                padding = (h_up - (2 * h - 1), w_up - (2 * w - 1))
                before, after = channels[level], channels[level - 1]
                layers += [nn.BatchNorm2d(before), nn.ReLU()]
                layers.append(
                    nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=padding)
                )
        self.body = nn.Sequential(*layers, nn.Sigmoid())

    def forward(self, code: Tensor) -> Tensor:
        """Return X′, float32 of shape `(n, *input_shape)`, with values in [0, 1]."""
        image: Tensor = self.body(code)
        return image


class Autoencoder(nn.Module):
    """Autoencoder: an `Encoder` and its mirror `Decoder`, made from the same arguments."""

    def __init__(self, input_shape: Sequence[int], dim: int = 32) -> None:
        super().__init__()
        self.encoder = Encoder(input_shape, dim)
        self.decoder = Decoder(input_shape, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction X′, of the shape of `x`."""
        reconstruction: Tensor = self.decoder(self.encoder(x))
        return reconstruction


def widths(input_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the number of channels after each halving: three, and more for an image above 40 pixels."""
    shorter, in_front = min(input_shape[1:]), 0
    while shorter > SMALL:
        shorter, in_front = (shorter + 1) // 2, in_front + 1
    return (THIN,) * in_front + CHANNELS


def halved_sizes(input_shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return the height and width of an image before and after each of its halvings."""
    height, width = input_shape[1:]
    sizes = [(height, width)]
    for _ in widths(input_shape):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable numbers in `model`."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
