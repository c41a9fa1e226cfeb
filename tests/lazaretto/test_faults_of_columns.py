"""Signatures of faults: each is found, is called by its name, and clean batches show none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lazaretto.drift._compare import compare
from lazaretto.drift._signs_rows import Repeats
from lazaretto.drift._sketch import sketch
from lazaretto.drift.faults import Fault, find_faults, told

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "The parcel came late and the box was open but Anna says all is well"
WORDS = np.array(TEXT.split())


def orders(rng: np.random.Generator, rows: int) -> pa.Table:
    """Orders: two numeric columns, one category, one text."""
    texts = [" ".join(rng.choice(WORDS, rng.integers(3, 14))) for _ in range(rows)]
    return pa.table(
        {
            "price": rng.lognormal(3, 0.6, rows),
            "degrees": rng.normal(18, 6, rows),
            "city": rng.choice(["Oslo", "Lyon", "Graz", "Cork"], rows, p=[0.5, 0.25, 0.15, 0.1]),
            "text": texts,
        }
    )


@pytest.fixture(scope="module")
def trusted() -> pa.Table:
    return orders(np.random.default_rng(0), 1500)


def faults(trusted: pa.Table, batch: pa.Table, level: float = 0.001) -> list[Fault]:
    names = ["price", "degrees", "city", "text"]
    known = [sketch(name, trusted[name]) for name in names]
    columns = {name: batch[name] for name in names if name in batch.schema.names}
    repeats = Repeats.of(names, trusted)
    return find_faults(known, columns, compare(known, columns), repeats, level=level)


def put(rows: pa.Table, name: str, values: object) -> pa.Table:
    column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    return rows.set_column(rows.schema.names.index(name), name, column)


def numbers(rows: pa.Table, name: str) -> np.ndarray:
    return np.asarray(rows[name].to_numpy())


def texts(rows: pa.Table, change: Callable[[str], str]) -> pa.Table:
    return put(rows, "text", [change(text) for text in rows["text"].to_pylist()])


def coded(column: pa.ChunkedArray) -> pa.Array:
    return pc.cast(column.combine_chunks().dictionary_encode().indices, pa.string())


def swap(rows: pa.Table) -> pa.Table:
    return put(put(rows, "price", rows["degrees"]), "degrees", rows["price"])


CASES: dict[str, tuple[Callable[[pa.Table], pa.Table], str, str]] = {
    "constant": (lambda t: put(t, "price", np.full(t.num_rows, 9.5)), "one_value", "price"),
    "cents": (lambda t: put(t, "price", numbers(t, "price") * 100), "scaled", "price"),
    "sign": (lambda t: put(t, "degrees", -numbers(t, "degrees")), "sign", "degrees"),
    "fahrenheit": (
        lambda t: put(t, "degrees", numbers(t, "degrees") * 1.8 + 32),
        "shifted",
        "degrees",
    ),
    "logarithm": (lambda t: put(t, "price", np.log1p(numbers(t, "price"))), "log", "price"),
    "clipped": (
        lambda t: put(t, "price", np.minimum(numbers(t, "price"), 25.0)),
        "clipped",
        "price",
    ),
    "swapped": (swap, "swapped", "price"),
    "nulls": (
        lambda t: put(
            t, "price", pa.array(numbers(t, "price"), mask=np.arange(t.num_rows) % 4 == 0)
        ),
        "nulls",
        "price",
    ),
    "gone": (lambda t: t.drop_columns(["city"]), "nulls", "city"),
    "upper case": (lambda t: put(t, "city", pc.utf8_upper(t["city"])), "recoded", "city"),
    "codes": (lambda t: put(t, "city", coded(t["city"])), "recoded", "city"),
    "cut names": (
        lambda t: put(t, "city", pc.utf8_slice_codeunits(t["city"], 0, 2)),
        "truncated",
        "city",
    ),
    "a category less": (
        lambda t: t.filter(pc.not_equal(t["city"], "Lyon")),
        "missing_categories",
        "city",
    ),
    "lower case": (lambda t: texts(t, str.lower), "text_case", "text"),
    "markup": (lambda t: texts(t, lambda one: f"<p>{one}</p>"), "markup", "text"),
    "entities": (lambda t: texts(t, lambda one: one.replace(" ", "&nbsp;")), "encoding", "text"),
    "truncated": (lambda t: texts(t, lambda one: one[:30]), "truncated", "text"),
    "twice": (
        lambda t: pa.concat_tables([t.slice(0, t.num_rows // 2)] * 2),
        "repeated_rows",
        "",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_called_by_its_name(name: str, trusted: pa.Table) -> None:
    change, kind, column = CASES[name]
    found = faults(trusted, change(orders(np.random.default_rng(5), 300)))
    assert found, name
    assert found[0].kind == kind
    assert found[0].columns[:1] == ((column,) if column else ())
    assert found[0].p_value <= 0.001
    assert "'" in told(found[0]) or kind == "repeated_rows"


@pytest.mark.parametrize("rows", [5, 20, 60, 300])
def test_clean_batches_show_no_fault(rows: int, trusted: pa.Table) -> None:
    rng = np.random.default_rng(rows)
    assert not any(faults(trusted, orders(rng, rows)) for _ in range(25))


def test_a_population_that_grew_is_no_fault(trusted: pa.Table) -> None:
    batch = orders(np.random.default_rng(6), 400)
    assert faults(trusted, put(batch, "price", numbers(batch, "price") * 1.25)) == []
    older = put(batch, "degrees", numbers(batch, "degrees") + 4)
    assert faults(trusted, older) == []


def test_tables_whose_rows_are_often_the_same_are_not_accused() -> None:
    rng = np.random.default_rng(1)

    def coins(rows: int) -> pa.Table:
        return pa.table({"a": rng.integers(0, 2, rows), "b": rng.integers(0, 2, rows)})

    trusted, batch = coins(500), coins(200)
    known = [sketch(name, trusted[name]) for name in ("a", "b")]
    columns = {name: batch[name] for name in ("a", "b")}
    repeats = Repeats.of(("a", "b"), trusted)
    assert find_faults(known, columns, compare(known, columns), repeats) == []
