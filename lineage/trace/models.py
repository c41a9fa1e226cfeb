"""Turns the model versions that a walk reached into those of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import GAPS, WORDS, Basis, Why
from lazaretto.lineage.trace.answer import TracedModel, UnknownModel
from lazaretto.lineage.trace.describe import describe
from lazaretto.lineage.trace.holdings import MODEL
from lazaretto.lineage.trace.inherited import students
from lazaretto.lineage.trace.paths import chains, reverse, shown
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import lineage_link, lineage_run, lineage_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lazaretto.lineage.trace.describe import Described
    from lazaretto.lineage.trace.paths import Chain
    from lazaretto.lineage.trace.walk import Reached

EVAL = "EVAL"
MOST_REASONS = 3


def models_of(
    reached: Reached, described: Mapping[int, Described], *, paths: int
) -> list[TracedModel]:
    """Model versions that batches surely reached, in order of registration.

    Args:
        reached: of `downstream`.
        described: what was surely reached.
        paths: how many per model.
    """
    models = ordered(described.values())
    ways = {m.vertex: chains(reached.steps, m.vertex, reached.start, paths) for m in models}
    return _traced(reached, models, ways)


def made_of(
    reached: Reached, described: Mapping[int, Described], used: Mapping[int, int], *, paths: int
) -> list[TracedModel]:
    """The model that was asked for, and those that it was made of, in order of registration.

    Args:
        reached: of `upstream`.
        described: what was surely reached.
        used: records of each batch, by vertex.
        paths: how many to the model that was asked for, from the batches with the most records.
    """
    batches = sorted(used, key=lambda vertex: (-used[vertex], vertex))[:paths]
    found = [chains(reached.steps, batch, reached.start, 1) for batch in batches]
    back = [reverse(chain) for chain in (each[0] for each in found if each)]
    models = ordered(described.values())
    return _traced(
        reached, models, {m.vertex: back if m.vertex in reached.start else [] for m in models}
    )


def evaluated(reached: Reached) -> list[TracedModel]:
    """Model versions that were only measured with what was reached."""
    models = ordered(describe(reached.world, reached.evaluated).values())
    return [_model(model, [EVAL], inherited=False, tainted=None) for model in models]


def unknown_of(reached: Reached) -> list[UnknownModel]:
    """What may be affected, with the reasons why that is not known."""
    models = ordered(describe(reached.world, reached.possible).values())
    starts = reached.sure | reached.holes.keys()
    ways = {m.vertex: chains(reached.steps, m.vertex, starts, MOST_REASONS) for m in models}
    names = describe(reached.world, _between(ways.values()))
    found = []
    for model in models:
        chained = ways[model.vertex]
        why = dict.fromkeys(_why(reached, chain, names) for chain in chained)
        told = [shown(chain, names) for chain in chained]
        paths, bases = [labels for labels, _ in told], [each for _, each in told]
        found.append(_unknown(model, list(why), paths, bases))
    runs = describe(reached.world, {hole.node for hole in reached.open_runs})
    found += [
        _unknown(runs[hole.node], [GAPS[hole.kind]])
        for hole in reached.open_runs
        if hole.node in runs
    ]
    return found


def origins_of(reached: Reached) -> list[str]:
    """What a model was made of and nobody told the origin of, in words."""
    names = describe(reached.world, reached.holes)
    return sorted(
        f"{names[node].label}: {GAPS[hole.kind]}"
        for node, hole in reached.holes.items()
        if node in names
    )


def ordered(described: Iterable[Described]) -> list[Described]:
    """The models among what was reached, in order of registration."""
    models = [what for what in described if what.kind == MODEL]
    return sorted(models, key=lambda m: (m.at.timestamp() if m.at else 0.0, m.namespace, m.label))


def _traced(
    reached: Reached, models: Sequence[Described], ways: Mapping[int, list[Chain]]
) -> list[TracedModel]:
    names = describe(reached.world, _between(ways.values()))
    roles = _roles(reached, [model.vertex for model in models])
    taught = students(reached, roles)
    found = []
    for model in models:
        direct, tainted = roles[model.vertex]
        direct = direct & {EVAL} if model.vertex in taught else direct
        told = [shown(chain, names) for chain in ways[model.vertex]]
        found.append(
            _model(
                model,
                sorted(direct),
                inherited=not direct - {EVAL},
                tainted=tainted,
                paths=[labels for labels, _ in told],
                bases=[bases for _, bases in told],
            )
        )
    return found


def _model(
    what: Described,
    roles: list[str],
    *,
    inherited: bool,
    tainted: int | None,
    paths: list[list[str]] | None = None,
    bases: list[list[str]] | None = None,
) -> TracedModel:
    return TracedModel(
        id=what.label,
        registry=what.namespace,
        name=what.name,
        version=what.version,
        registered_at=what.at,
        roles=roles,
        inherited=inherited,
        rows=what.rows,
        tainted_rows=tainted,
        paths=paths or [],
        bases=bases or [],
        external=not what.ours,
    )


def _roles(reached: Reached, models: Sequence[int]) -> dict[int, tuple[set[str], int | None]]:
    """How each model used data that was reached, and how many records of it are in question."""
    world = reached.world
    found: dict[int, tuple[set[str], int | None]] = {}
    claimed = _claimed_roles(reached, models)
    for vertex in models:
        roles, counts = set(claimed.get(vertex, ())), list[int]()
        row = world.node(vertex)
        for use in world.told.origins.get(row.id, ()) if row is not None else ():
            count = world.told.count(reached.held, use.snapshot)
            if count or -use.snapshot in reached.sure:
                roles.add(use.role)
                counts.append(count)
        known = bool(counts) and not claimed.get(vertex)
        found[vertex] = roles, sum(counts) if known else None
    return found


def _claimed_roles(reached: Reached, models: Sequence[int]) -> dict[int, set[str]]:
    """Purposes of the runs of others that made models of data that was reached."""
    link, run, version = lineage_link.c, lineage_run.c, lineage_version.c
    catalog = reached.world.catalog
    query = sa.select(link.src, link.dst).where(
        among(catalog, link.dst, models), link.basis <= int(Basis.INFERRED)
    )
    made = [(src, dst) for src, dst in catalog.execute(query) if src % 2 and src in reached.sure]
    runs = sorted({src for src, _ in made})
    query = sa.select(link.src, link.dst).where(
        among(catalog, link.dst, runs), link.basis <= int(Basis.INFERRED)
    )
    read = [(src, dst) for src, dst in catalog.execute(query) if src in reached.sure]
    ids = sorted({src // 2 for src, _ in read if not src % 2})
    kinds = sa.select(version.id, version.kinds).where(among(catalog, version.id, ids))
    of_models = {2 * row.id for row in catalog.execute(kinds) if row.kinds & 4}
    direct = {dst for src, dst in read if src not in of_models}
    purposes = sa.select(run.id, run.purpose).where(among(catalog, run.id, [r // 2 for r in runs]))
    purpose = {2 * row.id + 1: row.purpose for row in catalog.execute(purposes)}
    found: dict[int, set[str]] = {}
    for src, dst in made:
        if src in direct:
            found.setdefault(dst, set()).add(purpose[src])
    return found


def _unknown(
    what: Described,
    why: list[str],
    paths: list[list[str]] | None = None,
    bases: list[list[str]] | None = None,
) -> UnknownModel:
    return UnknownModel(
        id=what.label,
        registry=what.namespace,
        name=what.name,
        version=what.version,
        why=why[:MOST_REASONS] or ["how it was made is not known"],
        paths=paths or [],
        bases=bases or [],
    )


def _why(reached: Reached, chain: Chain, names: Mapping[int, Described]) -> str:
    """The reason that a chain gives: the gap that it begins at, or its first possible step."""
    hole = reached.holes.get(chain[0][0])
    if hole is not None and hole.node in names:
        return f"{names[hole.node].label}: {GAPS[hole.kind]}"
    for vertex, step in chain:
        if step is not None and step.basis == Basis.POSSIBLE and vertex in names:
            return f"{names[vertex].label}: {WORDS[Why(step.why)]}"
    return "how it was made is not known"


def _between(ways: Iterable[list[Chain]]) -> set[int]:
    return {vertex for found in ways for chain in found for vertex, _ in chain}
