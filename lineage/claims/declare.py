"""What people say of names: that two are of the same dataset, and what comes from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import ExternalDeclared, LineageAliased
from lazaretto.lineage.claims.intake import bring_up
from lazaretto.lineage.claims.names import Names, dataset_in_store, source_in_store
from lazaretto.lineage.claims.rebuild import rebuild

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

Address = tuple[str, str]
"""OpenLineage namespace and name of a dataset."""


def alias(
    workspace: Workspace, one: Address, other: Address, *, reason: str, withdraw: bool = False
) -> int:
    """Says that two names are of the same dataset, or takes that back; returns the ledger entry.

    Taking it back computes the whole graph anew from what is kept.

    Args:
        workspace: where.
        one: a name.
        other: another of the same.
        reason: why, in words.
        withdraw: they are not the same, after all.

    Raises:
        UsageError: it is one name, or two admitted datasets or sources of this workspace.

    Examples:
        >>> alias(workspace, ("hive://m:9083", "db.t"), ("s3://lake", "t"), reason="a table") > 0
        True
    """
    spell = Names(workspace.store.root)
    first, second = spell.spell(*one), spell.spell(*other)
    if first == second:
        raise UsageError(f"that is one name: {first.namespace} {first.name}")
    if all(dataset_in_store(name) or source_in_store(name) for name in (first, second)):
        raise UsageError("the ledger tells what is in the store: its names are never the same")
    event = LineageAliased(*first, *second, withdrawn=withdraw, reason=reason)
    with workspace.catalog.transaction() as connection:
        seq = append(connection, event, actor=workspace.actor).seq
    if withdraw:
        rebuild(workspace)
    bring_up(workspace)
    return seq


def declare_external(
    workspace: Workspace,
    address: Address,
    *,
    version: str | None = None,
    reason: str,
    withdraw: bool = False,
) -> int:
    """Vouches that a dataset or model comes from outside and holds nothing of ours.

    Its origin is then no gap any more. Who says so is on the ledger.

    Args:
        workspace: where.
        address: what comes from outside.
        version: of it; None: every version that nobody told the origin of.
        reason: why, in words.
        withdraw: nobody vouches for it any more.

    Raises:
        UsageError: it is an admitted dataset, or a source, of this workspace.

    Examples:
        >>> declare_external(workspace, ("hf://hub", "bert"), reason="a public model") > 0
        True
    """
    name = Names(workspace.store.root).spell(*address)
    if dataset_in_store(name) or source_in_store(name):
        raise UsageError("the ledger tells where that is from")
    event = ExternalDeclared(*name, version=version, withdrawn=withdraw, reason=reason)
    with workspace.catalog.transaction() as connection:
        return append(connection, event, actor=workspace.actor).seq
