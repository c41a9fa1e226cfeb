"""Signatures of faults: what a pipeline's usual mistakes leave in a batch's columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lazaretto.drift._signs import Sign
from lazaretto.drift._signs_numbers import number_signs, swapped
from lazaretto.drift._signs_rows import repeated_rows
from lazaretto.drift._signs_values import category_signs, text_signs
from lazaretto.drift._sketch import Sketch, sketch
from lazaretto.text import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from lazaretto.drift._compare import ColumnDrift
    from lazaretto.drift._signs_rows import Repeats

FEWEST_ROWS = 8
"""In smaller batches any sign may be chance."""
_MOST_CHARACTERS = 80
KINDS = (
    "nulls",
    "one_value",
    "scaled",
    "sign",
    "shifted",
    "log",
    "clipped",
    "swapped",
    "recoded",
    "missing_categories",
    "text_case",
    "markup",
    "encoding",
    "truncated",
    "repeated_rows",
)
"""Every kind of signature. `Fault.kind` is one of them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that a column, a pair of columns or the rows look like.

    Attributes:
        kind: one of `KINDS`.
        columns: that show it; empty for whole rows.
        detail: the fact, as the end of a sentence.
        p_value: chance that a batch like the reference differs from it so clearly, times the
            number of signs that were looked for (Bonferroni).
    """

    kind: str
    columns: tuple[str, ...]
    detail: str
    p_value: float


def told(fault: Fault) -> str:
    """A signature as a sentence, names of columns quoted and cut.

    Examples:
        >>> told(Fault("sign", ("age",), "has the other sign", 1e-9))
        "'age' has the other sign"
    """
    names = " and ".join(repr(cut(name, _MOST_CHARACTERS)) for name in fault.columns)
    return f"{names} {fault.detail}" if names else fault.detail


def find_faults(
    sketches: Sequence[Sketch],
    columns: dict[str, pa.ChunkedArray],
    drift: Sequence[ColumnDrift],
    repeats: Repeats | None = None,
    *,
    level: float = 0.001,
) -> list[Fault]:
    """Looks for the marks of faults in a batch's columns.

    A sign counts where two things hold. The column differs from the reference beyond chance, by an
    exact test; so a batch like the reference shows any sign with at most the chance `level`. And
    undoing the fault makes it like the reference again, or the change is of a kind that no
    population brings: one value throughout, a length at which every text ends.

    Args:
        sketches: of the reference's columns.
        columns: the batch's, by name.
        drift: of the columns, in the order of the sketches.
        repeats: how often rows of the reference are the same; None: not known.
        level: largest chance that a clean batch shows any sign.

    Returns:
        The faults, the surest first; of a column the one that says most.
    """
    rows = max((len(column) for column in columns.values()), default=0)
    if rows < FEWEST_ROWS:
        return []
    tests = 2 * len(sketches) + 2
    signs: list[Sign] = []
    moved: list[tuple[Sketch, Sketch]] = []
    for known, found in zip(sketches, drift, strict=True):
        column = columns.get(known.name)
        here = sketch(known.name, column, like=known)
        if found.nulls_p * tests <= level and found.nulls > _FEWEST_NULLS:
            what = "is missing" if column is None else f"is null in {found.nulls:+.0%} of records"
            signs.append(Sign("nulls", (known.name,), what, found.nulls_p, 1.0))
        if column is None or not known.rows or not here.rows:
            continue
        if known.is_categorical:
            signs += category_signs(known, column, tests=tests, level=level)
        elif known.kind == "text":
            signs += text_signs(known, here)
        if not known.is_categorical and found.p_value * tests <= level:
            signs += number_signs(known, here, found)
            moved.append((known, here))
    signs += swapped(moved, {d.column: d.p_value for d in drift})
    if repeats is not None:
        signs += repeated_rows(repeats, columns)
    kept = [replace(one, p_value=min(1.0, one.p_value * tests)) for one in signs]
    return _surest([one for one in kept if one.p_value <= level])


_FEWEST_NULLS = 0.05


def _surest(signs: Sequence[Sign]) -> list[Fault]:
    """The best sign of each column; a swapped pair speaks for both of its columns."""
    said: list[Fault] = []
    spoken: set[str] = set()
    for one in sorted(signs, key=lambda s: (-s.weight, s.p_value)):
        if one.columns and spoken.issuperset(one.columns):
            continue
        spoken.update(one.columns)
        said.append(Fault(one.kind, one.columns, one.detail, one.p_value))
    return said
