"""The rules of a contract as YAML says them. Long: every key is here with what it means."""

from __future__ import annotations

import math
import re
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    Tag,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from lazaretto.policy.section import Section

if TYPE_CHECKING:
    from pydantic import SerializerFunctionWrapHandler
    from pydantic_core import CoreSchema

MOST_VALUES = 10_000
"""So many values a set may name; more belong in a file."""
_SAFE = 2**53 - 1
_LONGEST = 1000
_DURATION = re.compile(r"([1-9][0-9]{0,5})(m|h|d)\Z")

Severity = Literal["error", "warning"]
Type = Literal[
    "text", "integer", "number", "boolean", "date", "datetime", "vector", "list", "struct", "binary"
]
Name = Annotated[str, Field(min_length=1, max_length=255)]
Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(ge=0, le=_SAFE)]


def _value(value: Any) -> Any:
    """A number, text, date or time; a bound is none of true and false."""
    if not isinstance(value, bool | int | float | str | date):
        raise ValueError("should be a number, a text, a date or a time")
    if isinstance(value, str) and len(value) > _LONGEST:
        raise ValueError(f"has more than {_LONGEST} characters")
    if isinstance(value, int) and abs(value) > _SAFE:
        raise ValueError(f"is beyond {_SAFE}, up to which all programs read whole numbers alike")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("should be a finite number")
    return value


def _bound(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a number, a date or a time")
    return _value(value)


Bound = Annotated[Any, PlainValidator(_bound), WithJsonSchema({"type": ["number", "string"]})]
Item = Annotated[
    Any, PlainValidator(_value), WithJsonSchema({"type": ["number", "string", "boolean"]})
]


def _duration(value: Any) -> Any:
    if not isinstance(value, str) or _DURATION.match(value) is None:
        raise ValueError(f"should be a time such as 90m, 24h or 7d, not {str(value)[:40]!r}")
    return value


Duration = Annotated[
    str,
    PlainValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,5}[mhd]$"}),
]
RULES = (
    "nullable", "min", "max", "above", "below", "one_of", "none_of", "regex", "length", "unique",
    "finite", "width", "exists_in", "newest", "increasing", "rates",
)  # fmt: skip
"""Keys of a column that are rules, so that each can have a severity of its own."""


def _branch(value: Any) -> str:
    return "short" if isinstance(value, str) else "long"


_SHORT_OR_LONG = Discriminator(_branch)


class _Form(Section):
    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys that have their default say nothing, so a key that comes later changes no digest."""
        fields = type(self).model_fields
        return {
            key: value
            for key, value in handler(self).items()
            if fields[key].is_required()
            or getattr(self, key) != fields[key].get_default(call_default_factory=True)
        }


class _Short(_Form):
    """A form that may be written in short."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        long = handler(schema)
        return {"anyOf": [cls._short_schema(), long]}

    @classmethod
    def _short_schema(cls) -> dict[str, Any]:
        raise NotImplementedError


class Length(_Form):
    """How long a text is in characters, or a list in values."""

    min: Size = Field(0, description="At least so long.")
    max: Size | None = Field(None, description="At most so long.")

    @model_validator(mode="after")
    def _in_order(self) -> Length:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}: swap them")
        return self


class Elsewhere(_Form):
    """Where values are listed: in a column of a file, or of another admitted dataset."""

    file: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="File, such as users.parquet; its path starts at the policy's folder."
    )
    dataset: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="Admitted dataset; its newest version counts."
    )
    column: Name = Field(description="Column that lists the values.")

    @model_validator(mode="after")
    def _one_place(self) -> Elsewhere:
        if (self.file is None) == (self.dataset is None):
            raise ValueError("says file or dataset, one of both")
        return self


class ColumnRules(_Form):
    """What a column must be."""

    type: Type | None = Field(None, description="Type of its values. null: any.")
    required: bool = Field(True, description="Whether every delivery must have the column.")
    nullable: bool = Field(False, description="Whether a value may be missing.")
    min: Bound | None = Field(None, description="Smallest value.")
    max: Bound | None = Field(None, description="Largest value.")
    above: Bound | None = Field(None, description="Every value is larger.")
    below: Bound | None = Field(None, description="Every value is smaller.")
    one_of: Annotated[list[Item], Field(min_length=1, max_length=MOST_VALUES)] | None = Field(
        None, description="Values that are allowed, and no others."
    )
    none_of: Annotated[list[Item], Field(min_length=1, max_length=MOST_VALUES)] | None = Field(
        None, description="Values that are not allowed."
    )
    regex: Annotated[str, Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Regular expression that the whole text matches."
    )
    length: Length | None = Field(None, description="Characters of a text, values of a list.")
    unique: bool = Field(False, description="Whether no two records may have the same value.")
    finite: bool = Field(False, description="Whether numbers must be finite: no NaN, no infinity.")
    width: Annotated[int, Field(gt=0, le=1_000_000)] | None = Field(
        None, description="Values of every vector."
    )
    exists_in: Elsewhere | None = Field(None, description="Where every value must be listed.")
    newest: Duration | None = Field(
        None,
        description="How old the newest time may be when the delivery arrives, such as 90m, 24h or "
        "7d.",
    )
    increasing: bool | Literal["strictly"] = Field(
        False, description="Whether values never fall from record to record; or always rise."
    )
    rates: Annotated[dict[str, Share], Field(min_length=1, max_length=MOST_VALUES)] | None = Field(
        None, description="Share of the records that each value has."
    )
    tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="How far a share may be from `rates`."
    )
    severity: Annotated[
        Annotated[Severity, Tag("short")] | Annotated[dict[str, Severity], Tag("long")],
        _SHORT_OR_LONG,
    ] = Field(
        "error",
        description="error holds what breaks a rule; warning admits it with a flag. For all rules "
        "of the column, or by rule, such as {regex: warning}.",
    )

    @field_validator("severity")
    @classmethod
    def _of_rules(cls, severity: Any) -> Any:
        unknown = (
            [] if isinstance(severity, str) else [name for name in severity if name not in RULES]
        )
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no rule; there are {', '.join(RULES)}")
        return severity

    @field_validator("regex")
    @classmethod
    def _can_be_compiled(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _bounds_agree(self) -> ColumnRules:
        for low, high in (("min", "max"), ("min", "below"), ("above", "max"), ("above", "below")):
            least, most = getattr(self, low), getattr(self, high)
            if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
                raise ValueError(f"{low} {least} is more than {high} {most}: swap them")
        return self


class RecordRule(_Short):
    """What holds in every record, such as `price >= cost`."""

    that: Annotated[str, Field(min_length=1, max_length=1000)] = Field(
        description="Expression over columns that is true."
    )
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$")] | None = Field(
        None, description="Name of the rule."
    )
    text: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        None, description="What it asks for, in words."
    )
    severity: Severity = Field("error", description="As of a column.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"that": value} if isinstance(value, str) else value

    @classmethod
    def _short_schema(cls) -> dict[str, Any]:
        return {"type": "string"}


class UniqueRule(_Short):
    """Columns whose values together are there once."""

    columns: Annotated[list[Name], Field(min_length=1, max_length=32)] = Field(
        description="The columns."
    )
    across_batches: bool = Field(
        False, description="Whether what is admitted to the dataset already counts, too."
    )
    severity: Severity = Field("error", description="As of a column.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"columns": value} if isinstance(value, list) else value

    @classmethod
    def _short_schema(cls) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string"}}


class VolumeRule(_Form):
    """How many records a delivery has, compared with the source's last ones."""

    batches: Annotated[int, Field(ge=1, le=1000)] = Field(
        10, description="So many admitted batches of the source count, the last."
    )
    min: Annotated[float, Field(ge=0)] = Field(
        0.5, description="Least records, as a multiple of their median."
    )
    max: Annotated[float, Field(gt=0)] = Field(
        2.0, description="Most records, as a multiple of their median."
    )
    severity: Severity = Field("error", description="As of a column.")


class CountRule(_Form):
    """How many records a delivery has."""

    min: Size = Field(1, description="Least records.")
    max: Size | None = Field(None, description="Most records.")
    severity: Severity = Field("error", description="As of a column.")


class Rules(_Form):
    """Rules for columns, records and deliveries."""

    columns: dict[Name, ColumnRules] = Field(
        default_factory=dict, description="What each column must be."
    )
    records: list[RecordRule] = Field(
        default_factory=list, description="What holds in every record, such as price >= cost."
    )
    unique: list[UniqueRule] = Field(
        default_factory=list, description="Columns whose values together are there once."
    )
    count: CountRule | None = Field(None, description="How many records a delivery has.")
    volume: VolumeRule | None = Field(
        None, description="How many records it has beside the source's last deliveries."
    )


class Suite(_Form):
    """A suite of Great Expectations, with what it needs."""

    suite: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="JSON file of the suite; with a context, its name."
    )
    checkpoint: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="In place of it, a checkpoint of the context that uses one suite."
    )
    context: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="Folder of a context, with its great_expectations.yml."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Values of the suite's parameters, by name."
    )
    modules: list[str] = Field(
        default_factory=list, description="Modules with expectations of your own."
    )

    @model_validator(mode="after")
    def _one_suite(self) -> Suite:
        if (self.suite is None) == (self.checkpoint is None):
            raise ValueError("names a suite or a checkpoint, one of them")
        if self.checkpoint is not None and self.context is None:
            raise ValueError("names a checkpoint; name the folder of its context as well")
        return self


SuiteForm = Annotated[
    Annotated[str, Field(min_length=1), Tag("short")] | Annotated[Suite, Tag("long")],
    _SHORT_OR_LONG,
]


class ContractForms(_Form):
    """Ways to write a contract; exactly one is given."""

    pandera: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="A pandera model: `package.module:Model` or `file.py:Model`."
    )
    rules: (
        Annotated[Annotated[str, Tag("short")] | Annotated[Rules, Tag("long")], _SHORT_OR_LONG]
        | None
    ) = Field(None, description="Rules in YAML, here or in a file of their own.")
    gx: SuiteForm | None = Field(
        None, description="A suite of Great Expectations: a JSON file, or a name in a context."
    )
    great_expectations: SuiteForm | None = Field(None, description="The same as `gx`.")
    odcs: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="File with a contract of the Open Data Contract Standard, version 3."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> ContractForms:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            known = ", ".join(type(self).model_fields)
            said = " and ".join(given) if given else "nothing"
            raise ValueError(f"says {said}; a contract says exactly one of {known}")
        return self


ContractForm = Annotated[
    Annotated[str, Tag("short")] | Annotated[ContractForms, Tag("long")], _SHORT_OR_LONG
]
"""A contract as a policy names it: by a text, or in one of several forms."""


def minutes(duration: str) -> int:
    """Minutes of a duration.

    Examples:
        >>> minutes("24h")
        1440
    """
    found = _DURATION.match(duration)
    assert found is not None  # noqa: S101  the form has let it pass
    return int(found[1]) * {"m": 1, "h": 60, "d": 1440}[found[2]]
