"""From the ledger to OpenLineage: which batches a version of the admitted dataset holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.dataset.snapshots import members as members_of
from lazaretto.dataset.snapshots import version_digest
from lazaretto.lineage.openlineage import datasets, naming
from lazaretto.lineage.openlineage.facts import Context, Facts, decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openlineage.client.event_v2 import InputDataset, OutputDataset

    from lazaretto.ledger import events
    from lazaretto.values import Member


def snapshot_taken(event: events.SnapshotTaken, context: Context) -> Facts:
    """A training view, built from these batches; or from an earlier one and what came since.

    All batches are named where that is short, or where batches left since the earlier one: whoever
    follows the earlier version would see them all the same.
    """
    present = [member for member in event.members if member.rows]
    if event.since is not None and len(present) < len(event.members):
        files = context.files(event.dataset, event.version)
        present = present if files is None else members_of(files)
    whole = len(present) == event.batches <= datasets.MAX_PARTITIONS
    since = None if whole else event.since
    earlier = [] if since is None else [_version(context, event.dataset, since)]
    return Facts(
        naming.job("snapshot", event.dataset),
        "SNAPSHOT",
        inputs=earlier + datasets.members(context.store_root, present),
        outputs=[
            _state(
                context,
                event.dataset,
                event.version,
                event.digest,
                present,
                count=event.batches,
                rows=event.rows,
                # Where neither all batches are named nor a version that had the others, what the
                # table held before must stay in it.
                replaced=whole or since is not None,
            )
        ],
    )


def records_recalled(event: events.RecordsRecalled, context: Context) -> Facts:
    """Records left the admitted dataset: the new version holds the batches that are left."""
    inputs, outputs = _left(context, event)
    return Facts(
        naming.job("recall", event.dataset),
        "RECALL",
        inputs=inputs,
        outputs=outputs,
        run_facets=decision(
            context,
            "RECALLED",
            [member.batch for member in event.members] + list(event.models) or [event.dataset],
            actor=context.actor,
            reason=event.reason,
            records={"total": event.records, "rejected": event.records},
            decision_id=event.recall,
        ),
    )


def dataset_grown(event: events.DatasetGrown, context: Context) -> Facts:
    """A dataset got columns, or wider ones: a version with the same records."""
    output = datasets.written(
        naming.admitted(context.store_root, event.dataset),
        str(event.version),
        type_="TABLE",
        facets=datasets.schema([*event.added, *event.widened])
        | datasets.storage("delta", "parquet"),
    )
    return Facts(
        naming.job("grow", event.dataset),
        "GROW",
        inputs=[_version(context, event.dataset, event.version - 1)],
        outputs=[output],
    )


def dataset_compacted(event: events.DatasetCompacted, context: Context) -> Facts:
    """Small files of a dataset were put together: a version with the same records."""
    output = datasets.written(
        naming.admitted(context.store_root, event.dataset),
        str(event.version),
        type_="TABLE",
        facets=datasets.storage("delta", "parquet"),
    )
    return Facts(
        naming.job("maintain", event.dataset),
        "MAINTAIN",
        inputs=[_version(context, event.dataset, event.version - 1)],
        outputs=[output],
    )


def rows_lost(event: events.RowsLost, context: Context) -> Facts:
    """Records were lost with their files: the new version holds the batches that are left."""
    lost = sum(part.rows for part in event.parts)
    inputs, outputs = _left(context, event)
    return Facts(
        naming.job("reconcile", event.dataset),
        "RECONCILE",
        inputs=inputs,
        outputs=outputs,
        run_facets=decision(
            context,
            "LOST",
            [part.batch for part in event.parts],
            actor=context.actor,
            reason=f"{lost} records are gone from the store",
            records={"total": lost, "rejected": lost},
        ),
    )


def _left(
    context: Context, event: events.RecordsRecalled | events.RowsLost
) -> tuple[list[InputDataset], list[OutputDataset]]:
    """What is left after records went; as all that was there before, where that is not known."""
    files = context.files(event.dataset, event.version)
    held = [] if files is None else members_of(files)
    named = files is not None and len(held) <= datasets.MAX_PARTITIONS
    output = _state(
        context,
        event.dataset,
        event.version,
        None if files is None else version_digest(event.schema, files),
        held,
        count=len(held),
        rows=None if files is None else sum(member.rows for member in held),
        replaced=True,
    )
    if named:
        return datasets.members(context.store_root, held), [output]
    return [_version(context, event.dataset, event.version - 1)], [output]


def _version(context: Context, dataset: str, version: int) -> InputDataset:
    where = naming.admitted(context.store_root, dataset)
    return datasets.read(where, str(version), type_="TABLE")


def _state(
    context: Context,
    dataset: str,
    version: int,
    digest: str | None,
    held: Sequence[Member],
    *,
    count: int,
    rows: int | None,
    replaced: bool,
) -> OutputDataset:
    """A version as an output: its members are complete where the run's inputs name them all."""
    members = datasets.Members(count, [member.batch for member in held])
    facets = datasets.artifact("SNAPSHOT", str(version), digest, rows=rows, members=members)
    return datasets.written(
        naming.admitted(context.store_root, dataset),
        str(version),
        type_="TABLE",
        rows=rows,
        facets=facets | (datasets.replaced() if replaced else {}),
    )
