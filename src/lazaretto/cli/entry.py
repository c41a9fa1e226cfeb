"""The console script: runs the application, then ends the process with its exit code."""

from __future__ import annotations

import atexit
import io
import os
import sys
from typing import NoReturn

from lazaretto.lazy import few_collections


def main() -> NoReturn:
    """Runs ``lazaretto`` with the process's arguments and never returns.

    The process ends through `os._exit` after Python's own exit handlers ran and the streams are
    flushed. Reason: with polars, pyarrow and deltalake in one process, their native thread pools
    can race at interpreter shutdown and abort it (``terminate called without an active exception``,
    status 134) after all work was done and committed. An exit code is a promise here, so it is
    given before native destructors get their turn.
    """
    # Nobody's plug-in watches what the gate validates; and to look for one takes the entry points
    # of all that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with few_collections():  # to the end: to look once more before it would be for nothing
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
    import typer

    from lazaretto.cli.application import application
    from lazaretto.redact import safe_text

    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a character that the terminal lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        code = application(sys.argv[1:])(prog_name="lazaretto", standalone_mode=False)
    except typer.Abort:
        return _wrong_usage("stopped; nothing more was done", 1)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:
        # Typer has its errors of usage from click, or a copy of click, by its version.
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # the help is printed already
            return 2
        message = safe_text(error.format_message())
        return _wrong_usage(message, 2, context=getattr(error, "ctx", None))
    return code if isinstance(code, int) else 0


def _wrong_usage(message: str, code: int, context: object = None) -> int:
    """Says what is wrong with the arguments.

    They are repeated escaped: a shell's ``*`` may have put a file's name among them.
    """
    from lazaretto.cli.reply import print_error, print_json, print_note

    if context is not None:
        print_note(context.get_usage())  # type: ignore[attr-defined]
    print_error(message)
    if "--json" in sys.argv[1:]:
        print_json({"error": {"type": "UsageError", "code": None, "message": message}})
    return code
