"""How often the guilty source is found and accused, and how often anybody is where nobody is.

    python benchmarks/attribution.py --data FOLDER --out benchmarks/results/attribution.md

Without ``--data`` only scikit-learn's digits are used. With ``--parts FOLDER`` what came out is
kept there by kind of data (``--kinds sms,adult``), so that several processes share the work; the
page is of all that is there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attribution_networks import ATTACKS, KINDS, Case, load, make

from lazaretto.attribution import Attribution, Queries, Training, attribute

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_SEED = 5000  # those below were used to choose the settings, or reported before
IMPLANTED = 0.3
LEVELS = (0.01, 0.05)
_SEEDS = {"digits": (6, 16), "mnist": (3, 4), "sms": (4, 12), "sst2": (4, 12), "adult": (4, 12)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out for one network; shares are nan where nothing was poisoned."""

    kind: str
    attack: str
    differ: bool
    smallest: float
    first: bool
    p_guilty: float
    others: float
    precision: float
    influence_first: bool
    influence_precision: float
    agreement: float
    cannot_say: bool


def judge(case: Case, kind: str, attack: str, *, differ: bool) -> Outcome:
    n = len(case.labels)
    training = Training(
        case.features,
        case.labels.astype(str),
        [f"{row:06d}" for row in range(n)],
        [f"b{batch:02d}" for batch in case.batches],
        [f"s{source}" for source in case.sources],
    )
    found = attribute(
        training,
        Queries(case.wrong, case.wrong_class.astype(str)),
        Queries(case.right, case.right_class.astype(str)),
    )
    guilty = f"s{case.guilty}"
    others = [float(s.p_value) for s in found.sources if s.source != guilty]
    return Outcome(
        kind,
        attack,
        differ,
        float(min(s.p_value for s in found.sources)),
        bool(found.sources[0].source == guilty),
        next((s.p_value for s in found.sources if s.source == guilty), float("nan")),
        min(others),
        _precision(case, found, "excess"),
        bool(max(found.sources, key=lambda s: s.influence).source == guilty),
        _precision(case, found, "influence"),
        found.agreement_wrong,
        bool(found.cannot_say),
    )


def _precision(case: Case, found: Attribution, by: str) -> float:
    """Share of poison among as many records as are poisoned, those with most influence."""
    count = int(case.poisoned.sum())
    if not count:
        return float("nan")
    rows = np.array(found.records["record_id"].to_pylist()).astype(int)
    if by == "influence":
        rows = rows[np.argsort(-found.records["influence"].to_numpy(), kind="stable")]
    return float(case.poisoned[rows[:count]].mean())


def run(folder: Path | None, kinds: Sequence[str]) -> tuple[list[Outcome], dict[str, int]]:
    outcomes, failed = [], defaultdict(int)
    for kind in kinds if folder else ("digits",):
        data = load(kind, folder)
        attacked, clean = _SEEDS[kind]
        plan = [(a, s) for a in ATTACKS for s in range(attacked)]
        plan += [("none", s) for s in range(clean)]
        for differ in (False, True):
            for attack, seed in plan:
                case = make(
                    data,
                    kind,
                    attack,
                    FIRST_SEED + seed,
                    differ=differ,
                    bad_batches=1 + seed % 2,
                )
                if attack != "none" and (case.success < IMPLANTED or len(case.wrong) < 5):
                    failed[attack] += 1
                    continue
                outcomes.append(judge(case, kind, attack, differ=differ))
            print(kind, differ, len(outcomes), f"{time.process_time():.0f} s", flush=True)
    return outcomes, failed


def _attack_row(rows: list[Outcome]) -> str:
    def share(values: list[bool]) -> str:
        return f"{np.mean(values):.2f}"

    return " | ".join(
        [
            str(len(rows)),
            share([o.first for o in rows]),
            share([o.p_guilty <= 0.01 and not o.cannot_say for o in rows]),
            share([o.others <= 0.01 and not o.cannot_say for o in rows]),
            f"{np.mean([o.precision for o in rows]):.2f}",
            share([o.influence_first for o in rows]),
            f"{np.mean([o.influence_precision for o in rows]):.2f}",
        ]
    )


def tables(outcomes: list[Outcome]) -> str:
    lines = []
    for differ, words in ((False, "Sources deliver the same kind"), (True, "Sources differ")):
        lines += [
            f"### {words}",
            "",
            "| data | attack | networks | right source first | accused at p ≤ .01 "
            "| another accused | precision | first by influence | its precision |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        mine = [o for o in outcomes if o.differ == differ and o.attack != "none"]
        for kind in KINDS:
            for attack in ATTACKS:
                rows = [o for o in mine if (o.kind, o.attack) == (kind, attack)]
                if rows:
                    lines.append(f"| {kind} | {attack} | {_attack_row(rows)} |")
        lines += [f"| **all** | | {_attack_row(mine)} |", ""]
        lines += [
            "| data | clean networks | somebody at p ≤ .01 | somebody at p ≤ .05 |",
            "|---|---|---|---|",
        ]
        clean = [o for o in outcomes if o.differ == differ and o.attack == "none"]
        for kind in (*KINDS, "**all**"):
            rows = [o for o in clean if kind in (o.kind, "**all**")]
            if rows:
                counts = [sum(o.smallest <= level for o in rows) for level in LEVELS]
                lines.append(f"| {kind} | {len(rows)} | {counts[0]} | {counts[1]} |")
        lines.append("")
    return "\n".join(lines)


def page(outcomes: list[Outcome], failed: dict[str, int], seconds: float) -> str:
    head = (Path(__file__).parent / "attribution_head.md").read_text("utf-8")
    left = ", ".join(f"{attack} {count}" for attack, count in sorted(failed.items())) or "none"
    return head.format(
        tables=tables(outcomes), failed=left, seconds=round(seconds), first=FIRST_SEED
    )


def _parts(folder: Path) -> tuple[list[Outcome], dict[str, int], float]:
    """What all processes kept: outcomes, networks that did not take the attack, CPU seconds."""
    kept = [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))]
    failed = {attack: sum(part["failed"].get(attack, 0) for part in kept) for attack in ATTACKS}
    outcomes = [Outcome(**one) for part in kept for one in part["outcomes"]]
    return outcomes, failed, sum(part["seconds"] for part in kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--parts", type=Path)
    options = parser.parse_args()
    kinds = [kind for kind in options.kinds.split(",") if kind]
    seconds = 0.0
    outcomes: list[Outcome] = []
    failed: dict[str, int] = {}
    for kind in kinds:
        begun = time.process_time()
        more, left = run(options.data, [kind])
        spent = time.process_time() - begun
        if options.parts is not None:
            part = {"outcomes": [asdict(one) for one in more], "failed": left, "seconds": spent}
            options.parts.mkdir(parents=True, exist_ok=True)
            (options.parts / f"{kind}.json").write_text(json.dumps(part), "utf-8")
        outcomes, seconds = outcomes + more, seconds + spent
        failed = {attack: failed.get(attack, 0) + left.get(attack, 0) for attack in ATTACKS}
    if options.parts is not None:
        outcomes, failed, seconds = _parts(options.parts)
    text = page(outcomes, failed, seconds)
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
