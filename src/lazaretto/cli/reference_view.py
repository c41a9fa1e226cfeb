"""What promoting a version would change, for JSON and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from lazaretto.cli.layout import facts, grid
from lazaretto.cli.text import counted

if TYPE_CHECKING:
    from lazaretto.registry.changes import Change
    from lazaretto.registry.stored import StoredReference

_IDS_TOLD = 20


def describe_changes(
    old: StoredReference | None, new: StoredReference, changes: list[Change]
) -> dict[str, Any]:
    """Counts in all and per batch; of the records, the first ids."""
    return {
        "old": None if old is None else f"{old.name}/{old.version}",
        "new": f"{new.name}/{new.version}",
        "batches": len(changes),
        "verdicts": sum(change.verdict_changed for change in changes),
        "no_longer_held": sum(len(change.no_longer_held) for change in changes),
        "newly_held": sum(len(change.newly_held) for change in changes),
        "changes": [
            {
                "batch": change.batch,
                "rows": change.rows,
                "old": change.old.value,
                "new": change.new.value,
                "no_longer_held": len(change.no_longer_held),
                "newly_held": len(change.newly_held),
                "no_longer_held_ids": list(change.no_longer_held[:_IDS_TOLD]),
                "newly_held_ids": list(change.newly_held[:_IDS_TOLD]),
            }
            for change in changes
        ],
    }


def in_words(data: dict[str, Any]) -> str:
    """The counts in a sentence."""
    if data["old"] is None:
        return "No version is in use yet."
    if not data["batches"]:
        return f"No batch was screened yet that {data['new']} could be tried on."
    verdicts, left, new = data["verdicts"], data["no_longer_held"], data["newly_held"]
    return (
        f"Compared with {data['old']} on the last {counted(data['batches'], 'batch')}: "
        f"{counted(verdicts, 'verdict')} {'changes' if verdicts == 1 else 'change'}, "
        f"{counted(left, 'record')} {'is' if left == 1 else 'are'} no longer held, "
        f"{new} {'is' if new == 1 else 'are'} newly held."
    )


def changes_view(data: dict[str, Any], *, promoted: bool = False) -> RenderableType:
    """Tables of what `describe_changes` gave."""
    head: dict[str, Any] = {"in use": data["new"] if promoted else data["old"]}
    if promoted:
        head["before"] = data["old"]
        if data["old"] is not None:
            head["undo"] = f"lazaretto reference promote {data['old']}"
    else:
        head["candidate"] = data["new"]
    head["on past batches"] = in_words(data)
    rows = [
        (
            change["batch"],
            change["rows"],
            change["old"],
            change["new"] if change["new"] != change["old"] else "the same",
            change["no_longer_held"],
            change["newly_held"],
        )
        for change in data["changes"]
    ]
    columns = ["batch", "records", "before", "after", "no longer held", "newly held"]
    return Group(facts(head), *([grid(columns, rows, title="Batch by batch")] if rows else []))
