"""Arguments that choose a case and held records of it: by id, by a filter, or all."""

from dataclasses import dataclass
from typing import Annotated

import typer

from lazaretto.errors import UsageError

CaseId = Annotated[str, typer.Argument(metavar="CASE", help="Id of a case")]
_PANEL = "Which records"


@dataclass(frozen=True, slots=True)
class Filter:
    """Filter options of held records; several together must all hold."""

    reason_is: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Only records held for this reason: contract:RULE, screen:DETECTOR or batch",
            rich_help_panel=_PANEL,
        ),
    ] = None
    label: Annotated[
        str | None, typer.Option(help="Only records with this label", rich_help_panel=_PANEL)
    ] = None
    min_score: Annotated[
        float | None, typer.Option(help="Only scores of at least this", rich_help_panel=_PANEL)
    ] = None
    max_score: Annotated[
        float | None, typer.Option(help="Only scores of at most this", rich_help_panel=_PANEL)
    ] = None
    min_p_value: Annotated[
        float | None, typer.Option(help="Only p-values of at least this", rich_help_panel=_PANEL)
    ] = None
    max_p_value: Annotated[
        float | None, typer.Option(help="Only p-values of at most this", rich_help_panel=_PANEL)
    ] = None
    undecided: Annotated[
        bool,
        typer.Option("--undecided", help="Only records without a decision", rich_help_panel=_PANEL),
    ] = False

    def as_mapping(self) -> dict[str, str]:
        """What `lazaretto.quarantine.records` takes as a filter; empty when nothing was asked."""
        given = {
            "reason": self.reason_is,
            "label": self.label,
            "min_score": self.min_score,
            "max_score": self.max_score,
            "min_p_value": self.min_p_value,
            "max_p_value": self.max_p_value,
            "action": "UNDECIDED" if self.undecided else None,
        }
        return {name: str(value) for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Selection(Filter):
    """What a decision is about: exactly one of ids, filter and all."""

    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--id", help="This record; may be given several times", rich_help_panel=_PANEL
        ),
    ] = None
    everything: Annotated[
        bool, typer.Option("--all", help="Every record of the case", rich_help_panel=_PANEL)
    ] = False

    def check(self) -> None:
        """Refuses a decision that does not say, or says twice, what it is about.

        Raises:
            UsageError: none, or more than one, of ids, filter and all.
        """
        if sum([bool(self.ids), bool(self.as_mapping()), self.everything]) != 1:
            raise UsageError(
                "which records? Give --id (several times), or filters such as --reason-is, or --all"
            )
