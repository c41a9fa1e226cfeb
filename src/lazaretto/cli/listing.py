"""Lists for people: a line or two for each item, ids whole, and only the first few of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from rich.text import Text

from lazaretto.cli.text import cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

Item = TypeVar("Item")
MOST = 20
"""Items of a list that are shown when not all are asked for."""
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Flow:
    """Parts on a line, which go on below where they do not fit; no part is ever broken.

    Attributes:
        parts: ids, or words of a sentence.
        depth: blanks before the first line; those below it have two more.
    """

    parts: Sequence[Text]
    depth: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lays it out for the width that there is."""
        line = Text(" " * self.depth, no_wrap=True, overflow="ignore")
        empty = True
        for part in self.parts:
            if not empty and line.cell_len + 1 + part.cell_len > options.max_width:
                yield line
                line = Text(" " * (self.depth + 2), no_wrap=True, overflow="ignore")
                empty = True
            line = line if empty else line.append(" ")
            line.append_text(part)
            empty = False
        yield line


def flow(*parts: object, depth: int = 0) -> Flow:
    """Parts of which none is broken; one that is empty or None is left out.

    Args:
        parts: ids, numbers or short words; one may be a `cell` already.
        depth: blanks before them.
    """
    shown = [
        part if isinstance(part, Text) else cell(part, limit=_LONGEST)
        for part in parts
        if part not in (None, "")
    ]
    return Flow(shown, depth)


def words(text: str) -> list[str]:
    """The words of a sentence, as parts of a `flow`."""
    return text.split()


def listing(
    title: str,
    items: Sequence[Item],
    show: Callable[[Item], Iterable[RenderableType]],
    *,
    whole: bool,
    most: int = MOST,
) -> Iterator[RenderableType]:
    """A title, the first items, and how many more there are; nothing where there is no item.

    Args:
        title: above them; it has the totals.
        items: all of them.
        show: the lines of one.
        whole: show all of them.
        most: how many are shown else.
    """
    if not items:
        return
    yield Text("")
    yield cell(title, "italic")
    shown = items if whole else items[:most]
    for item in shown:
        yield from show(item)
    if len(items) > len(shown):
        yield cell(f"and {len(items) - len(shown):,} more; --all, or --json")
