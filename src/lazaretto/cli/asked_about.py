"""What an incident is about, as options: one for each command of ``lazaretto trace``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from lazaretto.cli.arguments import Registry, Since, Until
from lazaretto.cli.trace_reply import By, Without
from lazaretto.errors import UsageError
from lazaretto.values import Question
from lazaretto.window import EITHER

_ABOUT = "What it is about: exactly one"


def _one(metavar: str | None, about: str) -> object:
    return typer.Option(metavar=metavar, help=about, rich_help_panel=_ABOUT)


@dataclass(frozen=True, slots=True)
class AskedAbout:
    """What an incident is about: exactly one thing, with the window of a source or of a key."""

    source: Annotated[str | None, _one(None, "A source that may have delivered poison")] = None
    batch: Annotated[str | None, _one(None, "One batch")] = None
    record: Annotated[str | None, _one("BATCH#RECORD", "One record of a batch")] = None
    key: Annotated[str | None, _one("KEY_ID", "A stolen key: all that it signed")] = None
    policy: Annotated[
        str | None, _one("DATASET@SHA256", "A version of a policy: all that was judged under it")
    ] = None
    reference: Annotated[
        str | None,
        _one("NAME@VERSION", "A version of a reference: all that was screened against it"),
    ] = None
    decision: Annotated[
        str | None, _one("DECISION", "A decision of a person: the records that it let in")
    ] = None
    dataset: Annotated[
        str | None, _one("NAME@VERSION", "A version of a dataset, with all that is in it")
    ] = None
    model: Annotated[
        str | None, _one("NAME@VERSION", "A model version, or an alias, that misbehaves")
    ] = None
    since: Since = None
    until: Until = None
    by: By = EITHER
    registry: Registry = None
    without: Without = None

    def question(self) -> Question:
        """The question.

        Raises:
            UsageError: it is about nothing, or about more than one thing.
        """
        from lazaretto.lineage.trace.ask import KINDS

        named = [(kind, value) for kind in KINDS if (value := getattr(self, kind)) is not None]
        if len(named) != 1:
            options = ", ".join(f"--{kind}" for kind in KINDS)
            raise UsageError(f"what is it about? Give one of {options}")
        (kind, subject), left_out = named[0], self.without or []
        return Question(kind, subject, self.since, self.until, self.by, left_out, self.registry)
