"""Tables of benchmarks/results/sanitize.md, from the lines of benchmarks/sanitize.py."""

from __future__ import annotations

import re

import numpy as np

PUBLISHED = ("mahalanobis", "deep_knn", "scan", "spectral", "activation_clustering", "gram")


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


def kind_of(run):
    """A run's name without its classes and seed: attack, and rate or count."""
    return re.sub(r"( \d-\d)? s\d+$", "", run)


def digits_table(rows, what="share of the set"):
    """Means over networks and seeds, per attack and rate or count."""
    kinds = dict.fromkeys(kind_of(r["run"]) for r in rows)
    shown = ("default", "every class searched", "ART")
    rows = [r for r in rows if r["method"].startswith(shown)]
    methods = list(dict.fromkeys((r["method"], r["reference"]) for r in rows))
    out = []
    for kind in kinds:
        group = [r for r in rows if kind_of(r["run"]) == kind]
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
    return table([f"attack, {what}", "asr", *heads], out)


def alone(rows):
    """{set: {method: {run: TPR}}} without trusted rows, of `PUBLISHED` and of ours ("default")."""
    out = {}
    for r in rows:
        if r["reference"] == "none" and r["poisons"] and r["method"] in ("default", *PUBLISHED):
            found = out.setdefault(r["set"], {}).setdefault(r["method"], {})
            found.setdefault(r["run"], []).append(r["tpr"])
    return {
        data: {
            name: {run: float(np.mean(seen)) for run, seen in found.items()}
            for name, found in methods.items()
        }
        for data, methods in out.items()
    }


def means_table(rows):
    """Mean TPR of every published method alone without trusted rows, set by set."""
    body = []
    for data, methods in alone(rows).items():
        means = [np.mean(list(methods[m].values())) for m in ("default", *PUBLISHED)]
        body.append([data, str(len(methods["default"])), *(number(mean, 2) for mean in means)])
    return table(["set", "poisoned runs", "ours", *PUBLISHED], body)


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
