"""The demo's contract: what a delivery of digits must look like."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl
from pandera.typing.polars import Series  # noqa: TC002  pandera reads the annotations


class Digit(pa.DataFrameModel):
    """One handwritten digit: 8 by 8 grey values from 0 to 16 and its class."""

    id: Series[str]  # that ids are unique is asked of every delivery, by the policy
    label: Series[int] = pa.Field(ge=0, le=9)
    pixels: Series[pl.Array] = pa.Field(dtype_kwargs={"inner": pl.Float32, "shape": 64})
    picture: Series[pl.Binary]  # the same as a PNG file, for whoever reviews

    @pa.check("pixels", error="every pixel must lie between 0 and 16")
    @classmethod
    def pixels_in_range(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """Every pixel lies between 0 and 16."""
        column = pl.col(data.key)
        return data.lazyframe.select(
            column.arr.eval(pl.element().is_between(0, 16), as_list=False).arr.all()
        )
