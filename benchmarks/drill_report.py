"""The document of `benchmarks/drill.py`, from its lines."""

from __future__ import annotations

import numpy as np

_COST = """
Seconds by the clock, summed over what the drill judged. *gate*: receiving, contract, vectors and
verdict, which every delivery costs. *drill*: what only a drill does. Asked for: under 10 % of the
screening.
"""


def document(rows: list[dict], about: str) -> str:
    """All of it.

    Args:
        rows: that were printed.
        about: what made them.
    """
    cells, cost = cells_of(rows), [row for row in rows if row["part"] == "cost"]
    parts = ["# Drills: what they tell, and what they cost\n", about + "\n"]
    parts += ["## Predicted and real recall\n", _summary(cells)]
    parts += ["## What a drill costs beyond the screening\n", _COST.strip() + "\n", _costs(cost)]
    parts += ["## Every cell\n", _cells(cells)]
    return "\n".join(parts)


def cells_of(rows: list[dict]) -> list[dict]:
    """For each attack and dose the drill's mean and interval, and what really came of it."""
    told = {
        (row["set"], row["attack"], row["dose"]): row for row in rows if row["part"] == "predicted"
    }
    came: dict[tuple, list[dict]] = {}
    for row in rows:
        if row["part"] == "real":
            came.setdefault((row["kind"], row["set"], row["attack"], row["dose"]), []).append(row)
    found = []
    for (kind, name, attack, dose), real in came.items():
        by = told[name, real[0]["by"], dose]
        recall = np.array([row["recall"] for row in real])
        found.append({
            "kind": kind, "set": name, "attack": attack, "by": by, "dose": dose, "real": recall,
            "off": by["mean"] - recall.mean(),
            "inside": by["low"] <= recall.mean() <= by["high"],
            "one": np.abs(by["mean"] - recall).mean(),
            "clean_held": float(np.mean([row["clean_held"] for row in real])),
        })  # fmt: skip
    return found


def _summary(cells: list[dict]) -> str:
    body = []
    for kind in dict.fromkeys(one["kind"] for one in cells):
        for name in [*dict.fromkeys(one["set"] for one in cells), "all"]:
            mine = [one for one in cells if one["kind"] == kind and name in (one["set"], "all")]
            off = np.array([one["off"] for one in mine])
            inside = sum(one["inside"] for one in mine)
            single = np.mean([one["one"] for one in mine])
            body.append([
                kind, name, str(len(mine)), f"{off.mean():+.3f}", f"{np.abs(off).mean():.3f}",
                f"{inside} of {len(mine)}", f"{single:.3f}",
            ])  # fmt: skip
    head = [
        "attacks",
        "sets",
        "cells",
        "mean of predicted - real",
        "mean of the absolute difference",
    ]
    return _table([*head, "real within the interval", "of a single delivery"], body)


def _costs(cost: list[dict]) -> str:
    body = []
    for name in dict.fromkeys(row["set"] for row in cost):
        mine = [row for row in cost if row["set"] == name]
        all_, screening, judging = (
            sum(row[key] for row in mine) for key in ("seconds", "screening", "judging")
        )
        own = all_ - judging
        body.append([
            name, str(len(mine)), f"{screening:.1f}", f"{judging - screening:.1f}", f"{own:.1f}",
            f"{own / screening:.1%}",
        ])  # fmt: skip
    return _table(["set", "copies", "screening", "gate", "drill", "drill / screening"], body)


def _cells(cells: list[dict]) -> str:
    body = [
        [
            one["set"], one["kind"], one["attack"], one["by"]["attack"], f"{one['dose']:.0%}",
            f"{one['by']['mean']:.2f} ({one['by']['low']:.2f} to {one['by']['high']:.2f})",
            f"{one['real'].mean():.2f}", " ".join(f"{each:.2f}" for each in one["real"]),
            f"{one['clean_held']:.3f}",
        ]
        for one in sorted(cells, key=lambda one: (one["set"], one["kind"], one["attack"]))
    ]  # fmt: skip
    head = ["set", "attacks", "attack", "predicted by", "dose", "predicted", "real"]
    return _table([*head, "real, each", "clean held"], body)


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in body)]) + "\n"
