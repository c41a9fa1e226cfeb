"""Provenance: ledger entries as OpenLineage events and as an index, traces, reports, validity.

`flush` sends what happened to any OpenLineage backend; `catch_up` brings the index in the catalog
up to date; `trace_source`, `trace_batch`, `trace_record` and `trace_model` answer incidents from
it; `ingest` adds what others did; `check` checks events by the official schemas.
"""

from __future__ import annotations

from lazaretto.lineage.graph.index import catch_up
from lazaretto.lineage.graph.ingest import Ingested, ingest
from lazaretto.lineage.openlineage.check import Problem, check, check_event
from lazaretto.lineage.openlineage.emit import EVERYTHING, IN_STAGE, Bounds, Drained, drain, flush
from lazaretto.lineage.openlineage.for_airflow import operator_lineage
from lazaretto.lineage.openlineage.lease import Held
from lazaretto.lineage.openlineage.parent import Parent, parent_from_environment
from lazaretto.lineage.openlineage.project import Projection, project, run_events
from lazaretto.lineage.trace.answer import (
    Completeness,
    Question,
    RecordState,
    RetrainStep,
    Trace,
    TracedBatch,
    TracedDecision,
    TracedModel,
    TracedRecall,
    TracedSnapshot,
    TracedSource,
)
from lazaretto.lineage.trace.report import KeptReport, keep_report, to_html
from lazaretto.lineage.trace.trace import (
    record_incident,
    trace_batch,
    trace_model,
    trace_record,
    trace_source,
)

__all__ = [
    "EVERYTHING",
    "IN_STAGE",
    "Bounds",
    "Completeness",
    "Drained",
    "Held",
    "Ingested",
    "KeptReport",
    "Parent",
    "Problem",
    "Projection",
    "Question",
    "RecordState",
    "RetrainStep",
    "Trace",
    "TracedBatch",
    "TracedDecision",
    "TracedModel",
    "TracedRecall",
    "TracedSnapshot",
    "TracedSource",
    "catch_up",
    "check",
    "check_event",
    "drain",
    "flush",
    "ingest",
    "keep_report",
    "operator_lineage",
    "parent_from_environment",
    "project",
    "record_incident",
    "run_events",
    "to_html",
    "trace_batch",
    "trace_model",
    "trace_record",
    "trace_source",
]
