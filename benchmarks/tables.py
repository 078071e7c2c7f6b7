"""Write the results tables of the README from the committed JSON.

python -m benchmarks.tables
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from metriclearn.evaluate import mean_interval, share_interval

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


def elsewhere_table(other: dict[str, Any]) -> str:
    """Return the table of the same defaults on other images: one column per set of images."""
    names = list(other["data"])
    lines = ["| method | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for method in other["data"][names[0]]:
        intervals = [mean_interval(other["data"][name][method]["accuracy"]) for name in names]
        cells = [str(replace(interval, high=min(interval.high, 100))) for interval in intervals]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def photographs_table(photographs: dict[str, Any]) -> str:
    """Return the table of photographs: accuracy per set, way and budget, then AUROC, then paired leads."""
    rival, more = "logistic regression", ", Lite0 and Lite2"
    pairs = [("head, 1-NN", rival), ("head + pool", rival), ("head, 1-NN", "head without the pool, 1-NN")]
    pairs += [(rival + more, rival), (f"head, 1-NN{more}", rival + more)]
    lines = []
    for data, ways in photographs["sets"].items():
        budgets = list(map(str, photographs["budgets"]))
        kinds = [("accuracy", "%")] + [("auroc", "AUROC")] * ("auroc" in ways[rival][budgets[0]])
        lines += [
            f"| {data} | " + " | ".join(f"{n} per class" for n in budgets) + " | CPU s |",
            "|---|" + "---|" * (len(budgets) + 1),
        ]
        for kind, unit in kinds:
            for name, entry in ways.items():
                cells = [str(mean_interval(entry[n][kind])) if n in entry else "" for n in budgets]
                seconds = np.mean([second for each in entry.values() for second in each["cpu_seconds"]])
                label = name if kind == "accuracy" else f"{name}, {unit}"
                lines.append(f"| {label} | " + " | ".join(cells) + f" | {seconds:.1f} |")
        for name, other in pairs:
            ours, theirs = ways.get(name, {}), ways.get(other, {})
            cells = [
                str(mean_interval(np.subtract(ours[n]["accuracy"], theirs[n]["accuracy"])))
                if n in ours
                else ""
                for n in budgets
            ]
            lines.append(f"| *{name}, minus {other}* | " + " | ".join(cells) + " |  |")
        lines.append("")
    return "\n".join(lines).strip()


def folders_table(folders: dict[str, Any]) -> str:
    """Return the table of whole folders from the command line.

    Of one draw the interval is that of the share of the judging pictures; of several, that of their mean.
    """
    measured = {n for found in folders["sets"].values() for runs in found.values() for n in runs}
    budgets = [n for n in map(str, folders["budgets"]) if n in measured]
    lines = [
        "| folder | way | " + " | ".join(f"{n} per class" for n in budgets) + " | CPU s | GiB |",
        "|---|---|" + "---|" * (len(budgets) + 2),
    ]
    for data, found in folders["sets"].items():
        judges = found["pictures"]["judged by"]
        for way, runs in found.items():
            if way in ("pictures", "chosen"):
                continue
            cells = []
            for n in budgets:
                shares = runs[n]["accuracy"] if n in runs else []
                one = share_interval(round(shares[0] * judges / 100), judges) if len(shares) == 1 else None
                cells.append(str(one or mean_interval(shares)) if shares else "")
            spent = [second for each in runs.values() for second in each["cpu_seconds"]]
            peaks = [peak for each in runs.values() for peak in each.get("gib", [])]
            cost = f"{np.mean(spent):.0f}" if spent else ""
            lines.append(f"| {data} | {way} | {' | '.join(cells)} | {cost} | {max(peaks, default='')} |")
    return "\n".join(lines)


def folders_speed_table(speed: dict[str, Any]) -> str:
    """Return what each command took on a folder of photographs, as `folders.py timings` has noted it."""
    heads = ["command", "pictures", "seconds", "CPU s", "GiB", "pictures a second"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, took in speed.items():
        if name == "threads" or took["pictures"] == 1:
            continue
        rate = took.get("pictures a second, once it has started", "")
        lines.append(
            f"| {name} | {took['pictures']:,} | {took['seconds']:.0f} | {took['cpu_seconds']:.0f} "
            f"| {took['peak memory in GiB']:.1f} | {rate} |"
        )
    return "\n".join(lines)


def paired(changed: dict[str, Any] | None, usual: dict[str, Any]) -> str:
    """Return what a change adds on the draws that both saw, with its interval; nothing if it was not run."""
    if changed is None:
        return ""
    both = sorted(set(changed["draws"]) & set(usual["draws"]))
    reached, before = (
        np.array([of["accuracy"][of["draws"].index(draw)] for draw in both]) for of in (changed, usual)
    )
    return str(mean_interval(reached - before))


def tried_table(tried: dict[str, Any]) -> str:
    """Return the table of changes to the defaults: what each adds to the 1-NN accuracy, draw by draw."""
    sets = tried["sets"]
    usual, *changes = dict.fromkeys(name for entries in sets.values() for name in entries)
    lines = [
        f"| change | {' | '.join(sets)} |",
        "|---|" + "---|" * len(sets),
        f"| {usual} | "
        + " | ".join(f"{np.mean(entries[usual]['accuracy']):.1f}" for entries in sets.values())
        + " |",
    ]
    for name in changes:
        cells = [paired(entries.get(name), entries[usual]) for entries in sets.values()]
        lines.append(f"| *{name}* | {' | '.join(cells)} |")
    return "\n".join(lines)


def pick_table(pick: dict[str, Any], usual: dict[str, Any]) -> str:
    """Return what the best change reaches on the reported draws, beside the defaults, per set.

    Args:
        pick: of `tried.py --pick`.
        usual: what the defaults reached, by the name of the set.
    """
    lines = [
        "| set | the defaults | with both | difference | with both, pool index |",
        "|---|---|---|---|---|",
    ]
    for data, entries in pick["sets"].items():
        entry = entries[pick["change"]]
        cells = [str(mean_interval(values)) for values in (usual[data]["accuracy"], entry["accuracy"])]
        cells += [paired(entry, usual[data]), str(mean_interval(entry["pool"]))]
        lines.append(f"| {data} | {' | '.join(cells)} |")
    return "\n".join(lines)


def speed_table(speed: dict[str, Any]) -> str:
    """Return how soon each method reaches an accuracy, what a fit takes, and a step beside a bare one."""
    reached = speed["race"]["seconds to reach"]
    targets = list(next(iter(reached.values())))
    lines = [
        "",
        "| seconds of training until the mean accuracy is | " + " | ".join(f"{t} %" for t in targets) + " |",
        "|---|" + "---|" * len(targets),
    ]
    for name, times in reached.items():
        cells = ["not in 600 steps" if times[t] is None else f"{times[t]:.1f}" for t in targets]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| images in the pool | seconds of `fit` | peak memory, GiB |", "|---|---|---|"]
    for size, entry in speed["pool"].items():
        if size.isdigit():
            seconds, memory = entry["fit seconds"], entry["peak memory in GiB"]
            lines.append(f"| {int(size):,} | {seconds:.0f} | {memory:.1f} |")
    overhead = speed["step"]["overhead over the bare step in %"]
    lines += [
        "",
        f"Beside a bare PyTorch step, ours takes {overhead['not augmented']:.0f} % longer, with augmentation "
        f"{overhead['augmented']:.0f} %.",
    ]
    return "\n".join(lines)


def between(text: str, name: str, table: str) -> str:
    """Replace what stands between the two markers of this name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{table}\n{end}{after}"


def tables() -> dict[str, str]:
    """Return all tables by the name of their markers."""
    results, rivals, pools, other, tried, pick, speed, photographs, folders, folders_speed = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in (
            "label_efficiency",
            "rivals",
            "robustness",
            "elsewhere",
            "tried",
            "tried_pick",
            "speed",
            "photographs",
            "folders",
            "folders_speed",
        )
    )
    return {
        "results": readme_table(results),
        "rivals": rivals_table(results, rivals),
        "robustness": robustness_table(pools),
        "elsewhere": elsewhere_table(other),
        "photographs": photographs_table(photographs),
        "folders": folders_table(folders),
        "folders-speed": folders_speed_table(folders_speed),
        "tried": tried_table(tried),
        "pick": pick_table(
            pick,
            {
                "digits, 10 labels": results["methods"][RIVALS_METHOD]["10"],
                "digits, 1 label": results["methods"][RIVALS_METHOD]["1"],
                "Omniglot, 136 characters, 5 labels": other["data"]["Omniglot, 136 characters"][
                    RIVALS_METHOD
                ],
                "ELPV, 20 labels": photographs["sets"]["ELPV"]["head, 1-NN"]["20"],
            },
        ),
        "speed": speed_table(speed),
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
