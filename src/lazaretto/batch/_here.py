"""Decoding in this process, without the box: only what this process wrote of decoded records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.batch._batch import open_canonical
from lazaretto.batch._box import Decoded
from lazaretto.batch._decode import decode as decode_file
from lazaretto.batch._wanted import Wanted

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.policy import Limits


def decode_here(
    raw: Path,
    folder: Path,
    *,
    name: str,
    format: str | None,  # noqa: A002
    limits: Limits,
    wanted: Wanted | None = None,
) -> Decoded:
    """Decodes a file into its canonical copy as the box does, in this process.

    Never give it what somebody sent: nothing here bounds time and memory, and a decoder that is
    taken over has all that this process has. To start a process takes longer than to decode a
    small file, which counts where the same records are tried many times.

    Args:
        raw: local file, written by this process of records that came out of the box before.
        folder: a private folder for the canonical copy.
        name: of the delivery, for messages.
        format: as of `lazaretto.batch.decode`.
        limits: of the policy.
        wanted: what is known of its columns; default: nothing.

    Raises:
        DeliveryError: it is refused by the policy's limits.
    """
    copy = folder / "canonical.arrow"
    found = decode_file(
        str(raw),
        str(copy),
        name=name,
        wanted=format,
        limits=limits,
        columns=wanted or Wanted(),
        folder=str(folder),
    )
    with copy.open("rb") as file:
        schema = open_canonical(file, rows=found.rows, name=name).schema
    return Decoded(name, copy, found.format, found.rows, found.digest, schema, tuple(found.unlike))
