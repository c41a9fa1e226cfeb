"""Which files a map is made of, as the ledger names them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lazaretto.errors import NotFoundError
from lazaretto.ledger.chain import entry as entry_of
from lazaretto.ledger.cover import covering
from lazaretto.ledger.events import BatchEmbedded, BatchJudged, BatchScreened
from lazaretto.quarantine.cases import find_case, held_file
from lazaretto.registry.references import read_reference

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

FORMAT = 1
"""Of the map's bytes; another number is another map."""
_COLUMN = "column:"


@dataclass(frozen=True, slots=True)
class MapFiles:
    """What the map of a case is made of; every file is checked while it is read.

    Attributes:
        case: its id.
        batch: its batch.
        rows: records of the batch.
        held: records of the case.
        held_records: positions, scores and labels of the held records.
        vectors: one vector for each record of the batch, in its order.
        column: name of the column with the vectors, where the batch brought them; None: the file is
            a side-car of the encoder's.
        reference: ``name/version`` of the trusted records.
        metadata: of the reference.
        trusted: the reference's arrays.
        scores: of the screening, one row for each record that the contract did not fail.
        rate: the stated false-quarantine rate.
    """

    case: str
    batch: str
    rows: int
    held: int
    held_records: StoredFile
    vectors: StoredFile
    column: str | None
    reference: str
    metadata: StoredFile
    trusted: StoredFile
    scores: StoredFile
    rate: float

    @property
    def digest(self) -> str:
        """sha256 (hex) of all that the map depends on: the same digest is the same map."""
        files = (self.held_records, self.vectors, self.metadata, self.trusted, self.scores)
        parts = [str(FORMAT), str(self.column), *(file.sha256 for file in files)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def files_of_map(workspace: Workspace, case: str) -> MapFiles:
    """What the map of a case is made of.

    Raises:
        NotFoundError: no such case; or there is no map of it, and the error says why not.
        ChangedStateError: the case's row does not say what the ledger says.
        LedgerError: an entry was edited.
    """
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        held = held_file(connection, row)
        judged = _judged(connection, row)
        screened = screening_of(connection, row)
        embedded = None if judged.embedded is None else entry_of(connection, judged.embedded).event
        if not isinstance(embedded, BatchEmbedded):
            raise NotFoundError(
                f"there is no map of {case}: its batch has no vectors, because its contract is "
                "broken as a whole, so that it was neither embedded nor screened"
            )
        name = f"{screened.reference}/{screened.reference_version}"
        saved = read_reference(connection, name)
        if saved.digest != screened.reference_digest:
            raise NotFoundError(
                f"there is no map of {case}: reference {name} is not the one that its batch was "
                "compared with"
            )
    own = embedded.encoder.startswith(_COLUMN)
    return MapFiles(
        case=case,
        batch=row.batch,
        rows=row.rows,
        held=row.held,
        held_records=held,
        vectors=embedded.vectors,
        column=embedded.encoder.removeprefix(_COLUMN) if own else None,
        reference=name,
        metadata=saved.files[0],
        trusted=saved.files[1],
        scores=screened.scores,
        rate=screened.false_quarantine_rate,
    )


def screening_of(connection: Connection, row: Row[Any]) -> BatchScreened:
    """The screening that a case was judged by.

    Raises:
        NotFoundError: there was none; it says why.
    """
    seq = _judged(connection, row).screened
    event = None if seq is None else entry_of(connection, seq).event
    if not isinstance(event, BatchScreened):
        raise NotFoundError(
            f"the batch of {row.id} was not screened: its contract is broken as a whole, so that "
            "no record has a vector or a score"
        )
    return event


def _judged(connection: Connection, row: Row[Any]) -> BatchJudged:
    event = covering(connection, "review_case", row.id, row).event
    if not isinstance(event, BatchJudged):
        raise NotFoundError(
            f"there is no map of {row.id}: its records were found by a model's activations in a "
            "training set, and no vectors of them are kept"
        )
    return event
