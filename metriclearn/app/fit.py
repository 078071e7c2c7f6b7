"""Moved to `metriclearn.model_selection`; what follows serves callers that still use the old names."""  # shim

import sys
from types import SimpleNamespace
from typing import Any

import metriclearn.trust  # noqa: F401  shim: held_out.votes and held_out.right
from metriclearn.files import cache_folder
from metriclearn.metrics import Interval
from metriclearn.model_selection import AUTO, QUANTILE, Candidates  # noqa: F401  shim
from metriclearn.model_selection import small_side as side_for  # noqa: F401  shim
from metriclearn.photos import Photographs

SCRATCH_STEPS = 600  # shim
Fitted = Any


class Steps:  # noqa: D101  shim
    def __init__(  # noqa: D107
        self, photographs: Photographs, *, method: str, backbone: str, seed: int, device: str
    ) -> None:
        self.candidates = Candidates(
            photographs,
            photographs.labels,
            backbone=backbone,
            random_state=seed,
            device=device,
            cache=cache_folder() / "fits",
            progress=lambda text: sys.stderr.isatty() and print(text, file=sys.stderr, flush=True),
        )
        self.key = f"{self.candidates.key}-{method}"
        self.forget = self.candidates.clear_cache


def fit(  # noqa: D103  shim
    photographs: Photographs, method: str, backbone: str, seed: int, device: str, steps: Steps
) -> Fitted:
    fitted = steps.candidates.fit(AUTO if method == "auto" else [{"tune": "last"}.get(method, method)])
    return SimpleNamespace(
        way=fitted.method,
        backbone=fitted.backbone,
        embedding=fitted.embedding,
        vectors=fitted.embeddings,
        held_out=fitted.held_out,
        table=[
            {"way": score.method, "accuracy": rounded(score.accuracy), "folds": score.folds}
            for score in fitted.scores
            if score.accuracy
        ],
        verdict=fitted.verdict,
        caught=fitted.unseen,
    )


def rounded(interval: Interval) -> dict[str, Any]:  # noqa: D103  shim
    return {
        "percent": round(interval.mean, 1),
        "low": round(interval.low, 1),
        "high": round(interval.high, 1),
        "pictures": interval.n,
    }
