"""Model card: how a classifier was made, how good it is, and what it is not for; as JSON and as Markdown.

The sections are those of Mitchell et al. 2019 (https://arxiv.org/abs/1810.03993); the head is the metadata
that the Hugging Face hub reads (https://huggingface.co/docs/hub/model-cards).
"""

from functools import partial
from importlib.metadata import version
from typing import Any

from huggingface_hub import ModelCardData

from metriclearn.backbones import LITE0, LITE2
from metriclearn.cli.common import label_counts
from metriclearn.cli.model_folder import FORMAT_VERSION
from metriclearn.cli.render import render
from metriclearn.model_selection import QUANTILE, Fitted, rounded, side_for
from metriclearn.photos import Photographs

WAYS = {
    "frozen": "The pretrained {} as it is, its rows centred.",
    "head": "A small network on the rows of the pretrained {}, trained on these pictures.",
    "tune": "The pretrained {}, its last blocks and a head trained on these pictures.",
    "scratch": "A small network trained from scratch on these pictures.",
}
# What the networks with packages are called in print, and on the hub.
CALLED = {LITE0: "EfficientNet-Lite0", LITE2: "EfficientNet-Lite2"}
HUB = {LITE0: "timm/tf_efficientnet_lite0.in1k", LITE2: "timm/tf_efficientnet_lite2.in1k"}


def card_of(photographs: Photographs, fitted: Fitted, seed: int, qdrant_url: str | None) -> dict[str, Any]:
    """Return the card. It holds no time and no path, so the same run gives the same card."""
    labels, held_out = photographs.labels, fitted.held_out
    per_class = held_out.per_class
    threshold = held_out.threshold(QUANTILE)
    scratch = fitted.way == "scratch"
    return {
        "form": FORMAT_VERSION,
        "way": fitted.way,
        "backbone": None if scratch else fitted.backbone,
        "encoder": fitted.embedding.encoder_id_,
        "input": {
            "side": side_for(photographs) if scratch else None,
            "channels": 1 if scratch and photographs.grey.all() else 3,
        },
        "data": {
            "pictures": len(photographs),
            "labelled": int((labels >= 0).sum()),
            "skipped": len(photographs.skipped),
            "smallest": [int(photographs.widths.min()), int(photographs.heights.min())],
            "largest": [int(photographs.widths.max()), int(photographs.heights.max())],
        },
        "classes": {
            name: {"labels": n, "accuracy": rounded(per_class[code]) if code in per_class else None}
            for code, (name, n) in enumerate(label_counts(labels, photographs.class_names).items())
        },
        "accuracy": rounded(held_out.accuracy) | {"folds": held_out.folds},
        "tried": fitted.table,
        "verdict": fitted.verdict,
        "unknown": {
            "threshold": None if threshold is None else round(threshold, 6),
            "share": QUANTILE,
            "held_out": len(held_out.rows),
            "caught": None if fitted.caught is None else rounded(fitted.caught),
        },
        "added": 0,
        "seed": seed,
        "qdrant_url": qdrant_url,
        "versions": {name: version(name) for name in ("metriclearn", "torch", "timm", "numpy", "pillow")},
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
    return WAYS[card["way"]].format(" and ".join(CALLED.get(name, name) for name in _backbones(card)))


def _backbones(card: dict[str, Any]) -> list[str]:
    """Return the names of the networks below; older cards knew one alone, and did not name it."""
    name = card.get("backbone", LITE0)
    return name.split("+") if name and card["way"] != "scratch" else []


def as_markdown(card: dict[str, Any]) -> str:
    """Return the README.md of a classifier's folder."""
    head = ModelCardData(
        license="other",
        library_name="metriclearn",
        pipeline_tag="image-classification",
        base_model=[HUB[name] for name in _backbones(card) if name in HUB] or None,
        metrics=["accuracy"],
        tags=["metric-learning", "few-shot", "image-classification"],
    )
    return f"---\n{head.to_yaml()}\n---\n\n" + render(
        "card.md.j2",
        card=card,
        made=way_of(card),
        advice=advice(card),
        promise=promise(card),
        interval=interval,
        judged=partial(judged, card=card),
    )
