"""What another screening would have held of the last batches: for a page, while somebody waits.

Screening and gate run again in a trial workspace. What they read is taken from the record: receipt,
contract findings and vectors. So no file of the policy's owner is needed, and no code of theirs
runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lazaretto import received
from lazaretto.authority.policies import policy_in_force, policy_ref
from lazaretto.errors import ChangedFileError, DeletedPayloadError, NotFoundError, UsageError
from lazaretto.ledger.chain import append, entry
from lazaretto.ledger.deletions import deletions_told
from lazaretto.ledger.events import BatchEmbedded, BatchValidated
from lazaretto.ledger.state import record
from lazaretto.policy.file import parse_yaml
from lazaretto.screen.again import with_rate
from lazaretto.stages.gate import gate
from lazaretto.stages.judged import require_name
from lazaretto.stages.policy_replay import (
    NOTES,
    LeftOut,
    PolicyReplay,
    compared,
    past_batches,
    reference_of,
    said_by,
    seed,
    summed,
)
from lazaretto.stages.replayed import FAILED, HeldRecords, ReplayedBatch, Said
from lazaretto.stages.results import Reading
from lazaretto.stages.screen import screen
from lazaretto.storage.trial import trial_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lazaretto.authority.policies import Registered
    from lazaretto.policy import Policy
    from lazaretto.stages.policy_replay import Past
    from lazaretto.storage.workspace import Workspace

_OWN_CODE = ("torch", "sentence-transformers")
_NOTE = (
    "What the contract found, and the vectors, are taken from the record. `lazaretto policy "
    "replay` tries a whole policy, and any number of batches."
)
SCREENED_AGAIN: tuple[str, ...] = (NOTES[0], *NOTES[4:], _NOTE)
"""What figures of `screen_again` cannot say."""


def replay_rate(
    workspace: Workspace,
    dataset: str,
    rate: float,
    *,
    batches: int,
    most_records: int,
    seconds: float,
) -> PolicyReplay:
    """Judges the last batches of a dataset again by its policy with another rate; compares.

    Args:
        workspace: catalog and store; only read.
        dataset: its name.
        rate: the false quarantine rate to try, between 0 and 1.
        batches: the last so many that were judged for it.
        most_records: leave out the older ones of them once they have more records together.
        seconds: begin with no further batch after so long.

    Raises:
        NotFoundError: no policy is in force for such a dataset.
        UsageError: no such rate, or its encoder is code of somebody's own.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> found = replay_rate(
        ...     workspace, "reviews", 0.2, batches=9, most_records=1000, seconds=60
        ... )
        >>> len(found.batches)
        2
    """
    if not 0 < rate < 1:
        raise UsageError(f"a rate is between 0 and 1, not {rate:g}")
    bounds = Bounds(batches, most_records, seconds)

    def candidate(in_force: Registered) -> Policy:
        return for_the_record(with_rate(in_force.rules, rate), in_force)

    return judged_again(
        workspace, dataset, candidate, bounds, by=screen_again, notes=SCREENED_AGAIN
    )


def replay_screening(
    workspace: Workspace,
    dataset: str,
    screen: str,
    *,
    batches: int,
    most_records: int,
    seconds: float,
) -> PolicyReplay:
    """The same with another section `screen`: other detectors, tests, limits or reference.

    Args:
        workspace: catalog and store; only read.
        dataset: its name.
        screen: the section as YAML, with or without its name.
        batches: as of `replay_rate`; so are the others.
        most_records: likewise.
        seconds: likewise.

    Raises:
        NotFoundError: no policy is in force for such a dataset, or there is no such reference.
        PolicyError: it is no such section; each mistake with its line.
        UsageError: as `replay_rate`.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> text = "screen: {false_quarantine_rate: 0.2, detectors: {mahalanobis: {}}}"
        >>> found = replay_screening(
        ...     workspace, "reviews", text, batches=9, most_records=1000, seconds=60
        ... )
        >>> len(found.batches)
        2
    """
    said = parse_yaml(screen.encode(), "the candidate", "it")
    wrapped = set(said.content) == {"screen"} and isinstance(said.content["screen"], dict)

    def candidate(in_force: Registered) -> Policy:
        whole = in_force.rules.model_dump(mode="json", exclude={"sanitize"})
        whole["screen"] = said.content["screen"] if wrapped else said.content
        lines = {(*(() if wrapped else ("screen",)), *at): n for at, n in said.lines.items()}
        policy = replace(said, content=whole, lines=lines).validated(type(in_force.rules))
        return for_the_record(policy, in_force)

    bounds = Bounds(batches, most_records, seconds)
    return judged_again(
        workspace, dataset, candidate, bounds, by=screen_again, notes=SCREENED_AGAIN
    )


def for_the_record(policy: Policy, in_force: Registered) -> Policy:
    """A candidate that goes on from findings and vectors of the policy in force.

    Raises:
        UsageError: its encoder is code of somebody's own, or nothing is screened.
    """
    options = policy.embed.options
    named = [key for key in ("base", "replay") if options.get(key) is not None]
    if policy.embed.encoder in _OWN_CODE or named:
        raise UsageError(
            f"encoder {policy.embed.encoder!r} is code of its owner, which is not loaded here: use "
            "`lazaretto policy replay`"
        )
    if not (policy.screen.runs and in_force.rules.screen.runs):
        raise UsageError("nothing is screened (screen.mode is off), so nothing can be tried")
    return policy.knowing_contract(in_force.event.contract)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is judged again while somebody waits; see `replay_rate`."""

    batches: int
    most_records: int
    seconds: float


def judged_again(
    workspace: Workspace,
    dataset: str,
    change: Callable[[Registered], Policy],
    bounds: Bounds,
    *,
    by: Callable[[Workspace, Workspace, Policy, Past], ReplayedBatch | LeftOut],
    notes: Sequence[str],
) -> PolicyReplay:
    """Judges the last batches again by what a function makes of the policy in force; compares.

    Args:
        workspace: catalog and store; only read.
        dataset: its name.
        change: makes the candidate.
        bounds: how much is judged again.
        by: judges one batch again in a trial workspace, the second one that it is given.
        notes: what these figures cannot say.
    """
    require_name(dataset)
    until = time.monotonic() + bounds.seconds
    with workspace.catalog.read() as connection:
        in_force = policy_in_force(connection, dataset)
        if in_force is None:
            raise NotFoundError(f"no policy is in force for dataset {dataset!r}")
        policy = change(in_force)
        ref = policy_ref(policy)
        past = list(past_batches(connection, dataset, None))[-bounds.batches :]
        where = reference_of(connection, policy)
    found, left_out = list[ReplayedBatch](), list[LeftOut]()
    while past and sum(one.received.rows for one in past) > bounds.most_records:
        why = f"with it there are more than {bounds.most_records:,} records"
        left_out.append(LeftOut(past.pop(0).received.id, why, judged=False))
    with trial_workspace(workspace) as trial:
        seed(workspace, trial)
        for one in past:
            if time.monotonic() > until:
                why = f"the time is over: {bounds.seconds:g} seconds"
                left_out.append(LeftOut(one.received.id, why, judged=False))
                continue
            result = by(workspace, trial, policy, one)
            if isinstance(result, LeftOut):
                left_out.append(result)
            else:
                found.append(result)
    return summed(dataset, ref, where, None, found, left_out, 0, notes)


def screen_again(
    workspace: Workspace, trial: Workspace, policy: Policy, past: Past
) -> ReplayedBatch | LeftOut:
    """Judges one batch again, from the findings and vectors on record of it."""
    batch = past.received.id
    judged = past.judged
    if judged is None or judged.event.validated is None:
        return LeftOut(batch, "no judgement of it stands", judged=False)
    try:
        with deletions_told(workspace.catalog.read, batch):
            _put_on_record(workspace, trial, policy, past)
            screen(trial, batch, policy)
            judgement = gate(trial, batch, policy)
            after, again = said_by(trial, judgement.seq, list(judgement.notes))
    except (ChangedFileError, DeletedPayloadError) as error:
        return LeftOut(batch, str(error), judged=False)
    except UsageError as error:
        rows = past.received.rows
        after, again = Said(FAILED, rows, {"refused": rows}, [str(error)]), HeldRecords.all_of(rows)
    return compared(workspace, past, after, again)


def _put_on_record(workspace: Workspace, trial: Workspace, policy: Policy, past: Past) -> None:
    """Receipt, findings and vectors, as if they had been made there."""
    assert past.judged is not None  # noqa: S101  the caller has seen it
    judged = past.judged.event
    with workspace.catalog.read() as connection:
        made = [
            entry(connection, seq).event
            for seq in (judged.validated, judged.embedded)
            if seq is not None
        ]
    with trial.catalog.transaction() as connection:
        record(connection, past.received.event, received.changes, actor=trial.actor)
        reading = Reading.of(connection, past.received.id, policy, policy.known_contract)
        for event in made:
            match event:
                case BatchValidated():
                    put = replace(event, policy=reading.ref, reads=reading.reads("validate"))
                    append(connection, put, actor=trial.actor)
                case BatchEmbedded():
                    vectors = replace(event, policy=reading.ref, reads=reading.reads("embed"))
                    append(connection, vectors, actor=trial.actor)
