"""Write the results tables of the README from the committed JSON.

python benchmarks/tables.py
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from metriclearn.evaluate import mean_interval

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BUDGETS = ("1", "10", "50")
METHOD, RIVAL = "metric embedding + kNN", "supervised CNN"
RIVALS_METHOD = "metric embedding + 1-NN"  # the metric rivals are judged by 1-NN: so is ours beside them


def readme_table(results: dict[str, Any]) -> str:
    """Return the table in Markdown: one row per method, a mean with its 95 % interval per budget.

    The last row is the difference to the strongest rival, paired by draw.
    """
    lines = [
        "| method | " + " | ".join(f"{n} per class" for n in BUDGETS) + " |",
        "|---|" + "---|" * len(BUDGETS),
    ]
    for name, budgets in results["methods"].items():
        cells = [str(mean_interval(budgets[n]["accuracy"])) for n in BUDGETS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    cells = []
    for n in BUDGETS:
        ours, rival = (np.array(results["methods"][name][n]["accuracy"]) for name in (METHOD, RIVAL))
        cells.append(str(mean_interval(ours - rival)))  # both saw the same labels: compare draw by draw
    lines.append(f"| *{METHOD}, minus {RIVAL}* | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rivals_table(results: dict[str, Any], rivals: dict[str, Any]) -> str:
    """Return the table of the rivals with training loops of their own, best first.

    The last column is the lead of the metric embedding with 10 labels per class, paired by draw.
    """
    ours = np.array(results["methods"][RIVALS_METHOD]["10"]["accuracy"])
    compared = {name: results["methods"][name] for name in (RIVALS_METHOD, RIVAL)} | rivals["methods"]
    ceilings = {name: compared.pop(name) for name in list(compared) if "all" in compared[name]}
    budgets = [n for n in BUDGETS if all(n in entry for entry in compared.values())]
    lines = [
        "| method | " + " | ".join(f"{n} per class" for n in budgets) + " | ours minus it, 10 per class |",
        "|---|" + "---|" * (len(budgets) + 1),
    ]
    for name, entry in sorted(compared.items(), key=lambda item: -np.mean(item[1]["10"]["accuracy"])):
        cells = [str(mean_interval(entry[n]["accuracy"])) for n in budgets]
        lead = "" if name == RIVALS_METHOD else str(mean_interval(ours - np.array(entry["10"]["accuracy"])))
        lines.append(f"| {name} | " + " | ".join([*cells, lead]) + " |")
    for name, entry in ceilings.items():
        lead = str(mean_interval(ours - np.array(entry["all"]["accuracy"])))
        reached = f"{mean_interval(entry['all']['accuracy'])} (all labels)"
        lines.append(f"| *{name}* | " + " | ".join([reached, *[""] * (len(budgets) - 1), lead]) + " |")
    return "\n".join(lines)


def robustness_table(pools: dict[str, Any]) -> str:
    """Return the table of pools with unequal classes and with classes that nobody labelled."""
    lines = ["| pool | accuracy |", "|---|---|"]
    for name, entry in pools["pools"].items():
        lines.append(f"| {name} | {mean_interval(entry['accuracy'])} |")
    return "\n".join(lines)


def between(text: str, name: str, table: str) -> str:
    """Replace what stands between the two markers of this name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{table}\n{end}{after}"


def tables() -> dict[str, str]:
    """Return all tables by the name of their markers."""
    results, rivals, pools = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("label_efficiency", "rivals", "robustness")
    )
    return {
        "results": readme_table(results),
        "rivals": rivals_table(results, rivals),
        "robustness": robustness_table(pools),
    }


def main() -> None:
    """Write the tables between their markers."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, table in tables().items():
        text = between(text, name, table)
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
