"""The section `read`: how deliveries of text are written, where it is not the usual way."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from lazaretto.policy.section import Section

Encoding = Literal[
    "utf-8",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "latin-1",
    "iso8859-2",
    "iso8859-15",
    "cp1250",
    "cp1251",
    "cp1252",
    "koi8-r",
    "mac-roman",
    "shift_jis",
    "cp932",
    "euc-jp",
    "euc-kr",
    "gb18030",
    "big5",
]
ENCODINGS: tuple[str, ...] = get_args(Encoding)
Mark = Annotated[str, Field(pattern=r"^[\x21-\x7e\t ]$")]


class Read(Section):
    """How CSV and JSON Lines are written. Parquet and Arrow files need none of it."""

    encoding: Encoding = Field(
        "utf-8",
        description="Of CSV and JSON Lines. A byte that is not of it refuses the delivery. A byte "
        "order mark at the beginning is left out.",
    )
    delimiter: Mark = Field(",", description="Of CSV: the character between two cells.")
    quote: Mark | None = Field(
        '"',
        description="Of CSV: the character around a cell that holds a delimiter or a line break. "
        "Inside of such a cell it is written twice. null: there is none.",
    )
    decimal: Literal[".", ","] = Field(
        ".", description="Of CSV: what stands before the fraction of a number."
    )
    null_values: list[str] | None = Field(
        None,
        description="Of CSV: cells that are null, of every type except ids and labels. Default: in "
        "columns of numbers, days and times an empty cell and words such as NA; in texts none.",
    )
    header: bool = Field(True, description="Of CSV: the first line names the columns.")
    column_names: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="Of CSV without a header: the names of the columns, in order."
    )
    skip_rows: Annotated[int, Field(ge=0, le=10_000)] = Field(
        0, description="Of CSV: how many lines to leave out at the beginning, before the header."
    )
    comment: Mark | None = Field(
        None, description="Of CSV: lines that begin with this character are left out."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        marks = [self.delimiter, self.quote, self.comment]
        used = [mark for mark in marks if mark is not None]
        if len(set(used)) != len(used):
            raise ValueError("delimiter, quote and comment must be different characters")
        if self.decimal == "," and self.delimiter == ",":
            raise ValueError("decimal: ',' needs another delimiter, such as delimiter: ';'")
        if self.header == (self.column_names is not None):
            raise ValueError(
                "column_names goes with header: false"
                if self.header
                else "header: false needs column_names: the names of the columns, in order"
            )
        return self

    def options(self) -> dict[str, Any]:
        """What differs from the usual, as JSON; empty where nothing does."""
        return self.model_dump(mode="json", exclude_defaults=True)
