"""The health of a workspace: catalog, ledger, store and datasets held against each other."""

from __future__ import annotations

from lazaretto.health.check import check
from lazaretto.health.rebuild import Rebuilt, rebuild
from lazaretto.health.report import Finding, Health, Leftovers

__all__ = ["Finding", "Health", "Leftovers", "Rebuilt", "check", "rebuild"]
