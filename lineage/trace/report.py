"""Incident reports: a trace as JSON and as one HTML page that needs nothing else.

Names in a trace come from sources and are hostile: Jinja escapes every value, and the page forbids
scripts and connections by its own content security policy.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lazaretto.lineage.trace.picture import picture
from lazaretto.lineage.trace.trace import record_incident

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from lazaretto.lineage.trace.answer import Trace
    from lazaretto.storage.workspace import Workspace

MAX_ROWS = 2_000
_TEMPLATES = Path(__file__).parent / "templates"


class Table(NamedTuple):
    """A table of the page; left out when it has no rows."""

    title: str
    heads: Sequence[str]
    rows: list[Sequence[object]]


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A report in the store, on record.

    Attributes:
        json_uri: the trace as JSON.
        html_uri: the page.
        seq: ledger entry of the incident.
    """

    json_uri: str
    html_uri: str
    seq: int


def keep_report(workspace: Workspace, trace: Trace) -> KeptReport:
    """Writes a trace into the store as JSON and HTML, and puts the incident on record.

    Raises:
        UsageError: the trace is of a model; see `lazaretto.lineage.record_incident`.
        SystemFaultError: store or catalog cannot be written.

    Examples:
        >>> from lazaretto.lineage import trace_source
        >>> kept = keep_report(workspace, trace_source(workspace, "vendor"))
        >>> kept.html_uri.endswith("trace.html")
        True
    """
    document = to_json(trace).encode()
    name = f"{trace.at:%Y%m%dT%H%M%SZ}-{hashlib.sha256(document).hexdigest()[:8]}"
    store = workspace.store
    kept = [
        store.put(f"incidents/{name}/trace.json", [document]),
        store.put(f"incidents/{name}/trace.html", [to_html(trace).encode()]),
    ]
    seq = record_incident(workspace, trace, report=kept)
    json_uri, html_uri = (store.uri(file.path) for file in kept)
    return KeptReport(json_uri=json_uri, html_uri=html_uri, seq=seq)


def to_json(trace: Trace) -> str:
    """The trace as one indented JSON document."""
    return json.dumps(trace.to_json(), indent=2, ensure_ascii=False) + "\n"


def to_html(trace: Trace) -> str:
    """The trace as one self-contained page.

    Examples:
        >>> from lazaretto.lineage import trace_source
        >>> to_html(trace_source(workspace, "vendor"))[:15]
        '<!doctype html>'
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Autoescape for every template, not by file name: names in a trace are the attacker's.
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html").render(
        title=f"Lineage trace: {trace.question.kind} {trace.question.subject}",
        window=_window(trace),
        facts=_facts(trace),
        caveats=trace.completeness.caveats(),
        before_paths=[_retrain(trace), _models(trace)],
        picture=picture([path for model in trace.models for path in model.paths]),
        after_paths=[
            _record(trace),
            _releases(trace),
            _batches(trace),
            _refused(trace),
            _snapshots(trace),
            _decisions(trace),
            _recalls(trace),
        ],
        most_rows=MAX_ROWS,
    )


def _window(trace: Trace) -> str:
    since, until = trace.question.since, trace.question.until
    window = ""
    if trace.question.kind == "source":
        start = _time(since) if since else "the beginning"
        window = f"Collected from {start} until {_time(until) if until else 'now'}. "
    return f"{window}Asked at {_time(trace.at)}, up to ledger entry {trace.seq}."


def _facts(trace: Trace) -> list[tuple[object, str]]:
    return [
        (len(trace.batches), "batches"),
        (len(trace.models), "model versions"),
        (sum(batch.recalled_rows for batch in trace.batches), "records recalled since"),
        ("yes" if trace.completeness.complete else "no", "complete as far as the records say"),
    ]


def _retrain(trace: Trace) -> Table:
    return Table(
        "What to do",
        ("", "model", "affected versions", "retrain", "roll back to"),
        [
            (
                step.order,
                step.model,
                ", ".join(step.affected),
                f"yes, without {len(step.exclude)} batches"
                if step.retrain
                else f"no: {step.newest} is not affected",
                step.last_clean or "no version is clean",
            )
            for step in trace.retrain
        ],
    )


def _models(trace: Trace) -> Table:
    return Table(
        "Model versions",
        ("model", "registry", "registered", "use", "records in question", "of"),
        [
            (
                model.id,
                model.registry,
                _time(model.registered_at),
                "inherited" if model.inherited else ", ".join(model.roles),
                _count(model.tainted_rows),
                _count(model.rows),
            )
            for model in trace.models
        ],
    )


def _batches(trace: Trace) -> Table:
    return Table(
        "Batches",
        ("batch", "collected", "received", "here because", "signature", "rows", "used", "recalled"),
        [
            (
                batch.id,
                f"{_time(batch.collected_from)} to {_time(batch.collected_to)}",
                _time(batch.received_at),
                batch.matched,
                batch.signature or "none",
                _count(batch.rows),
                batch.used_rows or 0,
                batch.recalled_rows,
            )
            for batch in trace.batches
        ],
    )


def _refused(trace: Trace) -> Table:
    return Table(
        "Refused deliveries",
        ("refused", "delivered as", "code", "reason", "sha256", "ledger entry"),
        [
            (_time(one.at), one.uri, one.code, one.reason, one.file_digest or "not read", one.seq)
            for one in trace.refused
        ],
    )


def _snapshots(trace: Trace) -> Table:
    return Table(
        "Dataset versions",
        ("version", "dataset", "records in question", "of", "members known"),
        [
            (
                one.id,
                one.name,
                _count(one.tainted_rows),
                _count(one.rows),
                "yes" if one.members_known else "no",
            )
            for one in trace.snapshots
        ],
    )


def _record(trace: Trace) -> Table:
    record = trace.record
    if record is None:
        return Table("The record", (), [])
    held = {True: "yes", False: "no", None: "not known: see what could not be read"}[record.held]
    told: list[tuple[str, object]] = [
        ("held by quarantine", held),
        ("case", record.case),
        ("decision in force", record.action),
        ("decided by", record.decided_by),
        ("published by", record.published_by),
        ("approved by", ", ".join(record.approved_by)),
        ("publication", record.publication),
        ("found in", ", ".join(record.present_in)),
        ("could not be read", ", ".join(record.unchecked)),
    ]
    return Table("The record", ("what", ""), [(name, value) for name, value in told if value])


def _releases(trace: Trace) -> Table:
    return Table(
        "Who let held records through",
        ("entry", "when", "batch", "records", "into", "decided by", "approved by", "published by"),
        [
            (
                one.seq,
                _time(one.at),
                one.batch,
                one.records,
                f"{one.dataset}@{one.version}",
                ", ".join(one.decided_by),
                ", ".join(one.approved_by),
                one.published_by,
            )
            for one in trace.releases
        ],
    )


def _decisions(trace: Trace) -> Table:
    return Table(
        "Decisions",
        ("entry", "when", "batch", "what", "records", "who", "policy", "why"),
        [
            (
                one.seq,
                _time(one.at),
                one.batch,
                one.what,
                one.records,
                one.actor,
                f"{one.policy} {(one.policy_sha256 or '')[:12]}" if one.policy else "",
                one.reason,
            )
            for one in trace.decisions
        ],
    )


def _recalls(trace: Trace) -> Table:
    return Table(
        "Recalls",
        ("entry", "when", "dataset", "records", "models that saw them", "who", "why"),
        [
            (
                one.seq,
                _time(one.at),
                f"{one.dataset}@{one.version}",
                sum(one.batches.values()),
                ", ".join(one.models),
                one.actor,
                one.reason,
            )
            for one in trace.recalls
        ],
    )


def _time(moment: datetime | None) -> str:
    return "?" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)
