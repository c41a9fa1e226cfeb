"""``lazaretto ledger``: does the record still hold, what does it say, and how is that proved?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lazaretto.cli.arguments import Since, Until, read_file, write_new_file
from lazaretto.cli.command import command
from lazaretto.cli.layout import facts
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.ledger.note import VerifierKey

app = typer.Typer(no_args_is_help=True, help="The append-only, hash-chained record of every event.")

_MAX_BYTES = 2**16

Key = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY",
        help="Public key whose signatures count: a PEM file, or a verifier key as `ledger "
        "checkpoint` prints it; may be given several times",
    ),
]
Kept = Annotated[
    list[Path] | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="A checkpoint that was kept elsewhere; may be given several times",
    ),
]


@command(app, "verify")
def verify(
    session: Session,
    *,
    key: Key = None,
    checkpoint: Kept = None,
    proof: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Check this proof of `ledger prove` instead; needs no catalog and no store",
        ),
    ] = None,
) -> Reply:
    """Recompute every hash, and compare the ledger with all checkpoints that were taken of it.

    Reports of incidents are compared, too: one that was changed by hand is named. Exit code 1 when
    something was edited, dropped, rewritten or is gone; 4 when nothing was ever written, or nobody
    vouches for the proof. With a key, a checkpoint that it signed is demanded.
    """
    from lazaretto.cli.ledger_view import proof_view, report_view

    keys, kept = _keys(key), _files(checkpoint)
    if proof is not None:
        from lazaretto.ledger.proof import check_proof, read_proof

        shown = check_proof(read_proof(read_file(proof, "proof")), keys=keys, kept=kept)
        found = shown.problem is not None
        return Reply(shown, proof_view(shown), found=found, cannot_say=shown.undecided)
    from lazaretto.ledger.report import Outcome
    from lazaretto.ledger.verify import verify as recompute

    with session.working("Recomputing the ledger's hashes"):
        report = recompute(session.workspace, keys=keys, kept=kept)
    return Reply(
        report,
        report_view(report, keys=bool(keys)),
        found=report.outcome is Outcome.VIOLATED,
        cannot_say=report.outcome is Outcome.NOTHING,
    )


@command(app, "checkpoint")
def checkpoint(
    session: Session,
    key: Annotated[
        Path, typer.Option(help="Private key (PEM, Ed25519), kept away from catalog and store")
    ],
    *,
    origin: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the ledger and the key (default: an id of the ledger)"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Write a copy, to be kept elsewhere, to this file or folder"
        ),
    ] = None,
    checkpoint: Kept = None,
) -> Reply:
    """Sign the ledger as it is now, where it extends what this key signed before.

    The checkpoint is written to the store and put on record. Keep a copy where nobody who can write
    catalog or store can write.
    """
    from lazaretto.cli.ledger_view import checkpoint_view
    from lazaretto.ledger.signing import take_checkpoint

    with session.working("Reading the entries since the last checkpoint"):
        taken = take_checkpoint(
            session.workspace,
            read_file(key, "private key", limit=_MAX_BYTES),
            origin=origin,
            kept=_files(checkpoint),
        )
    if out is not None:
        target = out / taken.path.rsplit("/", 1)[-1] if out.is_dir() else out
        note = taken.note.encode()
        if not (target.is_file() and read_file(target, "checkpoint") == note):
            write_new_file(target, note)
    return Reply(taken, checkpoint_view(taken))


@command(app, "show")
def show(
    session: Session,
    seq: Annotated[
        int | None, typer.Argument(metavar="ENTRY", help="Number of one entry, shown whole")
    ] = None,
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Kind of event, such as batch_judged; may be given several times"),
    ] = None,
    batch: Annotated[str | None, typer.Option(help="Id of a batch, or its start")] = None,
    source: Annotated[str | None, typer.Option(help="Name of a source; its batches, too")] = None,
    case: Annotated[str | None, typer.Option(help="Id of a review case, or its start")] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of an admitted dataset")] = None,
    actor: Annotated[str | None, typer.Option(help="Who acted, such as os:alice@host")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUE",
            help="Any field of an event, such as model=digits; may be given several times",
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    after: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="ENTRY", help="Read on behind this entry, to go through page by page"
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the newest")] = 50,
    full: Annotated[bool, typer.Option("--full", help="Show each entry whole")] = False,
) -> Reply:
    """Show entries of the ledger, the newest last. It only reads, and --json has all of each.

    Filters are combined. Without --after the newest entries that fit are shown, with it the next.
    """
    from lazaretto.cli.ledger_view import entry_view, page_view
    from lazaretto.ledger.browse import Wanted, look_at, look_up

    if seq is not None:
        entry = look_at(session.workspace, seq)
        return Reply(entry, entry_view(entry), found=not entry.intact)
    wanted = Wanted(
        kinds=_known_kinds(kind or []),
        batch=batch,
        source=source,
        case=case,
        dataset=dataset,
        fields=_fields(where or []),
        actor=actor,
        since=since,
        until=until,
    )
    page = look_up(session.workspace, wanted, limit=limit, after=after)
    found = any(not entry.intact for entry in page.entries)
    return Reply(page, page_view(page, full=full, onward=after is not None), found=found)


@command(app, "prove")
def prove(
    session: Session,
    seq: Annotated[
        int | None, typer.Argument(metavar="ENTRY", help="Prove that this entry is on record")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write the proof (JSON) to this file")],
    older: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Prove instead that nothing under this older checkpoint was changed",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The checkpoint to prove it by (default: the newest of the store)"
        ),
    ] = None,
) -> Reply:
    """Write a proof for an auditor, who needs no catalog for `ledger verify --proof`."""
    import json

    from lazaretto.ledger import proving

    if (seq is None) == (older is None):
        raise UsageError("name an entry to prove, or an older checkpoint with --from FILE")
    workspace = session.workspace
    if checkpoint is None:
        newer = proving.newest_checkpoint(workspace.store)
    else:
        newer = (str(checkpoint), read_file(checkpoint, "checkpoint", limit=_MAX_BYTES))
    if older is not None:
        kept = (str(older), read_file(older, "checkpoint", limit=_MAX_BYTES))
        made = proving.prove_extension(workspace, kept, newer).model_dump()
    else:
        made = proving.prove_entry(workspace, int(seq or 0), *newer).model_dump()
    write_new_file(out, (json.dumps(made, indent=2) + "\n").encode())
    return Reply(made, facts({"proof": str(out), "checked against": newer[0]}))


def _keys(given: list[str] | None) -> "list[VerifierKey]":
    from lazaretto.ledger.note import read_verifier_key

    return [
        read_verifier_key(
            text.encode()
            if "+" in text and not Path(text).exists()
            else read_file(Path(text), "public key", limit=_MAX_BYTES)
        )
        for text in given or []
    ]


def _files(paths: list[Path] | None) -> dict[str, bytes]:
    return {str(path): read_file(path, "checkpoint", limit=_MAX_BYTES) for path in paths or []}


def _known_kinds(given: list[str]) -> list[str]:
    """A typing mistake must not look as if nothing had happened."""
    from lazaretto.ledger.events import kinds

    known = kinds()
    for name in given:
        if name not in known:
            raise UsageError(f"no event is of the kind {name!r}: {', '.join(known)}")
    return given


def _fields(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for (name, sign, _), text in zip(pairs, given, strict=True):
        if not (name and sign):
            raise UsageError(f"{text!r} is no FIELD=VALUE, such as model=digits")
    return {name: value for name, _, value in pairs}
