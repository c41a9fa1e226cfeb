"""``lazaretto trace``: what a source reached, and what a model learned from."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from lazaretto.cli.arguments import Since, Until, split_version, write_new_file
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import facts, grid
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.text import counted, plain
from lazaretto.cli.trace_prediction import add_prediction

if TYPE_CHECKING:
    from lazaretto.lineage import Trace

app = typer.Typer(
    no_args_is_help=True, help="Follow data forwards to models, and models back to data."
)

add_prediction(app)

_ASKS = Needs.WORKSPACE
_HELD = {True: "held", False: "not held", None: "cannot be told whether it was held"}

Html = Annotated[Path | None, typer.Option(help="Also write a self-contained report to this file")]
Record = Annotated[
    bool,
    typer.Option(
        "--record", help="Keep the report in the store and put the incident into the ledger"
    ),
]


@command(app, "source", needs=_ASKS)
def source(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the source")],
    *,
    since: Since = None,
    until: Until = None,
    html: Html = None,
    record: Record = False,
) -> Reply:
    """What a source delivered in a window, the model versions that it reached, and what to retrain.

    Exit code 1 when a model version is affected; 4 when none was found and the answer is not whole.
    """
    from lazaretto.lineage import trace_source

    return _reply(session, trace_source(session.workspace, name, since, until), html, record)


@command(app, "batch", needs=_ASKS)
def batch(
    session: Session,
    batch: Annotated[str, typer.Argument(help="Id of a batch")],
    html: Html = None,
    record: Record = False,
) -> Reply:
    """The model versions that learned from a batch.

    Exit code 1 when there is one; 4 when none was found and the answer is not whole.
    """
    from lazaretto.lineage import trace_batch

    return _reply(session, trace_batch(session.workspace, batch), html, record)


@command(app, "record", needs=_ASKS)
def record_(
    session: Session,
    record_id: Annotated[str, typer.Argument(metavar="RECORD", help="BATCH#RECORD_ID")],
    html: Html = None,
    record: Record = False,
) -> Reply:
    """The model versions that learned from one record.

    Exit code 1 when there is one; 4 when none was found and the answer is not whole.
    """
    from lazaretto.lineage import trace_record

    return _reply(session, trace_record(session.workspace, record_id), html, record)


@command(app, "model")
def model(
    session: Session,
    version: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A model version")],
    registry: Annotated[
        str | None, typer.Option(help="Where several registries have a model of this name")
    ] = None,
    html: Html = None,
) -> Reply:
    """What a model version was made of: snapshots, batches, sources, and who let them through.

    Exit code 4 when the answer is not whole.
    """
    from lazaretto.lineage import trace_model

    name, number = split_version(version)
    trace = trace_model(session.workspace, name, number, registry=registry)
    shown = view(trace, _write_report(trace, html))
    return Reply(trace.to_json(), shown, cannot_say=not trace.complete)


def _reply(session: Session, trace: "Trace", html: Path | None, record: bool) -> Reply:
    from lazaretto.lineage import keep_report

    data = trace.to_json()
    report: Path | str | None = _write_report(trace, html)
    if record:
        kept = keep_report(session.workspace, trace)
        data["report"] = {"json": kept.json_uri, "html": kept.html_uri, "seq": kept.seq}
        report = kept.html_uri
    shown = view(trace, report)
    return Reply(data, shown, found=bool(trace.models), cannot_say=not trace.complete)


def _write_report(trace: "Trace", html: Path | None) -> Path | None:
    if html is not None:
        from lazaretto.lineage import to_html

        write_new_file(html, to_html(trace).encode(), overwrite=True)
    return html


def view(trace: "Trace", report: Path | str | None) -> RenderableType:
    """Facts and tables of a trace."""
    parts: list[RenderableType] = [facts(_summary(trace, report))]
    if trace.batches:
        parts.append(
            grid(
                ["batch", "collected", "signature", "records", "used", "recalled"],
                [
                    (
                        batch.id,
                        _interval(batch.collected_from, batch.collected_to),
                        batch.signature,
                        batch.rows,
                        batch.used_rows or 0,
                        batch.recalled_rows,
                    )
                    for batch in trace.batches
                ],
                title="Batches",
            )
        )
    if trace.refused:
        parts.append(
            grid(
                ["entry", "refused", "because", "delivered as"],
                [(r.seq, r.at, f"{r.code}: {r.reason}", r.uri) for r in trace.refused],
                title="Refused deliveries, by arrival",
                text=["because"],
            )
        )
    if trace.models:
        parts.append(
            grid(
                ["model", "registered", "learned from", "in question", "one way"],
                [
                    (
                        model.id,
                        model.registered_at,
                        model.rows,
                        model.tainted_rows,
                        " → ".join(model.paths[0]) if model.paths else "-",
                    )
                    for model in trace.models
                ],
                title="Model versions",
                text=["one way"],
            )
        )
    if trace.question.kind == "model":
        shares = [(share.source, share.batches, share.used_rows) for share in trace.sources]
        parts.append(grid(["source", "batches", "records used"], shares, title="Sources"))
    if trace.decisions:
        parts.append(
            grid(
                ["when", "batch", "what", "records", "who or which policy", "reason"],
                [
                    (
                        d.at,
                        d.batch,
                        d.what,
                        d.records,
                        _by(d.actor, d.policy, d.policy_sha256),
                        d.reason,
                    )
                    for d in trace.decisions
                ],
                title="Who let what through",
                text=["who or which policy", "reason"],
            )
        )
    if trace.retrain:
        parts.append(
            grid(
                ["step", "model", "affected", "do", "roll back to", "leave out"],
                [
                    (
                        step.order,
                        step.model,
                        ", ".join(step.affected),
                        "retrain" if step.retrain else f"nothing: {step.newest} is clean",
                        step.last_clean or "no clean version",
                        ", ".join(step.exclude),
                    )
                    for step in trace.retrain
                ],
                title="What to do, in this order",
                text=["affected", "do", "leave out"],
            )
        )
    return Group(*parts)


def _summary(trace: "Trace", report: Path | str | None) -> dict[str, object]:
    asked = trace.question
    window = _interval(asked.since, asked.until) if asked.since or asked.until else "always"
    summary: dict[str, object] = {
        "question": f"{asked.kind} {asked.subject}"
        + (f", {window}" if asked.kind == "source" else ""),
        "answer": f"{counted(len(trace.batches), 'batch')}, "
        f"{counted(len(trace.snapshots), 'dataset version')}, "
        f"{counted(len(trace.models), 'model version')}",
        "complete": "yes" if trace.completeness.complete else "NO, see the caveats",
    }
    if trace.refused:
        summary["refused"] = (
            f"{counted(len(trace.refused), 'delivery')} under its name, which reached nothing"
        )
    if trace.record is not None:
        state = trace.record
        summary["record"] = (
            f"{_HELD[state.held]}, decision {state.action or 'none'}, "
            f"in {', '.join(state.present_in) or 'no snapshot'}"
        )
        if state.decided_by is not None:
            summary["decided by"] = state.decided_by
        if state.published_by is not None:
            approved = f", approved by {', '.join(state.approved_by)}" if state.approved_by else ""
            summary["published by"] = state.published_by + approved
    for recall in trace.recalls:
        summary[f"recall {recall.id}"] = (
            f"{counted(sum(recall.batches.values()), 'record')}, from version {recall.version} of "
            f"{recall.dataset} on: {recall.reason}"
        )
    for number, caveat in enumerate(trace.completeness.caveats(), start=1):
        summary[f"caveat {number}"] = caveat
    if report is not None:
        summary["report"] = report
    return summary


def _interval(start: datetime | None, end: datetime | None) -> str:
    return f"{plain(start) if start else '…'} to {plain(end) if end else '…'}"


def _by(actor: str, policy: str | None, sha256: str | None) -> str:
    if policy is None or actor != f"policy:{policy}":
        return actor
    return f"policy {policy} ({(sha256 or '')[:12]})"
