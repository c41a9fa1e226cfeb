"""Runs a drill: poisons a copy of a batch, has the gate judge it in isolation, and keeps the curve.

The stages themselves judge, in a trial workspace for each dose: its catalog, its dataset and its
sources are its own, and gone afterwards. Of the real workspace a drill only reads, and at the end
it writes one report and the ledger entry that names it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import rfc8785

from lazaretto.authority.policies import policy_ref
from lazaretto.drill.attacks.base import NotApplicableError
from lazaretto.drill.attacks.registry import attacks_of
from lazaretto.drill.copied import copied_batch
from lazaretto.drill.place import open_place
from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import DrillRun
from lazaretto.values import DrilledAttack, Verdict, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lazaretto.drill.attacks.base import Copy
    from lazaretto.drill.attacks.registry import Attack
    from lazaretto.drill.place import Dose, Place
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace

_JUDGED = (Verdict.PASS.value, Verdict.HOLD_RECORDS.value)
DOSES = (0.02, 0.05, 0.1, 0.2)
CAUGHT_AT = 0.5
NOTES = (
    "The copy is judged in an empty workspace: what depends on earlier batches (small batches that "
    "are judged together, drift of a source) knows only those of the drill.",
    "It is signed with a key of the drill's own, as by a source whose key was stolen.",
    "Each dose is drawn once. Where the gate is at its limit, a whole batch is held or not by "
    "chance, and another draw may come out otherwise.",
    "An attack that the gate catches here may be changed so that it does not: this is a check of "
    "the gate, and no promise.",
)
"""What a drill cannot say."""


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill found.

    Attributes:
        dataset: whose gate was tried.
        batch: that was copied.
        rows: of the copy.
        clean_held: records of it that are held without any attack.
        seed: of the attacks.
        caught_at: share of the poison that must be held for an attack to count as caught.
        attacks: what came of each.
        doses: by attack, each dose that was tried.
        notes: what a drill cannot say.
        seq: ledger entry; 0: it is not on record.
    """

    dataset: str
    batch: str
    rows: int
    clean_held: int
    seed: int
    caught_at: float
    attacks: list[DrilledAttack]
    doses: dict[str, list[Dose]]
    notes: list[str] = field(default_factory=lambda: list(NOTES))
    seq: int = 0

    @property
    def missed(self) -> list[str]:
        """Attacks that were tried and are caught at no dose."""
        return [a.name for a in self.attacks if not a.why_not and a.smallest is None]


def run_drill(
    workspace: Workspace,
    policy: Policy,
    *,
    batch: str | None = None,
    attacks: Sequence[str] = (),
    doses: Sequence[float] = DOSES,
    seed: int = 0,
    caught_at: float = CAUGHT_AT,
    tell: Callable[[str, int, int], None] | None = None,
) -> Drill:
    """Tries known attacks on a copy of a batch, and puts what the gate made of them on record.

    Args:
        workspace: catalog and store. Only the report and its ledger entry are written.
        policy: that judges, with its contract and its reference.
        batch: id of the batch to copy; None: the newest that was admitted and is large enough.
        attacks: names of attacks; none: all.
        doses: shares of the copy to poison, in (0, 1).
        seed: of the attacks.
        caught_at: share of the poison, in (0, 1], from which on an attack counts as caught.
        tell: called with a step's name, doses done and doses in all.

    Raises:
        NotFoundError: there is no batch to copy, or no reference.
        UsageError: no such attack, or a dose that is no share.
        SystemFaultError: store or catalog cannot be used, or the disk is full.

    Examples:
        >>> found = run_drill(workspace, policy, attacks=["label_flip"], doses=[0.2])
        >>> found.attacks[0].name, len(found.attacks[0].recall)
        ('label_flip', 1)
    """
    if not doses or not all(0 < one < 1 for one in (*doses, caught_at / 2)):
        raise UsageError("a dose is a share of the batch, between 0 and 1")
    wanted, shares = attacks_of(attacks), sorted(set(doses))
    ref = policy_ref(policy)
    received, copy = copied_batch(workspace, policy, batch)
    with open_place(workspace, _anywhere(policy), received.source) as place:
        clean = _clean(place, copy, 1)
        if clean.verdict not in _JUDGED:
            raise UsageError(
                f"the copy of {received.id} is {clean.verdict} without any attack, so that a drill "
                f"would say nothing ({', '.join(clean.reasons) or 'see the batch'}): name another "
                "batch"
            )
        tried, why_not = _all_tried(place, copy, wanted, shares, seed, tell)
    found = [_told(one.name, shares, tried, why_not, caught_at) for one in wanted]
    rows = copy.rows.num_rows
    drill = Drill(
        policy.dataset, received.id, rows, clean.clean_held, seed, caught_at, found, tried
    )
    event = DrillRun(
        dataset=policy.dataset,
        of_batch=received.id,
        policy=ref,
        seed=seed,
        caught_at=caught_at,
        attacks=found,
        clean_held=clean.clean_held,
        rows=rows,
        report=workspace.store.put("drills/{sha256}.json", [rfc8785.dumps(to_json(drill)) + b"\n"]),
    )
    with workspace.catalog.transaction() as connection:
        seq = append(connection, event, actor=workspace.actor).seq
    return replace(drill, seq=seq)


def _all_tried(
    place: Place,
    copy: Copy,
    wanted: Sequence[Attack],
    shares: Sequence[float],
    seed: int,
    tell: Callable[[str, int, int], None] | None,
) -> tuple[dict[str, list[Dose]], dict[str, str]]:
    """Each dose of each attack, and why some attacks cannot be tried."""
    tried: dict[str, list[Dose]] = {}
    why_not: dict[str, str] = {}
    for number, attack in enumerate(wanted):
        told: list[Dose] = []
        try:
            if attack.batches > 1:
                _require_judged(place, copy, attack)
            for share in shares:
                if tell is not None:
                    tell(attack.name, number * len(shares) + len(told), len(wanted) * len(shares))
                told.append(_try(place, copy, attack, share, seed))
        except NotApplicableError as error:
            why_not[attack.name] = str(error)
        else:
            tried[attack.name] = told
    return tried, why_not


def _told(
    name: str,
    shares: list[float],
    tried: dict[str, list[Dose]],
    why_not: dict[str, str],
    caught_at: float,
) -> DrilledAttack:
    """What goes on record of an attack."""
    if name in why_not:
        return DrilledAttack(name, why_not=why_not[name])
    recall = [one.recall for one in tried[name]]
    return DrilledAttack(name, shares, recall, _smallest(shares, recall, caught_at))


def _anywhere(policy: Policy) -> Policy:
    """The policy for a delivery that lies in a working folder, which is no place of a source."""
    return policy.model_copy(update={"sources": policy.sources.model_copy(update={"places": None})})


def _clean(place: Place, copy: Copy, batches: int) -> Dose:
    return place.judge(copy, np.zeros(copy.rows.num_rows, bool), batches, 0.0)


def _require_judged(place: Place, copy: Copy, attack: Attack) -> None:
    """Refuses an attack in several batches where such batches are held whatever they contain."""
    clean = _clean(place, copy, attack.batches)
    if clean.verdict not in _JUDGED:
        raise NotApplicableError(
            f"cut into {attack.batches} batches, the copy is {clean.verdict} without any attack"
        )


def _try(place: Place, copy: Copy, attack: Attack, share: float, seed: int) -> Dose:
    rows = copy.rows.num_rows
    draw = np.random.default_rng([seed, len(attack.name), round(share * 10_000)])
    made = attack.poison(copy, max(1, round(share * rows)), draw)
    return place.judge(made.copy, made.chosen, attack.batches, share)


def _smallest(doses: Sequence[float], recall: Sequence[float], caught_at: float) -> float | None:
    """The smallest dose from which on, at all greater ones too, the attack is caught."""
    found: float | None = None
    for dose, share in sorted(zip(doses, recall, strict=True), reverse=True):
        if share < caught_at:
            break
        found = dose
    return found
