"""What cleaning found: one row per record and rule, with what becomes of the record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.text import excerpt
from lazaretto.values import RuleCount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST = 1_000_000
"""Findings that are listed; from here on they are counted only, and the batch is held."""
_SHOWN = 120


def findings_schema() -> pa.Schema:
    """Columns of the findings.

    ``action`` is what becomes of the record by this rule: ``hold``, ``drop``, ``fix`` or ``flag``.
    ``value`` is what was delivered, at most 120 characters, made visible; null for rules over
    several columns.

    Examples:
        >>> findings_schema().names
        ['record_id', 'position', 'rule', 'column', 'action', 'text', 'value']
    """
    return pa.schema(
        [
            ("record_id", pa.string()),
            ("position", pa.uint64()),
            ("rule", pa.string()),
            ("column", pa.string()),
            ("action", pa.string()),
            ("text", pa.string()),
            ("value", pa.string()),
        ]
    )


@dataclass(slots=True)
class Findings:
    """Collects what rule after rule finds.

    Attributes:
        broken: what is wrong with the batch as a whole.
    """

    broken: list[str] = field(default_factory=list)
    _parts: list[tuple[NDArray[np.int64], str, str | None, str, Sequence[str], Sequence[str]]] = (
        field(default_factory=list)
    )
    _seen: dict[tuple[str, str | None, str, str], list[NDArray[np.int64]]] = field(
        default_factory=dict
    )
    _kept: int = 0

    def add(
        self,
        rule: str,
        column: str | None,
        action: str,
        asks: str,
        positions: NDArray[np.int64],
        *,
        texts: Sequence[str] | None = None,
        values: Sequence[object] | None = None,
    ) -> None:
        """Adds what a rule found in some records.

        Args:
            rule: its name.
            column: that it is about; None for several.
            action: what becomes of the records.
            asks: what the rule asks for, the same for all.
            positions: of the records, ascending, each once.
            texts: why, for each record; default: what the rule asks for.
            values: what was delivered, for each record.
        """
        if not len(positions):
            return
        self._seen.setdefault((rule, column, action, asks), []).append(positions)
        few = positions[: max(MOST - self._kept, 0)]
        self._kept += len(few)
        said = [asks] * len(few) if texts is None else list(texts)[: len(few)]
        shown = [excerpt(value, _SHOWN) for value in list(values or ())[: len(few)]]
        self._parts.append((few, rule, column, action, said, shown))

    def table(self, ids: pa.ChunkedArray) -> pa.Table:
        """All findings, in order of position.

        Args:
            ids: of all records of the batch.
        """
        tables = [findings_schema().empty_table()]
        for positions, rule, column, action, texts, values in self._parts:
            count = len(positions)
            columns = [
                ids.take(pa.array(positions)).combine_chunks(),
                pa.array(positions.astype(np.uint64)),
                pa.repeat(rule, count),
                pa.repeat(pa.scalar(column, pa.string()), count),
                pa.repeat(action, count),
                pa.array(texts, pa.string()),
                pa.array(values, pa.string()) if values else pa.nulls(count, pa.string()),
            ]
            tables.append(pa.Table.from_arrays(columns, schema=findings_schema()))
        found = pa.concat_tables(tables)
        return found.sort_by([("position", "ascending"), ("rule", "ascending")])

    def problems(self) -> list[str]:
        """What is wrong with the batch as a whole."""
        if self._kept < MOST:
            return list(self.broken)
        return [*self.broken, f"cleaning found more than {MOST:,} times something; see the counts"]

    def counts(self) -> list[RuleCount]:
        """How many records each rule found."""
        return [
            RuleCount(
                rule,
                column,
                len(np.unique(np.concatenate(positions))),
                asks,
                action not in ("hold", "drop"),
            )
            for (rule, column, action, asks), positions in self._seen.items()
        ]
