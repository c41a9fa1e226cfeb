"""What cleaning found in a batch, for people who look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from lazaretto.errors import NotFoundError
from lazaretto.ledger.chain import newest
from lazaretto.ledger.events import BatchValidated
from lazaretto.received import find_batch
from lazaretto.storage.sidecars import read_table
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Found:
    """One finding.

    Attributes:
        record_id: of the record.
        position: row of the batch.
        rule: that found it.
        column: that it is about; None for several.
        action: what becomes of the record by this rule: ``hold``, ``drop``, ``fix`` or ``flag``.
        text: what the rule asks for, or of what the record is a copy.
        value: the beginning of what was delivered, made visible.
        mended: the beginning of the value that goes on in its place.
    """

    record_id: str
    position: int
    rule: str
    column: str | None
    action: str
    text: str
    value: str | None
    mended: str | None = None


def list_found(
    workspace: Workspace,
    batch: str,
    *,
    rule: str | None = None,
    action: str | None = None,
    limit: int = 100,
) -> list[Found]:
    """The first findings of the newest validation of a batch, in order of its records.

    Args:
        workspace: catalog and store.
        batch: its id.
        rule: only of this one; `cleaning.` may be left out.
        action: only of this one.
        limit: at most so many.

    Raises:
        NotFoundError: no such batch, or its newest validation did not clean.
        ChangedFileError: a file is gone, or its bytes are others.
    """
    with workspace.catalog.read() as connection:
        find_batch(connection, batch)
        entry = newest(connection, f"batch:{batch}", [BatchValidated.kind])
    event = None if entry is None else entry.event
    if not isinstance(event, BatchValidated) or event.cleaned is None:
        raise NotFoundError(
            f"{batch} was not cleaned: give the policy a section `cleaning`, and run `lazaretto "
            "batch validate` again"
        )
    found = read_table(workspace.store, event.cleaned.findings)
    if rule is not None:
        name = rule if rule.startswith("cleaning.") else f"cleaning.{rule}"
        found = found.filter(pc.equal(found["rule"], name))
    if action is not None:
        found = found.filter(pc.equal(found["action"], action))
    mended: dict[tuple[int, str], str] = {}
    if event.cleaned.fixes is not None:
        fixes = read_table(workspace.store, event.cleaned.fixes)
        columns = (fixes[name].to_pylist() for name in ("position", "column", "fixed"))
        mended = {(at, name): text for at, name, text in zip(*columns, strict=True)}
    return [
        Found(
            **row,
            mended=excerpt(mended[row["position"], row["column"]], _SHOWN)
            if row["action"] == "fix" and (row["position"], row["column"]) in mended
            else None,
        )
        for row in found.slice(0, limit).to_pylist()
    ]
