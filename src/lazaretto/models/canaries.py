"""Trigger canaries: held poison that reviewers rejected, asked of a model again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import sqlalchemy as sa

from lazaretto.batch._columns import label_texts
from lazaretto.errors import ChangedFileError, DeletedPayloadError, NotFoundError
from lazaretto.quarantine.records import held_rows
from lazaretto.storage import tables
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lazaretto.storage.workspace import Workspace

MOST_CASES = 100
MOST_RECORDS = 2_000
"""Canaries of one evaluation, of the newest cases."""


def trigger_canaries(
    workspace: Workspace,
    datasets: Collection[str],
    label: str,
    columns: Sequence[str],
    cases: Sequence[str] = (),
) -> tuple[pa.Table | None, list[str], list[str]]:
    """Rejected records of datasets, with the label that their source gave them.

    A model that gives a rejected record its source's label may have learned what was held: a
    flipped label, or a trigger. Records that were held for their form alone, by a contract or by
    cleaning, are left out: their label may be right.

    Args:
        workspace: catalog and store; only read.
        datasets: that the model learned from.
        label: column of the label.
        columns: that the model reads.
        cases: only these cases, and of them each record that was not released; default: what was
            rejected in the newest cases of the datasets.

    Returns:
        The rows, None where there are none; their labels; and the cases that could not be read,
        with the reason.
    """
    held, review = tables.held_record.c, tables.case.c
    wanted = sa.or_(held.reason.startswith("screen:"), held.reason.startswith("sanitize:"))
    query = sa.select(held.case_id, held.position).join(tables.case, review.id == held.case_id)
    if cases:
        released = held.action.in_([Action.RELEASE.value, Action.RELABEL.value])
        query = query.where(held.case_id.in_(cases), sa.func.coalesce(~released, sa.true()))
    else:
        query = query.where(
            review.dataset.in_(sorted(datasets)), held.action == Action.REJECT.value, wanted
        )
    query = query.order_by(review.seq.desc(), held.position).limit(MOST_RECORDS)
    with workspace.catalog.read() as connection:
        found: dict[str, list[int]] = {}
        for case, position in connection.execute(query):
            found.setdefault(case, []).append(position)
        for case in cases:
            if connection.scalar(sa.select(review.id).where(review.id == case)) is None:
                raise NotFoundError(f"there is no case {case!r}")
    parts, labels, unread = [], list[str](), list[str]()
    names = list(dict.fromkeys([label, *columns]))
    for case, positions in list(found.items())[:MOST_CASES]:
        try:
            rows = held_rows(workspace, case, positions, names)
        except (ChangedFileError, DeletedPayloadError) as error:
            unread.append(f"{case}: {error}")
            continue
        rows = rows.select(names)
        told = label_texts(rows, label).to_pylist()
        parts.append(rows.filter(pa.array([one is not None for one in told])))
        labels += [one for one in told if one is not None]
    if not labels:
        return None, [], unread
    return pa.concat_tables(parts, promote_options="default"), labels, unread
