"""TraceIncidentOperator: from a compromised source to every model version that it reached."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Incident:
    """A trace on record.

    Attributes:
        source: the compromised source.
        batches: its batches in the window.
        models: the model versions that learned from them, as ``name@version``.
        unknown: the model versions that may have, as far as anybody knows.
        complete: whether the lineage has no gap that could hide another model.
        json_uri: the whole trace as JSON, in the store.
        html_uri: the same as one page to read.
        seq: its ledger entry.
    """

    source: str
    batches: list[str]
    models: list[str]
    unknown: list[str]
    complete: bool
    json_uri: str
    html_uri: str
    seq: int


class TraceIncidentOperator(LazarettoOperator):
    """Follows what a source delivered in a window to the models, reports it and tells people.

    The window restricts only what the source delivered; from there every later version counts.
    Returns (XCom) the incident: ``source``, ``batches``, ``models``, ``unknown``, ``complete``,
    ``json_uri``, ``html_uri``. `OpenIncidentOperator` keeps a question open and asks it again.

    Args:
        source: name of the compromised source. Templated.
        since: start of the compromise, ISO 8601, UTC unless it says otherwise; default: from ever.
            Templated.
        until: end of the compromise; default: until now. Templated.
        notifiers: called when a model version was reached, and when nobody can say whether one was;
            their templates know ``{{ incident }}``. Like those of every operator they are called,
            too, when something stored was changed.

    Examples:
        >>> task = TraceIncidentOperator(
        ...     task_id="trace",
        ...     source="vendor",
        ...     since="{{ params.since }}",
        ...     until="{{ params.until }}",
        ... )
        >>> task.task_id
        'trace'
    """

    stage_name = "trace"
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.since = since
        self.until = until

    def perform(self, workspace: Workspace, context: Context) -> Incident:
        """Calls `lazaretto.lineage.trace_source`, and puts the answer on record."""
        from lazaretto.incidents.question import answer_of
        from lazaretto.lineage import keep_report, trace_source
        from lazaretto.values import Question

        since, until = moment(self.since), moment(self.until)
        trace = trace_source(workspace, self.source, since, until)
        answer = answer_of(trace, Question("source", self.source, since, until))
        kept = keep_report(workspace, trace)
        incident = Incident(
            source=self.source,
            batches=answer.batches,
            models=answer.models,
            unknown=answer.unknown,
            complete=answer.complete,
            json_uri=kept.json_uri,
            html_uri=kept.html_uri,
            seq=kept.seq,
        )
        # Silence would be taken for the answer that nothing was reached.
        if incident.models or incident.unknown or not incident.complete:
            for notifier in self.notifiers:
                notifier({**context, "incident": incident})
        return incident


def moment(value: str | datetime | None) -> datetime | None:
    """A moment in UTC from ISO 8601 text, or ``yesterday``; a rendered template may be empty.

    Raises:
        UsageError: it is no moment.
    """
    from lazaretto.times import asked_time

    if not value or value == "None":
        return None
    text = value.isoformat() if isinstance(value, datetime) else value
    return asked_time(text)
