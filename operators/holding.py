"""Telling people of a hold: each is told once, whatever is retried, cleared or run again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lazaretto.operators.links import page_url
from lazaretto.operators.telling import bounded_notes, bounded_reasons, hold_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context

    from lazaretto.operators.base import LazarettoOperator
    from lazaretto.stages.judgement import Judgement
    from lazaretto.storage.workspace import Workspace

    OnHold = Callable[[Any], object]

_ITS_OWN_RUN = timedelta(minutes=5)
"""So long another run of the same delivery leaves it to the one that judged to tell of a hold."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What people are told of a hold. Text that a source may have written is escaped and bounded.

    Attributes:
        batch: id of the batch.
        source: who delivered it.
        dataset: that it was judged for.
        verdict: ``HOLD_RECORDS``, ``HOLD_BATCH`` or ``ABSTAIN``.
        case: id of the review case; None where the batch has no record that could be held.
        rows: records of the batch.
        held: records in quarantine.
        reasons: held records by their first reason, the greatest number first; at most 50.
        notes: what is wrong, in words; at most 50.
        link: address of the case on the review page.
    """

    batch: str
    source: str
    dataset: str
    verdict: str
    case: str | None
    rows: int
    held: int
    reasons: dict[str, int]
    notes: list[str]
    link: str


def is_held(judged: Judgement) -> bool:
    """Whether anything is held by a judgement; one in shadow holds nothing."""
    return judged.shadow is None and (judged.held > 0 or judged.verdict.holds_batch)


def tell_of_hold(
    operator: LazarettoOperator,
    workspace: Workspace,
    context: Context,
    judged: Judgement,
    hooks: Sequence[OnHold],
    *,
    made_now: bool,
) -> None:
    """Warns in the log that something is held, and calls the hooks unless they were called before.

    That they were called goes on the ledger behind the calls: a task that is killed in between
    calls them twice rather than never. A hook that fails stops neither the gate nor the other
    hooks; all are called again when the task is cleared. Where two runs judge one delivery at
    once, the one that made the judgement calls them.

    Args:
        operator: the running task's.
        workspace: catalog and store.
        context: Airflow's; hooks get it with ``hold``, a `Hold`.
        judged: what the gate decided.
        hooks: callbacks or notifiers.
        made_now: whether this task made the judgement.
    """
    if not is_held(judged):
        return
    line = hold_line(judged)
    operator.log.warning(line.text, **line.fields)
    if not hooks:
        return
    from lazaretto.quarantine.announce import hold_to_announce, record_hold_announced

    at = hold_to_announce(workspace, judged.batch, judged.seq)
    again = (getattr(context["ti"], "try_number", 1) or 1) != 1
    if at is None or not (made_now or again or datetime.now(UTC) - at > _ITS_OWN_RUN):
        return
    if called(operator, {**context, "hold": _hold(judged)}, hooks, "on_hold"):
        record_hold_announced(workspace, judged.batch, judged.seq)


def called(
    operator: LazarettoOperator, context: dict[str, Any], hooks: Sequence[OnHold], name: str
) -> bool:
    """Calls hooks, each whatever became of the others; whether all went well.

    Args:
        operator: the running task's, which logs what went wrong.
        context: what they get.
        hooks: callbacks or notifiers.
        name: of the argument that they were given by.
    """
    from lazaretto.redact import error_line

    well = True
    for hook in hooks:
        try:
            hook(context)
        except Exception as error:  # whatever a hook of somebody else does
            well = False
            operator.log.error(
                "%s: %s failed, and is called again when this task is cleared: %s",
                name,
                getattr(hook, "__name__", type(hook).__name__),
                error_line(error, limit=1000),
            )
    return well


def _hold(judged: Judgement) -> Hold:
    return Hold(
        batch=judged.batch,
        source=judged.batch.rpartition("/")[0],
        dataset=judged.dataset,
        verdict=judged.verdict.value,
        case=judged.case,
        rows=judged.rows,
        held=judged.held,
        reasons=bounded_reasons(judged.reasons),
        notes=bounded_notes(judged.notes),
        link=page_url(judged.batch),
    )


def hooks_of(on_hold: OnHold | Sequence[OnHold] | None) -> list[OnHold]:
    """One hook or several, as a list.

    Raises:
        ValueError: one of them cannot be called.
    """
    given = [] if on_hold is None else [on_hold] if callable(on_hold) else list(on_hold)
    if odd := [hook for hook in given if not callable(hook)]:
        raise ValueError(
            f"hooks are callbacks and notifiers, which are called; {odd[0]!r} cannot be called"
        )
    return given
