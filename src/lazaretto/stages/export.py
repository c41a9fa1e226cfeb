"""Export: write a version of the admitted dataset to one file, for a training elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from lazaretto.batch import file_digest
from lazaretto.dataset.damage import damage_on_record
from lazaretto.errors import UsageError
from lazaretto.faults import as_system_fault
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import DatasetExported
from lazaretto.redact import safe_uri
from lazaretto.stages.snapshot import snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.stages.taken import Snapshot
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Export:
    """A file that was made of a version.

    Attributes:
        dataset: name of the admitted dataset.
        version: that the file holds.
        uri: where it is, without credentials.
        rows: records in it.
        digest: sha256 (hex) of it.
        seq: ledger entry.
    """

    dataset: str
    version: int
    uri: str
    rows: int
    digest: str
    seq: int


def export(workspace: Workspace, dataset: str, out: Path, *, version: int | None = None) -> Export:
    """Writes a version as one Parquet file; takes a snapshot of it.

    Every byte is checked against what was admitted. The file gets its name after it is on record,
    so that nobody learns from one that no trace knows of.

    Args:
        workspace: catalog and store.
        dataset: name of the admitted dataset.
        out: the file; an existing one is kept.
        version: Delta version; default the newest.

    Raises:
        UsageError: the file exists, or its folder does not.
        NotFoundError: no such dataset, or no such version of it.
        ChangedDatasetError: the table is not the one that is on record.
        ChangedFileError: a data file is gone, or is not the one that is on record.
        SystemFaultError: the file cannot be written.

    Examples:
        >>> from pathlib import Path
        >>> export(workspace, "reviews", Path("reviews.parquet"), version=2).rows
        114
    """
    if out.exists():
        raise UsageError(f"{str(out)!r} exists already and is kept; name another file")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"the folder of {str(out)!r} does not exist")
    taken = snapshot(workspace, dataset, version=version, read=False)
    partial = out.with_name(out.name + ".part")
    writing = as_system_fault(f"cannot write {str(out)!r}")
    try:
        with damage_on_record(workspace, dataset, "export", taken.files), writing:
            _write(taken, partial)
        event = DatasetExported(
            dataset=dataset,
            version=taken.version,
            uri=safe_uri(str(out.absolute().parent.resolve() / out.name)),
            rows=taken.rows,
            digest=file_digest(str(partial)),
        )
        with workspace.catalog.transaction() as connection:
            entry = append(connection, event, actor=workspace.actor)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return Export(dataset, event.version, event.uri, event.rows, event.digest, entry.seq)


def _write(taken: Snapshot, path: Path) -> None:
    with pq.ParquetWriter(path, taken.schema, compression="zstd") as writer:
        for chunk in taken.chunks():
            writer.write_batch(chunk)
