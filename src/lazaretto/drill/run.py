"""Runs a drill: poisons a copy of a batch, has the gate judge it in isolation, and keeps the curve.

The stages themselves judge, in a trial workspace for each dose: its catalog, its dataset and its
sources are its own, and gone afterwards. Of the real workspace a drill only reads, and at the end
it writes one report and the ledger entry that names it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import rfc8785

from lazaretto.authority.policies import policy_ref
from lazaretto.drill.attacks.registry import attacks_of
from lazaretto.drill.copied import copied_batch
from lazaretto.drill.place import open_place
from lazaretto.drill.rounds import Rounds, told
from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import DrillRun
from lazaretto.values import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lazaretto.drill.place import Dose
    from lazaretto.drill.rounds import DrillCost
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DrilledAttack

DOSES = (0.02, 0.05, 0.1, 0.2)
DRAWS = 5
SECONDS = 1800.0
CAUGHT_AT = 0.5
_MOST_DRAWS = 100
NOTES = (
    "The copy is judged in an empty workspace: what depends on earlier batches (small batches that "
    "are judged together, drift of a source) knows only those of the drill.",
    "It is signed with a key of the drill's own, as by a source whose key was stolen.",
    "What is told of a dose is the mean over its draws, with an interval for that mean. Where the "
    "gate is at its limit, it holds a whole batch or not: a single delivery then comes out at "
    "either end, and not in between.",
    "An attack that the gate catches here may be changed so that it does not: this is a check of "
    "the gate, and no promise.",
)
"""What a drill cannot say."""


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill found.

    Attributes:
        dataset: whose gate was tried.
        batch: that was copied; of several, the newest.
        rows: of all copies.
        clean_held: records of them that are held without any attack.
        seed: of the attacks.
        caught_at: share of the poison that must be held for an attack to count as caught.
        attacks: what came of each.
        doses: by attack, what came of each draw of each dose.
        also: older batches of the same source that were copied as well.
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
    also: list[str] = field(default_factory=list)
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
    draws: int = DRAWS,
    seconds: float | None = SECONDS,
    seed: int = 0,
    caught_at: float = CAUGHT_AT,
    cost: Callable[[DrillCost], None] | None = None,
    tell: Callable[[str, int, int], None] | None = None,
) -> Drill:
    """Tries known attacks on copies of batches, and puts what the gate made of them on record.

    Each dose is drawn several times, each time on the copy of another batch where the source has
    several: which records are poisoned and what they lie among is chance, and so is what the gate
    makes of a dose at its limit.

    Args:
        workspace: catalog and store. Only the report and its ledger entry are written.
        policy: that judges, with its contract and its reference.
        batch: id of the batch to copy; None: the newest that was admitted and is large enough, and
            older ones of its source, one for each draw.
        attacks: names of attacks; none: all.
        doses: shares of the copy to poison, in (0, 1).
        draws: how often each dose is drawn; from 1 to 100.
        seconds: once so many have passed, no further round of draws begins; the first one always
            ends. None: no limit.
        seed: of the attacks.
        caught_at: share of the poison, in (0, 1], from which on an attack counts as caught, on
            average over the draws.
        cost: called with what it will cost, before the first attack.
        tell: called with a step's name, doses done and doses in all.

    Raises:
        NotFoundError: there is no batch to copy, or no reference.
        UsageError: no such attack, a dose that is no share, or no number of draws.
        SystemFaultError: store or catalog cannot be used, or the disk is full.

    Examples:
        >>> found = run_drill(workspace, policy, attacks=["label_flip"], doses=[0.2], draws=1)
        >>> found.attacks[0].name, len(found.attacks[0].recall)
        ('label_flip', 1)
    """
    if not doses or not all(0 < one < 1 for one in (*doses, caught_at / 2)):
        raise UsageError("a dose is a share of the batch, between 0 and 1")
    if not 1 <= draws <= _MOST_DRAWS:
        raise UsageError(f"a dose is drawn from 1 to {_MOST_DRAWS} times")
    wanted, shares = attacks_of(attacks), sorted(set(doses))
    ref = policy_ref(policy)
    received, copy = copied_batch(workspace, policy, batch)
    with open_place(workspace, _anywhere(policy), received.source) as place:
        rounds = Rounds(place, wanted, shares, seed)
        rounds.find_copies(received.id, copy, draws, alone=batch is not None)
        del copy  # one copy is held at a time
        if cost is not None:
            cost(rounds.cost(draws, seconds))
        rounds.run(draws, seconds, tell)
    found = [told(one.name, rounds, caught_at) for one in wanted]
    rows, held = (
        sum(getattr(one, name) for one in rounds.clean) for name in ("rows", "clean_held")
    )
    also = rounds.copied[1:]
    drill = Drill(
        policy.dataset, received.id, rows, held, seed, caught_at, found, rounds.tried, also
    )
    event = DrillRun(
        dataset=policy.dataset,
        of_batch=received.id,
        policy=ref,
        seed=seed,
        caught_at=caught_at,
        attacks=found,
        clean_held=held,
        rows=rows,
        report=workspace.store.put("drills/{sha256}.json", [rfc8785.dumps(to_json(drill)) + b"\n"]),
        also=also,
    )
    with workspace.catalog.transaction() as connection:
        seq = append(connection, event, actor=workspace.actor).seq
    return replace(drill, seq=seq)


def _anywhere(policy: Policy) -> Policy:
    """The policy for a delivery that lies in a working folder, which is no place of a source."""
    return policy.model_copy(update={"sources": policy.sources.model_copy(update={"places": None})})
