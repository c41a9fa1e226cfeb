"""What a read finds when it takes place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixed import names
from mixed.facts import Batch, Seen, chosen
from mixed.names import OUTSIDE_VERSION
from mixed.steps import BARE

if TYPE_CHECKING:
    from collections.abc import Callable

    from mixed.facts import World
    from mixed.steps import Read


def find(world: World, read: Read) -> Seen | None:
    """What a read finds; None: there is nothing yet."""
    return _FIND[read.thing.partition(":")[0]](world, read)


def _ours(world: World, read: Read) -> Seen | None:
    versions = sorted(world.versions)
    if not versions:
        return None
    version = versions[-1] if read.how != "old" else chosen(versions, read.pick)
    return Seen(read, (f"ours@{version}",), None if read.how == "bare" else str(version))


def _export(world: World, read: Read) -> Seen | None:
    state = world.exports.get(read.thing)
    return None if state is None else Seen(read, (state,), None)


def _outside(world: World, read: Read) -> Seen:
    return Seen(read, (), None if read.how == "bare" else OUTSIDE_VERSION[read.thing])


def _batch(world: World, read: Read) -> Seen | None:
    source = read.thing.partition(":")[2]
    batches = [batch.id for batch in world.batches.values() if batch.source == source]
    if not batches:
        return None
    if read.how == "bare":
        return Seen(read, tuple(batches), None)
    batch = chosen(batches, read.pick)
    return Seen(read, (batch,), batch)


def _partner(world: World, read: Read) -> Seen:
    """Somebody else's gate has two batches, which are there from the start."""
    batch = f"partner/{chosen([1, 2], read.pick):032x}"
    world.batches.setdefault(batch, Batch(batch, "partner", 0.0, ours=False))
    world.parents.setdefault(batch, {})
    return Seen(read, (batch,), batch)


def _model(world: World, read: Read) -> Seen | None:
    key = names.registry_of(read.thing)
    known = [(version, state) for (*of, version), state in world.models.items() if (*of,) == key]
    if not known:
        return None
    version, state = known[-1] if read.how != "old" else chosen(known, read.pick)
    return Seen(read, (state,), None if read.how == "bare" else version)


def _table(world: World, read: Read) -> Seen | None:
    table = world.tables.get(read.thing)
    if table is None or not table.parts or read.part not in {None, *table.parts}:
        return None
    if read.part is not None:
        return Seen(read, (table.parts[read.part],), None)
    if table.mode == BARE or read.how == "bare":
        return Seen(read, tuple(table.parts.values()), None)
    version, state = table.versions[-1] if read.how != "old" else chosen(table.versions, read.pick)
    return Seen(read, (state,), version)


_FIND: dict[str, Callable[[World, Read], Seen | None]] = {
    "table": _table,
    "ours": _ours,
    "export": _export,
    "outside": _outside,
    "batch": _batch,
    "partner": _partner,
    "model": _model,
}
