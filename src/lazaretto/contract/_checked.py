"""Runs checks of pandera by their public call, over one column or over whole records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from pandera.api.polars.types import PolarsData
from pandera.config import config_context

from lazaretto.contract._frame import RAISED
from lazaretto.redact import error_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lazaretto.contract._report import Failures
    from lazaretto.contract._rules import Checked, Rule

ALONE = "column"


def run_check_lazily(test: Checked, series: pl.Series) -> pl.LazyFrame:
    """What a check says of each record of a column, not computed yet.

    `Check.__call__` computes each answer by itself, with failure cases that nobody reads here; what
    it calls for the answer alone is asked instead, so that all checks are computed together.
    """
    key = key_of(series.name)
    # The narwhals backend of pandera loses the row of a failure.
    with config_context(use_narwhals_backend=False):
        frame = series.alias(key).to_frame().lazy()
        backend = test.check.get_backend(frame)(test.check)
        said = backend.apply(PolarsData(backend.preprocess(frame, key), key))
        if isinstance(said, pl.LazyFrame):
            return said
        output: pl.LazyFrame = test.check(frame, key).check_output
    return output


def run_check(rule: Rule, test: Checked, frame: pl.DataFrame, failures: Failures) -> None:
    """Runs a check over all records; one that raises or gives no answer holds the whole batch."""
    series = None
    key = None
    if test.column is not None:
        key = key_of(test.column)
        series = frame.get_column(test.column).alias(key)
        frame = series.to_frame()
    check = test.check
    try:
        with config_context(use_narwhals_backend=False):
            output = check(frame.lazy(), key).check_output.collect().to_series()
    except RAISED as error:
        failures.broken.append(f"rule {rule.name} raised {error_line(error)}")
        return
    if output.dtype != pl.Boolean:
        failures.broken.append(f"rule {rule.name} returned {output.dtype}, not true or false")
    elif len(output) == frame.height:
        failed: NDArray[np.bool_] = ~output.fill_null(check.ignore_na).to_numpy()
        values = None if series is None else series.to_arrow()
        failures.add(rule.name, test.column, rule.text, failed, values=values, warn=rule.warn)
    elif len(output) != 1:
        failures.broken.append(
            f"rule {rule.name} gave {len(output)} answers for {frame.height} records"
        )
    elif not output.item():
        if rule.warn:
            text = f"{rule.text}: it does not hold for the batch"
            everything = pl.repeat(True, frame.height, eager=True).to_numpy()
            failures.add(rule.name, test.column, text, everything, warn=True)
        else:
            failures.broken.append(f"rule {rule.name} does not hold for the batch: {rule.text}")


def key_of(name: str) -> str:
    """What a column is called while it is judged alone: polars takes some names for patterns."""
    return ALONE if name == "*" or (name.startswith("^") and name.endswith("$")) else name
