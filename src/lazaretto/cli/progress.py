"""A bar on stderr while records are worked through: on a terminal only, never in between output."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lazaretto.cli.text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yields what to call with a step's name, how much of it is done, and how much there is.

    Each step gets a bar of its own. Without a terminal on stderr nothing is written.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        known = {}

        def tell(step: str, done: int, total: int) -> None:
            if step not in known:
                known[step] = shown.add_task(plain(step), total=total)
            shown.update(known[step], completed=done)

        yield tell
