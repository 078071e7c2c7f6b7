"""What the course claims beside its controls: tables and figures for README and docs, from results on file.

Each claim of a lead stands beside what else could have made it: another score, another encoder, a rival that
sees the pool, more training, another vote. `tables.py` and `figures.py` take what is made here.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.common import BANDS, DRAWS, read_results
from metriclearn.metrics import t_interval

Values = list[float]
FIXMATCH = "supervised CNN + pseudo-labels (FixMatch-style)"
OURS = "metric embedding + 1-NN"
OURS_ALONE = ("metric embedding", "all 4,000")  # names that hold one of these are no rivals
VOTES = {"weighted vote of five": "five neighbours vote", "nearest class mean": "nearest class mean"}
JUDGED = 131  # new digits among the 500 test images that judge the poisoned stores
METHOD, SOFTMAX = "embedding, nearest cosine", "CNN, softmax"
WORLDS = ("letters", "turned digits", "photographs", "noise")
CHOICES = ("uncertainty", "diversity", "mixed")
# What bands.json holds of twelve seeds, by the name under which documents quote it.
TWELVE = {
    "new digits, class means": "class means stored, new digits, mean of 20 draws of examples, %",
    "new digits, spread": "spread on the layer before, new digits, mean of 3 draws, %",
    "new digits, rolled back": "labelled anew, new digits, mean of 10 draws of examples, %",
    "new digits noticed": "AUROC of the nearest cosine, %",
    "new digits noticed by softmax": "AUROC of the CNN's softmax, %",
}


def of_twelve_seeds(name: str) -> Values:
    """Return what a notebook's figure was under each seed, as `bands.py` recorded it."""
    notebooks = json.loads(BANDS.read_text(encoding="utf-8"))
    found = [bands[name]["values"] for bands in notebooks.values() if name in bands]
    if len(found) != 1:
        raise KeyError(f"{len(found)} notebooks have a figure named {name!r}")
    values: Values = found[0]
    return values


def shown(values: Values, most: float = np.inf) -> str:
    """Return a mean with its interval; one number where all draws agree, since they show no spread.

    Args:
        values: one for each draw.
        most: where the interval ends at the latest, such as 100 for a share.
    """
    if np.ptp(values) == 0:
        return f"{values[0]:.1f} in each draw"
    interval = t_interval(values)
    return str(replace(interval, high=min(interval.high, most)))


def counted(shares: Values, judged: int = JUDGED) -> str:
    """Return a mean with its interval, in percent; the count where no draw had any.

    A t interval of equal values has no width, and says nothing of the images that were not asked.
    """
    if any(shares):
        return str(t_interval(shares))
    return f"0 of {judged} in each of {len(shares)} draws"


def difference(ours: dict[str, Any], other: dict[str, Any], figure: str = "accuracy") -> Values:
    """Return our lead over the other on the draws that both saw."""
    both = [draw for draw in ours["draws"] if draw in other["draws"]]
    one, two = ([of[figure][of["draws"].index(draw)] for draw in both] for of in (ours, other))
    gap: Values = np.subtract(one, two).tolist()
    return gap


def holm(p_values: Values) -> Values:
    """Return p values corrected for their number (Holm 1979, https://www.jstor.org/stable/4615733)."""
    order, highest, corrected = np.argsort(p_values), 0.0, np.zeros(len(p_values))
    for rank, which in enumerate(order):
        highest = max(highest, (len(p_values) - rank) * p_values[which])
        corrected[which] = min(1.0, highest)
    return [float(p) for p in corrected]


def p_value(gap: Values) -> float:
    """Return the two-sided p of a paired t test."""
    return float(stats.ttest_1samp(gap, 0).pvalue)


def table(*rows: tuple[object, ...]) -> str:
    """Return a table in Markdown; the first row is its head."""
    head, *body = (f"| {' | '.join(map(str, row))} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


# The lead at each budget, over whatever rival is best there.


def best_rivals() -> dict[str, tuple[str, dict[str, Any], Values]]:
    """Return for each budget the best rival on file, its entry, and our lead over it, draw by draw."""
    own, rivals = read_results("label_efficiency")["methods"], read_results("rivals")["methods"]
    every = own | rivals
    found = {}
    for budget, ours in own[OURS].items():
        entries = {
            name: entry[budget]
            for name, entry in every.items()
            if len(entry.get(budget, {}).get("draws", [])) >= len(DRAWS)
            and not any(word in name for word in OURS_ALONE)
        }
        best = max(entries, key=lambda name: np.mean(entries[name]["accuracy"]))
        found[budget] = (best, entries[best], difference(ours, entries[best]))
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def best_rivals_table() -> str:
    """Return for each budget the best rival and our lead over it."""
    own = read_results("label_efficiency")["methods"][OURS]
    rows = [
        (budget, rival, shown(entry["accuracy"]), shown(own[budget]["accuracy"]), shown(gap), len(gap))
        for budget, (rival, entry, gap) in best_rivals().items()
    ]
    few = [n for n, entry in read_results("rivals")["methods"][FIXMATCH].items() if len(entry["draws"]) > 4]
    rival = f"best rival on file (FixMatch-style: only at {', '.join(sorted(few, key=int))})"
    return table(
        ("labels per class", rival, "its accuracy, %", "ours, %", "our lead, points", "draws"), *rows
    )


# Machine labels among which strangers lie, under two votes.


def poison(way: str, vote: str, figure: str = "new") -> Values:
    """Return a figure of a store with machine labels, draw by draw."""
    values: Values = read_results("objections")["votes"]["lines"][f"{way}; {vote}"][figure]["values"]
    return values


POISONED = (
    "people only",
    "no gate",
    "gate at 5%",
    "gate at 20%",
    "gate at 50%",
    "rolled back, labelled anew",
)


def poison_table() -> str:
    """Return how many of the new digits are right, by what the machine labelled and by who votes."""
    rows = [(way.replace("%", " %"), *(counted(poison(way, vote)) for vote in VOTES)) for way in POISONED]
    return table(("labels by the machine", *(f"{words}, %" for words in VOTES.values())), *rows)


# Strangers.


def strangers(claim: str, line: str, figure: str) -> Values:
    """Return a figure of `studies/strangers.py`, draw by draw."""
    values: Values = read_results("strangers")[claim]["lines"][line][figure]["values"]
    return values


def lead_of(claim: str, line: str, figure: str, over: str) -> Values:
    """Return one line's lead over another, draw by draw."""
    gap: Values = np.subtract(strangers(claim, line, figure), strangers(claim, over, figure)).tolist()
    return gap


def far_table() -> str:
    """Return the AUROC of each score against the strangers of notebook 6."""
    rows = []
    for line in read_results("strangers")["far strangers"]["lines"]:
        of = {world: strangers("far strangers", line, f"{world}, AUROC, %") for world in (*WORLDS, "mean")}
        lead = ""
        if line != METHOD:
            lead = shown(lead_of("far strangers", METHOD, "mean, AUROC, %", line))
        rows.append((line, *(f"{np.mean(of[world]):.1f}" for world in WORLDS), shown(of["mean"]), lead))
    return table(("AUROC, %", *WORLDS, "mean", "the embedding's lead, points"), *rows)


def near_table() -> str:
    """Return how well each score tells 7, 8 and 9 from the digits that have labels."""
    figures = ("AUROC, %", "strangers let in at 5 % rejects, %")
    rows = []
    for line in read_results("strangers")["near strangers"]["lines"]:
        cells = [shown(strangers("near strangers", line, figure)) for figure in figures]
        leads = [shown(lead_of("near strangers", METHOD, figures[0], line))] if line != METHOD else [""]
        rows.append((line, *cells, *leads))
    return table(("score", *figures, "the embedding's lead in AUROC, points"), *rows)


def letters_table() -> str:
    """Return how many strangers a threshold catches: letters by font, photographs one by one."""
    claim, figure = "caught, by letter and by photograph", "caught, %"
    lines = read_results("strangers")[claim]["lines"]
    rows = []
    for line in lines:
        if line.startswith("the letter"):
            continue
        low, high = (f"{end} end over letters, %" for end in ("low", "high"))
        ends = ""
        if low in lines[line]:
            ends = f"{lines[line][low]['mean']:.0f} to {lines[line][high]['mean']:.0f}"
        rows.append((line, f"{np.mean(strangers(claim, line, figure)):.1f}", ends))
    return table(("strangers", "caught, %", "over 26 letters, 95 %"), *rows)


# Labels that were bought.


def bought(strategy: str, budget: int) -> Values:
    """Return the accuracy of neighbours in the whole pool after full training, draw by draw."""
    full = read_results("active_learning")["full training"]
    values: Values = full[strategy]["pool index"][str(budget)]["accuracy"]
    return values


def choices() -> list[tuple[str, int]]:
    """Return each choice of labels and each budget that were measured in all draws."""
    full = read_results("active_learning").get("full training", {})
    return [
        (choice, budget)
        for choice in ("random", "balanced random", *CHOICES)
        for budget in (120, 200)
        if full.get(choice, {}).get("pool index", {}).get(str(budget), {}).get("draws") == DRAWS
    ]


def leads_of_choices() -> dict[tuple[str, int], Values]:
    """Return the lead of each choice over random labels, draw by draw."""
    return {
        (choice, budget): np.subtract(bought(choice, budget), bought("random", budget)).tolist()
        for choice, budget in choices()
        if choice != "random" and ("random", budget) in choices()
    }


def bought_table() -> str:
    """Return what 200 labels reach with each choice, beside 20 of each class by chance, trained in full."""
    chance = read_results("label_efficiency")["methods"]["metric embedding + pool index"]["20"]
    recorded = read_results("active_learning")
    entries = {
        (choice, training): recorded[section][choice]["pool index"]["200"]
        for training, section in (("half", "strategies"), ("full", "full training"))
        for choice in ("random", "balanced random", *CHOICES)
        if training == "half" or (choice, 200) in choices()
    }
    leads = {look: difference(entry, chance) for look, entry in entries.items()}
    corrected = dict(zip(leads, holm([p_value(gap) for gap in leads.values()]), strict=True))
    rows: list[tuple[object, ...]] = [
        ("20 of each class, by chance", "full", shown(chance["accuracy"]), "", "")
    ]
    rows += [
        (*look, shown(entry["accuracy"]), shown(leads[look]), f"{corrected[look]:.2f}")
        for look, entry in entries.items()
    ]
    head = ("choice of 200 labels", "training", "accuracy, %", "lead over the first row, points")
    return table((*head, "p after Holm"), *rows)


def half_table() -> str:
    """Return each lead over random labels at half training, with p corrected for all looks of this table."""
    recorded = read_results("active_learning")["strategies"]
    budgets = ("20", "40", "80", "120", "200")
    leads = {
        (choice, n): difference(recorded[choice]["pool index"][n], recorded["random"]["pool index"][n])
        for choice in CHOICES
        for n in budgets
    }
    corrected = dict(zip(leads, holm([p_value(gap) for gap in leads.values()]), strict=True))
    rows = [
        (choice, *(f"{shown(leads[choice, n])}, p {corrected[choice, n]:.2f}" for n in budgets))
        for choice in CHOICES
    ]
    return table(("lead over random, points; p after Holm", *(f"{n} labels" for n in budgets)), *rows)


def estimates_table() -> str:
    """Return what bought labels promise, each judged by the others, beside what the test images say."""
    estimates = read_results("active_learning")["estimates"]
    rows = []
    for choice, kinds in estimates.items():
        cells = []
        for budget in ("40", "80", "200"):
            promised, reached = (kinds[kind][budget]["accuracy"] for kind in ("leave-one-out", "test images"))
            cells += [shown(promised, 100), f"{np.mean(reached):.1f}"]
        rows.append((choice, *cells))
    head = [name for n in (40, 80, 200) for name in (f"{n} labels promise, %", "test images, %")]
    return table(("choice", *head), *rows)


# Solar cells, sevens, duplicates.


def cells_lead(line: str, over: str, budget: str) -> Values:
    """Return a lead in AUROC on the solar cells, draw by draw."""
    cells = read_results("photographs")["sets"]["ELPV"]
    return difference(cells[line][budget], cells[over][budget], "auroc")


HEAD, ALONE, LOGISTIC = "head, 1-NN", "head without the pool, 1-NN", "logistic regression"
BOTH = ", Lite0 and Lite2"
CELL_LEADS = {
    "head over logistic regression": (HEAD, LOGISTIC),
    "head without the pool over logistic regression": (ALONE, LOGISTIC),
    "head over head without the pool": (HEAD, ALONE),
    "both backbones: head over logistic regression": (HEAD + BOTH, LOGISTIC + BOTH),
}


def cells_table() -> str:
    """Return the leads in AUROC on the solar cells, by budget."""
    budgets = [str(n) for n in read_results("photographs")["budgets"]]
    rows = [
        (name, *(shown(cells_lead(*pair, budget)) for budget in budgets)) for name, pair in CELL_LEADS.items()
    ]
    return table(("lead in AUROC, points", *(f"{n} per class" for n in budgets)), *rows)


def control(claim: str, line: str, figure: str) -> Values:
    """Return a figure of `studies/controls.py`, draw by draw."""
    values: Values = read_results("controls")[claim]["lines"][line][figure]["values"]
    return values


def controls_table(claim: str, first: str, *figures: str) -> str:
    """Return the lines of a control with some of their figures."""
    lines = read_results("controls")[claim]["lines"]
    rows = [(line, *(shown(control(claim, line, figure), 100) for figure in figures)) for line in lines]
    return table((first, *figures), *rows)


def tables() -> dict[str, str]:
    """Return the tables by the name of their markers."""
    return {
        "best-rivals": best_rivals_table(),
        "poison": poison_table(),
        "strangers-far": far_table(),
        "strangers-near": near_table(),
        "strangers-caught": letters_table(),
        "bought-at-half": half_table(),
        "bought-in-full": bought_table(),
        "bought-estimates": estimates_table(),
        "cells-auroc": cells_table(),
        "duplicates-aligned": controls_table(
            "near-duplicates, aligned", "copies", "pixels", "pixels, aligned"
        ),
        "sevens": controls_table(
            "kinds of sevens", "space", "of the group barred, %", "of the barred in the group, %"
        ),
    }


def figures() -> dict[str, Values]:
    """Return what is quoted as a mean with its interval: for each name, one value for each draw or seed."""
    found = {name: of_twelve_seeds(band) for name, band in TWELVE.items()}
    found["new digits noticed, lead over softmax"] = np.subtract(
        found["new digits noticed"], found["new digits noticed by softmax"]
    ).tolist()
    found |= {
        f"poison, {way}, {words}": poison(way, vote)
        for way in POISONED
        for vote, words in VOTES.items()
        if any(poison(way, vote))
    }
    found |= {
        f"poison, {way}, nearest class mean, cost": poison(way, "nearest class mean", "new minus people only")
        for way in ("no gate", "gate at 5%", "gate at 20%")
    }
    splits = read_results("objections")["open set, five splits"]["lines"]
    for line, short in ((METHOD, "embedding"), ("CNN, largest softmax", "softmax")):
        found[f"five splits, {short}, AUROC"] = splits[line]["AUROC, %"]["values"]
        found[f"five splits, {short}, let in"] = splits[line]["strangers let in at 5 % rejects, %"]["values"]
    closed = read_results("new_classes")["worlds"]["closed pool"]
    for n in ("5", "10"):
        every, means = closed["all examples stored"][n], closed["class means stored"][n]
        found[f"all examples stored, lead, {n} examples"] = difference(every, means, "new")
        lost = [np.subtract(of["old_before"], of["old"]) for of in (every, means)]
        found[f"all examples stored, extra cost to the old, {n} examples"] = (lost[0] - lost[1]).tolist()
    for budget, (_, entry, gap) in best_rivals().items():
        labels = f"{budget} label{'s' * (budget != '1')}"
        found[f"best rival, {labels}"] = entry["accuracy"]
        found[f"lead over the best rival, {labels}"] = gap
    for line, pair in CELL_LEADS.items():
        for budget in ("10", "20", "50"):
            found[f"cells, AUROC, {line}, {budget} labels"] = cells_lead(*pair, budget)
    for world in ("far strangers", "near strangers"):
        for line, told in read_results("strangers")[world]["lines"].items():
            if not line.startswith("mean brightness"):
                found[f"{world}, {line}"] = told["mean, AUROC, %" if world[0] == "f" else "AUROC, %"][
                    "values"
                ]
    for line, told in read_results("strangers")["near strangers"]["lines"].items():
        found[f"near strangers, {line}, let in"] = told["strangers let in at 5 % rejects, %"]["values"]
    chance = read_results("label_efficiency")["methods"]["metric embedding + pool index"]["20"]
    half = {
        name: entry["pool index"]["200"]
        for name, entry in read_results("active_learning")["strategies"].items()
    }
    found["diverse at half training, lead over balanced chance at full training"] = difference(
        half["diversity"], chance
    )
    found["200 by balanced chance, what full training adds"] = difference(chance, half["balanced random"])
    for choice, n in choices():
        found[f"{choice}, {n} labels, full training"] = bought(choice, n)
        if n == 200:
            gap = np.subtract(bought(choice, n), chance["accuracy"]).tolist()
            found[f"{choice}, 200 labels, lead over balanced chance, both at full training"] = gap
    found |= {
        f"{choice}, {n} labels, full training, lead": gap for (choice, n), gap in leads_of_choices().items()
    }
    for choice, kinds in read_results("active_learning")["estimates"].items():
        for budget in ("40", "200"):
            found[f"{choice}, {budget} labels, promised"] = kinds["leave-one-out"][budget]["accuracy"]
            found[f"{choice}, {budget} labels, reached"] = kinds["test images"][budget]["accuracy"]
    return found


def counts() -> dict[str, str]:
    """Return what is quoted as one number."""
    right = poison("no gate", "weighted vote of five")
    return {
        "poison, right at most": f"{max(right) * JUDGED / 100:.0f}",
        "poison, judged": str(JUDGED),
        "poison, draws": str(len(right)),
    }
