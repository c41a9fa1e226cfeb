"""OpenIncidentOperator: opens an incident, or asks an open one again, and tells people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator
from lazaretto.operators.holding import called, hooks_of
from lazaretto.operators.links import incident_url
from lazaretto.operators.trace_incident import moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.sdk import Context

    from lazaretto.incidents import Incident, News
    from lazaretto.operators.holding import OnHold
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import HoldKind, IncidentQuestion

_MOST = 50
_LONG = 300


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """What people and later tasks are told of an incident. What sources wrote is escaped, bounded.

    Attributes:
        id: of the incident.
        title: one line.
        kind: what is asked about: ``source``, ``batch``, ``record`` or ``model``.
        subject: its name.
        reason: why it was opened.
        batches: how many batches are in question.
        models: model versions that are known to be affected; at most 50.
        unknown: those that may be affected; at most 50.
        complete: whether the answer is whole, as far as the records say.
        cannot_say: whether more may be affected than are known.
        changed: what the records say now that people were not told before, in sentences.
        seq: ledger entry of the answer.
        link: address of the incident's page.
    """

    id: str
    title: str
    kind: str
    subject: str
    reason: str
    batches: int
    models: list[str]
    unknown: list[str]
    complete: bool
    cannot_say: bool
    changed: list[str]
    seq: int
    link: str


class OpenIncidentOperator(LazarettoOperator):
    """Opens an incident, with holds if you like. Where one is open that asks the same, asks again.

    So a DAG with this task on a schedule watches an incident: until a person closes it, people are
    told whenever the records say something else. Returns (XCom) the incident: ``id``, ``models``,
    ``unknown``, ``complete``, ``changed``, ``link`` and more.

    `on_open` is called once for each incident, `on_change` once for each answer that differs from
    the one that people were told of; also when the answer is that nobody can say. They get
    Airflow's context with ``incident``, an `OpenIncident`; a notifier's templates know it as
    ``{{ incident.models }}``. `QuarantineNotifier` tells of incidents, too. A hook that fails does
    not fail the task; all are called again when the task runs the next time.

    Args:
        source: name of a source that may have delivered poison. Templated, as all of these.
        batch: id of a batch, in place of the source.
        record: ``BATCH#RECORD``, in place of the source.
        model: ``NAME@VERSION`` of a model that misbehaves, in place of the source.
        since: start of the window of a source, ISO 8601, UTC unless it says otherwise.
        until: end of it.
        without: ids of batches that are taken as if they had not been delivered.
        why: why it is opened; stays on record.
        freeze_source: put the source on hold when it is opened.
        freeze: datasets to put on hold when it is opened.
        freeze_models: models to put on hold when it is opened.
        on_open: callback or notifier, or several, for when it is opened.
        on_change: the same for when the answer has changed.

    Examples:
        >>> task = OpenIncidentOperator(
        ...     task_id="incident",
        ...     source="{{ params.source }}",
        ...     since="{{ params.since }}",
        ...     why="{{ params.why }}",
        ...     freeze_source=True,
        ... )
        >>> task.task_id
        'incident'
    """

    stage_name = "incident"
    template_fields: Sequence[str] = (
        "source",
        "batch",
        "record",
        "model",
        "since",
        "until",
        "without",
        "why",
        *LazarettoOperator.template_fields,
    )

    def __init__(
        self,
        *,
        why: str,
        source: str | None = None,
        batch: str | None = None,
        record: str | None = None,
        model: str | None = None,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        without: Sequence[str] = (),
        freeze_source: bool = False,
        freeze: Sequence[str] = (),
        freeze_models: Sequence[str] = (),
        on_open: OnHold | Sequence[OnHold] | None = None,
        on_change: OnHold | Sequence[OnHold] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if sum(named is not None for named in (source, batch, record, model)) != 1:
            raise ValueError("an incident is about one thing: source, batch, record or model")
        if freeze_source and source is None:
            raise ValueError("freeze_source puts the source on hold: name it")
        self.source = source
        self.batch = batch
        self.record = record
        self.model = model
        self.since = since
        self.until = until
        self.without = list(without)
        self.why = why
        self.freeze_source = freeze_source
        self.freeze = list(freeze)
        self.freeze_models = list(freeze_models)
        self.on_open = hooks_of(on_open)
        self.on_change = hooks_of(on_change)

    def perform(self, workspace: Workspace, context: Context) -> OpenIncident:
        """Opens the incident or asks again, and tells people what they do not know yet."""
        from lazaretto.incidents import find_open, news_of, open_incident, record_announced, refresh
        from lazaretto.incidents.question import checked_question

        question = checked_question(self._question())
        found = find_open(workspace, question)
        if found is None:
            opened = open_incident(workspace, question, reason=self.why, holds=self._holds())
        else:
            opened = refresh(workspace, found.id).incident
        news = news_of(opened)
        told = _told(opened, news)
        if news is not None:
            hooks = self.on_open if news.first else self.on_change
            name = "on_open" if news.first else "on_change"
            if called(self, {**context, "incident": told}, hooks, name):
                record_announced(workspace, news)
        return told

    def _question(self) -> IncidentQuestion:
        from lazaretto.values import IncidentQuestion

        for kind in ("source", "batch", "record", "model"):
            subject = getattr(self, kind)
            if subject is not None:
                since, until = moment(self.since), moment(self.until)
                return IncidentQuestion(kind, subject, since, until, list(self.without))
        raise AssertionError("checked when it was made")

    def _holds(self) -> list[tuple[HoldKind, str]]:
        from lazaretto.values import HoldKind

        found = [(HoldKind.PUBLISHING, name) for name in self.freeze]
        found += [(HoldKind.PROMOTION, name) for name in self.freeze_models]
        if self.freeze_source and self.source is not None:
            found.insert(0, (HoldKind.SOURCE, self.source))
        return found


def _told(incident: Incident, news: News | None) -> OpenIncident:
    from lazaretto.text import excerpt

    answer = incident.answer
    return OpenIncident(
        id=incident.id,
        title=excerpt(incident.title, _LONG),
        kind=incident.question.kind,
        subject=excerpt(incident.question.subject, _LONG),
        reason=excerpt(incident.reason, _LONG),
        batches=len(answer.batches),
        models=[excerpt(model, _LONG) for model in answer.models[:_MOST]],
        unknown=[excerpt(model, _LONG) for model in answer.unknown[:_MOST]],
        complete=answer.complete,
        cannot_say=incident.cannot_say,
        changed=[] if news is None else news.changed,
        seq=incident.answered_in,
        link=incident_url(incident.id),
    )
