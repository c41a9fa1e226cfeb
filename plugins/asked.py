"""What an address or a form may ask for: names, moments, how much is computed meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, HTTPException, Query, Request

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.text import excerpt, visible
from lazaretto.times import asked_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

MOST_BATCHES = 100
"""Batches that rates are tried on."""
MOST_RECORDS = 500_000
"""Records of those batches; the command line has no such bound."""

MOST_REPLAYED = 20
"""Batches that are judged again at another rate, of at most as many records."""
REPLAY_SECONDS = 60.0
"""No further batch is judged again after so long."""

Moment = Annotated[str, Query(max_length=64)]
"""A moment in ISO 8601; empty: none."""
Behind = Annotated[str | None, Query(max_length=200)]
"""The name, or the id, of the last row of the page before."""

ModelName = Annotated[str, Query(min_length=1, max_length=600)]
"""A registry, a model or a version of one: they may hold slashes, so no path names them."""
AliasName = Annotated[str, Query(min_length=1, max_length=255)]
"""A name that stands for a version."""


@dataclass(frozen=True, slots=True)
class AskedVersion:
    """A model version that an address names, and a name that it may be given."""

    registry: str
    model: str
    version: str
    alias: str


def asked_version(
    registry: ModelName, model: ModelName, version: ModelName, alias: AliasName = "production"
) -> AskedVersion:
    """Reads them from an address.

    Raises:
        NotFoundError: one has characters that no name of ours has.
    """
    return AskedVersion(*(str(known(one)) for one in (registry, model, version, alias)))


Version = Annotated[AskedVersion, Depends(asked_version)]


def moment(text: str) -> datetime | None:
    """A moment of an address; without a zone it is UTC; None where it is left empty.

    Raises:
        UsageError: it is none.
    """
    return asked_time(text.strip()) if text.strip() else None


def known(name: str | None) -> str | None:
    """A name of an address that a database can be asked for.

    Raises:
        NotFoundError: it has characters that no name of ours has.
    """
    if name is not None and visible(name) != name:
        raise NotFoundError(f"nothing is called {excerpt(name, 80)!r}")
    return name


@dataclass(frozen=True, slots=True)
class Sent:
    """What a form sent, by the names of its fields."""

    fields: Mapping[str, str]

    def text(self, name: str) -> str:
        """A text, with the line ends of this machine.

        Raises:
            UsageError: it is empty.
        """
        found = self.fields.get(name, "").replace("\r\n", "\n")
        if not found.strip():
            raise UsageError(f"{name}: write something")
        return found

    def number(self, name: str, *, most: int) -> int:
        """A number from 1; where nothing was sent, the greatest.

        Raises:
            UsageError: it is none, or too great.
        """
        found = self.fields.get(name) or str(most)
        if not (found.isascii() and found.isdigit() and 1 <= int(found[:9]) <= most):
            raise UsageError(f"{name}: write a number from 1 to {most}")
        return int(found)


def sent_by_form(*names: str, longest: int) -> Callable[[Request], Awaitable[Sent]]:
    """Reads a form of ours, and no more than it may send.

    Args:
        names: of its fields.
        longest: characters of all of them together.
    """
    # A character is sent as 12 at most: four bytes, each as %XX.
    most = 12 * longest

    async def read(request: Request) -> Sent:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise HTTPException(415, "send a form")
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > most:
                raise HTTPException(413, f"more than {longest:,} characters")
        try:
            pairs = parse_qsl(
                data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20
            )
        except ValueError:
            raise HTTPException(422, "the form cannot be read") from None
        fields = {name: value for name, value in pairs if name in names}
        if sum(map(len, fields.values())) > longest:
            raise HTTPException(413, f"more than {longest:,} characters")
        return Sent(fields)

    return read
