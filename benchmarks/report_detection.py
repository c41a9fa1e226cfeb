"""Writes `results/detection.md` and its figures from the JSON lines of `detection.py`.

python benchmarks/report_detection.py FILES... [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

PEER = "cleanlab find_label_issues"
OURS = "lazaretto fused"
Line = dict[str, Any]


def read(paths: list[Path]) -> list[Line]:
    return [json.loads(text) for path in paths for text in path.read_text().splitlines()]


def quality_tables(lines: list[Line]) -> list[str]:
    sets = list(dict.fromkeys(line["set"] for line in lines))
    text = []
    for name in sets:
        rows = [line for line in lines if line["set"] == name]
        head = rows[0]
        text += [
            f"### {name}",
            "",
            f"{head['reference']} trusted rows, {head['rows']} rows in the batch, "
            f"{head['poison']} of them poisoned or anomalous.",
            "",
            "| method | AUROC | average precision | TPR at 1 % FPR | clean held | recall | verdict "
            "| s |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for line in rows:
            if "skipped" in line:
                text.append(f"| {line['method']} | not run: {line['skipped']} | | | | | | |")
                continue
            verdict = line.get("verdict", "")
            if line.get("tests"):
                verdict += f" ({', '.join(line['tests'])})"
            cells = [line["method"], line["auroc"], line["ap"], line["tpr_at_1_fpr"]]
            cells += [line.get("clean_held", ""), line.get("recall", ""), verdict]
            text.append("| " + " | ".join(str(c) for c in [*cells, line.get("seconds", "")]) + " |")
        text.append("")
    return text


def headline(lines: list[Line]) -> list[str]:
    """Ours beside the best peer, per set."""
    text = [
        "| set | ours: AUROC / AP | best peer by AUROC | cleanlab: AUROC / AP | "
        "ours at 1 %: clean held, recall, verdict | cleanlab: clean held, recall |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(line["set"] for line in lines):
        rows = {line["method"]: line for line in lines if line["set"] == name}
        mine, other = rows[OURS], rows.get(PEER)
        peers = [
            line
            for method, line in rows.items()
            if not method.startswith("lazaretto") and "auroc" in line
        ]
        best = max(peers, key=lambda line: line["auroc"]) if peers else None
        cells = [
            name,
            f"{mine['auroc']:.3f} / {mine['ap']:.3f}",
            f"{best['method']} {best['auroc']:.3f}" if best else "",
            f"{other['auroc']:.3f} / {other['ap']:.3f}" if other and "auroc" in other else "",
            f"{mine['clean_held']:.2%}, {mine['recall']:.1%}, {mine['verdict']}",
            f"{other['clean_held']:.2%}, {other['recall']:.1%}"
            if other and "clean_held" in other
            else "",
        ]
        text.append("| " + " | ".join(cells) + " |")
    unlabelled = [
        name
        for name in dict.fromkeys(line["set"] for line in lines)
        if not any(line["set"] == name and line["method"] == PEER for line in lines)
    ]
    if unlabelled:
        means: dict[str, list[float]] = {}
        for line in lines:
            if line["set"] in unlabelled and "auroc" in line:
                means.setdefault(line["method"], []).append(line["auroc"])
        text += ["", f"Mean AUROC over the {len(unlabelled)} sets without labels (adbench):", ""]
        for method, values in sorted(means.items(), key=lambda item: -sum(item[1]) / len(item[1])):
            if len(values) == len(unlabelled) and method != "lazaretto fused 5%":
                text.append(f"* {method}: {sum(values) / len(values):.4f}")
    return [*text, ""]


def promise_table(lines: list[Line]) -> list[str]:
    text = [
        "| clean set | stated rate | calibration | mean held | 90th percentile | mean p <= rate | "
        "90th percentile | calibrations beyond | verdicts |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        verdicts = ", ".join(f"{name} {count}" for name, count in line["verdicts"].items())
        text.append(
            f"| {line['set']} | {line['rate']:.0%} | {line['calibration']} "
            f"| {line['mean_held']:.3%} "
            f"| {line['p90_held']:.3%} | {line['mean_p_at_rate']:.3%} "
            f"| {line['p90_p_at_rate']:.3%} | {line['exceeding']:.0%} | {verdicts} |"
        )
    return [*text, ""]


def speed_table(lines: list[Line]) -> list[str]:
    keys = [
        "rows",
        "seconds",
        "rows_per_second",
        "floor_seconds",
        "ratio",
        "cpu_ratio",
        "peak_gb",
        "sklearn_seconds",
    ]
    text = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    text += ["| " + " | ".join(str(line.get(key, "")) for key in keys) + " |" for line in lines]
    return [*text, ""]


def bars(lines: list[Line]) -> str:
    """An SVG: recall and clean share held, ours at a stated 1 % and cleanlab's."""
    names = [line["set"] for line in lines if line["method"] == PEER and "recall" in line]
    height = 44 * len(names) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" '
        'font-family="sans-serif" font-size="12">',
        '<text x="250" y="18">recall of poisoned records</text>',
        '<text x="560" y="18">clean records held</text>',
    ]
    for row, name in enumerate(names):
        top = 34 + 44 * row
        parts.append(f'<text x="4" y="{top + 20}">{name[:34]}</text>')
        for offset, method, colour in ((0, OURS, "#1f6f8b"), (17, PEER, "#c9a227")):
            line = next(d for d in lines if d["set"] == name and d["method"] == method)
            for left, scale, key in ((250, 250, "recall"), (560, 1300, "clean_held")):
                width = max(1.0, min(170.0 if left == 560 else 250.0, line[key] * scale))
                parts.append(
                    f'<rect x="{left}" y="{top + offset}" width="{width:.1f}" height="13" '
                    f'fill="{colour}"/><text x="{left + width + 4:.1f}" y="{top + offset + 11}">'
                    f"{line[key]:.1%}</text>"
                )
    legend = height - 6
    parts.append(f'<text x="250" y="{legend}" fill="#1f6f8b">Lazaretto, stated rate 1 %</text>')
    parts.append(f'<text x="430" y="{legend}" fill="#c9a227">{PEER}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    lines = read(arguments.files)
    quality = [line for line in lines if "method" in line]
    promises = [line for line in lines if line.get("promise")]
    speed = [line for line in lines if "floor_seconds" in line]
    text = [
        "# Detection: what was measured",
        "",
        "Generated by `benchmarks/report_detection.py` from `benchmarks/detection.py` and "
        "`benchmarks/screen_speed.py`; one run, one machine, 2 shared cores. Each set's rows are "
        "split once at random: weights and defaults were chosen on the development half, its clean "
        "rows are the trusted reference, and every figure is of the other half. Peers get the same "
        "reference where they can take one.",
        "",
        "## At a glance",
        "",
        *headline(quality),
    ]
    if promises:
        text += [
            "## The promise on clean batches",
            "",
            "20 random splits per set into a reference and a batch, at most 2,000 rows each. "
            "*Held* is what the verdict rule held; *p <= rate* is the most that any rule here may "
            "hold; *beyond* is the share of calibrations whose *p <= rate* was above the rate, "
            "which `hard` calibration (delta 10 %) bounds up to the batch's own sampling noise.",
            "",
            *promise_table(promises),
        ]
    if speed:
        text += [
            "## Speed",
            "",
            "d = 384, reference of 20,000 rows (12,000 of them searched), 10 classes, detectors "
            "mahalanobis, knn_label, density and duplicates. `ratio` is to the floor by the clock, "
            "`cpu_ratio` by CPU time, which other work on the machine disturbs less.",
            "",
            *speed_table(speed),
        ]
    text += ["## Every method on every set", "", *quality_tables(quality)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "detection.md").write_text("\n".join(text))
    if any(line["method"] == PEER and "recall" in line for line in quality):
        (arguments.out / "detection.svg").write_text(bars(quality))


if __name__ == "__main__":
    main()
