"""Whether records fit a dataset as it is now, asked before they are judged or released."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lazaretto.dataset.admission import is_unused
from lazaretto.dataset.delta import arrow_schema
from lazaretto.dataset.evolve import (
    find_change,
    first_inexact,
    look_at_values,
    needs_look,
    old_value_stays,
)
from lazaretto.dataset.files import read_rows
from lazaretto.dataset.history import version_files
from lazaretto.dataset.table import open_newest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    import pyarrow as pa

    from lazaretto.dataset.evolve import Fit
    from lazaretto.dataset.table import Newest
    from lazaretto.policy import Evolve
    from lazaretto.storage.workspace import Workspace


def find_fit(
    workspace: Workspace,
    dataset: str,
    delivered: pa.Schema,
    chunks: Callable[[list[str]], Iterable[pa.RecordBatch]],
    rules: Evolve,
    named: Collection[str],
) -> Fit:
    """What a dataset needs so that records fit it, and why they do not, if so.

    Values are read only of columns whose types leave it open.

    Args:
        workspace: catalog and store.
        dataset: its name.
        delivered: columns of the records.
        chunks: gives the records with some of their columns.
        rules: of the policy.
        named: columns that the contract names.

    Raises:
        ChangedDatasetError: the table is not the one that is on record.
        SystemFaultError: store or catalog cannot be used.
    """
    with workspace.catalog.read() as connection:
        unused = is_unused(connection, dataset)
    newest = None if unused else open_newest(workspace, dataset)
    today = None if newest is None or newest.table is None else arrow_schema(newest.table)
    change = find_change(delivered, today, rules, named)
    if change.problems:
        return change
    if change.doubtful:
        change = look_at_values(change, chunks(list(change.doubtful)))
    if newest is None or today is None or not change.wider:
        return change
    stays = _too_narrow(workspace, newest, change, needs_look(today, change))
    return replace(change, problems=(*change.problems, *stays))


def _too_narrow(
    workspace: Workspace, newest: Newest, change: Fit, names: list[str]
) -> Iterator[str]:
    """Why columns of a dataset cannot get their wider types: the first old value of each."""
    if not names:
        return
    with workspace.catalog.read() as connection:
        files = version_files(connection, newest.dataset, newest.version)
    left = set(names)
    for file in files:
        there = [name for name in names if name in left]
        for chunk in read_rows(workspace.store, [file], columns=there, missing=True):
            for name in left.intersection(chunk.schema.names):
                kind = change.columns.field(name).type
                value = first_inexact(chunk.column(name), kind)
                if value is not None:
                    left.discard(name)
                    yield old_value_stays(name, value, kind)
