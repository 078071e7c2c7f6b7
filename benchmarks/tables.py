"""The tables of README and docs, made from the results on file; `figures.py` writes them there."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import claims
from benchmarks.common import read_results
from metriclearn.metrics import t_interval, wilson_interval

BUDGETS = ("1", "10", "50")
METHOD, RIVAL = "metric embedding + 1-NN", "supervised CNN"
# The README's few rows: the name on file, and what a visitor calls it.
PLAIN = {
    "raw pixels, 1-NN": "raw pixels",
    "autoencoder + 1-NN": "autoencoder",
    RIVAL: "supervised CNN",
    METHOD: "metric embedding (this course)",
}
# An archive: images; numbers and links per point; copies; a machine's bytes, and the share that is used.
IMAGES = {"10⁶": 10**6, "10⁸": 10**8, "10⁹": 10**9}
NUMBERS, LINKS, COPIES, MACHINE, USED = 32, 16, 2, 64e9, 0.7


def readme_table(results: dict[str, Any]) -> str:
    """Return the README's table: four methods, their means and nothing else."""
    rows = [
        (words, *(f"{np.mean(results['methods'][name][n]['accuracy']):.1f}" for n in BUDGETS))
        for name, words in PLAIN.items()
    ]
    return markdown(("accuracy, %", "1 label per class", *(f"{n} per class" for n in BUDGETS[1:])), *rows)


def results_table(results: dict[str, Any]) -> str:
    """Return the table of all methods: one row each, a mean with its 95 % interval per budget.

    The last row is the lead over the supervised CNN, paired by draw.
    """
    lines = [
        "| method | " + " | ".join(f"{n} per class" for n in BUDGETS) + " |",
        "|---|" + "---|" * len(BUDGETS),
    ]
    for name, budgets in results["methods"].items():
        cells = [str(t_interval(budgets[n]["accuracy"])) for n in BUDGETS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    cells = []
    for n in BUDGETS:
        ours, rival = (np.array(results["methods"][name][n]["accuracy"]) for name in (METHOD, RIVAL))
        cells.append(str(t_interval(ours - rival)))  # both saw the same labels: compare draw by draw
    lines.append(f"| *lead of {METHOD} over {RIVAL}* | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rivals_table(results: dict[str, Any], rivals: dict[str, Any]) -> str:
    """Return the table of the rivals with training loops of their own, best first.

    The last column is the lead of the metric embedding with 10 labels per class, paired by draw.
    """
    ours = np.array(results["methods"][METHOD]["10"]["accuracy"])
    compared = {name: results["methods"][name] for name in (METHOD, RIVAL)} | rivals["methods"]
    ceilings = {name: compared.pop(name) for name in list(compared) if "all" in compared[name]}
    budgets = [n for n in BUDGETS if all(n in entry for entry in compared.values())]
    lines = [
        "| method | " + " | ".join(f"{n} per class" for n in budgets) + " | our lead over it, 10 per class |",
        "|---|" + "---|" * (len(budgets) + 1),
    ]
    for name, entry in sorted(compared.items(), key=lambda item: -np.mean(item[1]["10"]["accuracy"])):
        cells = [str(t_interval(entry[n]["accuracy"])) for n in budgets]
        lead = "" if name == METHOD else str(t_interval(ours - np.array(entry["10"]["accuracy"])))
        lines.append(f"| {name} | " + " | ".join([*cells, lead]) + " |")
    for name, entry in ceilings.items():
        lead = str(t_interval(ours - np.array(entry["all"]["accuracy"])))
        reached = f"{t_interval(entry['all']['accuracy'])} (all labels)"
        lines.append(f"| *{name}* | " + " | ".join([reached, *[""] * (len(budgets) - 1), lead]) + " |")
    return "\n".join(lines)


def robustness_table(pools: dict[str, Any]) -> str:
    """Return the table of pools with unequal classes and with classes that nobody labelled."""
    lines = ["| pool | accuracy |", "|---|---|"]
    for name, entry in pools["pools"].items():
        lines.append(f"| {name} | {t_interval(entry['accuracy'])} |")
    return "\n".join(lines)


def elsewhere_table(other: dict[str, Any]) -> str:
    """Return the table of the same defaults on other images: one column per set of images."""
    names = list(other["data"])
    lines = ["| method | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for method in other["data"][names[0]]:
        intervals = [t_interval(other["data"][name][method]["accuracy"]) for name in names]
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
                cells = [str(t_interval(entry[n][kind])) if n in entry else "" for n in budgets]
                seconds = np.mean([second for each in entry.values() for second in each["cpu_seconds"]])
                label = name if kind == "accuracy" else f"{name}, {unit}"
                lines.append(f"| {label} | " + " | ".join(cells) + f" | {seconds:.1f} |")
        for name, other in pairs:
            ours, theirs = ways.get(name, {}), ways.get(other, {})
            cells = [
                str(t_interval(np.subtract(ours[n]["accuracy"], theirs[n]["accuracy"]))) if n in ours else ""
                for n in budgets
            ]
            lines.append(f"| *lead of {name} over {other}* | " + " | ".join(cells) + " |  |")
        lines.append("")
    return "\n".join(lines).strip()


def folders_table(folders: dict[str, Any]) -> str:
    """Return the table of whole folders from the command line.

    Of one draw the interval is that of the share of the judging pictures; of several, that of their mean.
    """
    measured = {n for found in folders["sets"].values() for runs in found.values() for n in runs}
    budgets = [n for n in map(str, folders["budgets"]) if n in measured]
    lines = [
        "| folder | method | " + " | ".join(f"{n} per class" for n in budgets) + " | CPU s | GiB |",
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
                one = wilson_interval(round(shares[0] * judges / 100), judges) if len(shares) == 1 else None
                cells.append(str(one or t_interval(shares)) if shares else "")
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
    return str(t_interval(reached - before))


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
        cells = [str(t_interval(values)) for values in (usual[data]["accuracy"], entry["accuracy"])]
        cells += [paired(entry, usual[data]), str(t_interval(entry["pool"]))]
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


def size(n: float) -> str:
    """Write bytes with two significant digits."""
    unit, power = ("GB", 9) if n >= 1e9 else ("MB", 6)
    value = n / 10**power
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"


def span(seconds: float) -> str:
    """Write a time in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def markdown(*rows: tuple[object, ...]) -> str:
    """Return a table of these rows; the first is its head."""
    head, *body = (f"| {' | '.join(map(str, row))} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def graph_table(scale: dict[str, Any]) -> str:
    """Return what the graph costs and finds, by the number of points."""
    rows: list[tuple[object, ...]] = [
        ("points", "built in", "exact", "graph", "recall@10", "times faster", "bytes of links per point")
    ]
    for n, graph in scale["digits"]["graph"].items():
        best, count = graph["ef=64"], int(n)
        rows.append(
            (
                f"{count:,}",
                f"{graph['build seconds']:.0f} s",
                f"{graph['exact']['ms']['p50']:.2f} ms",
                f"{best['ms']['p50']:.2f} ms",
                f"{best['recall']:.3f}",
                f"{best['times faster than exact']:.0f}",
                f"{graph['memory']['bytes']['graph'] / count:.0f}",
            )
        )
    return markdown(*rows)


def memory_table(scale: dict[str, Any]) -> str:
    """Return the bytes of vectors and links, for a point and for so many images."""
    each = {
        "vectors, float32": 4 * NUMBERS,
        "vectors, int8": int8_bytes(scale),
        "vectors, binary": NUMBERS / 8,
        "links, at most": 4 * 2 * LINKS,
    }
    rows = [(name, f"{b:.0f}", *(size(b * n) for n in IMAGES.values())) for name, b in each.items()]
    return markdown((f"N = {NUMBERS}, m = {LINKS}", "bytes", *IMAGES), *rows)


def machines_table(scale: dict[str, Any]) -> str:
    """Return the memory of both copies, and the machines that hold it."""
    kept = {
        "float32 and links": 4 * (NUMBERS + 2 * LINKS),
        "int8 and links, float32 on disk": int8_bytes(scale) + 4 * 2 * LINKS,
    }
    rows = []
    for name, b in kept.items():
        needed = [COPIES * b * n for n in IMAGES.values()]
        rows.append((name, *(f"{size(m)}, {math.ceil(m / (USED * MACHINE))}" for m in needed)))
    return markdown(("kept in memory (both copies), machines", *IMAGES), *rows)


def int8_bytes(scale: dict[str, Any]) -> float:
    """Return the bytes of one vector as int8."""
    return float(scale["digits"]["int8"]["1000000"]["memory"]["bytes"]["int8"]) / 1e6


def hours_table(scale: dict[str, Any]) -> str:
    """Return how long one core embeds so many images."""
    rows = [
        (name, f"{rate:,}", *(span(n / rate) for n in IMAGES.values()))
        for name, rate in scale["images embedded per second of one core"].items()
    ]
    return markdown(("one core", "images per second", *IMAGES), *rows)


def tables() -> dict[str, str]:
    """Return all tables by the name of their markers."""
    results, other = read_results("label_efficiency"), read_results("elsewhere")
    photographs, scale = read_results("photographs"), read_results("scale")
    digits = results["methods"][METHOD]
    usual = {
        "digits, 10 labels": digits["10"],
        "digits, 1 label": digits["1"],
        "Omniglot, 136 characters, 5 labels": other["data"]["Omniglot, 136 characters"][METHOD],
        "ELPV, 20 labels": photographs["sets"]["ELPV"]["head, 1-NN"]["20"],
    }
    return claims.tables() | {
        "results": results_table(results),
        "results-short": readme_table(results),
        "rivals": rivals_table(results, read_results("rivals")),
        "robustness": robustness_table(read_results("robustness")),
        "elsewhere": elsewhere_table(other),
        "photographs": photographs_table(photographs),
        "folders": folders_table(read_results("folders")),
        "folders-speed": folders_speed_table(read_results("folders_speed")),
        "tried": tried_table(read_results("tried")),
        "pick": pick_table(read_results("tried_pick"), usual),
        "speed": speed_table(read_results("speed")),
        "scale-graph": graph_table(scale),
        "scale-memory": memory_table(scale),
        "scale-machines": machines_table(scale),
        "scale-hours": hours_table(scale),
    }
