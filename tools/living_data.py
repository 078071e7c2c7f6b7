"""Write what the living figures need on the site, where no Python runs.

python tools/living_data.py FOLDER     the figures' JavaScript, and their data as JSON; about 2 MB, in seconds

Everything is computed from the published encoder and the bundled images.
"""

import base64
import json
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from metriclearn import QdrantClassifier
from metriclearn.course.widgets import (
    LIVING,
    SIDE,
    TripletPlayground,
    encoder,
    map_state,
    references,
    sprite_sheet,
    training_run,
)
from metriclearn.models import Encoder


def write(folder: Path) -> None:
    """Write the figures' files into a folder, which is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in [*LIVING.glob("*.js"), *LIVING.glob("*.css")]:
        shutil.copy(file, folder)
    for name, content in {"map": map_data(), "draw": draw_data(), "triplets": triplet_data()}.items():
        (folder / f"{name}.json").write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def map_data() -> dict[str, Any]:
    """Return the state of the map."""
    return {"state": map_state(*training_run())}


def draw_data() -> dict[str, Any]:
    """Return the state of the pad, the encoder's weights, and the references it searches."""
    shown, embeddings, threshold = references()
    vote = QdrantClassifier()
    return {
        "state": {
            "sheet": sprite_sheet(shown.pixels),
            "side": [SIDE, SIDE],
            "threshold": threshold,
            "drawing": "",
            "answer": {},
        },
        "encoder": folded_weights(encoder().encoder_),
        "references": {
            "embeddings": floats(embeddings),
            "labels": shown.labels.tolist(),
            "neighbours": vote.n_neighbors,
            "temperature": vote.temperature,
        },
    }


def triplet_data() -> dict[str, Any]:
    """Return the state of the playground as it begins."""
    start = TripletPlayground()
    return {"state": {name: getattr(start, name) for name in ("points", "labels", "margin", "mining")}}


def folded_weights(model: Encoder) -> dict[str, Any]:
    """Return the encoder's weights, each batch norm folded into the convolution before it.

    After training a batch norm is a fixed scale and shift per channel, and so can be part of the
    convolution: weight · γ / √(σ² + ε), and bias β − μ · γ / √(σ² + ε).
    """
    convolutions = []
    for conv, norm in pairwise(model.body):
        if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
            continue
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = conv.weight * scale[:, None, None, None]
        bias = norm.bias - norm.running_mean * scale
        convolutions.append({"shape": list(weight.shape), "weight": floats(weight), "bias": floats(bias)})
    head = {"weight": floats(model.head.weight), "bias": floats(model.head.bias)}
    return {"convolutions": convolutions, "head": head}


def floats(numbers: Any) -> str:
    """Return numbers as little-endian float32 in base64."""
    array = numbers.detach().numpy() if isinstance(numbers, torch.Tensor) else np.asarray(numbers)
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(Path(sys.argv[1]))
