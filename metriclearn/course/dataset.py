"""The set of images that the notebooks run on, and what belongs to the course's own set alone.

The environment variable METRICLEARN_DATASET lets the notebooks run on another set. Three things stay those
of mnist-5k: the figures on file in `benchmarks/results`, which are printed under its name; the bands
(`metriclearn.course.bands`), which are left out; and the published encoder. For another set an encoder is
trained once, by the recipe of the published one, and kept.
"""

from pathlib import Path
from typing import Any

from metriclearn.classify import QdrantClassifier
from metriclearn.data import load_images, scarce_labels
from metriclearn.embedding import CARD_FILE, PUBLISHED, MetricEmbedding
from metriclearn.files import cache_folder
from metriclearn.metrics import wilson_interval

OWN = "mnist-5k"


def encoder_for(dataset: str) -> MetricEmbedding:
    """Return the encoder that the notebooks start from with this set of images.

    That is the published one for mnist-5k. For another set it is trained at the first call, which takes about
    a minute, and kept in `data/encoders`: delete its folder there to have it trained again.

    Args:
        dataset: a name that `load_images` knows.

    Raises:
        ValueError: for an unknown name.
        FileNotFoundError: if the set's files are missing and cannot be downloaded.
        OSError: if `data/encoders` cannot be written.
    """
    folder = PUBLISHED if dataset == OWN else cache_folder() / "encoders" / dataset
    if not (folder / CARD_FILE).is_file():
        print(f"There is no encoder for {dataset} yet: training one, which will be kept.")
        train_encoder(dataset, folder)
    return MetricEmbedding.load(folder)


def train_encoder(dataset: str, folder: str | Path) -> dict[str, Any]:
    """Train an encoder with 10 labels per class, write it into a folder, and return its card.

    Label draw 0 and training seed 0, the defaults of `MetricEmbedding`: not the best of many. The card says
    how many test images the vote of the five nearest labelled ones gets right.
    """
    pool, test = load_images(dataset)
    labels = scarce_labels(pool.labels, per_class=10, seed=0)
    known = labels >= 0
    embedding = MetricEmbedding(random_state=0).fit(pool.pixels, labels)
    stored, asked = embedding.transform(pool.pixels[known]), embedding.transform(test.pixels)
    # In memory also where there is a server: this collection is nobody's.
    with QdrantClassifier(path=":memory:").fit(stored, labels[known]) as classifier:
        hits = int((classifier.predict(asked) == test.labels).sum())
    accuracy = wilson_interval(hits, len(test))
    return embedding.save(
        folder,
        data=dataset,
        labels="scarce_labels(pool.labels, per_class=10, seed=0)",
        seed=0,
        classifier=f"vote of the 5 nearest of the {known.sum()} labelled images",
        accuracy=round(accuracy.mean, 1),
        accuracy_interval_95=[round(accuracy.low, 1), round(accuracy.high, 1)],
        test_images=len(test),
    )
