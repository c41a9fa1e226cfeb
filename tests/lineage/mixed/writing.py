"""What a job's writes make when they take place."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mixed import names
from mixed.facts import MEASURES, Made, Table
from mixed.steps import BARE, COUNTING

if TYPE_CHECKING:
    from mixed.facts import Run, World
    from mixed.steps import Write


def write_all(world: World, run: Run, at: float) -> None:
    """A job writes what it has read by now."""
    if run.cancelled or (run.job.fate == "fail" and not run.job.wrote):
        return
    weigh = [s for s in run.seen if s.read.role not in MEASURES and run.job.purpose != "EVAL"]
    measured = {state for seen in run.seen if seen not in weigh for state in seen.states}
    parents = {state for seen in weigh for state in seen.states}
    for write in run.job.writes:
        if names.is_model(write.thing):
            made = _write_model(world, run, write, parents, measured, at)
        else:
            made = _write_table(world, run, write, parents | measured, at)
        if made is not None:
            run.made.append(made)
    if not run.made:
        run.cancelled = True


def _write_model(
    world: World, run: Run, write: Write, parents: set[str], measured: set[str], at: float
) -> Made:
    registry, name = names.registry_of(write.thing)
    known = [made for made in run.made if made.write is write]
    count = _versions_of(world, registry, name)
    again = write.again and run.job.purpose == "EVAL" and count > 0
    version = known[0].version if known else str(count if again else count + 1)
    assert version is not None
    state = world.models.setdefault((registry, name, version), f"{write.thing}@{version}")
    world.hold(state, parents, run.job.key)
    world.measured.setdefault(state, set()).update(measured)
    return Made(write, state, version, at)


def _versions_of(world: World, registry: str, name: str) -> int:
    return sum((r, n) == (registry, name) for r, n, _ in world.models)


def _write_table(world: World, run: Run, write: Write, parents: set[str], at: float) -> Made | None:
    table = world.tables.setdefault(write.thing, Table(world.story.modes[write.thing]))
    part = write.part or ""
    before = table.parts.get(part)
    if write.change == "DROP":
        if not table.parts:
            return None
        table.parts.clear()
        return Made(write, None, None, at)
    carried: set[str] = set()
    if write.change == "RENAME":
        old = world.tables.get(write.before or "")
        if old is None or "" not in old.parts or table.parts:
            return None
        carried = {old.parts.pop("")}
    elif write.change == "TRUNCATE" and not parents and before is None:
        return None
    elif write.change is None or (write.change == "CREATE" and not write.replaces):
        carried = {before} if before else set()
    if write.change == "CREATE" and (table.versions or table.parts):
        world.mixed.add("a table is created that was there before")
    # Commits are serial: what a run replaces or adds to is what is there when it commits.
    state = world.state(f"{write.thing}/{part}#{run.job.key}", carried)
    world.hold(state, parents, run.job.key)
    table.parts[part] = state
    version = _next_version(world, table, state)
    if version is not None:
        table.versions.append((version, state))
    return Made(write, state, version, at)


def _next_version(world: World, table: Table, state: str) -> str | None:
    if table.mode == BARE:
        return None
    table.count += 1
    if table.mode == COUNTING:
        return str(table.count + world.story.first - 1)
    digest = hashlib.sha256(state.encode()).hexdigest()
    return str(10**17 + int(digest[:12], 16)) if digest[12] < "8" else f"c{digest[:11]}"
