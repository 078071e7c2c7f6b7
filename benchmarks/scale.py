"""What a million embeddings cost in Qdrant's engine: time to build, memory, latency and recall.

The vectors are embeddings of augmented digits by the published encoder: of each of the 4,000 images of the
pool as many random copies as are wanted. They are questioned with test images, which were never augmented.
So they lie in dense heaps, as the embeddings of a real archive do, and the next neighbours are much closer
to one another than random vectors are. Random vectors of the same size are measured beside them.

    python -m benchmarks.scale              # on a machine that does nothing else; some twenty minutes
    python -m benchmarks.scale --largest 100000
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.common import unit, write_results
from benchmarks.digits import POOL, TEST
from metriclearn import MetricEmbedding
from metriclearn.checks.arrays import FloatArray
from metriclearn.course.engine import Answers, EdgeEngine, Settings, recall, widened
from metriclearn.course.serving import save_onnx

SIZES = [10_000, 100_000, 1_000_000]
QUESTIONS, K = 500, 10
EFS = [10, 16, 32, 64, 128]
RESCORED = [1, 2, 4, 8, 16, 32, 64]
# A fresh process that opens a shard, asks, and says how much memory that took.
RESIDENT = """
import sys
import numpy as np
import qdrant_edge as edge

def megabytes():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {part: int(lines[part].split()[0]) / 1024 for part in ("RssAnon", "RssFile")}

before, shard = megabytes(), edge.EdgeShard.load(sys.argv[1])
params = edge.SearchParams(hnsw_ef=64, quantization=edge.QuantizationSearchParams(rescore=False))
for vector in np.load(sys.argv[2]).tolist():
    shard.query(edge.QueryRequest(10, query=edge.Query.Nearest(vector), params=params))
print(*(megabytes()[part] - before[part] for part in before))
"""


def embedded_per_second() -> dict[str, int]:
    """Return how many images a second of one core embeds, in batches of 1,000: PyTorch and onnxruntime."""
    images, encoder = POOL.pixels[:1000], MetricEmbedding.load()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        session = onnx_session(encoder, Path(folder) / "encoder.onnx")
        pieces = {
            "PyTorch": lambda: encoder.transform(images),
            "onnxruntime": lambda: session.run(None, {"pixels": images}),
        }
        taken: dict[str, list[float]] = {name: [] for name in pieces}
        for _ in range(10):
            for name, piece in pieces.items():
                started = time.process_time()
                piece()
                taken[name].append(time.process_time() - started)
    return {name: round(len(images) / float(np.median(seconds))) for name, seconds in taken.items()}


def onnx_session(encoder: MetricEmbedding, path: Path) -> onnxruntime.InferenceSession:
    """Write an encoder as ONNX and open it with one thread."""
    save_onnx(encoder, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def scattered(n: int) -> FloatArray:
    """Return n random directions."""
    return unit(np.random.default_rng(0).normal(size=(n, 32)).astype(np.float32))


def milliseconds(answers: Answers) -> dict[str, float]:
    """Return mean and percentiles of what a caller waited."""
    taken = 1000 * answers.seconds
    shares = np.percentile(taken, [50, 95, 99])
    return dict(
        zip(("mean", "p50", "p95", "p99"), (round(float(x), 4) for x in (taken.mean(), *shares)), strict=True)
    )


class Measured:
    """One collection, its questions and the truth about them."""

    def __init__(
        self, vectors: FloatArray, labels: Any, questions: FloatArray, truth: Any, int8: bool
    ) -> None:
        self.engine = EdgeEngine(vectors, labels, Settings(int8=int8, originals="disk" if int8 else "memory"))
        self.labels, self.questions, self.wanted = labels, questions, truth
        self.exact = self.engine.ask(questions, K, exact=True)

    def row(self, **how: Any) -> dict[str, Any]:
        """Return what one way to ask gives, the latency as the better of two rounds."""
        rounds = [self.engine.ask(self.questions, K, **how) for _ in range(2)]
        found = min(rounds, key=lambda answers: float(np.median(answers.seconds)))
        votes = np.array([np.bincount(row).argmax() for row in self.labels[found.ids]])
        return {
            "recall": round(recall(found.ids, self.exact.ids), 4),
            "vote, %": round(100 * float((votes == self.wanted).mean()), 2),
            "ms": milliseconds(found),
            "times faster than exact": round(
                float(np.median(self.exact.seconds) / np.median(found.seconds)), 1
            ),
        }

    def memory(self) -> dict[str, Any]:
        """Return the bytes of its files, and the resident megabytes of a process that opens and asks it."""
        sizes = self.engine.sizes()
        asked = self.engine.folder.with_suffix(".npy")
        np.save(asked, self.questions)
        self.engine.release()
        command = [sys.executable, "-c", RESIDENT, str(self.engine.folder), str(asked)]
        said = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
        asked.unlink()
        self.engine.close()
        return {
            "bytes": sizes,
            "resident MB": dict(zip(("own", "of files"), (round(float(x)) for x in said), strict=True)),
        }


def graph(vectors: FloatArray, labels: Any, questions: FloatArray, truth: Any) -> dict[str, Any]:
    """Measure the graph over the vectors as they are."""
    measured = Measured(vectors, labels, questions, truth, int8=False)
    votes = np.array([np.bincount(row).argmax() for row in labels[measured.exact.ids]])
    return {
        "build seconds": round(measured.engine.build_seconds, 1),
        "exact": {
            "ms": milliseconds(measured.exact),
            "vote, %": round(100 * float((votes == truth).mean()), 2),
        },
        **{f"ef={ef}": measured.row(ef=ef) for ef in EFS},
        "memory": measured.memory(),
    }


def int8(vectors: FloatArray, labels: Any, questions: FloatArray, truth: Any) -> dict[str, Any]:
    """Measure int8 beside the vectors: the order by int8 alone, then rescored."""
    measured = Measured(vectors, labels, questions, truth, int8=True)
    return {
        "build seconds": round(measured.engine.build_seconds, 1),
        "not rescored": measured.row(ef=64),
        "rescored": {str(r): measured.row(ef=64, rescore=r) for r in RESCORED},
        "memory": measured.memory(),
    }


def main() -> None:
    """Measure and write what was measured after each step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="leave out sizes above this")
    largest = parser.parse_args().largest
    encoder = MetricEmbedding.load()
    questions, truth = encoder.transform(TEST.pixels[:QUESTIONS]), TEST.labels[:QUESTIONS]
    per_second = embedded_per_second()
    vectors, labels = widened(encoder, POOL, largest)
    results: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
        "questions": QUESTIONS,
        "k": K,
        "dim": vectors.shape[1],
        "images embedded per second of one core": per_second,
        "digits": {},
        "random": {},
    }
    part = min(SIZES[1], largest)
    steps = [("digits", "graph", n) for n in SIZES if n <= part]
    steps += [("digits", "int8", part), ("random", "graph", part), ("random", "int8", part)]
    steps += [("digits", kind, n) for n in SIZES if part < n <= largest for kind in ("graph", "int8")]
    for data, kind, n in steps:
        print(data, kind, n, flush=True)
        rows = vectors[:n] if data == "digits" else scattered(n)
        asked = questions if data == "digits" else scattered(n + QUESTIONS)[n:]
        measure = graph if kind == "graph" else int8
        results[data].setdefault(kind, {})[str(n)] = measure(rows, labels[:n], asked, truth)
        write_results("scale", results)


if __name__ == "__main__":
    main()
