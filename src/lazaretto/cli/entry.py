"""The console script: runs the application, then ends the process with its exit code."""

from __future__ import annotations

import atexit
import io
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Runs ``lazaretto`` with the process's arguments and never returns.

    The process ends through `os._exit` after Python's own exit handlers ran and the streams are
    flushed. Reason: with polars, pyarrow and deltalake in one process, their native thread pools
    can race at interpreter shutdown and abort it (``terminate called without an active exception``,
    status 134) after all work was done and committed. An exit code is a promise here, so it is
    given before native destructors get their turn.
    """
    code = _run()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            pass
        except OSError as error:  # a full disk behind a redirect: the output is not whole
            os.write(2, f"error: cannot write the output: {error}\n".encode())
            code = code or 3
    os._exit(code)


def _run() -> int:
    from lazaretto.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a character that the terminal lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="lazaretto")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0
