"""Where the work of a stage is done: in this process, or in tasks of a Ray cluster."""

from __future__ import annotations

from lazaretto.engine.base import Engine, Job, Output, Run
from lazaretto.engine.local import SIDE_BY_SIDE_ROWS, LocalEngine
from lazaretto.engine.select import check_engine, open_engine

__all__ = [
    "SIDE_BY_SIDE_ROWS",
    "Engine",
    "Job",
    "LocalEngine",
    "Output",
    "Run",
    "check_engine",
    "open_engine",
]
