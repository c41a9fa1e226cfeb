"""Ways to deliver a message, by Airflow's own providers, which are imported when one is needed.

An address may hold a secret, such as the token of a webhook, and so may an error's words: what goes
wrong is told by its kind, and by nothing else.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lazaretto.operators.hold_message import as_html, as_slack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.operators.hold_message import Message

_SECONDS = 30
_WELL = range(200, 300)


def send_slack(conn_id: str, message: Message) -> None:
    """Posts to a Slack incoming webhook.

    Args:
        conn_id: connection of type *Slack Incoming Webhook*, with the token as its password.
        message: what to say.

    Raises:
        UsageError: the provider is not installed, or there is no such connection.
        SystemFaultError: Slack did not take it.
    """
    with _told("Slack", conn_id, "apache-airflow-providers-slack"):
        from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

        hook = SlackWebhookHook(slack_webhook_conn_id=conn_id, timeout=_SECONDS)
        hook.send_dict(as_slack(message))


def send_email(
    conn_id: str, message: Message, *, to: Sequence[str], from_email: str | None
) -> None:
    """Sends a mail.

    Args:
        conn_id: connection of type *SMTP*.
        message: what to say.
        to: addresses.
        from_email: sender; None: the connection's.

    Raises:
        UsageError: the provider is not installed, or there is no such connection.
        SystemFaultError: the server did not take it.
    """
    with _told("the mail server", conn_id, "apache-airflow-providers-smtp"):
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        with SmtpHook(smtp_conn_id=conn_id) as hook:
            hook.send_email_smtp(
                to=list(to),
                subject=message.title,
                html_content=as_html(message),
                from_email=from_email,
            )


def send_webhook(conn_id: str, body: dict[str, Any], *, endpoint: str | None) -> None:
    """Posts JSON; a redirection is not followed.

    Args:
        conn_id: connection of type *HTTP*.
        body: what to say, for machines.
        endpoint: path behind the connection's host.

    Raises:
        UsageError: the provider is not installed, or there is no such connection.
        SystemFaultError: the server did not take it.
    """
    from lazaretto.errors import SystemFaultError

    with _told("the webhook", conn_id, "apache-airflow-providers-http"):
        from airflow.providers.http.hooks.http import HttpHook

        # Not by the hook's own `run`, which logs addresses and answers.
        hook = HttpHook(method="POST", http_conn_id=conn_id)
        with hook.get_conn() as session:
            answer = session.post(
                hook.url_from_endpoint(endpoint),
                json=body,
                timeout=_SECONDS,
                allow_redirects=False,
                stream=True,  # whatever it answers is not read
            )
            status = int(answer.status_code)
    if status not in _WELL:
        raise SystemFaultError(f"the webhook (connection {conn_id!r}) answers {status}")


@contextmanager
def _told(who: str, conn_id: str, package: str) -> Iterator[None]:
    """Says in words what went wrong, without any word of the error."""
    from airflow.sdk.exceptions import AirflowNotFoundException

    from lazaretto.errors import SystemFaultError, UsageError

    try:
        yield
    except ImportError:
        raise UsageError(
            f"nobody was told by {who}: install Airflow's provider with `pip install {package}`"
        ) from None
    except AirflowNotFoundException:
        raise UsageError(
            f"nobody was told by {who}: Airflow has no connection {conn_id!r}, or it lacks the "
            "password"
        ) from None
    except Exception as error:
        raise SystemFaultError(
            f"{who} (connection {conn_id!r}) did not take the message: {type(error).__name__}"
        ) from None
