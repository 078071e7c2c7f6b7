"""Write the measured figures into README and docs: none of them is typed by hand.

A table stands between two markers, `<!-- speed:begin -->` and `<!-- speed:end -->`. A single figure stands
before a comment with its name, such as `96.8 [96.3, 97.4]<!--metric, 10 labels-->`: a mean with its 95 %
interval, or one number. A unit may stand between mean and interval: `2.1 points [1.2, 3.0]`.

python -m benchmarks.figures
"""

import re
from pathlib import Path

import numpy as np

from benchmarks import claims
from benchmarks.common import read_results
from benchmarks.tables import tables
from metriclearn.course.widgets import nearest, training_run
from metriclearn.metrics import t_interval

ROOT = Path(__file__).parent.parent
NUMBER = r"[−-]?[\d,]*\d(?:\.\d+)?"
FIGURE = re.compile(
    rf"(?P<mean>{NUMBER})(?:(?P<unit>(?: %| points)?\s)\[{NUMBER}, {NUMBER}\])?<!--(?P<name>[^>]+)-->"
)
TABLE = re.compile(r"(<!-- (?P<name>[\w-]+):begin -->\n).*?(\n<!-- (?P=name):end -->)", flags=re.DOTALL)
DIGITS = {
    "pixels": "raw pixels, 1-NN",
    "autoencoder": "autoencoder + 1-NN",
    "CNN": "supervised CNN",
    "metric": "metric embedding + 1-NN",
}
FIXMATCH = "supervised CNN + pseudo-labels (FixMatch-style)"


def measured() -> dict[str, list[float]]:
    """Return what is quoted as a mean with its interval: for each name, one value for each draw."""
    digits = read_results("label_efficiency")["methods"]
    rivals, recipes = read_results("rivals")["methods"], read_results("ablation")["recipes"]
    suspects, bought = read_results("label_errors")["methods"], read_results("active_learning")["strategies"]
    objections, tried = read_results("objections"), read_results("tried")["sets"]["digits, 10 labels"]
    photographs, folders = read_results("photographs")["sets"], read_results("folders")["sets"]
    omniglot = read_results("elsewhere")["data"]["Omniglot, 136 characters"]
    waste, cells = photographs["TrashNet"], photographs["ELPV"]
    smoothed, losses = objections["smoothing, wrong labels"], objections["losses"]
    both = "Lite0 and Lite2"

    def lead(one: dict[str, list[float]], other: dict[str, list[float]]) -> list[float]:
        """Return the difference in accuracy, draw by draw: both saw the same labels."""
        gap: list[float] = np.subtract(one["accuracy"], other["accuracy"]).tolist()
        return gap

    def answer(
        claim: dict[str, dict[str, dict[str, dict[str, list[float]]]]], lines: str, line: str
    ) -> list[float]:
        """Return what an objection's lines, or their differences, say of the first figure."""
        return next(iter(claim[lines][line].values()))["values"]

    found = {
        f"{short}, {n} label{'s' * (n > 1)}": digits[name][str(n)]["accuracy"]
        for short, name in DIGITS.items()
        for n in (1, 2, 10, 50)
    }
    found |= {
        f"metric, lead, {n} label{'s' * (n > 1)}": lead(
            digits[DIGITS["metric"]][str(n)], digits[DIGITS["CNN"]][str(n)]
        )
        for n in (1, 2, 10, 50)
    }
    found |= {
        "FixMatch, 10 labels": rivals[FIXMATCH]["10"]["accuracy"],
        "frozen autoencoder": rivals["frozen autoencoder + triplet head"]["10"]["accuracy"],
        "labelled images alone": recipes["metric loss on the labelled images"]["accuracy"],
        "augmented": recipes["+ augmentation"]["accuracy"],
        "unequal classes": read_results("robustness")["pools"]["unequal, 10 to 1"]["accuracy"],
        "suspects, neighbours": suspects["neighbours in the metric embedding"]["0.05"]["precision"],
        "suspects, cleanlab": suspects["cleanlab, supervised CNN"]["0.05"]["precision"],
        "200 by chance, full training": digits["metric embedding + pool index"]["20"]["accuracy"],
        "200 diverse labels": bought["diversity"]["pool index"]["200"]["accuracy"],
        "200 random labels": bought["random"]["pool index"]["200"]["accuracy"],
        "all labels, lead": lead(tried["all labels of the pool"], tried["the defaults"]),
        "spreading, 1 label": digits["PCA + label spreading"]["1"]["accuracy"],
        "Omniglot, lead": lead(omniglot["metric embedding + 1-NN"], omniglot["supervised CNN"]),
    }
    found |= {
        "one wrong of ten, SupCon": answer(smoothed, "lines", "SupCon, 1-NN"),
        "one wrong of ten, CNN": answer(smoothed, "lines", "CNN, smoothing 0.1"),
        "none wrong, CNN": answer(smoothed, "lines", "CNN, smoothing 0.1, all labels right"),
        "smoothing, lead": answer(smoothed, "minus CNN, no smoothing, draw by draw", "CNN, smoothing 0.1"),
    }
    found |= {
        f"{line}, lead": answer(losses, "minus supervised contrastive, draw by draw", line)
        for line in ("triplet, semi-hard", "ArcFace", "Proxy-NCA", "contrastive")
    }
    found |= {
        "waste, logistic, 1 label": waste["logistic regression"]["1"]["accuracy"],
        "waste, spreading, 1 label": waste["label spreading"]["1"]["accuracy"],
        "waste, logistic, 10 labels": waste["logistic regression"]["10"]["accuracy"],
        "waste, head + pool, 10 labels": waste["head + pool"]["10"]["accuracy"],
        "waste, head on both, 10 labels": waste[f"head, 1-NN, {both}"]["10"]["accuracy"],
        "waste, head, lead, 50 labels": lead(waste["head, 1-NN"]["50"], waste["logistic regression"]["50"]),
        "waste, both, lead, 10 labels": lead(
            waste[f"logistic regression, {both}"]["10"], waste["logistic regression"]["10"]
        ),
        "waste, squeezed, loss, 10 labels": lead(
            waste["logistic regression"]["10"], waste["logistic regression, squeezed"]["10"]
        ),
        "waste, spreading, lead, 1 label": lead(
            waste["label spreading"]["1"], waste["logistic regression"]["1"]
        ),
        "cells, pool, loss, 50 labels": lead(
            cells["head without the pool, 1-NN"]["50"], cells["head, 1-NN"]["50"]
        ),
    }
    found |= claims.figures()
    return found | {
        f"fit, lead, {name}, {n} labels": lead(
            folders[name]["metriclearn fit --method auto"][n], folders[name]["supervised CNN"][n]
        )
        for name in ("digits", "Omniglot")
        for n in ("5", "10")
    }


def numbers() -> dict[str, str]:
    """Return what is quoted as one number."""
    scale = read_results("scale")
    graph, int8 = scale["digits"]["graph"]["1000000"], scale["digits"]["int8"]["1000000"]
    random = scale["random"]["int8"]["100000"]
    resident = {
        name: sum(one["memory"]["resident MB"].values()) for name, one in (("float32", graph), ("int8", int8))
    }
    sizes, seconds = int8["memory"]["bytes"], graph["build seconds"]
    digits = read_results("label_efficiency")["methods"]
    one_label = {name: np.mean(digits[DIGITS[name]]["1"]["accuracy"]) for name in ("CNN", "metric")}
    default = read_results("ablation")["recipes"]["all but reconstruction (the default)"]
    return (
        claims.counts()
        | on_folders()
        | on_the_map()
        | {
            "CNN, 1 label, rounded": f"{one_label['CNN']:.0f}",
            "metric, 1 label, rounded": f"{one_label['metric']:.0f}",
            "best rival, 1 label, draws": f"{len(claims.best_rivals()['1'][2])}",
            "best rival, 2 labels, draws": f"{len(claims.best_rivals()['2'][2])}",
            "seconds of a fit": f"{np.mean(default['cpu_seconds']):.0f}",
            "ef=32, recall": f"{graph['ef=32']['recall']:.3f}",
            "ef=32, times faster": f"{graph['ef=32']['times faster than exact']:.0f}",
            "MB, float32": str(resident["float32"]),
            "MB, int8": str(resident["int8"]),
            "int8, bytes": f"{sizes['int8'] / sizes['vectors']:.2f}",
            "int8, recall": f"{int8['not rescored']['recall']:.2f}",
            "int8, recall rescored": f"{int8['rescored']['64']['recall']:.2f}",
            "int8, vote": f"{int8['not rescored']['vote, %']:.1f}",
            "random, int8, recall": f"{random['not rescored']['recall']:.2f}",
            "random, int8, recall rescored": f"{random['rescored']['32']['recall']:.3f}",
            "build, seconds": f"{seconds:.0f}",
            "build, hours for 10⁸": f"{seconds / 36:.1f}",
            "build, hours for 10⁹": f"{seconds / 3.6:.0f}",
        }
    )


def on_folders() -> dict[str, str]:
    """Return what `fit` estimated and reached with ten labels per class, and how much was called unknown."""
    sets = read_results("folders")["sets"]
    runs = {name: of["metriclearn fit --method auto"]["10"] for name, of in sets.items()}
    called = [share for run in runs.values() for share in run["unknown"]]
    strange = read_results("unknown")["sets"]["TrashNet, frozen"]["nearest"]["strangers called unknown"]
    found = {
        "fit, unknown, lowest": f"{min(called):.1f}",
        "fit, unknown, highest": f"{max(called):.1f}",
        "unknown, waste": f"{np.mean(strange):.0f}",
    }
    for name, run in runs.items():
        found[f"fit, reached, {name}"] = f"{np.mean(run['accuracy']):.1f}"
        found[f"fit, estimate, {name}, lowest"] = f"{min(run['estimate']):.0f}"
        found[f"fit, estimate, {name}, highest"] = f"{max(run['estimate']):.0f}"
    return found


def on_the_map() -> dict[str, str]:
    """Return how many of the nearest images on the map of training are the same digit, in percent."""
    pixels, labels, embeddings, *_ = training_run()
    spaces = {"by pixels": pixels.reshape(len(pixels), -1), "before": embeddings[0], "after": embeddings[-1]}
    truth = np.asarray(labels)
    return {
        f"map, {name}": f"{100 * np.mean(truth[nearest(vectors)] == truth[:, None]):.0f}"
        for name, vectors in spaces.items()
    }


def rewritten(
    text: str, tables: dict[str, str], figures: dict[str, list[float]], numbers: dict[str, str]
) -> str:
    """Return a document with each table and each figure as measured; an unknown name is a KeyError."""

    def figure(match: re.Match[str]) -> str:
        name, unit = match["name"], match["unit"]
        if unit is None:
            return f"{numbers[name]}<!--{name}-->"
        mean, interval = str(t_interval(figures[name])).replace("-", "−").split(" ", 1)
        return f"{mean}{unit}{interval}<!--{name}-->"

    text = TABLE.sub(lambda match: f"{match[1]}{tables[match['name']]}{match[3]}", text)
    return FIGURE.sub(figure, text)


def documents() -> list[Path]:
    """Return the files that quote figures."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> None:
    """Write the figures of all documents."""
    known = tables(), measured(), numbers()
    for path in documents():
        path.write_text(rewritten(path.read_text(encoding="utf-8"), *known), encoding="utf-8")


if __name__ == "__main__":
    main()
