"""The YAML form of a contract, made into the table of rules."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from lazaretto.contract._expression import ExpressionError, read_expression
from lazaretto.contract._rules import (
    Bounded,
    ColumnForm,
    Count,
    Distinct,
    Finite,
    Fresh,
    Holds,
    Increasing,
    Listed,
    Matching,
    OneOf,
    Present,
    Rates,
    Rule,
    RuleTable,
    Sized,
    Volume,
)
from lazaretto.policy.contract import minutes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from lazaretto.contract._rules import Test
    from lazaretto.policy.contract import ColumnRules, Elsewhere, RecordRule, Rules

Place = tuple[str | int, ...]


class FormError(ValueError):
    """A rule that its key alone does not show to be wrong.

    Attributes:
        place: of the key, below the rules.
    """

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


def rule_table(form: Rules, read: Callable[[Elsewhere], pa.Array | None]) -> RuleTable:
    """The rules of a form.

    Args:
        form: as it was written.
        read: gives the values that a file lists; None of a dataset.

    Raises:
        FormError: a regular expression, an expression or a file cannot be used.
    """
    columns = tuple(
        ColumnForm(name, said.type, said.required) for name, said in form.columns.items()
    )
    rules: list[Rule] = []
    for name, said in form.columns.items():
        rules += _of_column(name, said, read)
    for number, record in enumerate(form.records):
        rules.append(_of_record(number, record))
    for unique in form.unique:
        names = tuple(dict.fromkeys(unique.columns))
        what = f"the values of {', '.join(names)} together" if len(names) > 1 else names[0]
        where = ", in the batch and in the dataset" if unique.across_batches else ""
        test = Distinct(names, across=unique.across_batches)
        rule = f"unique({','.join(names)})"
        text = f"{what} must be unique{where}"
        rules.append(Rule(rule, text, test, unique.severity == "warning"))
    if form.count is not None:
        least, most = form.count.min, form.count.max
        text = f"a delivery must have {_range(least, most)} records"
        rules.append(Rule("count", text, Count(least, most), form.count.severity == "warning"))
    if form.volume is not None:
        said_of = form.volume
        text = (
            f"a delivery must have {said_of.min:g} to {said_of.max:g} times as many records as the "
            f"median of the source's last {said_of.batches}"
        )
        test_of = Volume(said_of.batches, said_of.min, said_of.max)
        rules.append(Rule("volume", text, test_of, said_of.severity == "warning"))
    return RuleTable(columns, tuple(rules))


def _of_column(
    name: str, said: ColumnRules, read: Callable[[Elsewhere], pa.Array | None]
) -> Iterator[Rule]:
    for key, rule, text, test in _tests(name, said, read):
        severity = said.severity if isinstance(said.severity, str) else said.severity.get(key)
        yield Rule(f"{name}.{rule}", f"{name} {text}", test, severity == "warning")


def _tests(  # noqa: PLR0912  one step per key
    name: str, said: ColumnRules, read: Callable[[Elsewhere], pa.Array | None]
) -> Iterator[tuple[str, str, str, Test]]:
    """Key, name, text and test of each rule of a column."""
    if not said.nullable:
        yield "nullable", "not_null", "must not be null", Present(name)
    words = {"min": "at least", "max": "at most", "above": "more than", "below": "less than"}
    for key, word in words.items():
        value = getattr(said, key)
        if value is not None:
            yield key, key, f"must be {word} {value}", Bounded(name, key, value)  # type: ignore[arg-type]
    for key, values in (("one_of", said.one_of), ("none_of", said.none_of)):
        if values is not None:
            text = f"must {'' if key == 'one_of' else 'not '}be one of {_shown(values)}"
            yield key, key, text, OneOf(name, tuple(values), key == "one_of")
    if said.regex is not None:
        _check_regex(said.regex, ("columns", name, "regex"))
        yield "regex", "regex", f"must match {said.regex}", Matching(name, said.regex)
    if said.length is not None:
        least, most = said.length.min, said.length.max
        text = f"must have a length of {_range(least, most)}"
        yield "length", "length", text, Sized(name, least, most)
    if said.width is not None:
        text = f"must have {said.width} numbers"
        yield "width", "width", text, Sized(name, said.width, said.width)
    if said.finite:
        yield "finite", "finite", "must have only finite numbers", Finite(name)
    if said.exists_in is not None:
        place = said.exists_in
        try:
            values_there = read(place)
        except ValueError as error:
            raise FormError(("columns", name, "exists_in"), str(error)) from error
        where = place.file or f"dataset {place.dataset}"
        text = f"must be in column {place.column} of {where}"
        test = Listed(name, place.dataset, place.column, values_there)
        yield "exists_in", "exists_in", text, test
    if said.unique:
        yield "unique", "unique", "must be unique", Distinct((name,))
    if said.increasing:
        strictly = said.increasing == "strictly"
        text = "must be more than" if strictly else "must not be less than"
        test_of = Increasing(name, strictly)
        yield "increasing", "increasing", f"{text} that of the record before", test_of
    if said.rates is not None:
        shares = ", ".join(f"{value}: {rate:g}" for value, rate in said.rates.items())
        text = f"must have the shares {shares[:300]} (±{said.tolerance:g})"
        yield "rates", "rates", text, Rates(name, dict(said.rates), said.tolerance)
    if said.newest is not None:
        test_new = Fresh(name, timedelta(minutes=minutes(said.newest)))
        text = f"must have a time that is at most {said.newest} old when the delivery arrives"
        yield "newest", "newest", text, test_new


def _of_record(number: int, said: RecordRule) -> Rule:
    try:
        expression = read_expression(said.that)
    except ExpressionError as error:
        raise FormError(("records", number), str(error)) from error
    name = f"records.{said.name or said.that}"
    return Rule(name, said.text or said.that, Holds(expression), said.severity == "warning")


def _check_regex(pattern: str, place: Place) -> None:
    import polars as pl

    try:
        pl.Series([""]).str.contains(rf"\A(?:{pattern})\z")
    except Exception as error:
        raise FormError(
            place,
            f"{pattern!r} cannot be used: look-around and back references are not known, so that "
            "every pattern takes time in proportion to the text",
        ) from error


def _range(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least}"
    return f"{least}" if least == most else f"{least} to {most}"


def _shown(values: list[object]) -> str:
    shown = ", ".join(str(value) for value in values[:10])
    return shown[:200] + (f", … ({len(values)})" if len(values) > 10 else "")
