"""Traces by other handles of an incident: a key, a policy, a reference, a decision, a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import NotFoundError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, BatchJudged, BatchScreened
from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.trace.batches import signed_by
from lazaretto.lineage.trace.compose import arrived, forward, opened, reach
from lazaretto.lineage.trace.describe import describe
from lazaretto.lineage.trace.find import left_out
from lazaretto.lineage.trace.handles import policy_digest, signing_key
from lazaretto.lineage.trace.holdings import BATCH, Dataset, holdings
from lazaretto.lineage.trace.walk import downstream
from lazaretto.times import in_utc
from lazaretto.values import Question

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from lazaretto.lineage.graph.view import View
    from lazaretto.lineage.trace.answer import Trace
    from lazaretto.lineage.trace.holdings import Change, Parts
    from lazaretto.lineage.trace.world import World
    from lazaretto.storage.workspace import Workspace

PATHS = 3


def trace_key(
    workspace: Workspace,
    key: str,
    since: datetime | None = None,
    *,
    without: Sequence[str] = (),
    paths: int = PATHS,
) -> Trace:
    """Follows all that a key signed, since a moment by our clock, to the models.

    Args:
        workspace: where.
        key: its id, as `lazaretto source list` has it, or the first 8 or more digits of it.
        since: aware moment of receipt (included); None: ever.
        without: ids of batches that are taken as if they had not been delivered.
        paths: paths per model.

    Raises:
        NotFoundError: no source ever had it, and it signed nothing that was received.
        UsageError: a moment without a time zone, or several keys begin like that.

    Examples:
        >>> trace_key(workspace, "unknown")
        Traceback (most recent call last):
        ...
        lazaretto.errors.NotFoundError: no source has a key 'unknown', and nothing that was ...
    """
    since = since and in_utc(since)
    with opened(workspace) as (view, world):
        key = signing_key(view.catalog, key)
        signed = {event.batch for event in signed_by(view.catalog, key)}
        question = Question("key", key, since, without=list(without))
        return _all_of(view, world, question, _vertices(world, signed, since), paths)


def trace_policy(
    workspace: Workspace,
    dataset: str,
    sha256: str,
    *,
    without: Sequence[str] = (),
    paths: int = PATHS,
) -> Trace:
    """Follows all batches that were judged under one version of a policy.

    Args:
        workspace: where.
        dataset: that the policy is for.
        sha256: of its file, hex; the first eight or more digits are enough.
        without: ids of batches that are taken as if they had not been delivered.
        paths: paths per model.

    Raises:
        NotFoundError: no batch was judged under it.
        UsageError: several policies begin like that.

    Examples:
        >>> trace_policy(workspace, "none", "12345678")
        Traceback (most recent call last):
        ...
        lazaretto.errors.NotFoundError: no batch was judged under a policy of 'none' with 12345678
    """
    with opened(workspace) as (view, world):
        digest = policy_digest(view.catalog, dataset, sha256)
        judged = {
            entry.event.batch
            for entry in entries(view.catalog, kinds=[BatchJudged.kind], checked=True)
            if isinstance(entry.event, BatchJudged)
            and (entry.event.policy.dataset, entry.event.policy.sha256) == (dataset, digest)
        }
        question = Question("policy", f"{dataset}@{sha256}", without=list(without))
        return _all_of(view, world, question, _vertices(world, judged, None), paths)


def trace_reference(
    workspace: Workspace,
    reference: str,
    version: str,
    *,
    without: Sequence[str] = (),
    paths: int = PATHS,
) -> Trace:
    """Follows all batches that were screened against one version of a reference.

    Args:
        workspace: where.
        reference: its name.
        version: of it.
        without: ids of batches that are taken as if they had not been delivered.
        paths: paths per model.

    Raises:
        NotFoundError: no batch was screened against it.

    Examples:
        >>> trace_reference(workspace, "reviews", "99")
        Traceback (most recent call last):
        ...
        lazaretto.errors.NotFoundError: no batch was screened against reviews@99
    """
    with opened(workspace) as (view, world):
        screened = {
            event.batch
            for entry in entries(view.catalog, kinds=[BatchScreened.kind], checked=True)
            if isinstance(event := entry.event, BatchScreened)
            and (event.reference, event.reference_version) == (reference, version)
        }
        if not screened:
            raise NotFoundError(f"no batch was screened against {reference}@{version}")
        question = Question("reference", f"{reference}@{version}", without=list(without))
        return _all_of(view, world, question, _vertices(world, screened, None), paths)


def trace_decision(
    workspace: Workspace, decision: str, *, without: Sequence[str] = (), paths: int = PATHS
) -> Trace:
    """Follows the records that a person's decision let in.

    Args:
        workspace: where.
        decision: its id, as the case shows it.
        without: ids of batches that are taken as if they had not been delivered.
        paths: paths per model.

    Raises:
        NotFoundError: nothing was published by it, or there is no batch of those to leave out.

    Examples:
        >>> trace_decision(workspace, "d-0")
        Traceback (most recent call last):
        ...
        lazaretto.errors.NotFoundError: no record was published by the decision 'd-0'
    """
    with opened(workspace) as (view, world):
        let_in = [
            event
            for entry in entries(view.catalog, kinds=[BatchAdmitted.kind], checked=True)
            if isinstance(event := entry.event, BatchAdmitted)
            and any(release.decision == decision for release in event.releases)
        ]
        if not let_in:
            raise NotFoundError(f"no record was published by the decision {decision!r}")
        found = _vertices(world, {event.batch for event in let_in}, None)
        brought = {
            (Dataset(*naming.admitted(world.root, event.dataset)), event.version)
            for event in let_in
        }
        question = Question("decision", decision, without=list(without))
        parts = _brought(world, found, brought)
        return _all_of(view, world, question, found, paths, parts)


def trace_dataset(
    workspace: Workspace,
    dataset: str,
    version: int,
    *,
    without: Sequence[str] = (),
    paths: int = PATHS,
) -> Trace:
    """Follows one version of an admitted dataset to the models that learned from it.

    Args:
        workspace: where.
        dataset: its name.
        version: of it.
        without: ids of batches that are taken as if they had not been delivered; a version that
            holds nothing else would not be there.
        paths: paths per model.

    Raises:
        NotFoundError: there is no such version, or no batch of those to leave out.

    Examples:
        >>> trace_dataset(workspace, "unknown", 1)
        Traceback (most recent call last):
        ...
        lazaretto.errors.NotFoundError: the dataset 'unknown' has no version 1
    """
    with opened(workspace) as (view, world):
        name = Dataset(*naming.admitted(world.root, dataset))
        rows = world.told.by_dataset.get(name, [])
        row = next((row for row in rows if int(row.version) == version), None)
        if row is None:
            newest = f"; the newest is {rows[-1].version}" if rows else ""
            raise NotFoundError(f"the dataset {dataset!r} has no version {version}{newest}")
        absent = left_out(world, without)
        members = {world.vertex(batch) for batch in world.told.members(world.whole, row.id)}
        asked = [] if members and members <= absent else [(name, version)]
        start = [-row.id] if asked else []
        since = arrived(describe(world, start).values())
        reached = downstream(world, start, arrived=since, snapshots=asked, without=absent)
        question = Question("dataset", f"{dataset}@{version}", without=list(without))
        return forward(view, question, reached, {}, paths=paths)


def _all_of(
    view: View,
    world: World,
    question: Question,
    vertices: Sequence[int],
    paths: int,
    parts: Parts | None = None,
) -> Trace:
    """The answer about some batches, but for those that the question leaves out."""
    reached = reach(world, vertices, question, parts=parts)
    return forward(view, question, reached, {}, paths=paths)


def _vertices(world: World, batches: Collection[str], since: datetime | None) -> list[int]:
    """The vertices of batches that arrived since a moment."""
    return [
        world.vertex(row.id)
        for row in world.told.nodes.values()
        if row.kind == BATCH
        and row.version in batches
        and (since is None or row.received_at is None or row.received_at >= since)
    ]


def _brought(
    world: World, vertices: Collection[int], brought: Collection[tuple[Dataset, int]]
) -> Parts:
    """What was let in of some batches; it is gone where all of a batch was taken back."""
    nodes = {world.nodes.get(vertex, -vertex) for vertex in vertices}
    whole = holdings(world.told, nodes)
    found: dict[int, dict[Dataset, list[Change]]] = {node: {} for node in nodes}
    for dataset, changes in world.told.changes.items():
        for change in (change for change in changes if change.batch in nodes):
            gone = not whole[dataset].of(change.batch, change.version)
            if gone or (dataset, change.version) in brought:
                found[change.batch].setdefault(dataset, []).append(change)
    return found
