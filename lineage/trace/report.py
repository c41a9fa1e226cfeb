"""Incident reports: a trace as JSON and as one HTML page that needs nothing else.

Names in a trace come from sources and are hostile: every one is escaped, and the page forbids
scripts and connections by its own content security policy.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from lazaretto.lineage.trace.picture import MAX_PATHS, picture
from lazaretto.lineage.trace.trace import record_incident

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from lazaretto.lineage.trace.answer import Trace
    from lazaretto.storage.workspace import Workspace

MAX_ROWS = 2_000
_STYLE = """
:root{color-scheme:light dark;--line:#8886;--soft:#8882;--bad:#b3261e}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;font-size:.9em}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);
vertical-align:top;overflow-wrap:anywhere}
.scroll{overflow-x:auto}.facts{display:flex;gap:2rem;flex-wrap:wrap;padding:0;list-style:none}
.facts b{display:block;font-size:1.6rem}.bad{color:var(--bad);font-weight:600}
.caveats{border-left:4px solid var(--bad);padding-left:1rem}
svg rect{fill:var(--soft);stroke:var(--line)}svg path{fill:none;stroke:var(--line)}
svg text{font:12px ui-monospace,monospace;fill:currentColor}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


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
    """The trace as one self-contained page."""
    title = f"Lineage trace: {trace.question.kind} {trace.question.subject}"
    caveats = trace.completeness.caveats()
    paths = [path for model in trace.models for path in model.paths]
    drawn = picture(paths)
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1><p>{escape(_window(trace))}</p>",
            _facts(trace),
            '<div class="caveats"><h2>What this answer could not see</h2><ul>'
            + "".join(f"<li>{escape(text)}</li>" for text in caveats)
            + "</ul></div>"
            if caveats
            else "",
            _retrain(trace),
            _models(trace),
            f'<h2>Paths</h2><div class="scroll">{drawn}</div>' if drawn else "",
            f"<p>The first {MAX_PATHS} paths are drawn.</p>" if len(paths) > MAX_PATHS else "",
            _batches(trace),
            _snapshots(trace),
            _decisions(trace),
            _recalls(trace),
            "</body></html>\n",
        ]
    )


def _window(trace: Trace) -> str:
    since, until = trace.question.since, trace.question.until
    window = ""
    if trace.question.kind == "source":
        start = _time(since) if since else "the beginning"
        window = f"Collected from {start} until {_time(until) if until else 'now'}. "
    return f"{window}Asked at {_time(trace.at)}, up to ledger entry {trace.seq}."


def _facts(trace: Trace) -> str:
    facts: list[tuple[object, str]] = [
        (len(trace.batches), "batches"),
        (len(trace.models), "model versions"),
        (sum(batch.recalled_rows for batch in trace.batches), "records recalled since"),
        ("yes" if trace.completeness.complete else "no", "complete as far as the records say"),
    ]
    items = "".join(f"<li><b>{escape(str(n))}</b>{escape(what)}</li>" for n, what in facts)
    return f'<ul class="facts">{items}</ul>'


def _retrain(trace: Trace) -> str:
    return _table(
        "What to do",
        ("", "model", "affected versions", "retrain", "roll back to"),
        (
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
        ),
    )


def _models(trace: Trace) -> str:
    return _table(
        "Model versions",
        ("model", "registry", "registered", "use", "records in question", "of"),
        (
            (
                model.id,
                model.registry,
                _time(model.registered_at),
                "inherited" if model.inherited else ", ".join(model.roles),
                _count(model.tainted_rows),
                _count(model.rows),
            )
            for model in trace.models
        ),
    )


def _batches(trace: Trace) -> str:
    return _table(
        "Batches",
        ("batch", "collected", "received", "here because", "signature", "rows", "used", "recalled"),
        (
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
        ),
    )


def _snapshots(trace: Trace) -> str:
    return _table(
        "Dataset versions",
        ("version", "dataset", "records in question", "of", "members known"),
        (
            (
                one.id,
                one.name,
                _count(one.tainted_rows),
                _count(one.rows),
                "yes" if one.members_known else "no",
            )
            for one in trace.snapshots
        ),
    )


def _decisions(trace: Trace) -> str:
    return _table(
        "Decisions",
        ("entry", "when", "batch", "what", "records", "who", "policy", "why"),
        (
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
        ),
    )


def _recalls(trace: Trace) -> str:
    return _table(
        "Recalls",
        ("entry", "when", "dataset", "records", "models that saw them", "who", "why"),
        (
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
        ),
    )


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table, all of it escaped; nothing when it would be empty."""
    body = ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    if not body:
        return ""
    more = len(body) - MAX_ROWS
    return "".join(
        [
            f'<h2>{escape(title)}</h2><div class="scroll"><table><thead><tr>',
            *(f'<th scope="col">{escape(head)}</th>' for head in heads),
            "</tr></thead><tbody>",
            *(f"<tr>{cells}</tr>" for cells in body[:MAX_ROWS]),
            "</tbody></table></div>",
            f"<p>{more} more are in the JSON file.</p>" if more > 0 else "",
        ]
    )


def _time(moment: datetime | None) -> str:
    return "?" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)
