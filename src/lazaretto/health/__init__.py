"""The health of a workspace: catalog, ledger, store and datasets held against each other."""

from __future__ import annotations

from lazaretto.health.backup import Backup, Restored, backup, restore
from lazaretto.health.check import check
from lazaretto.health.maintain import Maintained, maintain
from lazaretto.health.prune import Pruned, prune
from lazaretto.health.rebuild import Rebuilt, rebuild
from lazaretto.health.reconcile import Reconciled, reconcile
from lazaretto.health.report import Finding, Health, Leftovers

__all__ = [
    "Backup",
    "Finding",
    "Health",
    "Leftovers",
    "Maintained",
    "Pruned",
    "Rebuilt",
    "Reconciled",
    "Restored",
    "backup",
    "check",
    "maintain",
    "prune",
    "rebuild",
    "reconcile",
    "restore",
]
