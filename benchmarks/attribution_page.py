"""The page of `attribution.py`: tables of what was measured, with exact binomial intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attribution_networks import ATTACKS, KINDS, REGIMES
from scipy.stats import binomtest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attribution import Outcome

LEVELS = (0.01, 0.05)
_FEW = 8


def page(outcomes: Sequence[Outcome], first: int) -> str:
    """The head with all tables in it."""
    head = (Path(__file__).parent / "attribution_head.md").read_text("utf-8")
    traced = [o for o in outcomes if o.implanted]
    attacked = [o for o in traced if o.attack != "none"]
    left = [o for o in outcomes if not o.implanted]
    return head.format(
        networks=len(outcomes),
        summary=_summary(traced),
        attacked="\n\n".join(_attacked(attacked, regime) for regime in REGIMES),
        clean=_clean([o for o in traced if o.attack == "none"]),
        missed=_missed(attacked),
        failed=", ".join(f"{a} {sum(o.attack == a for o in left)}" for a in ATTACKS),
        seconds=round(sum(o.seconds for o in outcomes)),
        first=first,
    )


def _accused(one: Outcome) -> bool:
    return one.p_guilty <= LEVELS[0] and not one.cannot_say


def _other(one: Outcome) -> bool:
    return one.others <= LEVELS[0] and not one.cannot_say


def _somebody(level: float) -> Callable[[Outcome], bool]:
    return lambda one: one.smallest <= level and not one.cannot_say


def _rate(rows: Sequence[Outcome], of: Callable[[Outcome], bool]) -> str:
    """How many of how many, and the exact interval (Clopper and Pearson) of 95 %."""
    if not rows:
        return "none"
    count = sum(of(one) for one in rows)
    low, high = binomtest(count, len(rows)).proportion_ci(0.95, "exact")
    return f"{count} of {len(rows)} ({100 * low:.1f} to {100 * high:.1f} %)"


def _summary(traced: Sequence[Outcome]) -> str:
    lines = [
        "| | right source first | accused at p ≤ .01 | another accused | clean networks that "
        "accuse somebody at .01 | at .05 |",
        "|---|---|---|---|---|---|",
    ]
    for regime in (*REGIMES, "**all**"):
        rows = [o for o in traced if regime in (o.regime, "**all**")]
        bad, clean = (
            [o for o in rows if o.attack != "none"],
            [o for o in rows if o.attack == "none"],
        )
        cells = [_rate(bad, lambda o: o.first), _rate(bad, _accused), _rate(bad, _other)]
        cells += [_rate(clean, _somebody(level)) for level in LEVELS]
        lines.append(f"| {regime} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _attacked(rows: Sequence[Outcome], regime: str) -> str:
    lines = [
        f"### {regime.capitalize()}",
        "",
        "| data | attack | networks | right source first | accused at p ≤ .01 | another accused "
        "| poisoned records | precision | first by influence | its precision |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    mine = [o for o in rows if o.regime == regime]
    for kind in KINDS:
        for attack in ATTACKS:
            some = [o for o in mine if (o.kind, o.attack) == (kind, attack)]
            if some:
                lines.append(f"| {kind} | {attack} | {_cells(some)} |")
    for attack in ATTACKS:
        some = [o for o in mine if o.attack == attack]
        if some:
            lines.append(f"| **all** | {attack} | {_cells(some)} |")
    return "\n".join(lines)


def _cells(rows: Sequence[Outcome]) -> str:
    counts = sorted(o.poisoned for o in rows)
    return " | ".join(
        [
            str(len(rows)),
            str(sum(o.first for o in rows)),
            str(sum(_accused(o) for o in rows)),
            str(sum(_other(o) for o in rows)),
            f"{counts[0]} to {counts[-1]}",
            f"{np.mean([o.precision for o in rows]):.2f}",
            str(sum(o.influence_first for o in rows)),
            f"{np.mean([o.influence_precision for o in rows]):.2f}",
        ]
    )


def _clean(rows: Sequence[Outcome]) -> str:
    lines = [
        "| data | sources | networks | cannot say | somebody at p ≤ .01 | somebody at p ≤ .05 |",
        "|---|---|---|---|---|---|",
    ]
    for kind in (*KINDS, "**all**"):
        for regime in REGIMES:
            some = [o for o in rows if kind in (o.kind, "**all**") and o.regime == regime]
            if some:
                silent = sum(o.cannot_say for o in some)
                counts = [sum(_somebody(level)(o) for o in some) for level in LEVELS]
                lines.append(
                    f"| {kind} | {regime} | {len(some)} | {silent} | {counts[0]} | {counts[1]} |"
                )
    return "\n".join(lines)


def _missed(rows: Sequence[Outcome]) -> str:
    missed = [o for o in rows if not _accused(o)]
    if not missed:
        return "None was missed."
    lines = [
        "| data | attack | sources | poisoned records | right source first | p "
        "| records planted: accused |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {o.kind} | {o.attack} | {o.regime} | {o.poisoned} | {'yes' if o.first else 'no'} "
        f"| {'cannot say' if o.cannot_say else f'{o.p_guilty:.3f}'} | {o.unaccused_says} |"
        for o in missed
    ]
    by_count = [
        (words, [o for o in rows if low <= o.poisoned <= high])
        for words, low, high in (
            (f"fewer than {_FEW}", 0, _FEW - 1),
            (f"{_FEW} and more", _FEW, 10**9),
        )
    ]
    told = "; ".join(
        f"{words} poisoned records: {_rate(some, _accused)}" for words, some in by_count
    )
    return "\n".join([*lines, "", f"Accused, by number of poisoned records: {told}."])
