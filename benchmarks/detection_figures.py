"""Figures of the detection benchmark, drawn from its lines as SVG."""

from __future__ import annotations

from typing import Any

from detection_targets import BY_RATE, OURS, PEER

Line = dict[str, Any]
COLOURS = {OURS: "#1f6f8b", BY_RATE: "#7fb6c6", PEER: "#c9a227"}
NAMES = {OURS: "Lazaretto, 1 %", BY_RATE: "Lazaretto, 1 %, hold: rate", PEER: "cleanlab"}


def bars(lines: list[Line]) -> str:
    """Recall and clean share held per labelled set: both hold rules and cleanlab."""
    names = [line["set"] for line in lines if line["method"] == PEER and "recall" in line]
    height = 56 * len(names) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="760" height="{height}" fill="#fff"/>',
        '<text x="250" y="18">recall of poisoned records</text>',
        '<text x="560" y="18">clean records held</text>',
    ]
    for row, name in enumerate(names):
        top = 30 + 56 * row
        parts.append(f'<text x="4" y="{top + 26}">{name[:34]}</text>')
        for place, (method, colour) in enumerate(COLOURS.items()):
            line = next(d for d in lines if d["set"] == name and d["method"] == method)
            for left, scale, key in ((250, 250, "recall"), (560, 1300, "clean_held")):
                width = max(1.0, min(150.0 if left == 560 else 250.0, line[key] * scale))
                parts.append(
                    f'<rect x="{left}" y="{top + 16 * place}" width="{width:.1f}" height="12" '
                    f'fill="{colour}"/><text x="{left + width + 4:.1f}" '
                    f'y="{top + 16 * place + 10}" font-size="11">{line[key]:.1%}</text>'
                )
    for place, (method, colour) in enumerate(COLOURS.items()):
        left = 180 + 170 * place
        parts.append(f'<text x="{left}" y="{height - 6}" fill="{colour}">{NAMES[method]}</text>')
    return "\n".join([*parts, "</svg>", ""])


def promise_figure(lines: list[Line]) -> str:
    """Share of clean records with ``p <= rate`` per set, as a multiple of the stated rate.

    A dot is the mean over splits, the line ends at their 90th percentile; the promise is the line
    at 1 for the mean and the one at 2 for the percentile.
    """
    marginal = [line for line in lines if line["calibration"] == "marginal"]
    names = list(dict.fromkeys(line["set"] for line in marginal))
    height = 34 * len(names) + 56
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="760" height="{height}" fill="#fff"/>',
        '<text x="300" y="16">clean records beyond the rate, in units of the rate</text>',
    ]
    for unit in (0, 1, 2):
        x = 300 + 200 * unit
        parts.append(
            f'<line x1="{x}" y1="26" x2="{x}" y2="{height - 30}" stroke="#bbb"/>'
            f'<text x="{x - 3}" y="{height - 16}">{unit}</text>'
        )
    for row, name in enumerate(names):
        top = 42 + 34 * row
        parts.append(f'<text x="4" y="{top + 8}">{name[:42]}</text>')
        of_set = [line for line in marginal if line["set"] == name]
        for place, line in enumerate(of_set):
            colour = ("#1f6f8b", "#c9a227")[place % 2]
            y = top + 10 * place
            dot, end = (
                300 + 200 * min(2.2, line[key] / line["rate"])
                for key in ("mean_by_rate", "p90_by_rate")
            )
            parts.append(
                f'<line x1="{dot:.1f}" y1="{y}" x2="{end:.1f}" y2="{y}" stroke="{colour}" '
                f'stroke-width="2"/><circle cx="{dot:.1f}" cy="{y}" r="4" fill="{colour}"/>'
            )
    parts.append(f'<text x="430" y="{height - 4}" fill="#1f6f8b">stated 1 %</text>')
    parts.append(f'<text x="530" y="{height - 4}" fill="#c9a227">stated 5 %</text>')
    return "\n".join([*parts, "</svg>", ""])
