"""What a message about a hold says, and how each way of delivery writes it.

Names, reasons and notes may be an attacker's words. In every form they stay words: they are no
markup, no link, no mention of people, no header, and they are bounded.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lazaretto.operators.holding import Hold

_TITLE = 140
_SAID = 1_000
_REASONS = 5
_NOTES = 3
_LINE = 300
_SLACK_SECTION = 2_900  # Slack takes 3,000 characters
_SLACK_LINK = 3_000
_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")  # ASCII punctuation, which CommonMark lets escape


@dataclass(frozen=True, slots=True)
class Message:
    """A message as plain text: no part has a line break or anything invisible.

    Attributes:
        title: what happened, in one line.
        said: what the workflow's author says besides; may be empty.
        facts: names and values.
        reasons: why records are held, the most frequent first.
        notes: what is wrong, in words.
        link: address of the case; with a machine only where Airflow's ``[api] base_url`` says it.
        button: what the link says where it is a button.
    """

    title: str
    said: str
    facts: list[tuple[str, str]]
    reasons: list[str]
    notes: list[str]
    link: str
    button: str = "Open the case"


def hold_message(hold: Hold, said: str = "") -> Message:
    """The message about a hold.

    Args:
        hold: what is held.
        said: what the workflow's author says besides.
    """
    counts = f"{hold.held:,} of {hold.rows:,} records"
    facts = [
        ("Verdict", hold.verdict),
        ("Held", counts),
        ("Batch", words(hold.batch)),
        ("Case", words(hold.case or "none: no record could be held")),
    ]
    reasons = [f"{words(reason)}: {count:,}" for reason, count in hold.reasons.items()]
    notes = [words(note) for note in hold.notes]
    return Message(
        title=words(f"{hold.dataset}: {counts} of {hold.source} are held", _TITLE),
        said=words(" ".join(said.split()), _SAID),
        facts=facts,
        reasons=first(reasons, _REASONS, "reasons"),
        notes=first(notes, _NOTES, "notes"),
        link=hold.link,
    )


def words(text: str, limit: int = _LINE) -> str:
    """Text as one bounded line, in which nothing is invisible and no address can be followed.

    Mail programs and chats make links of addresses that stand in plain text.
    """
    from lazaretto.text import cut, excerpt

    return cut(excerpt(text, limit).replace("://", "[:]//"), limit)


def in_markdown(text: str) -> str:
    """Text as Markdown that shows just this text (CommonMark 0.31, section 2.4)."""
    return _MARKUP.sub(r"\\\1", text)


def as_text(message: Message) -> str:
    """Plain text of some lines, the link last."""
    return "\n".join([message.title, *_lines(message), message.link])


def as_html(message: Message) -> str:
    """A mail's body; the link to the case is the only one."""
    rows = "".join(
        f"<tr><th align='left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in message.facts
    )
    parts = [f"<p><strong>{html.escape(message.title)}</strong></p>"]
    if message.said:
        parts.append(f"<p>{html.escape(message.said)}</p>")
    parts.append(f"<table>{rows}</table>")
    for name, lines in (("Reasons", message.reasons), ("Notes", message.notes)):
        if lines:
            items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
            parts.append(f"<p>{name}</p><ul>{items}</ul>")
    link = html.escape(message.link, quote=True)
    parts.append(f'<p><a href="{link}">{link}</a></p>' if _whole(message) else f"<p>{link}</p>")
    return "\n".join(parts)


def as_slack(message: Message) -> dict[str, Any]:
    """Body for a Slack webhook: blocks of plain text, which Slack does not read as markup.

    The text beside the blocks, for notifications, cannot be plain: there Slack's three control
    characters are escaped, as it asks for, and nothing is looked for that could be a name.
    """
    from lazaretto.text import cut

    lines = _lines(message) + ([] if _whole(message) else [message.link])
    text = cut("\n".join(lines), _SLACK_SECTION)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(message.title)},
        {"type": "section", "text": _plain(text)},
    ]
    if _whole(message):
        button = {"type": "button", "text": _plain(message.button), "url": message.link}
        blocks.append({"type": "actions", "elements": [button]})
    fallback = message.title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {
        "text": fallback,
        "mrkdwn": False,
        "link_names": False,
        "parse": "none",
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": blocks,
    }


def as_json(hold: Hold, message: Message) -> dict[str, Any]:
    """Body for a webhook of any program: the values, and the same as text."""
    return {
        "event": "lazaretto.hold",
        "batch": hold.batch,
        "source": hold.source,
        "dataset": hold.dataset,
        "verdict": hold.verdict,
        "case": hold.case,
        "rows": hold.rows,
        "held": hold.held,
        "reasons": [
            {"reason": reason, "records": count}
            for reason, count in list(hold.reasons.items())[:_REASONS]
        ],
        "notes": hold.notes[:_NOTES],
        "link": hold.link,
        "text": as_text(message),
    }


def _lines(message: Message) -> list[str]:
    return [
        *filter(None, [message.said]),
        *(f"{name}: {value}" for name, value in message.facts),
        *(f"- {reason}" for reason in message.reasons),
        *(f"- {note}" for note in message.notes),
    ]


def first(lines: list[str], most: int, what: str) -> list[str]:
    """The first of some lines, and how many more there are."""
    left = len(lines) - most
    return lines[:most] + ([f"and {left} more {what}"] if left > 0 else [])


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _whole(message: Message) -> bool:
    """Whether the link can be followed from outside of Airflow."""
    whole = message.link.startswith(("https://", "http://"))
    return whole and len(message.link) <= _SLACK_LINK
