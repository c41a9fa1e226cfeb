"""Provenance: ledger entries as OpenLineage events and as an index, traces, reports, validity.

`flush` sends what happened to any OpenLineage backend; `catch_up` brings the index in the catalog
up to date; `trace_source`, `trace_batch`, `trace_record` and `trace_model` answer incidents from
it; `ingest` adds what others did; `check` checks events by the official schemas; `model_bom` makes
a CycloneDX bill of materials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lazy import load_lazily

if TYPE_CHECKING:
    from lazaretto.lineage.bom.card import Card as Card
    from lazaretto.lineage.bom.card import model_card as model_card
    from lazaretto.lineage.bom.card_text import card_html as card_html
    from lazaretto.lineage.bom.card_text import card_markdown as card_markdown
    from lazaretto.lineage.bom.check import check_bom as check_bom
    from lazaretto.lineage.bom.make import bom_bytes as bom_bytes
    from lazaretto.lineage.bom.make import model_bom as model_bom
    from lazaretto.lineage.claims.declare import alias as alias
    from lazaretto.lineage.claims.declare import declare_external as declare_external
    from lazaretto.lineage.claims.intake import Ingested as Ingested
    from lazaretto.lineage.claims.intake import ingest as ingest
    from lazaretto.lineage.claims.intake import take as take
    from lazaretto.lineage.from_mlflow import Imported as Imported
    from lazaretto.lineage.from_mlflow import import_mlflow as import_mlflow
    from lazaretto.lineage.graph.index import catch_up as catch_up
    from lazaretto.lineage.openlineage.check import Problem as Problem
    from lazaretto.lineage.openlineage.check import check as check
    from lazaretto.lineage.openlineage.check import check_event as check_event
    from lazaretto.lineage.openlineage.check import facet_schemas as facet_schemas
    from lazaretto.lineage.openlineage.emit import EVERYTHING as EVERYTHING
    from lazaretto.lineage.openlineage.emit import IN_STAGE as IN_STAGE
    from lazaretto.lineage.openlineage.emit import Bounds as Bounds
    from lazaretto.lineage.openlineage.emit import Drained as Drained
    from lazaretto.lineage.openlineage.emit import drain as drain
    from lazaretto.lineage.openlineage.emit import flush as flush
    from lazaretto.lineage.openlineage.for_airflow import operator_lineage as operator_lineage
    from lazaretto.lineage.openlineage.lease import Held as Held
    from lazaretto.lineage.openlineage.parent import Parent as Parent
    from lazaretto.lineage.openlineage.parent import (
        parent_from_environment as parent_from_environment,
    )
    from lazaretto.lineage.openlineage.project import Projection as Projection
    from lazaretto.lineage.openlineage.project import project as project
    from lazaretto.lineage.openlineage.project import run_events as run_events
    from lazaretto.lineage.trace.answer import Completeness as Completeness
    from lazaretto.lineage.trace.answer import RecordState as RecordState
    from lazaretto.lineage.trace.answer import RetrainStep as RetrainStep
    from lazaretto.lineage.trace.answer import Trace as Trace
    from lazaretto.lineage.trace.answer import TracedAlias as TracedAlias
    from lazaretto.lineage.trace.answer import TracedBatch as TracedBatch
    from lazaretto.lineage.trace.answer import TracedDecision as TracedDecision
    from lazaretto.lineage.trace.answer import TracedModel as TracedModel
    from lazaretto.lineage.trace.answer import TracedRecall as TracedRecall
    from lazaretto.lineage.trace.answer import TracedSnapshot as TracedSnapshot
    from lazaretto.lineage.trace.answer import TracedSource as TracedSource
    from lazaretto.lineage.trace.answer import UnknownModel as UnknownModel
    from lazaretto.lineage.trace.ask import ask as ask
    from lazaretto.lineage.trace.ask import checked_question as checked_question
    from lazaretto.lineage.trace.ask import resolved_question as resolved_question
    from lazaretto.lineage.trace.conclusion import conclusion as conclusion
    from lazaretto.lineage.trace.conclusion import in_use_now as in_use_now
    from lazaretto.lineage.trace.proof import Proof as Proof
    from lazaretto.lineage.trace.proof import prove as prove
    from lazaretto.lineage.trace.questions import trace_dataset as trace_dataset
    from lazaretto.lineage.trace.questions import trace_decision as trace_decision
    from lazaretto.lineage.trace.questions import trace_key as trace_key
    from lazaretto.lineage.trace.questions import trace_policy as trace_policy
    from lazaretto.lineage.trace.questions import trace_reference as trace_reference
    from lazaretto.lineage.trace.report import KeptReport as KeptReport
    from lazaretto.lineage.trace.report import keep_report as keep_report
    from lazaretto.lineage.trace.report import to_html as to_html
    from lazaretto.lineage.trace.schema import trace_schema as trace_schema
    from lazaretto.lineage.trace.trace import record_incident as record_incident
    from lazaretto.lineage.trace.trace import trace_batch as trace_batch
    from lazaretto.lineage.trace.trace import trace_model as trace_model
    from lazaretto.lineage.trace.trace import trace_record as trace_record
    from lazaretto.lineage.trace.trace import trace_source as trace_source
    from lazaretto.lineage.trace.unexplained import Unexplained as Unexplained
    from lazaretto.lineage.trace.unexplained import unexplained as unexplained
    from lazaretto.values import Question as Question

# Each task flushes events; what answers incidents takes longer to load than a small delivery.
_HOMES = {
    "EVERYTHING": "lazaretto.lineage.openlineage.emit",
    "IN_STAGE": "lazaretto.lineage.openlineage.emit",
    "Bounds": "lazaretto.lineage.openlineage.emit",
    "Completeness": "lazaretto.lineage.trace.answer",
    "Drained": "lazaretto.lineage.openlineage.emit",
    "Held": "lazaretto.lineage.openlineage.lease",
    "Ingested": "lazaretto.lineage.claims.intake",
    "Imported": "lazaretto.lineage.from_mlflow",
    "KeptReport": "lazaretto.lineage.trace.report",
    "Parent": "lazaretto.lineage.openlineage.parent",
    "Proof": "lazaretto.lineage.trace.proof",
    "Problem": "lazaretto.lineage.openlineage.check",
    "Projection": "lazaretto.lineage.openlineage.project",
    "Question": "lazaretto.values",
    "RecordState": "lazaretto.lineage.trace.answer",
    "RetrainStep": "lazaretto.lineage.trace.answer",
    "Trace": "lazaretto.lineage.trace.answer",
    "TracedBatch": "lazaretto.lineage.trace.answer",
    "TracedDecision": "lazaretto.lineage.trace.answer",
    "TracedAlias": "lazaretto.lineage.trace.answer",
    "TracedModel": "lazaretto.lineage.trace.answer",
    "TracedRecall": "lazaretto.lineage.trace.answer",
    "TracedSnapshot": "lazaretto.lineage.trace.answer",
    "TracedSource": "lazaretto.lineage.trace.answer",
    "UnknownModel": "lazaretto.lineage.trace.answer",
    "ask": "lazaretto.lineage.trace.ask",
    "bom_bytes": "lazaretto.lineage.bom.make",
    "Card": "lazaretto.lineage.bom.card",
    "card_html": "lazaretto.lineage.bom.card_text",
    "card_markdown": "lazaretto.lineage.bom.card_text",
    "catch_up": "lazaretto.lineage.graph.index",
    "check": "lazaretto.lineage.openlineage.check",
    "check_bom": "lazaretto.lineage.bom.check",
    "checked_question": "lazaretto.lineage.trace.ask",
    "check_event": "lazaretto.lineage.openlineage.check",
    "conclusion": "lazaretto.lineage.trace.conclusion",
    "in_use_now": "lazaretto.lineage.trace.conclusion",
    "drain": "lazaretto.lineage.openlineage.emit",
    "facet_schemas": "lazaretto.lineage.openlineage.check",
    "flush": "lazaretto.lineage.openlineage.emit",
    "ingest": "lazaretto.lineage.claims.intake",
    "import_mlflow": "lazaretto.lineage.from_mlflow",
    "keep_report": "lazaretto.lineage.trace.report",
    "model_bom": "lazaretto.lineage.bom.make",
    "model_card": "lazaretto.lineage.bom.card",
    "operator_lineage": "lazaretto.lineage.openlineage.for_airflow",
    "parent_from_environment": "lazaretto.lineage.openlineage.parent",
    "project": "lazaretto.lineage.openlineage.project",
    "prove": "lazaretto.lineage.trace.proof",
    "resolved_question": "lazaretto.lineage.trace.ask",
    "record_incident": "lazaretto.lineage.trace.trace",
    "run_events": "lazaretto.lineage.openlineage.project",
    "to_html": "lazaretto.lineage.trace.report",
    "trace_batch": "lazaretto.lineage.trace.trace",
    "trace_model": "lazaretto.lineage.trace.trace",
    "trace_record": "lazaretto.lineage.trace.trace",
    "trace_schema": "lazaretto.lineage.trace.schema",
    "trace_source": "lazaretto.lineage.trace.trace",
    "trace_dataset": "lazaretto.lineage.trace.questions",
    "trace_decision": "lazaretto.lineage.trace.questions",
    "trace_reference": "lazaretto.lineage.trace.questions",
    "trace_policy": "lazaretto.lineage.trace.questions",
    "trace_key": "lazaretto.lineage.trace.questions",
    "unexplained": "lazaretto.lineage.trace.unexplained",
    "Unexplained": "lazaretto.lineage.trace.unexplained",
    "take": "lazaretto.lineage.claims.intake",
    "declare_external": "lazaretto.lineage.claims.declare",
    "alias": "lazaretto.lineage.claims.declare",
}

__all__ = [*_HOMES]  # noqa: PLE0604

load_lazily(__name__, _HOMES)
