"""How it is shown what catalog and store disagree on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from lazaretto.cli.layout import facts
from lazaretto.cli.text import cell, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lazaretto.dataset.compare import Disagreement
    from lazaretto.health import Reconciled

_SHOWN = 20


def reconciled(found: Reconciled) -> RenderableType:
    """What was found, and what was done or would be."""
    parts: list[RenderableType] = []
    for plan in found.datasets:
        parts += [cell(""), facts(_of_dataset(plan, found))]
    again = [f"{one.batch} from {one.uri}" for one in found.gone]
    parts += _listed("stored files are gone; deliver these again", again)
    unknown = [one.batch for one in found.unknown]
    parts += _listed("in the store, and not on the ledger; deliver these again", unknown)
    outcome = "tables and ledger say the same"
    if any(plan.table_differs for plan in found.datasets):
        outcome = "the tables are what the ledger says" if found.done else "add --apply to do it"
    if found.lost and not found.given_up:
        outcome += "; records are lost: restore their files from a backup, or add --accept-loss"
    return Group(facts({"result": outcome}), *parts)


def _of_dataset(plan: Disagreement, found: Reconciled) -> dict[str, object]:
    table = "none" if plan.found < 0 else f"version {plan.found}"
    shown: dict[str, object] = {
        "dataset": plan.dataset,
        "on record": f"version {plan.recorded}",
        "table": table,
    }
    if plan.set_aside:
        shown["not on record"] = plan.problem
        aside = "set aside" if found.done else "would be set aside"
        shown[aside] = f"{counted(len(plan.set_aside), 'file')} of its log: {_some(plan.set_aside)}"
    if plan.commits:
        again = "committed again" if found.done else "would be committed again"
        shown[again] = f"versions {plan.commits[0]} to {plan.commits[-1]}"
    for part in plan.lost[:_SHOWN]:
        returns = part.batch in plan.readmissible
        then = "may be admitted again" if returns else "records of it were recalled: for good"
        shown[f"lost of {part.batch}"] = f"{counted(part.rows, 'record')} ({part.part}); {then}"
    if len(plan.lost) > _SHOWN:
        shown["lost besides"] = f"{counted(len(plan.lost) - _SHOWN, 'part')} (--json)"
    return shown


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _listed(title: str, names: Iterable[str]) -> Iterator[RenderableType]:
    lines = list(names)
    if lines:
        yield cell("")
        yield cell(f"{title} ({len(lines)})", "bold")
        yield from (cell(f"  {line}") for line in lines[:_SHOWN])
        if len(lines) > _SHOWN:
            yield cell(f"  and {len(lines) - _SHOWN} more (--json)")
