"""How often the guilty source is found and accused, and how often anybody is where nobody is.

    python benchmarks/attribution.py --data FOLDER --minutes 25 \
        --out benchmarks/results/attribution.md

Without ``--data`` only scikit-learn's digits are used. What comes out of a network is kept at once
in the folder of ``--parts``, a file for each kind of data, and not made again: it can be stopped,
and several processes can share the work (``--kinds sms,adult``). The page is of all that is there.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attribution_networks import KINDS, load, make
from attribution_page import page

from lazaretto.attribution import Attribution, Queries, Training, attribute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from attribution_networks import Case

PARTS = Path(__file__).parent / "results/attribution"
FIRST_SEED = 9000  # those below were used to choose the tests, or reported before
IMPLANTED = 0.3
_ROUNDS = 60
_SELDOM = {"digits": 3, "mnist": 4}
_ROWS = (  # how sources are, attack, which of the round's two clean networks
    ("sources differ", "patch", 0),
    ("alike", "blend", 0),
    ("sources differ", "flip", 0),
    ("alike", "none", 0),
    ("sources differ", "none", 0),
    ("alike", "patch", 0),
    ("sources differ", "blend", 0),
    ("alike", "flip", 0),
    ("sources differ", "none", 1),
    ("alike", "none", 1),
    ("batches differ", "none", 0),
    ("batches differ", "patch", 0),
    ("batches differ", "blend", 0),
    ("batches differ", "flip", 0),
    ("batches differ", "none", 1),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out for one network; shares are nan where nothing was poisoned."""

    kind: str
    attack: str
    regime: str
    seed: int
    seconds: float
    implanted: bool
    poisoned: int = 0
    smallest: float = 1.0
    first: bool = False
    p_guilty: float = 1.0
    others: float = 1.0
    precision: float = 0.0
    influence_first: bool = False
    influence_precision: float = 0.0
    cannot_say: bool = False
    unaccused_says: str = ""


def judge(case: Case, **known: object) -> Outcome:
    """Traces its wrong predictions."""
    n = len(case.labels)
    training = Training(
        case.features,
        case.labels.astype(str),
        [f"{row:06d}" for row in range(n)],
        [f"b{batch:02d}" for batch in case.batches],
        [f"s{source}" for source in case.sources],
    )
    # Planting takes longer than all the rest, and is of interest where a guilty one gets away.
    queries = (
        Queries(case.wrong, case.wrong_class.astype(str)),
        Queries(case.right, case.right_class.astype(str)),
    )
    found = attribute(training, *queries, may_plant=False)
    guilty = f"s{case.guilty}"
    says = ""
    if case.guilty >= 0 and not found.accused:
        doses = attribute(training, *queries).planted
        says = ", ".join(f"{d.records}: {d.accused} of {d.trials}" for d in doses)
    return Outcome(
        **known,
        implanted=True,
        poisoned=int(case.poisoned.sum()),
        smallest=min(s.p_value for s in found.sources),
        first=found.sources[0].source == guilty,
        p_guilty=next((s.p_value for s in found.sources if s.source == guilty), 1.0),
        others=min(s.p_value for s in found.sources if s.source != guilty),
        precision=_precision(case, found, "excess"),
        influence_first=max(found.sources, key=lambda s: s.influence).source == guilty,
        influence_precision=_precision(case, found, "influence"),
        cannot_say=bool(found.cannot_say),
        unaccused_says=says,
    )


def _precision(case: Case, found: Attribution, by: str) -> float:
    """Share of poison among as many records as are poisoned, those with most influence."""
    count = int(case.poisoned.sum())
    if not count:
        return 0.0
    rows = np.array(found.records["record_id"].to_pylist()).astype(int)
    if by == "influence":
        rows = rows[np.argsort(-found.records["influence"].to_numpy(), kind="stable")]
    return float(case.poisoned[rows[:count]].mean())


def _plan(kinds: Sequence[str]) -> Iterator[tuple[str, str, str, int]]:
    """Kind, attack, regime and seed, so that a stop at any point leaves something of all.

    Networks that take long are made for one row in `_SELDOM` only.
    """
    for number in range(_ROUNDS):
        for place, (regime, attack, clean) in enumerate(_ROWS):
            seed = FIRST_SEED + (2 * number + clean if attack == "none" else number)
            for kind in kinds:
                if (place + number) % _SELDOM.get(kind, 1) == 0:
                    yield kind, attack, regime, seed


def run(folder: Path | None, kinds: Sequence[str], parts: Path, minutes: float) -> None:
    """Makes networks until the time is up, and keeps what comes out."""
    begun, loaded = time.process_time(), {}
    parts.mkdir(parents=True, exist_ok=True)
    done = {(o.kind, o.attack, o.regime, o.seed) for o in kept(parts)}
    for kind, attack, regime, seed in _plan(kinds if folder else ("digits",)):
        if (kind, attack, regime, seed) in done:
            continue
        if time.process_time() - begun > 60 * minutes:
            return
        if kind not in loaded:
            loaded[kind] = load(kind, folder)
        first = time.process_time()
        case = make(loaded[kind], kind, attack, seed, regime=regime, bad_batches=1 + seed % 2)
        known = {"kind": kind, "attack": attack, "regime": regime, "seed": seed}
        if attack != "none" and (case.success < IMPLANTED or len(case.wrong) < 5):
            one = Outcome(**known, seconds=time.process_time() - first, implanted=False)
        else:
            one = judge(case, **known, seconds=time.process_time() - first)
        with (parts / f"{kind}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(one)) + "\n")


def kept(parts: Path) -> list[Outcome]:
    """What all processes kept."""
    files = sorted(parts.glob("*.jsonl"))
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    return [Outcome(**json.loads(line)) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--parts", type=Path, default=PARTS)
    parser.add_argument("--minutes", type=float, default=25.0, help="processor time to spend")
    options = parser.parse_args()
    kinds = [kind for kind in options.kinds.split(",") if kind]
    run(options.data, kinds, options.parts, options.minutes)
    text = page(kept(options.parts), FIRST_SEED)
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
