"""Model versions on record: by which name one is meant, and all that its entries say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from lazaretto.dataset.state import artifact_columns, input_columns, model_columns, model_key
from lazaretto.errors import ChangedStateError, NotFoundError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import ModelRegistered, RecordsRecalled
from lazaretto.names import registry_name
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.values import ModelInput

_model = tables.model_version
_key = (_model.c.registry, _model.c.model, _model.c.version)


class ModelKey(NamedTuple):
    """What makes a model version the one that it is."""

    registry: str
    model: str
    version: str

    @property
    def name(self) -> str:
        """``name@version``, which another registry may have as well."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model version with everything that its entries say together.

    Attributes:
        key: which one it is.
        seqs: ledger entries, the first one first.
        first: what the first of them says.
        newest: what the last of them says.
        inputs: all that it learned from, each once, in the order of the entries.
        recalls: recalls of records that it learned from.
        ignored_weights: snapshots whose weights the training did not read, as it said itself.
    """

    key: ModelKey
    seqs: list[int]
    first: ModelRegistered
    newest: ModelRegistered
    inputs: list[ModelInput]
    recalls: list[str]
    ignored_weights: list[str]


def find_model(connection: Connection, key: ModelKey) -> KnownModel | None:
    """A model version that is on record; None where it is not.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    query = sa.select(_model).where(*(c == v for c, v in zip(_key, key, strict=True)))
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    entry, first = event_of(connection, _model.name, key.name, row, ModelRegistered)
    found = list(_entries(connection, key, entry))
    newest = found[-1][1]
    agree(_model.name, key.name, row, model_columns(first) | artifact_columns(newest))
    inputs: dict[str, ModelInput] = {}
    for _, event in found:
        for learned in event.learned_from:
            inputs.setdefault(learned.key, learned)
    _inputs_agree(connection, key, inputs)
    recalls = {recall for _, event in found for recall in event.recalls}
    recalls |= set(_later(connection, key, entry.seq))
    seqs = [seq for seq, _ in found]
    ignored = sorted({name for _, event in found for name in event.ignored_weights})
    return KnownModel(key, seqs, first, newest, list(inputs.values()), sorted(recalls), ignored)


def named_model(
    connection: Connection, model: str, version: str, registry: str | None = None
) -> ModelKey:
    """The model version that a name means.

    Args:
        connection: of the catalog.
        model: its name.
        version: its version.
        registry: of which it is; None: of the only one that has it.

    Raises:
        NotFoundError: there is none; the message names the versions that there are.
        UsageError: more than one registry has it; the message names them.
    """
    query = sa.select(*_key).where(_model.c.model == model).order_by(_model.c.seq.desc())
    exact = query.where(_model.c.version == version)
    if registry is not None:
        exact = exact.where(_model.c.registry == registry_name(registry))
    found = [ModelKey(*row) for row in connection.execute(exact.limit(20))]
    if not found:
        others = [ModelKey(*row) for row in connection.execute(query.limit(20))]
        there = [f"{key.registry} {key.name}" for key in others]
        raise NotFoundError(
            f"no model version {model}@{version} is registered; "
            f"there is: {', '.join(there) or 'none of that name'}"
        )
    if len(found) > 1:
        places = ", ".join(key.registry for key in found)
        raise UsageError(f"{model}@{version} is in more than one registry: name one of {places}")
    return found[0]


def labels(connection: Connection, keys: Iterable[ModelKey]) -> list[str]:
    """Model versions as they are shown, in order: with the registry where two have the same name.

    Args:
        connection: of the catalog.
        keys: the model versions.
    """
    shown = []
    for key in sorted(set(keys)):
        mine = (_model.c.model == key.model) & (_model.c.version == key.version)
        others = connection.scalar(sa.select(sa.func.count()).select_from(_model).where(mine))
        shown.append(key.name if (others or 0) < 2 else f"{key.registry}/{key.name}")
    return sorted(shown)


def recalled_models(connection: Connection, event: RecordsRecalled) -> list[ModelKey]:
    """The model versions that a recall names.

    Older entries name no registry, and mean the first that had a model of that name and version.
    """
    found = []
    for number, name in enumerate(event.models):
        model, _, version = name.rpartition("@")
        registry: str | None = None
        if number < len(event.registries):
            registry = registry_name(event.registries[number])
        else:
            registry = _first_registry(connection, model, version)
        if registry is not None:
            found.append(ModelKey(registry, model, version))
    return found


def _first_registry(connection: Connection, model: str, version: str) -> str | None:
    named = (_model.c.model == model) & (_model.c.version == version)
    query = sa.select(_model.c.registry).where(named).order_by(_model.c.seq).limit(1)
    return connection.scalar(query)


def _later(connection: Connection, key: ModelKey, after: int) -> Iterator[str]:
    """Recalls behind the entry that registered a model, of records that it had learned from."""
    for found in entries(connection, kinds=[RecordsRecalled.kind], after=after):
        event = found.event
        if (
            isinstance(event, RecordsRecalled)
            and key.name in event.models
            and key in recalled_models(connection, event)
        ):
            yield event.recall


def _entries(
    connection: Connection, key: ModelKey, first: Entry
) -> Iterator[tuple[int, ModelRegistered]]:
    """What was put on record of a model version, from its first entry on."""
    subject, kinds = f"model:{key.model}", [ModelRegistered.kind]
    for found in entries(connection, kinds=kinds, subject=subject, after=first.seq - 1):
        event = found.event
        if isinstance(event, ModelRegistered) and key == ModelKey(**model_key(event)):
            yield found.seq, event


def _inputs_agree(connection: Connection, key: ModelKey, inputs: dict[str, ModelInput]) -> None:
    table = tables.model_input
    mine = [table.c[name] == value for name, value in key._asdict().items()]
    rows = {row.input: row for row in connection.execute(sa.select(table).where(*mine))}
    if rows.keys() != inputs.keys():
        problem = f"it names {len(rows)} inputs, the ledger {len(inputs)}, or others"
        raise ChangedStateError(table.name, key.name, problem)
    for digest, learned in inputs.items():
        agree(table.name, key.name, rows[digest], input_columns(learned))
