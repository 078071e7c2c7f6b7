"""Accuracy against the label budget, for the method, its parts and its rivals, side by side.

Every method sees the same draws of labelled images and is judged on the same 1,000 test images.
Settings of all methods were chosen on draws 100 to 102; the figures are for draws 0 to 9 (0 to 4
where a budget is watched less). Each
result is written at once, so that an interrupted run goes on where it stopped.

    python -m benchmarks.label_efficiency            # about an hour on two cores
    python -m benchmarks.label_efficiency --fresh    # forget earlier results first
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.common import ALL_DRAWS, DRAWS, Ledger, command_line, unit
from benchmarks.digits import POOL, TEST, accuracy_of_logits, autoencoder, one_nearest, pca_views, rows
from metriclearn import MetricEmbedding, QdrantClassifier, scarce_labels
from metriclearn.augment import random_affine
from metriclearn.batches import balanced_rows
from metriclearn.label_propagation import spread_labels
from metriclearn.losses import supervised_contrastive_loss
from metriclearn.training import embed, train_classifier

BUDGETS = [1, 2, 5, 10, 20, 50]
WATCHED = [1, 2, 10]  # the budgets for which all ten draws are run, not five
RECONSTRUCTION = 10.0
PROTOCOL = {
    "data": "mnist-5k: 4,000 pool images, 1,000 test images",
    "draws": "the labelled images and the training seed of draw s both come from seed s",
    "chosen on": "draws 100 to 102",
    "PCA": "32 components, no whitening, 1 neighbour (of 16 to 64 components, with and without, 1 or 3)",
    "logistic regression": "C = 1 (of 0.001 to 10)",
    "label spreading": "spread_labels on PCA-32, 5 neighbours, then 5-NN over the pool (of 5 or 10, 1 or 5; "
    "scikit-learn's LabelSpreading did worse)",
    "supervised CNN": "600 steps, AdamW 0.005, weight decay 0.05, label smoothing 0.1, affine augmentation",
    "metric embedding": "MetricEmbedding's defaults",
    "reconstruction weight": RECONSTRUCTION,
}

Accuracies = Iterator[tuple[str, float]]


def raw_pixels(labels: np.ndarray, seed: int) -> Accuracies:
    """Compare images pixel by pixel."""
    known = labels >= 0
    yield (
        "raw pixels, 1-NN",
        one_nearest(rows(POOL.pixels[known]), labels[known], rows(TEST.pixels)),
    )


def pca_nearest(labels: np.ndarray, seed: int) -> Accuracies:
    """Compare images by their principal components."""
    known, (pool, test) = labels >= 0, pca_views()
    yield "PCA + kNN", one_nearest(pool[known], labels[known], test)


def logistic_regression(labels: np.ndarray, seed: int) -> Accuracies:
    """Fit a linear classifier to the pixels."""
    known = labels >= 0
    model = LogisticRegression(C=1, max_iter=2000).fit(rows(POOL.pixels[known]), labels[known])
    yield "logistic regression", 100 * model.score(rows(TEST.pixels), TEST.labels)


def label_spreading(labels: np.ndarray, seed: int) -> Accuracies:
    """Use the pool as well: spread labels over the graph of principal components."""
    pool, test = map(unit, pca_views())
    spread, _ = spread_labels(pool, labels, n_neighbors=5)
    model = KNeighborsClassifier(5).fit(pool, spread)
    yield "PCA + label spreading", 100 * model.score(test, TEST.labels)


def autoencoder_nearest(labels: np.ndarray, seed: int) -> Accuracies:
    """Compare images by the autoencoder's embeddings."""
    known, encoder = labels >= 0, autoencoder(seed)
    test = embed(encoder, TEST.pixels)
    yield "autoencoder + 1-NN", one_nearest(embed(encoder, POOL.pixels[known]), labels[known], test)


def supervised_cnn(labels: np.ndarray, seed: int) -> Accuracies:
    """Train the strong rival."""
    yield "supervised CNN", accuracy_of_logits(train_classifier(POOL.pixels, labels, seed=seed))


def full_method(labels: np.ndarray, seed: int) -> Accuracies:
    """Train the metric embedding and classify by retrieval, with three kinds of index."""
    known = labels >= 0
    embedding = MetricEmbedding(random_state=seed).fit(POOL.pixels, labels)
    pool, test = embedding.transform(POOL.pixels), embedding.transform(TEST.pixels)
    yield "metric embedding + 1-NN", one_nearest(pool[known], labels[known], test)
    for name, vectors, targets in (
        ("metric embedding + kNN", pool[known], labels[known]),
        ("metric embedding + pool index", pool, spread_labels(pool, labels)[0]),
    ):
        with QdrantClassifier().fit(vectors, targets) as classifier:
            yield name, 100 * classifier.score(test, TEST.labels)


# Each method under the last name that it yields: with that one written, all of its results are.
METHODS = {
    "raw pixels, 1-NN": raw_pixels,
    "PCA + kNN": pca_nearest,
    "logistic regression": logistic_regression,
    "PCA + label spreading": label_spreading,
    "autoencoder + 1-NN": autoencoder_nearest,
    "supervised CNN": supervised_cnn,
    "metric embedding + pool index": full_method,
}


def metric_recipe(labels: np.ndarray, seed: int, **ingredients: Any) -> float:
    """Return the 1-NN accuracy of a metric embedding trained with these ingredients."""
    known = labels >= 0
    embedding = MetricEmbedding(random_state=seed, **ingredients).fit(POOL.pixels, labels)
    vectors = embedding.transform(POOL.pixels[known])
    return one_nearest(vectors, labels[known], embedding.transform(TEST.pixels))


def frozen_recipe(
    labels: np.ndarray, seed: int, *, loss: Callable[..., torch.Tensor] = supervised_contrastive_loss
) -> float:
    """Return the 1-NN accuracy of a linear metric head on a frozen autoencoder, same steps and changes."""
    encoder, random = autoencoder(seed), torch.Generator().manual_seed(seed)
    known = labels >= 0
    images, targets = torch.as_tensor(POOL.pixels[known]), torch.as_tensor(labels[known])
    torch.manual_seed(seed)
    head = torch.nn.Linear(encoder.dim, encoder.dim)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
    encoder.eval()
    for _ in range(600):
        batch = balanced_rows(labels[known], 128, random)
        with torch.no_grad():
            codes = encoder(random_affine(images[batch], random))
        embeddings = torch.nn.functional.normalize(head(codes), dim=1)
        optimizer.zero_grad()
        loss(embeddings, targets[batch]).backward()
        optimizer.step()
    with torch.inference_mode():
        vectors, test = (
            torch.nn.functional.normalize(head(encoder(torch.as_tensor(pixels))), dim=1).numpy()
            for pixels in (POOL.pixels[known], TEST.pixels)
        )
    return one_nearest(vectors, labels[known], test)


MEASURED = {
    "autoencoder alone": "autoencoder + 1-NN",
    "all but reconstruction (the default)": "metric embedding + 1-NN",
}
RECIPES: dict[str, Callable[..., float]] = {
    "autoencoder frozen, metric head": frozen_recipe,
    "metric loss on the labelled images": partial(metric_recipe, augment=False, pseudo_labels=False),
    "+ augmentation": partial(metric_recipe, pseudo_labels=False),
    "+ reconstruction of the pool": partial(
        metric_recipe, pseudo_labels=False, reconstruction=RECONSTRUCTION
    ),
    "+ pseudo-labels from the pool (all ingredients)": partial(metric_recipe, reconstruction=RECONSTRUCTION),
}


def main() -> None:
    """Run what is not done yet."""
    fresh = command_line(__doc__).parse_args().fresh
    head = {"protocol": PROTOCOL, "draws": DRAWS, "budget": 10}
    ablation = Ledger("ablation", "recipes", fresh, head)
    head = {"protocol": PROTOCOL, "budgets": BUDGETS, "draws": ALL_DRAWS, "watched": WATCHED}
    curve = Ledger("label_efficiency", "methods", fresh, head)
    # The budget of the headline first, so that an interrupted run has the most important part.
    for budget in sorted(BUDGETS, key=lambda n: n != 10):
        for draw in ALL_DRAWS if budget in WATCHED else DRAWS:
            labels = scarce_labels(POOL.labels, budget, draw)
            for last_name, method in METHODS.items():
                if curve.has([last_name, str(budget)], draw):
                    continue
                start = time.process_time()
                results = [(*result, time.process_time() - start) for result in method(labels, draw)]
                for name, accuracy, seconds in results:
                    curve.add([name, str(budget)], draw, accuracy, seconds)
    for draw in DRAWS:
        labels = scarce_labels(POOL.labels, ablation.results["budget"], draw)
        for name, recipe in RECIPES.items():
            if not ablation.has([name], draw):
                autoencoder.cache_clear()  # a recipe that needs one pays for it
                start = time.process_time()
                ablation.add([name], draw, recipe(labels, draw), time.process_time() - start)
    # The first and the last recipe were measured above, on the same draws.
    few = slice(len(DRAWS))
    measured = {
        name: {key: values[few] for key, values in curve.results["methods"][method]["10"].items()}
        for name, method in MEASURED.items()
    }
    first, last = measured.items()
    ablation.results["recipes"] = dict([first, *ablation.results["recipes"].items(), last])
    ablation.write()


if __name__ == "__main__":
    main()
