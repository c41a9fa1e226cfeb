"""A version of a dataset as it is on record: by one ledger entry, or one for each of a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.dataset.state import VersionEvent
from lazaretto.errors import ChangedStateError
from lazaretto.ledger.events import BatchAdmitted, DatasetGrown, RowsLost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.ledger.chain import Entry
    from lazaretto.values import DataFile


@dataclass(frozen=True, slots=True)
class Recorded:
    """A version as it is on record.

    Attributes:
        entry: of the ledger; the last one, where several batches enter with it.
        event: what it says.
        before: the other entries of the version, in order; their batches enter with it, too.
    """

    entry: Entry
    event: VersionEvent
    before: tuple[Entry, ...] = ()

    @property
    def admitted(self) -> list[BatchAdmitted]:
        """What enters with it, in order; nothing where it is no admission."""
        said = (*(entry.event for entry in self.before), self.event)
        return [event for event in said if isinstance(event, BatchAdmitted)]

    @property
    def files(self) -> list[DataFile]:
        """Data files, or stretches of them, that it has and the version before had not."""
        return [file for event in self.admitted for file in event.files] or added_files(self.event)


@dataclass(frozen=True, slots=True)
class Grown(Recorded):
    """A version with more columns, or wider ones, as it is on record."""

    event: DatasetGrown


def as_version(dataset: str, version: int, said: Sequence[Entry]) -> Recorded:
    """A version, of all its entries in order.

    Raises:
        ChangedStateError: it has more of them than it may have, or fewer.
    """
    events = [entry.event for entry in said]
    last = events[-1]
    assert isinstance(last, VersionEvent)  # noqa: S101  what was asked for
    if isinstance(last, BatchAdmitted):
        places = [
            (event.dataset, event.version, event.place, event.together)
            for event in events
            if isinstance(event, BatchAdmitted)
        ]
        count = last.together
        whole = places == [(dataset, version, place + 1, count) for place in range(count)]
    else:
        whole = len(events) == 1
    if not whole or said[-1].seq - said[0].seq != len(said) - 1:
        problem = f"the entries of version {version} are not those of one version"
        raise ChangedStateError("dataset", dataset, problem)
    return Recorded(said[-1], last, tuple(said[:-1]))


def added_files(event: VersionEvent) -> list[DataFile]:
    """Data files that a version has and the one before had not."""
    return [] if isinstance(event, RowsLost) else event.files


def removed_files(event: VersionEvent) -> list[str]:
    """Paths of the data files that a version has no longer and the one before had."""
    return [] if isinstance(event, BatchAdmitted) else event.removed
