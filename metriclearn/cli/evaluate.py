"""`metriclearn evaluate`: how good a classifier is on labelled pictures that it has not met."""

import argparse
from typing import Any

import numpy as np

from metriclearn.calibration import expected_calibration_error
from metriclearn.cli.card import interval, rounded
from metriclearn.cli.common import Result, photographs_of
from metriclearn.cli.model_folder import ModelFolder, open_model
from metriclearn.metrics import wilson_interval
from metriclearn.photos.class_names import printable

SHOWN = 10  # pairs of classes that are confused, for a person


def run(options: argparse.Namespace) -> Result:
    """Compare what a classifier says of labelled pictures with their labels."""
    model = open_model(options.model, options.device)
    photographs = photographs_of(options.folder, options.labels, model.ranges)
    labelled = np.flatnonzero(photographs.labels >= 0)
    met = {*model.digests}
    asked = [row for row in labelled if photographs.digests[row] not in met]
    if not asked:
        raise ValueError(
            "No labelled picture in the folder is new to the classifier: name a folder of other ones, "
            "sorted into a folder per class."
        )
    truth = [photographs.class_names[photographs.labels[row]] for row in asked]
    embeddings = np.concatenate([model.embed(batch) for batch in photographs.batches(np.array(asked))])
    with model.classifier() as classifier:
        said = classifier.explain(embeddings)
    probabilities = model.calibration.probability(said)
    found = _compared(model, truth, said.labels.tolist(), said.similarity, probabilities)
    found["met_before"] = len(labelled) - len(asked)
    return found, _text(found, model)


def _compared(
    model: ModelFolder, truth: list[str], said: list[str], similarity: Any, probabilities: Any
) -> dict[str, Any]:
    """Return accuracy, recall of each class, confusions, calibration, and what was called unknown."""
    names = np.array(truth)
    known, correct = np.isin(names, model.class_names), names == np.array(said)
    threshold = model.card["unknown"]["threshold"]
    unknown = np.zeros(len(names), dtype=bool) if threshold is None else similarity < threshold

    def share(hits: Any) -> dict[str, Any] | None:
        return rounded(wilson_interval(int(hits.sum()), len(hits))) if len(hits) else None

    confused: dict[tuple[str, str], int] = {}
    for label, answer in zip(names[known & ~correct].tolist(), np.array(said)[known & ~correct], strict=True):
        confused[label, str(answer)] = confused.get((label, str(answer)), 0) + 1
    order = sorted(confused.items(), key=lambda pair: (-pair[1], pair[0]))
    error = expected_calibration_error(probabilities[known], correct[known]) if known.any() else None
    return {
        "pictures": len(names),
        "accuracy": share(correct[known]),
        "predicted": model.card["accuracy"],
        "classes": {name: share(correct[names == name]) for name in sorted({*names[known].tolist()})},
        "confused": [[label, answer, n] for (label, answer), n in order],
        "mean_confidence": round(100 * float(probabilities[known].mean()), 1) if known.any() else None,
        "calibration_error": None if error is None else round(error, 1),
        "known_called_unknown": share(unknown[known]) if threshold is not None else None,
        "strangers": sorted({*names[~known].tolist()}),
        "strangers_called_unknown": share(unknown[~known]) if threshold is not None else None,
    }


def _text(found: dict[str, Any], model: ModelFolder) -> str:
    lines = [f"{found['met_before']:,} pictures are examples of the classifier: left out."]
    lines = lines[: bool(found["met_before"])]
    if found["accuracy"]:
        n, predicted = found["accuracy"]["pictures"], interval(found["predicted"])
        lines.append(f"{interval(found['accuracy'])} % of {n:,} pictures right; predicted {predicted} %.")
        lines.append(
            f"Confidence {found['mean_confidence']} % on average, {found['accuracy']['percent']} % right; "
            f"calibration error {found['calibration_error']} points."
        )
        if found["accuracy"]["high"] < found["predicted"]["low"]:
            lines.append(
                "These pictures are unlike those that it was made from: label some of them, and run "
                "metriclearn add."
            )
        width = max(len(name) for name in found["classes"])
        lines += [f"  {printable(name):{width}}  {interval(one)} %" for name, one in found["classes"].items()]
        lines += [
            f"  {printable(label)} taken for {printable(answer)}: {n}"
            for label, answer, n in found["confused"][:SHOWN]
        ]
    aimed = 100 * model.card["unknown"]["share"]
    if found["known_called_unknown"]:
        lines.append(f"Called unknown: {interval(found['known_called_unknown'])} %, aimed at {aimed:g} %.")
    if found["strangers"]:
        told = f"{interval(found['strangers_called_unknown'])} % called unknown"
        names = ", ".join(map(printable, found["strangers"]))
        lines.append(f"Of classes that it does not know ({names}): {told}.")
    return "\n".join(lines)
