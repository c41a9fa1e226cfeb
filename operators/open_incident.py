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
    from lazaretto.values import HoldKind, Question

_PARAMETERS = {
    "source": "source",
    "batch": "batch",
    "record": "record",
    "key": "key_id",
    "policy": "policy_version",
    "reference": "reference_version",
    "decision": "decision",
    "dataset": "dataset_version",
    "model": "model",
}
"""By what each kind of question is asked; operators use some of the names for something else."""
_MOST = 50
_LONG = 300


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """What people and later tasks are told of an incident. What sources wrote is escaped, bounded.

    Attributes:
        id: of the incident.
        title: one line.
        kind: what is asked about: ``source``, ``batch``, ``record``, ``key``, ``policy``,
            ``reference``, ``decision``, ``dataset`` or ``model``.
        subject: its name.
        reason: why it was opened.
        batches: how many batches are in question.
        models: model versions that are known to be affected; at most 50.
        unknown: those that may be affected; at most 50.
        measured: those that were only measured with what is in question; at most 50.
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
    measured: list[str]
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
        key_id: of a stolen key, in place of the source: all that it signed.
        policy_version: ``DATASET@SHA256``, in place of the source: all that was judged under it.
        reference_version: ``NAME@VERSION``, in place of the source: all that was screened against
            it.
        decision: id of a person's decision, in place of the source: the records that it let in.
        dataset_version: ``NAME@VERSION`` of an admitted dataset, in place of the source.
        model: ``NAME@VERSION`` of a model that misbehaves, in place of the source; an alias such as
            ``net@production`` names the version that it stands for when the task runs.
        since: start of the window of a source or key, ISO 8601, UTC unless it says otherwise.
        until: end of it, for a source.
        by: what must lie in the window of a source: ``received``, ``collected`` or ``either``.
        registry: of the model, where models of its name are in several.
        without: ids of batches that are taken as if they had not been delivered.
        why: why it is opened; stays on record.
        freeze_source: put the source on hold when it is opened; of a batch, a record or a key
            whoever delivered it. The other questions are about no source.
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
        "key_id",
        "policy_version",
        "reference_version",
        "decision",
        "dataset_version",
        "model",
        "since",
        "until",
        "by",
        "registry",
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
        key_id: str | None = None,
        policy_version: str | None = None,
        reference_version: str | None = None,
        decision: str | None = None,
        dataset_version: str | None = None,
        model: str | None = None,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        by: str = "either",
        registry: str | None = None,
        without: Sequence[str] = (),
        freeze_source: bool = False,
        freeze: Sequence[str] = (),
        freeze_models: Sequence[str] = (),
        on_open: OnHold | Sequence[OnHold] | None = None,
        on_change: OnHold | Sequence[OnHold] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.batch = batch
        self.record = record
        self.key_id = key_id
        self.policy_version = policy_version
        self.reference_version = reference_version
        self.decision = decision
        self.dataset_version = dataset_version
        self.model = model
        about = [kind for kind, name in _PARAMETERS.items() if getattr(self, name) is not None]
        if len(about) != 1:
            parameters = ", ".join(_PARAMETERS.values())
            raise ValueError(f"an incident is about one thing; give one of: {parameters}")
        if freeze_source and about[0] not in ("source", "batch", "record", "key"):
            raise ValueError(
                "freeze_source puts a source on hold: name it, or a batch, a record or a key; else "
                "name datasets with freeze"
            )
        self.kind = about[0]
        self.since = since
        self.until = until
        self.by = by
        self.registry = registry
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
        from lazaretto.lineage import resolved_question

        question = resolved_question(workspace, self._question())
        found = find_open(workspace, question)
        if found is None:
            opened = open_incident(
                workspace,
                question,
                reason=self.why,
                holds=self._holds(),
                hold_source=self.freeze_source,
            )
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

    def _question(self) -> Question:
        from lazaretto.values import Question

        subject = str(getattr(self, _PARAMETERS[self.kind]))
        since, until = moment(self.since), moment(self.until)
        left_out, registry = list(self.without), self.registry or None
        return Question(self.kind, subject, since, until, self.by, left_out, registry)

    def _holds(self) -> list[tuple[HoldKind, str]]:
        from lazaretto.values import HoldKind

        found = [(HoldKind.PUBLISHING, name) for name in self.freeze]
        found += [(HoldKind.PROMOTION, name) for name in self.freeze_models]
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
        measured=[excerpt(model, _LONG) for model in answer.measured[:_MOST]],
        complete=answer.complete,
        cannot_say=incident.cannot_say,
        changed=[] if news is None else news.changed,
        seq=incident.answered_in,
        link=incident_url(incident.id),
    )
