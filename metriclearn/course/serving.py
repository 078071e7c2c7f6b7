"""An encoder served without PyTorch: written as ONNX, which onnxruntime runs (https://onnx.ai)."""

from pathlib import Path

import torch
from torch import Tensor, nn

from metriclearn import MetricEmbedding
from metriclearn.models import Encoder


class UnitLength(nn.Module):
    """An encoder with its last step, the scaling to length 1, as part of the network."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Tensor:
        """Return embeddings, float32 of shape `(n, N)`."""
        return self.encoder.embed(pixels)


def save_onnx(embedding: MetricEmbedding, file: str | Path) -> None:
    """Write a trained encoder as one ONNX file.

    Its input is called `pixels`, float32 of the shape that `transform` takes, for any number of images; its
    output `embeddings`, float32 of shape `(n, N)`, unit length.

    Args:
        embedding: a fitted or loaded `MetricEmbedding`.
        file: where to write; a file that is there is replaced.

    Raises:
        ValueError: for an encoder that is not the course's own, such as a pretrained network.
        OSError: if the file cannot be written.
    """
    encoder = embedding.encoder_
    if not isinstance(encoder, Encoder):
        raise ValueError("Only the course's own encoder can be written as ONNX: export a backbone with timm.")
    network, example = UnitLength(encoder).eval(), torch.zeros(2, *encoder.input_shape)
    torch.onnx.export(
        network,
        (example,),
        file,
        input_names=["pixels"],
        output_names=["embeddings"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        external_data=False,
        verbose=False,
    )
