"""Screening: a batch's records judged against a reference, one verdict for the batch."""

from __future__ import annotations

from lazaretto.screen._earlier import Earlier
from lazaretto.screen._pool import Companion, Pool
from lazaretto.screen._power import power_told
from lazaretto.screen._result import Screening
from lazaretto.screen._screening import screen
from lazaretto.screen._sizes import sizes_for

__all__ = ["Companion", "Earlier", "Pool", "Screening", "power_told", "screen", "sizes_for"]
