"""Turns a function into a command: shared options, printing of its reply, errors as exit codes.

A command is a function from a `Session` and its own arguments to a `Reply`; an argument that is a
dataclass stands for a group of options, one for each field. `command` registers the function with
``--json`` and ``--debug``, and, as far as it `needs` them, ``--catalog``, ``--store``, ``--policy``
and ``--server``. Who acts is the operating system's user, or whom the server authenticates: no
option names anybody. Exit codes: 0 done; 1 done, and something was found, held or refused; 2 the
user's mistake; 3 the system's fault; 4 cannot say; 130 interrupted.
"""

import dataclasses
import inspect
import os
import sys
from collections.abc import Callable
from enum import Flag, auto
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from lazaretto.cli.reply import Reply, print_error, print_json, print_reply, print_traceback
from lazaretto.cli.session import POLICY_VARIABLE, SERVER_VARIABLE, Session
from lazaretto.errors import (
    AdmissionRefusedError,
    DeliveryError,
    LazarettoError,
    PromotionRefusedError,
    UsageError,
)
from lazaretto.faults import how_to_install
from lazaretto.redact import error_line
from lazaretto.storage.settings import CATALOG_VARIABLE, STORE_VARIABLE

P = ParamSpec("P")


class Needs(Flag):
    """Which shared options a command takes."""

    NOTHING = 0
    WORKSPACE = auto()
    POLICY = auto()
    REVIEW = auto()


ON_EITHER = Needs.WORKSPACE | Needs.REVIEW
"""Of commands that work on the catalog, or through Airflow's review page."""

_SHARED: tuple[tuple[Needs, str, Any, Any], ...] = (
    (
        Needs.WORKSPACE,
        "catalog",
        str | None,
        typer.Option(
            "--catalog",
            envvar=CATALOG_VARIABLE,
            show_default=False,
            help="SQLAlchemy URL of the catalog (default: SQLite under ~/.lazaretto)",
            rich_help_panel="Where things are",
        ),
    ),
    (
        Needs.WORKSPACE,
        "store",
        str | None,
        typer.Option(
            "--store",
            envvar=STORE_VARIABLE,
            show_default=False,
            help="Root of the store, a path or fsspec URI (default: ~/.lazaretto/store)",
            rich_help_panel="Where things are",
        ),
    ),
    (
        Needs.POLICY,
        "policy",
        Path | None,
        typer.Option(
            "--policy",
            envvar=POLICY_VARIABLE,
            show_default=False,
            help="The policy, a YAML file",
            rich_help_panel="Where things are",
        ),
    ),
    (
        Needs.REVIEW,
        "server",
        str | None,
        typer.Option(
            "--server",
            envvar=SERVER_VARIABLE,
            show_default=False,
            metavar="URL",
            help="Address of Airflow: act through its review page as the person whose token is in "
            "LAZARETTO_TOKEN; needs neither catalog nor store",
            rich_help_panel="Where things are",
        ),
    ),
    (Needs.NOTHING, "json", bool, typer.Option("--json", help="Print one JSON document on stdout")),
    (Needs.NOTHING, "debug", bool, typer.Option("--debug", help="Show the traceback of an error")),
)


def command(
    app: typer.Typer, name: str, *, needs: Needs = Needs.WORKSPACE
) -> Callable[[Callable[Concatenate[Session, P], Reply]], Callable[Concatenate[Session, P], Reply]]:
    """Registers a function as a command of `app`; the function itself stays as it is."""

    def register(
        function: Callable[Concatenate[Session, P], Reply],
    ) -> Callable[Concatenate[Session, P], Reply]:
        shared = [(key, kind, option) for need, key, kind, option in _SHARED if need in needs]
        own = list(inspect.signature(function).parameters.values())[1:]
        groups: dict[str, Any] = {
            p.name: p.annotation for p in own if dataclasses.is_dataclass(p.annotation)
        }

        def run(**arguments: Any) -> None:
            given = {key: arguments.pop(key, None) for key, _, _ in shared}
            session = Session(
                catalog_url=given.get("catalog"),
                store_root=given.get("store"),
                policy_path=given.get("policy"),
                server=given.get("server"),
                json=bool(given["json"]),
                debug=bool(given["debug"]),
            )
            for key, group in groups.items():
                values = {f.name: arguments.pop(f.name) for f in dataclasses.fields(group)}
                arguments[key] = group(**values)
            raise typer.Exit(_answer(session, lambda: function(session, **arguments)))  # type: ignore[call-arg]

        parameters = [p for q in own for p in _expanded(q)]
        parameters += [
            _option(key, Annotated[kind, option], default=False if kind is bool else None)
            for key, kind, option in shared
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        run.__doc__ = function.__doc__
        app.command(name)(run)
        return function

    return register


def _expanded(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """A parameter as typer sees it: a dataclass stands for one option per field."""
    if not dataclasses.is_dataclass(parameter.annotation):
        return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    fields = dataclasses.fields(parameter.annotation)
    return [_option(field.name, field.type, default=field.default) for field in fields]


def _option(name: str, annotation: Any, *, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _answer(session: Session, ask: Callable[[], Reply]) -> int:
    """Runs a command's function, prints what comes of it, and gives the exit code."""
    try:
        reply = ask()
        print_reply(reply, as_json=session.json)
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): not an error, but stdout is gone for good.
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  for the rest of the process
        return 0
    except KeyboardInterrupt:
        message = "interrupted; what was committed stays, and the same command goes on from there"
        print_error(message)
        if session.json:
            print_json({"error": {"type": "Interrupted", "code": None, "message": message}})
        return 130
    except Exception as error:  # the one place that turns errors into exit codes
        code, message = _explain(error, debug=session.debug)
        if session.debug:
            print_traceback()
        print_error(message)
        if session.json:
            reason = error.code if isinstance(error, DeliveryError) else None
            print_json(
                {"error": {"type": type(error).__name__, "code": reason, "message": message}}
            )
        return code
    finally:
        session.close()
    return 1 if reply.found else 4 if reply.cannot_say else 0


def _explain(error: Exception, *, debug: bool) -> tuple[int, str]:
    if isinstance(error, LazarettoError):
        return _explain_ours(error)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("lazaretto"):
        package = (error.name or "").split(".")[0]
        return 2, f"this needs the Python package {package!r}: {how_to_install(error)}"
    if isinstance(error, OSError):
        return 3, f"the system refused: {error_line(error)}"
    if isinstance(error, UnicodeEncodeError):
        return 2, "an argument, or a file's name, is not valid Unicode text"
    if type(error).__module__.startswith("sqlalchemy"):
        # The driver's words only: SQLAlchemy's carry the statement and its parameters.
        driver = getattr(error, "orig", None)
        return 3, f"the catalog failed: {error_line(driver) if driver else type(error).__name__}"
    hint = "" if debug else " (add --debug for the traceback, and please report it)"
    return 3, f"this is a bug in Lazaretto: {error_line(error)}{hint}"


def _explain_ours(error: LazarettoError) -> tuple[int, str]:
    if isinstance(error, AdmissionRefusedError):
        return 1, f"admission refused ({error.code}): {error}"
    if isinstance(error, PromotionRefusedError):
        return 1, f"promotion refused ({error.code}): {error}"
    if isinstance(error, DeliveryError):
        return 1, f"delivery refused ({error.code}): {error}"
    return (2 if isinstance(error, UsageError) else 3), str(error)
