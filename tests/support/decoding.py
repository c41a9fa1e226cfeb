"""Decodes a file in the test's own process: fast, and with blocks of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.batch import Batch, format_by_name, open_canonical
from lazaretto.batch._child import answered
from lazaretto.batch._wanted import Wanted
from lazaretto.errors import DeliveryError
from lazaretto.policy import Limits

if TYPE_CHECKING:
    from pathlib import Path


def decoded(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002
    block: int | None = None,
    limits: Limits | None = None,
    wanted: Wanted | None = None,
) -> Batch:
    """The batch in a file; its canonical copy is left beside it, as ``NAME.canonical``.

    Args:
        path: what to decode.
        format: default by extension.
        block: bytes of text that are parsed at once.
        limits: default `Limits()`.
        wanted: what is known of its columns.

    Raises:
        DeliveryError: it is refused.
    """
    copy = path.with_name(f"{path.name}.canonical")
    request = {
        "raw": str(path),
        "copy": str(copy),
        "folder": str(path.parent),
        "name": str(path),
        "format": format or format_by_name(path.name),
        "wanted": (wanted or Wanted()).dump(),
        "limits": (limits or Limits()).model_dump(),
        "room": 2**50,
    }
    said = answered(request if block is None else request | {"block": block})
    if "code" in said:
        raise DeliveryError(said["reason"], code=said["code"])
    batch = open_canonical(copy.open("rb"), rows=said["rows"], name=str(path))
    assert batch.digest() == said["digest"]
    return batch
