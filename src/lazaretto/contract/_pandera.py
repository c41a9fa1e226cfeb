"""Reads a pandera schema as a table of rules.

Only public parts of pandera are used: the schema's attributes, `Check.__call__`, and of its backend
what that calls first. Its own `validate` is not: it returns no row for several kinds of failure,
reports only the first broken `unique` set, and builds a Python dict per failing row for frame-level
checks; `drop_invalid_rows` passes wrong types silently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
from pandera.api.checks import Check
from pandera.config import config_context

from lazaretto.batch import declared
from lazaretto.contract._checked import ALONE
from lazaretto.contract._frame import RAISED, types_of
from lazaretto.contract._rules import Checked, Distinct, Present, Rule
from lazaretto.contract._run import ColumnCheck, Prepared
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SEVERITIES = ("error", "warning")
_BY = "the contract"
_BY_RECORD = frozenset(
    {
        "equal_to",
        "not_equal_to",
        "greater_than",
        "greater_than_or_equal_to",
        "less_than",
        "less_than_or_equal_to",
        "in_range",
        "isin",
        "notin",
        "str_matches",
        "str_contains",
        "str_startswith",
        "str_endswith",
        "str_length",
    }
)
"""Pandera's own checks whose answer for a record depends on that record alone."""


def named_columns(schema: Any, names: list[str]) -> list[str]:
    """Columns of a batch that the schema names, by a pattern too."""
    wanted = {
        name for column in schema.columns.values() for name in _matches(column, names, schema)
    }
    return [name for name in names if name in wanted]


def arrow_types(schema: Any, names: list[str]) -> dict[str, pa.DataType]:
    """Types that the schema says for columns of a batch; without those that leave something open.

    Args:
        schema: a `pandera.polars.DataFrameSchema`.
        names: all columns of the batch.
    """
    return types_of(
        (name, column.dtype if schema.dtype is None else schema.dtype)
        for column in schema.columns.values()
        for name in _matches(column, names, schema)
    )


def declared_types(schema: Any) -> list[pa.Field]:
    """The same for columns that are not known yet: a pattern stands for all that match it.

    Args:
        schema: a `pandera.polars.DataFrameSchema`.
    """
    fields = []
    # Names first, as in `_matches`.
    for column in sorted(schema.columns.values(), key=lambda column: bool(column.regex)):
        dtype = column.dtype if schema.dtype is None else schema.dtype
        name = column.selector if column.regex else column.name
        fields += [
            declared(name, kind, _BY, pattern=bool(column.regex))
            for kind in types_of([(name, dtype)]).values()
        ]
    return fields


def prepare(schema: Any, batch: pa.Schema) -> Prepared:
    """The table of rules that a schema says for the columns of a batch.

    Args:
        schema: a `pandera.polars.DataFrameSchema`.
        batch: all columns of the batch, in order.
    """
    names = batch.names
    types = arrow_types(schema, names)
    columns: list[ColumnCheck] = []
    rules: list[Rule] = []
    for column in schema.columns.values():
        found = _matches(column, names, schema)
        if not found and column.required:
            what = "no column matches" if column.regex else "there is no column"
            missing = f"{what} {column.name!r}, which the contract requires"
            columns.append(ColumnCheck(column.name, missing, _anything))
        for name in found:
            columns.append(ColumnCheck(name, None, _type_check(schema, column, name)))
            kind = types.get(name, batch.field(name).type)
            rules += _of_column(column, name, has_nan=pa.types.is_floating(kind))
    for group in _unique_groups(schema.unique):
        text = f"the values of {', '.join(group)} together must be unique"
        test = Distinct(tuple(group), nulls=True)
        rules.append(Rule(f"frame.unique({','.join(group)})", text, test))
    severities = check_severities(schema.metadata)
    for check in schema.checks:
        rules.append(_of_check(check, None, f"frame.{check.name}", severities))
    return Prepared(_layout(schema, names), columns, rules, types)


def require_severities(schema: Any) -> None:
    """Refuses severities that nobody knows.

    Raises:
        ValueError: says which, and what there is.
    """
    check_severities(schema.metadata)
    known = {check.name for check in schema.checks or ()}
    _require_checks("the model", schema.metadata, known)
    for name, column in schema.columns.items():
        try:
            check_severities(column.metadata)
        except ValueError as error:
            raise ValueError(f"column {name!r}: {error}") from error
        known = {check.name for check in column.checks} | {"not_null", "unique"}
        _require_checks(f"column {name!r}", column.metadata, known)


def _require_checks(where: str, metadata: Any, known: set[str]) -> None:
    for name in _options(metadata).get("checks", {}):
        if name not in known:
            raise ValueError(
                f"{where}: metadata names a check {name!r}, and there are {sorted(known)}"
            )


def check_severities(metadata: Any) -> Mapping[str | None, str]:
    """Severities of checks by name, and under None that of all others.

    Raises:
        ValueError: one is none.
    """
    options = _options(metadata)
    checks = options.get("checks", {})
    if not isinstance(checks, dict):
        raise ValueError('metadata["lazaretto"]["checks"] is a dict of names and severities')
    found: dict[str | None, str] = {None: options.get("severity", "error"), **checks}
    for severity in found.values():
        if severity not in SEVERITIES:
            raise ValueError(
                f"there is no severity {severity!r}: write "
                f"{' or '.join(repr(one) for one in SEVERITIES)}"
            )
    return found


def _options(metadata: Any) -> dict[str, Any]:
    options = (metadata or {}).get("lazaretto", {})
    unknown = sorted(set(options) - {"severity", "checks"}) if isinstance(options, dict) else [""]
    if unknown:
        raise ValueError(
            f'metadata["lazaretto"] has {unknown[0]!r}; it is a dict with severity and checks'
        )
    return dict(options)


def _of_column(column: Any, name: str, *, has_nan: bool) -> Iterator[Rule]:
    severities = check_severities(column.metadata)

    def warns(rule: str) -> bool:
        return severities.get(rule, severities[None]) == "warning"

    if not column.nullable:
        text = f"{name} must not be null" + (" or NaN" if has_nan else "")
        yield Rule(f"{name}.not_null", text, Present(name), warns("not_null"))
    if column.unique:
        test = Distinct((name,), nulls=True)
        yield Rule(f"{name}.unique", f"{name} must be unique", test, warns("unique"))
    for check in column.checks:
        yield _of_check(check, name, f"{name}.{check.name}", severities)


def _of_check(
    check: Any, column: str | None, rule: str, severities: Mapping[str | None, str]
) -> Rule:
    text = str(check.description or check.error or check.name)
    text = text if column is None else f"{column}: {text}"
    severity = severities.get(check.name, severities[None])
    by_record = column is not None and (check.element_wise or _is_own(check))
    warn = severity == "warning" or bool(check.raise_warning)
    return Rule(rule, text, Checked(check, column, by_record), warn)


def _is_own(check: Any) -> bool:
    """Whether a check is one of pandera's own about single values."""
    name = str(check.name)
    if name not in _BY_RECORD or check.groupby is not None:
        return False
    try:
        return bool(check._check_fn is Check.get_builtin_check_fn(name))
    except (AttributeError, KeyError):
        return False


def _anything(_series: pl.Series) -> str | None:
    return None


def _type_check(schema: Any, column: Any, name: str) -> Callable[[pl.Series], str | None]:
    from pandera.api.polars.types import PolarsData

    expected = column.dtype if schema.dtype is None else schema.dtype

    def wrong(series: pl.Series) -> str | None:
        if expected is None:
            return None
        try:
            with config_context(use_narwhals_backend=False):
                alone = series.alias(ALONE).to_frame()
                passed = expected.check(series.dtype, PolarsData(alone.lazy(), ALONE))
                right = bool(np.all(list(passed) if not isinstance(passed, bool) else passed))
        except RAISED as error:
            return f"column {name!r}: its type cannot be checked: {error_line(error)}"
        if right:
            return None
        return f"column {name!r} has type {series.dtype}, the contract says {expected}"

    return wrong


def _layout(schema: Any, names: list[str]) -> list[str]:
    """What is wrong with the columns as a whole."""
    wrong = []
    known = [n for column in schema.columns.values() for n in _matches(column, names, schema)]
    if schema.strict is True:
        wrong += [
            f"column {name!r} is not in the contract, which is strict"
            for name in names
            if name not in known
        ]
    expected, present = list(dict.fromkeys(known)), [n for n in names if n in known]
    if schema.ordered and present != expected:
        wrong.append(f"columns are out of order: {present}, expected {expected}")
    return wrong


def _matches(column: Any, names: list[str], schema: Any) -> list[str]:
    named = [column.name] if column.name in names else []
    # Pandera takes every name of this form for a pattern. One that could match but one name was
    # meant as a name, where a column is called so.
    if not column.regex or (named and re.fullmatch(r"\^[\w \-]+\$", column.name)):
        return named
    plain = {c.name for c in schema.columns.values() if not c.regex}
    frame = pl.DataFrame(schema=dict.fromkeys(names, pl.Null))
    found = frame.select(pl.col(column.selector)).columns
    return [name for name in names if name in (*found, *named) and name not in plain]


def _unique_groups(unique: Any) -> list[list[str]]:
    """Pandera takes one set of columns, or a list of sets."""
    if not unique:
        return []
    if isinstance(unique, str):
        return [[unique]]
    return [list(unique)] if isinstance(unique[0], str) else [list(group) for group in unique]
