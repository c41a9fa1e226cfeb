"""What promoting a version would change, for JSON and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from lazaretto.cli.reply import facts, grid
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
        "verdicts": sum(found.verdict_changed for found in changes),
        "released": sum(len(found.released) for found in changes),
        "seized": sum(len(found.seized) for found in changes),
        "changes": [
            {
                "batch": found.batch,
                "rows": found.rows,
                "old": found.old.value,
                "new": found.new.value,
                "released": len(found.released),
                "seized": len(found.seized),
                "released_ids": list(found.released[:_IDS_TOLD]),
                "seized_ids": list(found.seized[:_IDS_TOLD]),
            }
            for found in changes
        ],
    }


def in_words(data: dict[str, Any]) -> str:
    """The counts in a sentence."""
    if data["old"] is None:
        return "No version is in use yet."
    if not data["batches"]:
        return f"No batch was screened yet that {data['new']} could be tried on."
    return (
        f"On the last {counted(data['batches'], 'batch')} {data['new']} gives "
        f"{counted(data['verdicts'], 'other verdict')} than {data['old']}, releases "
        f"{counted(data['released'], 'record')} and seizes {data['seized']}."
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
            found["batch"],
            found["rows"],
            found["old"],
            found["new"] if found["new"] != found["old"] else "the same",
            found["released"],
            found["seized"],
        )
        for found in data["changes"]
    ]
    columns = ["batch", "records", "before", "after", "released", "seized"]
    return Group(facts(head), *([grid(columns, rows, whole=1)] if rows else []))
