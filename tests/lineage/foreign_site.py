"""A site whose gate admits deliveries, while other tools report what they make of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import foreign_events
from foreign_events import REGISTRY
from ledger_history import History

from lazaretto import lineage

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.lineage import Ingested, Trace
    from lazaretto.storage.workspace import Workspace


class Said(NamedTuple):
    """What an answer says of models: those that are affected, those that may be; all there is."""

    affected: list[str]
    unknown: list[str] = []  # noqa: RUF012  a named tuple's default is not shared: it is not changed
    complete: bool = True


def said(trace: Trace) -> Said:
    """What an answer says of models."""
    unknown = sorted(each.id for each in trace.unknown)
    return Said(sorted(trace.model_ids), unknown, trace.complete)


def may_be(*unknown: str, affected: tuple[str, ...] = ()) -> Said:
    """What an answer says that does not know of some models."""
    return Said(sorted(affected), sorted(unknown), complete=False)


@dataclass
class Site:
    """A gate with an admitted dataset, whose versions are 1, 2, …, one for each delivery."""

    workspace: Workspace
    folder: Path
    history: History = field(init=False)
    batches: dict[str, str] = field(default_factory=dict)
    files: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.history = History(self.workspace)

    def deliver(self, source: str = "vendor", **options: Any) -> int:
        """Receives and admits a batch; the version that it entered with."""
        self.batches[source] = self.history.receive(source, **options)
        return self.history.admit(self.batches[source])

    def receive(self, source: str) -> None:
        """Receives a batch, and leaves it at that."""
        self.batches[source] = self.history.receive(source)

    def recall(self, source: str) -> int:
        """Takes a batch back; the version without it."""
        return self.history.recall({self.batches[source]: 90})

    def table(self, version: object = None, **facets: Any) -> dict[str, Any]:
        """The admitted table, as an event names it."""
        return foreign_events.dataset(self.history.dataset_uri, version, "file", **facets)

    def batch(self, source: str) -> dict[str, Any]:
        """A batch in the store, as an event names it."""
        place = f"{self.workspace.store.root}/batches/{source}"
        return foreign_events.dataset(place, self.batches[source], "file")

    def feed(self, *events: object) -> Ingested:
        """Takes events as one file."""
        path = self.folder / f"events-{next(self.files)}.jsonl"
        return lineage.ingest(self.workspace, foreign_events.write_lines(path, *events))

    def source(self, source: str = "vendor") -> Said:
        """What is said of a source."""
        return said(lineage.trace_source(self.workspace, source))

    def model(self, name: str) -> Trace:
        """What a model version was made of."""
        model, _, version = name.partition("@")
        return lineage.trace_model(self.workspace, model, version, registry=REGISTRY)
