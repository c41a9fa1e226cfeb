"""Lists what nobody told the origin of, for people who can tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.lineage.claims.bits import GAPS
from lazaretto.lineage.claims.gaps import holes
from lazaretto.lineage.claims.intake import bring_up
from lazaretto.lineage.graph.view import sound_view
from lazaretto.lineage.trace.describe import describe, moment
from lazaretto.lineage.trace.world import read_world

if TYPE_CHECKING:
    from datetime import datetime

    from lazaretto.storage.workspace import Workspace

MOST_SHOWN = 1_000


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A gap.

    Attributes:
        kind: of gap, as the page on the rules names it.
        what: the version, or the run.
        namespace: of the dataset, or of the job.
        name: of the dataset, or of the job.
        version: of the dataset, or the id of the run.
        problem: what is not known, in words.
        until: what arrived later cannot be in it; None: anything can.
    """

    kind: str
    what: str
    namespace: str
    name: str
    version: str
    problem: str
    until: datetime | None


def unexplained(workspace: Workspace) -> list[Unexplained]:
    """Gaps that nobody vouches for; at most `MOST_SHOWN`.

    Examples:
        >>> unexplained(workspace)
        []
    """
    bring_up(workspace)
    with sound_view(workspace) as view:
        found = holes(view.catalog, workspace.store.root)[:MOST_SHOWN]
        world = read_world(view, workspace.store.root)
        names = describe(world, {hole.node for hole in found})
    return [
        Unexplained(
            kind=hole.kind,
            what=what.label,
            namespace=what.namespace,
            name=what.name,
            version=what.version,
            problem=GAPS[hole.kind],
            until=moment(hole.until),
        )
        for hole in found
        if (what := names.get(hole.node)) is not None
    ]
