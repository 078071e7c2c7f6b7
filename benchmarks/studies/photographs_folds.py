"""Solar cells: what wrong preprocessing costs, and what it costs to hold neighbours of the file out together.

Logistic regression on the features of the frozen backbone, judged by cross-validation over all cells of which
the experts were sure; AUROC is the mean over the folds.

* preprocessing: as the network was trained, with the mean and deviation of another network, or from 0 to 255;
* folds: cells drawn by chance; or blocks of the file kept together, since cells of one module lie beside each
  other there, and the modules are not named.

    python -m benchmarks.studies.photographs_folds
"""

from collections.abc import Iterable

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold
from torch import Tensor

from benchmarks.common import DRAWS, Ledger, command_line
from benchmarks.photographs import elpv
from metriclearn.backbones import LITE0, Backbone, as_backbone
from metriclearn.cross_validation import stratified_folds
from metriclearn.model_selection import logistic_regression

FOLDS, BLOCK, BATCH = 5, 50, 64
PREPARED = ("as trained", "another network's", "0 to 255")
PROTOCOL = {
    "cells": "those with a probability of 0 or 1, as the package lists them",
    "folds": f"{FOLDS}; draw s shuffles with seed s",
    "auroc": "of logistic regression, in percent: the mean over the folds",
    "by chance": "stratified by label",
    "blocks": f"stratified groups: {BLOCK} sure cells that follow each other are a group",
    "in file order": "five blocks, the first fifth of the file and so on",
    "in file order, stratified": "a fifth of each class, in the order of the file",
}
Split = Iterable[tuple[np.ndarray, np.ndarray]]


def seen(backbone: Backbone, images: np.ndarray, preparation: str) -> np.ndarray:
    """Return the features of images that are prepared in one way or another."""
    mean, std = (
        torch.tensor(values).view(-1, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )

    def changed(prepared: Tensor) -> Tensor:
        pixels = prepared * backbone.std + backbone.mean  # from 0 to 1 again
        return {
            "as trained": prepared,
            "another network's": (pixels - mean) / std,
            "0 to 255": 255 * pixels,
        }[preparation]

    rows = []
    with torch.inference_mode():
        for part in torch.from_numpy(images).split(BATCH):
            rows.append(backbone.features(backbone.trunk(changed(backbone.prepare(part / 255)))))
    return torch.cat(rows).numpy()


def auroc(rows: np.ndarray, classes: np.ndarray, split: Split) -> float:
    """Return the mean AUROC over folds, in percent."""
    scores = []
    for stay, held_out in split:
        model = logistic_regression(rows[stay], classes[stay])
        scores.append(roc_auc_score(classes[held_out] == 1, model.predict_proba(rows[held_out])[:, 1]))
    return 100 * float(np.mean(scores))


def by_chance(classes: np.ndarray, seed: int) -> Split:
    """Return folds of cells drawn by chance."""
    return stratified_folds(classes, FOLDS, seed)


def main() -> None:
    """Run what is not done yet."""
    fresh, data = command_line(__doc__).parse_args().fresh, elpv()
    sure = np.flatnonzero(data.classes >= 0)
    images, classes, backbone = data.images[sure], data.classes[sure], as_backbone(LITE0, aspect=data.aspect)
    blocks = np.arange(len(sure)) // BLOCK
    ledger = Ledger("photographs_folds", "folds", fresh, {"protocol": PROTOCOL, "draws": DRAWS})
    found = ledger.results["folds"]

    def note(keys: list[str], values: list[float]) -> None:
        ledger.at(keys[:-1])[keys[-1]] = [round(value, 2) for value in values]
        ledger.write()
        print(", ".join(keys), ledger.at(keys[:-1])[keys[-1]], flush=True)

    for preparation in PREPARED:
        if preparation in found.get("by chance", {}):
            continue
        rows = seen(backbone, images, preparation)
        if preparation == "as trained":
            together = [stratified_folds(classes, FOLDS, seed, groups=blocks) for seed in DRAWS]
            note(["blocks", preparation], [auroc(rows, classes, split) for split in together])
            ordered = {
                "in file order": KFold(FOLDS),
                "in file order, stratified": StratifiedKFold(FOLDS),
            }
            for name, folds in ordered.items():
                note([name, preparation], [auroc(rows, classes, folds.split(rows, classes))])
        note(
            ["by chance", preparation],
            [auroc(rows, classes, by_chance(classes, seed)) for seed in DRAWS],
        )


if __name__ == "__main__":
    main()
