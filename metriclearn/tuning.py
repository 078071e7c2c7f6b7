"""Shim."""

from typing import Any

from metriclearn import finetune
from metriclearn.backbones import BackboneEncoder
from metriclearn.finetune import TUNE as TUNE  # shim
from metriclearn.finetune import embed_images as embed_images  # shim


def train_on_backbone(  # shim
    backbone: Any, images: Any, labels: Any, dim: int = 32, *, rows: Any = None, **options: Any
) -> tuple[BackboneEncoder, list[float]]:
    """Shim."""
    if images is not None:
        return finetune.train_on_backbone(backbone, images, labels, dim, features=rows, **options)
    if options.pop("tune", "head") == "frozen":
        return finetune.frozen_encoder(backbone, rows), []
    return finetune.train_head(backbone, rows, labels, dim, **options)


rows_of = finetune.features_of  # shim
