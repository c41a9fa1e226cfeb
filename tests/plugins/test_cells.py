"""One value as it is shown: bounded, nothing invisible, and never a file as it was delivered."""

from __future__ import annotations

import io
import struct
import wave
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.plugins.cells import LONGEST_NAME, Cell, as_scalar, cell_of
from lazaretto.plugins.sound import BARS, sound_of
from lazaretto.plugins.words import differing
from lazaretto.text import visible

texts = st.text(st.characters(codec="utf-8"), max_size=300)
# Words that meet again, between blanks of every kind.
alike = st.lists(st.sampled_from(["a", "b", "ab", " ", "\n", "\u00a0", "\x00", "\u202e"])).map(
    "".join
)


def shown(value: Any, kind: pa.DataType | None = None, **more: Any) -> Cell:
    return cell_of("column", 3, pa.scalar(value, kind), characters=100, **more)


def is_visible(text: str) -> bool:
    return visible(text, keep_newlines=True) == text


@settings(deadline=None)
@given(text=texts | alike, other=texts | alike, most=st.integers(0, 40))
def test_pieces_are_the_whole_text_and_mark_only_what_differs(
    text: str, other: str, most: int
) -> None:
    pieces = differing(text, other, most)
    assert "".join(piece.text for piece in pieces) == visible(text, keep_newlines=True)
    assert not any(piece.differs for piece in differing(text, text))
    assert all(piece.text for piece in pieces)
    blank = not any(piece.differs for piece in differing(text, "") if piece.text.strip())
    assert blank == (not text.strip())


def test_the_words_that_differ_are_marked() -> None:
    pieces = differing("the  film was\nreally good!", "the film was good!")
    assert [piece.text for piece in pieces if piece.differs] == ["\nreally"]
    assert not any(piece.differs for piece in differing("a b", " a\nb "))
    late = differing("x " * 50 + "odd", "x " * 60, most=20)
    assert not any(piece.differs for piece in late)  # behind what is compared, nothing is marked


def test_texts_that_are_slow_to_compare_are_compared_in_part() -> None:
    """Every second word alike: the work is counted by the words that are looked at."""
    many = " ".join(f"x y{n}" for n in range(100_000))
    pieces = differing(many, many.replace("y", "z"), most=80)
    assert sum(piece.differs for piece in pieces) <= 80


@settings(deadline=None)
@given(text=texts, column=texts, characters=st.integers(1, 50))
def test_a_text_is_cut_and_nothing_in_it_is_invisible(
    text: str, column: str, characters: int
) -> None:
    cell = cell_of(column, 0, pa.scalar(text), characters=characters, near="a b c")
    assert len(cell.text) <= characters
    assert len(cell.column) <= LONGEST_NAME
    assert is_visible(cell.text)
    assert is_visible(cell.column)
    assert all(is_visible(piece.text) for piece in cell.pieces)
    assert cell.whole == (len(text) <= characters)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=12).filter(lambda v: len({type(x) for x in v}) <= 1)
        | st.dictionaries(st.sampled_from(["a", "b\u202e", "<i>"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=examples(200))
@given(value=values)
def test_any_value_is_shown_within_bounds(value: Any) -> None:
    try:
        scalar = pa.scalar(value)
    except (pa.ArrowException, TypeError):
        return
    cell = cell_of("c", 0, scalar, characters=60)
    assert len(cell.text) <= 160
    assert is_visible(cell.text)
    assert (cell.kind == "missing") == (value is None)


def test_a_large_nested_value_is_looked_at_only_as_far_as_it_is_shown() -> None:
    wide = pa.struct([(f"f{n}", pa.list_(pa.string())) for n in range(4096)])
    cell = shown({f"f{n}": ["x" * 1000] * 10 for n in range(4096)}, wide)
    assert (cell.kind, cell.whole, len(cell.text)) == ("nested", False, 100)
    assert "12 in all" in shown([{"a": n} for n in range(12)]).text


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ([0.5] * 64, None, "vector of 64 numbers, length 4, from 0.5 to 0.5"),
        ([1.5, None, float("nan")], None, "vector of 3 numbers, length 1.5, from 1.5 to 1.5; 2 of"),
        ([float("inf")], None, "vector of 1 numbers; 1 of them are missing or not finite"),
        ([1e308] * 4, None, "vector of 4 numbers, length inf"),
        ([], pa.list_(pa.float32()), "vector of 0 numbers"),
        (list(range(20)), None, "vector of 20 numbers"),
        ([1.0, 2.0], pa.list_(pa.float16(), 2), "vector of 2 numbers"),
    ],
)
def test_a_vector_is_told_in_words(value: Any, kind: pa.DataType | None, words: str) -> None:
    cell = shown(value, kind)
    assert cell.kind == "vector"
    assert cell.text.startswith(words)
    assert shown([1, 2]).kind == "nested"  # a few whole numbers are codes


PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (PNG, "picture", "PNG picture, 28 bytes"),
        (b"\xff\xd8\xff\xe0", "picture", "JPEG picture"),
        (b"GIF89a", "bytes", "GIF picture, 6 bytes: not shown"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "bytes", "WebP picture"),
        (b"\n <svg onload='alert(1)'>", "bytes", "SVG picture"),
        (b"<?xml version='1.0'?><svg/>", "bytes", "XML"),
        (b"%PDF-1.7", "bytes", "PDF file"),
        (b"RIFF\x04\x00\x00\x00WAVE", "bytes", "WAV sound, 12 bytes: it is broken"),
        (b"<script>", "bytes", "8 bytes"),
        (b"", "bytes", "0 bytes"),
    ],
)
def test_a_file_is_known_by_its_first_bytes_and_never_given_out(
    data: bytes, kind: str, words: str
) -> None:
    for value in (data, {"bytes": data, "path": "a.png"}):
        cell = shown(value)
        assert cell.kind == kind
        assert cell.text.startswith(words)
        assert "alert" not in cell.text
    boxed = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert shown({"bytes": None, "path": "x"}, boxed).text == "no file"


def wav(width: int, channels: int, frames: bytes, rate: int = 8_000) -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(frames)
    return data.getvalue()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_sound_has_a_length_and_an_outline(width: int) -> None:
    silence, loud = b"\0" * width, b"\0" * (width - 1) + b"\x7f"
    if width == 1:
        silence, loud = b"\x80", b"\xff"
    found = sound_of(wav(width, 2, (silence * 2) * 4_000 + (loud * 2) * 4_000))
    assert found is not None
    assert (found.seconds, found.channels, found.rate) == (1.0, 2, 8_000)
    bars = found.outline.split("M")[1:]
    assert len(bars) == BARS
    assert bars[0] == "0.5 15.5V16.5"
    assert bars[-1].startswith(f"{BARS - 0.5:g} 0")
    assert not set(found.outline) - set("MV0123456789. -e")


def test_a_sound_is_as_long_as_what_is_there() -> None:
    whole = wav(2, 1, b"\1\0" * 8_000)
    at = whole.index(b"data")
    lying = whole[: at + 4] + struct.pack("<I", 2**32 - 2) + whole[at + 8 :]
    for data in (lying, lying[:-8_000]):
        found = sound_of(data)
        assert found is not None
        assert found.seconds == (len(data) - at - 8) / 2 / 8_000
    # Millions of parts before the first sample are not gone through.
    padded = whole[:12] + (b"junk" + struct.pack("<I", 0)) * 100_000 + whole[12:]
    assert sound_of(padded) is None


@settings(deadline=None, max_examples=examples(300))
@given(data=st.binary(max_size=80), cut=st.integers(0, 60))
def test_no_bytes_are_more_than_no_sound(data: bytes, cut: int) -> None:
    found = sound_of(wav(2, 1, b"\1\0" * 8)[:cut] + data)
    assert found is None or found.seconds >= 0


def test_what_a_reference_keeps_is_shown_like_what_is_held() -> None:
    for value in ("text", 1, 2.5, None, b"x", True):
        assert cell_of("c", 0, as_scalar(value), characters=50).text
    assert cell_of("c", 0, as_scalar(2**80), characters=50).text == str(2**80)
