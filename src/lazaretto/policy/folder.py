"""The policy's folder: Python modules that it names are looked for there first."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def importing_from(folder: Path | None) -> Iterator[None]:
    """Looks for modules in a folder before anywhere else, as long as it lasts.

    Args:
        folder: the policy's; None changes nothing.
    """
    added = [] if folder is None else [str(folder.resolve())]
    sys.path[:0] = added
    try:
        yield
    finally:
        for path in added:
            sys.path.remove(path)
