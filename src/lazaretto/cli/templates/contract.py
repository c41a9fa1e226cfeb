"""The contract of $dataset: what every record must look like.

Each rule that a record breaks is one reason to hold it.
"""

import pandera.polars as pa
from pandera.typing.polars import Series


class Record(pa.DataFrameModel):
    """One record. Columns that are not named here may come along unchecked."""

    id: Series[str] = pa.Field(unique=True)
    label: Series[int] = pa.Field(ge=0)
    text: Series[str] = pa.Field(str_length={"min_value": 1, "max_value": 10_000})
