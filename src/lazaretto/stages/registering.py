"""Register a model from any code, with what it learned from in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.stages.model_inputs import read_inputs
from lazaretto.stages.register_model import ModelVersion
from lazaretto.stages.register_model import register_model as register
from lazaretto.storage.workspace import open_workspace
from lazaretto.values import role_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import InputRole, SnapshotRead


def register_model(
    model: str,
    version: str,
    *,
    snapshots: Sequence[str] = (),
    tables: Sequence[str] = (),
    base: Sequence[str] = (),
    predictions_of: Sequence[str] = (),
    reads: Sequence[SnapshotRead] = (),
    role: str | InputRole | None = None,
    registry: str = "local",
    purpose: str = "TRAINING",
    artifact: str | Path | None = None,
    external_run_id: str | None = None,
    params: Mapping[str, str] | None = None,
    seed: int | None = None,
    workspace: Workspace | None = None,
) -> ModelVersion:
    """Puts a model version and what it learned from on record, from a training outside Airflow.

    Called again, it adds what is new. So what a model was only measured on is told by a second
    call, in the role ``EVAL``.

    Args:
        model: name in the registry.
        version: in the registry.
        snapshots: admitted data, each as ``DATASET@VERSION``, or the id of a view for the version.
        tables: of others, each as ``NAMESPACE NAME`` or ``NAMESPACE NAME@VERSION``, in the words
            of OpenLineage.
        base: models whose weights it began with, each as ``NAME@VERSION``, or ``REGISTRY
            NAME@VERSION`` where the registry is another one.
        predictions_of: models whose predictions it learned from, in the same way.
        reads: what the training read of snapshots: `reads` of `lazaretto.training.training_data`.
            Where it did not read the weights that reviewers gave, the result says so.
        role: how snapshots, tables and predictions were used: ``TRAIN``, ``FINETUNE``,
            ``PRETRAIN``, ``CALIBRATION``, ``VALIDATION``, ``TEST`` or ``EVAL``; default: by the
            purpose.
        registry: namespace of the registry, such as ``mlflow://host:5000``.
        purpose: such as ``TRAINING`` or ``FINE_TUNING``.
        artifact: path, or URI in a bucket, of the weights; their sha256 goes on record.
        external_run_id: of the training run, in whatever ran it.
        params: worth keeping.
        seed: of the training.
        workspace: catalog and store; default: the one that the environment names.

    Raises:
        NotFoundError: a snapshot is not on record, or there is no artifact.
        UsageError: it names nothing that it learned from, or this model version is on record with
            other weights.

    Examples:
        >>> import lazaretto as lz
        >>> made = lz.register_model(
        ...     "net", "3", snapshots=["reviews@2"], base=["bert@1"], workspace=workspace
        ... )
        >>> [(one.name, one.role.value) for one in made.inputs]
        [('reviews', 'TRAIN'), ('bert', 'FINETUNE')]
    """
    inputs = read_inputs(
        registry=registry,
        snapshots=[
            *dict.fromkeys([*snapshots, *(f"{one.dataset}@{one.snapshot}" for one in reads)])
        ],
        tables=tables,
        base=base,
        predictions_of=predictions_of,
        role=role_of(purpose) if role is None else role,
    )
    return register(
        workspace or open_workspace(create=False),
        model,
        version,
        inputs=inputs,
        reads=reads,
        registry=registry,
        purpose=purpose,
        artifact=artifact,
        external_run_id=external_run_id,
        params=params,
        seed=seed,
    )
