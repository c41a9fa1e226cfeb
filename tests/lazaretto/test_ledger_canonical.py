"""The quick look at a JSON text says what writing it anew says."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from lazaretto.ledger.canonical import is_canonical

numbers = st.one_of(
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(1e-12, 1e-3),
    st.floats(1e14, 1e24),
)
texts = st.one_of(st.text(), st.text(st.characters(max_codepoint=127)))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(texts, inner)),
)


def by_writing(text: str) -> bool:
    """The same by the long way; an integer beyond 2**53 is a float's."""

    def number(digits: str) -> int | float:
        return int(digits) if abs(int(digits)) < 2**53 else float(digits)

    return rfc8785.dumps(json.loads(text, parse_int=number)).decode() == text


def looked_at(text: str) -> bool:
    try:
        return is_canonical(text)
    except (ValueError, rfc8785.CanonicalizationError):
        return False


@given(values)
def test_what_is_written_canonically_is_canonical(value: object) -> None:
    text = rfc8785.dumps(value).decode()  # type: ignore[arg-type]
    assert is_canonical(text)
    other = json.dumps(value)
    assert looked_at(other) == by_writing(other)
    other = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    assert looked_at(other) == by_writing(other)


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1,"a":2}',
        '{"a":1,"a":1}',
        '{"a": 1}',
        "[1.0]",
        "[1e-09]",
        "[1E5]",
        "[0.10]",
        "[-0]",
        "[-0.0]",
        "[9007199254740993]",
        "[1e400]",
        "[NaN]",
        "[Infinity]",
        '["\\u0041"]',
        '["\\ue0001.5\\ue001"]',
        '["\\/"]',
        '["\\ud800"]',
        '{"\\ud83d\\ude00":1,"\\uffff":2}',
        '{"\uffff":2,"\U0001f600":1}',
        "[1",
        "",
    ],
)
def test_other_texts_of_the_same_value_are_not(text: str) -> None:
    assert not looked_at(text)


@pytest.mark.parametrize(
    "text",
    ["[1e-9]", "[0.000001]", "[1e-7]", "[100000000000000000000]", "[1e+21]", "[5e-324]", "{}"],
)
def test_numbers_in_the_form_of_the_specification_are_canonical(text: str) -> None:
    assert looked_at(text)


def test_nesting_without_end_is_an_error() -> None:
    with pytest.raises(RecursionError):
        is_canonical("[" * 100_000)
