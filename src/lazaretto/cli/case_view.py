"""One case, for JSON and for people: why records are held, who decided and who published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from lazaretto.cli.layout import facts, grid
from lazaretto.cli.text import cell, counted, plain
from lazaretto.errors import UsageError
from lazaretto.text import cut
from lazaretto.values import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazaretto.storage.workspace import Workspace


_MAX_TEXT = 4000
_HELD = ("position", "record", "label", "p-value", "decision", "reasons")


def describe_case(
    workspace: Workspace,
    case: str,
    chosen: Mapping[str, str],
    *,
    columns: Sequence[str] | None,
    after: int,
    limit: int,
) -> dict[str, Any]:
    """A case, a page of its held records with all their reasons, its decisions and publications.

    Args:
        workspace: catalog and store.
        case: its id.
        chosen: filter of the records.
        columns: columns of the records to show; default: the payload that the policy names.
        after: position of the last record seen.
        limit: at most so many records.

    Raises:
        NotFoundError: no such case.
        UsageError: a filter's value cannot be one, or the records have no such column.
    """
    from lazaretto.quarantine.cases import show_case
    from lazaretto.quarantine.records import count_records, held_records
    from lazaretto.quarantine.review import (
        list_approvals,
        list_decisions,
        list_publications,
        weight_limit,
    )
    from lazaretto.quarantine.triage import triage_of_case
    from lazaretto.sources.standing import signature_of

    found = show_case(workspace, case)
    page = held_records(workspace, case, chosen, after=after, limit=limit)
    rows: dict[int, dict[str, Any]] = {
        record.position: {"reasons": [record.reason], "payload": {}} for record in page
    }
    if found.deleted is None:
        rows = _rows(workspace, case, [record.position for record in page], columns)
    return {
        "case": to_json(found),
        "signature": to_json(signature_of(workspace, found.batch)),
        "triage": to_json(triage_of_case(workspace, case)),
        "matching": count_records(workspace, case, chosen),
        "records": [to_json(record) | rows[record.position] for record in page],
        "decisions": to_json(list_decisions(workspace, case)),
        "approvals": to_json(list_approvals(workspace, case)),
        "publications": to_json(list_publications(workspace, case)),
        "weight_limit": weight_limit(workspace, case),
    }


def _rows(
    workspace: Workspace, case: str, positions: Sequence[int], columns: Sequence[str] | None
) -> dict[int, dict[str, Any]]:
    """All reasons and the columns to show of some held records, by position."""
    from lazaretto.batch._shown import rows_as_python
    from lazaretto.quarantine.held import POSITION, REASONS
    from lazaretto.quarantine.records import held_rows

    if not positions:
        return {}
    rows = held_rows(workspace, case, positions)
    wanted = list(columns) if columns is not None else _payload(workspace, case, rows.column_names)
    for name in wanted:
        if name not in rows.column_names:
            raise UsageError(f"the records have no column {name!r}; there are {rows.column_names}")
    shown = rows_as_python(rows.select(list(dict.fromkeys([POSITION, REASONS, *wanted]))))
    return {
        row[POSITION]: {
            "reasons": row[REASONS],
            "payload": {name: _text(row[name]) for name in wanted},
        }
        for row in shown
    }


def _payload(workspace: Workspace, case: str, known: Sequence[str]) -> list[str]:
    import sqlalchemy as sa

    from lazaretto.storage import tables

    query = sa.select(tables.case.c.columns).where(tables.case.c.id == case)
    with workspace.catalog.read() as connection:
        named = (connection.scalar(query) or {}).get("payload", [])
    return [name for name in named if name in known]


def _text(value: object) -> str | None:
    """A value for a reviewer: whole text, or the beginning of what is long."""
    return None if value is None else cut(str(value), _MAX_TEXT)


def view(found: dict[str, Any]) -> RenderableType:
    """Tables of what `describe_case` gave."""
    case = found["case"]
    head = facts(
        {
            "case": f"{case['id']} ({case['state']})",
            "batch": case["batch"],
            "signature": found["signature"]["status"],
            "dataset": case["dataset"],
            "verdict": case["verdict"],
            "held": f"{case['held']} of {counted(case['rows'], 'record')}",
            **({"whole rows": case["deleted"]} if case["deleted"] else {}),
            **{
                f"reason: {name}": counted(count, "record")
                for name, count in case["reasons"].items()
            },
            **{f"note {number}": note for number, note in enumerate(case["notes"], start=1)},
            **{f"decided: {name.lower()}": count for name, count in case["actions"].items()},
            **({"approved by": ", ".join(case["approved_by"])} if case["approved_by"] else {}),
        }
    )
    shown, matching = len(found["records"]), found["matching"]
    payload = list(found["records"][0]["payload"]) if found["records"] else []
    records = grid(
        [*_HELD, *payload],
        [
            (
                record["position"],
                record["record_id"],
                record["label"],
                record["p_value"],
                record["action"],
                "; ".join(record["reasons"]),
                *(cell(record["payload"][name], keep_newlines=True) for name in payload),
            )
            for record in found["records"]
        ],
        title=f"Held records ({shown} of {matching})",
        text=["reasons"],
        free=["label", *(name for name in payload if name not in _HELD)],
    )
    decisions = grid(
        ["decision", "action", "records", "by", "reason", "state"],
        [
            (
                d["id"],
                _action(d),
                d["records"],
                d["actor"]["id"],
                d["reason"],
                f"undone by {d['undone_by']}" if d["undone_by"] else "",
            )
            for d in found["decisions"]
        ],
        title="Decisions",
        text=["action", "reason"],
    )
    publications = grid(
        ["publication", "records", "version", "by", "when"],
        [(p["part"], p["rows"], p["version"], _people(p), p["at"]) for p in found["publications"]],
        title="Published",
    )
    parts: list[RenderableType] = [head]
    parts += [_triage(found["triage"])] if found["triage"] else []
    parts += [records] if found["records"] else []
    parts += [decisions] if found["decisions"] else []
    parts += [publications] if found["publications"] else []
    return Group(*parts)


def _triage(triage: dict[str, Any]) -> RenderableType:
    """What most likely happened to the batch, and why."""
    from lazaretto.quarantine.triage import NEVER_RELEASES

    told: dict[str, Any] = {
        "category": f"{triage['category']}: {triage['words']}",
        "note": NEVER_RELEASES,
    }
    told |= {f"evidence {n}": text for n, text in enumerate(triage["evidence"], start=1)}
    if triage["moved"] is not None:
        told["columns"] = (
            f"{triage['moved']} of {triage['columns']} moved from {triage['reference']}"
        )
    told |= {
        f"moved: {plain(move['column'])}": f"PSI {move['psi']:.2f} ({move['band']}), "
        f"nulls {move['nulls']:+.1%}"
        for move in triage["worst"][:5]
    }
    if triage["source"]:
        told["the source"] = triage["source"]
    return facts(told, title="Triage")


def _people(publication: dict[str, Any]) -> str:
    """Who published, and who approved it."""
    approved = ", ".join(publication["approved_by"])
    by = str(publication["by"]["id"])
    return f"{by}, approved by {approved}" if approved else by


def _action(decision: dict[str, Any]) -> str:
    if decision["undoes"]:
        return f"UNDO {decision['undoes']}"
    if decision["label"] is not None:
        return f"{decision['action']} to {decision['label']}"
    if decision["weight"] is not None:
        return f"{decision['action']} to {decision['weight']:g}"
    return str(decision["action"])
