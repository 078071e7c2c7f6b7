"""The model card: how a classifier was made, how good it is, and what it is not for; as JSON and Markdown.

The sections are those of Mitchell et al. 2019 (https://arxiv.org/abs/1810.03993); the head is the one that
the Hugging Face hub reads (https://huggingface.co/docs/hub/model-cards).
"""

import html
import re
from importlib.metadata import version
from typing import Any

from metriclearn.app.project import FORM
from metriclearn.backbones import LITE0, LITE2
from metriclearn.folders import printable
from metriclearn.metrics import Interval
from metriclearn.model_selection import METHODS, QUANTILE, FittedMethod
from metriclearn.photos import Photographs

# What the networks with packages are called in print, and on the hub.
CALLED = {LITE0: "EfficientNet-Lite0", LITE2: "EfficientNet-Lite2"}
HUB = {LITE0: "timm/tf_efficientnet_lite0.in1k", LITE2: "timm/tf_efficientnet_lite2.in1k"}


def card_of(
    photographs: Photographs, fitted: FittedMethod, seed: int, qdrant_url: str | None
) -> dict[str, Any]:
    """Return the card. It holds no time and no path, so the same run gives the same card."""
    labels, held_out = photographs.labels, fitted.held_out
    per_class = held_out.per_class
    threshold = held_out.threshold(QUANTILE)
    return {
        "form": FORM,
        "way": fitted.method,
        "backbone": fitted.backbone,
        "encoder": fitted.embedding.encoder_id_,
        "input": {
            "side": fitted.side,
            "channels": 1 if fitted.side and photographs.grey.all() else 3,
        },
        "data": {
            "pictures": len(photographs),
            "labelled": int((labels >= 0).sum()),
            "skipped": len(photographs.skipped),
            "smallest": [int(photographs.widths.min()), int(photographs.heights.min())],
            "largest": [int(photographs.widths.max()), int(photographs.heights.max())],
        },
        "classes": {
            name: {
                "labels": int((labels == code).sum()),
                "accuracy": rounded(per_class[code]) if code in per_class else None,
            }
            for code, name in enumerate(photographs.class_names)
        },
        "accuracy": rounded(held_out.accuracy) | {"folds": held_out.folds},
        "tried": [
            {"way": score.method, "accuracy": rounded(score.accuracy), "folds": score.folds}
            for score in fitted.scores
            if score.accuracy
        ],
        "verdict": fitted.verdict,
        "unknown": {
            "threshold": None if threshold is None else round(threshold, 6),
            "share": QUANTILE,
            "held_out": len(held_out.rows),
            "caught": None if fitted.unseen is None else rounded(fitted.unseen),
        },
        "added": 0,
        "seed": seed,
        "qdrant_url": qdrant_url,
        "versions": {name: version(name) for name in ("metriclearn", "torch", "timm", "numpy", "pillow")},
    }


def rounded(interval: Interval) -> dict[str, Any]:
    """Return an interval as the card has it, in percent."""
    return {
        "percent": round(interval.mean, 1),
        "low": round(interval.low, 1),
        "high": round(interval.high, 1),
        "pictures": interval.n,
    }


def promise(card: dict[str, Any]) -> str:
    """Return what the threshold for "unknown" promises, in a sentence."""
    unknown = card["unknown"]
    if unknown["threshold"] is None:
        return (
            f'There is no threshold for "unknown": it needs {round(1 / unknown["share"]) - 1} labelled '
            f"pictures that are held out, and there are {unknown['held_out']}. Every picture gets a class."
        )
    strangers = unknown["caught"]
    found = "How many pictures of other classes it catches was not measured."
    if strangers is not None:
        found = (
            f"With one class after another left out, {interval(strangers)} % of the pictures of that class "
            "were called unknown; the others got the name of another class."
        )
    return (
        f"A picture whose nearest example has a cosine below {unknown['threshold']:.3f} is called unknown. "
        f"It aims at {100 * unknown['share']:g} in 100 pictures of the known classes being called so for "
        f"nothing, as long as they resemble the {unknown['held_out']} held out to set it. {found}"
    )


def interval(entry: dict[str, Any] | None) -> str:
    """Return an accuracy of the card as "93.1 [90.0, 95.4]"."""
    return "not measured" if entry is None else f"{entry['percent']} [{entry['low']}, {entry['high']}]"


def judged(way: dict[str, Any], card: dict[str, Any]) -> str:
    """Return how well a way did, and on how many pictures if it was judged on some of them alone."""
    n = way["accuracy"]["pictures"]
    part = "" if n >= card["accuracy"]["pictures"] else f", on {n} pictures: beaten beyond chance"
    return interval(way["accuracy"]) + part


def advice(card: dict[str, Any]) -> str:
    """Return whether the labels suffice to tell how good it is, in a sentence."""
    width = card["accuracy"]["high"] - card["accuracy"]["low"]
    n = card["accuracy"]["pictures"]
    if width > 20:
        return f"{n} labels are too few to tell: the interval is {width:.0f} points wide. Label more."
    return f"{n} labelled pictures judged it, each held out once."


def way_of(card: dict[str, Any]) -> str:
    """Return how a classifier was made, in a sentence."""
    method = {"tune": "last"}.get(card["way"], card["way"])  # as older cards call it
    names = " and ".join(CALLED.get(name, name) for name in _backbones(card))
    return METHODS[method].explanation.format(names)


def _backbones(card: dict[str, Any]) -> list[str]:
    """Return the names of the networks below; older cards knew one alone, and did not name it."""
    name = card.get("backbone", LITE0)
    return name.split("+") if name and card["way"] != "scratch" else []


def as_markdown(card: dict[str, Any]) -> str:
    """Return the README.md of a classifier's folder."""
    data, classes, accuracy = card["data"], card["classes"], card["accuracy"]
    rows = [
        f"| {plain(name)} | {found['labels']} | {interval(found['accuracy'])} |"
        for name, found in classes.items()
    ]
    versions = ", ".join(f"{name} {found}" for name, found in card["versions"].items())
    tried = [f"| {found['way']} | {judged(found, card)} | {found['folds']} |" for found in card["tried"]]
    scratch = card["way"] == "scratch"
    names = [HUB[name] for name in _backbones(card) if name in HUB]
    base = "".join(["base_model:\n" if names else "", *(f"- {name}\n" for name in names)])
    # A small network has one square for all, a backbone a frame in the shape of most.
    looks = "squeezed to a square" if scratch else "in the shape that most of the folder have"
    (w0, h0), (w1, h1) = data["smallest"], data["largest"]
    added = f" {card['added']:,} pictures were added later, without training." if card["added"] else ""
    return f"""---
license: other
library_name: metriclearn
pipeline_tag: image-classification
{base}metrics:
- accuracy
tags:
- metric-learning
- few-shot
- image-classification
---

# A classifier of {len(classes)} classes from {data["labelled"]:,} labels

{way_of(card)} A picture gets the label that its nearest labelled examples vote for, or "unknown" if none
is near.

## Intended use

To sort photographs of the same kind as those below into these classes, with a person who looks at what is
unknown and at a sample of the rest. Each answer names the examples that speak for it.

## Out of scope

Photographs of another kind, another camera or another place than those it was made from: its accuracy there
is not known. Decisions about people. Any use where a wrong answer does harm that nobody would notice.

## Data

{data["pictures"]:,} pictures, {data["labelled"]:,} of them labelled, from {w0} x {h0} to {w1} x {h1} pixels.
Files that could not be read and were left out: {data["skipped"]:,}.{added} Who owns the pictures, and under
which licence: please fill in.

## How good it is

Accuracy {interval(accuracy)} % (95 % interval), by cross-validation in {accuracy["folds"]} folds.
{advice(card)}

| class | labels | accuracy, % |
|---|---|---|
{chr(10).join(rows)}

## The ways that were tried

| way | accuracy, % | folds |
|---|---|---|
{chr(10).join(tried)}

{card["verdict"]} The accuracy of the best of several ways is a little too high, since it was chosen by it.

## "Unknown"

{promise(card)}

## Limits

It looks at the whole picture, {looks}. It knows nothing but its examples: a class that is not
among them is at best unknown, and at worst gets the name of the class it resembles most. A wrong label among
the examples is repeated near that example; `metriclearn review` looks for such labels.

## How to use it

```sh
metriclearn classify MODEL PICTURE...
```

Encoder {card["encoder"]}, seed {card["seed"]}; {versions}.
"""


def plain(text: str) -> str:
    """Return a name as Markdown shows it and nothing else: no tag, no link, no new column."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~-])", r"\\\1", html.escape(printable(text), quote=False))
