"""Arguments that several commands take: moments, NAME@VERSION, files; the question before bulk."""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from lazaretto.cli.text import plain
from lazaretto.errors import UsageError
from lazaretto.redact import safe_uri
from lazaretto.times import asked_time


def parse_moment(text: str | datetime) -> datetime:
    """Reads a date or time in ISO 8601, or such as ``3 days ago``; without a zone it is UTC.

    Raises:
        typer.BadParameter: not a date or time; the message shows one.
    """
    if isinstance(text, datetime):
        return text
    try:
        return asked_time(text)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error


Since = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        parser=parse_moment,
        metavar="TIME",
        help="From this moment on: 2026-03-01, 2026-03-01T14:30 (UTC), yesterday, '3 days ago'",
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        "--until",
        parser=parse_moment,
        metavar="TIME",
        help="Before this moment, written as for --since",
    ),
]
Limit = Annotated[int, typer.Option(min=1, help="Show at most so many")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation")]
ImageShape = Annotated[
    str | None,
    typer.Option(
        "--image",
        metavar="CHANNELSxHEIGHTxWIDTH",
        help="The embedding is a flattened image of this shape",
    ),
]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; kept in the ledger")]
Registry = Annotated[
    str | None, typer.Option(help="Where several registries have a model of this name")
]


def split_version(text: str) -> tuple[str, str]:
    """Splits ``NAME@VERSION`` at its last ``@``.

    Raises:
        UsageError: one of the two is missing.
    """
    name, at, version = text.rpartition("@")
    if not (name and at and version):
        raise UsageError(f"{text!r} does not name a version: write NAME@VERSION, such as digits@2")
    return name, version


def read_file(path: Path, what: str, *, limit: int = 64 * 2**20) -> bytes:
    """Reads a file that the user named.

    Raises:
        UsageError: it is not there, not a file, not readable, or beyond `limit` bytes.
    """
    try:
        if path.stat().st_size > limit:
            raise UsageError(
                f"{what} {str(path)!r} is larger than {limit} bytes: is it the right file?"
            )
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {what} {str(path)!r}: {error.strerror or error}") from error


def require_file(uri: str, what: str) -> None:
    """Refuses a local path where nothing is; what is there shows when it is opened.

    Raises:
        UsageError: there is no such file.
    """
    if "://" not in uri and not os.path.lexists(uri):
        raise UsageError(f"{what} {safe_uri(uri)!r} is not there")


def write_new_file(path: Path, data: bytes, *, mode: int = 0o644, overwrite: bool = False) -> None:
    """Writes a file for the user; an existing one is kept unless `overwrite`.

    Raises:
        UsageError: it exists, or its folder is missing or not writable.
    """
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if overwrite else os.O_EXCL)
    try:
        with os.fdopen(os.open(path, flags, mode), "wb") as file:
            file.write(data)
    except FileExistsError as error:
        raise UsageError(f"{str(path)!r} exists already and is kept; name another file") from error
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def confirm(question: str, *, yes: bool) -> None:
    """Asks on the terminal before something that touches many records.

    Raises:
        UsageError: the answer was no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Add --yes to do it: there is no terminal to ask on")
    if not typer.confirm(plain(question), default=False, err=True):
        raise UsageError("nothing was changed")
