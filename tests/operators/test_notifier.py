"""Telling people of a hold: real servers get it, and nothing in it is more than words."""

from __future__ import annotations

import email
import email.policy
import json
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import listening
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaretto.errors import SystemFaultError, UsageError
from lazaretto.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazaretto.operators.holding import Hold

pytestmark = pytest.mark.airflow
TOKEN = "T0KENinAPATH"  # noqa: S105
BASE = "https://airflow.example.org/deep"
BATCH = "vendor-a/0123456789abcdef0123456789abcdef"
EVIL = (
    "<!channel> <https://evil.example/a|*click*> <script>alert(1)</script> &lt; "
    "![x](https://evil.example/p.png) <img src=x onerror=y>"
)


@pytest.fixture
def web() -> Iterator[listening.Web]:
    with listening.web() as found:
        yield found


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[listening.Mail]:
    with listening.mail() as found:
        connect(
            monkeypatch,
            "smtp_default",
            conn_type="smtp",
            host="127.0.0.1",
            port=found.port,
            extra={
                "from_email": "gate@example.org",
                "disable_ssl": True,
                "disable_tls": True,
                "retry_limit": 0,
            },
        )
        yield found


def connect(monkeypatch: pytest.MonkeyPatch, conn_id: str, **fields: Any) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


def slack(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    connect(
        monkeypatch,
        "chat",
        conn_type="slackwebhook",
        host=f"http://127.0.0.1:{port}/services",
        password=TOKEN,
    )


def hook(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    host = f"http://127.0.0.1:{port}/hooks/{TOKEN}"
    connect(monkeypatch, "hook", conn_type="http", host=host)


def a_hold(**changes: Any) -> Hold:
    from lazaretto.operators.holding import Hold
    from lazaretto.operators.links import page_url

    values: dict[str, Any] = {
        "batch": BATCH,
        "source": "vendor-a",
        "dataset": "handwriting",
        "verdict": "HOLD_RECORDS",
        "case": "case-0123456789abcdef",
        "rows": 1200,
        "held": 36,
        "reasons": {f"screen:detector-{n}": 30 - n for n in range(7)},
        "notes": ["a note"],
    }
    values |= changes
    return Hold(**values, link=page_url(values["batch"]))


def notify(hold: Hold, **ways: Any) -> None:
    from lazaretto.operators import QuarantineNotifier

    QuarantineNotifier(**ways)({"hold": hold})


class Parsed(HTMLParser):
    """Tags, addresses and text of a mail's body."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def body_of(content: bytes) -> tuple[email.message.EmailMessage, str]:
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    part = parsed.get_body(("html",))  # type: ignore[attr-defined]
    return parsed, part.get_content()  # type: ignore[return-value]


# What is said, by each way


def test_slack_gets_plain_text_and_a_button(
    web: listening.Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("airflow.providers.slack", reason="Airflow's Slack provider is not there")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", BASE)
    slack(monkeypatch, web.port)
    notify(a_hold(notes=[EVIL], reasons={EVIL: 3}), slack_conn_id="chat")
    ((_, path, _, raw),) = web.requests
    assert path == f"/services/{TOKEN}"
    said = json.loads(raw)
    assert said["text"] == "handwriting: 36 of 1,200 records of vendor-a are held"
    header, section, actions = said["blocks"]
    assert {header["text"]["type"], section["text"]["type"]} == {"plain_text"}
    assert "Verdict: HOLD_RECORDS\nHeld: 36 of 1,200 records\n" in section["text"]["text"]
    assert "://" not in section["text"]["text"]
    (button,) = actions["elements"]
    link = f"{BASE}/plugin/quarantine/lazaretto/batches/{BATCH}"
    assert button["url"] == link
    assert (said["mrkdwn"], said["link_names"], said["unfurl_links"]) == (False, False, False)


def test_without_a_base_url_the_link_is_text(
    web: listening.Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("airflow.providers.slack", reason="Airflow's Slack provider is not there")
    slack(monkeypatch, web.port)
    notify(a_hold(), slack_conn_id="chat")
    blocks = json.loads(web.requests[0][3])["blocks"]
    assert [block["type"] for block in blocks] == ["header", "section"]
    assert blocks[1]["text"]["text"].endswith(f"/plugin/quarantine/lazaretto/batches/{BATCH}")


def test_mail_has_one_link_and_no_markup_of_a_source(
    mailbox: listening.Mail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", BASE)
    hold = a_hold(notes=[EVIL], reasons={EVIL: 3}, source="v\r\nBcc: thief@evil.example\r\n\r\nx")
    notify(hold, email_to=["ann@example.org", "bob@example.org"], text="Ann is\non duty <b>.")
    ((recipients, content),) = mailbox.mails
    assert recipients == ["ann@example.org", "bob@example.org"]
    mail, html = body_of(content)
    assert mail["From"] == "gate@example.org"
    assert mail["Bcc"] is None
    assert "thief@evil.example" in mail["Subject"]
    assert "36 of 1,200 records" in mail["Subject"]
    parsed = Parsed(html)
    assert set(parsed.tags) == {"p", "strong", "table", "tr", "th", "td", "ul", "li", "a"}
    link = f"{BASE}/plugin/quarantine/lazaretto/batches/{BATCH}"
    assert [value for name, value in parsed.attributes if name != "align"] == [link]
    assert "<!channel>" in parsed.text
    assert "Ann is on duty <b>." in parsed.text
    assert parsed.text.count("://") == 1


def test_a_webhook_gets_json(web: listening.Web, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("airflow.providers.http", reason="Airflow's HTTP provider is not there")
    hook(monkeypatch, web.port)
    hold = a_hold()
    notify(hold, http_conn_id="hook", http_endpoint="/quarantine")
    ((method, path, headers, raw),) = web.requests
    assert (method, path) == ("POST", f"/hooks/{TOKEN}/quarantine")
    assert headers["content-type"] == "application/json"
    said = json.loads(raw)
    assert said["event"] == "lazaretto.hold"
    assert {name: said[name] for name in ("batch", "case", "verdict", "rows", "held")} == {
        "batch": BATCH,
        "case": hold.case,
        "verdict": "HOLD_RECORDS",
        "rows": 1200,
        "held": 36,
    }
    assert said["reasons"][0] == {"reason": "screen:detector-0", "records": 30}
    assert len(said["reasons"]) == 5
    assert "and 2 more reasons" in said["text"]


ANY = st.text(max_size=400) | st.sampled_from(
    [EVIL, "://" * 300, "\r\nBcc: x", "<@U1>", "a" * 9999]
)


@given(source=ANY, dataset=ANY, reasons=st.lists(ANY, max_size=60), notes=st.lists(ANY, max_size=9))
def test_whatever_a_source_writes_stays_words_and_is_bounded(
    source: str, dataset: str, reasons: list[str], notes: list[str]
) -> None:
    from lazaretto.operators.hold_message import as_html, as_json, as_slack, as_text, hold_message

    hold = a_hold(source=source, dataset=dataset, reasons=dict.fromkeys(reasons, 1), notes=notes)
    message = hold_message(hold, said=source)
    html, text, chat = as_html(message), as_text(message), as_slack(message)
    assert "\n" not in message.title
    assert visible(text, keep_newlines=True) == text
    allowed = {"p", "strong", "table", "tr", "th", "td", "ul", "li"}
    assert set(Parsed(html).tags) <= allowed  # no base_url here, so no link either
    assert "://" not in text
    assert not set("<>") & set(chat["text"])
    header, section = chat["blocks"]
    assert len(header["text"]["text"]) <= 150
    assert len(section["text"]["text"]) <= 3000
    assert len(json.dumps(as_json(hold, message))) < 100_000
    assert len(text) < 10_000


# What goes wrong


def test_tokens_are_in_no_error_and_no_log(
    monkeypatch: pytest.MonkeyPatch, web: listening.Web, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither where nobody listens, nor where a server says no in many words."""
    for name in ("slack", "http"):
        pytest.importorskip(f"airflow.providers.{name}", reason=f"no provider for {name}")
    web.status, web.answer = 503, f"go away {TOKEN}".encode()
    with listening.web() as gone:
        nobody = gone.port
    for port, said in ((web.port, "answers 503"), (nobody, "did not take the message")):
        slack(monkeypatch, port)
        hook(monkeypatch, port)
        with pytest.raises(SystemFaultError) as caught:
            notify(a_hold(), slack_conn_id="chat", http_conn_id="hook", http_endpoint=f"/{TOKEN}")
        assert said in str(caught.value)
        assert "Slack (connection 'chat')" in str(caught.value)
        assert TOKEN not in str(caught.value)
    assert TOKEN not in "".join(capfd.readouterr())


def test_a_redirection_is_not_followed(monkeypatch: pytest.MonkeyPatch, web: listening.Web) -> None:
    pytest.importorskip("airflow.providers.http", reason="Airflow's HTTP provider is not there")
    with listening.web() as elsewhere:
        web.status, web.location = 307, f"http://127.0.0.1:{elsewhere.port}/"
        hook(monkeypatch, web.port)
        with pytest.raises(SystemFaultError, match="answers 307"):
            notify(a_hold(), http_conn_id="hook")
    assert elsewhere.requests == []


def test_one_way_that_fails_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, mailbox: listening.Mail, web: listening.Web
) -> None:
    pytest.importorskip("airflow.providers.http", reason="Airflow's HTTP provider is not there")
    mailbox.refuses = True
    hook(monkeypatch, web.port)
    with pytest.raises(SystemFaultError, match=r"mail server.*SMTPRecipientsRefused") as caught:
        notify(a_hold(), email_to="ann@example.org", http_conn_id="hook")
    assert "hush-word" not in str(caught.value)
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    ("package", "ways"),
    [
        ("slack", {"slack_conn_id": "chat"}),
        ("smtp", {"email_to": "ann@example.org"}),
        ("http", {"http_conn_id": "hook"}),
    ],
)
def test_a_provider_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str, ways: dict[str, str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(f"airflow.providers.{package}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, f"airflow.providers.{package}", None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"pip install apache-airflow-providers-{package}`"):
        notify(a_hold(), **ways)


def test_a_connection_that_is_not_there_is_named() -> None:
    pytest.importorskip("airflow.providers.http", reason="Airflow's HTTP provider is not there")
    with pytest.raises(UsageError, match="no connection 'nowhere'"):
        notify(a_hold(), http_conn_id="nowhere")


def test_it_needs_a_way_and_a_hold() -> None:
    from lazaretto.operators import QuarantineNotifier

    with pytest.raises(ValueError, match="name one way"):
        QuarantineNotifier()
    with pytest.raises(UsageError, match="as on_hold"):
        QuarantineNotifier(slack_conn_id="chat")({})


def test_what_a_source_wrote_is_never_a_template(
    monkeypatch: pytest.MonkeyPatch, mailbox: listening.Mail
) -> None:
    """Also when one notifier is called for two holds, as a mapped task's is."""
    from lazaretto.operators import QuarantineNotifier

    tell = QuarantineNotifier(email_to="ann@example.org", text="first: {{ hold.notes[0] }}")
    for note in ("{{ 6 * 7 }} {% raw %}", "another"):
        tell({"hold": a_hold(notes=[note])})
    texts = [Parsed(body_of(content)[1]).text for _, content in mailbox.mails]
    assert "first: {{ 6 * 7 }} {% raw %}" in texts[0]
    assert "first: another" in texts[1]


# In a DAG

TOLD = """
from airflow.sdk import DAG
from lazaretto.operators import IngestBatchOperator, QuarantineNotifier
with DAG("told", schedule=None):
    IngestBatchOperator(
        task_id="ingest", dataset="handwriting", policy={policy!r}, **{delivery!r},
        on_hold=QuarantineNotifier(
            email_to="ann@example.org", text="{{{{ dag.dag_id }}}} {{{{ hold.case }}}}"
        ),
    )
"""


def test_the_gate_tells_of_a_hold_once_with_a_link_to_its_case(
    world: Any, run_dag: Callable[..., Any], mailbox: listening.Mail
) -> None:
    from lazaretto.demo.digits import poison
    from lazaretto.ledger.events import BatchJudged, HoldAnnounced

    rng = np.random.default_rng(1)
    delivery = world.deliver("odd", poison(world.part(0, 120), 0.1, rng))
    text = TOLD.format(policy=world.policy, delivery=delivery)
    for _ in range(2):
        assert run_dag("told", text=text).tasks == {"ingest": "success"}
    ((_, content),) = mailbox.mails
    (judged,) = world.ledger(BatchJudged)
    mail, html = body_of(content)
    assert mail["Subject"].startswith(f"handwriting: {judged.held} of 120 records of vendor-a")
    told = Parsed(html).text
    assert f"told {judged.case}" in told
    assert f"/plugin/quarantine/lazaretto/batches/{judged.batch}" in told
    assert all(reason in told for reason in list(judged.reasons)[:1])
    assert len(world.ledger(HoldAnnounced)) == 1
