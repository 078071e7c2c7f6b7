"""The same defaults on other images: nothing in the method was chosen on these.

* digits: the 1,797 images of 8 x 8 pixels that scikit-learn carries, ten labels per class;
* official test: trained as ever on mnist-5k, judged by MNIST's own 10,000 test images;
* Omniglot: handwritten characters of five alphabets (Lake et al. 2015, doi 10.1126/science.aab3050),
  30 characters a draw with 15 drawings each in the pool and 5 to judge by, three labels per character;
* the same with all its 136 characters, five labels each.

The first needs nothing. The other two are measured where their files are given, and kept otherwise.

    python -m benchmarks.elsewhere --mnist FOLDER --omniglot images_background_small1.zip
"""

import gzip
import io
import zipfile
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.common import DRAWS, Ledger, command_line
from benchmarks.digits import POOL, rows
from metriclearn import ImageSet, MetricEmbedding, scarce_labels
from metriclearn.training import predict_logits, train_classifier

DRAWINGS, JUDGED_BY = 20, 5


class Task(NamedTuple):
    """Images to learn from, images to be judged by, and how many labels per class are given."""

    pool: ImageSet
    test: ImageSet
    per_class: int


def image_set(images: np.ndarray, labels: np.ndarray) -> ImageSet:
    """Return images and labels as one thing; each class is named by its number."""
    return ImageSet(images, labels, tuple(str(label) for label in np.unique(labels)))


def digits(draw: int) -> Task:
    """Return scikit-learn's digits: a pool of 1,397 and 400 to judge by, the same in each draw."""
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], labels[order].astype(np.int64)
    return Task(image_set(images[400:], labels[400:]), image_set(images[:400], labels[:400]), 10)


def official_test(folder: Path) -> Task:
    """Return the course's pool and MNIST's official test images."""

    def read(name: str, head: int) -> np.ndarray:
        with gzip.open(folder / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=head)

    images = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    return Task(POOL, image_set(images, read("t10k-labels-idx1-ubyte.gz", 8).astype(np.int64)), 10)


def omniglot(file: Path, draw: int, n_characters: int, per_class: int) -> Task:
    """Return some characters of Omniglot at 28 x 28 pixels, ink bright as in MNIST."""
    characters = defaultdict(list)
    with zipfile.ZipFile(file) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".png"):
                characters[name.rpartition("/")[0]].append(name)
        random = np.random.default_rng(draw)
        pixels, labels = [], []
        for label, folder in enumerate(random.choice(sorted(characters), n_characters, replace=False)):
            for name in random.permutation(characters[folder]):
                image = Image.open(io.BytesIO(archive.read(name))).convert("L").resize((28, 28))
                pixels.append(1 - np.asarray(image, dtype=np.float32)[None] / 255)
                labels.append(label)
    images, classes = np.stack(pixels), np.array(labels)
    judging = np.arange(len(images)) % DRAWINGS < JUDGED_BY
    return Task(
        image_set(images[~judging], classes[~judging]),
        image_set(images[judging], classes[judging]),
        per_class,
    )


def raw_pixels(task: Task, labels: np.ndarray, draw: int) -> np.ndarray:
    """Classify by the nearest labelled image, pixel by pixel."""
    known = labels >= 0
    model = KNeighborsClassifier(1).fit(rows(task.pool.pixels[known]), labels[known])
    return model.predict(rows(task.test.pixels))


def pca_nearest(task: Task, labels: np.ndarray, draw: int) -> np.ndarray:
    """Classify by the nearest labelled image among 32 principal components of the pool."""
    known, pca = labels >= 0, PCA(32, random_state=0).fit(rows(task.pool.pixels))
    model = KNeighborsClassifier(1).fit(pca.transform(rows(task.pool.pixels[known])), labels[known])
    return model.predict(pca.transform(rows(task.test.pixels)))


def supervised_cnn(task: Task, labels: np.ndarray, draw: int) -> np.ndarray:
    """Classify by the same network, trained by cross-entropy with the same changes."""
    model = train_classifier(task.pool.pixels, labels, seed=draw)
    return predict_logits(model, task.test.pixels).argmax(axis=1)


def metric_embedding(task: Task, labels: np.ndarray, draw: int) -> np.ndarray:
    """Classify by the nearest labelled image among the embeddings of the full method."""
    known, embedding = labels >= 0, MetricEmbedding(random_state=draw).fit(task.pool.pixels, labels)
    model = KNeighborsClassifier(1).fit(embedding.transform(task.pool.pixels[known]), labels[known])
    return model.predict(embedding.transform(task.test.pixels))


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "raw pixels, 1-NN": raw_pixels,
    "PCA + 1-NN": pca_nearest,
    "supervised CNN": supervised_cnn,
    "metric embedding + 1-NN": metric_embedding,
}


def accuracy(method: Callable[..., np.ndarray], task: Task, labels: np.ndarray, draw: int) -> float:
    """Return the share of test images that a method names rightly, in percent."""
    return 100 * float((method(task, labels, draw) == task.test.labels).mean())


def main() -> None:
    """Run what is not done yet."""
    given = command_line(__doc__, "mnist", "omniglot").parse_args()
    tasks: dict[str, Callable[[int], Task]] = {"digits": digits}
    if given.mnist:
        tasks["official test"] = lambda draw: official_test(given.mnist)
    if given.omniglot:
        tasks["Omniglot"] = lambda draw: omniglot(given.omniglot, draw, 30, 3)
        tasks["Omniglot, 136 characters"] = lambda draw: omniglot(given.omniglot, draw, 136, 5)
    ledger = Ledger("elsewhere", "data", given.fresh, {"draws": DRAWS})
    for data, make in tasks.items():
        for draw in DRAWS:
            task = make(draw)
            labels = scarce_labels(task.pool.labels, task.per_class, draw)
            for name, method in METHODS.items():
                ledger.run([data, name], draw, partial(accuracy, method, task, labels, draw))
        place = ledger.results["data"]
        place[data] = {name: place[data][name] for name in METHODS}
        ledger.write()


if __name__ == "__main__":
    main()
