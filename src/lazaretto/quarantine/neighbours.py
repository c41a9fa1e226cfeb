"""What a held record lies near: its nearest trusted records, with what is known of each.

A reviewer who sees the record beside the most similar ones that are trusted sees what is odd in it.
The search is the one that screening made: the same vectors, the same reference by its digest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lazaretto.batch._columns import vectors
from lazaretto.errors import LazarettoError, NotFoundError
from lazaretto.faults import how_to_install
from lazaretto.ledger.chain import entry as entry_of
from lazaretto.ledger.deletions import deletions_told
from lazaretto.ledger.events import BatchEmbedded, BatchJudged, BatchScreened
from lazaretto.quarantine.cases import find_case
from lazaretto.quarantine.held import POSITION
from lazaretto.quarantine.records import held_rows
from lazaretto.registry.references import read_reference
from lazaretto.registry.trusted import RECORD, read_trusted
from lazaretto.storage.sidecars import read_numbered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazaretto.batch._columns import Vectors
    from lazaretto.reference.near import Nearest
    from lazaretto.registry.stored import StoredReference
    from lazaretto.storage.workspace import Workspace

NEAREST = 3
_OWN_COLUMN = "column:"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A trusted record near a held one.

    Attributes:
        row: its place among the rows that the reference was fitted on, from 0.
        record_id: its id; None where the reference was saved without ids.
        label: its label; None where the reference has no labels.
        distance: Euclidean, between the two vectors.
        content: by column what the reference keeps of the policy's payload; may be empty.
    """

    row: int
    record_id: str | None
    label: str | None
    distance: float
    content: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What some held records of a case lie near.

    Attributes:
        reference: ``name/version`` that they were compared with; None: with none.
        near: by position, nearest first; no entry for a record without a usable vector.
        unknown: why nobody can say, in words; None where there are answers.
    """

    reference: str | None
    near: dict[int, list[Neighbour]]
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class _Made:
    """What screening was made of, by the ledger."""

    batch: str
    reference: StoredReference
    embedded: BatchEmbedded | None


def neighbours_of(
    workspace: Workspace, case: str, positions: Sequence[int], *, most_bytes: int | None = None
) -> Neighbourhood:
    """Finds the three nearest trusted records of some held records of a case.

    Memory holds a few blocks of the reference and the vectors asked for. Every file is checked
    against its digest while it is read.

    Args:
        workspace: catalog and store.
        case: its id.
        positions: of the records; see `HeldRecord.position`.
        most_bytes: of a reference whose vectors take more, nothing is read: it takes time.

    Raises:
        NotFoundError: no such case.

    Examples:
        >>> found = neighbours_of(workspace, case, [0])
        >>> [(near.label, sorted(near.content)) for near in found.near[0][:1]]
        [('0', ['text'])]
    """
    with workspace.catalog.read() as connection:
        find_case(connection, case)
    try:
        made = _made_of(workspace, case)
        if isinstance(made, str):
            return Neighbourhood(None, {}, made)
        name = f"{made.reference.name}/{made.reference.version}"
        size = made.reference.files[1].size
        if most_bytes is not None and size > most_bytes:
            words = f"reference {name} is large: its neighbours are on the page of each record"
            return Neighbourhood(name, {}, words)
        return Neighbourhood(name, _search(workspace, case, made, positions))
    except ModuleNotFoundError as error:
        words = f"neighbours cannot be searched here: {how_to_install(error)}"
        return Neighbourhood(None, {}, words)
    except LazarettoError as error:  # what was found in the record can be shown all the same
        return Neighbourhood(None, {}, f"neighbours cannot be told: {error}")


def _made_of(workspace: Workspace, case: str) -> _Made | str:
    """What the case's screening was made of; or why there was none, in words."""
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        judged = entry_of(connection, row.seq).event
        if not isinstance(judged, BatchJudged):
            return (
                "these records were found in a training set, where they were compared with each "
                "other and with no reference"
            )
        if judged.screened is None:
            return (
                "the batch was not compared with trusted records: its contract is broken, or the "
                "policy screens nothing"
            )
        screened = entry_of(connection, judged.screened).event
        assert isinstance(screened, BatchScreened)  # noqa: S101  it was judged by it
        embedded = None
        if judged.embedded is not None:
            found = entry_of(connection, judged.embedded).event
            embedded = found if isinstance(found, BatchEmbedded) else None
        name = f"{screened.reference}/{screened.reference_version}"
        stored = read_reference(connection, name)
    if stored.digest != screened.reference_digest:
        return f"reference {name} is not the one that the batch was compared with"
    return _Made(row.batch, stored, embedded)


def _search(
    workspace: Workspace, case: str, made: _Made, positions: Sequence[int]
) -> dict[int, list[Neighbour]]:
    from lazaretto.reference.near import nearest_trusted

    store, files = workspace.store, made.reference.files
    metadata = store.read(files[0])
    width = json.loads(metadata)["encoder"]["dimensions"]
    wanted, found = _vectors(workspace, case, made, sorted(set(positions)), width)
    usable = [row for row in range(len(wanted)) if row not in found.problems]
    if not usable:
        return {}
    with store.open(files[1]) as tensors:
        near = nearest_trusted(metadata, tensors, found.values[usable], NEAREST)
    known: dict[int, dict[str, Any]] = {}
    if made.reference.trusted is not None:
        rows = np.unique(near.row).tolist()
        known = read_trusted(store, made.reference.trusted, rows)
    return {
        wanted[number]: [_neighbour(near, place, rank, known) for rank in range(near.row.shape[1])]
        for place, number in enumerate(usable)
    }


def _neighbour(
    near: Nearest, place: int, rank: int, known: Mapping[int, Mapping[str, Any]]
) -> Neighbour:
    content = dict(known.get(int(near.row[place, rank]), {}))
    return Neighbour(
        row=int(near.position[place, rank]),
        record_id=content.pop(RECORD, None),
        label=None if near.label is None else near.label[place][rank],
        distance=float(near.distance[place, rank]),
        content=content,
    )


def _vectors(
    workspace: Workspace, case: str, made: _Made, positions: Sequence[int], width: int
) -> tuple[list[int], Vectors]:
    """Positions and vectors of held records; those that screening could not use are told.

    A position is the number of the record in its batch, and so of its row in the side-car.
    """
    encoder = made.reference.encoder
    if encoder.startswith(_OWN_COLUMN):
        name = encoder.removeprefix(_OWN_COLUMN)
        rows = held_rows(workspace, case, positions, [name])
        return rows[POSITION].to_pylist(), vectors(rows[name], name, width)
    if made.embedded is None:
        raise NotFoundError("the ledger names no vectors of the batch")
    with deletions_told(workspace.catalog.read, made.batch):
        rows = read_numbered(workspace.store, made.embedded.vectors, positions)
    there = list(positions)[: rows.num_rows]
    return there, vectors(rows["embedding"], "embedding", width)
