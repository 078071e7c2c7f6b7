"""Every public function takes numbers in any container, by position, or says in one sentence why not.

Each call is made with plain arrays, and once with each other form of each argument. It must give the same
answer, or a `ValueError` whose text is one plain sentence. Silently another answer is the one thing that must
not happen.
"""

import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

from metriclearn import EmbeddingIndex, MetricEmbedding, scarce_labels
from metriclearn.data import ImageSet
from metriclearn.evaluate import (
    collapse_gauges,
    mean_average_precision_at_r,
    mean_interval,
    recall_at_k,
    share_interval,
)
from metriclearn.explore import (
    embedding_map,
    near_duplicates,
    outliers,
    propagate_labels,
    suspicious_labels,
    unknown_threshold,
    what_to_label_next,
)
from metriclearn.losses import contrastive_loss, supervised_contrastive_loss, triplet_loss
from metriclearn.models import Encoder
from metriclearn.plots import show_images, show_map, show_neighbours
from metriclearn.propagate import spread_labels, surest
from metriclearn.reindex import reindex
from metriclearn.training import embed, predict_logits, train_autoencoder, train_classifier, train_metric

matplotlib.use("Agg")

N = 24
RANDOM = np.random.default_rng(0)
# Values that half precision holds exactly, so that every form holds the same numbers.
PIXELS = (RANDOM.integers(0, 129, (N, 1, 8, 7)) / 128).astype(np.float32)
ROWS = (RANDOM.integers(-128, 129, (N, 6)) / 128).astype(np.float32)
UNIT = np.zeros((N, 10), dtype=np.float32)  # four halves in each row: of length 1
for row in UNIT:
    row[RANDOM.permutation(10)[:4]] = RANDOM.choice([-0.5, 0.5], 4)
LABELS = np.where(np.arange(N) < 18, np.arange(N) % 3, -1)
SHUFFLED = np.random.default_rng(1).permutation(N)  # an index that tells another order


def read_only(array: np.ndarray) -> np.ndarray:
    path = Path(tempfile.mkdtemp()) / "array.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


Form = Callable[[np.ndarray], Any]
FORMS: dict[str, Form] = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(a),
    "generator": lambda a: (row for row in a),
    "object array": lambda a: a.astype(object),
    "float64": lambda a: a.astype(np.float64),
    "read-only memory map": read_only,
    "not contiguous": lambda a: np.repeat(a, 2, axis=0)[::2],
    "tensor": torch.tensor,
    "tensors in a list": lambda a: [torch.tensor(part) for part in a],
}
NUMBERS: dict[str, Form] = {
    "half": lambda a: a.astype(np.float16),
    "tensor with gradient": lambda a: torch.tensor(a, requires_grad=True),
    "half tensor": lambda a: torch.tensor(a).half(),
    "bfloat16 tensor": lambda a: torch.tensor(a).bfloat16(),
}
CLASSES: dict[str, Form] = {
    "int8": lambda a: a.astype(np.int8),
    "int32 tensor": lambda a: torch.tensor(a).int(),
    "unsigned": lambda a: a.astype(np.uint8),
    "float32": lambda a: a.astype(np.float32),
    "float tensor": lambda a: torch.tensor(a).double(),
    "column": lambda a: a[:, None],
    "series": lambda a: pd.Series(a, index=SHUFFLED[: len(a)]),
    "column of a table": lambda a: pd.DataFrame({"y": a}, index=[f"row {i}" for i in SHUFFLED[: len(a)]])[
        "y"
    ],
    "nullable series": lambda a: pd.Series(a, index=SHUFFLED[: len(a)], dtype="Int64"),
    "table of one column": lambda a: pd.DataFrame({"y": a}, index=SHUFFLED[: len(a)]),
}
TABLES: dict[str, Form] = {"table": lambda a: pd.DataFrame(a, index=SHUFFLED[: len(a)])}

TINY: dict[str, Any] = {"steps": 2, "batch_size": 12}
ENCODER = Encoder((1, 8, 7), 4).eval()
SPREAD = spread_labels(UNIT, LABELS)
KNOWN = LABELS >= 0


def reindexed(new: Any, held_out: Any) -> tuple[float, float | None, np.ndarray]:
    """What a re-index finds whose encoder returns these embeddings."""
    with EmbeddingIndex(6, encoder_id="first", versioned=True, path=":memory:") as index:
        index.upsert(ROWS, sources=[f"image {i}" for i in range(N)])
        report = reindex(
            index,
            lambda sources: new,
            "second",
            held_out=held_out,
            quantile=0.2,
            k=3,
            least_agreement=0,
        )
        return report.agreement, report.threshold, report.index.query(ROWS, k=3).scores


# name -> (function of the arguments, {argument: (plain value, its further forms)})
pixels, labels = (PIXELS, NUMBERS), (LABELS, CLASSES)
rows, truth = (UNIT, NUMBERS | TABLES), (np.arange(N) % 3, CLASSES)
CALLS: dict[str, tuple[Callable[..., Any], dict[str, tuple[np.ndarray, dict[str, Form]]]]] = {
    "fit": (
        lambda X, y: MetricEmbedding(4, random_state=0, **TINY).fit(X, y).transform(PIXELS),
        {"X": pixels, "y": labels},
    ),
    "fit rows": (
        lambda X, y: MetricEmbedding(4, random_state=0, **TINY).fit(X, y).encoder_id_,
        {"X": (ROWS, NUMBERS | TABLES), "y": labels},
    ),
    "train_metric": (lambda X, y: train_metric(X, y, 4, **TINY)[1], {"X": pixels, "y": labels}),
    "train_classifier": (
        lambda X, y: predict_logits(train_classifier(X, y, **TINY), PIXELS),
        {"X": pixels, "y": labels},
    ),
    "train_autoencoder": (lambda X: train_autoencoder(X, 4, **TINY)[1], {"X": pixels}),
    "embed": (lambda X: embed(ENCODER, X), {"X": pixels}),
    "predict_logits": (lambda X: predict_logits(ENCODER, X), {"X": pixels}),
    "scarce_labels": (lambda y: scarce_labels(y, 2, seed=0), {"y": truth}),
    "rows of an image set": (
        lambda i: ImageSet(PIXELS, LABELS, ("a", "b", "c"))[i].pixels,
        {"i": (np.array([3, 1, 2]), {"series": CLASSES["series"], "tensor": torch.tensor})},
    ),
    "spread_labels": (spread_labels, {"embeddings": rows, "labels": labels}),
    "surest": (
        lambda spread, sure: surest(spread, sure, 0.5),
        {"spread": (SPREAD[0], CLASSES), "sure": (SPREAD[1], {"series": CLASSES["series"]})},
    ),
    "recall_at_k": (recall_at_k, {"embeddings": rows, "labels": labels}),
    "mean_average_precision_at_r": (mean_average_precision_at_r, {"embeddings": rows, "labels": labels}),
    "collapse_gauges": (collapse_gauges, {"embeddings": rows, "labels": labels}),
    "mean_interval": (mean_interval, {"values": (np.arange(N) * 1.5, {"series": CLASSES["series"]})}),
    "near_duplicates": (lambda e: near_duplicates(e, 0.5, 3), {"e": rows}),
    "outliers": (lambda e: outliers(e, 3), {"e": rows}),
    "suspicious_labels": (lambda e, y: suspicious_labels(e, y, 3), {"e": rows, "y": labels}),
    "embedding_map": (lambda e: embedding_map(e, method="pca"), {"e": rows}),
    "unknown_threshold": (
        lambda e, h: unknown_threshold(e, h, quantile=0.2),
        {"e": rows, "h": (UNIT[::-1].copy(), NUMBERS | TABLES)},
    ),
    "what_to_label_next": (lambda e, y: what_to_label_next(e, y, 3), {"e": rows, "y": labels}),
    "propagate_labels": (propagate_labels, {"e": rows, "y": labels}),
    "reindex": (
        reindexed,
        {"new": (ROWS, NUMBERS | TABLES), "held_out": (ROWS[::-1].copy(), NUMBERS | TABLES)},
    ),
    "show_images": (
        lambda X, t: told(show_images(X, t)),
        {"X": pixels, "t": (np.arange(N), {"series": CLASSES["series"]})},
    ),
    "show_map": (
        lambda p, y: told(show_map(p, y, ["a", "b", "c"])),
        {"p": (ROWS[:, :2], TABLES), "y": labels},
    ),
    "show_neighbours": (
        lambda X, t, m, r: told(show_neighbours(X, [PIXELS[:2]] * 3, t, m, r)),
        {
            "X": (PIXELS[:3], NUMBERS),
            "t": (np.arange(3), {"series": CLASSES["series"]}),
            "m": (
                np.arange(6).reshape(3, 2),
                {"rows as series": lambda a: [CLASSES["series"](r) for r in a]},
            ),
            "r": (np.eye(3, 2) > 0, {"rows as series": lambda a: [CLASSES["series"](r) for r in a]}),
        },
    ),
    **{
        loss.__name__: (lambda y, loss=loss: loss(torch.tensor(UNIT), y).item(), {"y": labels})
        for loss in (contrastive_loss, triplet_loss, supervised_contrastive_loss)
    },
}


def told(figure: plt.Figure) -> list[str]:
    """What a figure says: its titles and texts, with the colours of its frames."""
    found = [axis.get_title() for axis in figure.axes]
    found += [text.get_text() for axis in figure.axes for text in axis.texts]
    found += [str(spine.get_edgecolor()) for axis in figure.axes for spine in axis.spines.values()]
    plt.close(figure)
    return found


def same(answer: Any, wanted: Any) -> bool:
    """Whether two answers agree, but for the last digits of a number."""
    if isinstance(wanted, str):
        return bool(answer == wanted)
    if hasattr(wanted, "__dataclass_fields__"):
        answer, wanted = list(vars(answer).values()), list(vars(wanted).values())
    if isinstance(wanted, tuple | list):
        return len(answer) == len(wanted) and all(map(same, answer, wanted))
    return np.shape(answer) == np.shape(wanted) and np.allclose(answer, wanted, atol=1e-5)


CASES = [
    (name, argument, form)
    for name, (_, arguments) in CALLS.items()
    for argument, (_, further) in arguments.items()
    for form in [*FORMS, *further]
    if (argument, form) not in {("t", "float64"), ("m", "float64")}  # titles: "1.0" is another text than "1"
]


REFUSED = {  # told from a mistake by their type or shape alone
    ("rows of an image set", "i", "float64"),
    *(("scarce_labels", "y", form) for form in ("float64", "float32", "float tensor", "column")),
    ("scarce_labels", "y", "table of one column"),
    ("what_to_label_next", "y", "unsigned"),  # nothing is unlabelled then
}


@cache
def wanted(name: str) -> Any:
    """The answer to plain arrays."""
    call, arguments = CALLS[name]
    return call(*[value for value, _ in arguments.values()])


@pytest.mark.parametrize(("name", "argument", "form"), CASES)
def test_another_form_gives_the_same_answer(name: str, argument: str, form: str) -> None:
    call, arguments = CALLS[name]
    plain, further = arguments[argument]
    if form == "unsigned":  # such types hold no -1
        plain = np.maximum(plain, 0)
    given = (FORMS | further)[form](plain)

    def answer(this: Any) -> Any:
        return call(*[this if key == argument else value for key, (value, _) in arguments.items()])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if (name, argument, form) in REFUSED:
            with pytest.raises(ValueError, match=r"^[ -~]{20,300}\.$"):  # one sentence of plain letters
                answer(given)
        else:
            assert same(answer(given), wanted(name) if form != "unsigned" else answer(plain))


def test_shares_of_odd_numbers() -> None:
    assert share_interval(np.int64(9), np.uint8(10)) == share_interval(9, 10)
    for hits in (9.5, np.nan, "9", True, np.array([9])):
        with pytest.raises(ValueError, match="hits out of 10 make no share"):
            share_interval(hits, 10)  # type: ignore[arg-type]
