"""Publishing: decisions in force become one commit of the admitted dataset, and are final."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lazaretto.authority.conditions import kept_envelope, refusals_on_record, require_admissible
from lazaretto.authority.policies import policy_in_force
from lazaretto.dataset.admission import (
    Admission,
    Part,
    added_columns,
    admit_part,
    dataset_uri,
    intend,
    is_written,
    with_added,
)
from lazaretto.errors import AdmissionRefusedError, ChangedStateError, SystemFaultError
from lazaretto.quarantine.cases import find_case, held_file, require_open
from lazaretto.quarantine.held import ADDED_NAMES, POSITION, RECORD
from lazaretto.quarantine.labels import as_label
from lazaretto.quarantine.standing import (
    Publication,
    check_actions,
    check_index,
    decisions_of,
    in_force,
    publications_of,
)
from lazaretto.quarantine.two_people import require_two_people
from lazaretto.received import find_batch, on_record
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_chunks, read_schema
from lazaretto.values import Action, PolicyRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.engine import Connection, Row

    from lazaretto.quarantine.decisions import Decision
    from lazaretto.received import Received
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

_held = tables.held_record
_RELEASING = (Action.RELEASE, Action.RELABEL, Action.REWEIGHT)
_AT_ONCE = 10_000  # bound parameters of one statement: SQLite takes 32,766


@dataclass(frozen=True, slots=True)
class _View:
    """A case as it stands by the ledger, in one view of the catalog."""

    row: Row[Any]
    received: Received
    envelope: bytes | None
    held: StoredFile
    decisions: list[Decision]
    publications: list[Publication]
    released: dict[int, Decision]
    name: str | None
    written: bool


def publish(workspace: Workspace, case: str) -> Admission | None:
    """Admits the records of a case that reviewers released, with their labels and weights.

    What is published is what the ledger's decisions say, whatever the catalog's tables say. From
    the intent on, these records' decisions are final; a publication that was cut off is finished
    first. The case closes when every record is decided on.

    What admission asks for is checked again: source, key and signature of the delivery, by the
    policy that is in force now; and two people, where that policy or the judgement asks for them.

    Args:
        workspace: catalog and store; whoever acts through it is on record as the publisher.
        case: its id.

    Returns:
        The admission (its ``part`` is the publication's id). With nothing new to publish, that of
        the last publication of the case, so that a retry says the same; None if there was none.

    Raises:
        NotFoundError: no such case.
        UsageError: the case is superseded, or the records do not fit the dataset.
        AdmissionRefusedError: two people are required, or something speaks against the delivery
            now; it is on record.
        ChangedFileError: a stored file is gone or was changed.
        ChangedStateError: the catalog does not say what the ledger says.
        SystemFaultError: store or catalog cannot be used; the same call goes on later.
    """
    with workspace.catalog.read() as connection:
        batch = find_case(connection, case).batch
    with on_record(workspace, batch, "publish"), refusals_on_record(workspace, batch, case):
        with workspace.catalog.read() as connection:
            view = _look(connection, workspace, case)
        part = _part(workspace, view) if view.name is not None else None
        with workspace.catalog.transaction() as connection:
            _unchanged(connection, view)
            if part is None:
                _close_when_decided(connection, case)
                return _last(workspace, view)
            _check(connection, workspace, view)
            _mark(connection, view)
            intend(connection, part)
        admission = admit_part(workspace, part)
    with workspace.catalog.transaction() as connection:
        _close_when_decided(connection, case)
    return admission


def _look(connection: Connection, workspace: Workspace, case: str) -> _View:
    row, store = find_case(connection, case), workspace.store
    require_open(connection, row)
    held = held_file(connection, row)
    received = find_batch(connection, row.batch)
    decisions = decisions_of(connection, case)
    standing = in_force(store, decisions)
    check_index(connection, store, case, held)
    parts = check_actions(connection, case, standing)
    publications = publications_of(connection, row.batch, case)
    unfinished = _unfinished(case, parts, standing, publications)
    released = {
        position: standing[position]
        for position in sorted(parts)
        if position in standing
        and standing[position].action in _RELEASING
        and parts[position] == unfinished
    }
    return _View(
        row=row,
        received=received,
        envelope=kept_envelope(workspace, received),
        held=held,
        decisions=decisions,
        publications=publications,
        released=released,
        name=_name(case, released) if released else None,
        written=unfinished is not None
        and is_written(workspace, row.dataset, row.batch, unfinished),
    )


def _unfinished(
    case: str,
    parts: Mapping[int, str | None],
    standing: Mapping[int, Decision],
    publications: list[Publication],
) -> str | None:
    """The publication that was intended and never went on record; None where there is none.

    A publication's id is made of the decisions that it is of: so a row that says that it belongs
    to one does, or is found out.

    Raises:
        ChangedStateError: a row's publication is not one that these decisions made.
    """
    known = {publication.part for publication in publications}
    there = {part for part in parts.values() if part is not None}
    for part in there | known:
        of_it = {position: standing.get(position) for position in sorted(parts)
                 if parts[position] == part}  # fmt: skip
        decided = {p: d for p, d in of_it.items() if d is not None and d.action in _RELEASING}
        if len(decided) != len(of_it) or _name(case, decided) != part:
            raise ChangedStateError(
                _held.name, f"of {case}", f"{part} is not made of the records that say so"
            )
    waiting = there - known
    if len(waiting) > 1:
        problem = f"{len(waiting)} publications are on their way at once"
        raise ChangedStateError(_held.name, f"of {case}", problem)
    return next(iter(waiting), None)


def _name(case: str, released: Mapping[int, Decision]) -> str:
    """Id of a publication: of a case, of these records, by these decisions."""
    digest = hashlib.sha256(case.encode())
    for position, decision in released.items():
        digest.update(f"\n{position} {decision.id}".encode())
    return f"publication-{digest.hexdigest()[:32]}"


def _unchanged(connection: Connection, view: _View) -> None:
    """Under the writers' lock: nobody decided or published since the case was looked at.

    Raises:
        SystemFaultError: somebody did.
    """
    case = view.row.id
    require_open(connection, view.row)
    now = (
        decisions_of(connection, case),
        publications_of(connection, view.row.batch, case),
    )
    if now != (view.decisions, view.publications):
        raise SystemFaultError(
            f"{case} was decided on while it was published: look at it, then run "
            f"`lazaretto quarantine publish {case}` again"
        )


def _check(connection: Connection, workspace: Workspace, view: _View) -> None:
    """What admission asks for, by the policy in force now.

    What is in the dataset already goes on record, whatever speaks against it now.
    """
    if view.written:
        return
    dataset = view.row.dataset
    policy = policy_in_force(connection, dataset)
    if policy is None:
        raise AdmissionRefusedError(
            f"no policy is in force for dataset {dataset!r}: `lazaretto policy register FILE "
            "--reason TEXT` puts one in force",
            code="no_policy",
            dataset=dataset,
        )
    if view.row.two_people or policy.rules.review.require_two_people:
        require_two_people(view.row.id, dataset, workspace.actor, list(view.released.values()))
    require_admissible(connection, view.received, view.envelope, policy.rules)


def _mark(connection: Connection, view: _View) -> None:
    """Makes the decisions on the released records final, under the publication's id."""
    positions = list(view.released)
    for start in range(0, len(positions), _AT_ONCE):
        some = _held.c.position.in_(positions[start : start + _AT_ONCE])
        connection.execute(
            _held.update().where(_held.c.case_id == view.row.id, some).values(part=view.name)
        )


def _last(workspace: Workspace, view: _View) -> Admission | None:
    if not view.publications:
        return None
    last = view.publications[-1]
    uri = dataset_uri(workspace, last.dataset)
    batch = view.row.batch
    return Admission(batch, last.dataset, uri, last.version, last.rows, last.part, [last.seq])


def _part(workspace: Workspace, view: _View) -> Part:
    row = view.row
    schema = read_schema(workspace.store, view.held)
    delivered = pa.schema([field for field in schema if field.name not in ADDED_NAMES])
    return Part(
        batch=row.batch,
        source=row.source,
        dataset=row.dataset,
        name=str(view.name),
        rows=len(view.released),
        schema=with_added(delivered),
        chunks=lambda: _released(workspace, view, delivered),
        policy=PolicyRef(**row.policy),
        case=row.id,
    )


def _released(workspace: Workspace, view: _View, delivered: pa.Schema) -> Iterator[pa.RecordBatch]:
    row, wanted = view.row, pa.array(list(view.released), pa.int64())
    label = row.columns["label"]
    for chunk in read_chunks(workspace.store, view.held):
        rows = chunk.filter(pc.is_in(chunk.column(POSITION), wanted))
        if not rows.num_rows:
            continue
        said = [view.released[position] for position in rows.column(POSITION).to_pylist()]
        weights = [1.0 if decision.weight is None else decision.weight for decision in said]
        columns = [
            _relabelled(rows.column(field.name), [decision.label for decision in said])
            if field.name == label
            else rows.column(field.name)
            for field in delivered
        ]
        plain = pa.RecordBatch.from_arrays(columns, schema=delivered)
        ids = rows.column(RECORD)
        yield added_columns(plain, row.batch, row.source, ids, pa.array(weights, pa.float64()))


def _relabelled(labels: pa.Array, said: list[str | None]) -> pa.Array:
    if all(label is None for label in said):
        return labels
    new = [None if label is None else as_label(label, labels.type).as_py() for label in said]
    changed = pa.array([label is not None for label in said])
    return pc.if_else(changed, pa.array(new, labels.type), labels)


def _close_when_decided(connection: Connection, case: str) -> None:
    releasing = [action.value for action in _RELEASING]
    open_ = sa.exists().where(
        _held.c.case_id == case,
        _held.c.action.is_(None) | (_held.c.action.in_(releasing) & _held.c.part.is_(None)),
    )
    connection.execute(
        tables.case.update()
        .where(tables.case.c.id == case, ~open_, tables.case.c.state == "OPEN")
        .values(state="CLOSED")
    )
