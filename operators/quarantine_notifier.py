"""QuarantineNotifier: tells people of holds and incidents by chat, mail or webhook, with a link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context

    from lazaretto.operators.hold_message import Message

_NO_WAY = "name one way at least: slack_conn_id, email_to or http_conn_id"


class QuarantineNotifier(BaseNotifier):
    """Tells people that records are held: verdict, counts, main reasons and a link to the case.

    Give it to the gate: ``QuarantineGateOperator(on_hold=QuarantineNotifier(...))``, or to
    `IngestBatchOperator`. It is called once for each hold. Given to `OpenIncidentOperator` as
    ``on_open`` and ``on_change``, it tells of incidents: what is affected, and what changed.

    It delivers by Airflow's own providers, which are needed only for what is used:
    ``apache-airflow-providers-slack``, ``apache-airflow-providers-smtp``,
    ``apache-airflow-providers-http``.

    The link leads to the case, or the incident, on the review page; so that it can be followed from
    outside of Airflow, set ``[api] base_url``. What a source delivered may be in names, reasons and
    notes: it is escaped for each way, bounded, and can be no link, mention or header. Tokens and
    addresses are in connections, and appear in no message and no log.

    A way that fails stops neither the others nor the gate. The gate's log says so, and all ways are
    tried again when the task is cleared.

    Args:
        slack_conn_id: connection of type *Slack Incoming Webhook*.
        email_to: address, or several, for mail.
        email_from: sender; default: the SMTP connection's.
        smtp_conn_id: connection of type *SMTP*, for mail.
        http_conn_id: connection of type *HTTP*, to which JSON is posted.
        http_endpoint: path behind that connection's host.
        text: what you say besides, as plain text. Templated; knows ``{{ hold.dataset }}`` and
            whatever else a `lazaretto.operators.holding.Hold` has; or, of an incident, what a
            `lazaretto.operators.open_incident.OpenIncident` has.

    Examples:
        >>> tell = QuarantineNotifier(slack_conn_id="slack_quarantine", text="Ann is on duty.")
        >>> tell.slack_conn_id
        'slack_quarantine'
    """

    def __init__(
        self,
        *,
        slack_conn_id: str | None = None,
        email_to: str | Sequence[str] | None = None,
        email_from: str | None = None,
        smtp_conn_id: str = "smtp_default",
        http_conn_id: str | None = None,
        http_endpoint: str | None = None,
        text: str = "",
    ) -> None:
        if not (slack_conn_id or email_to or http_conn_id):
            raise ValueError(f"QuarantineNotifier: {_NO_WAY}")
        super().__init__()
        self.slack_conn_id = slack_conn_id
        self.email_to = [email_to] if isinstance(email_to, str) else list(email_to or [])
        self.email_from = email_from
        self.smtp_conn_id = smtp_conn_id
        self.http_conn_id = http_conn_id
        self.http_endpoint = http_endpoint
        # Not one of Airflow's template fields: it would be replaced by what it was rendered to, an
        # attacker's words among them, and be rendered once more when this is called again.
        self.text = text

    def notify(self, context: Context) -> None:
        """Tells of ``context["hold"]`` or ``context["incident"]``.

        Raises:
            UsageError: there is nothing to tell of; or a provider or a connection is missing.
            SystemFaultError: a server did not take the message; the others were told all the same.
        """
        from lazaretto.errors import LazarettoError, SystemFaultError
        from lazaretto.operators import channels

        said = str(self.render_template(self.text, context)) if self.text else ""
        message, body = _to_tell(context, said)
        ways: list[Callable[[], None]] = []
        if slack := self.slack_conn_id:
            ways.append(lambda: channels.send_slack(slack, message))
        if to := self.email_to:
            ways.append(
                lambda: channels.send_email(
                    self.smtp_conn_id, message, to=to, from_email=self.email_from
                )
            )
        if http := self.http_conn_id:
            ways.append(lambda: channels.send_webhook(http, body, endpoint=self.http_endpoint))
        failed: list[LazarettoError] = []
        for send in ways:
            try:
                send()
            except LazarettoError as error:
                failed.append(error)
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise SystemFaultError("; ".join(str(error) for error in failed))


def _to_tell(context: Context, said: str) -> tuple[Message, dict[str, Any]]:
    """What there is to tell of, for people and for machines.

    Raises:
        UsageError: there is nothing.
    """
    from lazaretto.errors import UsageError
    from lazaretto.operators import hold_message, incident_message
    from lazaretto.operators.holding import Hold
    from lazaretto.operators.open_incident import OpenIncident

    told = context.get("hold") or context.get("incident")
    if isinstance(told, Hold):
        message = hold_message.hold_message(told, said)
        return message, hold_message.as_json(told, message)
    if isinstance(told, OpenIncident):
        message = incident_message.incident_message(told, said)
        return message, incident_message.as_json(told, message)
    raise UsageError(
        "QuarantineNotifier tells of holds and incidents: give it to a gate, as on_hold, or to "
        "OpenIncidentOperator, as on_open and on_change"
    )
