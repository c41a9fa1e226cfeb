"""New labels that reviewers give, in the type of the batch's label column."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from lazaretto.errors import UsageError


def as_label(text: str, kind: pa.DataType) -> Any:
    """A label given as text, as a scalar of the label column's type.

    Raises:
        UsageError: the text is no value of that type.
    """
    try:
        return pa.scalar(text).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise UsageError(f"label {text!r} is not a value of type {kind}") from None
