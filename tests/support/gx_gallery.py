"""A suite with every expectation of the official gallery that a table in memory can be judged by.

Beside it: tables to judge, and Great Expectations' own verdict on them by its public interface.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = {"type": "object", "required": ["k"]}
ADULT = {"row_condition": "n > 20", "condition_parser": "pandas"}

# (type, kwargs), or (type, kwargs, severity).
GALLERY: list[tuple[Any, ...]] = [
    # Rows, by one column.
    ("expect_column_values_to_not_be_null", {"column": "s"}),
    ("expect_column_values_to_not_be_null", {"column": "x"}),
    ("expect_column_values_to_be_null", {"column": "empty"}),
    ("expect_column_values_to_be_unique", {"column": "id"}),
    ("expect_column_values_to_be_between", {"column": "n", "min_value": 18, "max_value": 60}),
    ("expect_column_values_to_be_between", {"column": "x", "max_value": 1.0, "strict_max": True}),
    ("expect_column_values_to_be_between", {"column": "m", "min_value": 2}),
    (
        "expect_column_values_to_be_between",
        {"column": "at", "min_value": "2020-01-01T00:00:00", "max_value": "2020-06-01T00:00:00"},
    ),
    (
        "expect_column_values_to_be_between",
        {"column": "zoned", "min_value": "2020-02-01T00:00:00+00:00"},
    ),
    ("expect_column_values_to_be_between", {"column": "day", "min_value": "2020-01-10"}),
    ("expect_column_values_to_be_between", {"column": "n", "min_value": 18, **ADULT}),
    ("expect_column_values_to_be_in_set", {"column": "code", "value_set": ["a", "b", "c"]}),
    ("expect_column_values_to_be_in_set", {"column": "m", "value_set": [1, 2, 3]}),
    ("expect_column_values_to_be_in_set", {"column": "flag", "value_set": [True]}),
    ("expect_column_values_to_not_be_in_set", {"column": "code", "value_set": ["zz"]}),
    ("expect_column_values_to_be_of_type", {"column": "n", "type_": "int64"}),
    ("expect_column_values_to_be_of_type", {"column": "day", "type_": "date"}),
    ("expect_column_values_to_be_in_type_list", {"column": "x", "type_list": ["float", "int"]}),
    ("expect_column_type_to_be", {"column": "x", "type_": "float64"}),
    ("expect_column_values_to_match_regex", {"column": "s", "regex": r"^[a-z]+$"}),
    ("expect_column_values_to_not_match_regex", {"column": "s", "regex": "x"}),
    (
        "expect_column_values_to_match_regex_list",
        {"column": "s", "regex_list": ["^a", "z$"], "match_on": "any"},
    ),
    ("expect_column_values_to_not_match_regex_list", {"column": "s", "regex_list": ["q", "x"]}),
    ("expect_column_values_to_match_strftime_format", {"column": "d", "strftime_format": "%Y-%m"}),
    ("expect_column_values_to_be_dateutil_parseable", {"column": "d"}),
    ("expect_column_values_to_be_json_parseable", {"column": "j"}),
    ("expect_column_values_to_match_json_schema", {"column": "j2", "json_schema": SCHEMA}),
    ("expect_column_values_to_be_increasing", {"column": "n"}),
    ("expect_column_values_to_be_decreasing", {"column": "n", "strictly": True}),
    ("expect_column_value_lengths_to_be_between", {"column": "s", "min_value": 2, "max_value": 4}),
    ("expect_column_value_lengths_to_equal", {"column": "code", "value": 1}),
    (
        "expect_column_value_z_scores_to_be_less_than",
        {"column": "x", "threshold": 2, "double_sided": True},
    ),
    (
        "expect_column_values_to_not_be_outliers",
        {"column": "x", "method": "iqr", "multiplier": 1.5},
    ),
    ("expect_column_values_to_be_between", {"column": "amount", "min_value": 1, "max_value": 9}),
    # The same, with what GX calls mostly and severity.
    ("expect_column_values_to_be_between", {"column": "n", "min_value": 18, "mostly": 0.5}),
    ("expect_column_values_to_be_in_set", {"column": "code", "value_set": ["a"], "mostly": 0.9}),
    ("expect_column_values_to_match_regex", {"column": "s", "regex": "^a"}, "warning"),
    # Rows, by several columns.
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "y", "column_B": "x"}),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "n", "column_B": "m", "ignore_row_if": "neither"},
    ),
    ("expect_column_pair_values_to_be_equal", {"column_A": "n", "column_B": "m"}),
    (
        "expect_column_pair_values_to_be_equal",
        {"column_A": "s", "column_B": "code", "ignore_row_if": "either_value_is_missing"},
    ),
    (
        "expect_column_pair_values_to_be_in_set",
        {"column_A": "code", "column_B": "m", "value_pairs_set": [["a", 1], ["b", 2]]},
    ),
    ("expect_compound_columns_to_be_unique", {"column_list": ["code", "m"]}),
    ("expect_select_column_values_to_be_unique_within_record", {"column_list": ["s", "code"]}),
    ("expect_multicolumn_sum_to_equal", {"column_list": ["n", "m"], "sum_total": 30}),
    ("expect_multicolumn_values_to_be_equal", {"column_list": ["n", "m"]}),
    # The batch as a whole.
    ("expect_column_max_to_be_between", {"column": "n", "max_value": 60}),
    ("expect_column_min_to_be_between", {"column": "m", "min_value": 1}),
    ("expect_column_mean_to_be_between", {"column": "x", "min_value": 0.4, "max_value": 0.6}),
    ("expect_column_median_to_be_between", {"column": "y", "min_value": 0.4, "max_value": 0.6}),
    ("expect_column_stdev_to_be_between", {"column": "x", "min_value": 0, "max_value": 0.3}),
    ("expect_column_sum_to_be_between", {"column": "m", "max_value": 100}),
    ("expect_column_sum_to_be_between", {"column": "m", "max_value": 1}, "info"),
    (
        "expect_column_quantile_values_to_be_between",
        {
            "column": "x",
            "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0.45, 0.55]]},
        },
    ),
    ("expect_column_most_common_value_to_be_in_set", {"column": "code", "value_set": ["a"]}),
    (
        "expect_column_proportion_of_unique_values_to_be_between",
        {"column": "code", "max_value": 0.5},
    ),
    (
        "expect_column_proportion_of_non_null_values_to_be_between",
        {"column": "s", "min_value": 0.9},
    ),
    ("expect_column_unique_value_count_to_be_between", {"column": "code", "max_value": 4}),
    (
        "expect_column_distinct_values_to_be_in_set",
        {"column": "code", "value_set": ["a", "b", "c", "zz"]},
    ),
    ("expect_column_distinct_values_to_contain_set", {"column": "code", "value_set": ["a"]}),
    ("expect_column_distinct_values_to_equal_set", {"column": "code", "value_set": ["a", "b"]}),
    (
        "expect_column_kl_divergence_to_be_less_than",
        {
            "column": "code",
            "partition_object": {"values": ["a", "b", "c"], "weights": [0.4, 0.3, 0.3]},
            "threshold": 0.1,
        },
    ),
    ("expect_column_to_exist", {"column": "id", "column_index": 0}),
    ("expect_column_to_exist", {"column": "ghost"}),
    ("expect_table_column_count_to_equal", {"value": 16}),
    ("expect_table_column_count_to_be_between", {"min_value": 1, "max_value": 2}),
    ("expect_table_columns_to_match_ordered_list", {"column_list": ["id", "n"]}),
    ("expect_table_columns_to_match_set", {"column_set": ["id", "n"], "exact_match": False}),
    ("expect_table_row_count_to_equal", {"value": 40}),
    ("expect_table_row_count_to_be_between", {"min_value": 1, **ADULT}),
]


def entries() -> list[dict[str, Any]]:
    """The gallery as a suite's file has it; each knows its place."""
    return [
        {
            "type": kind,
            "kwargs": kwargs,
            "meta": {"place": place},
            "severity": severity[0] if severity else "critical",
        }
        for place, (kind, kwargs, *severity) in enumerate(GALLERY)
    ]


def write_suite(path: Path, found: list[dict[str, Any]], **more: Any) -> Path:
    """A suite's file."""
    path.write_text(json.dumps({"name": path.stem, "expectations": found, **more}))
    return path


def table(seed: int, rows: int = 40) -> pa.Table:
    """A table that breaks some of the gallery in every way; every seed another."""
    rng = np.random.default_rng(seed)
    share = rng.choice([0.0, 0.1, 0.4])

    def odd() -> np.ndarray[Any, np.dtype[np.bool_]]:
        return rng.random(rows) < share

    def texts(usual: list[str], strange: list[str], *, nulls: bool = True) -> pa.Array:
        found = np.where(odd(), rng.choice(strange, rows), rng.choice(usual, rows))
        return pa.array(found.tolist(), pa.string(), mask=odd() if nulls else None)

    ids = np.where(odd(), "same", np.char.add("r", np.arange(rows).astype(str)))
    n = np.where(odd(), rng.integers(-5, 200, rows), 20 + np.sort(rng.integers(0, 30, rows)))
    floats = np.where(odd(), rng.choice([7.5, np.nan, np.inf, -1.0], rows), rng.random(rows))
    moments = 1_577_836_800 + rng.integers(0, 20_000_000, rows)
    days = [dt.date(2020, 1, 1) + dt.timedelta(int(d)) for d in rng.integers(0, 60, rows)]
    amounts = [decimal.Decimal(int(cents)) / 100 for cents in rng.integers(50, 1000, rows)]
    return pa.table(
        {
            "id": pa.array(ids.tolist(), pa.string()),
            "n": pa.array(n, pa.int64()),
            "m": pa.array(rng.integers(1, 5, rows), pa.int64(), mask=odd()),
            "x": pa.array(floats, pa.float64(), mask=odd()),
            "y": pa.array(rng.random(rows), pa.float64()),
            "s": texts(["abc", "az", "abcz"], ["X1", "x", "quite long", ""]),
            "code": texts(["a", "b", "c"], ["zz"]),
            "d": texts(["2020-01", "2021-12"], ["yesterday", "2020/01"]),
            "j": texts(["{}", "[1]"], ["{", "nope"]),
            "j2": texts(['{"k": 1}'], ['{"l": 1}']),
            "day": pa.array(days, pa.date32(), mask=odd()),
            "at": pa.array(moments, pa.timestamp("s")).cast(pa.timestamp("us")),
            "zoned": pa.array(moments, pa.timestamp("s", "UTC")).cast(pa.timestamp("us", "UTC")),
            "flag": pa.array((rng.random(rows) < 0.8).tolist(), pa.bool_(), mask=odd()),
            "empty": texts(["x"], ["y"]) if share else pa.nulls(rows, pa.string()),
            "amount": pa.array(amounts, pa.decimal128(10, 2), mask=odd()),
        }
    )


@dataclass(slots=True)
class Verdict:
    """What became of expectations, by their place.

    Attributes:
        rows: failing rows of what is not met and names rows.
        tolerated: the same of what is met all the same, or only warns.
        whole: that are not met, or raised, and name no rows; of all severities.
    """

    rows: dict[int, frozenset[int]] = field(default_factory=dict)
    tolerated: dict[int, frozenset[int]] = field(default_factory=dict)
    whole: set[int] = field(default_factory=set)


def own_verdict(frame: Any, found: list[dict[str, Any]]) -> Verdict:
    """Great Expectations' own, by what its documentation says to call."""
    import great_expectations as gx
    from great_expectations.core.expectation_suite import ExpectationSuite

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("here").add_dataframe_asset("table")
    definition = asset.add_batch_definition_whole_dataframe("all")
    batch = definition.get_batch({"dataframe": frame})
    suite = context.suites.add(ExpectationSuite(name="suite", expectations=found))
    assert len(suite.expectations) == len(found)
    said = batch.validate(
        suite,
        result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False},
    )
    verdict = Verdict()
    for result in said.results:
        config = result.expectation_config
        place, failed = config.meta["place"], (result.result or {}).get("unexpected_index_list")
        if failed is None:
            if not result.success:
                verdict.whole.add(place)
        elif failed:
            tolerated = result.success or config.severity.value != "critical"
            kept = verdict.tolerated if tolerated else verdict.rows
            kept[place] = frozenset(failed)
    return verdict
