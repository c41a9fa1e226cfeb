"""``lazaretto source``: who delivers, with which keys."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group

from lazaretto.cli.arguments import (
    Reason,
    Yes,
    confirm,
    parse_moment,
    read_file,
    write_new_file,
)
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Grid, facts, grid
from lazaretto.cli.reply import Reply
from lazaretto.cli.revocation_view import reach_view
from lazaretto.cli.session import Session
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazaretto.sources.recorded import Source
    from lazaretto.sources.source_key import SourceKey

app = typer.Typer(no_args_is_help=True, help="Identities and keys of those who deliver.")

_CHANGES = Needs.WORKSPACE
_MAX_KEY_BYTES = 2**16


@command(app, "keygen", needs=Needs.NOTHING)
def keygen(
    _session: Session,
    path: Annotated[Path, typer.Argument(help="Writes PATH.key (private, mode 600) and PATH.pub")],
) -> Reply:
    """Make an Ed25519 key pair. The source keeps PATH.key; the receiver registers PATH.pub."""
    from lazaretto.sources import manifest

    private, public = manifest.keygen()
    private_path = path.with_name(f"{path.name}.key")
    public_path = path.with_name(f"{path.name}.pub")
    if public_path.exists():
        raise UsageError(f"{str(public_path)!r} exists already and is kept; name another file")
    write_new_file(private_path, private, mode=0o600)
    write_new_file(public_path, public)
    data = {
        "private_key": str(private_path),
        "public_key": str(public_path),
        "key_id": manifest.key_identity(public)[0],
    }
    return Reply(data, facts(data))


@command(app, "add", needs=_CHANGES)
def add(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the source")],
    *,
    key: Annotated[
        Path | None, typer.Option(help="Public key (PEM) to pin; a source may have several")
    ] = None,
    trust_tier: Annotated[
        TrustTier | None,
        typer.Option(
            case_sensitive=False,
            help="How far the source is trusted; recorded with every batch. REVOKED refuses its "
            "deliveries (default: unchanged; UNTRUSTED for a new source)",
        ),
    ] = None,
    valid_from: Annotated[
        datetime | None,
        typer.Option(
            parser=parse_moment,
            metavar="TIME",
            help="The key is valid from this moment (default: now)",
        ),
    ] = None,
    valid_to: Annotated[
        datetime | None,
        typer.Option(
            parser=parse_moment,
            metavar="TIME",
            help="The key is valid until this moment (default: no end)",
        ),
    ] = None,
) -> Reply:
    """Register a source, change its trust tier, or pin another key of it."""
    from lazaretto.sources import registry as source

    if key is None and (valid_from or valid_to):
        raise UsageError("--valid-from and --valid-to are a key's: add --key FILE")
    public = None if key is None else read_file(key, "public key", limit=_MAX_KEY_BYTES)
    workspace = session.workspace_made
    tier = trust_tier or _tier_of(session, name)
    source.add_source(workspace, name, trust_tier=tier)
    if public is not None:
        source.add_key(
            workspace,
            name,
            public.decode("ascii", "replace"),
            valid_from=valid_from,
            valid_to=valid_to,
        )
    found = source.get_source(workspace, name)
    return Reply(found, list_view([found]))


@command(app, "list")
def list_(session: Session) -> Reply:
    """List sources and their keys."""
    from lazaretto.sources import registry as source

    found = source.list_sources(session.workspace)
    return Reply(found, list_view(found))


@command(app, "revoke", needs=_CHANGES)
def revoke(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the source")],
    key_id: Annotated[
        str | None,
        typer.Argument(
            help="Key id, or at least its first 8 characters (default: the source with all its "
            "keys)"
        ),
    ] = None,
    *,
    reason: Reason,
    at: Annotated[
        datetime | None,
        typer.Option(
            parser=parse_moment,
            metavar="TIME",
            help="From this moment on nothing counts that was signed (default: now)",
        ),
    ] = None,
    incident: Annotated[
        bool, typer.Option("--incident", help="Open the incident for what is touched")
    ] = False,
    yes: Yes = False,
) -> Reply:
    """Revoke a key, or a source: from a moment on nothing that it signed is accepted.

    Batches that arrived since are told, with where their records are: their signature reads
    REVOKED_KEY from now on, and nothing that is held of them can be released. A source that is
    revoked delivers nothing more; `source add --trust-tier` takes that back, and pins new keys.
    """
    from lazaretto.incidents.revocation import reach_of_revocation
    from lazaretto.sources import registry as source
    from lazaretto.values import to_json

    moment = at or datetime.now(UTC)
    if key_id is None:
        confirm(f"Revoke source {name} with all its keys?", yes=yes)
        found = source.revoke_source(session.workspace, name, at=moment, reason=reason)
        done, since, key = to_json(found), moment, None
    else:
        revoked = source.revoke_key(session.workspace, name, key_id, at=moment, reason=reason)
        found = source.get_source(session.workspace, name)
        done, since, key = to_json(revoked), revoked.revoked_at or moment, revoked.key_id
    reach = reach_of_revocation(session.workspace, name, key, since)
    opened = None
    if incident and reach.batches:
        from lazaretto.incidents import open_incident

        opened = open_incident(session.workspace, reach.question, reason=reason).id
    data = {
        **done,
        "touched": to_json(reach) | {"command": reach.command},
        "incident": opened,
    }
    return Reply(data, Group(list_view([found]), reach_view(reach, opened)))


@command(app, "rename", needs=_CHANGES)
def rename(
    session: Session,
    old: Annotated[str, typer.Argument(metavar="OLD", help="Any name of the source")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name that it goes by from now on")],
    reason: Reason,
) -> Reply:
    """Give a source another name; its history goes on.

    Ids of batches keep the first name. Every name that the source had leads to it, in all commands,
    deliveries, manifests and policies, and nobody else can be given one.
    """
    from lazaretto.sources import registry as source

    found = source.rename_source(session.workspace, old, new, reason=reason)
    return Reply(found, list_view([found]))


@command(app, "drift")
def drift(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the source")],
    *,
    reference: Annotated[
        str | None,
        typer.Option(help="NAME or NAME/VERSION (default: that of its last screened batch)"),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Show at most so many batches, the newest")
    ] = 30,
) -> Reply:
    """Show the evidence that a source's batches drift from the reference.

    The evidence starts at 1. While the source is clean, it stays at most 1 on average. The alarm is
    at 2 divided by the policy's `screen.drift.alpha`, and you may look as often as you like.
    """
    from lazaretto.cli.source_view import view
    from lazaretto.stages.sources import drift_of_source

    found = drift_of_source(session.workspace, name, reference, limit=limit)
    return Reply(found, view(found))


def _tier_of(session: Session, name: str) -> TrustTier:
    from lazaretto.sources import registry as source

    try:
        return source.get_source(session.workspace, name).trust_tier
    except NotFoundError:
        return TrustTier.UNTRUSTED


def list_view(sources: "Iterable[Source]") -> Grid:
    """The table of some sources and their keys."""
    rows: list[tuple[object, ...]] = []
    for found in sources:
        known = f"{found.shown_name} ({found.name})" if found.aliases else found.name
        who = (known, found.trust_tier)
        rows += [(*who, key.key_id[:16], key.scheme, _validity(key)) for key in found.keys]
        if not found.keys:
            rows.append((*who, "none", "-", "-"))
    return grid(["source", "trust", "key", "scheme", "validity"], rows)


def _validity(key: "SourceKey") -> str:
    if key.revoked_at is not None:
        return f"revoked from {key.revoked_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    until = "" if key.valid_to is None else f" to {key.valid_to.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    return f"from {key.valid_from.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}{until}"
