"""A first contract in YAML, proposed from a sample: rules that it keeps, and what to check."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._plain import is_list, plain_type
from lazaretto.proposal.examine import ROWS, Kind, examine
from lazaretto.proposal.propose import propose_id, propose_label
from lazaretto.proposal.quote import to_yaml
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from lazaretto.batch import Batch
    from lazaretto.proposal.examine import Sample, Seen
    from lazaretto.proposal.gate import Wishes

_MOST_VALUES = 30
"""Texts of a column are listed up to so many."""
_MOST_TIMES = 8
_LONGEST_NAME, _LONGEST_VALUE = 255, 1000
_BEGIN = re.compile(r"start|begin|from|created|opened|birth", re.IGNORECASE)
_END = re.compile(r"end|until|to$|closed|finish|updated|death", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ProposedContract:
    """Rules that a sample keeps.

    Attributes:
        rules: in the form of `lazaretto.policy.contract.Rules`.
        by_hand: what the sample cannot tell, by column; under an empty name, of the whole.
        rows: records that were looked at.
    """

    rules: dict[str, Any]
    by_hand: dict[str, list[str]] = field(default_factory=dict)
    rows: int = 0


def propose_contract(batch: Batch, wishes: Wishes | None = None) -> ProposedContract:
    """Proposes rules from the first records of a sample; the sample keeps all of them.

    Args:
        batch: the sample, as it would be delivered.
        wishes: which columns hold ids and labels, where somebody said it.

    Example:
        >>> from lazaretto.batch import open_batch
        >>> propose_contract(open_batch("monday.parquet")).rules["columns"]["id"]
        {'type': 'text', 'unique': True, 'length': {'max': 100}}
    """
    sample = examine(batch)
    table = _head(batch)
    record_id, label = wishes.record_id if wishes else None, wishes.label if wishes else None
    record_id = propose_id(sample) if record_id is None else record_id or None
    label = propose_label(sample, record_id) if label is None else label or None
    columns: dict[str, dict[str, Any]] = {}
    by_hand: dict[str, list[str]] = {}
    for one in sample.columns:
        if not 0 < len(one.path) <= _LONGEST_NAME:
            continue
        rules, notes = _column(one, table.column(one.path), is_id=one.path == record_id)
        if one.path == label:
            notes.append("shares of labels: rates would hold a delivery that has others")
        columns[one.path] = rules
        if notes:
            by_hand[one.path] = notes
    said: dict[str, Any] = {"columns": columns}
    ordered = _ordered(sample, table)
    if ordered:
        said["records"] = ordered
    by_hand[""] = [
        "what a delivery must have beside this: unique over several columns, count, volume",
        f"the sample has {sample.rows:,} records: a rule that they all keep may still be chance",
    ]
    return ProposedContract(said, by_hand, sample.looked_at)


def _head(batch: Batch) -> pa.Table:
    parts, rows = [], 0
    for chunk in batch.chunks():
        parts.append(chunk.slice(0, ROWS - rows))
        rows += parts[-1].num_rows
        if rows >= ROWS:
            break
    return pa.Table.from_batches(parts, schema=batch.schema)


def _column(  # noqa: PLR0912  one step per type
    one: Seen, values: pa.ChunkedArray, *, is_id: bool
) -> tuple[dict[str, Any], list[str]]:
    rules: dict[str, Any] = {}
    notes: list[str] = []
    kind = plain_type(one.type)
    named = _type(one, kind)
    if named is not None:
        rules["type"] = named
    if one.nulls or named is None:
        rules["nullable"] = True
    if is_id:
        rules["unique"] = True
    if named in ("integer", "number"):
        found = pc.min_max(values)
        least = found["min"].as_py()
        if pa.types.is_floating(kind):
            if pc.all(pc.is_finite(values)).as_py():
                rules["finite"] = True
            elif pc.any(pc.is_nan(values)).as_py():
                rules["nullable"] = True  # NaN is missing where a value must be there,
                least = None  # and on no side of a bound
        if least is not None and least >= 0 and not is_id:
            rules["min"] = 0
        if not is_id:
            shown = f"{found['min'].as_py()} to {found['max'].as_py()}"
            notes.append(f"its range: the sample has {shown}")
    elif named == "vector":
        rules |= {"width": int(pc.list_value_length(values.drop_null())[0].as_py())}
        if _all_finite(values):
            rules["finite"] = True
    elif named == "text":
        there = values.drop_null().unique().to_pylist() if one.kind is Kind.CATEGORY else []
        few = 0 < len(there) <= _MOST_VALUES and max(map(len, there)) <= _LONGEST_VALUE
        if few and not is_id:
            rules["one_of"] = sorted(there)
            notes.append("whether one_of is complete")
        elif one.longest:
            most = 100
            while most < 2 * one.longest:
                most *= 10
            rules["length"] = {"max": most}
    elif named in ("date", "datetime"):
        if _rises(values):
            rules["increasing"] = True
            notes.append("whether every delivery is in the order of its times")
        notes.append("newest: how old a delivery may be")
    return rules, notes


def _type(one: Seen, kind: pa.DataType) -> str | None:  # noqa: PLR0911  one return per type
    t = pa.types
    if one.kind is Kind.VECTOR:
        return "vector"
    if is_list(kind):
        return "list"
    if t.is_struct(kind):
        return "struct"
    if t.is_boolean(kind):
        return "boolean"
    if t.is_integer(kind):
        return "integer"
    if t.is_floating(kind) or t.is_decimal(kind):
        return "number"
    if t.is_date(kind):
        return "date"
    if t.is_timestamp(kind):
        return "datetime"
    if t.is_string(kind) or t.is_large_string(kind):
        return "text"
    return "binary" if t.is_binary(kind) or t.is_large_binary(kind) else None


def _all_finite(values: pa.ChunkedArray) -> bool:
    items = pc.list_flatten(values)
    if items.null_count:
        return False
    return not pa.types.is_floating(items.type) or bool(pc.all(pc.is_finite(items)).as_py())


def _rises(values: pa.ChunkedArray) -> bool:
    there = values.drop_null()
    if pc.count_distinct(there).as_py() < 3:
        return False
    falls = pc.less(there[1:], there[:-1])
    return not pc.any(falls).as_py()


def _ordered(sample: Sample, table: pa.Table) -> list[str]:
    """Pairs of times of which one is after the other in every record."""
    times = [
        one
        for one in sample.columns
        if pa.types.is_temporal(plain_type(one.type)) and "`" not in one.path and one.path.strip()
    ][:_MOST_TIMES]
    found = []
    for first in times:
        for last in times:
            named = _BEGIN.search(first.path) and _END.search(last.path)
            if not named or first is last or first.type != last.type:
                continue
            wrong = pc.any(pc.less(table.column(last.path), table.column(first.path))).as_py()
            if wrong is False:
                found.append(f"{_quoted(last.path)} >= {_quoted(first.path)}")
    return found


def _quoted(name: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name not in (
        "or", "and", "not", "in", "is", "null", "true", "false",
    )  # fmt: skip
    return name if plain else f"`{name}`"


def contract_text(proposed: ProposedContract) -> str:
    """A proposed contract as a file of rules; names and values are quoted.

    Example:
        >>> print(contract_text(ProposedContract({"columns": {"no": {"type": "text"}}})))
        columns:
          "no": {type: text}
        <BLANKLINE>
    """
    lines = [f"# Check by hand: {note}." for note in proposed.by_hand.get("", ())]
    lines.append("columns:")
    for name, rules in proposed.rules["columns"].items():
        notes = proposed.by_hand.get(name, ())
        lines += [f"  # Check by hand: {excerpt(note)}." for note in notes]
        lines.append(f"  {to_yaml(name)}: {to_yaml(rules)}")
    if proposed.rules.get("records"):
        lines.append("records:")
        lines += [f"  - {to_yaml(rule)}" for rule in proposed.rules["records"]]
    return "\n".join(lines) + "\n"
