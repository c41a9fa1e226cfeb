"""A model card as Markdown and as one HTML page; all that it quotes is escaped and cut."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.lineage.bom.card import Card

_LONGEST = 2_000
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#!|~$]|^[-+=])")
_STYLE = (
    ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;"
    "max-width:60rem;padding:0 1rem}h1,td,li,p{overflow-wrap:anywhere;unicode-bidi:isolate}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;"
    "border-bottom:1px solid #8886;vertical-align:top}.not{border-left:4px solid #b3261e;"
    "padding-left:1rem}"
)


def card_markdown(card: Card) -> str:
    """A model card as Markdown.

    Args:
        card: from `lazaretto.lineage.model_card`.

    Examples:
        >>> from lazaretto.lineage import model_bom, model_card
        >>> card_markdown(model_card(model_bom(workspace, "net", "1"))).splitlines()[0]
        '# Model card: net@1'
    """
    return "\n".join(_markdown(card)) + "\n"


def card_html(card: Card) -> str:
    """A model card as one page that loads nothing.

    Args:
        card: from `lazaretto.lineage.model_card`.

    Examples:
        >>> from lazaretto.lineage import model_bom, model_card
        >>> card_html(model_card(model_bom(workspace, "net", "1")))[:15]
        '<!doctype html>'
    """
    return "\n".join(_html(card)) + "\n"


def _markdown(card: Card) -> Iterator[str]:
    yield f"# Model card: {_plain(card.model)}"
    yield ""
    yield _same_facts(card)
    for part in card.parts:
        yield ""
        yield f"## {part.title}"
        yield ""
        for text in part.says:
            yield f"* {_plain(text)}"
        if part.head and part.says:
            yield ""
        if part.head:
            yield f"| {' | '.join(part.head)} |"
            yield "|---" * len(part.head) + "|"
        for row in part.rows:
            yield f"| {' | '.join(map(_plain, row))} |"


def _plain(text: str) -> str:
    """Text that is shown as it is: neither markup nor HTML."""
    return _SPECIAL.sub(r"\\\1", html.escape(excerpt(text, _LONGEST), quote=False))


def _html(card: Card) -> Iterator[str]:
    title = f"Model card: {_shown(card.model)}"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield (
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{title}</h1>"
    yield f"<p{'' if card.complete else ' class=not'}>{_shown(_same_facts(card))}</p>"
    for part in card.parts:
        yield f"<h2>{_shown(part.title)}</h2>"
        if part.says:
            yield "<ul>" + "".join(f"<li>{_shown(text)}</li>" for text in part.says) + "</ul>"
        if part.head:
            head = "".join(f"<th>{_shown(name)}</th>" for name in part.head)
            yield f"<table><thead><tr>{head}</tr></thead><tbody>"
            for row in part.rows:
                yield "<tr>" + "".join(f"<td>{_shown(cell)}</td>" for cell in row) + "</tr>"
            yield "</tbody></table>"
    yield "</body></html>"


def _shown(text: str) -> str:
    return html.escape(excerpt(text, _LONGEST))


def _same_facts(card: Card) -> str:
    whole = "It is complete." if card.complete else "It is NOT complete."
    return f"Made of the same facts as the bill of materials {card.bom}. {whole}"
