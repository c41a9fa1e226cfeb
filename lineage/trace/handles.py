"""By what people name a thing in question: the first digits of a key or a policy, or an alias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import (
    BatchJudged,
    BatchReceived,
    KeyAdded,
    ModelAliased,
    ModelRegistered,
)
from lazaretto.lineage.claims.bits import Kind
from lazaretto.lineage.claims.names import registry as spelled
from lazaretto.storage.tables import lineage_name, lineage_version
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.engine import Connection

LEAST_OF_A_DIGEST = 8
_MOST_DIGITS = 9
_LIKE = {
    "policy": "DATASET@SHA256, such as digits@1ef41457",
    "reference": "NAME@VERSION, such as digits@1",
    "dataset": "NAME@VERSION, such as digits@2",
    "model": "NAME@VERSION, such as digits-net@1",
}


def require_version(kind: str, subject: str) -> None:
    """Refuses the name of a policy, reference, dataset or model without a version of it.

    Raises:
        UsageError: one of the two is missing.
    """
    name, _, version = subject.rpartition("@")
    if not (name and version):
        raise UsageError(f"{excerpt(subject, 80)!r} names no {kind} version: write {_LIKE[kind]}")


def version_number(text: str) -> int:
    """The version of a dataset.

    Raises:
        UsageError: it is not a number.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise UsageError(f"{text!r} is no version of a dataset: they are numbers, as in digits@2")
    return int(text)


def signing_key(connection: Connection, key: str) -> str:
    """The whole id of a key that a source has, or had, or that signed something.

    Args:
        connection: of the catalog.
        key: its id, or the first 8 or more digits of it.

    Raises:
        NotFoundError: there is none.
        UsageError: several begin like that.
    """
    known = set()
    for entry in entries(connection, kinds=[KeyAdded.kind, BatchReceived.kind], checked=True):
        if isinstance(event := entry.event, KeyAdded):
            known.add(event.key_id)
        elif isinstance(event, BatchReceived) and event.signature.key_id is not None:
            known.add(event.signature.key_id)
    found = _beginning(known, key)
    if not found:
        raise NotFoundError(
            f"no source has a key {excerpt(key, 80)!r}, and nothing that was received is signed "
            "by it; `lazaretto source list` has the keys"
        )
    return _the_one(found, key, "keys")


def policy_digest(connection: Connection, dataset: str, digest: str) -> str:
    """The whole sha256 of a policy under which a batch of a dataset was judged.

    Args:
        connection: of the catalog.
        dataset: that the policy is for.
        digest: sha256 of its file, or the first 8 or more digits of it.

    Raises:
        NotFoundError: nothing was judged under such a policy.
        UsageError: several begin like that.
    """
    known = {
        entry.event.policy.sha256
        for entry in entries(connection, kinds=[BatchJudged.kind], checked=True)
        if isinstance(entry.event, BatchJudged) and entry.event.policy.dataset == dataset
    }
    found = _beginning(known, digest)
    if not found:
        raise NotFoundError(f"no batch was judged under a policy of {dataset!r} with {digest}")
    return _the_one(found, digest, f"policies of {dataset!r}")


def named_version(connection: Connection, model: str, version: str, registry: str | None) -> str:
    """The version of a model that is meant: the one of that name, else what an alias stands for.

    Args:
        connection: of the catalog.
        model: its name.
        version: of it, or an alias such as ``production``.
        registry: where models of this name are in more than one; None: in any.

    Returns:
        The version; what was given, where it is neither.

    Raises:
        UsageError: the alias stands for several versions, in several registries.
    """
    if _is_version(connection, model, version):
        return version
    standing: dict[str, str | None] = {}
    for entry in entries(connection, kinds=[ModelAliased.kind], checked=True):
        event = entry.event
        if isinstance(event, ModelAliased) and (event.model, event.alias) == (model, version):
            standing[spelled(event.registry)] = event.version
    wanted = None if registry is None else spelled(registry)
    found = {
        where: one for where, one in standing.items() if one is not None and wanted in (None, where)
    }
    if len(set(found.values())) > 1:
        places = ", ".join(sorted(found))
        raise UsageError(
            f"{version!r} stands for several versions of {model}; name one registry of: {places}"
        )
    return next(iter(found.values()), version)


def _is_version(connection: Connection, model: str, version: str) -> bool:
    """Whether anybody tells of a version of this name."""
    of = f"model:{model}"
    for entry in entries(connection, subject=of, kinds=[ModelRegistered.kind], checked=True):
        if isinstance(entry.event, ModelRegistered) and entry.event.version == version:
            return True
    told = lineage_version.c
    query = (
        sa.select(told.id)
        .join(lineage_name, lineage_name.c.id == told.name)
        .where(
            lineage_name.c.name == model,
            told.version == version,
            told.kinds.bitwise_and(int(Kind.MODEL)) != 0,
        )
    )
    return connection.scalar(query.limit(1)) is not None


def _beginning(known: Collection[str], digits: str) -> list[str]:
    """The ids that are meant: that one, or those that begin so."""
    if digits in known:
        return [digits]
    enough = len(digits) >= LEAST_OF_A_DIGEST
    return sorted(one for one in known if enough and one.startswith(digits))


def _the_one(found: list[str], digits: str, what: str) -> str:
    if len(found) > 1:
        raise UsageError(f"{digits!r} begins several {what}; give more of it")
    return found[0]
