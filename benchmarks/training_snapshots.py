"""Train the published encoder once more and keep what the living map shows of it (about half a MB).

1,000 images of the pool: the 100 with a label and the next 900. Of each, its embedding after some of
the steps, and a place on a plane. Each map starts from the one after it in training, so that a point moves no
farther than it must.

    python -m benchmarks.training_snapshots
"""

import numpy as np
from sklearn.manifold import TSNE

from benchmarks.digits import POOL
from metriclearn import scarce_labels
from metriclearn.course.widgets import TRAINING
from metriclearn.models import Autoencoder
from metriclearn.training import embed, train_metric

STEPS = (0, 10, 25, 50, 100, 200, 400, 600)
IMAGES = 1000


def main() -> None:
    """Train, embed after some of the steps, and write what the living map shows."""
    labels = scarce_labels(POOL.labels, per_class=10, seed=0)
    known = np.flatnonzero(labels >= 0)
    rows = np.concatenate([known, np.flatnonzero(labels < 0)[: IMAGES - len(known)]])
    snapshots = []

    def keep(step: int, model: Autoencoder) -> None:
        if step in STEPS:
            snapshots.append(embed(model.encoder, POOL.pixels[rows]))

    seed = int(np.random.RandomState(0).randint(2**31 - 1))  # as MetricEmbedding(random_state=0) draws it
    train_metric(POOL.pixels, labels, seed=seed, steps=STEPS[-1], report=keep)
    embeddings = np.stack(snapshots).astype(np.float16)

    places = np.zeros((len(STEPS), len(rows), 2), dtype=np.float32)
    start: str | np.ndarray = "pca"
    for snapshot in range(len(STEPS) - 1, -1, -1):
        tsne = TSNE(2, init=start, early_exaggeration=12 if isinstance(start, str) else 1, random_state=0)
        place = tsne.fit_transform(embeddings[snapshot].astype(np.float32))
        place -= place.mean(axis=0)
        places[snapshot] = place / np.abs(place).max()
        start = (place / np.abs(place).max() * 10).astype(np.float32)

    np.savez_compressed(
        TRAINING, steps=np.array(STEPS), rows=rows, embeddings=embeddings, places=places.astype(np.float16)
    )
    print(f"{TRAINING.name}: {TRAINING.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
