"""The intent to publish: which records of a case are on their way, under the publication's id."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from lazaretto.errors import ChangedStateError, SystemFaultError
from lazaretto.quarantine.released import RELEASING
from lazaretto.quarantine.standing import publications_of
from lazaretto.storage import tables
from lazaretto.storage.bulk import among

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection

    from lazaretto.quarantine.in_force import Standing
    from lazaretto.quarantine.standing import Publication

_held = tables.held_record


def publication_id(case: str, released: Iterable[tuple[int, str]]) -> str:
    """Id of a publication, which proves what it is of.

    Args:
        case: whose records.
        released: position of each record and the id of the decision in force on it, in order of
            position.
    """
    digest = hashlib.sha256(case.encode())
    for position, decision in released:
        digest.update(f"\n{position} {decision}".encode())
    return f"publication-{digest.hexdigest()[:32]}"


def unpublished(standing: Standing, parts: Mapping[str, NDArray[np.int64]]) -> Standing:
    """The released records of a case that are neither published nor on their way.

    Args:
        standing: the decisions in force on its records.
        parts: the positions of each publication's records, by its id.
    """
    published = np.concatenate([*parts.values(), np.empty(0, np.int64)])
    return standing.by(RELEASING).without(published)


def unfinished_publication(
    case: str,
    parts: Mapping[str, NDArray[np.int64]],
    standing: Standing,
    publications: list[Publication],
    lost: set[str],
) -> str | None:
    """The publication that was intended and never went on record, or whose records are lost since.

    None where there is none.

    A publication's id is made of the decisions that it is of: so a row that says that it belongs
    to one does, or is found out.

    Raises:
        ChangedStateError: a row's publication is not one that these decisions made.
    """
    known = {publication.part for publication in publications}
    released = standing.by(RELEASING)
    for part in parts.keys() | known:
        of_it = parts.get(part, np.empty(0, np.int64))
        decided = released.among(of_it)
        if len(decided) != len(of_it) or publication_id(case, decided.pairs()) != part:
            raise ChangedStateError(
                _held.name, f"of {case}", f"{part} is not made of the records that say so"
            )
    waiting = parts.keys() - known
    if len(waiting) > 1:
        problem = f"{len(waiting)} publications are on their way at once"
        raise ChangedStateError(_held.name, f"of {case}", problem)
    return next(iter(waiting), min(lost, default=None))


def begin(connection: Connection, case: str, name: str, released: Standing) -> None:
    """Makes the decisions on the released records final, under the publication's id.

    Raises:
        ChangedStateError: not all of their rows are there.
    """
    rows = among(connection, _held.c.position, released.positions.tolist())
    of_them = _held.update().where(_held.c.case_id == case, rows)
    marked = connection.execute(of_them.values(part=name)).rowcount
    if marked != len(released):
        problem = f"{marked} of the {len(released)} rows to publish are there"
        raise ChangedStateError(_held.name, f"of {case}", problem)


def require_begun(connection: Connection, case: str, name: str, records: int) -> None:
    """Under the writers' lock: nobody gave a publication up since it was begun.

    Raises:
        SystemFaultError: somebody did.
    """
    query = sa.select(sa.func.count()).select_from(_held).where(*_of(case, name))
    if connection.scalar(query) != records:
        raise SystemFaultError(
            f"{name} was refused to somebody else meanwhile: look at the case, then run "
            f"`lazaretto quarantine publish {case}` again"
        )


def give_up(connection: Connection, batch: str, case: str, name: str) -> None:
    """Ends what was begun and may not go on record, so that reviewers can decide anew."""
    known = publications_of(connection, batch, case)
    if name not in {publication.part for publication in known}:
        connection.execute(_held.update().where(*_of(case, name)).values(part=None))


def _of(case: str, name: str) -> list[sa.ColumnElement[bool]]:
    return [_held.c.case_id == case, _held.c.part == name]
