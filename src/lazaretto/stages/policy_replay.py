"""Policy replay: judges batches again under another policy. Long: the run and what it finds.

The stages themselves do it, in a trial workspace: what is kept of each delivery is received,
validated, embedded, screened, judged and admitted there, in the order in which it came. So what
depends on the batches before (small batches that are judged together, drift of a source, the
dataset that grew) is what it would have become. There is no second rule of judging.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from datetime import UTC, datetime  # pydantic reads these types at run time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.authority.conditions import kept_envelope
from lazaretto.authority.judgements import Judged, standing_judgement
from lazaretto.authority.policies import policy_ref
from lazaretto.errors import (
    ChangedFileError,
    DeletedPayloadError,
    DeliveryError,
    UsageError,
)
from lazaretto.ledger.chain import entries, entry
from lazaretto.ledger.deletions import deletions_told
from lazaretto.ledger.events import BatchJudged, DeliveryRefused
from lazaretto.ledger.state import record
from lazaretto.quarantine.standing import decisions_of
from lazaretto.received import find_batch
from lazaretto.registry import references
from lazaretto.sources import recorded
from lazaretto.stages.admit import admit
from lazaretto.stages.embed import embed
from lazaretto.stages.gate import gate
from lazaretto.stages.judged import require_name
from lazaretto.stages.receive import Kept, receive_again
from lazaretto.stages.replayed import (
    FAILED,
    NOT_JUDGED,
    REFUSED,
    Change,
    HeldRecords,
    ReasonChange,
    ReplayedBatch,
    Said,
    add_reasons,
    compare_held,
)
from lazaretto.stages.screen import screen
from lazaretto.stages.validate import validate
from lazaretto.storage import tables
from lazaretto.storage.trial import trial_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change as StateChange
    from lazaretto.policy import Policy
    from lazaretto.quarantine.decisions import Decision
    from lazaretto.received import Received
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import PolicyRef

    Tell = Callable[[str, int, int], None]

NOTES = (
    "The replay begins with an empty dataset: what depends on earlier batches (small batches that "
    "are judged together, drift of a source) knows those from the first one that is named here.",
    "Sources and keys are those of today; holds of incidents are left out.",
    "Quotas count as if all were admitted now. What a check outside of Lazaretto found is not "
    "looked for again.",
    "What reviewers released in truth does not enter here: only what the candidate lets in does.",
    "Records that the gate let in were never reviewed: whether one that only the candidate holds "
    "is poison is not known.",
)
"""What the figures cannot say."""
_SEEDED = ("source:", "reference:")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A batch that is not compared.

    Attributes:
        batch: its id.
        why: in words.
        judged: whether it was judged again all the same, so that what came after it knows it.
    """

    batch: str
    why: str
    judged: bool


@dataclass(frozen=True, slots=True)
class PolicyReplay:
    """What another policy would have made of the last batches.

    Attributes:
        dataset: whose batches.
        candidate: sha256 (hex) of what the candidate and its contract say.
        path: of the candidate's file.
        reference: ``name/version`` that it screens against.
        since: batches that were received from this moment on, UTC; None: from the first on.
        records: of the batches that are compared.
        batches: those, in the order in which they came.
        left_out: batches that are not compared.
        refused: deliveries that were turned away meanwhile, whatever the dataset: their bytes were
            not kept, so that nothing can be said of them.
        total: what would be different in all of them.
        missed: rejected records that would have come in.
        reasons: the same by rule and detector.
        verdicts: batches whose verdict would be another.
        same: whether nothing would be different.
        notes: what these figures cannot say.
    """

    dataset: str
    candidate: str
    path: str | None
    reference: str
    since: datetime | None
    records: int
    batches: list[ReplayedBatch]
    left_out: list[LeftOut]
    refused: int
    total: Change
    missed: int
    reasons: list[ReasonChange]
    verdicts: int
    same: bool
    notes: list[str]


def replay_schema() -> dict[str, Any]:
    """JSON schema of what ``lazaretto policy replay --json`` prints.

    Examples:
        >>> replay_schema()["$id"]
        'urn:lazaretto:schema:policy-replay:1'
    """
    from pydantic import TypeAdapter

    described = TypeAdapter(PolicyReplay).json_schema(mode="serialization")
    for model in (PolicyReplay, ReplayedBatch, LeftOut, Said, Change, ReasonChange):
        _describe(described if model is PolicyReplay else described["$defs"][model.__name__], model)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:lazaretto:schema:policy-replay:1",
    } | described


def _describe(section: dict[str, Any], model: type) -> None:
    """Gives each field the words that its class has for it."""
    text = inspect.cleandoc(model.__doc__ or "")
    section["description"], _, listed = text.partition("\n\nAttributes:\n")
    for name, words in re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE):
        section["properties"][name]["description"] = " ".join(words.split())


@dataclass(frozen=True, slots=True)
class Past:
    """A batch as it is on record, with what was decided on it."""

    received: Received
    judged: Judged | None
    decisions: list[Decision]


def replay_policy(
    workspace: Workspace,
    policy: Policy,
    *,
    dataset: str | None = None,
    since: datetime | None = None,
    tell: Tell | None = None,
) -> PolicyReplay:
    """Judges past batches again under another policy, and compares; nothing is changed.

    As for a policy that is in use, its contract is loaded and its encoder runs. The disk that holds
    temporary files (TMPDIR) needs as much room as the deliveries.

    Args:
        workspace: catalog and store; only read.
        policy: the candidate. It names its contract and its reference.
        dataset: whose batches; default: the candidate's.
        since: only batches that were received from this moment on.
        tell: called with a step's name, how many batches are done, and how many there are.

    Raises:
        NotFoundError: there is no such dataset's name, or no such reference.
        UsageError: the contract cannot be loaded.
        ChangedStateError: the catalog does not say what the ledger says.
        SystemFaultError: store or catalog cannot be used, or the disk is full.

    Examples:
        >>> replay = replay_policy(workspace, policy)
        >>> replay.same, len(replay.batches)
        (True, 2)
    """
    name = dataset or policy.dataset
    require_name(name)
    ref = policy_ref(policy)
    require_known(policy)
    with workspace.catalog.read() as connection:
        past = list(past_batches(connection, name, since))
        where = reference_of(connection, policy)
        refused = sum(1 for _ in entries(connection, kinds=[DeliveryRefused.kind], since=since))
    batches, left_out = list[ReplayedBatch](), list[LeftOut]()
    with trial_workspace(workspace, shared=policy.engine_options.name != "local") as trial:
        seed(workspace, trial)
        for number, one in enumerate(past):
            if tell is not None:
                tell("batches", number, len(past))
            found = judge_again(workspace, trial, policy, one)
            if isinstance(found, LeftOut):
                left_out.append(found)
            else:
                batches.append(found)
        if tell is not None and past:
            tell("batches", len(past), len(past))
    return summed(name, ref, where, since, batches, left_out, refused, NOTES)


def summed(
    dataset: str,
    ref: PolicyRef,
    reference: str,
    since: datetime | None,
    batches: list[ReplayedBatch],
    left_out: list[LeftOut],
    refused: int,
    notes: Sequence[str],
) -> PolicyReplay:
    """What all batches tell together; see `PolicyReplay`."""
    total = sum((one.change for one in batches), Change())
    return PolicyReplay(
        dataset=dataset,
        candidate=ref.meaning,
        path=ref.path,
        reference=reference,
        since=since,
        records=sum(one.rows for one in batches),
        batches=batches,
        left_out=left_out,
        refused=refused,
        total=total,
        missed=total.missed,
        reasons=add_reasons([reason for one in batches for reason in one.reasons]),
        verdicts=sum(one.before.verdict != one.after.verdict for one in batches),
        same=all(one.same for one in batches),
        notes=list(notes),
    )


def require_known(policy: Policy) -> None:
    """Refuses a contract that asks what a replay does not know: the records of other datasets."""
    from lazaretto.contract import contract_of

    contract = contract_of(policy)
    asked = None if contract is None else contract.asks
    others = {name for name, _ in asked.listed} - {policy.dataset} if asked is not None else set()
    if others:
        raise UsageError(
            f"the contract compares records with dataset {min(others)!r}, which a replay does not "
            "have: leave that rule out of the contract that you try"
        )


def past_batches(connection: Connection, dataset: str, since: datetime | None) -> Iterator[Past]:
    """Every batch that was ever judged for a dataset, in the order in which they came."""
    table = tables.batch.c
    query = sa.select(table.id).order_by(table.seq)
    if since is not None:
        query = query.where(table.received_at >= since.astimezone(UTC))
    for batch in connection.scalars(query).all():
        found = entries(connection, subject=f"batch:{batch}", kinds=[BatchJudged.kind])
        events = [one.event for one in found if isinstance(one.event, BatchJudged)]
        if all(event.policy.dataset != dataset for event in events):
            continue
        judged = standing_judgement(connection, batch, dataset)
        case = None if judged is None else judged.event.case
        decisions = [] if case is None else decisions_of(connection, case)
        yield Past(find_batch(connection, batch), judged, decisions)


def seed(workspace: Workspace, trial: Workspace) -> None:
    """Sources, keys and references, as the ledger tells them."""
    ledger = tables.ledger.c
    about = sa.or_(*(ledger.subject.startswith(prefix, autoescape=True) for prefix in _SEEDED))
    query = sa.select(ledger.seq).where(about, ledger.kind != DeliveryRefused.kind)
    with workspace.catalog.read() as connection:
        known = [entry(connection, seq) for seq in connection.scalars(query.order_by(ledger.seq))]
    with trial.catalog.transaction() as connection:
        for one in known:
            record(connection, one.event, _changes, actor=one.actor, at=one.at)


def _changes(entry: Entry) -> Iterator[StateChange]:
    yield from recorded.changes(entry)
    yield from references.changes(entry)


def reference_of(connection: Connection, policy: Policy) -> str:
    """The reference that a policy screens against, in words.

    Raises:
        NotFoundError: there is no such reference.
    """
    if not policy.screen.runs:
        return "none: screen.mode is off"
    stored = references.read_reference(connection, policy.screen.reference or policy.dataset)
    return f"{stored.name}/{stored.version}"


def judge_again(
    workspace: Workspace, trial: Workspace, policy: Policy, past: Past
) -> ReplayedBatch | LeftOut:
    """Judges one batch again, and compares; says why where that cannot be."""
    received = past.received
    try:
        with deletions_told(workspace.catalog.read, received.id):
            workspace.store.check(received.stored)
            batch = _receive(workspace, trial, policy, received)
    except (ChangedFileError, DeletedPayloadError) as error:
        return LeftOut(received.id, str(error), judged=False)
    if isinstance(batch, Said):
        after, again = batch, HeldRecords.all_of(received.rows)
    else:
        after, again = _judge(trial, policy, batch, received.rows)
    return compared(workspace, past, after, again)


def compared(
    workspace: Workspace, past: Past, after: Said, again: HeldRecords
) -> ReplayedBatch | LeftOut:
    """One batch beside what stands on record of it."""
    received = past.received
    try:
        with deletions_told(workspace.catalog.read, received.id):
            event = None if past.judged is None else past.judged.event
            held = HeldRecords.read(workspace.store, None if event is None else event.held_records)
            change, reasons = compare_held(workspace.store, held, again, past.decisions)
    except (ChangedFileError, DeletedPayloadError) as error:
        why = f"which records were held is not known any more: {error}"
        return LeftOut(received.id, why, judged=True)
    before = Said(NOT_JUDGED)
    if event is not None:
        before = Said(event.verdict.value, event.held, dict(event.reasons), list(event.notes))
    return ReplayedBatch(
        batch=received.id,
        source=received.source,
        arrived=received.received_at,
        rows=received.rows,
        before=before,
        after=after,
        change=change,
        missed=change.missed,
        same=before.verdict == after.verdict and not (change.would_hold or change.would_release),
        reasons=reasons,
    )


def _receive(
    workspace: Workspace, trial: Workspace, policy: Policy, received: Received
) -> str | Said:
    """The batch that a delivery becomes there; or why it is not taken."""
    kept, envelope = Kept(workspace.store, received.event), kept_envelope(workspace, received)
    try:
        return receive_again(trial, kept, policy, envelope=envelope).id
    except DeliveryError as error:
        return _kept_out(REFUSED, f"{error.code}: {error}", received.rows)


def _judge(trial: Workspace, policy: Policy, batch: str, rows: int) -> tuple[Said, HeldRecords]:
    """Takes one batch all the way, as `lazaretto.stages.ingest` would."""
    try:
        for stage in (validate, embed, screen):
            stage(trial, batch, policy)
        judgement = gate(trial, batch, policy)
    except UsageError as error:
        return _kept_out(FAILED, str(error), rows), HeldRecords.all_of(rows)
    notes = list(judgement.notes)
    if not judgement.verdict.holds_batch:
        try:
            admit(trial, batch, policy=policy)
        except DeliveryError as error:
            notes.append(f"it could not be admitted ({error.code}): {error}")
    return said_by(trial, judgement.seq, notes)


def said_by(trial: Workspace, seq: int, notes: list[str]) -> tuple[Said, HeldRecords]:
    """A judgement of the trial workspace, and the records that it holds."""
    with trial.catalog.read() as connection:
        event = entry(connection, seq).event
    assert isinstance(event, BatchJudged)  # noqa: S101  the candidate is in force there
    said = Said(event.verdict.value, event.held, dict(event.reasons), notes)
    return said, HeldRecords.read(trial.store, event.held_records)


def _kept_out(verdict: str, why: str, rows: int) -> Said:
    return Said(verdict, rows, {REFUSED.lower(): rows}, [why])
