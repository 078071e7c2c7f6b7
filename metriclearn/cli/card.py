"""Model card: how a classifier was made, how good it is, and what it is not for; as JSON and as Markdown.

The sections are those of Mitchell et al. 2019 (https://arxiv.org/abs/1810.03993); the head is the metadata
that the Hugging Face hub reads (https://huggingface.co/docs/hub/model-cards).
"""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any

from huggingface_hub import ModelCardData

from metriclearn.backbones import PACKAGED
from metriclearn.calibration import Calibration
from metriclearn.cli.common import label_counts
from metriclearn.cli.model_folder import FORMAT_VERSION
from metriclearn.cli.render import render
from metriclearn.metrics import Interval
from metriclearn.model_selection import METHODS, QUANTILE, FittedMethod, small_side
from metriclearn.photos import Photographs


def card_of(
    photographs: Photographs,
    fitted: FittedMethod,
    groups: dict[str, Any],
    seed: int,
    qdrant_url: str | None,
) -> dict[str, Any]:
    """Return the card. It holds no time and no path, so the same run gives the same card."""
    labels, held_out, backbone = photographs.labels, fitted.held_out, fitted.embedding.backbone
    per_class, threshold = held_out.per_class, held_out.threshold(QUANTILE)
    calibration = Calibration.fit(held_out.predictions, held_out.correct)
    return {
        "format_version": FORMAT_VERSION,
        "method": fitted.winner,
        "backbone": backbone,
        "encoder": fitted.embedding.encoder_id_,
        "input": {
            "side": None if backbone else small_side(photographs),
            "channels": 1 if not backbone and photographs.grey.all() else 3,
            "ranges": photographs.ranges,
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
        "groups": groups | {"classes_not_judged": len(photographs.class_names) - len(per_class)},
        "tried": [
            {"method": score.method, "accuracy": rounded(score.accuracy), "folds": score.folds}
            for score in fitted.table
            if score.accuracy
        ],
        "verdict": fitted.verdict,
        "unknown": {
            "threshold": None if threshold is None else round(threshold, 6),
            "share": QUANTILE,
            "held_out": len(held_out.rows),
            "unseen": None if fitted.unseen is None else rounded(fitted.unseen),
        },
        "calibration": {name: round(value, 6) for name, value in asdict(calibration).items()},
        "added": 0,
        "seed": seed,
        "qdrant_url": qdrant_url,
        "collection": None,
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
    unseen = unknown["unseen"]
    found = "How many pictures of other classes it catches was not measured."
    if unseen is not None:
        found = (
            f"With one class after another left out, {interval(unseen)} % of the pictures of that class "
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


def judged(found: dict[str, Any], card: dict[str, Any]) -> str:
    """Return how well a method did, and on how many pictures if it was judged on some of them alone."""
    n = found["accuracy"]["pictures"]
    part = "" if n >= card["accuracy"]["pictures"] else f", on {n} pictures: beaten beyond chance"
    return interval(found["accuracy"]) + part


def advice(card: dict[str, Any]) -> str:
    """Return whether the labels suffice to tell how good it is, in a sentence."""
    width = card["accuracy"]["high"] - card["accuracy"]["low"]
    n = card["accuracy"]["pictures"]
    judged = f"{n} labelled pictures judged it, each held out once."
    if width > 20:
        judged = f"{n} labels are too few to tell: the interval is {width:.0f} points wide. Label more."
    return " ".join([judged, *_together(card)])


def _together(card: dict[str, Any]) -> Iterator[str]:
    """Yield sentences on the pictures that were held out together."""
    groups, n = card["groups"], card["data"]["pictures"]
    if groups["by"] is not None:
        yield f"They are of {groups['number']} groups, and each group was judged by the others."
    if groups["alone"]:
        yield f"Only {n - groups['alone']} of {n} pictures are in a group by that; the others are in none."
    pairs = "1 near pair was" if groups["near_pairs"] == 1 else f"{groups['near_pairs']} near pairs were"
    if groups["near_pairs"] and groups["near_pairs_kept"]:
        yield f"{pairs} kept in one fold, since pictures that are nearly the same would judge each other."
    elif groups["near_pairs"]:
        yield (
            f"{pairs} not kept in one fold, which would leave too little to judge by: if they show one thing "
            "twice, the accuracy is too high."
        )
    if several := groups["classes_not_judged"]:
        found = "1 class lies in one group" if several == 1 else f"{several} classes lie in one group each"
        yield f"{found}, which leaves no other to judge by: not measured."


def explain(card: dict[str, Any]) -> str:
    """Return how a classifier was made, in a sentence."""
    titles = [PACKAGED[name].title if name in PACKAGED else name for name in _backbones(card)]
    return METHODS[card["method"]].explanation.format(" and ".join(titles))


def _backbones(card: dict[str, Any]) -> list[str]:
    """Return the names of the networks below."""
    return card["backbone"].split("+") if card["backbone"] else []


def as_markdown(card: dict[str, Any]) -> str:
    """Return the README.md of a classifier's folder."""
    head = ModelCardData(
        license="other",
        library_name="metriclearn",
        pipeline_tag="image-classification",
        base_model=[PACKAGED[name].hub for name in _backbones(card) if name in PACKAGED] or None,
        metrics=["accuracy"],
        tags=["metric-learning", "few-shot", "image-classification"],
    )
    return f"---\n{head.to_yaml()}\n---\n\n" + render("card.md.j2", **told(card))


def told(card: dict[str, Any]) -> dict[str, Any]:
    """Return what README.md and the report tell of a card, for their templates."""
    return {
        "card": card,
        "made": explain(card),
        "advice": advice(card),
        "promise": promise(card),
        "interval": interval,
        "judged": partial(judged, card=card),
    }


def how_to_open(card: dict[str, Any]) -> str:
    """Return how the copy of the examples on a server is opened, in a line."""
    where = f"url={card['qdrant_url']!r}, collection={card['collection']!r}"
    return f"The examples are on the server, too: QdrantClassifier.open({where})"
