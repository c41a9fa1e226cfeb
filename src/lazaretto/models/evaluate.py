"""Evaluation: a model version is measured on a test set, and the report goes on record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.authority.model_rules import ancestry
from lazaretto.authority.policies import policy_in_force
from lazaretto.batch._columns import label_texts
from lazaretto.dataset.models import find_model, named_model
from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import ModelEvaluated
from lazaretto.models.evidence import evaluations_of
from lazaretto.models.figures import (
    Asked,
    Made,
    measure_accuracy,
    measure_canaries,
    measure_stress,
)
from lazaretto.models.measure import agreement
from lazaretto.models.open_model import open_model, read_test_file
from lazaretto.models.report import Report, report_bytes, sign_report
from lazaretto.stages.alias_model import find_alias
from lazaretto.storage.sidecars import read_table, write_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from lazaretto.dataset.models import KnownModel, ModelKey
    from lazaretto.models.answers import Answers, Model
    from lazaretto.models.evidence import Evaluation
    from lazaretto.models.open_model import ModelSource
    from lazaretto.policy.model import Columns
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation that was made and put on record.

    Attributes:
        seq: ledger entry.
        report: what was measured.
        signed: whether a key signed it.
    """

    seq: int
    report: Report
    signed: bool


def evaluate_model(
    workspace: Workspace,
    model: str,
    version: str,
    rows: pa.Table,
    test_set: str,
    ask: Model,
    *,
    asked: Asked | None = None,
    registry: str | None = None,
    artifact_digest: str | None = None,
    code: str | None = None,
    alias: str = "production",
    key: bytes | None = None,
) -> Evaluated:
    """Measures a model version, and puts the report on record.

    Args:
        workspace: catalog and store; whoever acts through it measured.
        model: name of the model.
        version: its version.
        rows: of the test set, which it did not learn from.
        test_set: sha256 (hex) of the test file.
        ask: the model; see `lazaretto.models.answers`.
        asked: what is measured besides accuracy.
        registry: of the model; None: of the only one that has it.
        artifact_digest: sha256 (hex) of the weights that are run; None: they are not known.
        code: the user's function that loads or runs it.
        alias: the version that stands for it now is compared with.
        key: PEM of a private key that signs the report; None: none does.

    Raises:
        NotFoundError: no such model version is registered.
        UsageError: other weights than those on record, no label, or the model cannot read the rows.

    Examples:
        >>> from lazaretto.models.answers import of_function
        >>> from lazaretto import stages
        >>> rows = stages.snapshot(workspace, "reviews").table().slice(0, 20)
        >>> net = of_function(lambda rows: rows["label"], [])
        >>> done = evaluate_model(workspace, "net", "1", rows, "7e" * 32, net)
        >>> done.report.figures["accuracy"]
        1.0
    """
    asked = asked or Asked()
    with workspace.catalog.read() as connection:
        named = named_model(connection, model, version, registry)
        known = find_model(connection, named)
        datasets = [name for name, _ in ancestry(connection, named).snapshots()]
        columns = _columns(connection, datasets)
        before = _in_use(connection, named, alias, test_set)
    _same_weights(known, artifact_digest)
    label = _label(asked, columns)
    truth = label_texts(rows, label)
    kept = pc.is_valid(truth)
    tested, must = rows.filter(kept), truth.filter(kept).to_pylist()
    if not must:
        raise UsageError(f"no row of the test set has a label in {label!r}")
    answers = ask.answer(tested)
    made = Made()
    measure_accuracy(
        made, answers, must, tested, asked.slices or (columns.slices if columns else ())
    )
    reads = list(asked.reads or ([columns.embedding] if columns and columns.embedding else []))
    reads = [name for name in reads if name in tested.schema.names]
    measure_stress(made, ask, tested, must, answers, reads, asked)
    measure_canaries(made, workspace, ask, datasets, label, reads, asked)
    if before is not None:
        told = read_table(workspace.store, before.event.predictions)["answer"].to_pylist()
        if len(told) == len(must):
            made.figures["agreement"] = agreement(answers, dict(enumerate(told)))
            made.more["compared_with"] = before.event.version
    report = Report(
        registry=named.registry,
        model=named.model,
        version=named.version,
        how=ask.how,
        code=code,
        artifact_digest=artifact_digest,
        test_set=test_set,
        rows=len(must),
        left_out=rows.num_rows - len(must),
        figures=made.figures,
        notes=made.notes,
        **made.more,
    )
    return _record(workspace, report, answers, key)


def evaluate_file(
    workspace: Workspace,
    model: str,
    version: str,
    on: str | Path,
    source: ModelSource,
    *,
    asked: Asked | None = None,
    registry: str | None = None,
    code: str | None = None,
    alias: str = "production",
    key: bytes | None = None,
) -> Evaluated:
    """The same, with test rows and model from their files.

    Args:
        workspace: catalog and store; whoever acts through it measured.
        model: name of the model.
        version: its version.
        on: the test file, in any format of a delivery.
        source: where the model is.
        asked: what is measured besides accuracy.
        registry: of the model; None: of the only one that has it.
        code: the user's function that loads it, by its import path.
        alias: the version that stands for it now is compared with.
        key: PEM of a private key that signs the report; None: none does.

    Raises:
        NotFoundError: no such model version is registered, or a file cannot be read.
        UsageError: other weights than those on record, no label, or the model cannot read the rows.

    Examples:
        >>> from lazaretto.models.open_model import ModelSource
        >>> source = ModelSource(load=lambda weights: lambda rows: rows["label"])
        >>> done = evaluate_file(workspace, "net", "1", "monday.parquet", source)
        >>> done.report.figures["class_accuracy"]
        1.0
    """
    asked = asked or Asked()
    with workspace.catalog.read() as connection:
        key_of = named_model(connection, model, version, registry)
        datasets = [name for name, _ in ancestry(connection, key_of).snapshots()]
        columns = _columns(connection, datasets)
    test = read_test_file(on)
    label = _label(asked, columns)
    if source.inputs is None and columns is not None and columns.embedding is not None:
        source = replace(source, inputs=columns.embedding)
    ask, digest = open_model(source, test.rows, label)
    return evaluate_model(
        workspace,
        model,
        version,
        test.rows,
        test.sha256,
        ask,
        asked=asked,
        registry=registry,
        artifact_digest=digest,
        code=code,
        alias=alias,
        key=key,
    )


def _label(asked: Asked, columns: Columns | None) -> str:
    label = asked.label or (columns.label if columns is not None else None)
    if label is None:
        raise UsageError("say which column of the test set holds the answer: label")
    return label


def _columns(connection: Connection, datasets: Sequence[str]) -> Columns | None:
    """The columns of the first dataset that the model learned from, by its policy in force."""
    found = policy_in_force(connection, datasets[0]) if datasets else None
    return None if found is None else found.rules.columns


def _same_weights(known: KnownModel | None, digest: str | None) -> None:
    on_record = None if known is None else known.newest.artifact_digest
    if digest is not None and on_record is not None and digest != on_record:
        raise UsageError(
            f"these are not the weights on record: sha256 {digest[:16]}…, on record is "
            f"{on_record[:16]}…"
        )


def _in_use(connection: Connection, key: ModelKey, alias: str, test_set: str) -> Evaluation | None:
    """The newest evaluation, on the same test set, of the version that is in use."""
    now = find_alias(connection, key, alias)
    if now is None or now.version in (None, key.version):
        return None
    found = evaluations_of(connection, key._replace(version=str(now.version)))
    return next((one for one in found if one.event.test_set == test_set), None)


def _record(workspace: Workspace, report: Report, answers: Answers, key: bytes | None) -> Evaluated:
    text = report_bytes(report)
    kept = workspace.store.put("evaluations/{sha256}.json", [text])
    envelope = None
    if key is not None:
        signed = sign_report(text, f"{report.model}@{report.version}", key)
        envelope = workspace.store.put("evaluations/{sha256}.dsse.json", [signed])
    told = pa.table({"answer": pa.array(answers.labels, pa.string())})
    predictions = write_table(workspace.store, "evaluations/answers-{sha256}.parquet", told)
    event = ModelEvaluated(
        model=report.model,
        version=report.version,
        registry=report.registry,
        how=report.how,
        code=report.code,
        artifact_digest=report.artifact_digest,
        test_set=report.test_set,
        rows=report.rows,
        figures=report.figures,
        report=kept,
        predictions=predictions,
        envelope=envelope,
        compared_with=report.compared_with,
    )
    with workspace.catalog.transaction() as connection:
        seq = append(connection, event, actor=workspace.actor).seq
    return Evaluated(seq, report, signed=envelope is not None)
