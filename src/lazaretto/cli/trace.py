"""``lazaretto trace``: what data reached, and what a model learned from."""

from typing import Annotated

import typer

from lazaretto.cli.arguments import Registry, Since, Until, split_version
from lazaretto.cli.command import Needs, command
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.trace_prediction import add_prediction
from lazaretto.cli.trace_reply import By, Html, Output, Whole, Without, reply, write_page
from lazaretto.window import EITHER

app = typer.Typer(
    no_args_is_help=True, help="Follow data forwards to models, and models back to data."
)

add_prediction(app)


@command(app, "source")
def source(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the source")],
    *,
    since: Since = None,
    until: Until = None,
    by: By = EITHER,
    without: Without = None,
    output: Output,
) -> Reply:
    """What a source delivered in a window, the model versions that it reached, and what to retrain.

    Exit code 0 only when nothing is affected and the answer is whole; 1 when a model version is
    affected or was measured with it; 4 when it cannot say.
    """
    from lazaretto.lineage import trace_source

    trace = trace_source(session.workspace, name, since, until, by=by, without=tuple(without or ()))
    return reply(session, trace, output)


@command(app, "batch")
def batch(
    session: Session,
    batch: Annotated[str, typer.Argument(help="Id of a batch")],
    *,
    without: Without = None,
    output: Output,
) -> Reply:
    """The model versions that learned from a batch; exit codes as of `trace source`."""
    from lazaretto.lineage import trace_batch

    trace = trace_batch(session.workspace, batch, without=tuple(without or ()))
    return reply(session, trace, output)


@command(app, "record")
def record(
    session: Session,
    record_id: Annotated[str, typer.Argument(metavar="RECORD", help="BATCH#RECORD_ID")],
    *,
    without: Without = None,
    output: Output,
) -> Reply:
    """The model versions that learned from one record; exit codes as of `trace source`."""
    from lazaretto.lineage import trace_record

    trace = trace_record(session.workspace, record_id, without=tuple(without or ()))
    return reply(session, trace, output)


@command(app, "key")
def key(
    session: Session,
    key_id: Annotated[
        str,
        typer.Argument(
            metavar="KEY_ID",
            help="Id of a key, as on `source list`, or the first 8 or more digits of it",
        ),
    ],
    *,
    since: Since = None,
    without: Without = None,
    output: Output,
) -> Reply:
    """What a stolen key signed and we received since a moment, and the models that it reached.

    Exit codes as of `trace source`.
    """
    from lazaretto.lineage import trace_key

    trace = trace_key(session.workspace, key_id, since, without=tuple(without or ()))
    return reply(session, trace, output)


@command(app, "policy")
def policy(
    session: Session,
    version: Annotated[
        str,
        typer.Argument(
            metavar="DATASET@SHA256",
            help="A policy by its dataset and the sha256 of its file, or the first 8 digits of it",
        ),
    ],
    *,
    without: Without = None,
    output: Output,
) -> Reply:
    """All that was judged under one version of a policy, and the models that it reached.

    Exit codes as of `trace source`.
    """
    from lazaretto.lineage import trace_policy

    name, digest = split_version(version)
    trace = trace_policy(session.workspace, name, digest, without=tuple(without or ()))
    return reply(session, trace, output)


@command(app, "reference")
def reference(
    session: Session,
    version: Annotated[
        str, typer.Argument(metavar="NAME@VERSION", help="A version of a reference")
    ],
    *,
    without: Without = None,
    output: Output,
) -> Reply:
    """All that was screened against one version of a reference, and the models that it reached.

    Exit codes as of `trace source`.
    """
    from lazaretto.lineage import trace_reference

    name, number = split_version(version)
    trace = trace_reference(session.workspace, name, number, without=tuple(without or ()))
    return reply(session, trace, output)


@command(app, "decision")
def decision(
    session: Session,
    decision_id: Annotated[
        str, typer.Argument(metavar="DECISION", help="Id of a decision, as its case shows it")
    ],
    *,
    without: Without = None,
    output: Output,
) -> Reply:
    """The records that a person's decision let in, and the models that they reached.

    Exit codes as of `trace source`.
    """
    from lazaretto.lineage import trace_decision

    trace = trace_decision(session.workspace, decision_id, without=tuple(without or ()))
    return reply(session, trace, output)


@command(app, "dataset")
def dataset(
    session: Session,
    version: Annotated[
        str, typer.Argument(metavar="NAME@VERSION", help="A version of an admitted dataset")
    ],
    *,
    without: Without = None,
    output: Output,
) -> Reply:
    """The model versions that learned from one version of a dataset.

    Exit codes as of `trace source`.
    """
    from lazaretto.lineage import trace_dataset
    from lazaretto.lineage.trace.handles import version_number

    name, text = split_version(version)
    left_out, number = tuple(without or ()), version_number(text)
    trace = trace_dataset(session.workspace, name, number, without=left_out)
    return reply(session, trace, output)


@command(app, "model")
def model(
    session: Session,
    version: Annotated[
        str,
        typer.Argument(
            metavar="NAME@VERSION",
            help="A model version, or an alias for one, such as net@production",
        ),
    ],
    *,
    registry: Registry = None,
    html: Html = None,
    whole: Whole = False,
) -> Reply:
    """What a model version was made of: snapshots, batches, sources, and who let them through.

    Exit code 4 when the answer is not whole.
    """
    from lazaretto.cli.trace_view import view
    from lazaretto.lineage import trace_model

    name, number = split_version(version)
    trace = trace_model(session.workspace, name, number, registry=registry)
    shown = view(trace, write_page(session, trace, html), whole=whole)
    return Reply(trace.to_json(), shown, cannot_say=not trace.complete)


@command(app, "schema", needs=Needs.NOTHING)
def schema(_session: Session) -> Reply:
    """Print the JSON schema of what these commands answer with --json (always JSON)."""
    import json

    from lazaretto.cli.layout import Document
    from lazaretto.lineage import trace_schema

    document = trace_schema()
    return Reply(document, Document(json.dumps(document, indent=2), json=True))
