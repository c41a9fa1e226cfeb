"""Walks a pandera schema rule by rule over a polars frame, and says which records fail each.

Only public parts of pandera are used: the schema's attributes and `Check.__call__`. Its own
`validate` is not: it returns no row for several kinds of failure, reports only the first broken
`unique` set, and builds a Python dict per failing row for frame-level checks; `drop_invalid_rows`
passes wrong types silently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pandera.config import config_context

from lazaretto.batch import declared
from lazaretto.contract._frame import RAISED, types_of
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from lazaretto.contract._frame import Frame
    from lazaretto.contract._report import Failures

_ALONE = "column"
_BY = "the contract"


def columns_needed(schema: Any, names: list[str]) -> list[str]:
    """Columns of a batch that the schema reads: all, when a rule sees the whole frame."""
    if schema.checks or schema.dtype is not None:
        return names
    wanted = {name for group in _unique_groups(schema.unique) for name in group}
    for column in schema.columns.values():
        wanted.update(_matches(column, names, schema))
    return [name for name in names if name in wanted]


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


def walk(schema: Any, frame: Frame, names: list[str], failures: Failures) -> None:
    """Adds what the records of a frame break.

    Args:
        schema: a `pandera.polars.DataFrameSchema`.
        frame: the columns that `columns_needed` named.
        names: all columns of the batch, in order.
        failures: takes failing records and whole-batch problems.
    """
    # The narwhals backend of pandera loses the row of a failure.
    with config_context(use_narwhals_backend=False):
        _check_layout(schema, names, failures)
        usable = {
            name: column
            for column, name in _expand(schema, names, failures)
            if _is_whole(name, frame, failures)
            and _has_dtype(schema, column, name, frame.data, failures)
        }
        for name, column in usable.items():
            _check_column(column, name, frame.data, failures)
        for group in _unique_groups(schema.unique):
            if all(name in frame.data.columns for name in group):
                # Not `select`, which takes some names for patterns.
                columns = [frame.data.get_column(name) for name in group]
                together = pl.DataFrame([one.alias(str(n)) for n, one in enumerate(columns)])
                failed = together.is_duplicated().to_numpy()
                text = f"the values of {', '.join(group)} together must be unique"
                failures.add(f"frame.unique({','.join(group)})", None, text, failed)
            else:
                why = "left out" if set(group) <= set(names) else "missing"
                failures.broken.append(f"unique({', '.join(group)}): a column is {why}")
        if schema.checks and frame.left_out:
            name, why = next(iter(frame.left_out.items()))
            failures.broken.append(
                f"rules over whole records could not be judged: column {name!r} {why}"
            )
            return
        for check in schema.checks:
            _run(check, None, f"frame.{check.name}", frame.data, failures)


def _check_layout(schema: Any, names: list[str], failures: Failures) -> None:
    known = [n for column in schema.columns.values() for n in _matches(column, names, schema)]
    if schema.strict is True:
        for name in names:
            if name not in known:
                failures.broken.append(f"column {name!r} is not in the contract, which is strict")
    expected, present = list(dict.fromkeys(known)), [n for n in names if n in known]
    if schema.ordered and present != expected:
        failures.broken.append(f"columns are out of order: {present}, expected {expected}")


def _expand(schema: Any, names: list[str], failures: Failures) -> Iterator[tuple[Any, str]]:
    """Each rule-bearing column with each of its names in the batch."""
    for column in schema.columns.values():
        found = _matches(column, names, schema)
        if not found and column.required:
            what = "no column matches" if column.regex else "there is no column"
            failures.broken.append(f"{what} {column.name!r}, which the contract requires")
        for name in found:
            yield column, name


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


def _is_whole(name: str, frame: Frame, failures: Failures) -> bool:
    """Whether a column is there as the contract wants it."""
    why = frame.left_out.get(name) or frame.misfits.get(name)
    if why is not None:
        failures.broken.append(f"column {name!r} {why}")
    return why is None


def _has_dtype(
    schema: Any, column: Any, name: str, frame: pl.DataFrame, failures: Failures
) -> bool:
    from pandera.api.polars.types import PolarsData

    expected = column.dtype if schema.dtype is None else schema.dtype
    if expected is None:
        return True
    found = frame.schema[name]
    try:
        alone = frame.get_column(name).alias(_ALONE).to_frame()
        passed = expected.check(found, PolarsData(alone.lazy(), _ALONE))
        right = bool(np.all(list(passed) if not isinstance(passed, bool) else passed))
    except RAISED as error:
        failures.broken.append(f"column {name!r}: its type cannot be checked: {error_line(error)}")
        return False
    if not right:
        failures.broken.append(f"column {name!r} has type {found}, the contract says {expected}")
    return right


def _check_column(column: Any, name: str, frame: pl.DataFrame, failures: Failures) -> None:
    series = frame.get_column(name).alias(_key(name))
    warn = _severity(column) == "warn"
    if not column.nullable:
        missing = series.is_null()
        if series.dtype.is_float():
            missing = missing | series.is_nan().fill_null(False)
        text = f"{name} must not be null" + (" or NaN" if series.dtype.is_float() else "")
        failures.add(f"{name}.not_null", name, text, missing.to_numpy(), warn=warn)
    if column.unique:
        failed = series.is_duplicated().to_numpy()
        text = f"{name} must be unique"
        failures.add(f"{name}.unique", name, text, failed, values=series.to_arrow(), warn=warn)
    for check in column.checks:
        rule = f"{name}.{check.name}"
        _run(check, name, rule, series.to_frame(), failures, warn=warn)


def _run(
    check: Any,
    column: str | None,
    rule: str,
    frame: pl.DataFrame,
    failures: Failures,
    *,
    warn: bool = False,
) -> None:
    """Runs one check; one that raises or gives no answer per record holds the whole batch."""
    text = str(check.description or check.error or check.name)
    text = text if column is None else f"{column}: {text}"
    try:
        key = None if column is None else _key(column)
        output = check(frame.lazy(), key).check_output.collect().to_series()
    except RAISED as error:
        failures.broken.append(f"rule {rule} raised {error_line(error)}")
        return
    warn = warn or bool(check.raise_warning)
    if output.dtype != pl.Boolean:
        failures.broken.append(f"rule {rule} returned {output.dtype}, not true or false")
    elif len(output) == frame.height:
        failed: NDArray[np.bool_] = ~output.fill_null(check.ignore_na).to_numpy()
        values = None if column is None else frame.to_series().to_arrow()
        failures.add(rule, column, text, failed, values=values, warn=warn)
    elif len(output) != 1:
        failures.broken.append(f"rule {rule} gave {len(output)} answers for {frame.height} records")
    elif not output.item() and not warn:
        failures.broken.append(f"rule {rule} does not hold for the batch: {text}")


def _key(name: str) -> str:
    """What a column is called while it is judged alone: polars takes some names for patterns."""
    return _ALONE if name == "*" or (name.startswith("^") and name.endswith("$")) else name


def _unique_groups(unique: Any) -> list[list[str]]:
    """Pandera takes one set of columns, or a list of sets."""
    if not unique:
        return []
    if isinstance(unique, str):
        return [[unique]]
    return [list(unique)] if isinstance(unique[0], str) else [list(group) for group in unique]


def _severity(column: Any) -> str | None:
    options = (column.metadata or {}).get("lazaretto", {})
    severity: str | None = options.get("severity") if isinstance(options, dict) else None
    return severity
