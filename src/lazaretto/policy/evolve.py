"""The section `evolve`: what becomes of columns that the dataset lacks, or has otherwise."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lazaretto.policy.section import Section


class Evolve(Section):
    """How a dataset's columns may change. What may not enter is held, with the reason."""

    extra_columns: Literal["hold", "keep", "drop"] = Field(
        "hold",
        description="A column that neither the dataset nor the contract has. hold: the batch is "
        "held. keep: the dataset gets it, with null in older records; this needs `add_columns: "
        "true`. drop: it is not admitted, and stays in the stored copy.",
    )
    add_columns: bool = Field(
        False,
        description="The dataset gets columns that the contract names and it has not, with null "
        "in older records. Otherwise a batch with such a column is held.",
    )
    widen_types: bool = Field(
        False,
        description="Where a value has no place in the dataset's type, the dataset gets a wider "
        "type that holds old and new values exactly. All its data files are written anew, in one "
        "commit. Otherwise the batch is held.",
    )
    missing_columns: Literal["hold", "fill"] = Field(
        "hold",
        description="A column of the dataset that a batch has not. hold: the batch is held. fill: "
        "its records have null there.",
    )

    @model_validator(mode="after")
    def _keep_adds(self) -> Self:
        if self.extra_columns == "keep" and not self.add_columns:
            raise ValueError(
                "extra_columns: keep gives the dataset new columns, so write add_columns: true too"
            )
        return self
