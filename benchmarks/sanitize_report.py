"""Turns the JSON lines of `benchmarks/sanitize.py` into Markdown tables.

python benchmarks/sanitize_report.py LINES.jsonl ... > benchmarks/results/sanitize.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

HEAD = """# Sanitizing: what was held on models that were really poisoned

Made by `benchmarks/sanitize.py` and `benchmarks/sanitize_report.py`. *TPR*: share of poisons
held. *clean held*: share of all clean rows held; the stated rate is 1 %. *AUROC*: within the target
class. *asr*: attack success rate; a run near 0 did not implant its backdoor. ART is the Adversarial
Robustness Toolbox 1.20, called on the same activations; its spectral defence holds a fixed share
of every class, clean or not. Constants were chosen on synthetic classes, glyphs and digits
networks with other seeds.
"""


def number(value, digits=3):
    return "-" if value is None else f"{value:.{digits}f}"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def cell(line):
    return f"{number(line['auroc'])} / {number(line['tpr'], 2)} / {number(line['clean_held'], 4)}"


def runs(rows):
    return list(dict.fromkeys(r["run"] for r in rows))


def pick(rows, run, method, reference):
    return [r for r in rows if (r["run"], r["method"], r["reference"]) == (run, method, reference)]


def trusted_table(rows):
    out = []
    for run in runs(rows):
        pairs = zip(
            pick(rows, run, "lazaretto", "trusted"),
            pick(rows, run, "lazaretto, no class test", "trusted"),
            strict=True,
        )
        out += [
            [
                run,
                str(r["poisons"]),
                number(r["asr"]),
                str(r["seed"]),
                number(r["auroc"], 4),
                number(r["tpr"]),
                number(r["clean_held"], 4),
                " ".join(r["fired"]) or "none",
                number(every["tpr"]),
                number(every["clean_held"], 4),
            ]
            for r, every in pairs
        ]
    head = ["run", "poisons", "asr", "seed", "AUROC", "TPR", "clean held", "classes fired"]
    return table([*head, "TPR, no class test", "clean held, no class test"], out)


def method_table(rows, reference):
    names = dict.fromkeys(
        r["method"] for r in rows if r["reference"] == reference or r["method"].startswith("ART")
    )
    names = [n for n in names if reference == "none" or not n.startswith("ART")]
    out = []
    for run in runs(rows):
        cells = []
        for name in names:
            found = pick(rows, run, name, reference)
            cells.append(cell(found[0]) if found else "-")
        out.append([run, *cells])
    return table(["run", *names], out)


def mean_table(rows):
    """Means over seeds, per attack and rate, of the digits networks."""
    keys = dict.fromkeys(r["run"].rsplit(" s", 1)[0] for r in rows)
    methods = dict.fromkeys((r["method"], r["reference"]) for r in rows)
    out = []
    for key in keys:
        group = [r for r in rows if r["run"].rsplit(" s", 1)[0] == key]
        asr = [r["asr"] for r in group if r["asr"] is not None]
        cells = []
        for method, reference in methods:
            part = [r for r in group if (r["method"], r["reference"]) == (method, reference)]
            tpr = [r["tpr"] for r in part if r["tpr"] is not None]
            held = np.mean([r["clean_held"] for r in part]) if part else None
            cells.append(f"{number(np.mean(tpr) if tpr else None, 2)} / {number(held, 4)}")
        out.append([key, number(np.mean(asr) if asr else None, 2), *cells])
    heads = [f"{m}{'' if m.startswith('ART') else f' ({r})'}" for m, r in methods]
    return table(["attack, share of the set", "asr", *heads], out)


def report(rows):
    rows = [r for r in rows if "error" not in r]
    mnist = [r for r in rows if r["set"] == "mnist_backdoor"]
    parts = [HEAD]
    if mnist:
        parts += [
            "## mnist_backdoor, with 10,000 trusted rows: the default, three seeds\n",
            trusted_table(mnist),
            "## mnist_backdoor, every method with trusted rows: AUROC / TPR / clean held\n",
            method_table(mnist, "trusted"),
            "## mnist_backdoor, without trusted rows: AUROC / TPR / clean held\n",
            "Not calibrated; at most 2 % of all rows may be held (`uncalibrated_limit`).\n",
            method_table(mnist, "none"),
        ]
    for name, title in (
        ("digits", "Freshly poisoned networks on scikit-learn digits: TPR / clean held"),
        ("adaptive", "An attacker who knows the defence (digits, 3 %): TPR / clean held"),
    ):
        part = [r for r in rows if r["set"] == name]
        if part:
            parts += [f"## {title}\n", mean_table(part)]
    return "\n".join(parts)


def main() -> None:
    lines = [line for path in sys.argv[1:] for line in Path(path).read_text().splitlines()]
    print(report([json.loads(line) for line in lines]))


if __name__ == "__main__":
    main()
