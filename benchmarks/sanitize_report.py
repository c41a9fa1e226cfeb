"""Writes benchmarks/results/sanitize.md, tables and text, from the lines of benchmarks/sanitize.py.

python benchmarks/sanitize_report.py LINES.jsonl > benchmarks/results/sanitize.md
"""

# ruff: noqa: E501
from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

HEAD = """# Sanitizing: what was held on models that were really poisoned

Made whole by `benchmarks/sanitize.py`. *TPR*: share of poisons held. *clean held*: share of all
clean rows held; the stated rate is 1 %. *AUROC*: within the target class. *asr*: attack success
rate; a run near 0 did not implant its backdoor. ART is the Adversarial Robustness Toolbox, called
on the same activations; its defences take no trusted rows, and its spectral defence holds a fixed
share of every class, clean or not. Constants were chosen on synthetic classes, on networks trained
on procedural glyphs, and on digits networks with seeds 100 to 105.
"""

NOT_BLIND = """**Not a blind test.** The mnist runs were looked at before the design settled: what was seen there (a class
test that was weak under heavy trusted tails, unstable seeds, a held share above 1 %) prompted the tail
test, its correction for memorised rows, the three deals of the folds and the bound on the rate. That 8
poisons among 1,615 rows were missed with two seeds of three, that poisons which the model did not learn
were not held by default, and that decisions without trusted rows were weak prompted suspect classes, the
label margin and the gathering of far rows; those were chosen on glyphs and digits with other seeds. {later}
"""

LATER = """After
a first run of the present defaults on half of the mnist runs two things were changed: the correction by
quiet classes may no longer raise the bound above the stated rate (clean classes lost up to 2.5 %), and
without trusted rows only every other row is taken by where far rows gather (one natural sub-group took
all that may be held). Without trusted rows an earlier rule, `mahalanobis` alone with equal shares of the
limit for every suspect class, had held 1, 1, 1, .75, 0, .96 and .16 of the poisons of the seven mnist runs,
in the order of the table: more than the present rule does. The present one is better on the development
networks, and was not changed back after looking."""


def number(value, digits=3):
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value):
    return f"{100 * value:.2f} %"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def cell(line, auroc=True):
    body = f"{number(line['tpr'], 2)} / {number(line['clean_held'], 4)}"
    return f"{number(line['auroc'])} / {body}" if auroc else body


def runs(rows):
    return list(dict.fromkeys(r["run"] for r in rows))


def pick(rows, run, method, reference):
    return [r for r in rows if (r["run"], r["method"], r["reference"]) == (run, method, reference)]


def trusted_table(rows):
    out = []
    for run in runs(rows):
        pairs = zip(
            pick(rows, run, "default", "trusted"),
            pick(rows, run, "every class searched", "trusted"),
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
                number(r["clean_class_held"], 4),
                " ".join(r["fired"]) or "none",
                number(every["tpr"]),
                number(every["clean_held"], 4),
            ]
            for r, every in pairs
        ]
    head = ["run", "poisons", "asr", "seed", "AUROC", "TPR", "clean held"]
    head += ["most of any other class held", "classes fired"]
    return table([*head, "TPR, every class searched", "clean held, every class searched"], out)


def method_table(rows, reference, names):
    out = []
    for run in runs(rows):
        found = [pick(rows, run, name, reference) for name in names]
        out.append([run, *(cell(f[0]) if f else "-" for f in found)])
    return table(["run", *names], out)


def published(rows, run):
    """{method: line} of ART on a run; where cut at our share, the mean over our seeds."""
    names = dict.fromkeys(r["method"] for r in rows if r["method"].startswith("ART"))
    out = {}
    for name in names:
        lines = pick(rows, run, name, "none")
        if lines:
            out[name] = merge(lines)
    return out


def merge(lines):
    """One line of several seeds: means."""
    keys = ("auroc", "tpr", "clean_held", "clean_class_held", "asr", "seconds")
    out = dict(lines[0])
    for key in keys:
        known = [r[key] for r in lines if r[key] is not None]
        out[key] = float(np.mean(known)) if known else None
    return out


def like_for_like(rows):
    """Ours without trusted rows beside ART, and the runs on which ART's recall is higher."""
    methods = list(dict.fromkeys(r["method"] for r in rows if r["method"].startswith("ART")))
    out, below, above = [], [], []
    for run in runs(rows):
        lines = pick(rows, run, "default", "none")
        if not lines:
            continue  # A benchmark that was cut short.
        mine, theirs = merge(lines), published(rows, run)
        cells = []
        for name in methods:
            line = theirs.get(name)
            if line is None:
                cells.append("-")
                continue
            better = mine["tpr"] is not None and line["tpr"] > mine["tpr"] + 1e-9
            cells.append(cell(line, auroc=False) + (" **>**" if better else ""))
            if better:
                (below if "our share" in name else above).append((run, line))
        spread = " ".join(number(r["tpr"], 2) for r in lines) if len(lines) > 1 else ""
        ours = f"{cell(mine)}" + (f" (TPR by seed: {spread})" if spread and mine["poisons"] else "")
        out.append([run, number(mine["asr"], 2), ours, *cells])
    return table(["run", "asr", "ours, default", *methods], out), below, above


def digits_table(rows):
    """Means over seeds, per attack and rate, of the digits networks."""
    kinds = dict.fromkeys(r["run"].rsplit(" s", 1)[0] for r in rows)
    methods = list(dict.fromkeys((r["method"], r["reference"]) for r in rows))
    out = []
    for kind in kinds:
        group = [r for r in rows if r["run"].rsplit(" s", 1)[0] == kind]
        asr = [r["asr"] for r in group if r["asr"] is not None]
        cells = []
        for method, reference in methods:
            part = [r for r in group if (r["method"], r["reference"]) == (method, reference)]
            if not part:
                cells.append("-")
                continue
            mean, most = merge(part), max(r["clean_held"] for r in part)
            cells.append(
                cell(mean, auroc=False) + (f" ({most:.4f})" if method == "default" else "")
            )
        out.append([kind, number(np.mean(asr) if asr else None, 2), *cells])
    heads = [m if m.startswith("ART") else f"{m} ({r})" for m, r in methods]
    return table(["attack, share of the set", "asr", *heads], out)


def seconds_table(rows):
    out = []
    for data in dict.fromkeys(r["set"] for r in rows):
        part = [r for r in rows if r["set"] == data]
        for method, reference in dict.fromkeys((r["method"], r["reference"]) for r in part):
            if "our share" in method:
                continue
            times = [
                r["seconds"] for r in part if (r["method"], r["reference"]) == (method, reference)
            ]
            out.append([data, method, reference, number(np.mean(times), 2), str(len(times))])
    return table(["set", "method", "reference", "mean seconds", "calls"], out)


def verdicts(rows, below, above):
    """What the tables say, in numbers taken from them."""
    mine = [r for r in rows if r["method"] == "default"]
    known = [r for r in mine if r["reference"] == "trusted"]
    blind = [r for r in mine if r["reference"] == "none"]
    every = [r for r in rows if r["method"] == "every class searched"]
    lines = ["## What this says\n"]
    for data, what in (("mnist_backdoor", "mnist_backdoor"), ("digits", "digits")):
        part = [r for r in known if r["set"] == data]
        took = [r for r in part if (r["asr"] or 0) >= 0.9]
        good = [r for r in took if r["tpr"] >= 0.99 and r["clean_held"] <= 0.01]
        if not took:
            continue
        lines.append(
            f"* **{what}, trusted rows, attack success at least .9**: TPR at least .99 with at most "
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
            f"* **{what}, clean runs**: {percent(np.mean([r['clean_held'] for r in clean]))} held on "
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
                f"* **{what}, runs that did not implant** (mislabelled, attack success below .1): "
                f"TPR {min(r['tpr'] for r in weak):.3f} to {max(r['tpr'] for r in weak):.3f}, clean "
                f"held at most {percent(max(r['clean_held'] for r in weak))}."
            )
    clean = [r for r in blind if r["poisons"] == 0]
    most = max(r["n_held"] / r["rows"] for r in blind)
    lines.append(
        f"* **Without trusted rows**: at most {percent(most)} of all rows are held in any run, by "
        f"construction; clean sets lose {percent(max(r['clean_held'] for r in clean))} at most."
    )
    for data in ("mnist_backdoor", "digits", "adaptive"):
        names = {r["run"] for r in blind if r["set"] == data and r["poisons"]}
        if not names:
            continue
        mean = np.mean([r["tpr"] for r in blind if r["set"] == data and r["poisons"]])
        lost, wide = below[data], above[data]
        lines.append(
            f"  {data}: mean TPR {mean:.2f}. At our held share a cut of ART's scores recalls more on "
            f"{len({b[0] for b in lost})} of {len(names)} runs{listed(lost)}. At its own defaults ART "
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


def heading(rows):
    made = next((r for r in rows if "versions" in r), None)
    if made is None:
        return ""
    names = ", ".join(f"{k} {v}" for k, v in made["versions"].items())
    return (
        f"Run with {names}; {made['threads']} thread; folds dealt with seeds {made['seeds']} on mnist, "
        f"0 on digits; digits networks trained with seeds {made['digits']}.\n"
    )


def report(lines):
    rows = [r for r in lines if "run" in r and "error" not in r]
    failed = [r for r in lines if "error" in r]
    parts = [HEAD, heading(lines), NOT_BLIND.format(later=LATER)]
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
    parts += ["## Seconds\n", seconds_table(rows)]
    if failed:
        parts.append(f"{len(failed)} calls of ART raised: {failed[0]['error']}\n")
    return "\n".join([*parts, verdicts(rows, below, above)])


def main() -> None:
    lines = [line for path in sys.argv[1:] for line in Path(path).read_text().splitlines()]
    print(report([json.loads(line) for line in lines]))


if __name__ == "__main__":
    main()
