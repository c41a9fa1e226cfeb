"""What a source reached, for somebody who waits for it and may not see every dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lineage.trace.bounded import BoundedTrace, trace_command, trace_source_within
from lazaretto.plugins.asked import moment
from lazaretto.sources.registry import get_source

if TYPE_CHECKING:
    from collections.abc import Collection

    from lazaretto.storage.workspace import Workspace


def trace_for(
    workspace: Workspace, name: str, since: str, until: str, hidden: Collection[str]
) -> BoundedTrace:
    """Traces a source, unless that takes too long or tells of what somebody may not see.

    Part of an answer would look like the whole.

    Args:
        workspace: catalog and store.
        name: of the source.
        since: start of the window, as an address has it.
        until: its end.
        hidden: datasets that whoever asks may not see.
    """
    window = moment(since), moment(until)
    if hidden:
        get_source(workspace, name)
        why = "an answer may tell of datasets that you may not see in Airflow"
        return BoundedTrace(None, why, trace_command(name, *window))
    return trace_source_within(workspace, name, *window)
