"""Which models learned only by way of another's predictions, which a table held in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import Basis
from lazaretto.lineage.trace.back import behind, has_members
from lazaretto.lineage.trace.walk import ahead_of
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import lineage_link

if TYPE_CHECKING:
    from collections.abc import Collection

    from lazaretto.lineage.trace.walk import Reached


def students(reached: Reached, models: Collection[int]) -> set[int]:
    """Models that learned from data in question only as other models had predicted it.

    Args:
        reached: of `downstream` or `upstream`.
        models: vertices of the models in it.
    """
    known = set(models)
    if not _predicted(reached, known):
        return set()
    if known & reached.start:  # the question is what a model was made of
        return {model for model in known if not _has_origin(reached, model, known - {model})}
    ahead = ahead_of(reached, known)
    own = {dst for src, dst in _into(reached, known) if src in ahead.sure}
    told = reached.world.told
    for model in known - own:
        row = reached.world.node(model)
        for use in told.origins.get(row.id, ()) if row is not None else ():
            held = told.count(ahead.held, use.snapshot) or -use.snapshot in reached.start
            if held and use.role != "EVAL":
                own.add(model)
    return known - own


def _predicted(reached: Reached, models: set[int]) -> bool:
    """Whether something else than a model was made of one, and is reached."""
    runs = {dst for _, dst in _links(reached, models, of=lineage_link.c.src)}
    made = _links(reached, runs & reached.sure, of=lineage_link.c.src)
    return any(dst in reached.sure and dst not in models for _, dst in made)


def _has_origin(reached: Reached, model: int, others: set[int]) -> bool:
    """Whether something behind a model, but for other models, was made of nothing that is known.

    That a run made the model, and told of nothing that it had read, says nothing.
    """
    found = behind(reached.world, model, others)
    into = _into(reached, found)
    ends = found - {dst for _, dst in into} - {src for src, dst in into if dst == model} - {model}
    return any(not has_members(reached.world, vertex) for vertex in ends)


def _into(reached: Reached, ends: Collection[int]) -> list[tuple[int, int]]:
    return _links(reached, ends, of=lineage_link.c.dst)


def _links(reached: Reached, ends: Collection[int], *, of: sa.Column[int]) -> list[tuple[int, int]]:
    """Links that are known or inferred, of which one end is among some."""
    link, catalog = lineage_link.c, reached.world.catalog
    query = sa.select(link.src, link.dst).where(
        among(catalog, of, sorted(end for end in ends if end > 0)),
        link.basis <= int(Basis.INFERRED),
    )
    return [(src, dst) for src, dst in catalog.execute(query)]
