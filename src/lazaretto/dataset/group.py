"""Small batches that enter a dataset with one version: one file, one transaction, one commit.

As with every version, the file is written first, then it goes on record, then the table's commit
follows. All entries of the version are written in one transaction: killed before it, no batch has
entered; killed behind it, all have, and whoever opens the dataset next makes the commit.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from lazaretto.dataset.admission import Admission, look_at
from lazaretto.dataset.commit import ATTEMPTS, commit_recorded, find_dataset
from lazaretto.dataset.damage import damage_on_record
from lazaretto.dataset.delta import arrow_schema
from lazaretto.dataset.entering import admitted_event, counted_rows
from lazaretto.dataset.evolve import find_change
from lazaretto.dataset.files import dataset_uri
from lazaretto.dataset.history import find_newest
from lazaretto.dataset.recorded import Recorded
from lazaretto.dataset.state import changes
from lazaretto.dataset.table import is_newest, open_newest
from lazaretto.dataset.together import write_together
from lazaretto.errors import LazarettoError, SystemFaultError
from lazaretto.ledger.chain import append, head
from lazaretto.ledger.events import BatchAdmitted, VersionAnnounced
from lazaretto.ledger.meanwhile import STAGES_AND_ADMISSIONS, moved_since
from lazaretto.ledger.state import write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from deltalake import DeltaTable
    from sqlalchemy.engine import Connection

    from lazaretto.dataset.part import Part
    from lazaretto.dataset.together import Whose
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile

_PASSING = STAGES_AND_ADMISSIONS | {VersionAnnounced.kind}
"""What changes nothing for a batch of a group: the version of the dataset is looked at itself."""
_PATIENCE = 3
"""So often all is looked at again before the lock; then it is done under it."""


class _UnfitError(Exception):
    """One of them cannot enter with the others; says which."""

    def __init__(self, part: Part) -> None:
        super().__init__(part.batch)
        self.part = part


def admit_group(workspace: Workspace, parts: Sequence[Part]) -> Admission | None:
    """Admits small parts with one version.

    One that cannot enter is left out, and nothing is put on record of that: whoever admits it by
    itself is told why. Only rows enter together that have the columns that the dataset has.

    Args:
        workspace: catalog and store.
        parts: what enters, of one dataset: the caller's own, then those that it takes along.

    Returns:
        The admission of the first of them; None: nothing was admitted, and it is to be admitted
        alone.

    Raises:
        ChangedDatasetError: the table is not the one that is on record.
        SystemFaultError: the store or the catalog cannot be used.
    """
    mine, wanted = parts[0], list(parts)
    files: list[DataFile] = []
    written: tuple[pa.Schema, list[Part]] | None = None
    with damage_on_record(workspace, mine.dataset, "admit"):
        for attempt in range(ATTEMPTS):
            table = find_dataset(workspace, mine.dataset)
            if table is None:
                return None
            schema = arrow_schema(table)
            wanted = [part for part in wanted if _fits(part, schema)]
            if len(wanted) < 2 or wanted[0] is not mine:
                return None
            try:
                if written != (schema, wanted):
                    files, written = _write(workspace, wanted, schema), (schema, wanted)
                done = _record(workspace, wanted, table, files, attempt)
            except _UnfitError as error:
                wanted = [part for part in wanted if part is not error.part]
                continue
            if done is not None:
                return done
            open_newest(workspace, mine.dataset)  # finishes what was cut off, or raises
    raise SystemFaultError(f"{mine.dataset} changed {ATTEMPTS} times while it was written")


def _fits(part: Part, schema: pa.Schema) -> bool:
    """Whether every row of these types has a place in the dataset as it is."""
    change = find_change(part.schema, schema, part.evolve, part.named)
    return not (change.grows or change.doubtful or change.problems)


def _write(workspace: Workspace, parts: Sequence[Part], schema: pa.Schema) -> list[DataFile]:
    """The file, in which each has a stretch.

    Raises:
        _UnfitError: rows of one of them cannot be read, or have no place.
    """
    names = "\n".join(f"{part.batch}:{part.name}" for part in parts)
    purpose = f"lazaretto:together:{names}"
    return write_together(workspace.store, parts[0].dataset, purpose, schema, _rows(parts, schema))


def _rows(parts: Sequence[Part], schema: pa.Schema) -> Iterator[tuple[Whose, pa.RecordBatch]]:
    for part in parts:
        try:
            for chunk in counted_rows(part, schema):
                yield (part.batch, part.name), chunk
        except LazarettoError as error:
            raise _UnfitError(part) from error


def _record(
    workspace: Workspace,
    parts: Sequence[Part],
    table: DeltaTable,
    files: Sequence[DataFile],
    attempt: int,
) -> Admission | None:
    """None where something changed meanwhile: then all is looked at again.

    Raises:
        _UnfitError: one of them may not enter now, or has entered.
    """
    dataset, batches = parts[0].dataset, [part.batch for part in parts]
    with workspace.catalog.read() as connection:
        found, seen = _look_at_all(workspace, connection, parts, table), head(connection)
    if found is True:
        events = _events(workspace, parts, table, files)
        with workspace.catalog.transaction() as connection:
            if moved_since(connection, seen, *batches, passing=_PASSING):
                # It costs a statement or more for each batch, while other writers wait.
                if attempt < _PATIENCE:
                    return None
                found = _look_at_all(workspace, connection, parts, table)
            elif not is_newest(dataset, table, find_newest(connection, dataset)):
                return None
            if found is True:
                said = [append(connection, event, actor=workspace.actor) for event in events]
                write(connection, chain.from_iterable(map(changes, said)))
    if isinstance(found, Admission):
        open_newest(workspace, dataset)  # another process may not have committed it yet
        return found
    if found is False:
        return None
    version = Recorded(said[-1], events[-1], tuple(said[:-1]))
    commit_recorded(workspace, version, table)
    mine, first = events[0], said[0]
    uri = dataset_uri(workspace, dataset)
    return Admission(mine.batch, dataset, uri, mine.version, mine.rows, mine.part, [first.seq])


def _events(
    workspace: Workspace, parts: Sequence[Part], table: DeltaTable, files: Sequence[DataFile]
) -> list[BatchAdmitted]:
    return [
        admitted_event(workspace, part, table, [file], place=place, together=len(parts))
        for place, (part, file) in enumerate(zip(parts, files, strict=True), start=1)
    ]


def _look_at_all(
    workspace: Workspace, connection: Connection, parts: Sequence[Part], table: DeltaTable
) -> Admission | bool:
    """As `look_at` of the first; the others must be such that they may enter.

    Raises:
        _UnfitError: one of them may not, or has entered.
    """
    for part in parts:
        try:
            found = look_at(connection, workspace, part, table)
        except LazarettoError as error:
            raise _UnfitError(part) from error
        if isinstance(found, Admission) and part is not parts[0]:
            raise _UnfitError(part)
        if found is not True:
            return found
    return True
