"""AskForReviewOperator: asks in Airflow's Required Actions, then waits for the case as it is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from lazaretto.operators.await_review import AwaitReviewOperator
from lazaretto.operators.base import batch_id
from lazaretto.operators.hold_message import in_markdown, words
from lazaretto.operators.links import page_url
from lazaretto.operators.skipping import skipped_behind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.quarantine.cases import Case

CONTINUE, STOP = "Continue", "Stop"
_REASONS = 5
_CASES = 10


class AskForReviewOperator(AwaitReviewOperator):
    """Asks people for a review in Airflow's *Required Actions*, and then follows the case.

    For teams whose people look there. It asks once the gate holds something, with the counts, the
    main reasons and a link to the case; of a batch of which nothing is held it asks nothing. The
    task waits without a worker slot and without the triggerer.

    The answer decides on no record: records are decided on and published in the case.
    *Continue* lets the workflow go on as soon as the case is published, which may be at once;
    until then the task waits as `AwaitReviewOperator` does. *Stop* skips everything behind the
    task, whatever its trigger rule, and changes nothing in the case. Airflow keeps who answered.

    Returns (XCom) what `AwaitReviewOperator` returns; after *Stop* ``{batch, answer}``. No record
    and no reason goes through XCom. It needs Airflow 3.3.

    Args:
        batch: id of a received batch, or the ``.output`` of the operator before. Templated. Put the
            task beside the gate, not behind it.
        assigned_users: who may answer, each ``{"id": …, "name": …}`` as Airflow's auth manager
            knows them; default: whoever may edit the DAG's runs.
        poke_interval: seconds between two looks.
        timeout: seconds after which the task fails without an answer, and then again without a
            publication; default 90 days each.

    Examples:
        >>> task = AskForReviewOperator(
        ...     task_id="review",
        ...     batch="{{ params.batch }}",
        ... )
        >>> task.task_id
        'review'
    """

    def __init__(self, *, assigned_users: Sequence[Mapping[str, str]] = (), **kwargs: Any) -> None:
        for odd in ("deferrable", "mode"):
            if odd in kwargs:
                raise ValueError(f"AskForReviewOperator takes no {odd}: it never holds a worker")
        super().__init__(**kwargs)
        self.assigned_users = [
            {"id": str(user["id"]), "name": str(user["name"])} for user in assigned_users
        ]

    def execute(self, context: Context) -> Any:
        """Returns where nothing is to be reviewed; asks where something is held."""
        done = self.poke(context)
        if done:
            return done.xcom_value
        from lazaretto.quarantine.outcome import waiting_cases

        batch = batch_id(self.batch)
        with self.speaking_plainly(context):
            waiting = waiting_cases(self.open_workspace(), batch)
        if waiting is None:
            self._defer_until_judged(batch)
        raise self._question(context, batch, waiting)

    def judged(self, context: Context, event: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """Goes on once the gate has judged the batch."""
        return self.execute(context)

    def answered(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Goes on after somebody answered, in a new process.

        Raises:
            AirflowException: nobody answered in time.
        """
        if "error" in event:
            raise AirflowException(f"nobody answered on {batch_id(self.batch)} in time")
        who = event.get("responded_by_user") or {}
        (answer,) = event["chosen_options"]
        self.log.info("%s answered %s", words(str(who.get("id"))), words(answer))
        self.worked_on = batch_id(self.batch)
        if answer == STOP:
            raise skipped_behind(context, {"batch": self.worked_on, "answer": STOP})
        done = self.poke(context)
        if not done:
            self._defer()
        return done.xcom_value

    def _defer_until_judged(self, batch: str) -> NoReturn:
        from lazaretto.operators.triggers import BatchJudgedTrigger

        self.defer(
            trigger=BatchJudgedTrigger(batch, self.lazaretto_conn_id, self.poke_interval),
            method_name="judged",
            timeout=timedelta(seconds=self.timeout),
        )

    def _question(self, context: Context, batch: str, cases: Sequence[Case]) -> BaseException:
        """Puts the question where people see it; returns what parks the task until the answer."""
        try:
            from airflow.sdk.exceptions import TaskAwaitingInput
            from airflow.sdk.execution_time.hitl import HITLUser, upsert_hitl_detail
        except ImportError:
            raise AirflowFailException(
                "AskForReviewOperator needs Airflow 3.3: use AwaitReviewOperator, which needs none "
                "of the Required Actions"
            ) from None

        held = sum(case.held for case in cases)
        users = [HITLUser(id=user["id"], name=user["name"]) for user in self.assigned_users]
        with self.speaking_plainly(context):
            upsert_hitl_detail(
                ti_id=context["ti"].id,
                options=[CONTINUE, STOP],
                subject=words(f"{held:,} records of {batch} are held: please review them"),
                body=_body(batch, cases),
                params={},
                assigned_users=users,
            )
        return TaskAwaitingInput(method_name="answered", timeout=timedelta(seconds=self.timeout))


def _body(batch: str, cases: Sequence[Case]) -> str:
    """The question in Markdown; of what a source may have written, every mark is escaped."""
    from lazaretto.operators.telling import bounded_reasons

    lines = []
    for case in cases[:_CASES]:
        counts = f"{case.held:,} of {case.rows:,} records"
        facts = f"{counts} for {case.dataset}, {case.verdict}, {case.id}"
        lines.append(f"* {in_markdown(words(facts))}")
        lines += [
            f"    * {in_markdown(words(f'{reason}: {count:,}'))}"
            for reason, count in bounded_reasons(case.reasons, _REASONS).items()
        ]
    return "\n".join(
        [
            *lines,
            "",
            f"[Open the case]({page_url(batch)}): decide on the records there, and publish.",
            "",
            f"**{CONTINUE}** goes on as soon as that is published. **{STOP}** skips what comes "
            "next in this workflow. Neither decides on a record.",
        ]
    )
