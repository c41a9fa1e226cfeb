"""The rules that the expectations of a suite are: names, words, and the columns that each reads."""

from __future__ import annotations

import string
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator

_LAYOUT = frozenset(
    {
        "expect_column_to_exist",
        "expect_table_column_count_to_be_between",
        "expect_table_column_count_to_equal",
        "expect_table_columns_to_match_ordered_list",
        "expect_table_columns_to_match_set",
    }
)
"""What only looks at the names of all columns."""
_MOST_TEXT = 300


@dataclass(frozen=True, slots=True)
class Rule:
    """One expectation.

    Attributes:
        name: unique in its suite.
        column: the column that it is about; None for several, or none.
        text: what it asks for.
        warn: whether it only warns.
        reads: columns that it reads; None: all that there are.
        layout: whether it only looks at the names of all columns.
        expectation: the `Expectation`.
    """

    name: str
    column: str | None
    text: str
    warn: bool
    reads: tuple[str, ...] | None
    layout: bool
    expectation: Any

    def reads_of(self, names: list[str]) -> tuple[str, ...]:
        """Columns that it reads, of a batch with these columns."""
        condition = getattr(self.expectation, "row_condition", None)
        if self.layout:
            return ()
        if self.reads is None:
            return tuple(names)
        if condition is None:
            return self.reads
        # A condition is an expression of pandas, or a tree: it names what it reads.
        said = condition if isinstance(condition, str) else repr(condition)
        named = [name for name in names if name in said and name not in self.reads]
        return (*self.reads, *named)


def rules_of(expectations: list[tuple[Any, dict[str, Any]]]) -> Iterator[Rule]:
    """Rules of expectations, in order.

    Args:
        expectations: each with its arguments as the suite has them.
    """
    seen: Counter[str] = Counter()
    for expectation, said in expectations:
        reads, kind = reads_named(expectation), type_of(expectation)
        column = getattr(expectation, "column", None)
        column = column if isinstance(column, str) else None
        if column is not None:
            name = f"{column}.{kind}"
        else:
            name = f"{kind}({','.join(reads)})" if reads else kind
        seen[name] += 1
        severity = str(getattr(expectation, "severity", "critical")).rpartition(".")[2].lower()
        yield Rule(
            name=name if seen[name] == 1 else f"{name}#{seen[name]}",
            column=column,
            text=_text(expectation, said),
            warn=severity in ("warning", "info"),
            reads=reads,
            layout=kind in _LAYOUT,
            expectation=expectation,
        )


def reads_named(expectation: Any) -> tuple[str, ...] | None:
    """Columns that an expectation names; None for a team's own one, which may read any."""
    if not type(expectation).__module__.startswith("great_expectations."):
        return None
    found = [getattr(expectation, key, None) for key in ("column", "column_A", "column_B")]
    found += getattr(expectation, "column_list", None) or []
    return tuple(dict.fromkeys(name for name in found if isinstance(name, str)))


def type_of(expectation: Any) -> str:
    """The name of an expectation, as ``expect_column_to_exist``."""
    return str(expectation.configuration.type)


def _text(expectation: Any, said: dict[str, Any]) -> str:
    """What it asks for: in the suite's words, else in those of Great Expectations.

    Args:
        expectation: that is put into words.
        said: its arguments as the suite has them.
    """
    if expectation.description:
        return excerpt(expectation.description, _MOST_TEXT)
    plain = {
        key: _short(value) for key, value in said.items() if isinstance(value, str | int | float)
    }
    plain["row_condition__0"] = plain.get("row_condition", "$row_condition__0")
    try:
        expectation.render()
        value = expectation.rendered_content[0].to_json_dict()["value"]
        params = {key: param.get("value") for key, param in (value.get("params") or {}).items()}
        words = string.Template(value["template"]).safe_substitute(params | plain)
    except Exception:
        # A renderer is a nicety: what it cannot word is still said.
        words = f"{type_of(expectation)} {said}"
    finally:
        expectation.rendered_content = None
    return excerpt(words, _MOST_TEXT)


def _short(value: object) -> object:
    """A value as people write it: Great Expectations makes 18.0 of 18."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
