"""Folders for working files, which are gone afterwards."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lazaretto.faults import as_system_fault

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def working_folder() -> Iterator[Path]:
    """Makes a folder that only this user can read, and removes it with all that is in it.

    Raises:
        SystemFaultError: it cannot be made: the disk is full, or TMPDIR names no folder that can
            be written.

    Example:
        >>> with working_folder() as folder:
        ...     _ = (folder / "half").write_text("done")
        >>> folder.exists()
        False
    """
    with as_system_fault("no folder for working files can be made (see TMPDIR)"):
        folder = tempfile.TemporaryDirectory(prefix="lazaretto-")
    with folder as name:
        yield Path(name)
