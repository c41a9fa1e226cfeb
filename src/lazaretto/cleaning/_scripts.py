"""Letters that pass for those of another script, and words of several scripts, by UTS #39.

Which characters look alike, and of which script each is, comes from Unicode's tables, as the
library `confusable-homoglyphs` has them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Restriction = Literal["single_script", "highly", "moderately"]

_INVISIBLE = r"\x{ad}\x{034f}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2069}\x{feff}"
_GLUE = rf"[\p{{L}}\p{{M}}{_INVISIBLE}]*"
_OTHER = (
    r"[\p{Cyrillic}\p{Greek}\p{Armenian}\p{Cherokee}\p{Coptic}\p{Lisu}\p{Deseret}\p{Tifinagh}"
    r"\p{Canadian_Aboriginal}\p{Warang_Citi}\p{Osage}\p{Georgian}]"
)
_MAY_BE_MIXED = rf"\p{{Latin}}{_GLUE}{_OTHER}|{_OTHER}{_GLUE}\p{{Latin}}"
# Letters of formulas are written alone or in pairs; five in a row are a word that no filter reads.
_STYLED = r"[\x{1d400}-\x{1d7cb}\x{1f130}-\x{1f149}\x{1f170}-\x{1f189}]{5}"

_WORD = re.compile(r"[^\W\d_]+")
_DROPPED = re.compile("[\u00ad\u034f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_FUNCTION = re.compile(
    "(?:arc)?(?:sin|cos|tan)h?|cot|sec|csc|log|ln|lg|exp|arg|det|lim|max|min|mod"
)
_LATIN, _GREEK = "LATIN", "GREEK"
_NO_SCRIPT = ("COMMON", "INHERITED", "UNKNOWN")
_TOGETHER = (
    frozenset({"HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"HAN", "BOPOMOFO"}),
    frozenset({"HAN", "HANGUL"}),
)
_RECOMMENDED = re.compile(
    "ARABIC|ARMENIAN|BENGALI|BOPOMOFO|DEVANAGARI|ETHIOPIC|GEORGIAN|GUJARATI|GURMUKHI|HAN|HANGUL|"
    "HEBREW|HIRAGANA|KANNADA|KATAKANA|KHMER|LAO|MALAYALAM|MYANMAR|ORIYA|SINHALA|TAMIL|TELUGU|"
    "THAANA|THAI|TIBETAN"
)


def find_homoglyphs(texts: pa.Array) -> pa.Array:
    """Texts with a word in which letters of another script stand for those of its own.

    A word is suspect when it has letters of Latin and of one more script, and those of the one that
    has fewer all look like letters of the other. Ends of words that a language adds to a foreign
    name do not, nor do units, formulas and names of substances. Neither is a word that is wholly of
    another script: that cannot be told from a quotation.

    Args:
        texts: string, without nulls.

    Returns:
        A bool for each.

    Examples:
        >>> find_homoglyphs(pa.array(["free", "fr\u0435e", "5 \u03bcm", "TNF\u03b1"])).to_pylist()
        [False, True, False, False]
    """
    styled = pc.match_substring_regex(texts, _STYLED)
    maybe = np.flatnonzero(
        pc.match_substring_regex(texts, _MAY_BE_MIXED).to_numpy(zero_copy_only=False)
    )
    found = styled.to_numpy(zero_copy_only=False).copy()
    some = texts.take(pa.array(maybe)).to_pylist()
    found[maybe] |= np.array([any(map(_is_disguised, _words(text))) for text in some], np.bool_)
    return pa.array(found)


def find_mixed(values: pa.Array, restriction: Restriction) -> pa.Array:
    """Values with a word that does not meet a restriction level of UTS #39.

    Args:
        values: names or labels, string, without nulls.
        restriction: the level.

    Returns:
        A bool for each.

    Examples:
        >>> find_mixed(pa.array(["spam", "sp\u0430m", "T\u30b7\u30e3\u30c4"]), "highly").to_pylist()
        [False, True, False]
    """
    distinct = values.unique().to_pylist()
    wrong = [text for text in distinct if not _meets(text, restriction)]
    return pc.is_in(values, pa.array(wrong, pa.string()))


def find_twins(values: pa.Array) -> pa.Array:
    """Values that look like a more frequent one of the same column, and are another.

    Args:
        values: names or labels, string, without nulls.

    Returns:
        A bool for each.

    Examples:
        >>> find_twins(pa.array(["spam", "ham", "spam", "s\u0440am"])).to_pylist()
        [False, False, False, True]
    """
    counts = pc.value_counts(values)
    looks: dict[str, list[tuple[int, bool, str]]] = {}
    for text, count in zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True):
        # As often as its twin, what is plain is the original.
        looks.setdefault(skeleton(text), []).append((-count, not text.isascii(), text))
    twins = [text for same in looks.values() for _, _, text in sorted(same)[1:]]
    return pc.is_in(values, pa.array(twins, pa.string()))


def skeleton(text: str) -> str:
    """What a text looks like: texts of one skeleton cannot be told apart by reading.

    ASCII stands for itself: `l` and `1` are told apart where ids are made of them.

    Examples:
        >>> skeleton("\u0440\u0430ypal\u200b")
        'paypal'
    """
    plain = _DROPPED.sub("", unicodedata.normalize("NFKC", text))
    looks = _looks_like()
    return "".join(looks.get(letter, letter) for letter in plain)


def _words(text: str) -> Iterator[str]:
    """Words in letters alone: without accents, and without what is not seen in them."""
    plain = unicodedata.normalize("NFD", _DROPPED.sub("", text))
    bare = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return (match.group() for match in _WORD.finditer(bare))


def _is_disguised(word: str) -> bool:
    if len(word) < 3 or word.isascii():
        return False
    scripts = [_script(letter) for letter in word]
    others = {script for script in scripts if script not in (_LATIN, *_NO_SCRIPT)}
    if len(others) != 1 or _LATIN not in scripts:
        return len(others) > 1 and _LATIN in scripts and _all_pass_for_latin(word)
    (other,) = others
    latin = [letter for letter in word if _script(letter) == _LATIN]
    foreign = [letter for letter in word if _script(letter) == other]
    if other == _GREEK and _is_notation(word, latin, foreign):
        return False
    if len(foreign) <= len(latin):
        return all(letter in _looks_like() for letter in foreign)
    return other != _GREEK and all(letter in _passes_for(other) for letter in latin)


def _is_notation(word: str, latin: list[str], greek: list[str]) -> bool:
    """Greek letters of formulas, and of substances such as TNF-alpha."""
    if not all(letter.islower() for letter in greek):
        return False
    leads = len(greek) == 1 and word.startswith(tuple("αβγδλμσ"))
    few = sum(map(str.islower, latin)) < 2
    return few or leads or bool(_FUNCTION.fullmatch(word.rstrip("".join(greek))))


def _all_pass_for_latin(word: str) -> bool:
    return all(letter in _looks_like() for letter in word if _script(letter) != _LATIN)


def _meets(text: str, restriction: Restriction) -> bool:
    return text.isascii() or all(_word_meets(word, restriction) for word in _words(text))


def _word_meets(word: str, restriction: Restriction) -> bool:
    scripts = {_script(letter) for letter in word}.difference(_NO_SCRIPT)
    if len(scripts) < 2 or any(scripts <= together for together in _TOGETHER):
        return True
    if restriction == "single_script" or _LATIN not in scripts:
        return False
    rest = scripts - {_LATIN}
    if any(rest <= together for together in _TOGETHER):
        return True
    return (
        restriction == "moderately" and len(rest) == 1 and bool(_RECOMMENDED.fullmatch(min(rest)))
    )


@cache
def _script(letter: str) -> str:
    from confusable_homoglyphs import categories

    return str(categories.alias(letter))


@cache
def _looks_like() -> dict[str, str]:
    """Letters of other scripts than Latin that look like a letter of ASCII."""
    from confusable_homoglyphs import confusables

    looks: dict[str, str] = {}
    for plain, alike in confusables.confusables_data.items():
        if len(plain) == 1 and plain.isascii() and plain.isalpha():
            for other in _letters(one["c"] for one in alike):
                if _script(other) not in (_LATIN, *_NO_SCRIPT):
                    upper = other.isupper()
                    both = (plain, looks.get(other, plain))
                    looks[other] = min(both, key=lambda one: (one.isupper() != upper, one))
    return looks


@cache
def _passes_for(script: str) -> frozenset[str]:
    """Letters of ASCII that look like one of a script."""
    return frozenset(plain for other, plain in _looks_like().items() if _script(other) == script)


def _letters(texts: Iterable[str]) -> Iterator[str]:
    return (text for text in texts if len(text) == 1 and not text.isascii() and text.isalpha())
