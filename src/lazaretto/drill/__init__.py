"""Drills: known attacks on a copy of a recent batch, judged by the real gate in isolation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lazy import load_lazily

if TYPE_CHECKING:
    from lazaretto.drill.past import PastDrill as PastDrill
    from lazaretto.drill.past import past_drills as past_drills
    from lazaretto.drill.rounds import DrillCost as DrillCost
    from lazaretto.drill.run import Drill as Drill
    from lazaretto.drill.run import run_drill as run_drill

_HOMES = {
    "Drill": "lazaretto.drill.run",
    "DrillCost": "lazaretto.drill.rounds",
    "PastDrill": "lazaretto.drill.past",
    "past_drills": "lazaretto.drill.past",
    "run_drill": "lazaretto.drill.run",
}

__all__ = [*_HOMES]  # noqa: PLE0604

load_lazily(__name__, _HOMES)
