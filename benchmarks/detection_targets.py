"""The targets of screening, each with its figure and whether it was reached."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

Line = dict[str, Any]
PEER = "cleanlab find_label_issues"
OURS = "lazaretto fused"
BY_RATE = "lazaretto fused, hold: rate"


@dataclass(frozen=True)
class Target:
    """One target on one set (or all of them).

    Attributes:
        name: what is asked.
        where: set, or "all".
        figure: what was measured.
        reached: ``yes``, ``no``, ``abstains`` or ``noise`` (missed by under two standard errors).
    """

    name: str
    where: str
    figure: str
    reached: str


def paired(draws: list[Line], name: str, key: str, first: str, second: str) -> tuple[float, float]:
    """Mean over draws of the difference between two methods, and its standard error."""
    of = {(line["draw"], line["method"]): line for line in draws if line["set"] == name}
    seeds = sorted({seed for seed, method in of if method == first and (seed, second) in of})
    gaps = [of[seed, first][key] - of[seed, second][key] for seed in seeds]
    return mean(gaps), stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0


def targets(quality: list[Line], draws: list[Line], promises: list[Line]) -> list[Target]:
    """All targets that the lines can answer."""
    of: dict[str, dict[str, Line]] = {}
    for line in quality:
        if "skipped" not in line:
            of.setdefault(line["set"], {})[line["method"]] = line
    found = [*_promise(promises)]
    for name, rows in of.items():
        drawn = any(line["set"] == name and line["method"] == PEER for line in draws)
        if "_flip" in name and drawn:
            found.append(_flips(draws, name))
        if "_flood" in name:
            figure = f"{rows[OURS]['recall']:.1%}"
            reached = "yes" if rows[OURS]["recall"] >= 0.99 else "no"
            found.append(Target("floods: recall at least 99 %", name, figure, reached))
        if PEER in rows and any(kind in name for kind in ("_trigger", "badnets", "blend")):
            found.append(_triggers(rows, name))
    for source, title in ((quality, "reported halves"), (draws, "mean over draws")):
        found += _without_labels(source, title)
    return found


def _promise(promises: list[Line]) -> list[Target]:
    found = []
    for line in promises:
        rate, where = line["rate"], line["set"]
        if line["calibration"] == "marginal":
            for rule, keys in (
                ("evidence", ("mean_held", "p90_held")),
                ("rate", ("mean_by_rate", "p90_by_rate")),
            ):
                average, tenth = (line[key] for key in keys)
                # The percentile lies 1.28 standard deviations above the mean of 20 splits.
                error = max(0.0, tenth - average) / 1.28 / 20**0.5
                reached = "yes" if average <= rate else "noise"
                if average > rate + 2 * error or tenth > 2 * rate:
                    reached = "no"
                found.append(
                    Target(
                        f"promise at {rate:.0%}, hold: {rule}: mean at most the rate, 90th "
                        "percentile at most twice",
                        where,
                        f"{average:.3%} ± {error:.3%}, {tenth:.2%}",
                        reached,
                    )
                )
        else:
            abstains = set(line["verdicts"]) == {"ABSTAIN"}
            beyond = line["exceeding"] - 0.1
            kept = "yes" if beyond <= 0 else "noise" if beyond <= 2 * (0.09 / 20) ** 0.5 else "no"
            found.append(
                Target(
                    f"hard promise at {rate:.0%}: at most 10 % of calibrations beyond the rate",
                    where,
                    f"{line['trusted']} trusted rows are too few"
                    if abstains
                    else f"{line['exceeding']:.0%}",
                    "abstains" if abstains else kept,
                )
            )
    return found


def _flips(draws: list[Line], name: str) -> Target:
    gap, error = paired(draws, name, "ap", OURS, PEER)
    reached = "yes" if gap >= 0 else "noise" if gap + 2 * error >= 0 else "no"
    return Target(
        "flips: average precision at least cleanlab's (mean over draws)",
        name,
        f"{gap:+.4f} ± {error:.4f}",
        reached,
    )


def _triggers(rows: dict[str, Line], name: str) -> Target:
    mine, rated, other = rows[OURS], rows[BY_RATE], rows[PEER]
    best = other["ours_at_its_clean_held"]
    reached = best >= 2 * other["recall"]
    return Target(
        "triggers: recall at least twice cleanlab's at no more held clean rows",
        name,
        f"{best:.1%} with as many clean rows held, cleanlab {other['recall']:.1%}"
        + (" (twice is more than all)" if other["recall"] > 0.5 else "")
        + f"; by evidence {mine['recall']:.1%}, by rate {rated['recall']:.1%}",
        "yes" if reached else "no",
    )


def _without_labels(lines: list[Line], title: str) -> list[Target]:
    labelled = {line["set"] for line in lines if line["method"] == PEER}
    values: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        if line["set"] not in labelled and "auroc" in line:
            values.setdefault(line["method"], {}).setdefault(line["set"], []).append(line["auroc"])
    if OURS not in values:
        return []
    means = {
        method: mean(mean(of_set) for of_set in sets.values())
        for method, sets in values.items()
        if len(sets) == len(values[OURS])
    }
    peers = {name: value for name, value in means.items() if not name.startswith("lazaretto")}
    if not peers:
        return []
    best = max(peers, key=lambda name: peers[name])
    return [
        Target(
            f"no labels: mean AUROC at least that of the best peer ({title})",
            f"{len(values[OURS])} sets",
            f"{means[OURS]:.4f}, {best} {peers[best]:.4f}",
            "yes" if means[OURS] >= peers[best] else "no",
        )
    ]


def target_text(found: list[Target]) -> list[str]:
    """Two sections: how many were reached, by kind; and every one that was not."""
    kinds: dict[str, list[Target]] = {}
    for target in found:
        kinds.setdefault(target.name, []).append(target)
    text = ["## Targets", "", "| target | reached | abstains | of |", "|---|---|---|---|"]
    for name, members in kinds.items():
        reached, abstains = (
            sum(target.reached == answer for target in members) for answer in ("yes", "abstains")
        )
        text.append(f"| {name} | {reached} | {abstains or ''} | {len(members)} |")
    missed = [target for target in found if target.reached != "yes"]
    text += ["", "## Where the targets are not reached", ""]
    if not missed:
        return [*text, "Nowhere in this run.", ""]
    text += ["| target | set | measured | |", "|---|---|---|---|"]
    notes = {
        "no": "missed",
        "noise": "missed by less than two standard errors",
        "abstains": "abstains: no promise, and the batch waits for a person",
    }
    text += [f"| {t.name} | {t.where} | {t.figure} | {notes[t.reached]} |" for t in missed]
    return [*text, ""]
