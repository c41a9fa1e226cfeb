"""The rules on single texts: what each looks for, and how it mends what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._digest import list_lengths
from lazaretto.batch._plain import is_list, list_items
from lazaretto.cleaning import _characters, _encoding, _scripts
from lazaretto.cleaning._keys import is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

_ODD = r"[^\t\n\f\r\x20-\x7e]"
"""Without such a character, no rule finds anything in a text."""
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class TextRule:
    """A rule on a text by itself.

    Attributes:
        find: which of some texts it finds.
        asks: what it asks for, behind the name of the column.
        mend: makes a better text; None where it knows none.
    """

    find: Callable[[pa.Array], pa.Array]
    asks: str
    mend: Callable[[str], str] | None = None


def _private(texts: pa.Array) -> pa.Array:
    known = _characters.matching(_characters.PRIVATE, texts)
    return pc.or_(known, _characters.matching(_characters.unassigned(), texts))


TEXT_RULES: dict[str, TextRule] = {
    "mojibake": TextRule(
        _encoding.find_mojibake, "must be read in the encoding it was written in", _encoding.mend
    ),
    "bidi_controls": TextRule(
        _characters.find_bidi,
        "must not turn its direction where no right-to-left text needs it",
        _characters.strip_bidi,
    ),
    "invisible": TextRule(
        partial(_characters.matching, _characters.INVISIBLE),
        "must have no invisible characters that no script or emoji needs",
        _characters.strip_invisible,
    ),
    "control_characters": TextRule(
        partial(_characters.matching, _characters.CONTROL),
        "must have no control characters",
        _characters.strip_control,
    ),
    "homoglyphs": TextRule(
        _scripts.find_homoglyphs, "must have no words with letters that pass for others"
    ),
    "private_use": TextRule(_private, "must have only characters that Unicode knows"),
    "replacement_characters": TextRule(
        partial(_characters.matching, _characters.REPLACED),
        "must have no replacement characters: something of it is lost",
    ),
}
"""By their name in the policy, in the order in which they mend."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """Texts of a column: the column itself, or what is in its lists and fields.

    Attributes:
        path: name of the column, with the fields that lead to the texts.
        texts: string, without nulls.
        rows: of the chunk, that each is of, ascending; None: its own number.
    """

    path: str
    texts: pa.Array
    rows: NDArray[np.int64] | None = None

    def positions(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of some texts."""
        return found if self.rows is None else self.rows[found]


def has_text(kind: pa.DataType) -> bool:
    """Whether there are texts in values of a plain type."""
    if is_text(kind):
        return True
    if pa.types.is_struct(kind):
        return any(has_text(field.type) for field in kind)
    if pa.types.is_map(kind):
        return has_text(kind.key_type) or has_text(kind.item_type)
    return is_list(kind) and has_text(kind.value_type)


def leaves(path: str, values: pa.Array, rows: NDArray[np.int64] | None = None) -> Iterator[Leaf]:
    """All texts of a column.

    Args:
        path: its name.
        values: of a plain type.
        rows: that each value is of.
    """
    if not has_text(values.type):
        return
    if is_text(values.type):
        yield Leaf(path, pc.fill_null(values, ""), rows)
        return
    numbers = np.arange(len(values), dtype=np.int64) if rows is None else rows
    numbers = numbers[values.is_valid().to_numpy(zero_copy_only=False)]
    dense = values.drop_null()
    if pa.types.is_struct(values.type):
        for field, column in zip(values.type, dense.flatten(), strict=True):
            yield from leaves(f"{path}.{field.name}", column, numbers)
    else:
        yield from leaves(path, list_items(dense), np.repeat(numbers, list_lengths(dense)))


def odd_texts(leaf: Leaf) -> Leaf:
    """Those of some texts that a rule may find, with their numbers."""
    odd = pc.match_substring_regex(leaf.texts, _ODD)
    numbers = np.flatnonzero(odd.to_numpy(zero_copy_only=False))
    return Leaf(leaf.path, leaf.texts.filter(odd), numbers)


def found_by(rule: TextRule, texts: pa.Array) -> NDArray[np.bool_]:
    """Which of some texts a rule finds."""
    if not len(texts):
        return np.zeros(0, np.bool_)
    return np.asarray(rule.find(texts).to_numpy(zero_copy_only=False), dtype=np.bool_)


def mended(texts: pa.Array, rules: list[TextRule]) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Texts that rules found, mended until none of them finds anything.

    Args:
        texts: string, each found by one of the rules at least.
        rules: each with a way to mend.

    Returns:
        The mended texts; and which of them a rule still finds.
    """
    values = texts.to_pylist()
    for _ in range(_ROUNDS):
        before = list(values)
        for rule in rules:
            assert rule.mend is not None  # noqa: S101  the caller chose them so
            found = np.flatnonzero(found_by(rule, pa.array(values, texts.type)))
            for number in found.tolist():
                values[number] = rule.mend(values[number])
        if values == before:
            break
    after = pa.array(values, texts.type)
    left = np.zeros(len(values), dtype=np.bool_)
    for rule in rules:
        left |= found_by(rule, after)
    return after, left
