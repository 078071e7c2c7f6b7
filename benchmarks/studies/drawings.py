"""Digits and handwritten characters on a backbone for photographs: what its features are worth there.

The pictures are those of `folders.py`, with the same draws of labels, so that what a small network from
scratch reaches on them is on file there. Only those that are labelled or judged by are looked at.

    python -m benchmarks.studies.drawings --omniglot images_background_small1.zip
"""

import time
from io import BytesIO

import numpy as np
from PIL import Image

from benchmarks.common import Ledger, command_line
from benchmarks.folders import DRAWS, digits, omniglot, parts
from benchmarks.photographs import Photographs, Trial, frozen, linear
from metriclearn import scarce_labels

BUDGET, SIDE = 10, 112
PROTOCOL = {
    "sets": "digits and Omniglot of folders.json; the same test pictures in each draw",
    "draws": "the labelled pictures of draw s come from seed s",
    "methods": "as in photographs.json, on the features of EfficientNet-Lite0; the mean is that of the "
    "labelled pictures",
}


def main() -> None:
    """Run what is not done yet."""
    given = command_line(__doc__, "omniglot").parse_args()
    head = {"protocol": PROTOCOL, "labels per class": BUDGET, "draws": DRAWS}
    ledger = Ledger("drawings", "sets", given.fresh, head)
    sets = {"digits": digits()} | ({"Omniglot": omniglot(given.omniglot)} if given.omniglot else {})
    for name, files in sets.items():
        classes = np.unique(files.labels, return_inverse=True)[1].astype(np.int64)
        pool, test = parts(name, np.array(files.labels))
        known = [pool[scarce_labels(classes[pool], BUDGET, draw) >= 0] for draw in DRAWS]
        rows = np.unique(np.concatenate([test, *known]))
        squares = [
            np.asarray(Image.open(BytesIO(files.content[row])).convert("L").resize((SIDE, SIDE)))
            for row in rows
        ]
        data = Photographs(name, np.stack(squares)[:, None], classes[rows], aspect=1)
        for draw, labelled in zip(DRAWS, known, strict=True):
            learn, judged = np.searchsorted(rows, labelled), np.searchsorted(rows, test)
            measure(ledger, Trial(data, learn, data.classes[learn], judged, draw))


def measure(ledger: Ledger, of: Trial) -> None:
    """Write what the features are worth on one draw."""
    of.data.features  # noqa: B018 (computed before anything is timed)
    for method in (frozen, linear):
        start = time.process_time()
        found = method(of)
        seconds = time.process_time() - start
        for name, said in found.items():
            if not ledger.has([of.data.name, name, str(BUDGET)], of.draw):
                accuracy = 100 * float((said.labels == of.data.classes[of.test]).mean())
                ledger.add([of.data.name, name, str(BUDGET)], of.draw, accuracy, seconds)


if __name__ == "__main__":
    main()
