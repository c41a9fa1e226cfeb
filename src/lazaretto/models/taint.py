"""What speaks against a model version's data: open incidents, recalls, origins nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.dataset.history import read_recall
from lazaretto.dataset.views import version_of
from lazaretto.errors import NotFoundError
from lazaretto.incidents.question import MODEL, in_words
from lazaretto.incidents.recorded import OPEN, list_incidents
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import TrainingSanitized
from lazaretto.lineage import ask, trace_model
from lazaretto.lineage.trace.recalled import recalled_by_way
from lazaretto.names import registry_name
from lazaretto.storage import tables
from lazaretto.text import cut, excerpt
from lazaretto.values import RefusedFor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.authority.model_rules import Ancestry, RulesOfDataset
    from lazaretto.dataset.models import ModelKey
    from lazaretto.incidents.recorded import Incident
    from lazaretto.ledger.events import RecordsRecalled
    from lazaretto.lineage import Trace
    from lazaretto.storage.workspace import Workspace

_PAGE = 200
_FEW = 3
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Doubt:
    """An incident that nobody concluded, and what the records say to it now.

    Attributes:
        incident: as it is on record.
        trace: the answer to its question now; None: it cannot be asked.
        problem: why it cannot be asked.
    """

    incident: Incident
    trace: Trace | None
    problem: str = ""

    @property
    def named(self) -> str:
        """The incident in a message, with what it asks."""
        return f"incident {self.incident.id} ({in_words(self.incident.question)}) is open"


@dataclass(frozen=True, slots=True)
class Doubts:
    """All that models of a workspace are doubted for, as of now.

    Attributes:
        incidents: those that nobody concluded.
        by_way: models that recalled records may have reached by way of other tools.
    """

    incidents: list[Doubt]
    by_way: frozenset[tuple[str, str, str]]


def read_doubts(workspace: Workspace) -> Doubts:
    """Asks every incident that nobody concluded again, and follows all recalls.

    Raises:
        LedgerError: the ledger does not hold; then nothing is answered.
    """
    found = [_asked(workspace, one) for one in _unsettled(workspace)]
    return Doubts(found, recalled_by_way(workspace))


def against(
    workspace: Workspace, key: ModelKey, doubts: Doubts
) -> tuple[list[RefusedFor], list[RefusedFor], Trace]:
    """What speaks against a model version's data.

    Args:
        workspace: catalog and store.
        key: which one.
        doubts: from `read_doubts`.

    Returns:
        What speaks against it; what is not known of its origin, which a policy may allow; and the
        trace of the model.
    """
    trace = trace_model(workspace, key.model, key.version, registry=key.registry)
    found = [reason for doubt in doubts.incidents for reason in _by_incident(doubt, key, trace)]
    whole = trace.completeness
    if whole.lag or whole.index_changed:
        text = "the lineage index is not what the ledger says: `lazaretto catalog rebuild` mends it"
        found.append(RefusedFor("cannot_say", text))
    gaps = [*whole.origins]
    gaps += [f"it may have learned from batch {one}" for one in whole.possible_batches]
    gaps += [f"{one.id}: {one.why[0]}" for one in trace.unknown]
    if not trace.complete and not gaps and not found:
        gaps.append("what it was made of is not all on record")
    if not trace.batches and not trace.models:
        gaps.append("nothing that it learned from is on record")
    unknown = [
        RefusedFor("unknown_origin", f"not all that it learned from is known: {cut(gap, _LONGEST)}")
        for gap in gaps[:_FEW]
    ]
    return found, unknown, trace


def recalled(connection: Connection, made_of: Ancestry, doubts: Doubts) -> Iterator[RefusedFor]:
    """Recalls of records that a model version, or one that it was made of, learned from."""
    asked = made_of.models[0]
    told = False
    for model in made_of.models:
        by = "it" if model is asked else f"{model.key.name}, which it was made of,"
        for recall in model.recalls:
            told = True
            yield RefusedFor("recalled", f"{by} learned from {_recall(connection, recall)}")
    key = asked.key
    if not told and (registry_name(key.registry), key.model, key.version) in doubts.by_way:
        text = "it may have learned from recalled records, by way of tables or models of others"
        yield RefusedFor("recalled", f"{text}: `lazaretto trace model {key.name}` shows how")


def unsanitized(
    connection: Connection, made_of: Ancestry, rules: list[RulesOfDataset]
) -> Iterator[RefusedFor]:
    """Snapshots that nobody sanitized, of datasets whose policy asks for it."""
    asked = {one.dataset for one in rules if one.rules.sanitized}
    snapshots = [one for one in made_of.snapshots() if one[0] in asked]
    if not snapshots:
        return
    done = {
        (entry.event.dataset, entry.event.version)
        for entry in entries(connection, kinds=[TrainingSanitized.kind])
        if isinstance(entry.event, TrainingSanitized)
    }
    for dataset, version in snapshots:
        if (dataset, version_of(version)) not in done:
            text = f"snapshot {dataset}@{version} was not sanitized (`lazaretto dataset sanitize`)"
            yield RefusedFor("unsanitized", text)


def _unsettled(workspace: Workspace) -> Iterator[Incident]:
    after: str | None = None
    while True:
        page = list_incidents(workspace, after=after, limit=_PAGE)
        yield from (one for one in page if one.state == OPEN or not one.settled)
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _asked(workspace: Workspace, incident: Incident) -> Doubt:
    try:
        return Doubt(incident, ask(workspace, incident.question))
    except NotFoundError as error:
        return Doubt(incident, None, str(error))


def _by_incident(doubt: Doubt, key: ModelKey, made_of: Trace) -> Iterator[RefusedFor]:
    question, trace = doubt.incident.question, doubt.trace
    if question.kind == MODEL:
        all_ = [(one.registry, f"{one.name}@{one.version}") for one in made_of.models]
        its = {(registry_name(of), name) for of, name in [*all_, (key.registry, key.name)]}
        where = None if question.registry is None else registry_name(question.registry)
        if any(name == question.subject and where in (None, of) for of, name in its):
            yield RefusedFor("open_incident", f"{doubt.named}, and this version is of it")
        return
    if trace is None:
        text = f"{doubt.named}, and what it reached cannot be asked: {doubt.problem}"
        yield RefusedFor("cannot_say", text)
        return
    whole = trace.completeness
    if any(_is(one, key) for one in trace.models):
        shared = sorted({*trace.batch_ids} & {*made_of.batch_ids})
        what = f"{len(shared)} batch{'es' * (len(shared) != 1)} in question"
        named = f": {_few(shared)}" if shared else ""
        yield RefusedFor("open_incident", f"{doubt.named}: it learned from {what}{named}")
    elif any(_is(one, key) for one in trace.unknown):
        yield RefusedFor("maybe_affected", f"{doubt.named}, and this version may be affected")
    elif whole.lag or whole.index_changed or whole.unchecked_snapshots:
        yield RefusedFor("cannot_say", f"{doubt.named}, and what it reached cannot all be said")
    elif unplaced := sorted({*whole.unplaced} & {*made_of.batch_ids}):
        text = f"{doubt.named}, and batches that do not say when they were collected may be of it"
        yield RefusedFor("maybe_affected", f"{text}: {_few(unplaced)}")


def _is(model: object, key: ModelKey) -> bool:
    named = (getattr(model, name) for name in ("registry", "name", "version"))
    registry, *rest = (str(text) for text in named)
    return (registry_name(registry), *rest) == (registry_name(key.registry), *key[1:])


def _recall(connection: Connection, recall: str) -> str:
    """A recall in words, with whom it was of."""
    query = sa.select(tables.recall).where(tables.recall.c.id == recall)
    row = connection.execute(query).one_or_none()
    if row is None:
        return f"records that recall {recall} took back"
    event: RecordsRecalled = read_recall(connection, row)[1]
    sources = sorted({one.batch.rpartition("/")[0] for one in event.members})
    whose = f" of {_few(sources)}" if sources else ""
    why = excerpt(event.reason, 120)
    return f"records{whose} that were recalled from {event.dataset!r} ({recall}: {why})"


def _few(names: list[str]) -> str:
    more = len(names) - _FEW
    shown = ", ".join(names[:_FEW])
    return f"{shown} and {more:,} more" if more > 0 else shown
