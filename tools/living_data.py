"""Write what the living figures need on the site, where no Python runs.

python tools/living_data.py FOLDER     the figures' JavaScript, and their data; about 2 MB, in seconds

Everything is computed from the published encoder and the bundled images.

A page that is opened from the disk may load neither JavaScript modules nor JSON, only plain scripts. So the
modules of metriclearn/course/living become one plain script, `living.js`, each module a function; and the
data of a figure are a script of one line, such as `map-data.js`.
"""

import base64
import json
import re
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from metriclearn import QdrantClassifier, load_images
from metriclearn.course.widgets import (
    LIVING,
    SIDE,
    DrawDigit,
    TripletPlayground,
    encoder,
    map_state,
    references,
    sprite_sheet,
    training_run,
)
from metriclearn.models import Encoder

FIRST = 3  # the test image that the pad begins with, as in notebooks/playground.ipynb
# The only forms in which the figures' modules import and export; each stands at the start of a line.
IMPORT = re.compile(r'^import (?:(\w+)|\{ (\w+(?:, \w+)*) \}) from "\./(\w+)\.js";$', flags=re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class) (\w+))", flags=re.MULTILINE)
EXPORT_DEFAULT = re.compile(r"^export default (?=\{)", flags=re.MULTILINE)
# What is left of them afterwards would be an error in a plain script.
LEFT = re.compile(r"^\s*(?:import|export)\b.*|\bimport\s*[.(].*", flags=re.MULTILINE)


def write(folder: Path) -> None:
    """Write the figures' files into a folder, which is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(LIVING / "living.css", folder)
    (folder / "living.js").write_text(plain_script(LIVING, "site"), encoding="utf-8")
    for name, content in {"map": map_data(), "draw": draw_data(), "triplets": triplet_data()}.items():
        line = f"living.data.{name} = {json.dumps(content, separators=(',', ':'))};\n"
        (folder / f"{name}-data.js").write_text(line, encoding="utf-8")


def plain_script(folder: Path, entry: str) -> str:
    """Return a module and all that it imports as one script without modules.

    Each module is a function that returns what the module exports; `living.modules` keeps that by the
    module's name. A module comes after those that it imports.

    Raises:
        SystemExit: if a module imports or exports in another form than those above, or in a circle, or
            imports what is not exported.
    """
    written: dict[str, str] = {}
    exported: dict[str, list[str]] = {}

    def add(name: str, importers: tuple[str, ...]) -> None:
        if name in importers:
            raise SystemExit(f"{' imports '.join([*importers, name])}: modules must not import in a circle.")
        source = (folder / f"{name}.js").read_text(encoding="utf-8")

        def take(match: re.Match[str]) -> str:
            whole, names, module = match.groups()
            if module not in written:
                add(module, (*importers, name))
            for wanted in names.split(", ") if names else ["default"]:
                if wanted not in exported[module]:
                    raise SystemExit(f"{name}.js imports {wanted}, which {module}.js does not export.")
            return f"const {{ {names or f'default: {whole}'} }} = living.modules.{module};"

        exported[name] = EXPORT.findall(source) + ["default"] * len(EXPORT_DEFAULT.findall(source))
        source = EXPORT_DEFAULT.sub("const _default = ", EXPORT.sub("", IMPORT.sub(take, source)))
        if left := LEFT.search(source):
            raise SystemExit(f"{name}.js: tools/living_data.py does not know the form {left[0].strip()!r}.")
        given = ", ".join("default: _default" if one == "default" else one for one in exported[name])
        written[name] = f"living.modules.{name} = (() => {{\n{source}return {{ {given} }};\n}})();\n"

    add(entry, ())
    head = '"use strict";\nconst living = { modules: {}, data: {} };\n'
    return head + "\n".join(written.values())


def map_data() -> dict[str, Any]:
    """Return the state of the map: it begins before the first step."""
    return {"state": map_state(*training_run()) | {"snapshot": 0}}


def draw_data() -> dict[str, Any]:
    """Return the state of the pad, the encoder's weights, and the references it searches.

    The pad begins with a digit, and with the answer to it, so that it shows at once what it does.
    """
    shown, embeddings, threshold = references()
    _, test = load_images("mnist-5k")
    begun = DrawDigit(test.pixels[FIRST])
    vote = QdrantClassifier()
    return {
        "state": {
            "sheet": sprite_sheet(shown.pixels),
            "side": [SIDE, SIDE],
            "threshold": threshold,
            "drawing": begun.drawing,
            "answer": begun.answer,
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
