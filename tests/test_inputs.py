"""Every public function reads arrays, lists, tensors and columns of pandas by position.

Each call is made with plain arrays, and once for each argument with the forms that break naive code: a tensor
with a gradient, and a table or a column whose index tells another order. The answer must be the same. All
other forms meet the three functions that everybody uses, in test_checks.py.
"""

from functools import cache

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

from metriclearn import EmbeddingIndex, MetricEmbedding, QdrantClassifier, scarce_labels
from metriclearn.curation import (
    embedding_map,
    label_errors,
    near_duplicates,
    outliers,
    select_for_labelling,
)
from metriclearn.data import ImageSet
from metriclearn.index.reindex import reindex
from metriclearn.label_propagation import most_confident, propagate_labels, spread_labels
from metriclearn.losses import contrastive_loss, supervised_contrastive_loss, triplet_loss
from metriclearn.metrics import (
    collapse_diagnostics,
    mean_average_precision_at_r,
    recall_at_k,
    t_interval,
    wilson_interval,
)
from metriclearn.models import Encoder
from metriclearn.plots import show_images, show_map, show_neighbours
from metriclearn.training import embed, predict_logits, train_autoencoder, train_classifier, train_metric
from metriclearn.unknown import unknown_threshold

matplotlib.use("Agg")

N = 24
RANDOM = np.random.default_rng(0)
PIXELS = (RANDOM.integers(0, 129, (N, 1, 8, 7)) / 128).astype(np.float32)
ROWS = (RANDOM.integers(-128, 129, (N, 6)) / 128).astype(np.float32)
UNIT = np.zeros((N, 10), dtype=np.float32)  # four halves in each row: of length 1
for row in UNIT:
    row[RANDOM.permutation(10)[:4]] = RANDOM.choice([-0.5, 0.5], 4)
LABELS = np.where(np.arange(N) < 18, np.arange(N) % 3, -1)
NAMES, EXTRAS = [f"image {i}" for i in range(N)], [{"row": i} for i in range(N)]
SHUFFLED = np.random.default_rng(1).permutation(N)  # an index that tells another order


TENSOR = {"tensor": torch.tensor}
GRADIENT = {"tensor with gradient": lambda a: torch.tensor(a, requires_grad=True)}
TENSORS = {"list of tensors": lambda a: [torch.tensor(part) for part in a]}
SERIES = {"series": lambda a: pd.Series(list(a), index=SHUFFLED[: len(a)])}
TABLE = {"table": lambda a: pd.DataFrame(a, index=SHUFFLED[: len(a)])}

TINY = {"steps": 2, "batch_size": 12}
ENCODER = Encoder((1, 8, 7), 4).eval()
SPREAD = spread_labels(UNIT, LABELS)


def reindexed(new, held_out):
    """What a re-index finds whose encoder returns these embeddings."""
    with EmbeddingIndex(6, encoder_id="first", versioned=True, path=":memory:") as index:
        index.upsert(ROWS, sources=NAMES)
        report = reindex(
            index, lambda sources: new, "second", held_out=held_out, quantile=0.2, k=3, least_agreement=0
        )
        return report.agreement, report.threshold, report.index.query(ROWS, k=3).scores


def stored(embeddings, labels, sources, payloads):
    """What an index finds that stored these."""
    with EmbeddingIndex(10) as index:
        index.upsert(embeddings, labels, sources, payloads)
        found = index.query(UNIT, k=2)
        rows = [index.count({"source": name, "row": i}) for i, name in enumerate(NAMES)]
        return found.scores, found.labels, found.sources.tolist(), rows


def found(queries):
    """What an index finds that is asked for these."""
    with EmbeddingIndex(10) as index:
        index.upsert(UNIT, LABELS, NAMES)
        answer = index.query(queries, k=2)
        return answer.scores, answer.labels, answer.sources.tolist()


def voted(X, y, queries, classes):
    """How the neighbours vote that came in at first, and later with two announced classes."""
    with QdrantClassifier(2).fit(X, y) as classifier:
        first, score = classifier.predict_proba(queries), classifier.score(X, y)
        return first, score, classifier.partial_fit(X, y, classes=classes).predict_proba(queries)


# name -> (function of the arguments, {argument: (plain value, its further forms)})
pixels, labels = (PIXELS, GRADIENT | TENSORS), (LABELS, TENSOR | SERIES)
rows, truth = (UNIT, GRADIENT | TABLE), (np.arange(N) % 3, TENSOR | SERIES)
CALLS = {
    "fit": (
        lambda X, y: MetricEmbedding(4, random_state=0, **TINY).fit(X, y).transform(PIXELS),
        {"X": pixels, "y": labels},
    ),
    "fit rows": (
        lambda X, y: MetricEmbedding(4, random_state=0, **TINY).fit(X, y).encoder_id_,
        {"X": (ROWS, GRADIENT | TABLE), "y": labels},
    ),
    "train_metric": (lambda X, y: train_metric(X, y, 4, **TINY)[1], {"X": pixels, "y": labels}),
    "train_classifier": (
        lambda X, y: predict_logits(train_classifier(X, y, **TINY), PIXELS),
        {"X": pixels, "y": labels},
    ),
    "train_autoencoder": (lambda X: train_autoencoder(X, 4, **TINY)[1], {"X": pixels}),
    "embed": (lambda X: embed(ENCODER, X), {"X": pixels}),
    "predict_logits": (lambda X: predict_logits(ENCODER, X), {"X": pixels}),
    "upsert": (
        stored,
        {
            "embeddings": rows,
            "labels": labels,
            "sources": (NAMES, SERIES | {"array": np.array}),
            "payloads": (EXTRAS, SERIES | {"array": np.array}),
        },
    ),
    "query": (found, {"queries": rows}),
    "classifier": (
        voted,
        {"X": rows, "y": labels, "queries": rows, "classes": (np.array([8, 9]), TENSOR | SERIES)},
    ),
    "classifier of names": (
        voted,
        {
            "X": rows,
            "y": ([f"class {i % 3}" for i in range(N)], SERIES | {"array": np.array}),
            "queries": rows,
            "classes": (["a", "b"], SERIES),
        },
    ),
    "scarce_labels": (lambda y: scarce_labels(y, 2, seed=0), {"y": truth}),
    "rows of an image set": (
        lambda i: ImageSet(PIXELS, LABELS, ("a", "b", "c"))[i].pixels,
        {"i": (np.array([3, 1, 2]), TENSOR | SERIES)},
    ),
    "spread_labels": (spread_labels, {"embeddings": rows, "labels": labels}),
    "surest": (
        lambda spread, sure: most_confident(spread, sure, 0.5),
        {"spread": (SPREAD[0], TENSOR | SERIES), "sure": (SPREAD[1], TENSOR | SERIES)},
    ),
    "recall_at_k": (recall_at_k, {"embeddings": rows, "labels": labels}),
    "mean_average_precision_at_r": (mean_average_precision_at_r, {"embeddings": rows, "labels": labels}),
    "collapse_diagnostics": (collapse_diagnostics, {"embeddings": rows, "labels": labels}),
    "t_interval": (t_interval, {"values": (np.arange(N) * 1.5, GRADIENT | SERIES)}),
    "near_duplicates": (lambda e: near_duplicates(e, 0.5, 3), {"e": rows}),
    "outliers": (lambda e: outliers(e, 3), {"e": rows}),
    "label_errors": (lambda e, y: label_errors(e, y, 3), {"e": rows, "y": labels}),
    "embedding_map": (lambda e: embedding_map(e, method="pca"), {"e": rows}),
    "unknown_threshold": (
        lambda e, h: unknown_threshold(e, h, quantile=0.2),
        {"e": rows, "h": (UNIT[::-1].copy(), GRADIENT | TABLE)},
    ),
    "select_for_labelling": (lambda e, y: select_for_labelling(e, y, 3), {"e": rows, "y": labels}),
    "propagate_labels": (propagate_labels, {"e": rows, "y": labels}),
    "reindex": (
        reindexed,
        {"new": (ROWS, GRADIENT | TABLE), "held_out": (ROWS[::-1].copy(), GRADIENT | TABLE)},
    ),
    "show_images": (
        lambda X, t: told(show_images(X, t)),
        {"X": pixels, "t": (np.arange(N), TENSOR | SERIES)},
    ),
    "show_map": (
        lambda p, y: told(show_map(p, y, ["a", "b", "c"])),
        {"p": (ROWS[:, :2], GRADIENT | TABLE), "y": labels},
    ),
    "show_neighbours": (
        lambda X, t, m, r: told(show_neighbours(X, [PIXELS[:2]] * 3, t, m, r)),
        {
            "X": (PIXELS[:3], GRADIENT | TENSORS),
            "t": (np.arange(3), TENSOR | SERIES),
            "m": (
                np.arange(6).reshape(3, 2),
                TENSORS | {"rows as series": lambda a: [SERIES["series"](r) for r in a]},
            ),
            "r": (np.eye(3, 2) > 0, TENSORS | {"rows as series": lambda a: [SERIES["series"](r) for r in a]}),
        },
    ),
    **{
        loss.__name__: (lambda y, loss=loss: loss(torch.tensor(UNIT), y).item(), {"y": labels})
        for loss in (contrastive_loss, triplet_loss, supervised_contrastive_loss)
    },
}


def told(figure):
    """What a figure says: its titles and texts, with the colours of its frames."""
    found = [axis.get_title() for axis in figure.axes]
    found += [text.get_text() for axis in figure.axes for text in axis.texts]
    found += [str(spine.get_edgecolor()) for axis in figure.axes for spine in axis.spines.values()]
    plt.close(figure)
    return found


def same(answer, wanted):
    """Whether two answers agree, but for the last digits of a number."""
    if isinstance(wanted, str):
        return bool(answer == wanted)
    if hasattr(wanted, "__dataclass_fields__"):
        answer, wanted = list(vars(answer).values()), list(vars(wanted).values())
    if isinstance(wanted, tuple | list):
        return len(answer) == len(wanted) and all(map(same, answer, wanted))
    return np.shape(answer) == np.shape(wanted) and np.allclose(answer, wanted, atol=1e-5)


@cache
def wanted(name):
    """The answer to plain arrays."""
    call, arguments = CALLS[name]
    return call(*[value for value, _ in arguments.values()])


CASES = [
    (name, argument, form)
    for name, (_, arguments) in CALLS.items()
    for argument, (_, forms) in arguments.items()
    for form in forms
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "argument", "form"), CASES)
def test_another_form_gives_the_same_answer(name, argument, form):
    call, arguments = CALLS[name]
    given = {key: value for key, (value, _) in arguments.items()}
    plain, forms = arguments[argument]
    assert same(call(*(given | {argument: forms[form](plain)}).values()), wanted(name))


def test_shares_of_odd_numbers():
    assert wilson_interval(np.int64(9), np.uint8(10)) == wilson_interval(9, 10)
    for hits in (9.5, np.nan, "9", True, np.array([9])):
        with pytest.raises(ValueError, match=r"hits is .*: choose a whole number from 0 to 10"):
            wilson_interval(hits, 10)
