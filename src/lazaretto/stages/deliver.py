"""Deliver: writes a table that our own code made as a delivery, signed where it has a key."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lazaretto.addresses import read_address, within
from lazaretto.batch._places import places_for
from lazaretto.errors import UsageError
from lazaretto.redact import safe_uri
from lazaretto.storage.store import Store
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import pyarrow as pa

    from lazaretto.policy import Policy

_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivery that was written.

    Attributes:
        uri: where it is, named by its content: the same records again are the same delivery.
        rows: its records.
        manifest: the signed manifest (DSSE envelope, JSON); None where there is no key.
    """

    uri: str
    rows: int
    manifest: str | None


def deliver(
    table: Any,
    source: str,
    policy: Policy,
    *,
    folder: str,
    name: str,
    collected_from: datetime,
    collected_to: datetime,
    private_key: bytes | None = None,
) -> Delivered | None:
    """Writes a table as a Parquet file into one of the source's places.

    A stream is written as it comes, so that it needs no memory for all of its records.

    Args:
        table: a pyarrow table, record batch or `RecordBatchReader`, a polars frame (also lazy), or
            a pandas frame, whose index is left out.
        source: name of the registered source that the records come from.
        policy: names the places.
        folder: place to write to, a path or URI; empty: the first of the policy's places.
        name: folder in it, of letters, digits, ``.``, ``_``, ``-`` and ``/``.
        collected_from: aware time; start of the records' collection.
        collected_to: aware time; end of it.
        private_key: the source's, PEM.

    Returns:
        The delivery; None for a table without records.

    Raises:
        UsageError: it is no table, the place is none of the source's, or the policy requires a
            signature and there is no key.
        SystemFaultError: the place cannot be written.

    Examples:
        >>> from datetime import UTC, datetime
        >>> import pyarrow as pa
        >>> day = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
        >>> drop = policy.sources.model_copy(
        ...     update={"require_signature": False, "places": [f"{workspace.store.root}/../drop"]}
        ... )
        >>> with_place = policy.model_copy(update={"sources": drop})
        >>> done = deliver(
        ...     pa.table({"id": ["a"], "label": ["x"]}),
        ...     "vendor",
        ...     with_place,
        ...     folder="",
        ...     name="daily/orders",
        ...     collected_from=day[0],
        ...     collected_to=day[1],
        ... )
        >>> done.rows, done.uri.endswith(".parquet")
        (1, True)
    """
    require_key(policy, source, private_key)
    root = _place(policy, source, folder)
    reader = as_reader(table)
    with tempfile.TemporaryDirectory(prefix="lazaretto-") as scratch:
        draft = Path(scratch, "delivery.parquet")
        rows = _write(reader, draft)
        if not rows:
            return None
        stored = Store.at(root).put(f"{name}/{{sha256}}.parquet", _pieces(draft))
        uri = f"{root.rstrip('/')}/{stored.path}"
        manifest = None
        if private_key is not None:
            from lazaretto.sources.manifest import sign_manifest

            # Of the draft: what was written is signed, whatever became of it in the place.
            signed = draft.rename(draft.with_name(Path(stored.path).name))
            manifest = sign_manifest(
                signed,
                source=source,
                private_key=private_key,
                collected_from=collected_from,
                collected_to=collected_to,
                rows=rows,
            ).decode()
    return Delivered(uri, rows, manifest)


def require_key(policy: Policy, source: str, private_key: bytes | None) -> None:
    """Refuses to go on without a key where the policy requires a signature.

    Raises:
        UsageError: there is none.

    Examples:
        >>> require_key(policy, "vendor", b"a key")
    """
    if private_key is None and policy.sources.require_signature:
        raise UsageError(
            f"the policy requires a signature of {source!r}, and there is no key to sign with: "
            "name the file of the source's private key, or set sources.require_signature to false"
        )


def as_reader(table: Any) -> pa.RecordBatchReader:
    """A table of any kind that `deliver` takes, as a stream of record batches.

    Raises:
        UsageError: it is none.

    Examples:
        >>> import polars as pl
        >>> as_reader(pl.DataFrame({"id": [1, 2]})).read_all().num_rows
        2
    """
    import pyarrow as pa

    if isinstance(table, pa.RecordBatchReader):
        return table
    if isinstance(table, pa.RecordBatch):
        return pa.RecordBatchReader.from_batches(table.schema, [table])
    if isinstance(table, pa.Table):
        return table.to_reader()
    module = type(table).__module__.partition(".")[0]
    if module == "polars" and hasattr(table, "collect"):
        table = table.collect()
    if module == "polars" and hasattr(table, "to_arrow"):
        return pa.table(table.to_arrow()).to_reader()
    if module == "pandas" and hasattr(table, "columns"):
        return pa.Table.from_pandas(table, preserve_index=False).to_reader()
    raise UsageError(
        f"a delivery is made of a pyarrow, polars or pandas table, not of {excerpt(type(table))}"
    )


def _place(policy: Policy, source: str, folder: str) -> str:
    """The folder to write to, where the source may deliver from it; else the first such place."""
    places = places_for(policy, source, required=True).places
    if not folder:
        return places[0].uri
    found = read_address(folder)
    if within(places, found) is None:
        raise UsageError(
            f"{safe_uri(folder)} lies in none of the places of {source!r}: take one of the "
            "policy's sources.places, or add it there"
        )
    return found.uri


def _write(reader: pa.RecordBatchReader, file: Path) -> int:
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(file, reader.schema) as writer:
        for batch in reader:
            rows += batch.num_rows
            if batch.num_rows:
                writer.write_batch(batch)
    return rows


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece
