"""Write the results table of the README from the committed JSON.

python benchmarks/tables.py
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from metriclearn.evaluate import mean_interval

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "label_efficiency.json"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
BUDGETS = ("1", "10", "50")
METHOD, RIVAL = "metric embedding + kNN", "supervised CNN"


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


def main() -> None:
    """Replace what stands between the two markers of the README."""
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = readme_table(json.loads(RESULTS.read_text(encoding="utf-8")))
    readme.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
