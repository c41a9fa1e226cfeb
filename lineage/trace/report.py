"""Incident reports: a trace as JSON and as one HTML page that needs nothing else.

Names in a trace come from sources and are hostile: Jinja escapes every value, and the page forbids
scripts and connections by its own content security policy.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lazaretto.lineage.trace import tables
from lazaretto.lineage.trace.asking import command_of, leave_out
from lazaretto.lineage.trace.conclusion import conclusion, in_use_now
from lazaretto.lineage.trace.picture import Picture, picture
from lazaretto.lineage.trace.proof import prove
from lazaretto.lineage.trace.timeline import timeline
from lazaretto.lineage.trace.trace import record_incident
from lazaretto.text import cut, visible
from lazaretto.window import EITHER

if TYPE_CHECKING:
    from lazaretto.lineage.trace.answer import Trace, TracedModel, UnknownModel
    from lazaretto.lineage.trace.proof import Proof
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

MAX_ROWS = 2_000
_LONGEST_TITLE = 240
_TEMPLATES = Path(__file__).parent / "templates"
_LINES = {
    "known": "events or the ledger name both versions",
    "inferred": "a rule leaves one answer",
    "possible": "a rule leaves several, or something is missing",
}


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A report in the store, on record.

    Attributes:
        json_uri: the trace as JSON.
        html_uri: the page.
        seq: ledger entry of the incident, which has the digests of both files.
        page: the page, as the entry names it.
    """

    json_uri: str
    html_uri: str
    seq: int
    page: StoredFile


def keep_report(workspace: Workspace, trace: Trace) -> KeptReport:
    """Writes a trace into the store as JSON and HTML, and puts the incident on record.

    `lazaretto ledger verify` compares both files with the digests of the entry.

    Raises:
        UsageError: the trace is of a model; see `lazaretto.lineage.record_incident`.
        SystemFaultError: store or catalog cannot be written.

    Examples:
        >>> from lazaretto.lineage import trace_source
        >>> kept = keep_report(workspace, trace_source(workspace, "vendor"))
        >>> kept.html_uri.endswith("trace.html")
        True
    """
    proof = prove(workspace, trace)
    text = to_json(trace).encode()
    name = f"{trace.at:%Y%m%dT%H%M%SZ}-{hashlib.sha256(text).hexdigest()[:8]}"
    store = workspace.store
    document = store.put(f"incidents/{name}/trace.json", [text])
    shown = to_html(trace, proof, document=document).encode()
    page = store.put(f"incidents/{name}/trace.html", [shown])
    seq = record_incident(workspace, trace, report=[document, page])
    return KeptReport(store.uri(document.path), store.uri(page.path), seq, page)


def to_json(trace: Trace) -> str:
    """The trace as one indented JSON document."""
    return json.dumps(trace.to_json(), indent=2, ensure_ascii=False) + "\n"


def to_html(trace: Trace, proof: Proof | None = None, *, document: StoredFile | None = None) -> str:
    """The trace as one self-contained page.

    Args:
        trace: the answer.
        proof: what it rests on, of `prove`; None: the page says that nothing was verified.
        document: the same answer as JSON, where the report is kept in the store.

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
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html").render(
        title=cut(f"Lineage trace: {trace.question.kind} {trace.question.subject}", _LONGEST_TITLE),
        conclusion=(in_use_now(trace), *conclusion(trace)),
        clear=trace.clear,
        window=_window(trace),
        facts=_facts(trace),
        in_use=tables.in_use(trace),
        plan=tables.retrain(trace),
        leave_out=leave_out(trace),
        models=[tables.models(trace), tables.unknown(trace), tables.evaluated(trace)],
        caveats=trace.completeness.caveats(),
        moments=timeline(trace),
        time=tables.shown_time,
        picture=_picture(trace),
        lines=_LINES,
        after=[
            tables.record(trace),
            tables.releases(trace),
            tables.batches(trace),
            tables.refused(trace),
            tables.snapshots(trace),
            tables.decisions(trace),
            tables.recalls(trace),
        ],
        most_rows=MAX_ROWS,
        command=command_of(trace.question),
        proof=None if proof is None else tables.evidence(proof),
        document=document,
    )


def _shown(value: object) -> object:
    """What the page says of a value: marks that reverse the direction of text are escaped, too."""
    from markupsafe import Markup

    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value, keep_newlines=True)


def _window(trace: Trace) -> str:
    since, until = trace.question.since, trace.question.until
    window = ""
    if trace.question.kind in ("source", "key"):
        start = tables.shown_time(since) if since else "the beginning"
        how = {EITHER: "Received or collected"}.get(trace.question.by, trace.question.by)
        how = "Received" if trace.question.kind == "key" else how.capitalize()
        window = f"{how} from {start} until {tables.shown_time(until) if until else 'now'}. "
    if trace.question.without:
        window += f"As if never delivered: {', '.join(trace.question.without)}. "
    return f"{window}Asked at {tables.shown_time(trace.at)}, up to ledger entry {trace.seq}."


def _facts(trace: Trace) -> list[tuple[object, str]]:
    return [
        (len(trace.models), "model versions affected"),
        (len(trace.unknown), "may be affected"),
        (len(trace.batches), "batches"),
        (sum(batch.recalled_rows for batch in trace.batches), "records recalled since"),
        ("yes" if trace.completeness.complete else "no", "complete as far as the records say"),
    ]


def _picture(trace: Trace) -> Picture | None:
    """Ways to what is affected first, then to what may be."""
    reached: list[TracedModel | UnknownModel] = [*trace.models, *trace.unknown]
    paths, bases = list[list[str]](), list[list[str]]()
    for one in reached:
        paths += one.paths
        bases += [*one.bases, *([] for _ in one.paths[len(one.bases) :])]
    return picture(paths, bases)
