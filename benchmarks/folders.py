"""Folders of pictures from the command line: what `metriclearn fit` and `classify` reach, and what they take.

* digits: 3,000 of the course's digits, written as PNG and JPEG of mixed sizes;
* Omniglot: 136 handwritten characters, 20 drawings each (Lake et al. 2015, doi 10.1126/science.aab3050),
  as they lie in images_background_small1.zip;
* TrashNet: 2,527 pictures of waste, six classes (https://github.com/garythung/trashnet).

Each lies as a folder without labels, and a table names so many labelled pictures per class; every fourth or
fifth picture is kept apart to judge by. Only `python -m metriclearn` sees the folders. The last two are
measured where their files are given, and kept otherwise.

    python -m benchmarks.folders --omniglot images_background_small1.zip --trashnet FOLDER
    python -m benchmarks.folders timings --trashnet FOLDER     # seconds and memory: on a quiet machine
"""

import contextlib
import csv
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.common import Ledger, command_line, write_results
from benchmarks.digits import POOL, rows
from metriclearn import scarce_labels
from metriclearn.model_selection import small_side
from metriclearn.photos import Photographs, read_photographs
from metriclearn.training import predict_logits, train_classifier

BUDGETS, DRAWS = [5, 10], [0, 1, 2]
SIDES = (28, 40, 56)  # of the digits that are written
OMNIGLOT_JUDGED, TEST_SHARE = 5, 0.22
CNN_CHANGES, TRIED_FOR = ("affine", "photographs"), 300
CHOSEN_ON = 100  # a draw that no figure comes from
PROTOCOL = {
    "draws": "the labelled pictures and the seed of draw s both come from seed s; test pictures are the same",
    "test": f"digits and TrashNet: {100 * TEST_SHARE:g} %, each class with its share; Omniglot: "
    f"{OMNIGLOT_JUDGED} drawings of each character",
    "fit": "metriclearn fit POOL --method auto, then metriclearn classify; accuracy counts the nearest "
    "class, also where the answer is unknown; unknown is the share of test pictures called so",
    "raw pixels": "1 neighbour among the labelled, at the side that the small network sees",
    "supervised CNN": "train_classifier at the same side, in as many steps; its augmentation chosen of "
    f"{' and '.join(CNN_CHANGES)} in {TRIED_FOR} steps on draw {CHOSEN_ON}, 10 labels per class",
    "seconds": "of the whole command, as a clock and as the processors have it; the first fit of a set also "
    "decodes its pictures and computes the backbone's rows, later ones find them in the cache",
    "GiB": "the largest process of the command, at its peak",
}
FIT = "metriclearn fit --method auto"


class Files(NamedTuple):
    """A set of pictures: their bytes, their names with a suffix, and their classes."""

    content: list[bytes]
    names: list[str]
    labels: list[str]


def digits() -> Files:
    """Return 3,000 digits, every other one as JPEG, in three sizes."""
    random = np.random.default_rng(0)
    chosen = random.choice(len(POOL), 3000, replace=False)
    content, names = [], []
    for number, row in enumerate(chosen):
        picture = Image.fromarray(np.uint8(255 * POOL.pixels[row, 0]))
        side, kind = int(random.choice(SIDES)), ("PNG", "JPEG")[number % 2]
        file = BytesIO()
        picture.resize((side, side), Image.Resampling.BICUBIC).save(file, kind)
        content.append(file.getvalue())
        names.append(f"{number:04}.{kind.lower()}")
    return Files(content, names, [str(label) for label in POOL.labels[chosen]])


def omniglot(file: Path) -> Files:
    """Return all drawings; a class is a character of an alphabet."""
    found = Files([], [], [])
    with zipfile.ZipFile(file) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".png"):
                _, alphabet, character, drawing = name.split("/")
                found.content.append(archive.read(name))
                found.names.append(f"{alphabet}/{character}/{drawing}")
                found.labels.append(f"{alphabet} {character}")
    return found


def trashnet(folder: Path) -> Files:
    """Return the pictures of waste."""
    paths = sorted(folder.glob("*/*.jpg"))
    return Files(
        [path.read_bytes() for path in paths], [path.name for path in paths], [p.parent.name for p in paths]
    )


def parts(name: str, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which pictures are the pool, and which judge."""
    if name == "Omniglot":
        random = np.random.default_rng(0)
        judging = [
            random.choice(np.flatnonzero(labels == label), OMNIGLOT_JUDGED, replace=False)
            for label in np.unique(labels)
        ]
        test = np.sort(np.concatenate(judging))
        return np.setdiff1d(np.arange(len(labels)), test), test
    pool, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_SHARE, stratify=labels, random_state=0
    )
    return np.sort(pool), np.sort(test)


class Ran(NamedTuple):
    """What a command said, and what it took."""

    said: dict[str, Any]
    seconds: float
    cpu_seconds: float
    gib: float


def metriclearn(cache: Path, *arguments: object) -> Ran:
    """Run a command; what it took is that of its own process, and of those that this one waited for."""
    environment = os.environ | {"METRICLEARN_CACHE": str(cache)}
    command = [sys.executable, "-m", "metriclearn", *map(str, arguments), "--json"]
    with tempfile.TemporaryFile() as out:
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=out, env=environment)
        _, status, took = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = json.loads(out.read())
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {said}")
    return Ran(said, seconds, took.ru_utime + took.ru_stime, took.ru_maxrss / 2**20)


class Folders:
    """A set as it lies on the disk, and what the rivals see of it.

    Args:
        name: what the set is called.
        files: its pictures.
        root: where to write them.
    """

    def __init__(self, name: str, files: Files, root: Path) -> None:
        self.name, self.root, self.cache = name, root, root / "cache"
        self.labels = np.array(files.labels)
        self.pool, self.test = parts(name, self.labels)
        self.names = files.names
        self.sizes = {"pool": len(self.pool), "judged by": len(self.test), "classes": len(set(files.labels))}
        for part, members in (("pool", self.pool), ("test", self.test)):
            for row in members:
                path = root / part / files.names[row]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(files.content[row])

    def label(self, budget: int, draw: int) -> None:
        """Write the table that names so many labelled pictures per class."""
        classes, codes = np.unique(self.labels[self.pool], return_inverse=True)
        known = scarce_labels(codes.astype(np.int64), budget, draw)
        lines = [
            (self.names[row], classes[code]) for row, code in zip(self.pool, known, strict=True) if code >= 0
        ]
        with (self.root / "pool" / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("file_name", "label"), *lines])

    def share_right(self, said: dict[str, str]) -> float:
        """Return how many test pictures have their class, in percent.

        Args:
            said: for each file of the test folder, by its name, a class.
        """
        truth = {self.names[row]: self.labels[row] for row in self.test}
        return 100 * float(np.mean([said[name] == label for name, label in truth.items()]))

    def seen(self, part: str) -> Photographs:
        """Return the pictures of a part, for the rivals."""
        return read_photographs(self.root / part, cache=self.root / "rivals")


def fit_and_classify(folders: Folders, ledger: Ledger, budget: int, draw: int) -> None:
    """Fit and classify from the command line."""
    model, pool, test = folders.root / "model", folders.root / "pool", folders.root / "test"
    cold = not folders.cache.exists()
    fit = metriclearn(folders.cache, "fit", pool, "--out", model, "--force", "--seed", draw)
    asked = metriclearn(folders.cache, "classify", model, test)
    answers = {Path(answer["file"]).relative_to(test).as_posix(): answer for answer in asked.said["answers"]}
    accuracy = folders.share_right({name: answer["nearest_class"] for name, answer in answers.items()})
    ledger.add(
        [folders.name, FIT, str(budget)],
        draw,
        accuracy,
        fit.cpu_seconds,
        estimate=fit.said["accuracy"]["percent"],
        unknown=100 * float(np.mean([answer["label"] == "unknown" for answer in answers.values()])),
        wall_seconds=fit.seconds,
        gib=fit.gib,
    )
    entry = ledger.at([folders.name, FIT, str(budget)])
    entry.setdefault("method", []).append(fit.said["method"])
    entry.setdefault("cold", []).append(cold)
    ledger.write()


def rivals(folders: Folders, ledger: Ledger, budget: int, draw: int) -> None:
    """Judge raw pixels and the supervised CNN on the same pictures."""
    pool, test = folders.seen("pool"), folders.seen("test")
    side = small_side(pool)
    images, asked = pool.small(side), test.small(side)
    known = pool.labels >= 0

    def note(name: str, codes: np.ndarray, start: float) -> None:
        if ledger.has([folders.name, name, str(budget)], draw):  # from a run that ended between the two
            return
        said = dict(zip(test.files, np.array(pool.class_names)[codes], strict=True))
        ledger.add(
            [folders.name, name, str(budget)], draw, folders.share_right(said), time.process_time() - start
        )

    start = time.process_time()
    nearest = KNeighborsClassifier(1).fit(rows(images[known]).astype(np.float32), pool.labels[known])
    note("raw pixels, 1-NN", nearest.predict(rows(asked).astype(np.float32)), start)
    start = time.process_time()
    change = chosen_change(folders, ledger)
    network = train_classifier(images, pool.labels, augment=change, seed=draw)
    note("supervised CNN", predict_logits(network, asked).argmax(axis=1), start)


def chosen_change(folders: Folders, ledger: Ledger) -> str:
    """Return the augmentation that serves the CNN best on a draw of its own."""
    place = ledger.at([folders.name])
    if "chosen" not in place:
        table = (folders.root / "pool" / "labels.csv").read_bytes()
        folders.label(10, CHOSEN_ON)
        pool, test = folders.seen("pool"), folders.seen("test")
        images, asked = pool.small(small_side(pool)), test.small(small_side(pool))
        found = {}
        for change in CNN_CHANGES:
            network = train_classifier(images, pool.labels, steps=TRIED_FOR, augment=change, seed=CHOSEN_ON)
            codes = predict_logits(network, asked).argmax(axis=1)
            said = dict(zip(test.files, np.array(pool.class_names)[codes], strict=True))
            found[change] = round(folders.share_right(said), 2)
        place["chosen"] = found
        ledger.write()
        (folders.root / "pool" / "labels.csv").write_bytes(table)
    best: str = max(place["chosen"], key=place["chosen"].get)
    return best


# Seconds and memory, of so many pictures.
FEW, MANY = 2_000, 20_000
SMALLEST, LARGEST = (100, 100), (512, 384)


def photographs(source: Path, root: Path, n: int) -> Path:
    """Write n JPEG files from 100 x 100 to 512 x 384 pixels, ten of each class with its name.

    Args:
        source: a folder of photographs, a folder per class; where n is larger, each is cut several times.
        root: where to write them.
        n: how many.
    """
    random = np.random.default_rng(0)
    paths = sorted(source.glob("*/*.jpg"))
    paths = [paths[i] for i in random.permutation(len(paths))]
    named: dict[str, int] = {}
    for number in range(n):
        path = paths[number % len(paths)]
        share = random.random()
        size = [round(a + share * (b - a)) for a, b in zip(SMALLEST, LARGEST, strict=True)]
        with Image.open(path) as picture:
            width, height = picture.size
            left, top = int(random.integers(0, width // 8)), int(random.integers(0, height // 8))
            cut = picture.crop((left, top, left + width * 7 // 8, top + height * 7 // 8)).resize(size)
        label = path.parent.name
        named[label] = named.get(label, 0) + 1
        folder = root / (label if named[label] <= 10 else "unlabelled")
        folder.mkdir(parents=True, exist_ok=True)
        cut.save(folder / f"{number:05}.jpg", quality=90)
    return root


def timings(source: Path, root: Path) -> dict[str, Any]:
    """Return what the commands take on photographs, in seconds and GiB; nothing is in the cache before."""
    found: dict[str, Any] = {"threads": int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)}

    def note(name: str, ran: Ran, pictures: int) -> None:
        found[name] = {
            "pictures": pictures,
            "seconds": round(ran.seconds, 1),
            "cpu_seconds": round(ran.cpu_seconds, 1),
            "peak memory in GiB": round(ran.gib, 2),
        }
        print(name, found[name], flush=True)

    few, many = photographs(source, root / "few", FEW), photographs(source, root / "many", MANY)
    note("check", metriclearn(root / "cache-check", "check", few), FEW)
    note("check, many", metriclearn(root / "cache-check", "check", many), MANY)
    one = next((few / "unlabelled").iterdir())
    for name, method in (("backbone", "head"), ("small network", "scratch")):
        cache, model = root / f"cache-{name}", root / f"model-{name}"
        note(
            f"fit --method {method}", metriclearn(cache, "fit", few, "--out", model, "--method", method), FEW
        )
        start = metriclearn(cache, "classify", model, one)
        note(f"classify one, {name}", start, 1)
        ran = metriclearn(cache, "classify", model, few)
        note(f"classify, {name}", ran, FEW)
        speed = (FEW - 1) / (ran.seconds - start.seconds)
        found[f"classify, {name}"]["pictures a second, once it has started"] = round(speed)
    note("fit", metriclearn(root / "cache-auto", "fit", few, "--out", root / "model-auto"), FEW)
    return found


def main() -> None:
    """Run what is not done yet."""
    parser = command_line(__doc__, "omniglot", "trashnet")
    parser.add_argument("what", nargs="?", choices=("accuracy", "timings"), default="accuracy")
    parser.add_argument("--draws", nargs="*", type=int, default=DRAWS)
    parser.add_argument("--budgets", nargs="*", type=int, default=BUDGETS, help="labels per class")
    parser.add_argument("--only", nargs="*", help="sets to run, by default all whose files are given")
    parser.add_argument("--place", type=Path, help="where to write the folders, which are kept there then")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        root = given.place or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root = root.resolve()
        if given.what == "timings":
            if not given.trashnet:
                parser.error("timings need photographs: name --trashnet FOLDER")
            write_results("folders_speed", timings(given.trashnet, root))
            return
        ledger = Ledger(
            "folders", "sets", given.fresh, {"protocol": PROTOCOL, "budgets": BUDGETS, "draws": DRAWS}
        )
        sets: dict[str, Callable[[], Files]] = {"digits": digits}
        if given.omniglot:
            sets["Omniglot"] = lambda: omniglot(given.omniglot)
        if given.trashnet:
            sets["TrashNet"] = lambda: trashnet(given.trashnet)
        wanted = [name for name in sets if not given.only or name in given.only]
        made: dict[str, Folders] = {}
        runs = ((FIT, fit_and_classify), ("supervised CNN", rivals))
        for draw, name, budget, (last, run) in itertools.product(
            given.draws, wanted, reversed(given.budgets), runs
        ):
            if not ledger.has([name, last, str(budget)], draw):
                if name not in made:
                    made[name] = Folders(name, sets[name](), root / name)
                ledger.at([name])["pictures"] = made[name].sizes
                made[name].label(budget, draw)
                run(made[name], ledger, budget, draw)


if __name__ == "__main__":
    main()
