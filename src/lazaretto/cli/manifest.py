"""``lazaretto manifest``: what a source signs, and what the receiver checks of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lazaretto.addresses import MANIFEST_SUFFIX
from lazaretto.cli.arguments import parse_moment, read_file, require_file, write_new_file
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import facts
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import DeliveryError, UsageError

if TYPE_CHECKING:
    from lazaretto.sources.source_key import SourceKey

app = typer.Typer(no_args_is_help=True, help="Signed statements of what a source delivers.")

_MAX_KEY_BYTES = 2**16


@command(app, "sign", needs=Needs.NOTHING)
def sign(
    _session: Session,
    file: Annotated[Path, typer.Argument(help="The file to deliver")],
    *,
    source: Annotated[str, typer.Option(help="Your name, as the receiver registered it")],
    key: Annotated[Path, typer.Option(help="Your private key (PEM), as `source keygen` wrote it")],
    collected_from: Annotated[
        datetime,
        typer.Option(
            parser=parse_moment, metavar="TIME", help="Start of when the records were collected"
        ),
    ],
    collected_to: Annotated[
        datetime,
        typer.Option(
            parser=parse_moment, metavar="TIME", help="End of when the records were collected"
        ),
    ],
    expires: Annotated[
        datetime | None,
        typer.Option(
            parser=parse_moment,
            metavar="TIME",
            help="The manifest is refused from this moment on (default: never)",
        ),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=0, help="Number of records, for the receiver to check")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help=f"Where to write the manifest (default: FILE{MANIFEST_SUFFIX})"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing manifest")] = False,
) -> Reply:
    """Sign a manifest for a file: whose it is, its sha256, and when its records were collected."""
    from lazaretto.sources.manifest import sign_manifest

    envelope = sign_manifest(
        file,
        source=source,
        private_key=read_file(key, "private key", limit=_MAX_KEY_BYTES),
        collected_from=collected_from,
        collected_to=collected_to,
        expires=expires,
        rows=rows,
    )
    target = out or file.with_name(file.name + MANIFEST_SUFFIX)
    write_new_file(target, envelope, overwrite=force)
    data = {"manifest": str(target), "file": str(file), "source": source}
    return Reply(data, facts(data))


@command(app, "verify")
def verify(
    session: Session,
    file: Annotated[Path, typer.Argument(help="The delivered file")],
    manifest: Annotated[
        Path | None, typer.Option(help=f"Its manifest (default: FILE{MANIFEST_SUFFIX})")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Check with the keys that the catalog has for this source")
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(help="Check with this public key (PEM) instead; may be given several times"),
    ] = None,
) -> Reply:
    """Check a manifest's signature and the file's bytes, as receiving would. Changes nothing."""
    from lazaretto.batch._delivery import read_envelope
    from lazaretto.batch._places import OF_THIS_MACHINE
    from lazaretto.sources.manifest import check_file, verify_manifest

    if (source is None) == (not key):
        raise UsageError("whose keys? Give --source NAME (from the catalog), or --key FILE")
    place = manifest or file.with_name(file.name + MANIFEST_SUFFIX)
    require_file(str(place), "manifest")
    envelope = read_envelope(place, OF_THIS_MACHINE) or b""
    keys = _keys_from_files(key, envelope) if key else _keys_of(session, str(source))
    stated, signature = verify_manifest(
        envelope, keys, now=datetime.now(UTC), clock_skew=timedelta(minutes=5)
    )
    check_file(stated, file)
    data = {"manifest": stated, "signature": signature}
    shown = {
        "signature": f"{signature.status.value} ({signature.scheme}, key {signature.key_id})",
        "source": stated.source,
        "file": f"{stated.subject}, sha256 {stated.sha256}",
        "collected": f"{stated.collected_from.isoformat()} to {stated.collected_to.isoformat()}",
        "issued": stated.issued_at,
        "expires": stated.expires or "never",
    }
    return Reply(data, facts(shown))


def _keys_of(session: Session, source: str) -> "tuple[SourceKey, ...]":
    from lazaretto.sources.registry import get_source

    return get_source(session.workspace, source).keys


def _keys_from_files(files: list[Path], envelope: bytes) -> "list[SourceKey]":
    """Keys from files count for whichever source the manifest names, and since ever."""
    import base64
    import json

    from lazaretto.sources.manifest import key_identity
    from lazaretto.sources.source_key import SourceKey

    try:
        payload = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
        source = str(payload["predicate"]["source"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DeliveryError(
            "this is no manifest: it names no source", code="bad_envelope"
        ) from error
    found = []
    for file in files:
        public = read_file(file, "public key", limit=_MAX_KEY_BYTES).decode("ascii", "replace")
        key_id, scheme = key_identity(public)
        found.append(SourceKey(source, key_id, scheme, public, datetime.min.replace(tzinfo=UTC)))
    return found
