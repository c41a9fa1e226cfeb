"""The page of all commands, from the application itself."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from typer.models import ArgumentInfo, CommandInfo, OptionInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

_SHARED = ("catalog", "store", "policy", "json", "debug")

_CLI_HEAD = (Path(__file__).parent / "heads" / "cli.md").read_text("utf-8")


def page() -> str:
    """Renders the page."""
    from lazaretto.cli.app import app

    parts = [_CLI_HEAD]
    for command in app.registered_commands:
        parts += _command("##", f"lazaretto {command.name}", command)
    for group in app.registered_groups:
        parts += _noun(str(group.name), group.typer_instance)
    return "".join(parts)


def _noun(name: str, noun: typer.Typer) -> Iterator[str]:
    yield f"\n## lazaretto {name}\n\n{_paragraphs(noun.info.help)}\n"
    for command in noun.registered_commands:
        yield from _command("###", f"lazaretto {name} {command.name}", command)


def _command(level: str, path: str, command: CommandInfo) -> Iterator[str]:
    parameters = [
        _Parameter.of(p) for p in inspect.signature(command.callback or print).parameters.values()
    ]
    arguments = [p for p in parameters if p.is_argument]
    options = [p for p in parameters if not p.is_argument and p.name not in _SHARED]
    usage = " ".join([path, *(p.label for p in arguments), *(["[OPTIONS]"] if options else [])])
    shared = [
        f"`--{p.name}`" for p in parameters if p.name in _SHARED and p.name not in ("json", "debug")
    ]
    yield f"\n{level} {path}\n\n```text\n{usage}\n```\n\n"
    yield f"{_paragraphs(inspect.getdoc(command.callback))}\n"
    if arguments or options:
        yield "\n| argument or option | meaning |\n|---|---|\n"
    for parameter in (*arguments, *options):
        yield f"| {parameter.label_cell} | {parameter.help} |\n"
    if shared:
        yield f"\nShared options: {', '.join(shared)}.\n"


@dataclass(frozen=True, slots=True)
class _Parameter:
    """An argument or option of a command, as its signature declares it."""

    name: str
    kind: Any
    info: OptionInfo | ArgumentInfo
    default: Any

    @classmethod
    def of(cls, parameter: inspect.Parameter) -> _Parameter:
        kind, info = get_args(parameter.annotation)[:2]
        return cls(parameter.name, kind, info, parameter.default)

    @property
    def is_argument(self) -> bool:
        return isinstance(self.info, ArgumentInfo)

    @property
    def label(self) -> str:
        return self.name.upper() + ("…" if get_origin(self.kind) is list else "")

    @property
    def label_cell(self) -> str:
        if self.is_argument:
            return f"`{self.label}`"
        # Inside Annotated, typer keeps the first name that was given in the place of the default.
        first = (
            self.info.default
            if isinstance(self.info.default, str)
            else f"--{self.name.replace('_', '-')}"
        )
        names = ", ".join(f"`{name}`" for name in (first, *(self.info.param_decls or ())))
        return names if bool in (self.kind, *get_args(self.kind)) else f"{names} {self._value}"

    @property
    def help(self) -> str:
        words = [_paragraphs(self.info.help).replace("|", "\\|")]
        if self.default is inspect.Parameter.empty:
            words.append("" if self.is_argument else "**Required.**")
        elif self.is_argument:
            words.append("Optional.")
        elif self.default not in (None, False):
            words.append(f"Default: `{getattr(self.default, 'value', self.default)}`.")
        if self.info.envvar:
            words.append(f"Environment: `{self.info.envvar}`.")
        return " ".join(word for word in words if word)

    @property
    def _value(self) -> str:
        if self.info.metavar:
            return self.info.metavar
        if get_origin(self.kind) is Literal:
            return "\\|".join(get_args(self.kind))
        kind = next(k for k in get_args(self.kind) or (self.kind,) if k is not type(None))
        kind = get_args(kind)[0] if get_origin(kind) is list else kind
        if issubclass(kind, Enum):
            return "\\|".join(str(member.value).lower() for member in kind)
        return {"str": "TEXT", "int": "N", "float": "X", "Path": "FILE"}[kind.__name__]


def _paragraphs(text: str | None) -> str:
    return " ".join((text or "").split())
