"""TraceIncidentOperator: from a compromised source to every model version that it reached."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import BaseNotifier, Context

    from lazaretto.lineage import Trace
    from lazaretto.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Incident:
    """A trace on record.

    Attributes:
        source: the compromised source.
        batches: its batches in the window.
        models: the model versions that learned from them, as ``name@version``.
        complete: whether the lineage has no gap that could hide another model.
        report_uri: the whole trace as JSON, in the store.
        seq: its ledger entry.
    """

    source: str
    batches: list[str]
    models: list[str]
    complete: bool
    report_uri: str
    seq: int


class TraceIncidentOperator(LazarettoOperator):
    """Follows what a source delivered in a window to the models, reports it and tells people.

    The window restricts only what the source delivered; from there every later version counts.
    Returns (XCom) the incident: ``source``, ``batches``, ``models``, ``complete``, ``report_uri``.

    Args:
        source: name of the compromised source. Templated.
        since: start of the compromise, ISO 8601, UTC unless it says otherwise; default: from ever.
            Templated.
        until: end of the compromise; default: until now. Templated.
        notifiers: called when a model version was reached; their templates know ``{{ incident }}``.
    """

    template_fields: Sequence[str] = (
        "source",
        "since",
        "until",
        *LazarettoOperator.template_fields,
    )

    def __init__(
        self,
        *,
        source: str,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        notifiers: Sequence[BaseNotifier] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.since = since
        self.until = until
        self.notifiers = notifiers

    def perform(self, workspace: Workspace, context: Context) -> Incident:
        """Calls `lazaretto.lineage.trace_source`, and puts the answer on record."""
        from lazaretto.lineage import trace_source

        since, until = _moment(self.since), _moment(self.until)
        trace = trace_source(workspace, self.source, since=since, until=until)
        incident = _put_on_record(workspace, trace, self.source, since, until)
        if incident.models:
            for notifier in self.notifiers:
                notifier({**context, "incident": incident})
        return incident


def _moment(value: str | datetime | None) -> datetime | None:
    """A moment in UTC from ISO 8601 text; a rendered template may be empty.

    Raises:
        UsageError: it is not ISO 8601.
    """
    from lazaretto.errors import UsageError

    if not value or value == "None":
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError as error:
        raise UsageError(
            f"not a moment in ISO 8601: {value!r}; for example 2026-01-02T00:00:00Z"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _put_on_record(
    workspace: Workspace, trace: Trace, source: str, since: datetime | None, until: datetime | None
) -> Incident:
    import hashlib
    import json

    from lazaretto import ledger
    from lazaretto.events import IncidentTraced
    from lazaretto.values import Actor, ActorType, to_json

    report = json.dumps(to_json(trace), indent=2, sort_keys=True).encode()
    uri = workspace.store.write(
        f"incidents/{source}/{hashlib.sha256(report).hexdigest()[:16]}.json", report
    )
    event = IncidentTraced(
        source=source,
        since=since,
        until=until,
        batches=[batch.id for batch in trace.batches],
        models=sorted(f"{model.name}@{model.version}" for model in trace.models),
        complete=trace.complete,
        report_uri=uri,
        actor=Actor(ActorType.SERVICE, "service:airflow"),
    )
    with workspace.catalog.transaction() as connection:
        seq = ledger.append(connection, event)
    return Incident(
        source=source,
        batches=event.batches,
        models=event.models,
        complete=event.complete,
        report_uri=uri,
        seq=seq,
    )
