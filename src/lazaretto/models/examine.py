"""Looks at a model version as a promotion does: all that speaks against it, and what speaks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.authority.holds import code_of, holds_on
from lazaretto.authority.model_rules import ancestry, rules_of
from lazaretto.dataset.models import named_model
from lazaretto.ledger.chain import head
from lazaretto.models.evidence import evaluations_of, shortfalls
from lazaretto.models.taint import against, read_doubts, recalled, unsanitized
from lazaretto.names import registry_name
from lazaretto.stages.alias_model import find_alias, goes_back
from lazaretto.storage import tables
from lazaretto.values import HoldKind, PromotionBasis, RefusedFor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.authority.model_rules import RulesOfDataset
    from lazaretto.dataset.models import ModelKey
    from lazaretto.models.taint import Doubts
    from lazaretto.stages.alias_model import Alias
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor


@dataclass(frozen=True, slots=True)
class Examination:
    """What there is to say of a model version, before a name stands for it.

    Attributes:
        registry: namespace of its registry.
        model: name of the model.
        version: its version.
        alias: that is to stand for it.
        reasons: all that speaks against it; empty: it may be promoted.
        basis: what a promotion would rest on.
        in_use: what the name stands for now; None: nothing.
        claims: the newest event of another tool that was looked at.
    """

    registry: str
    model: str
    version: str
    alias: str
    reasons: list[RefusedFor]
    basis: PromotionBasis
    in_use: Alias | None = None
    claims: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


def examine(
    workspace: Workspace,
    model: str,
    version: str,
    alias: str = "production",
    *,
    registry: str | None = None,
    doubts: Doubts | None = None,
) -> Examination:
    """Looks at a model version as its promotion would; nothing is changed or put on record.

    Args:
        workspace: catalog and store; whoever acts through it would promote.
        model: name of the model.
        version: its version.
        alias: that is to stand for it.
        registry: of the model; None: of the only one that has it.
        doubts: from `lazaretto.models.taint.read_doubts`, where several versions are looked at.

    Raises:
        NotFoundError: no such model version is registered.
        UsageError: it is in several registries.
        LedgerError: the ledger does not hold.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> [one.code for one in examine(workspace, "net", "1").reasons]
        ['open_incident']
    """
    with workspace.catalog.read() as connection:
        checked, claims = head(connection), newest_claim(connection)
        key = named_model(connection, model, version, registry)
    told = doubts or read_doubts(workspace)
    found, unknown, trace = against(workspace, key, told)
    with workspace.catalog.read() as connection:
        made_of = ancestry(connection, key)
        traced = {one.id.rpartition("@")[0] for one in trace.snapshots}
        rules = rules_of(connection, {name for name, _ in made_of.snapshots()} | traced)
        in_use = find_alias(connection, key, alias)
        now_used = None if in_use is None else in_use.version
        reasons = [*_who(workspace.actor, rules), *_on_hold(connection, key, now_used), *found]
        reasons += recalled(connection, made_of, told)
        allowed = all(one.rules.unknown_origin == "allow" for one in rules)
        reasons += [] if allowed else unknown
        reasons += unsanitized(connection, made_of, rules)
        evaluations = evaluations_of(connection, key)
        counting: list[int] = []
        for one in rules:
            short, seqs = shortfalls(
                evaluations, made_of.models[0], one, datetime.now(UTC), now_used
            )
            reasons += short
            counting += seqs
    basis = PromotionBasis(
        checked=checked,
        previous=now_used,
        policies={one.dataset: one.meaning for one in rules if one.meaning is not None},
        evaluations=sorted(set(counting)),
        notes=[one.text for one in unknown] if allowed else [],
    )
    return Examination(
        registry_name(key.registry),
        key.model,
        key.version,
        alias,
        list(dict.fromkeys(reasons)),
        basis,
        in_use if now_used is not None else None,
        claims,
    )


def newest_claim(connection: Connection) -> int:
    """The newest event of another tool: it may change what a trace says."""
    return connection.scalar(sa.select(sa.func.max(tables.lineage_claim.c.id))) or 0


def _who(actor: Actor, rules: list[RulesOfDataset]) -> Iterator[RefusedFor]:
    for one in rules:
        listed = one.rules.promoters
        if listed is not None and actor.id not in listed:
            text = f"{actor.id} is not among those who may promote by the policy of {one.dataset!r}"
            yield RefusedFor("not_listed", f"{text} (model.promoters)")


def _on_hold(connection: Connection, key: ModelKey, in_use: str | None) -> Iterator[RefusedFor]:
    """Holds of incidents on the model; to go back to an older version stays possible."""
    if goes_back(connection, key, in_use):
        return
    for hold in holds_on(connection, HoldKind.PROMOTION, key.model):
        yield RefusedFor(code_of(HoldKind.PROMOTION), hold.words)
