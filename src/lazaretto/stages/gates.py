"""The gate of a dataset, to watch: its policy and the ones before, and what only watches beside it.

What is in shadow holds nothing. Before somebody enforces it, they want to know what it would hold.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.authority.judgements import shadow_judgements
from lazaretto.authority.policies import (
    Registered,
    changes_since,
    policy_history,
    policy_in_force,
)
from lazaretto.errors import NotFoundError
from lazaretto.stages.judged import last_judged, require_name
from lazaretto.storage import tables
from lazaretto.values import REPORTED_ONLY

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.stages.judged import JudgedBatch
    from lazaretto.storage.workspace import Workspace

LAST = 50
"""Batches that are looked at where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class InForce:
    """A dataset, and the policy by which it is admitted.

    Attributes:
        dataset: its name.
        policy: None: none is in force yet.
    """

    dataset: str
    policy: Registered | None


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A policy that was put in force.

    Attributes:
        policy: with who did it, when, and why.
        changes: what it changed in the one before, in words; empty for the first.
    """

    policy: Registered
    changes: list[str]


@dataclass(frozen=True, slots=True)
class DetectorWatch:
    """What one detector would have held by itself, at the rate of the policy.

    Attributes:
        name: of the detector.
        mode: ``enforce``, ``shadow`` or ``off``.
        batches: that it scored in this mode.
        records: of them.
        would_hold: records that it would have held.
    """

    name: str
    mode: str
    batches: int
    records: int
    would_hold: int


@dataclass(frozen=True, slots=True)
class TestWatch:
    """How often a batch test fired.

    Attributes:
        name: of the test.
        mode: ``enforce``, or ``shadow``: it only reports.
        batches: in which it ran.
        fired: how many of them it would hold, or held.
        last: what it said when it fired last; None: it never did.
    """

    __test__ = False

    name: str
    mode: str
    batches: int
    fired: int
    last: str | None


@dataclass(frozen=True, slots=True)
class PolicyWatch:
    """What a policy that is not in force would have done.

    Attributes:
        meaning: sha256 (hex) of what it says.
        sha256: of its file, the newest.
        path: of its file.
        batches: that it judged in shadow.
        records: of them.
        held: records that it would have held.
        in_force: records that were held of the same batches.
        verdicts: how many of them it gave another verdict.
    """

    meaning: str
    sha256: str
    path: str | None
    batches: int
    records: int
    held: int
    in_force: int
    verdicts: int


@dataclass(frozen=True, slots=True)
class Gate:
    """A dataset's gate.

    Attributes:
        dataset: its name.
        policy: in force; None: none is yet.
        history: every policy that was in force, newest first.
        batches: the last ones that were judged, so many, on which what follows rests.
        records: of them.
        held: records of them that the gate held.
        since: when the oldest of them arrived; None: there is none.
        detectors: by name.
        tests: of the batch as a whole, by name.
        policies: in shadow, by meaning.
    """

    dataset: str
    policy: Registered | None
    history: list[PolicyChange]
    batches: int = 0
    records: int = 0
    held: int = 0
    since: datetime | None = None
    detectors: list[DetectorWatch] = field(default_factory=list)
    tests: list[TestWatch] = field(default_factory=list)
    policies: list[PolicyWatch] = field(default_factory=list)


def list_gates(
    workspace: Workspace,
    *,
    after: str | None = None,
    limit: int = 100,
    hidden: Collection[str] = (),
) -> list[InForce]:
    """The datasets with their policies, by name.

    Args:
        workspace: catalog and store.
        after: go on behind this name.
        limit: at most so many.
        hidden: none of these.

    Raises:
        ChangedStateError: the catalog does not say which policy is in force as the ledger does.

    Examples:
        >>> [gate.dataset for gate in list_gates(workspace)]
        ['reviews']
    """
    names = sa.union(sa.select(tables.dataset.c.name), sa.select(tables.dataset_policy.c.dataset))
    listed = names.subquery()
    query = sa.select(listed.c.name).order_by(listed.c.name).limit(limit)
    if after is not None:
        query = query.where(listed.c.name > after)
    if hidden:
        query = query.where(listed.c.name.not_in(hidden))
    with workspace.catalog.read() as connection:
        return [
            InForce(name, policy_in_force(connection, name))
            for name in connection.scalars(query).all()
        ]


def show_gate(workspace: Workspace, dataset: str, *, batches: int = LAST) -> Gate:
    """One gate, with what its last batches tell of what is in shadow.

    Args:
        workspace: catalog and store.
        dataset: its name.
        batches: look at the last so many that were judged for it.

    Raises:
        NotFoundError: there is no such dataset, and no policy for one.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> gate = show_gate(workspace, "reviews")
        >>> gate.policy.meaning == gate.history[0].policy.meaning, gate.batches
        (True, 2)
    """
    require_name(dataset)
    with workspace.catalog.read() as connection:
        policy = policy_in_force(connection, dataset)
        history = policy_history(connection, dataset)
        known = sa.select(tables.dataset.c.name).where(tables.dataset.c.name == dataset)
        if policy is None and connection.scalar(known) is None:
            raise NotFoundError(f"no dataset {dataset!r}, and no policy is in force for one")
        found = last_judged(connection, dataset, batches)
        policies = _policies(connection, dataset, found)
    return Gate(
        dataset=dataset,
        policy=policy,
        history=_with_changes(history),
        batches=len(found),
        records=sum(one.verdict.rows for one in found),
        held=sum(one.verdict.held for one in found),
        since=found[-1].arrived if found else None,
        detectors=_detectors(found),
        tests=_tests(found),
        policies=policies,
    )


def _with_changes(history: Sequence[Registered]) -> list[PolicyChange]:
    before = [None, *history]
    return [
        PolicyChange(policy, [] if last is None else changes_since(last.event, policy.event))
        for last, policy in zip(before, history, strict=False)
    ][::-1]


def _detectors(found: Sequence[JudgedBatch]) -> list[DetectorWatch]:
    watched: dict[tuple[str, str], DetectorWatch] = {}
    for screened in [one.screened for one in found if one.screened is not None]:
        for detector in screened.detectors:
            key = (detector.name, detector.mode)
            before = watched.get(key) or DetectorWatch(*key, 0, 0, 0)
            watched[key] = DetectorWatch(
                *key,
                batches=before.batches + 1,
                records=before.records + screened.rows,
                would_hold=before.would_hold + detector.would_hold,
            )
    return [watched[key] for key in sorted(watched)]


def _tests(found: Sequence[JudgedBatch]) -> list[TestWatch]:
    """Newest batches come first, so the first detail of a test that fired is its last."""
    batches, fired = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    last: dict[tuple[str, str], str] = {}
    for one in found:
        for test in [] if one.screened is None else one.screened.tests:
            shadow = test.detail.endswith(REPORTED_ONLY)
            key = (test.name, "shadow" if shadow else "enforce")
            batches[key] += 1
            if test.fired:
                fired[key] += 1
                last.setdefault(key, f"{one.id}: {test.detail}")
    return [TestWatch(*key, batches[key], fired[key], last.get(key)) for key in sorted(batches)]


def _policies(
    connection: Connection, dataset: str, found: Sequence[JudgedBatch]
) -> list[PolicyWatch]:
    """The newest shadow judgement of each policy and batch counts."""
    watched: dict[str, PolicyWatch] = {}
    for one in found:
        seen = set[str]()
        for _, event in shadow_judgements(connection, one.id, dataset):
            meaning = event.policy.meaning
            if meaning in seen:
                continue
            seen.add(meaning)
            ref = event.policy
            before = watched.get(meaning) or PolicyWatch(
                meaning, ref.sha256, ref.path, 0, 0, 0, 0, 0
            )
            watched[meaning] = PolicyWatch(
                meaning,
                before.sha256,
                before.path,
                batches=before.batches + 1,
                records=before.records + event.rows,
                held=before.held + event.held,
                in_force=before.in_force + one.verdict.held,
                verdicts=before.verdicts + (event.verdict is not one.verdict.verdict),
            )
    return [watched[meaning] for meaning in sorted(watched)]
