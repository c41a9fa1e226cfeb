"""Ways from where a walk began to what it reached, as labels with the basis of each step."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from lazaretto.lineage.claims.bits import WORDS, Basis, Why
from lazaretto.lineage.trace.describe import HIDDEN, RUN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from lazaretto.lineage.claims.reach import Step, Steps
    from lazaretto.lineage.trace.describe import Described

Chain: TypeAlias = "list[tuple[int, Step | None]]"
_MOST_TRIED = 2_000  # vertices that are looked at for the paths to one end


def chains(steps: Steps, end: int, starts: Collection[int], limit: int) -> list[Chain]:
    """At most `limit` chains of vertices from a start to an end, each with the step into it.

    Args:
        steps: a few ways into each vertex.
        end: where they lead to.
        starts: where they may begin.
        limit: how many.
    """
    return list(islice(_back(steps, end, starts), limit))


def _back(steps: Steps, end: int, starts: Collection[int]) -> Iterator[Chain]:
    pending: deque[Chain] = deque([[(end, None)]])
    for _ in range(_MOST_TRIED):
        if not pending:
            return
        chain = pending.popleft()
        at = chain[0][0]
        if at in starts:
            yield chain
            continue
        seen = {vertex for vertex, _ in chain}
        for step in steps.into(at):
            if step.src not in seen:
                pending.append([(step.src, None), (at, step), *chain[1:]])


def shown(chain: Chain, described: Mapping[int, Described]) -> tuple[list[str], list[str]]:
    """A chain as labels, without runs and steps of rules, and the basis of each step.

    Of what is left out between two labels the weakest basis counts.
    """
    labels: list[str] = []
    bases: list[str] = []
    basis, why = Basis.KNOWN, Why.NAMED
    for vertex, step in chain:
        if step is not None and step.basis > basis:
            basis, why = Basis(step.basis), Why(step.why)
        what = described.get(vertex)
        if what is None or what.kind in (RUN, HIDDEN):
            continue
        if labels and labels[-1] == what.label:
            continue
        if labels:
            known = basis is Basis.KNOWN
            bases.append("known" if known else f"{basis.name.lower()}: {WORDS[why]}")
        labels.append(what.label)
        basis, why = Basis.KNOWN, Why.NAMED
    return labels, bases


def reverse(chain: Chain) -> Chain:
    """A chain that was found from its end, from the other side."""
    steps = [step for _, step in chain[1:]]
    vertices = [vertex for vertex, _ in chain]
    found: Chain = [(vertices[-1], None)]
    for vertex, step in zip(reversed(vertices[:-1]), reversed(steps), strict=True):
        found.append((vertex, step))
    return found
