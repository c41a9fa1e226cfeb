"""Retrain: train again without what sanitizing held, and compare the models; attacks not needed."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from lazaretto.batch._columns import label_texts
from lazaretto.dataset.damage import damage_on_record
from lazaretto.errors import UsageError
from lazaretto.stages.register_model import register_model
from lazaretto.stages.sanitize_result import ClassChange, Retraining
from lazaretto.stages.sanitize_training import record_names
from lazaretto.stages.snapshot import snapshot
from lazaretto.stages.taken import find_snapshot
from lazaretto.stages.trusted import trusted_rows
from lazaretto.storage.sidecars import read_table, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from lazaretto.activations import Comparison
    from lazaretto.policy import Policy
    from lazaretto.stages.sanitize_result import SanitizeResult
    from lazaretto.stages.taken import Snapshot
    from lazaretto.stages.trusted import Trusted
    from lazaretto.storage.workspace import Workspace

    Train = Callable[[Snapshot], tuple[nn.Module, str | None]]


def retrain_and_compare(
    workspace: Workspace,
    done: SanitizeResult,
    before: nn.Module,
    policy: Policy,
    *,
    train: Train,
    held_out: Trusted = None,
    register: str | None = None,
    inputs: Any = None,
    classes: Sequence[str] | None = None,
    device: str = "auto",
) -> SanitizeResult:
    """Trains on the version without the held records, and compares the new model with the old.

    The comparison is kept beside the scores; the new model version, when it is registered, says
    where in its parameters.

    Args:
        workspace: catalog and store.
        done: what `sanitize_training` did.
        before: the model that it used.
        policy: names label, and embedding or reference.
        train: takes the new snapshot; returns the trained module, and path or URI of its weights
            where there are any.
        held_out: rows that neither model learned from, to compare on: a table, or ``reference``.
        register: ``name@version`` to register the new model as.
        inputs: what the models read of a row, as for `sanitize_training`.
        classes: class names in the order of the outputs, see `lazaretto.activations.compare`.
        device: torch device.

    Returns:
        `done` with its `comparison`, which is None when nothing was held: there is nothing to train
        anew for.

    Raises:
        UsageError: there are no rows to compare on, or the models cannot be compared.

    Examples:
        >>> import torch
        >>> from lazaretto import stages
        >>> model = torch.nn.Linear(8, 3)
        >>> done = stages.sanitize_training(
        ...     workspace, "reviews", model, policy, trusted="trusted.parquet"
        ... )
        >>> done = retrain_and_compare(
        ...     workspace,
        ...     done,
        ...     model,
        ...     policy,
        ...     train=lambda snapshot: (torch.nn.Linear(8, 3), "net.safetensors"),
        ...     held_out="trusted.parquet",
        ... )
    """
    from lazaretto.activations import compare

    if done.recalled_version is None:
        return done
    reads = inputs if inputs is not None else policy.columns.embedding
    known = trusted_rows(workspace, policy, held_out, reads)
    if known is None:
        raise UsageError("comparing needs rows that neither model learned from: name some")
    without = snapshot(workspace, done.dataset, version=done.recalled_version)
    after, weights = train(without)
    suspects = _held_rows(workspace, done)
    label = str(policy.columns.label)
    found = compare(
        before,
        after,
        known.data,
        known.labels,
        held=(suspects, label_texts(suspects, label), record_names(suspects)),
        classes=classes,
        inputs=reads,
        device=device,
    )
    result = _keep(workspace, done, without, found, known.name, register)
    seqs = list(done.seqs)
    if register is not None:
        name, _, version = register.rpartition("@")
        told = {"compared_with": done.model, "comparison": result.file.path if result.file else ""}
        registered = register_model(
            workspace, name, version, done.dataset, without.version, artifact=weights, params=told
        )
        seqs.append(registered.seq)
    return replace(done, comparison=result, seqs=seqs)


def check_register(register: str | None) -> None:
    """Says early what `retrain_and_compare` would refuse after a training.

    Raises:
        UsageError: it is not ``name@version``.
    """
    if register is not None and not all(register.rpartition("@")[::2]):
        raise UsageError(f"a model is NAME@VERSION, not {register!r}")


def _held_rows(workspace: Workspace, done: SanitizeResult) -> Any:
    if done.scores is None:
        raise UsageError("nothing was sanitized: there are no held records to compare")
    scores = read_table(workspace.store, done.scores, columns=["record_id", "held"])
    names = scores.filter(scores["held"])["record_id"]
    with workspace.catalog.read() as connection:
        taken = find_snapshot(connection, workspace, done.dataset, done.version)
    if taken is None:
        raise UsageError(f"no snapshot of {done.dataset}@{done.version} is on record")
    with damage_on_record(workspace, done.dataset, "compare", taken.files):
        rows = taken.table()
    return rows.filter(pc.is_in(record_names(rows), names.combine_chunks()))


def _keep(
    workspace: Workspace,
    done: SanitizeResult,
    without: Snapshot,
    found: Comparison,
    compared_on: str,
    register: str | None,
) -> Retraining:
    folder = f"sanitize/{done.dataset}/{done.version}"
    records = write_table(workspace.store, f"{folder}/compared-{{sha256}}.parquet", found.held)
    result = Retraining(
        version=without.version,
        model=register,
        compared_on=compared_on,
        classes=[ClassChange(**row) for row in found.classes.to_pylist()],
        overall=found.overall,
        held=found.held.num_rows,
        contradicted=found.contradicted,
        records=records,
    )
    document = json.dumps(asdict(result), indent=2, allow_nan=False).encode()
    file = workspace.store.put(f"{folder}/compared-{{sha256}}.json", [document])
    return replace(result, file=file)
