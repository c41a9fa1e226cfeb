"""``lazaretto manifest``: what a source signs. Long: of files, folders and others' bundles."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from lazaretto.addresses import MANIFEST_SUFFIX
from lazaretto.cli.arguments import parse_moment, read_file, require_file, write_new_file
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import facts, grid
from lazaretto.cli.progress import bars
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.text import counted
from lazaretto.errors import DeliveryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.sources.manifest import Manifest
    from lazaretto.sources.source_key import SourceKey
    from lazaretto.sources.tree import Fault

app = typer.Typer(no_args_is_help=True, help="Signed statements of what a source delivers.")

_MAX_KEY_BYTES = 2**16
_SHOWN = 100


@command(app, "sign", needs=Needs.NOTHING)
def sign(
    _session: Session,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="The file or folder to deliver, or files that are one delivery"
        ),
    ],
    *,
    source: Annotated[str, typer.Option(help="Your name, as the receiver registered it")],
    key: Annotated[Path, typer.Option(help="Your private key (PEM), as `source keygen` wrote it")],
    collected_from: Annotated[
        datetime | None,
        typer.Option(
            parser=parse_moment,
            metavar="TIME",
            help="Start of when the records were collected; a file needs it, a folder may do "
            "without",
        ),
    ] = None,
    collected_to: Annotated[
        datetime | None,
        typer.Option(
            parser=parse_moment, metavar="TIME", help="End of when the records were collected"
        ),
    ] = None,
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
        typer.Option(help=f"Where to write the manifest (default: PATH{MANIFEST_SUFFIX})"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing manifest")] = False,
) -> Reply:
    """Sign a manifest: whose it is, the sha256 of its files, and when records were collected.

    Of a folder, every file in it and in the folders below is signed, hidden ones too; links, pipes
    and names that mean another file elsewhere are refused. Several files are signed as files of the
    folder that they lie in; the manifest then lies beside that folder.
    """
    from lazaretto.sources.folder import sign_folder
    from lazaretto.sources.manifest import sign_manifest

    path, only = _delivery(paths)
    target = out or path.with_name(path.resolve().name + MANIFEST_SUFFIX)
    private = read_file(key, "private key", limit=_MAX_KEY_BYTES)
    if not path.is_dir():
        if collected_from is None or collected_to is None:
            raise UsageError("a file's manifest needs --collected-from and --collected-to")
        envelope = sign_manifest(
            path,
            source=source,
            private_key=private,
            collected_from=collected_from,
            collected_to=collected_to,
            expires=expires,
            rows=rows,
        )
        data = {"manifest": str(target), "file": str(path), "source": source}
    else:
        if _within(target, path) is not None and only is None:
            raise UsageError(
                "the manifest cannot lie in the folder that it signs: name another place with --out"
            )
        with bars() as tell:
            envelope = sign_folder(
                path,
                source=source,
                private_key=private,
                collected_from=collected_from,
                collected_to=collected_to,
                expires=expires,
                rows=rows,
                only=only,
                tell=partial(tell, "bytes read"),
            )
        data = {"manifest": str(target), "folder": str(path), "source": source}
        if only is not None:
            data["files"] = ", ".join(only)
    write_new_file(target, envelope, overwrite=force)
    return Reply(data, facts(data))


@command(app, "verify")
def verify(
    session: Session,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="The delivered file or folder, or the files of one delivery"
        ),
    ],
    manifest: Annotated[
        Path | None, typer.Option(help=f"Its manifest (default: PATH{MANIFEST_SUFFIX})")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Check with the keys that the catalog has for this source")
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(help="Check with this public key (PEM) instead; may be given several times"),
    ] = None,
) -> Reply:
    """Check a manifest's signature and the delivered bytes, as receiving would. Changes nothing.

    Of a folder, each file that differs, is missing or was not signed is named. A bundle of OpenSSF
    Model Signing that was signed with a key is checked as well: with --key, and its --manifest.
    """
    from lazaretto.batch._delivery import read_envelope
    from lazaretto.batch._places import OF_THIS_MACHINE
    from lazaretto.sources.folder import check_folder
    from lazaretto.sources.manifest import check_file, verify_manifest
    from lazaretto.sources.model_signing import is_bundle

    if (source is None) == (not key):
        raise UsageError("whose keys? Give --source NAME (from the catalog), or --key FILE")
    path, only = _delivery(paths)
    place = manifest or path.with_name(path.resolve().name + MANIFEST_SUFFIX)
    require_file(str(place), "manifest")
    envelope = read_envelope(place, OF_THIS_MACHINE) or b""
    if is_bundle(envelope):
        return _check_bundle(envelope, path, place, _keys_of_bundle(session, source, key))
    keys = _keys_from_files(key, envelope) if key else _keys_of(session, str(source))
    stated, signature = verify_manifest(
        envelope, keys, now=datetime.now(UTC), clock_skew=timedelta(minutes=5)
    )
    shown: dict[str, object] = {
        "signature": f"{signature.status.value} ({signature.scheme}, key {signature.key_id})",
        "source": stated.source,
    }
    if stated.files is None:
        check_file(stated, path)
        faults, shown["file"] = None, f"{stated.subject}, sha256 {stated.sha256}"
    else:
        with bars() as tell:
            faults = check_folder(
                stated,
                path,
                leave_out=_itself(place, path),
                only=only,
                tell=partial(tell, "bytes read"),
            )
        shown["folder"] = f"{stated.subject}, {counted(len(stated.files), 'file')}"
    shown |= {
        "collected": _collected(stated),
        "issued": stated.issued_at,
        "expires": stated.expires or "never",
    }
    said = replace(stated, files=None)
    return _reply({"manifest": said, "signature": signature}, shown, stated.files, faults)


def _delivery(paths: list[Path]) -> tuple[Path, list[str] | None]:
    """The file or folder; of several files the folder that they lie in, and their paths in it."""
    from lazaretto.batch._several import Several, one_address, split_several

    if len(paths) == 1:
        return paths[0], None
    several = split_several(one_address(paths))
    assert isinstance(several, Several)  # noqa: S101  of more than one path it makes nothing else
    return Path(several.folder), several.names


def _check_bundle(bundle: bytes, path: Path, place: Path, keys: "list[SourceKey]") -> Reply:
    """What is not as a bundle of OpenSSF Model Signing says."""
    from lazaretto.sources.folder import check_files
    from lazaretto.sources.model_signing import verify_bundle

    signed = verify_bundle(bundle, keys)
    with bars() as tell:
        faults = check_files(
            path,
            signed.files,
            algorithm=signed.algorithm,
            leave_out=(*signed.ignored, *_itself(place, path)),
            tell=partial(tell, "bytes read"),
        )
    shown: dict[str, object] = {
        "signature": f"VERIFIED ({signed.scheme}, key {signed.key_id})",
        "format": "OpenSSF Model Signing",
        "folder": f"{signed.name}, {counted(len(signed.files), 'file')}",
        "left out": ", ".join(signed.ignored) or "nothing",
    }
    said = {"bundle": {"name": signed.name, "ignored": signed.ignored}}
    key = {"status": "VERIFIED", "key_id": signed.key_id, "scheme": signed.scheme}
    return _reply(said | {"signature": key}, shown, signed.files, faults)


def _reply(
    data: "dict[str, object]",
    shown: "dict[str, object]",
    files: "Mapping[str, str] | None",
    faults: "list[Fault] | None",
) -> Reply:
    if files is None or faults is None:
        return Reply(data, facts(shown))
    data |= {"files": len(files), "faults": faults}
    if not faults:
        return Reply(data, facts(shown | {"files": "all as signed"}))
    return Reply(data, faults_view(shown, faults), found=True)


def faults_view(shown: "dict[str, object]", faults: "list[Fault]") -> RenderableType:
    """What was signed, and each file that is not so."""
    rows = [(fault.name, fault.kind, fault.detail) for fault in faults[:_SHOWN]]
    more = len(faults) - len(rows)
    title = f"Not as signed{f' (the first {len(rows)}; --json has all)' if more else ''}"
    return Group(
        facts(shown | {"files": f"{counted(len(faults), 'file')} not as signed"}),
        grid(["file", "what", "why"], rows, title=title, text=["why"]),
    )


def _collected(stated: "Manifest") -> str:
    if stated.collected_from is None or stated.collected_to is None:
        return "not said"
    return f"{stated.collected_from.isoformat()} to {stated.collected_to.isoformat()}"


def _itself(manifest: Path, folder: Path) -> list[str]:
    """The manifest's own path within the folder, where it lies in it."""
    found = _within(manifest, folder)
    return [] if found is None else [found]


def _within(path: Path, folder: Path) -> str | None:
    place, root = path.resolve(), folder.resolve()
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else None


def _keys_of_bundle(
    session: Session, source: str | None, files: list[Path] | None
) -> "list[SourceKey]":
    """The keys that may have signed a bundle; it names no source, and those of files are nobody's.

    A bundle does not say when it was signed: of a source's keys, only those count that are valid.
    """
    from lazaretto.sources.history import KeyState, key_state

    if source is None:
        return [_key_of(file, "") for file in files or ()]
    now = datetime.now(UTC)
    return [key for key in _keys_of(session, source) if key_state(key, now) is KeyState.VALID]


def _keys_of(session: Session, source: str) -> "tuple[SourceKey, ...]":
    from lazaretto.sources.registry import get_source

    return get_source(session.workspace, source).keys


def _keys_from_files(files: list[Path], envelope: bytes) -> "list[SourceKey]":
    """Keys from files count for whichever source the manifest names, and since ever."""
    import base64
    import json

    try:
        payload = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
        source = str(payload["predicate"]["source"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DeliveryError(
            "this is no manifest: it names no source", code="bad_envelope"
        ) from error
    return [_key_of(file, source) for file in files]


def _key_of(file: Path, source: str) -> "SourceKey":
    from lazaretto.sources.manifest import key_identity
    from lazaretto.sources.source_key import SourceKey

    public = read_file(file, "public key", limit=_MAX_KEY_BYTES).decode("ascii", "replace")
    key_id, scheme = key_identity(public)
    return SourceKey(source, key_id, scheme, public, datetime.min.replace(tzinfo=UTC))
