"""The application, as far as a command line needs it: a noun's module loads when it is named."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

NOUNS = (
    "source",
    "manifest",
    "policy",
    "contract",
    "reference",
    "batch",
    "quarantine",
    "dataset",
    "model",
    "trace",
    "incident",
    "drill",
    "lineage",
    "ledger",
    "catalog",
)
"""Groups of commands, in the order of the help; each is a module here with its `app`."""
COMMANDS = ("init", "doctor", "demo")
"""Commands without a noun; each is a module here with `register`."""


def application(words: Sequence[str] = ()) -> typer.Typer:
    """Makes the application.

    Args:
        words: the command line. Where it begins with a noun or a command, the others are left out:
            to load them takes as long as many a command.

    Returns:
        The whole application where `words` begin with anything else, such as ``--help``.
    """
    app = typer.Typer(
        name="lazaretto",
        no_args_is_help=True,
        # Tracebacks with local variables would print keys and passwords; `command` explains errors.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Keep poisoned data out of machine-learning models: authenticate, screen, quarantine "
        "and trace what models learn from.",
        epilog="Exit codes: 0 done; 1 done, and something was found, held or refused; 2 your "
        "mistake; 3 the system's fault; 4 cannot say.",
    )
    app.callback()(_root)
    first = words[0] if words else ""
    named = first in NOUNS or first in COMMANDS
    for noun in NOUNS:
        if not named or noun == first:
            app.add_typer(import_module(f"lazaretto.cli.{noun}").app, name=noun)
    for command in COMMANDS:
        if not named or command == first:
            import_module(f"lazaretto.cli.{command}").register(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lazaretto {version('lazaretto')}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version"),
    ] = False,
) -> None:
    pass
