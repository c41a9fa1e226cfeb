"""What the commands of ``lazaretto trace`` have in common: their options, and their reply."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lazaretto.cli.arguments import write_new_file
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session

if TYPE_CHECKING:
    from lazaretto.lineage import Trace

Html = Annotated[Path | None, typer.Option(help="Also write a self-contained report to this file")]
Whole = Annotated[bool, typer.Option("--all", help="Show all of each list, not the first 20")]
Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="BATCH",
        help="What if? Answer as if this batch had not been delivered; may be given several times",
    ),
]
By = Annotated[
    str,
    typer.Option(
        help="What must lie in the window: received (by us), collected (as the source says), or "
        "either"
    ),
]


@dataclass(frozen=True, slots=True)
class Output:
    """What is written and shown of an answer about data."""

    html: Html = None
    record: Annotated[
        bool,
        typer.Option(
            "--record", help="Keep the report in the store and put the incident into the ledger"
        ),
    ] = False
    exclude_to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the batches to leave out to this file, one id in each line, as `dataset "
            "snapshot --exclude` takes it",
        ),
    ] = None
    whole: Whole = False


def reply(session: Session, trace: "Trace", output: Output) -> Reply:
    """Writes what was asked for, and answers; see `Output`.

    Exit code 1 when a model version is affected or was measured with it; else 4 when the answer is
    not whole.
    """
    from lazaretto.cli.trace_view import view
    from lazaretto.lineage import keep_report

    data = trace.to_json()
    written: dict[str, object] = {}
    page: bytes | None = None
    if output.record:
        kept = keep_report(session.workspace, trace)
        data["report"] = {"json": kept.json_uri, "html": kept.html_uri, "seq": kept.seq}
        written["on record"] = f"ledger entry {kept.seq}"
        written["report"] = kept.html_uri
        page = session.workspace.store.read(kept.page)
    written |= write_page(session, trace, output.html, page)
    if output.exclude_to is not None:
        lines = "".join(f"{batch}\n" for batch in trace.batch_ids)
        write_new_file(output.exclude_to, lines.encode(), overwrite=True)
        written["batches to leave out"] = output.exclude_to
    return Reply(
        data,
        view(trace, written, whole=output.whole),
        found=bool(trace.models or trace.evaluated),
        cannot_say=not trace.complete,
    )


def write_page(
    session: Session, trace: "Trace", html: Path | None, page: bytes | None = None
) -> dict[str, object]:
    """Writes the report where it is asked for; the same bytes that are on record, if they are."""
    from lazaretto.lineage import prove, to_html

    if html is None:
        return {}
    made = page or to_html(trace, prove(session.workspace, trace)).encode()
    write_new_file(html, made, overwrite=True)
    return {"copy of the report" if page else "report": html}
