"""Load tests: a reader that asks while something else happens, and many clients who ask at once."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np
import numpy.typing as npt

from metriclearn import EmbeddingIndex
from metriclearn.checks.arguments import check_count
from metriclearn.checks.arrays import FloatArray
from metriclearn.index.reindex import current

SAME = 0.999  # the cosine of an embedding with itself, less what float32 rounds


class Reader:
    """A thread that asks without a pause for as long as a block runs.

    Each time it looks up which version the index's name means, and asks for one of the stored images by the
    embedding that this version's encoder gives. The nearest point is then the image itself, with a cosine of
    1: anything else comes from another encoder's vectors. Write
    `with Reader(index, embeddings) as reader:`, and look at its counts afterwards.

    Args:
        index: a versioned index.
        embeddings: for each encoder's id the embeddings of images that are stored, float of shape `(n, N)`.

    Attributes:
        questions: how many were asked.
        errors: how many of them raised an error.
        wrong: how many answers came from another encoder's vectors.
        met: the ids of the encoders that the name meant in the meantime.
    """

    def __init__(self, index: EmbeddingIndex, embeddings: Mapping[str, FloatArray]) -> None:
        self.questions = self.errors = self.wrong = 0
        self.met: set[str] = set()
        self._index, self._embeddings = index, embeddings
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is None:
            self.wait(100)  # to see what is there afterwards, too
        self._done.set()
        self._thread.join()

    def wait(self, questions: int) -> None:
        """Return after so many further questions."""
        goal = self.questions + check_count(questions, "questions")
        while self.questions < goal:
            time.sleep(0.005)

    def _read(self) -> None:
        while not self._done.is_set():
            try:
                live = current(self._index)
                mine = self._embeddings[live.encoder_id]
                row = self.questions % len(mine)
                found = live.query(mine[row : row + 1], k=1)
                self.wrong += bool(found.scores[0, 0] < SAME)
                self.met.add(live.encoder_id)
            except Exception:  # whatever it is: a reader must not meet any
                self.errors += 1
            self.questions += 1


def latencies(answer: Callable[[int], object], clients: int, questions: int) -> npt.NDArray[np.float64]:
    """Return the latency of each question in ms when clients ask at once, float64, `(clients * questions,)`.

    The clients are threads of one interpreter, which hands over every `sys.getswitchinterval()`, 5 ms: with
    quick answers a part of the wait is for the interpreter, and processes would give another picture.

    Args:
        answer: called with the number of a question, from 0 on; each client asks others than its neighbours.
        clients: how many threads ask.
        questions: how many each of them asks, one after the other.
    """
    clients, questions = check_count(clients, "clients"), check_count(questions, "questions")

    def client(number: int) -> list[float]:
        taken = []
        for question in range(number * questions, (number + 1) * questions):
            started = time.perf_counter()
            answer(question)
            taken.append(1000 * (time.perf_counter() - started))
        return taken

    with ThreadPoolExecutor(clients) as threads:
        return np.concatenate(list(threads.map(client, range(clients))))
