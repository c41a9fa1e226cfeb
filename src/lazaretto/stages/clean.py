"""Cleaning of a batch within validation: what it is compared with, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lazaretto.authority.judgements import standing_judgement, validated_by
from lazaretto.cleaning import Known, report, scan
from lazaretto.dataset.record_index import catch_up, compares
from lazaretto.dataset.record_lookup import find_near, find_same
from lazaretto.received import open_stored
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table, write_table
from lazaretto.values import Cleaned, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection

    from lazaretto.batch import Batch
    from lazaretto.cleaning import CleaningReport, Scan
    from lazaretto.dataset.record_index import Indexed
    from lazaretto.policy import Cleaning, Policy
    from lazaretto.received import Received
    from lazaretto.storage.workspace import Workspace

_CLASSES = 256


@dataclass(frozen=True, slots=True)
class Earlier:
    """What of earlier batches a batch is compared with.

    Attributes:
        indexed: the dataset's index; None: nothing was admitted, or nothing is compared.
        lengths: of the source's last judged batches: ledger entry, and counts by column.
    """

    indexed: Indexed | None
    lengths: Sequence[tuple[int, dict[str, dict[str, int]]]]

    @classmethod
    def of(
        cls, connection: Connection, received: Received, policy: Policy, indexed: Indexed | None
    ) -> Earlier:
        """What there is now.

        Args:
            connection: of the catalog.
            received: the batch.
            policy: with a section on cleaning.
            indexed: the index.
        """
        rule = None if policy.cleaning is None else policy.cleaning.lengths
        if rule is None or rule.action == "off":
            return cls(indexed, [])
        batch = tables.batch.c
        query = (
            sa.select(batch.id)
            .where(batch.source == received.source, batch.dataset == policy.dataset)
            .where(batch.verdict.in_([Verdict.PASS.value, Verdict.HOLD_RECORDS.value]))
            .where(batch.id != received.id)
            .order_by(batch.received_at.desc(), batch.id)
            .limit(rule.batches)
        )
        found = []
        for name in connection.scalars(query).all():
            judged = standing_judgement(connection, name, policy.dataset)
            if judged is None or judged.event.validated is None:
                continue
            event = validated_by(connection, judged.event)
            if event is not None and event.cleaned is not None:
                found.append((judged.event.validated, event.cleaned.lengths))
        return cls(indexed, found)

    @property
    def key(self) -> list[object]:
        """What a result depends on, as JSON."""
        version = None if self.indexed is None else self.indexed.version
        return [version, sorted(seq for seq, _ in self.lengths)]


def up_to_date(workspace: Workspace, policy: Policy) -> Indexed | None:
    """The index of the dataset's records, complete; None where nothing is compared with them.

    Raises:
        ChangedFileError: a data file of the dataset is gone, or its bytes are others.
        SystemFaultError: catalog or store cannot be used.
    """
    return catch_up(workspace, policy) if compares(policy.cleaning) else None


def clean(
    workspace: Workspace, received: Received, data: Batch, policy: Policy, earlier: Earlier
) -> CleaningReport | None:
    """Cleans a batch; None where the policy has no such section.

    Args:
        workspace: catalog and store.
        received: the batch.
        data: its stored copy.
        policy: what is looked for.
        earlier: what it is compared with.

    Raises:
        SystemFaultError: catalog or store cannot be used.
    """
    cleaning = policy.cleaning
    if cleaning is None:
        return None
    found = scan(data, policy.columns, cleaning)
    with workspace.catalog.read() as connection:
        known = _known(connection, received, cleaning, found, earlier)
    return report(found, cleaning, known)


def keep(
    workspace: Workspace,
    batch: str,
    cleaned: CleaningReport,
    held: NDArray[np.int64],
    earlier: Earlier,
) -> Cleaned:
    """Writes what was found, mended and dropped.

    Args:
        workspace: catalog and store.
        batch: its id.
        cleaned: what cleaning found.
        held: positions of the records that the contract fails.
        earlier: what was compared with.

    Raises:
        SystemFaultError: the store cannot be written.
    """
    store, findings = workspace.store, cleaned.findings
    stopped = np.union1d(held, cleaned.stopped["position"].to_numpy().astype(np.int64))
    dropped = cleaned.dropped(held)
    where = pc.is_in(findings["position"], pa.array(dropped.astype(np.uint64)))
    rows = findings.filter(where).group_by("position", use_threads=False)
    ids = rows.aggregate([("record_id", "first")]).sort_by("position")
    out = pa.table(
        {"record_id": ids["record_id_first"], "position": ids["position"].cast(pa.int64())}
    )
    path = f"batches/{batch}"
    return Cleaned(
        flagged=len(np.setdiff1d(_positions(findings, "flag"), stopped)),
        fixed=len(np.setdiff1d(np.unique(cleaned.fixes["position"].to_numpy()), stopped)),
        dropped=len(dropped),
        findings=write_table(store, f"{path}/cleaning-{{sha256}}.parquet", findings),
        fixes=write_table(store, f"{path}/fixes-{{sha256}}.parquet", cleaned.fixes)
        if cleaned.fixes.num_rows
        else None,
        dropped_records=write_table(store, f"{path}/dropped-{{sha256}}.parquet", out)
        if len(dropped)
        else None,
        compared=None if earlier.indexed is None else earlier.indexed.version,
        lengths={
            name: {str(place): int(counts[place]) for place in np.flatnonzero(counts).tolist()}
            for name, counts in cleaned.lengths.items()
        },
        notes=cleaned.notes,
    )


def open_cleaned(workspace: Workspace, received: Received, cleaned: Cleaned | None) -> Batch:
    """A batch as it goes on after validation: with mended values in the place of their own.

    Args:
        workspace: catalog and store.
        received: the batch.
        cleaned: what validation says of it.

    Raises:
        DeletedPayloadError: retention deleted it.
        ChangedFileError: a file is gone, or its bytes are others.
    """
    data = open_stored(workspace, received)
    if cleaned is None or cleaned.fixes is None:
        return data
    return data.fixed(read_table(workspace.store, cleaned.fixes))


def _known(
    connection: Connection,
    received: Received,
    cleaning: Cleaning,
    found: Scan,
    earlier: Earlier,
) -> Known:
    notes, exact, near = [], {}, {}
    indexed = earlier.indexed
    if indexed is not None:
        if indexed.left_out:
            notes.append(
                f"the {indexed.left_out:,} oldest records of the dataset are not compared with: "
                "cleaning.index_records bounds the index"
            )
        if found.keys is not None and cleaning.exact_duplicates.across:
            exact = find_same(connection, indexed, found.keys, received.id)
        rule = cleaning.near_duplicates
        if found.sketches is not None and rule.across:
            near = find_near(
                connection,
                indexed,
                found.sketches.bytes,
                found.sketches.bands,
                there=found.sketches.there,
                batch=received.id,
                least=rule.similarity,
            )
    lengths = {
        name: [_counts(counts[name]) for _, counts in earlier.lengths if name in counts]
        for name in found.classes
    }
    return Known(received.source, exact, near, lengths, notes)


def _counts(said: dict[str, int]) -> NDArray[np.int64]:
    counts = np.zeros(_CLASSES, np.int64)
    for place, count in said.items():
        counts[int(place)] = count
    return counts


def _positions(findings: pa.Table, action: str) -> NDArray[np.int64]:
    mine = findings.filter(pc.equal(findings["action"], action))
    return np.unique(mine["position"].to_numpy()).astype(np.int64)
