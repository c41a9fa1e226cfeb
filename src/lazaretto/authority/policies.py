"""The policy in force: each dataset has one, which the ledger names, and only that one admits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pydantic import ValidationError

from lazaretto.contract import contract_digest
from lazaretto.errors import ChangedStateError, PolicyError, UsageError
from lazaretto.ledger.chain import entries, newest
from lazaretto.ledger.cover import agree
from lazaretto.ledger.events import PolicyRegistered
from lazaretto.ledger.state import Put, entry_columns, record
from lazaretto.policy import Policy
from lazaretto.storage.tables import dataset_policy as table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor, PolicyRef


@dataclass(frozen=True, slots=True)
class Registered:
    """A policy that was put in force.

    Attributes:
        seq: ledger entry.
        at: since when, UTC.
        actor: who did it.
        event: what the entry says.
    """

    seq: int
    at: datetime
    actor: Actor
    event: PolicyRegistered

    @property
    def dataset(self) -> str:
        """That is admitted by it."""
        return self.event.dataset

    @property
    def meaning(self) -> str:
        """sha256 (hex) of what it and its contract say."""
        return self.event.policy.meaning

    @property
    def rules(self) -> Policy:
        """The policy itself, from the ledger; `sanitize` is not on record and has its defaults.

        Raises:
            PolicyError: another version of Lazaretto registered it, and this one cannot read it.
        """
        try:
            return Policy.model_validate_json(self.event.says)
        except ValidationError as error:
            raise PolicyError(
                f"the policy that is in force for {self.dataset!r} was registered by another "
                f"version of Lazaretto: {how_to_register(self.event.policy)}"
            ) from error


def policy_ref(policy: Policy) -> PolicyRef:
    """What a policy is known by: its file, and what it and its contract say now.

    Raises:
        UsageError: its contract cannot be found.
    """
    return policy.ref(contract_digest(policy))


def policy_in_force(connection: Connection, dataset: str) -> Registered | None:
    """The policy that admits to a dataset, by the ledger; None where none was ever registered.

    Raises:
        ChangedStateError: the catalog's row of it does not say the same.
    """
    found = newest(connection, f"dataset:{dataset}", [PolicyRegistered.kind])
    row = connection.execute(sa.select(table).where(table.c.dataset == dataset)).one_or_none()
    if found is None and row is None:
        return None
    if found is None or row is None:
        missing = "the catalog" if row is None else "the ledger"
        raise ChangedStateError(table.name, dataset, f"{missing} does not have it")
    registered = _registered(found)
    said = policy_columns(registered.event) | {"seq": found.seq, "entry": found.hash}
    agree(table.name, dataset, row, said)
    return registered


def policies_in_force(connection: Connection) -> list[Registered]:
    """The policies that admit, by dataset.

    Raises:
        ChangedStateError: as `policy_in_force`.
    """
    names = connection.scalars(sa.select(table.c.dataset).order_by(table.c.dataset)).all()
    found = [policy_in_force(connection, name) for name in names]
    return [policy for policy in found if policy is not None]


def require_in_force(connection: Connection, ref: PolicyRef) -> Registered:
    """The policy in force, which must be this one.

    Raises:
        UsageError: another one is in force for its dataset, or none.
    """
    found = policy_in_force(connection, ref.dataset)
    if found is None or found.meaning != ref.meaning:
        raise UsageError(
            f"{named(ref)} is not in force for dataset {ref.dataset!r}: {how_to_register(ref)}"
        )
    return found


def register_policy(
    workspace: Workspace, policy: Policy, *, reason: str
) -> tuple[Registered, Registered | None]:
    """Puts a policy in force for its dataset; one that says what is in force changes nothing.

    Batches that the policy before held or judged, and that are not admitted yet, are judged again
    on request; see `lazaretto.stages.rejudge`.

    Args:
        workspace: catalog and store.
        policy: complete, with the contract that it names.
        reason: why; stays on record.

    Returns:
        What is in force now, and what was before; the same where nothing changed.

    Raises:
        UsageError: no reason, or the contract cannot be found.
    """
    if not reason.strip():
        raise UsageError("say why the policy changes: the reason stays on record")
    contract = contract_digest(policy)
    with workspace.catalog.transaction() as connection:
        before = policy_in_force(connection, policy.dataset)
        if before is not None and before.meaning == policy.ref(contract).meaning:
            return before, before
        return _register(connection, policy, contract, before, reason, workspace.actor), before


def register_first(
    connection: Connection, policy: Policy, ref: PolicyRef, *, reason: str, actor: Actor
) -> Registered:
    """The policy in force; where there is none, this one, whose first use puts it in force.

    Args:
        connection: of an open `Catalog.transaction`.
        policy: that is used.
        ref: what it is known by.
        reason: what uses it, for the record.
        actor: who uses it.

    Raises:
        UsageError: its contract was changed since `ref` was made.
    """
    found = policy_in_force(connection, policy.dataset)
    if found is not None:
        return found
    contract = contract_digest(policy)
    if policy.ref(contract).meaning != ref.meaning:
        raise UsageError(f"the contract of {named(ref)} was changed meanwhile: start again")
    return _register(connection, policy, contract, None, reason, actor)


def policy_history(connection: Connection, dataset: str) -> list[Registered]:
    """Every policy that was in force for a dataset, oldest first; the last one is."""
    kinds = [PolicyRegistered.kind]
    return [
        _registered(entry)
        for entry in entries(connection, kinds=kinds, subject=f"dataset:{dataset}")
    ]


def counted_policies(connection: Connection, dataset: str, meaning: str) -> frozenset[str]:
    """Policies whose screenings are evidence about a source, by what they say.

    Those that were ever in force for the dataset; before the first, the one that is used. Else
    whoever may screen would move the evidence by which later batches are held.

    Args:
        connection: of the catalog.
        dataset: its name.
        meaning: of the policy that is used.
    """
    own = frozenset(known.meaning for known in policy_history(connection, dataset))
    return own or frozenset({meaning})


def changes(entry: Entry) -> Iterator[Change]:
    """What the registration of a policy does to the catalog."""
    if isinstance(entry.event, PolicyRegistered):
        yield Put(table, policy_columns(entry.event) | entry_columns(entry))


def policy_columns(event: PolicyRegistered) -> dict[str, Any]:
    """The catalog's columns of a policy in force, by what the ledger says."""
    return {
        "dataset": event.dataset,
        "meaning": event.policy.meaning,
        "sha256": event.policy.sha256,
    }


def differences(before: PolicyRegistered, policy: Policy, contract: str | None) -> list[str]:
    """What a policy would change, key by key, in words."""
    changed = [
        f"{key}: {_shown(old)} in force, {_shown(new)} here"
        for key, old, new in _changed_keys(before.says, policy.says)
    ]
    if before.contract != contract:
        changed.append("contract: what it says is not what it said when it was registered")
    return changed


def changes_since(before: PolicyRegistered, after: PolicyRegistered) -> list[str]:
    """What the next policy changed in the one before, key by key, in words."""
    changed = [
        f"{key}: {_shown(old)} before, {_shown(new)} since"
        for key, old, new in _changed_keys(before.says, after.says)
    ]
    if before.contract != after.contract:
        changed.append("contract: what it says is another")
    return changed


def named(ref: PolicyRef) -> str:
    """A policy in a message."""
    return f"policy {ref.path or ref.dataset} ({ref.meaning[:12]})"


def how_to_register(ref: PolicyRef) -> str:
    """The command that an error names."""
    file = ref.path or "FILE"
    return f"`lazaretto policy register {file} --reason TEXT` puts it in force"


def _register(
    connection: Connection,
    policy: Policy,
    contract: str | None,
    before: Registered | None,
    reason: str,
    actor: Actor,
) -> Registered:
    event = PolicyRegistered(
        dataset=policy.dataset,
        policy=policy.ref(contract),
        says=policy.says,
        contract=contract,
        previous=None if before is None else before.meaning,
        reason=reason,
    )
    record(connection, event, changes, actor=actor)
    found = policy_in_force(connection, policy.dataset)
    assert found is not None  # noqa: S101  just written
    return found


def _registered(entry: Entry) -> Registered:
    event = entry.event
    assert isinstance(event, PolicyRegistered)  # noqa: S101  only such entries are asked for
    return Registered(entry.seq, entry.at, entry.actor, event)


def _changed_keys(before: str, after: str) -> Iterator[tuple[str, Any, Any]]:
    """The keys in which two policies differ, as they were written on record, with both values."""
    old, new = _flat(json.loads(before)), _flat(json.loads(after))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield key, old.get(key), new.get(key)


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by their path; lists are leaves."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        path = f"{prefix}{key}"
        found |= _flat(inner, f"{path}.") if isinstance(inner, dict) and inner else {path: inner}
    return found


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)[:80]
