"""The doctor: looks at everything that a working installation needs, and says what to do.

It makes, changes and repairs nothing: no catalog, no folder, no file. It is quick; whether all
files and rows are what the ledger says is the question of `lazaretto.health.check`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lazaretto.health import examine_machine, examine_policy, examine_workspace
from lazaretto.health.examine_airflow import airflow
from lazaretto.health.examined import Line, State, examined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Examination:
    """What the doctor found.

    Attributes:
        state: the worst of the lines: ``failure``, ``warning``, ``cannot say`` or ``ok``.
        lines: one or more for each thing that was looked at, in a fixed order.
    """

    state: State
    lines: list[Line]


def examine(
    open_workspace: Callable[[], Workspace],
    *,
    policy: str | Path | None = None,
    now: datetime | None = None,
) -> Examination:
    """Examines an installation.

    Args:
        open_workspace: opens catalog and store, and makes neither.
        policy: a policy file to examine as well, with its encoder and its reference; default: what
            is in force, as far as the ledger has it.
        now: aware time that counts as now; default: the clock.

    Returns:
        The lines; errors are among them, so that one of them hides nothing else.
    """
    moment = now or datetime.now(UTC)
    lines = list(_lines(open_workspace, policy, moment))
    states = {line.state for line in lines}
    worst = next(s for s in _WORST_FIRST if s in states or s is State.OK)
    return Examination(worst, lines)


_WORST_FIRST = (State.FAILURE, State.WARNING, State.CANNOT_SAY, State.OK)


def _lines(
    open_workspace: Callable[[], Workspace], policy: str | Path | None, now: datetime
) -> Iterator[Line]:
    yield from examined("lazaretto", examine_machine.versions)
    yield from examined("libraries", examine_machine.libraries)
    opened: list[Workspace] = []

    def opening() -> Iterator[Line]:
        workspace = open_workspace()
        opened.append(workspace)
        yield from examine_workspace.catalog(workspace)

    yield from examined("catalog", opening)
    workspace = opened[0] if opened else None
    if workspace is not None:
        for subject, look in examine_workspace.looks(workspace, now).items():
            yield from examined(subject, look)
    yield from examined("disk", lambda: examine_machine.disk(workspace))
    yield from examined("airflow", lambda: airflow(workspace))
    yield from examine_policy.policy_lines(workspace, policy)
