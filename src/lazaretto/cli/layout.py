"""How tables, facts and documents are laid out: readable at 80 columns, with every id whole.

A table stands side by side where it fits. Where it does not, each of its rows becomes a block of
lines, one for each value. An id, a date or a number is never broken, cut or run into its neighbour:
where one is wider than the terminal, its line is, and it can still be copied.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group
from rich.text import Text

from lazaretto.cli.text import Words, cell, plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

_LONGEST_ID = 1000
"""Characters of the longest id: of a record, behind that of its batch."""
_GAP = 2
_INDENT = " " * 4
_LEAST = 24
"""Columns that a text has at least, beside its name."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table that becomes blocks of lines where it is too wide.

    Attributes:
        heads: of the columns.
        rows: texts, as many in each row as there are heads.
        title: above it.
        text: positions of the columns that wrap between words; all others never wrap.
        free: of those, positions of the columns that may be broken anywhere: content of records.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[Text]]
    title: str | None = None
    text: frozenset[int] = frozenset()
    free: frozenset[int] = frozenset()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lays it out for the width that there is."""
        widths = self._widths(options.max_width)
        yield from [] if self.title is None else [Text(""), _title(self.title)]
        yield Group(*self._blocks()) if widths is None else self._table(widths)

    def _widths(self, room: int) -> list[int] | None:
        """Of each column; None where they do not fit side by side."""
        room -= 3 * len(self.heads) + 1
        least, most = [], []
        for position, head in enumerate(self.heads):
            cells = [row[position].plain for row in self.rows]
            whole = max((_longest(text.split("\n")) for text in cells), default=0)
            low = whole
            if position in self.free:
                low = min(whole, _LEAST)
            elif position in self.text:
                low = max((_longest(text.split()) for text in cells), default=0)
                low = max(low, min(whole, _LEAST))
            least.append(max(low, _longest(head.split()), 1))
            most.append(max(whole, cell_len(head), least[-1]))
        if sum(least) > room:
            return None
        return _shared_out(least, most, room - sum(least))

    def _table(self, widths: Sequence[int]) -> Table:
        from rich.table import Table

        table = Table(header_style="bold")
        for head, width in zip(self.heads, widths, strict=True):
            table.add_column(cell(head), min_width=width, max_width=width)
        for row in self.rows:
            table.add_row(*(self._cell(position, text) for position, text in enumerate(row)))
        return table

    def _blocks(self) -> Iterator[RenderableType]:
        for number, row in enumerate(self.rows):
            if number:
                yield Text("")
            values = {
                head: self._cell(position, text)
                for position, (head, text) in enumerate(zip(self.heads, row, strict=True))
                if text.plain not in ("", "-")
            }
            yield Facts(values)

    def _cell(self, position: int, text: Text) -> Words:
        shown = Words(text.plain, text.style)
        shown.overflow = "fold" if position in self.free else None
        shown.no_wrap = position not in self.text | self.free
        return shown


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, one pair per line; values wrap between words, beside their names.

    Attributes:
        values: the pairs.
        title: above them.
    """

    values: Mapping[str, Words]
    title: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lays them out for the width that there is."""
        yield from [] if self.title is None else [_title(self.title)]
        names = {name: cell(name) for name in self.values}
        most = max(2 * options.max_width // 5, 1)
        fitting = [name.cell_len for name in names.values() if name.cell_len <= most]
        beside = max(fitting, default=0) + _GAP
        for name, value in self.values.items():
            width = max(options.max_width - beside, 1)
            lines = value.wrap(console, width, overflow=value.overflow, no_wrap=value.no_wrap)
            head = names[name]
            if head.cell_len > most:  # a name of somebody else's: its value stands below it
                yield Words(head.plain, "bold")
                head = cell("")
            for line in lines or [Text("")]:
                start = (f"{head.plain}{' ' * (beside - head.cell_len)}", "bold")
                yield Text.assemble(start, line, no_wrap=True, overflow="ignore")
                head = cell("")


@dataclass(frozen=True, slots=True)
class Document:
    """A text to copy, or to give to another program: its lines are never broken.

    Attributes:
        text: printable text.
        json: whether it is JSON, which a terminal shows in colours.
    """

    text: str
    json: bool = field(default=False, kw_only=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its lines as they are."""
        shown = Text(self.text, no_wrap=True, overflow="ignore")
        if self.json and console.is_terminal:
            from rich.highlighter import JSONHighlighter

            JSONHighlighter().highlight(shown)
        yield shown


@dataclass(frozen=True, slots=True)
class Command:
    """A command to copy. Where it is too wide, its lines end as a shell wants it: it stays whole.

    Attributes:
        text: the command, quoted for a shell.
    """

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its lines, indented; no word of it is broken."""
        lines = [_INDENT]
        for word in shlex.split(self.text):
            shown = plain(shlex.quote(word))
            # Behind every line but the last stand a blank and a backslash.
            if lines[-1].strip() and cell_len(f"{lines[-1]} {shown} \\") > options.max_width:
                lines.append(_INDENT + "  ")
            gap = " " if lines[-1].strip() else ""
            lines[-1] += f"{gap}{shown}"
        yield Text(" \\\n".join(lines), no_wrap=True, overflow="ignore")


def grid(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    text: Collection[str] = (),
    free: Collection[str] = (),
) -> Grid:
    """A table of values.

    Args:
        columns: heads.
        rows: values; one may be a `cell` already.
        title: above the table.
        text: heads of the columns that hold sentences or lists, which wrap between words. What is
            in the others stays on one line.
        free: heads of the columns that hold what somebody else wrote, which may break anywhere.
    """
    wrap = frozenset(p for p, head in enumerate(columns) if head in text)
    broken = frozenset(p for p, head in enumerate(columns) if head in free)
    cells = [
        [
            value
            if isinstance(value, Text)
            else cell(value)
            if position in wrap | broken
            else cell(value, limit=_LONGEST_ID)
            for position, value in enumerate(row)
        ]
        for row in rows
    ]
    return Grid(columns, cells, title, wrap, broken)


def facts(values: Mapping[str, object], *, title: str | None = None) -> Facts:
    """Name and value pairs, one per line."""
    return Facts({name: cell(value) for name, value in values.items()}, title)


def paged(table: RenderableType, onward: str | None) -> RenderableType:
    """A table, and below it what shows the next page; None where it is whole."""
    return table if onward is None else Group(table, cell(f"more: add {onward}"))


def _title(text: str) -> Text:
    return cell(text, "italic")


def _longest(parts: Iterable[str]) -> int:
    return max(map(cell_len, parts), default=0)


def _shared_out(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Room beyond the least widths goes to the narrowest column that can use more."""
    widths = list(least)
    for _ in range(room):
        short = [p for p, width in enumerate(widths) if width < most[p]]
        if not short:
            break
        widths[min(short, key=widths.__getitem__)] += 1
    return widths
