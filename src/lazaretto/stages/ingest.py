"""Ingest: all six stages of a delivery's way, one after the other."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lazaretto.stages.admit import admit
from lazaretto.stages.embed import embed
from lazaretto.stages.gate import gate
from lazaretto.stages.receive import receive
from lazaretto.stages.screen import screen
from lazaretto.stages.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lazaretto.dataset.admission import Admission
    from lazaretto.policy import Policy
    from lazaretto.stages.judgement import Judgement
    from lazaretto.stages.results import StageResult
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import BatchRef

    Done = BatchRef | StageResult[Any] | Judgement | Admission
    """What a stage returns."""


@dataclass(frozen=True, slots=True)
class Ingestion:
    """What became of a delivery.

    Attributes:
        received: the batch that it is.
        judgement: what the gate decided.
        admission: what entered the dataset; None when the batch is held, or was judged in shadow.
        seqs: ledger entries of all stages, in order.
    """

    received: BatchRef
    judgement: Judgement
    admission: Admission | None
    seqs: list[int]


def ingest(
    workspace: Workspace,
    uri: str | Path | Sequence[str | Path],
    source: str,
    policy: Policy,
    *,
    manifest: bytes | str | Path | None = None,
    beside: bool = False,
    places_required: bool = False,
    working: Callable[[str], AbstractContextManager[object]] = nullcontext,
    done: Callable[[str, Done, list[int]], object] | None = None,
) -> Ingestion:
    """Receives, validates, embeds, screens, judges and admits a delivery.

    Each stage does and records what it does when it is called alone, so an ingestion that broke off
    goes on where it stopped when it is called again, by this function or stage by stage.

    Args:
        workspace: catalog and store.
        uri: the delivery, as in `receive`.
        source: name of a registered source.
        policy: of the dataset.
        manifest: DSSE envelope: its bytes, or a path or URI of it; None for an unsigned delivery.
        beside: as in `receive`.
        places_required: as in `receive`.
        working: called with the name of each stage before it; the stage runs in what it returns.
        done: called after each stage with its name, what it returned and all ledger entries so far:
            what is on record when a later stage fails.

    Raises:
        DeliveryError: the delivery, or its admission, is refused; that is on record.
        UsageError: the policy, the reference or the contract cannot be used.
        ChangedFileError: a stored file is gone or was changed.
        SystemFaultError: store or catalog cannot be used; the same call goes on later.

    Examples:
        >>> done = ingest(workspace, "wednesday.parquet", "vendor", policy)
        >>> done.judgement.verdict.name, done.admission.rows
        ('PASS', 60)
    """
    seqs: list[int] = []

    def recorded(stage: str, result: Done, *found: int) -> None:
        seqs.extend(seq for seq in found if seq not in seqs)
        if done is not None:
            done(stage, result, list(seqs))

    with working("receive"):
        received = receive(
            workspace,
            uri,
            source,
            manifest=manifest,
            beside=beside,
            policy=policy,
            places_required=places_required,
        )
    recorded("receive", received, received.seq)
    for stage, function in (("validate", validate), ("embed", embed), ("screen", screen)):
        with working(stage):
            result = function(workspace, received.id, policy)
        recorded(stage, result, result.seq)
    with working("gate"):
        judgement = gate(workspace, received.id, policy)
    recorded("gate", judgement, judgement.seq)
    admission = None
    if not judgement.verdict.holds_batch and judgement.shadow is None:
        with working("admit"):
            admission = admit(workspace, received.id, policy=policy)
        recorded("admit", admission, *admission.seqs)
    return Ingestion(received, judgement, admission, seqs)
