"""Writes benchmarks/results/sanitize.md, tables and text, from the lines of benchmarks/sanitize.py.

python benchmarks/sanitize_report.py LINES.jsonl > benchmarks/results/sanitize.md
"""

# ruff: noqa: E501
from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from sanitize_tables import (
    alone,
    digits_table,
    like_for_like,
    means_table,
    method_table,
    percent,
    seconds_table,
    trusted_table,
)

HEAD = """# Sanitizing: what was held on models that were really poisoned

Made by `benchmarks/sanitize.py`: mnist and digits in one run, the development networks in another
(`--sets development --seeds 0 1`). *TPR*: share of poisons held. *clean held*: share of all
clean rows held; the stated rate is 1 %. *AUROC*: within the target class. *asr*: attack success
rate; a run near 0 did not implant its backdoor. ART is the Adversarial Robustness Toolbox, called
on the same activations; its defences take no trusted rows, and its spectral defence holds a fixed
share of every class, clean or not.
"""

NOT_BLIND = """**Not a blind test.** The mnist runs and the digits networks were looked at, many times, before the design
settled: what was missed or held there prompted the tail test, the three splits into folds, suspect classes,
the label margin, bounds on what a class may lose, and the agreement of far rows. What each of them is was
chosen on other networks: of procedural glyphs, of digits with seeds 100 to 105, and of MNIST rows, source and
target classes that the reported runs do not have (`poisoned_mnist.py`; below as *development*). The last
changes were chosen there: far rows that point one way count against their class, and weigh in its
records; a suspect class may lose more than the rate only if its own p-value is at most `alpha`; without
trusted rows, methods that ask where a row lies are summed. The mnist runs were seen once between the first
two of these (one run and seed of 15 then held 14 of its 16 poisons) and once after them. Without trusted rows,
the mnist runs told against every way of summing: equal turns of the three methods had held .45 of their
poisons, the sum of two and `scan` in turn hold .38 (below), a sum of all three .25, the sum beside a turn for
every method .35. The development networks, digits and adaptive attacks say the contrary (.46, .35, .51 with
equal turns), and they are 94 poisoned networks against seven.
"""


def verdicts(rows, below, above):
    """What the tables say, in numbers taken from them."""
    mine = [r for r in rows if r["method"] == "default"]
    known = [r for r in mine if r["reference"] == "trusted"]
    blind = [r for r in mine if r["reference"] == "none"]
    every = [r for r in rows if r["method"] == "every class searched"]
    lines = ["## What this says\n"]
    for data in ("mnist_backdoor", "digits", "development"):
        part = [r for r in known if r["set"] == data]
        took = [r for r in part if (r["asr"] or 0) >= 0.9]
        good = [r for r in took if r["tpr"] >= 0.99 and r["clean_held"] <= 0.01]
        if not took:
            continue
        lines.append(
            f"* **{data}, trusted rows, attack success at least .9**: TPR at least .99 with at most "
            f"1 % of clean rows held in {len(good)} of {len(took)} (run, seed); TPR "
            f"{min(r['tpr'] for r in took):.3f} at worst, clean held "
            f"{percent(np.mean([r['clean_held'] for r in took]))} on average and "
            f"{percent(max(r['clean_held'] for r in took))} at most." + missed(took, good)
        )
        searched = [r for r in every if r["set"] == data and (r["asr"] or 0) >= 0.9]
        lines.append(
            f"  With `suspect_level: 1` TPR {min(r['tpr'] for r in searched):.3f} at worst, clean "
            f"held at most {percent(max(r['clean_held'] for r in searched))}."
        )
        clean = [r for r in part if r["poisons"] == 0]
        lines.append(
            f"* **{data}, clean runs**: {percent(np.mean([r['clean_held'] for r in clean]))} held on "
            f"average, {percent(max(r['clean_held'] for r in clean))} at most. Of any class other "
            f"than the poisoned one, over all runs: at most "
            f"{percent(max(r['clean_class_held'] for r in part))} of its clean rows, above the "
            f"stated 1 % in {sum(r['clean_class_held'] > 0.01 for r in part)} of {len(part)} "
            "(run, seed)."
        )
        weak = [
            r for r in part if r["asr"] is not None and r["asr"] < 0.1 and "cl" not in r["run"][:6]
        ]
        if weak:
            lines.append(
                f"* **{data}, runs that did not implant** (mislabelled, attack success below .1): "
                f"TPR {min(r['tpr'] for r in weak):.3f} to {max(r['tpr'] for r in weak):.3f}, clean "
                f"held at most {percent(max(r['clean_held'] for r in weak))}."
            )
    clean = [r for r in blind if r["poisons"] == 0]
    most = max(r["n_held"] / r["rows"] for r in blind)
    lines.append(
        f"* **Without trusted rows**: at most {percent(most)} of all rows are held in any run, by "
        f"construction; clean sets lose {percent(max(r['clean_held'] for r in clean))} at most."
    )
    lines += best_alone(rows)
    for data in ("mnist_backdoor", "digits", "adaptive", "development"):
        names = {r["run"] for r in blind if r["set"] == data and r["poisons"]}
        if not names:
            continue
        lost, wide = below.get(data, []), above.get(data, [])
        if not any(r["set"] == data and r["method"].startswith("ART") for r in rows):
            continue
        clear = [b for b in lost if b[1]["tpr"] >= 0.1]
        lines.append(
            f"  {data}: at our held share a cut of ART's scores recalls more on "
            f"{len({b[0] for b in lost})} of {len(names)} runs{listed(lost)}, and a tenth of the poisons "
            f"or more on {len({b[0] for b in clear})} of those. At its own defaults ART "
            f"recalls more on {len({a[0] for a in wide})} of them, holding "
            + (
                f"{percent(min(a[1]['clean_held'] for a in wide))} to "
                f"{percent(max(a[1]['clean_held'] for a in wide))} of clean rows."
                if wide
                else "more clean rows."
            )
        )
    adaptive = [r for r in known if r["set"] == "adaptive"]
    if adaptive:
        kinds = dict.fromkeys(r["run"].rsplit(" s", 1)[0] for r in adaptive)
        parts = [
            f"{k}: {np.mean([r['tpr'] for r in adaptive if r['run'].startswith(k + ' s')]):.2f}"
            for k in kinds
        ]
        lines.append(
            "* **An attacker who knows the defence** (spread triggers, covers), trusted rows, mean "
            f"TPR: {'; '.join(parts)}; clean held "
            f"{percent(np.mean([r['clean_held'] for r in adaptive]))} on average. Covers carry the "
            "trigger under their right label and count as clean."
        )
    lines.append(
        "* A digits network has about 100 training and 40 trusted rows per class: poisons at 0.5 to 1 % "
        "of a thousand digits, 5 to 10 rows, are at the edge of what a class can show."
    )
    return "\n".join(lines) + "\n"


def missed(took, good):
    bad = [f"{r['run']} seed {r['seed']}" for r in took if r not in good]
    return f" Missed: {', '.join(bad)}." if bad else ""


def listed(pairs):
    names = list(dict.fromkeys(run for run, *_ in pairs))
    if not names:
        return ""
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f" ({shown})"


def best_alone(rows):
    """How the best published method alone compares, run by run."""
    lines = []
    for data, recall in alone(rows).items():
        mine = recall["default"]
        others = [found for name, found in recall.items() if name != "default"]
        above = sum(max(found[run] for found in others) > mine[run] + 1e-9 for run in mine)
        lines.append(
            f"  {data}: mean TPR {np.mean(list(mine.values())):.2f}. The best published method for each "
            f"run, as built here and under the same limit, which nobody knows beforehand, recalls more on "
            f"{above} of {len(mine)}."
        )
    return lines


def heading(rows):
    made = next((r for r in rows if "versions" in r), None)
    if made is None:
        return ""
    names = ", ".join(f"{k} {v}" for k, v in made["versions"].items())
    return (
        f"Run with {names}; {made['threads']} thread; folds split with seeds {made['seeds']} on mnist, "
        f"0 on digits; digits networks trained with seeds {made['digits']}.\n"
    )


def report(lines):
    rows = [r for r in lines if "run" in r and "error" not in r]
    failed = [r for r in lines if "error" in r]
    parts = [HEAD, heading(lines), NOT_BLIND]
    below: dict[str, list] = {}
    above: dict[str, list] = {}
    mnist = [r for r in rows if r["set"] == "mnist_backdoor"]
    if mnist:
        single = dict.fromkeys(
            r["method"] for r in mnist if not r["method"].startswith(("ART", "default", "every"))
        )
        both, below["mnist_backdoor"], above["mnist_backdoor"] = like_for_like(mnist)
        parts += [
            "## mnist_backdoor, with 10,000 trusted rows\n",
            trusted_table(mnist),
            "## mnist_backdoor, every method alone with trusted rows: AUROC / TPR / clean held\n",
            method_table(mnist, "trusted", single),
            "## mnist_backdoor, without trusted rows, beside ART\n",
            "Ours: AUROC / TPR / clean held; ART: TPR / clean held. Nothing is calibrated; at most "
            "2 % of all rows may be held (`uncalibrated_limit`). *At our share*: ART's scores cut at "
            "as many rows as ours held. **>** marks a recall above ours.\n",
            both,
            "## mnist_backdoor, every method alone without trusted rows: AUROC / TPR / clean held\n",
            method_table(mnist, "none", single),
        ]
    for name, title in (
        ("digits", "Freshly poisoned networks on scikit-learn digits"),
        ("adaptive", "An attacker who knows the defence (digits, 3 %)"),
    ):
        part = [r for r in rows if r["set"] == name]
        if part:
            _, below[name], above[name] = like_for_like(part)
            parts += [
                f"## {title}: TPR / clean held\n",
                "Means over the networks; in brackets the most that one of them lost.\n",
                digits_table(part),
            ]
    part = [r for r in rows if r["set"] == "development"]
    if part:
        parts += [
            "## Development networks (MNIST rows of their own): TPR / clean held\n",
            "Means over the networks; in brackets the most that one of them lost.\n",
            digits_table(part, "poisons among 15,000 rows"),
        ]
    parts += [
        "## Without trusted rows, every published method alone: mean TPR\n",
        "As built here and under the same limit, and the three together (*ours*).\n",
        means_table(rows),
    ]
    parts += ["## Seconds\n", seconds_table(rows)]
    if failed:
        parts.append(f"{len(failed)} calls of ART raised: {failed[0]['error']}\n")
    return "\n".join([*parts, verdicts(rows, below, above)])


def main() -> None:
    lines = [line for path in sys.argv[1:] for line in Path(path).read_text().splitlines()]
    print(report([json.loads(line) for line in lines]))


if __name__ == "__main__":
    main()
