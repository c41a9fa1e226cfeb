"""Reviewing from the command line: on the catalog itself, or through Airflow's review page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazaretto.quarantine.approvals import Approval
    from lazaretto.quarantine.cases import Case
    from lazaretto.quarantine.decisions import Decision
    from lazaretto.quarantine.export import ExportFormat
    from lazaretto.quarantine.importing import ImportFormat
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Action

TOKEN_VARIABLE = "LAZARETTO_TOKEN"  # noqa: S105  the name of a variable


@dataclass(frozen=True, slots=True)
class Choice:
    """Which records a decision is about: exactly one of the three.

    Attributes:
        ids: record ids.
        filter: see `lazaretto.quarantine.review.held_records`.
        all: every record of the case.
    """

    ids: Sequence[str] | None
    filter: Mapping[str, str] | None
    all: bool


@dataclass(frozen=True, slots=True)
class Published:
    """What `publish` made.

    Attributes:
        rows: how many records are in the dataset by it; 0 where nothing was released.
        dataset: its name.
        version: that the publication made.
        part: id of the publication.
        by: who published.
        seq: ledger entry.
        announced: whether Airflow was told of the version; None: nobody asked for it.
        note: why it was not, in words.
    """

    rows: int
    dataset: str | None = None
    version: int | None = None
    part: str | None = None
    by: str | None = None
    seq: int | None = None
    announced: bool | None = None
    note: str = ""


class Reviewer(Protocol):
    """What reviewers do; see `lazaretto.quarantine.review`."""

    def cases(self, **which: Any) -> list[Case]:
        """Lists cases."""

    def case(
        self,
        case: str,
        chosen: Mapping[str, str],
        *,
        columns: Sequence[str] | None,
        after: int,
        limit: int,
    ) -> dict[str, Any]:
        """Shows a case, as `lazaretto.cli.case_view.describe_case`."""

    def count(self, case: str, chosen: Mapping[str, str]) -> int:
        """Counts what a filter takes."""

    def decide(
        self,
        case: str,
        action: Action,
        choice: Choice,
        reason: str,
        label: str | None,
        weight: float | None,
    ) -> Decision:
        """Decides."""

    def undo(self, decision: str, reason: str) -> Decision:
        """Takes a decision back."""

    def publish(self, case: str) -> Published:
        """Publishes."""

    def approve(self, case: str, seen: int) -> Approval:
        """Agrees to a publication."""

    def assign(self, case: str, assignee: str | None) -> None:
        """Makes a case somebody's to review."""

    def override(self, case: str, reason: str) -> int:
        """Lets records of what is revoked be released."""

    def comment(self, case: str, text: str) -> int:
        """Puts a remark on record."""

    def export(
        self,
        case: str,
        to: IO[bytes],
        format: ExportFormat,  # noqa: A002
        chosen: Mapping[str, str],
    ) -> None:
        """Writes a case as a file."""

    def bring(
        self,
        case: str,
        content: bytes,
        format: ImportFormat,  # noqa: A002
        reason: str | None,
        *,
        apply: bool,
    ) -> dict[str, Any]:
        """Reads decisions from a file, and takes them where `apply` is set."""


@dataclass(frozen=True, slots=True)
class OnCatalog:
    """Reviews on catalog and store, as the operating system's user.

    Attributes:
        workspace: catalog and store.
    """

    workspace: Workspace

    def cases(self, **which: Any) -> list[Case]:
        """Lists cases."""
        from lazaretto.quarantine.cases import list_cases

        return list_cases(self.workspace, **which)

    def case(
        self,
        case: str,
        chosen: Mapping[str, str],
        *,
        columns: Sequence[str] | None,
        after: int,
        limit: int,
    ) -> dict[str, Any]:
        """Shows a case."""
        from lazaretto.cli.case_view import describe_case

        return describe_case(
            self.workspace, case, chosen, columns=columns, after=after, limit=limit
        )

    def count(self, case: str, chosen: Mapping[str, str]) -> int:
        """Counts what a filter takes."""
        from lazaretto.quarantine.records import count_records

        return count_records(self.workspace, case, chosen)

    def decide(
        self,
        case: str,
        action: Action,
        choice: Choice,
        reason: str,
        label: str | None,
        weight: float | None,
    ) -> Decision:
        """Decides."""
        from lazaretto.quarantine import review

        return review.decide(
            self.workspace,
            case,
            action,
            ids=choice.ids,
            filter=choice.filter,
            all=choice.all,
            reason=reason,
            label=label,
            weight=weight,
        )

    def undo(self, decision: str, reason: str) -> Decision:
        """Takes a decision back."""
        from lazaretto.quarantine import review

        return review.undo(self.workspace, decision, reason=reason)

    def publish(self, case: str) -> Published:
        """Publishes."""
        from lazaretto.quarantine.publish import publish
        from lazaretto.quarantine.review import list_publications

        made = publish(self.workspace, case)
        if made is None:
            return Published(0)
        known = list_publications(self.workspace, case)
        by = next(one.by.id for one in known if one.part == made.part)
        return Published(made.rows, made.dataset, made.version, made.part, by, made.seqs[-1])

    def approve(self, case: str, seen: int) -> Approval:
        """Agrees to a publication."""
        from lazaretto.quarantine.approve import approve

        return approve(self.workspace, case, seen=seen)

    def assign(self, case: str, assignee: str | None) -> None:
        """Makes a case somebody's to review."""
        from lazaretto.quarantine.handling import assign

        assign(self.workspace, case, assignee)

    def override(self, case: str, reason: str) -> int:
        """Lets records of what is revoked be released."""
        from lazaretto.quarantine.override import override

        return override(self.workspace, case, reason)

    def comment(self, case: str, text: str) -> int:
        """Puts a remark on record."""
        from lazaretto.quarantine.handling import comment

        return comment(self.workspace, case, text)

    def export(
        self,
        case: str,
        to: IO[bytes],
        format: ExportFormat,  # noqa: A002
        chosen: Mapping[str, str],
    ) -> None:
        """Writes a case as a file."""
        from lazaretto.quarantine.export import export_case

        export_case(self.workspace, case, to, format, chosen)

    def bring(
        self,
        case: str,
        content: bytes,
        format: ImportFormat,  # noqa: A002
        reason: str | None,
        *,
        apply: bool,
    ) -> dict[str, Any]:
        """Reads decisions from a file, and takes them where `apply` is set."""
        from lazaretto.quarantine.importing import as_told, import_decisions, read_decisions

        found = read_decisions(self.workspace, case, content, format)
        made = import_decisions(self.workspace, found, reason=reason) if apply else []
        return as_told(found, made)


def token(option: str) -> str:
    """The token for Airflow, from the environment: an option would be seen by everybody.

    Args:
        option: that needs it, for the message.

    Raises:
        UsageError: there is none.
    """
    found = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not found:
        raise UsageError(
            f"{option} needs a token of Airflow in {TOKEN_VARIABLE}: POST user and password to "
            "/auth/token, or see `airflow.apache.org` for your auth manager"
        )
    return found
