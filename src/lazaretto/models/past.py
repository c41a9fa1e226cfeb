"""What became of a model's versions so far: which were put in use, taken back and refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelAliased, PromotionRefused
from lazaretto.names import registry_name

if TYPE_CHECKING:
    from datetime import datetime

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor


@dataclass(frozen=True, slots=True)
class PastMove:
    """A name that was moved, or was to be moved and was not.

    Attributes:
        seq: ledger entry.
        at: when, UTC.
        by: who did it, or asked for it.
        event: what it says.
    """

    seq: int
    at: datetime
    by: Actor
    event: ModelAliased | PromotionRefused


def past_moves(
    workspace: Workspace, registry: str, model: str, *, limit: int = 50
) -> list[PastMove]:
    """The moves and refusals of a model's names, newest first.

    Args:
        workspace: catalog and store; only read.
        registry: namespace of its registry.
        model: its name.
        limit: look at so many entries at most.

    Raises:
        LedgerError: an entry was edited.

    Examples:
        >>> past_moves(workspace, "local", "net")
        []
    """
    kinds, subject = [ModelAliased.kind, PromotionRefused.kind], f"model:{model}"
    with workspace.catalog.read() as connection:
        found = entries(connection, kinds=kinds, subject=subject, newest_first=True, limit=limit)
        return [
            PastMove(one.seq, one.at, one.actor, one.event)
            for one in found
            if isinstance(one.event, ModelAliased | PromotionRefused)
            and registry_name(one.event.registry) == registry_name(registry)
        ]
