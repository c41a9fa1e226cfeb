"""What we do in a history: receive, admit, recall, freeze, export, register, vouch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixed import names
from mixed.facts import MEASURES, ROWS, Batch, chosen
from mixed.reading import find
from mixed.steps import Admit, Alias, Declare, Export, Recall, Receive, Register, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from mixed.facts import World
    from mixed.steps import Step


def act(world: World, step: Step) -> None:
    """Does what a step of ours says, and puts it on record."""
    _ACT[type(step)](world, step)


def _receive(world: World, step: Receive) -> None:
    number = sum(batch.ours for batch in world.batches.values()) + 1
    batch = f"{step.source}/{number:016x}"
    world.batches[batch] = Batch(batch, step.source, step.at, ours=True)
    world.parents[batch] = {}
    world.record(step.at, "receive", source=step.source)


def _admit(world: World, step: Admit) -> None:
    waiting = [b.id for b in world.batches.values() if b.ours and b.id not in world.admitted]
    if waiting:
        batch = chosen(waiting, step.pick)
        world.admitted[batch] = ROWS
        world.record(step.at, "admit", batch=batch)
        _new_version(world)


def _recall(world: World, step: Recall) -> None:
    if there := [batch for batch, rows in world.admitted.items() if rows]:
        batch = chosen(there, step.pick)
        rows = world.admitted[batch] if step.everything else 1
        world.admitted[batch] -= rows
        world.record(step.at, "recall", batch=batch, rows=rows)
        _new_version(world)


def _new_version(world: World) -> None:
    version = len(world.versions) + 1
    there = {batch: rows for batch, rows in world.admitted.items() if rows}
    world.versions[version] = there
    world.state(f"ours@{version}", there)


def _snapshot(world: World, step: Snapshot) -> None:
    if world.versions:
        version = chosen(sorted(world.versions, reverse=True), step.pick)
        if version not in world.snapshots:
            world.snapshots[version] = world.versions[version]
            members = world.versions[version]
            world.record(step.at, "snapshot", version=version, members=members)


def _export(world: World, step: Export) -> None:
    if world.versions:
        version = chosen(sorted(world.versions, reverse=True), step.pick)
        world.exports[step.file] = world.state(f"{step.file}#{step.at}", {f"ours@{version}"})
        world.record(step.at, "export", version=version, uri=names.EXPORTS[step.file])


def _register(world: World, step: Register) -> None:
    registry, name = names.registry_of(step.model)
    known = [key for key in world.models if key[:2] == (registry, name)]
    snapshot = None
    if step.pick >= 0 and world.snapshots:
        snapshot = chosen(sorted(world.snapshots), step.pick)
    found = [seen for read in step.inputs if (seen := find(world, read)) and seen.version]
    found = [seen for seen in found if seen.read.thing != step.model]
    if snapshot is None and not found:
        return
    version = known[-1][2] if step.existing and known else str(len(known) + 1)
    state = world.models.setdefault((registry, name, version), f"{step.model}@{version}")
    measured = world.measured.setdefault(state, set())
    world.hold(state, () if snapshot is None else (f"ours@{snapshot}",))
    for seen in found:
        if seen.read.role in MEASURES:
            measured.update(seen.states)
        else:
            world.hold(state, seen.states)
    values = {"model": name, "version": version, "registry": registry, "snapshot": snapshot}
    world.record(step.at, "register", **values, inputs=found)


def _declare(world: World, step: Declare) -> None:
    world.declared.add(step.thing)
    name = names.spellings(step.thing)[0]
    world.record(step.at, "declare", namespace=name.namespace, name=name.name)


def _alias(world: World, step: Alias) -> None:
    one, *_, other = names.spellings(step.thing)
    world.aliased.add(step.thing)
    world.record(step.at, "alias", one=one, other=other)


_ACT: dict[type[Step], Callable[[World, Any], None]] = {
    Receive: _receive,
    Admit: _admit,
    Recall: _recall,
    Snapshot: _snapshot,
    Export: _export,
    Register: _register,
    Declare: _declare,
    Alias: _alias,
}
