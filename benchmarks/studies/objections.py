"""Objections to what the notebooks say, each answered by a measurement over five draws or more.

Every claim has a setting, some lines, and figures for each line. The file of results holds, for each figure
of each line, the value of every draw, their mean and its 95 % interval; and the difference from one line
that stands for the notebook, draw by draw, since all lines saw the same labels.

    python -m benchmarks.studies.objections            # all: an hour on one core
    python -m benchmarks.studies.objections copies negatives    # only these
    python -m benchmarks.studies.objections --fresh copies      # anew
"""

from functools import partial
from typing import Any

import numpy as np

from benchmarks.common import DRAWS, RESULTS, command_line, read_results, timed, write_results
from benchmarks.studies.objections_stores import CLAIMS as OF_STORES
from benchmarks.studies.objections_training import CLAIMS as OF_TRAINING
from benchmarks.studies.objections_training import Claim
from metriclearn.metrics import t_interval

CLAIMS = OF_TRAINING | OF_STORES


def summary(values: list[float]) -> dict[str, Any]:
    """Return the values of the draws with their mean and its interval."""
    found = t_interval(values)
    interval = [round(found.low, 3), round(found.high, 3)]
    return {"mean": round(found.mean, 3), "interval 95 %": interval, "n": found.n, "values": values}


def answer(about: Claim, tables: dict[str, Any]) -> dict[str, Any]:
    """Return what is written about a claim, from the tables of its draws."""
    draws = sorted(tables, key=int)
    lines: dict[str, Any] = {}
    minus: dict[str, Any] = {}
    for line, figures in tables[draws[0]].items():
        for figure in figures:
            values = [tables[draw][line][figure] for draw in draws]
            lines.setdefault(line, {})[figure] = summary(values)
            usual = tables[draws[0]].get(about.usual, {})
            if line != about.usual and figure in usual:
                others = [tables[draw][about.usual][figure] for draw in draws]
                gap = np.round(np.subtract(values, others), 4).tolist()
                minus.setdefault(line, {})[figure] = summary(gap)
    found = {"setting": about.setting, "draws": [int(draw) for draw in draws], "lines": lines}
    return found | ({f"minus {about.usual}, draw by draw": minus} if minus else {})


def tables_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the table of each draw, from what is written about a claim."""
    return {
        str(draw): {
            line: {figure: found["values"][at] for figure, found in figures.items()}
            for line, figures in entry["lines"].items()
        }
        for at, draw in enumerate(entry["draws"])
    }


def show(claim: str, entry: dict[str, Any]) -> None:
    """Print the answer to a claim."""
    print(f"\n{claim}: {entry['setting']}; {len(entry['draws'])} draws")
    for title, lines in entry.items():
        if title in ("setting", "draws"):
            continue
        print(f"  {title}")
        for line, figures in lines.items():
            cells = []
            for figure, found in figures.items():
                low, high = found["interval 95 %"]
                cells.append(f"{figure} {found['mean']:.2f} [{low:.2f}, {high:.2f}]")
            print(f"    {line:48} " + "   ".join(cells), flush=True)


def run(file: str, claims: dict[str, Claim], about: str | None) -> None:
    """Measure what is not done yet, and write after each draw once there are two.

    The first five draws of every claim come first, then the others.

    Args:
        file: of results, without its suffix.
        claims: by name.
        about: the docstring of the program.
    """
    parser = command_line(about)
    parser.add_argument("claims", nargs="*", metavar="claim", help=f"of {', '.join(claims)}")
    chosen = parser.parse_args()
    if unknown := set(chosen.claims) - set(claims):
        parser.error(f"there is no claim {', '.join(sorted(unknown))}: choose of {', '.join(claims)}")
    names = chosen.claims or list(claims)
    results = read_results(file) if (RESULTS / f"{file}.json").exists() else {}
    tables = {
        name: tables_of(results[name]) if name in results and not chosen.fresh else {} for name in names
    }
    order = [(name, draw) for name in names for draw in claims[name].draws]
    for name, draw in sorted(order, key=lambda one: one[1] not in DRAWS):
        if str(draw) in tables[name]:
            continue
        table, seconds = timed(partial(claims[name].measure, draw))
        tables[name][str(draw)] = {
            line: {figure: round(float(value), 4) for figure, value in figures.items()}
            for line, figures in table.items()
        }
        print(f"{name}: draw {draw}, {seconds:.0f} CPU s", flush=True)
        if len(tables[name]) > 1:
            results[name] = answer(claims[name], tables[name])
            write_results(file, dict(sorted(results.items())))
    for name in names:
        results[name] = answer(claims[name], tables[name])  # the setting in words may have changed
        show(name, results[name])
    write_results(file, dict(sorted(results.items())))


def main() -> None:
    """Measure what is not done yet."""
    run("objections", CLAIMS, __doc__)


if __name__ == "__main__":
    main()
