"""Characters that deceive whoever reads: as patterns of RE2, so that Arrow looks for them at once.

Each pattern is of what no script, emoji or formula needs where it stands. Arabic and Hebrew have
direction marks, Persian and the scripts of India joiners, Thai and Khmer zero-width spaces, emoji
joiners, selectors and tags: none of those is found.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_RTL = (
    r"\p{Arabic}\p{Hebrew}\p{Syriac}\p{Thaana}\p{Nko}\p{Samaritan}\p{Mandaic}\p{Adlam}"
    r"\p{Hanifi_Rohingya}"
)
# Scripts whose letters are joined, or kept apart, by U+200C and U+200D.
_JOINED = (
    r"\p{Arabic}\p{Syriac}\p{Mongolian}\p{Nko}\p{Mandaic}\p{Adlam}\p{Manichaean}\p{Phags_Pa}"
    r"\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}\p{Oriya}\p{Tamil}\p{Telugu}\p{Kannada}"
    r"\p{Malayalam}\p{Sinhala}\p{Khmer}\p{Myanmar}\p{Thai}\p{Lao}\p{Tibetan}\p{Javanese}"
    r"\p{Balinese}\p{Sundanese}\p{Brahmi}\p{Chakma}\p{Meetei_Mayek}\p{Limbu}\p{Newa}"
)
# Scripts that are written without spaces, where U+200B shows the ends of words.
_UNSPACED = (
    r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Javanese}\p{Balinese}\p{Tai_Tham}"
    r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Viet}\p{Han}\p{Hiragana}\p{Katakana}"
)
# What emoji are made of, and what may stand between them and a joiner.
_EMOJI = (
    r"\x{00a9}\x{00ae}\x{2190}-\x{21ff}\x{2300}-\x{23ff}\x{2600}-\x{27bf}\x{2900}-\x{297f}"
    r"\x{2b00}-\x{2bff}\x{1f000}-\x{1faff}\x{fe0f}\x{20e3}"
)
_EMBEDDINGS = r"\x{202a}\x{202b}\x{202c}\x{2066}-\x{2069}"
_TAG = r"\x{e0020}-\x{e007f}"

BIDI = "|".join(
    [
        r"[\x{202d}\x{202e}]",  # overrides: shown in another order than read
        rf"^[^{_RTL}]*[{_EMBEDDINGS}\x{{200e}}\x{{200f}}\x{{061c}}][^{_RTL}]*$",
    ]
)
"""Overrides always; marks, embeddings and isolates in a text without right-to-left letters."""

_BALANCED = re.compile("[\u202a\u202b\u202c\u2066-\u2069]")
_MAY_BE_UNBALANCED = rf"[{_EMBEDDINGS}]"

_INVISIBLE = [
    # Each with what stands before and behind, which is kept: two groups.
    rf"(^|[^{_JOINED}\p{{M}}{_EMOJI}])[\x{{200c}}\x{{200d}}]()",
    r"([\x{200c}\x{200d}])[\x{200b}-\x{200d}\x{2060}\x{feff}]()",
    rf"(^|[^{_UNSPACED}\p{{M}}])\x{{200b}}()",
    r"()[\x{2060}\x{feff}\x{180e}\x{3164}\x{ffa0}\x{206a}-\x{206f}\x{fff9}-\x{fffb}]()",
    # Invisible operators of formulas stand beside symbols, and not inside of words.
    r"(\p{Latin}{2})[\x{2061}-\x{2064}](\p{Latin}{2})",
    r"([\x{2061}-\x{2064}])[\x{2061}-\x{2064}]()",
    # Selectors choose how the character before them is drawn; others carry hidden bytes.
    r"(^|[\x00-\x{22}\x{24}-\x{29}\x{2b}-\x{2f}\x{3a}-\x{7f}\x{a0}\p{Latin}\p{Cyrillic}\p{Greek}"
    r"\p{Arabic}\p{Hebrew}\p{Devanagari}\p{Hangul}\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}])"
    r"[\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}]()",
    r"(^|[^\p{Han}])[\x{e0100}-\x{e01ef}]()",
    # Tags spell the flag of a region behind a black flag, in at most six letters.
    r"()[\x{e0000}-\x{e001f}]()",
    rf"(^|[^\x{{1f3f4}}{_TAG}])[{_TAG}]()",
    r"([\x{e0020}-\x{e007e}]{6})[\x{e0020}-\x{e007e}]()",
    rf"()[\x{{e0020}}-\x{{e007e}}]([^{_TAG}]|$)",
    r"(\x{e007f})[\x{e0020}-\x{e007f}]()",
]
INVISIBLE = "|".join(_INVISIBLE)
"""Zero-width characters, fillers, selectors and tags where nothing needs them."""

CONTROL = r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x{0086}-\x{009f}]"
"""Control characters but tab, line feed, form feed, carriage return and next line."""

_NO_CHARACTERS = "".join(rf"\x{{{plane:x}fffe}}\x{{{plane:x}ffff}}" for plane in range(17))
PRIVATE = rf"[\p{{Co}}\x{{fdd0}}-\x{{fdef}}{_NO_CHARACTERS}]"
"""Private use, and code points that are no characters."""

REPLACED = "\ufffd"

_STRIPPED = re.compile(
    "[\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\u3164\uffa0"
    "\ufe00-\ufe0f\ufff9-\ufffb\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_MARKS = re.compile("[\u061c\u200e\u200f]")
_ROUNDS = 8
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")


def find_bidi(texts: pa.Array) -> pa.Array:
    """Texts with bidi controls that nothing there needs, or that do not close what they open.

    Args:
        texts: string, without nulls.

    Returns:
        A bool for each.

    Examples:
        >>> find_bidi(pa.array(["abc", "user\u202e//", "\u0645\u200f!"])).to_pylist()
        [False, True, False]
    """
    found = pc.match_substring_regex(texts, BIDI)
    maybe = pc.match_substring_regex(texts, _MAY_BE_UNBALANCED)
    if not pc.any(maybe).as_py():
        return found
    rows = np.flatnonzero(maybe.to_numpy(zero_copy_only=False))
    open_ended = np.zeros(len(texts), dtype=np.bool_)
    some = texts.take(pa.array(rows)).to_pylist()
    open_ended[rows] = [not _is_balanced(text) for text in some]
    return pc.or_(found, pa.array(open_ended))


def matching(pattern: str, texts: pa.Array) -> pa.Array:
    """Texts in which a pattern is found, as a bool for each."""
    return pc.match_substring_regex(texts, pattern)


def strip_bidi(text: str) -> str:
    """The text without what turns it; marks stay where there are right-to-left letters.

    Examples:
        >>> strip_bidi("user\u202e//")
        'user//'
    """
    text = _TURNING.sub("", text)
    needs_marks = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text)
    return text if needs_marks else _MARKS.sub("", text)


def strip_invisible(text: str) -> str:
    """The text without zero-width characters, selectors, tags and fillers that nothing needs.

    Examples:
        >>> strip_invisible("pass\u200bword")
        'password'
    """
    values = pa.array([text], pa.string())
    for _ in range(_ROUNDS):
        before = values
        for pattern in _INVISIBLE:
            values = pc.replace_substring_regex(values, pattern, r"\1\2")
        if values.equals(before):
            return str(values[0].as_py())
    return _STRIPPED.sub("", text)


def strip_control(text: str) -> str:
    r"""The text without control characters.

    Examples:
        >>> strip_control("a\x00b c")
        'ab c'
    """
    return _CONTROL_CHARACTERS.sub("", text)


@cache
def unassigned() -> str:
    """A pattern of code points that this Python's Unicode does not know, emoji's planes aside."""
    ranges, start = [], None
    for point in range(0x110000):
        unknown = (
            unicodedata.category(chr(point)) == "Cn"
            and not 0x1F000 <= point < 0x20000  # emoji come every year
            and point & 0xFFFE != 0xFFFE
        )
        if unknown and start is None:
            start = point
        elif not unknown and start is not None:
            ranges.append((start, point - 1))
            start = None
    if start is not None:
        ranges.append((start, sys.maxunicode))
    return "[" + "".join(rf"\x{{{low:x}}}-\x{{{high:x}}}" for low, high in ranges) + "]"


def _is_balanced(text: str) -> bool:
    """Whether what is opened is closed, line by line, as UAX #9 does it."""
    for line in text.splitlines():
        depth: list[str] = []
        for control in _BALANCED.findall(line):
            if control in "\u202a\u202b":
                depth.append("\u202c")
            elif control in "\u2066\u2067\u2068":
                depth.append("\u2069")
            elif not depth or depth.pop() != control:
                return False
        if depth:
            return False
    return True
