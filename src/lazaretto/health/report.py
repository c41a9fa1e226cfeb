"""What a check of a workspace found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazaretto.ledger.differences import Difference

SHOWN = 20
"""Names that a finding gives, at most; it counts all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be.

    Attributes:
        kind: stable name, such as ``missing_files``.
        what: which, in words.
        mend: what to do.
        count: how many.
        first: the first of them by name.
    """

    kind: str
    what: str
    mend: str
    count: int = 1
    first: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Files of the store that no ledger entry names: of work that was refused or cut off.

    Attributes:
        count: how many.
        first: the first of them by name.
    """

    count: int = 0
    first: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found.

    Attributes:
        catalog: its URL, without a password.
        schema: revision of its schema.
        store: its root.
        deep: whether the bytes of every file were read.
        sound: nothing was found.
        entries: ledger entries.
        rows: rows of the catalog that were compared with the ledger.
        files: files that the ledger names.
        deleted: files that retention deleted.
        behind: ledger entries that each projection has not seen yet; that is no fault.
        leftovers: files that nothing names; they are harmless.
        findings: what is wrong.
        differences: rows of the catalog that are not what the ledger says, the first of each table.
    """

    catalog: str
    schema: str | None
    store: str
    deep: bool
    sound: bool
    entries: int
    rows: int
    files: int
    deleted: int
    behind: dict[str, int]
    leftovers: Leftovers
    findings: list[Finding]
    differences: list[Difference]


def named(names: Iterable[str]) -> list[str]:
    """The first names in order, as many as a finding gives."""
    return sorted(names)[:SHOWN]
