"""Promotion: a name such as ``production`` stands for a version once nothing speaks against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazaretto.dataset.commit import ATTEMPTS
from lazaretto.dataset.models import ModelKey
from lazaretto.errors import PromotionRefusedError, SystemFaultError, UsageError
from lazaretto.ledger import events
from lazaretto.ledger.chain import append, entries, head, newest
from lazaretto.models.examine import Examination, examine, newest_claim
from lazaretto.models.mlflow_aliases import require_registry, tell_server
from lazaretto.stages.alias_model import move
from lazaretto.stages.model_inputs import check_alias

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace

LONGEST_REASON = 4_000
_CHANGES_NOTHING = (
    events.BatchReceived,
    events.BatchValidated,
    events.BatchEmbedded,
    events.BatchScreened,
    events.BatchJudged,
    events.ShadowJudged,
    events.DeliveryRefused,
    events.AdmissionRefused,
    events.BatchAdmitted,
    events.SnapshotTaken,
    events.ViewTaken,
    events.PromotionRefused,
    events.HeldRecordsRead,
    events.CaseAssigned,
    events.CaseCommented,
    events.HoldAnnounced,
    events.VersionAnnounced,
    events.IncidentNoted,
    events.IncidentAssigned,
    events.IncidentAnnounced,
    events.IncidentTraced,
    events.DatasetExported,
    events.CheckpointTaken,
)
"""What may go on record while a version is looked at: none of it says anything of a model."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """A name that stands for a version by a promotion.

    Attributes:
        registry: namespace of the registry.
        model: name of the model.
        version: that the name stands for; None: for none any more.
        alias: the name.
        previous: that it stood for before; None: nothing.
        changed: whether this call changed it.
        seq: ledger entry.
        notes: what a policy allowed although it is not known.
        skipped: newer versions that may not be in use, each with the reasons; of a rollback.
    """

    registry: str
    model: str
    version: str | None
    alias: str
    previous: str | None
    changed: bool
    seq: int
    notes: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)


def promote(
    workspace: Workspace,
    model: str,
    version: str,
    *,
    alias: str = "production",
    registry: str | None = None,
    reason: str = "",
    mlflow: str | None = None,
) -> Promoted:
    """Makes a name stand for a model version, unless something speaks against it.

    A version is refused that is tainted by an open incident, learned from recalled records, was
    made of something that nobody knows, is on hold, or lacks what the policies of the datasets that
    it learned from ask for. The name moves in the transaction of its ledger entry, and a refusal
    goes on record as well.

    Args:
        workspace: catalog and store; whoever acts through it promotes.
        model: name of the model.
        version: its version.
        alias: the name.
        registry: of the model; None: of the only one that has it.
        reason: why; stays on record.
        mlflow: address of the MLflow server whose alias is set as well, once the ledger has it;
            None: none is told.

    Raises:
        PromotionRefusedError: something speaks against it; its `reasons` name all of that.
        NotFoundError: no such model version is registered.
        UsageError: no name that can be an alias, or the version is in several registries.
        LedgerError: the ledger does not hold.
        SystemFaultError: the MLflow server could not be told; `repair_aliases` tells it.

    Examples:
        >>> from lazaretto import incidents
        >>> _ = incidents.close(workspace, incident, "false alarm")
        >>> promote(workspace, "net", "1", reason="it passed").version
        '1'
    """
    check_alias(alias)
    check_length(reason)
    for _ in range(ATTEMPTS):
        found = examine(workspace, model, version, alias, registry=registry)
        if mlflow is not None:
            require_registry(mlflow, found.registry)
        done = settle(workspace, found, reason)
        if done is not None:
            return told(mlflow, done)
    raise SystemFaultError(f"the ledger changed {ATTEMPTS} times while {model}@{version} was read")


def told(mlflow: str | None, done: Promoted) -> Promoted:
    """What was done, once the server knows it as well."""
    if mlflow is not None:
        tell_server(mlflow, done.model, done.alias, done.version)
    return done


def settle(workspace: Workspace, found: Examination, reason: str) -> Promoted | None:
    """Moves the name or refuses, unless something was put on record since it was looked at."""
    key = ModelKey(found.registry, found.model, found.version)
    with workspace.catalog.transaction() as connection:
        if _moved(connection, found):
            return None
        if found.reasons:
            seq = _refuse(workspace, connection, found)
        else:
            return _move(workspace, connection, key, found, reason)
    text = "; ".join(one.text for one in found.reasons)
    raise PromotionRefusedError(
        f"{key.name} may not be {found.alias!r}: {text}",
        reasons=[(one.code, one.text) for one in found.reasons],
        seq=seq,
    )


def _move(
    workspace: Workspace, connection: Connection, key: ModelKey, found: Examination, reason: str
) -> Promoted:
    before = found.in_use
    notes = found.basis.notes
    previous = None if before is None else before.version
    if before is not None and before.version == key.version and before.promoted is not None:
        return Promoted(
            *key[:2], key.version, found.alias, previous, changed=False, seq=before.seq, notes=notes
        )
    seq = move(
        workspace, connection, key, found.alias, key.version, reason=reason, promoted=found.basis
    )
    return Promoted(
        *key[:2], key.version, found.alias, previous, changed=True, seq=seq, notes=notes
    )


def _moved(connection: Connection, found: Examination) -> bool:
    """Whether something went on record, since a version was looked at, that may concern it."""
    if newest_claim(connection) != found.claims:
        return True
    if head(connection) == found.basis.checked:
        return False
    since = entries(connection, after=found.basis.checked)
    return any(not isinstance(entry.event, _CHANGES_NOTHING) for entry in since)


def _refuse(workspace: Workspace, connection: Connection, found: Examination) -> int:
    """Puts a refusal on record; the same again, as of a task that is tried again, is there."""
    event = events.PromotionRefused(
        found.model, found.version, found.registry, found.alias, found.reasons
    )
    last = newest(connection, f"model:{found.model}", _OF_PROMOTION)
    if last is not None and last.event == event:
        return last.seq
    return append(connection, event, actor=workspace.actor).seq


_OF_PROMOTION = (events.PromotionRefused.kind, events.ModelAliased.kind)


def check_length(reason: str) -> None:
    """Refuses a reason that is too long for the ledger."""
    if len(reason) > LONGEST_REASON:
        raise UsageError(f"a reason has at most {LONGEST_REASON:,} characters")
