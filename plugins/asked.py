"""What an address may ask for: names, moments, and how much is computed while somebody waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Query

from lazaretto.errors import NotFoundError
from lazaretto.text import excerpt, visible
from lazaretto.times import asked_time

if TYPE_CHECKING:
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
