"""``lazaretto batch``: take a delivery through the gate. Long: a command for each stage."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lazaretto.addresses import MANIFEST_SUFFIX
from lazaretto.cli.arguments import ImageShape, Limit, Since, Until, write_new_file
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import facts, paged
from lazaretto.cli.progress import bars
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.text import counted
from lazaretto.values import Verdict

if TYPE_CHECKING:
    from lazaretto.stages import Judgement, StageResult
    from lazaretto.values import BatchRef

app = typer.Typer(
    no_args_is_help=True, help="Take a delivery through the gate, stage by stage or all at once."
)

_JUDGES = Needs.WORKSPACE | Needs.POLICY
_WORKING = {
    "receive": "Authenticating the delivery",
    "validate": "Checking every record against the contract",
    "embed": "Encoding",
    "screen": "Screening against the reference",
    "gate": "Writing the quarantine",
    "admit": "Admitting",
}

Uris = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...",
        help="Parquet, Arrow, CSV or JSON Lines file, or a folder of such files or of images: a "
        "path, or a URI in a place of the policy. Several files are one delivery",
    ),
]
SourceName = Annotated[str, typer.Option("--source", help="Registered name of who delivers")]
Manifest = Annotated[
    str | None,
    typer.Option(
        "--manifest",
        help=f"Path or URI of its manifest (default: FILE{MANIFEST_SUFFIX}, where it exists)",
    ),
]
BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="Id of a received batch")]


@command(app, "ingest", needs=_JUDGES)
def ingest(session: Session, uris: Uris, source: SourceName, manifest: Manifest = None) -> Reply:
    """Receive, validate, embed, screen, gate and admit: what the ingestion DAG does.

    Exit code 1 when the delivery is refused, anything of it is held, or the policy is not the one
    in force: then it is judged in shadow, and nothing is admitted.
    """
    from lazaretto import stages

    found = stages.ingest(
        session.workspace_made,
        uris,
        source,
        session.policy,
        manifest=manifest,
        beside=True,
        working=lambda stage: session.working(_WORKING[stage]),
    )
    received, judged, admission = found.received, found.judgement, found.admission
    data = {"batch": received, "judgement": judged, "admission": admission}
    shown = _received(received) | _judged(judged)
    shown["admitted"] = "nothing"
    if admission is not None and admission.rows:
        where = f"version {admission.version} of {admission.dataset}"
        shown["admitted"] = f"{counted(admission.rows, 'record')}, {where}"
    if admission is not None and admission.recalled is not None:
        shown["recalled since"] = admission.recalled
    return Reply(data, facts(shown), found=_found(judged))


@command(app, "receive", needs=_JUDGES)
def receive(session: Session, uris: Uris, source: SourceName, manifest: Manifest = None) -> Reply:
    """Authenticate a delivery and copy it into the store. Exit code 1 when it is refused."""
    received = _receive(session, uris, source, manifest)
    return Reply(received, facts(_received(received)))


@command(app, "validate", needs=_JUDGES)
def validate(session: Session, batch: BatchId) -> Reply:
    """Check a batch against its contract. Exit code 1 when a record or the whole breaks it."""
    from lazaretto import stages

    with session.working(_WORKING["validate"]):
        result = stages.validate(session.workspace, batch, session.policy)
    return _stage(result, found=bool(result.said.failing_rows or result.said.broken))


@command(app, "embed", needs=_JUDGES)
def embed(session: Session, batch: BatchId) -> Reply:
    """Turn a batch's records into vectors with the policy's encoder."""
    from lazaretto import stages

    with session.working(_WORKING["embed"]):
        result = stages.embed(session.workspace, batch, session.policy)
    return _stage(result, found=False)


@command(app, "screen", needs=_JUDGES)
def screen(session: Session, batch: BatchId) -> Reply:
    """Screen a batch against the reference. Exit code 1 when its verdict is not PASS."""
    from lazaretto import stages

    with session.working(_WORKING["screen"]):
        result = stages.screen(session.workspace, batch, session.policy)
    return _stage(result, found=result.event is None or result.said.verdict is not Verdict.PASS)


@command(app, "gate", needs=_JUDGES)
def gate(session: Session, batch: BatchId) -> Reply:
    """Give the verdict and write the quarantine. Exit code 1 when anything is held.

    The first policy that judges for a dataset is put in force for it. Another one judges in shadow:
    nothing is held or admitted by it, and the exit code is 1.
    """
    from lazaretto import stages

    with session.working(_WORKING["gate"]):
        judged = stages.gate(session.workspace, batch, session.policy)
    return Reply(judged, facts(_judged(judged)), found=_found(judged))


@command(app, "rejudge", needs=_JUDGES)
def rejudge(
    session: Session,
    batch: BatchId,
    reason: Annotated[str, typer.Option(help="Why; it stays on record")],
) -> Reply:
    """Judge a batch again, by the policy in force and the reference of today.

    A judgement stands until somebody asks for this. Refused once records of it were admitted or
    decided on: those can be recalled. The old case ends. Exit code 1 when anything is held.
    """
    from lazaretto import stages

    with session.working("Judging again"):
        judged = stages.rejudge(session.workspace, batch, session.policy, reason=reason)
    return Reply(judged, facts(_judged(judged)), found=_found(judged))


@command(app, "admit", needs=_JUDGES)
def admit(
    session: Session,
    batch: BatchId,
    dataset: Annotated[
        str | None, typer.Option(help="The admitted dataset (default: that it was judged for)")
    ] = None,
) -> Reply:
    """Write what the gate cleared into the admitted dataset. A second run changes nothing.

    Only the verdict of the policy in force admits. Exit code 1 when admission is refused: that
    policy did not judge the batch, or would not take the delivery now.
    """
    from lazaretto import stages

    with session.working(_WORKING["admit"]):
        admission = stages.admit(session.workspace, batch, dataset, policy=session.optional_policy)
    shown = {
        "batch": admission.batch,
        "dataset": admission.dataset,
        "admitted": counted(admission.rows, "record"),
        "version": admission.version,
        "table": admission.uri,
    }
    if admission.recalled is not None:
        shown["recalled since"] = f"{admission.recalled}; what is left is {shown['admitted']}"
    return Reply(admission, facts(shown))


@command(app, "probe", needs=_JUDGES)
def probe(
    session: Session,
    batch: BatchId,
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the weights here (safetensors)"),
    ] = None,
    image: ImageShape = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the records")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the training")] = 0,
    device: Annotated[str, typer.Option(help="torch device, or auto")] = "auto",
) -> Reply:
    """Train a small network on a batch, to see if its labels can be learned from its vectors.

    `dataset sanitize` takes its weights with --weights. Without a model it trains such a network
    itself.
    """
    from lazaretto.cli.probing import train_probe
    from lazaretto.received import load_batch, open_stored

    policy = session.policy
    received = load_batch(session.workspace, batch)
    rows = open_stored(session.workspace, received).table()
    with bars() as progress:
        trained = train_probe(
            rows,
            policy,
            image=image,
            epochs=epochs,
            seed=seed,
            device=device,
            progress=lambda epoch: progress("training the probe", epoch, epochs),
        )
    if out is not None:
        from lazaretto.activations.probe_file import probe_bytes

        write_new_file(out, probe_bytes(trained))
    data = {
        "batch": batch,
        "classes": trained.classes,
        "train_accuracy": trained.train_accuracy,
        "held_out_accuracy": trained.held_out_accuracy,
        "epochs": trained.epochs,
        "weights": None if out is None else str(out),
    }
    shown = {
        "batch": batch,
        "classes": ", ".join(trained.classes),
        "accuracy": f"{trained.train_accuracy:.1%} of what it learned from, "
        f"{trained.held_out_accuracy:.1%} of a tenth that it did not",
        "weights": out,
    }
    return Reply(data, facts(shown))


@command(app, "list")
def list_(
    session: Session,
    *,
    source: Annotated[str | None, typer.Option(help="Only deliveries of this source")] = None,
    verdict: Annotated[
        str | None,
        typer.Option(
            help="Only with this verdict: PASS, HOLD_RECORDS, HOLD_BATCH or ABSTAIN; REFUSED for "
            "refused deliveries, UNJUDGED for batches that wait for the gate"
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Only batches that were judged for this dataset")
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    after: Annotated[
        str | None,
        typer.Option(
            metavar="BATCH|ENTRY",
            help="Read on behind this batch, or behind the refused delivery of this ledger entry",
        ),
    ] = None,
) -> Reply:
    """List deliveries, newest first: batches, and deliveries that were refused, with the reason.

    --since and --until are times of arrival. `ledger show ENTRY` tells all of a refusal.
    """
    from lazaretto.cli.batch_view import list_view, onward
    from lazaretto.stages.deliveries import Wanted, list_deliveries

    wanted = Wanted(source, verdict and verdict.upper(), dataset, since, until)
    page = list_deliveries(session.workspace, wanted, limit=limit, after=after)
    return Reply(page.rows, paged(list_view(page.rows), onward(page)))


@command(app, "show")
def show(session: Session, batch: BatchId) -> Reply:
    """Show what is known of a batch: its delivery, each stage, the verdict, what was admitted."""
    from lazaretto.cli.batch_view import view
    from lazaretto.stages.listing import describe_batch

    found = describe_batch(session.workspace, batch)
    return Reply(found, view(found))


@command(app, "findings")
def findings(
    session: Session,
    batch: BatchId,
    *,
    rule: Annotated[str | None, typer.Option(help="Only of this rule, such as homoglyphs")] = None,
    action: Annotated[
        str | None,
        typer.Option(help="Only what becomes of a record so: hold, drop, fix or flag"),
    ] = None,
    limit: Limit = 100,
) -> Reply:
    """List what cleaning found in a batch, record by record: held, dropped, mended and flagged.

    Exit code 1 when it found anything.
    """
    from lazaretto.cli.batch_view import found_view
    from lazaretto.stages.found import list_found

    found = list_found(session.workspace, batch, rule=rule, action=action, limit=limit)
    return Reply(found, found_view(found), found=bool(found))


def _receive(session: Session, uris: list[str], source: str, manifest: str | None) -> "BatchRef":
    from lazaretto import stages

    return stages.receive(
        session.workspace_made,
        uris,
        source,
        manifest=manifest,
        beside=True,
        policy=session.optional_policy,
    )


def _received(batch: "BatchRef") -> dict[str, object]:
    return {"batch": batch.id, "source": batch.source, "records": batch.rows}


def _found(judged: "Judgement") -> bool:
    return judged.held > 0 or judged.shadow is not None


def _judged(judged: "Judgement") -> dict[str, object]:
    held = f"{judged.held} of {counted(judged.rows, 'record')}"
    shown: dict[str, object] = {"batch": judged.batch, "verdict": judged.verdict, "held": held}
    if judged.shadow is not None:
        shown |= {"held": f"would hold {held}", "in shadow": judged.shadow}
    if judged.decided is not None:
        shown["decided before"] = judged.decided
    if judged.case is not None:
        shown["case"] = judged.case
    shown |= {
        f"reason: {reason}": counted(count, "record")
        for reason, count in sorted(judged.reasons.items(), key=lambda item: -item[1])
    }
    shown |= {f"note {number}": note for number, note in enumerate(judged.notes, start=1)}
    return shown


def _stage(result: "StageResult[Any]", *, found: bool) -> Reply:
    from lazaretto.stages.told import told

    said = told(result)
    shown: dict[str, object] = {"batch": result.batch}
    for key, value in said.items():
        shown[key] = "; ".join(map(str, value)) or "none" if isinstance(value, list) else value
    data = {"batch": result.batch, "stage": result.stage, "seq": result.seq, "summary": said}
    return Reply(data, facts(shown), found=found)
