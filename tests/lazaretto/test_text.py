"""Text from outside is shown with nothing hidden in it, and never longer than agreed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaretto.text import cut, excerpt, visible

ANY = st.text(st.characters(), max_size=300)
"""Text of any code points, halves of surrogate pairs too."""


@given(ANY, st.booleans())
def test_nothing_invisible_is_left(text: str, keep: bool) -> None:
    shown = visible(text, keep_newlines=keep)
    left = {
        c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    }
    assert left <= ({"\n"} if keep else set())
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert visible(shown, keep_newlines=keep) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Grüße 数字 \N{GRINNING FACE}", "plain Grüße 数字 \N{GRINNING FACE}"),
        ("no\N{NO-BREAK SPACE}break", "no\N{NO-BREAK SPACE}break"),
        ("\x1b]8;;http://evil\x07", "\\x1b]8;;http://evil\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202ecba", "abc\\u202ecba"),
        ("a\u2028b\u200bc\ufeff", "a\\u2028b\\u200bc\\ufeff"),
        ("line\nline\r", "line\\nline\\r"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_cannot_be_seen_becomes_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY, st.integers(1, 50))
def test_an_excerpt_is_one_line_of_at_most_so_many_characters(text: str, limit: int) -> None:
    shown = excerpt(text, limit)
    assert len(shown) <= limit
    assert "\n" not in shown
    if len(visible(text)) <= limit:
        assert shown == visible(text)


def test_a_cut_text_says_so() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde\N{HORIZONTAL ELLIPSIS}"
    assert excerpt(["a", 1], 80) == "['a', 1]"
