"""Sanitize: look for poison in a trained model's activations; hold and recall what it shows."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa

from lazaretto.authority.policies import policy_ref, require_in_force
from lazaretto.batch import table_digest
from lazaretto.batch._columns import label_texts
from lazaretto.dataset.damage import damage_on_record
from lazaretto.dataset.delta import BATCH, RECORD
from lazaretto.dataset.recall import Recall, recall
from lazaretto.engine import open_engine
from lazaretto.errors import UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import TrainingSanitized
from lazaretto.ledger.state import record
from lazaretto.quarantine.opening import changes, found_by, held_tables, index_held, write_cases
from lazaretto.stages.sanitize_result import SanitizeResult
from lazaretto.stages.snapshot import snapshot
from lazaretto.stages.trusted import in_words, trusted_rows
from lazaretto.storage import tables
from lazaretto.storage.sidecars import write_table
from lazaretto.values import Actor, ActorType, ColumnRoles, InputKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.engine import Connection
    from torch import nn

    from lazaretto.policy import Policy
    from lazaretto.sanitize import Sanitization
    from lazaretto.stages.taken import Snapshot
    from lazaretto.stages.trusted import Trusted
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import PolicyRef


def sanitize_training(
    workspace: Workspace,
    dataset: str,
    model: nn.Module,
    policy: Policy,
    *,
    trusted: Trusted = None,
    version: int | None = None,
    name: str | None = None,
    inputs: Any = None,
    dynamics: Path | None = None,
    device: str = "auto",
    progress: Callable[[str, int, int], None] | None = None,
) -> SanitizeResult:
    """Runs a version of the dataset through a model that it trained, and judges the activations.

    Held records get a review case per batch, then leave the next version of the dataset. Cut off,
    or called again on the same version with the same model, it ends in the same state.

    Args:
        workspace: catalog and store.
        dataset: name of the admitted dataset.
        model: torch module.
        policy: layers, methods, rate; ``columns`` of the dataset.
        trusted: trusted rows with the dataset's columns; ``reference``: the trusted rows of the
            policy's reference, where the model reads the embedding column; ``none``: judge without
            trusted rows, so that the outcome carries no rate and says so. Default: the policy's.
        version: Delta version; default the newest.
        name: ``name@version`` of the model; default: the one registered on this snapshot.
        inputs: what the model reads of a row, see `lazaretto.capture`; default: the embedding.
        dynamics: file of `lazaretto.training.record_dynamics` of the training that made the model,
            with records named ``delivery#record id``. It is read where there are no trusted rows.
        device: torch device.
        progress: called with what is done, records done and records in all.

    Raises:
        NotFoundError: no such dataset or version, or no reference.
        UsageError: the policy is not in force for the dataset, it names no label, or the model
            cannot read the rows.

    Examples:
        >>> import torch
        >>> model = torch.nn.Linear(8, 3)
        >>> done = sanitize_training(workspace, "reviews", model, policy, trusted="none")
        >>> done.calibrated
        False
    """
    from torch import nn

    from lazaretto.activations import capture
    from lazaretto.sanitize import sanitize
    from lazaretto.sanitize.dynamics import read_dynamics

    if not isinstance(model, nn.Module):
        raise UsageError(f"the model is {type(model).__name__}, not a torch module")
    label, embedding = policy.columns.label, policy.columns.embedding
    if label is None:
        raise UsageError("sanitizing judges class by class: name the label in the policy's columns")
    reads = inputs if inputs is not None else embedding
    if reads is None:
        raise UsageError("say what the model reads: `inputs`, or columns.embedding in the policy")
    ref = policy_ref(policy)
    if policy.dataset != dataset:
        raise UsageError(f"the policy is of dataset {policy.dataset!r}, not of {dataset!r}")
    taken = snapshot(workspace, dataset, version=version, read=False)
    with workspace.catalog.read() as connection:
        require_in_force(connection, ref)
    with damage_on_record(workspace, dataset, "sanitize", taken.files):
        rows = taken.table()

    def look(data: Any, step: str, size: int) -> Any:
        section = policy.sanitize
        done = 0

        def tell(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(step, done, size)

        return capture(
            model,
            data,
            layers=section.layers or None,
            pooling=section.pooling,
            inputs=reads,
            device=device,
            progress=tell,
        )

    known = trusted_rows(workspace, policy, trusted, reads)
    seen = look(rows, "training set", rows.num_rows)
    clean = None
    if known is not None:
        clean = look(known.data, "trusted rows", known.size), known.labels
    work = f"sanitize/{dataset}/{taken.version}/work-{uuid.uuid4().hex}"
    with open_engine(policy, workspace.store, work) as engine:
        found = sanitize(
            seen,
            label_texts(rows, label),
            record_names(rows),
            trusted=clean,
            dynamics=None if dynamics is None else read_dynamics(dynamics),
            policy=policy,
            device=device,
            engine=engine,
        )
    who = name or _registered(workspace, taken) or type(model).__qualname__
    return _hold(
        workspace,
        taken,
        rows,
        found,
        policy=policy,
        ref=ref,
        model=who,
        calibration=in_words(found, known),
    )


def record_names(rows: pa.Table) -> pa.Array:
    """Record ids of rows of the dataset, each as ``{batch}#{record id}``."""
    pairs = zip(rows[BATCH].to_pylist(), rows[RECORD].to_pylist(), strict=True)
    return pa.array([f"{batch}#{record}" for batch, record in pairs], pa.string())


def _registered(workspace: Workspace, taken: Snapshot) -> str | None:
    table = tables.model_input
    query = (
        sa.select(table.c.model, table.c.version)
        .where(
            table.c.kind == InputKind.SNAPSHOT.value,
            table.c.name == taken.dataset,
            table.c.of_version == taken.id,
        )
        .order_by(table.c.seq.desc())
    )
    with workspace.catalog.read() as connection:
        row = connection.execute(query).first()
    return None if row is None else f"{row.model}@{row.version}"


def _hold(
    workspace: Workspace,
    taken: Snapshot,
    rows: pa.Table,
    found: Sanitization,
    *,
    policy: Policy,
    ref: PolicyRef,
    model: str,
    calibration: str,
) -> SanitizeResult:
    by_batch = held_tables(rows, found.records)
    folder = f"sanitize/{taken.dataset}/{taken.version}"
    run = table_digest(found.records)
    scores = write_table(workspace.store, f"{folder}/scores-{{sha256}}.parquet", found.records)
    cases = write_cases(workspace, by_batch, run)
    event = TrainingSanitized(
        dataset=taken.dataset,
        version=taken.version,
        model=model,
        policy=ref,
        methods=list(found.methods),
        layers=list(found.layers),
        calibrated=found.calibrated,
        false_quarantine_rate=found.rate,
        rows=rows.num_rows,
        held=found.n_held,
        classes=found.class_summaries,
        scores=scores,
        calibration=calibration,
        cases=cases,
        columns=ColumnRoles(
            policy.columns.record_id, policy.columns.label, list(policy.columns.payload)
        ),
        two_people=policy.review.require_two_people,
    )
    seqs: list[int] = []

    def put(connection: Connection) -> None:
        seq = _before(connection, event)
        if seq is None:
            seq = record(connection, event, changes, actor=workspace.actor).seq
            index_held(connection, workspace.store, event)
        seqs[:] = [seq]

    recalled = _recall(workspace, taken, found, policy, found_by(event), put)
    if not seqs:  # nothing is held, or an earlier recall took it
        with workspace.catalog.transaction() as connection:
            put(connection)
    return SanitizeResult(
        dataset=taken.dataset,
        version=taken.version,
        model=model,
        rows=rows.num_rows,
        held=found.n_held,
        calibrated=found.calibrated,
        calibration=calibration,
        cases=sorted(opened.case for opened in cases),
        recall=recalled.id if recalled else None,
        recalled_version=recalled.version if recalled else None,
        models=recalled.models if recalled else [],
        scores=scores,
        seqs=[*seqs, *(recalled.seqs if recalled else [])],
    )


def _recall(
    workspace: Workspace,
    taken: Snapshot,
    found: Sanitization,
    policy: Policy,
    reason: str,
    also: Callable[[Connection], None],
) -> Recall | None:
    ids = found.held_ids.to_pylist()
    if not ids:
        return None
    actor = Actor(ActorType.POLICY, f"policy:{policy.dataset}")
    return recall(workspace.acting(actor), taken.dataset, ids=ids, reason=reason, also=also)


def _before(connection: Connection, event: TrainingSanitized) -> int | None:
    """The entry of the same run, when it was cut off behind it or is made again."""
    for entry in entries(connection, kinds=[event.kind]):
        if entry.event == event:
            return entry.seq
    return None
