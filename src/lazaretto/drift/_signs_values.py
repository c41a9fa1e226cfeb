"""Signs of faults in categories and texts: recoded, missing, letter case, markup, cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.drift._compare import category_counts
from lazaretto.drift._exact import counts_p, more_p
from lazaretto.drift._signs import Sign
from lazaretto.drift._sketch import MOST_CATEGORIES, Sketch, category_texts, sketch
from lazaretto.stats.counts import hypergeometric_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

NEW = 0.4
"""Share of values that the reference does not have, from which on a column may be recoded."""
SAME = 0.01
"""Two frequency tables are the same where a test of them gives at least this p-value."""
FELL, ROSE = 0.1, 0.3
"""A trait of texts fell that had this share and has hardly any; it rose by at least the other."""
_GONE = 0.05
_PILE = 0.05
_FALLS = {
    "upper": ("text_case", "has no upper-case letter any more"),
    "lower": ("text_case", "has no lower-case letter any more"),
    "space": ("encoding", "has no white space any more"),
    "other": ("encoding", "has none but ASCII characters any more"),
    "markup": ("markup", "has no markup any more"),
}
_RISES = {
    "upper": ("text_case", "has upper-case letters"),
    "markup": ("markup", "has markup, such as tags of HTML"),
    "entity": ("markup", "has character references, such as &amp;amp;"),
    "escaped": ("encoding", "has escaped characters, such as \\u00e9"),
    "mojibake": ("encoding", "was read in the wrong encoding"),
}


def category_signs(
    known: Sketch, column: pa.ChunkedArray, *, tests: int, level: float
) -> list[Sign]:
    """Signs in a column of categories.

    Args:
        known: the reference's column.
        column: the batch's.
        tests: how many signs are looked for in all.
        level: largest chance that a clean batch shows any.
    """
    texts = category_texts(column)
    counted = pc.value_counts(texts.drop_null().combine_chunks())
    order = pc.sort_indices(counted.field("counts"), sort_keys=[("", "descending")])
    top = counted.take(order.slice(0, MOST_CATEGORIES))
    names = top.field("values").to_pylist()
    here = dict(zip(names, top.field("counts").to_pylist(), strict=True))
    m = len(texts) - texts.null_count
    unseen = m - sum(count for name, count in here.items() if name in known.counts)
    if m and unseen / m >= NEW:
        others = known.rows - sum(known.counts.values())
        chance = more_p(unseen, m, others, known.rows)
        return _recoded(known, here, unseen / m, chance) if chance * tests <= level else []
    table = category_counts(known, sketch(known.name, column, like=known))
    return [*_one_category(known, here, m), *_permuted(known, table), *_missing(known, table)]


def text_signs(known: Sketch, here: Sketch) -> list[Sign]:
    """Signs in a column of texts.

    Args:
        known: the reference's; one that was kept without traits tells of lengths alone.
        here: the batch's, read likewise.
    """
    signs = []
    tried = len(_FALLS) + len(_RISES) + 1
    n, m = known.rows, here.rows
    for trait, (kind, what) in _FALLS.items():
        before, now = known.counts.get(trait, 0), here.counts.get(trait, 0)
        if before >= FELL * n and now / m <= _GONE * before / n:
            chance = more_p(before, n, now, m)
            signs.append(Sign(kind, (known.name,), what, min(1.0, chance * tried), 0.9))
    for trait, (kind, what) in _RISES.items():
        before, now = known.counts.get(trait, 0), here.counts.get(trait, 0)
        if known.counts and now / m >= before / n + ROSE and (trait != "upper" or now / m > 0.95):
            chance = more_p(now, m, before, n)
            said = f"{what} in {now / m:.0%} of records ({before / n:.0%} of trusted ones)"
            signs.append(Sign(kind, (known.name,), said, min(1.0, chance * tried), 0.85))
    return [*signs, *_truncated(known, here, tried)]


def _truncated(known: Sketch, here: Sketch, tried: int) -> list[Sign]:
    """Texts that end at one length, beyond which trusted ones go on."""
    longest = here.values[-1]
    pile = float((here.values >= longest - 1).mean())
    usual = float(((known.values >= longest - 1) & (known.values <= longest)).mean())
    beyond = float((known.values > longest).mean())
    if pile < usual + _PILE or beyond < _PILE:
        return []
    chance = more_p(round(beyond * known.rows), known.rows, 0, here.rows)
    what = f"is never longer than {longest:.0f} characters, as {beyond:.0%} of trusted texts are"
    return [Sign("truncated", (known.name,), what, min(1.0, chance * tried), 0.9)]


def _recoded(known: Sketch, here: dict[str, int], share: float, chance: float) -> list[Sign]:
    """New values that are the old ones under other names."""
    said = f"has values in {share:.0%} of records that no trusted one has"
    for undo, what in _UNDO:
        names = _renamed(known, undo)
        undone = {name: names.get(undo(name)) for name in here}
        back = sum(count for name, count in here.items() if undone[name] is not None)
        if back >= 0.9 * sum(here.values()) and len(names) > 1:
            return [Sign("recoded", (known.name,), f"{said}: {what}", chance, 0.95)]
    cut = _cut(known, here)
    if cut:
        return [Sign("truncated", (known.name,), f"{said}: they are cut", chance, 0.95)]
    old = np.array(sorted(known.counts.values(), reverse=True))
    now = np.array(sorted(here.values(), reverse=True))
    width = max(len(old), len(now))
    table = np.zeros((2, width), dtype=np.int64)
    table[0, : len(old)], table[1, : len(now)] = old, now
    if width > 1 and counts_p(table[0], table[1]) >= SAME:
        what = f"{said}, as often as the old ones: they are coded otherwise"
        return [Sign("recoded", (known.name,), what, chance, 0.9)]
    if len(now) == 1:
        what = f"is one value throughout, {next(iter(here))[:40]!r}"
        return [Sign("one_value", (known.name,), what, chance, 0.9)]
    if len(old) <= 12 and share >= 0.9 and len(now) <= 2 * len(old):
        return [Sign("recoded", (known.name,), said, chance, 0.7)]
    return []


def _renamed(known: Sketch, undo: Callable[[str], str]) -> dict[str, str]:
    """The reference's categories by what is left of them; those that become one are left out."""
    names: dict[str, str] = {}
    for name in known.counts:
        names.setdefault(undo(name), name)
    return names


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


_UNDO: tuple[tuple[Callable[[str], str], str], ...] = (
    (str.strip, "white space was added or taken away"),
    (str.casefold, "the letter case is another"),
    (_letters, "spelling, space or punctuation is another"),
)


def _cut(known: Sketch, here: dict[str, int]) -> bool:
    """Whether the values begin, or are what begins, the reference's; most of them shorter."""
    old = [name for name in known.counts if len(name) > 1]
    lengths = {len(name) for name in here if name not in known.counts}
    whole = sum(here.values())
    starts = sum(
        count
        for name, count in here.items()
        if name in known.counts or any(one.startswith(name) for one in old)
    )
    return bool(starts >= 0.9 * whole and len(lengths) <= 2 and max(lengths, default=0) >= 1)


def _one_category(known: Sketch, here: dict[str, int], m: int) -> list[Sign]:
    if len(here) != 1 or len(known.counts) < 2:
        return []
    (name,) = here
    before = known.counts.get(name, 0)
    chance = more_p(m, m, before, known.rows) * len(known.counts)
    what = f"is {name[:40]!r} throughout ({before / known.rows:.0%} of trusted records)"
    return [Sign("one_value", (known.name,), what, min(1.0, chance), 0.9)]


def _permuted(known: Sketch, table: npt.NDArray[np.int64]) -> list[Sign]:
    """The same frequencies under other names: codes that were mixed up."""
    old, now = table[0, :-1], table[1, :-1]
    if len(old) < 2 or not now.sum():
        return []
    shares = old / old.sum(), now / now.sum()
    apart = float(np.abs(shares[0] - shares[1]).sum()) / 2
    ordered = np.sort(old)[::-1], np.sort(now)[::-1]
    left = float(np.abs(ordered[0] / old.sum() - ordered[1] / now.sum()).sum()) / 2
    if apart < 0.2 or left > 0.25 * apart or counts_p(*ordered) < SAME:
        return []
    chance = _most_telling(old, now)
    what = "has the usual frequencies under other names: its codes were mixed up"
    return [Sign("recoded", (known.name,), what, chance, 0.8)]


def _missing(known: Sketch, table: npt.NDArray[np.int64]) -> list[Sign]:
    """A category that no record has, while the others are as often as ever."""
    old, now = table[0, :-1], table[1, :-1]
    n, m = int(old.sum()), int(now.sum())
    gone = (now == 0) & (old / max(1, known.rows) >= _GONE)
    if not gone.any() or not m or (~gone).sum() < 1:
        return []
    chance = min(1.0, more_p(int(old[gone].sum()), n, 0, m) * len(old))
    names = [name for name, lost in zip(known.counts, gone, strict=True) if lost]
    shown = ", ".join(repr(name[:40]) for name in names[:3])
    what = f"lacks {shown}, which {old[gone].sum() / known.rows:.0%} of trusted records have"
    left = (~gone).sum() == 1 or counts_p(old[~gone], now[~gone]) >= SAME
    if left:
        return [Sign("missing_categories", (known.name,), what, chance, 0.75)]
    heir = _heir(old, now, gone)
    if heir is None:
        return []
    what += f"; {list(known.counts)[heir][:40]!r} has taken its place"
    return [Sign("recoded", (known.name,), what, chance, 0.8)]


def _heir(
    old: npt.NDArray[np.int64], now: npt.NDArray[np.int64], gone: npt.NDArray[np.bool_]
) -> int | None:
    """The category that the missing ones were counted as, if that explains all; by position."""
    grown = np.flatnonzero(~gone & (now * old.sum() > old * now.sum()))
    for place in grown.tolist():
        merged = np.where(gone, 0, old)
        merged[place] += old[gone].sum()
        if counts_p(merged[~gone], now[~gone]) >= SAME:
            return int(place)
    return None


def _most_telling(old: Sequence[int] | npt.NDArray[np.int64], now: npt.NDArray[np.int64]) -> float:
    """P-value of the category whose count tells most, both directions, Bonferroni."""
    n, m = int(np.sum(old)), int(np.sum(now))
    chances = []
    for before, after in zip(np.asarray(old).tolist(), now.tolist(), strict=True):
        chances.append(hypergeometric_tail(after, n + m, before + after, m))
        chances.append(hypergeometric_tail(before, n + m, before + after, n))
    return min(1.0, min(chances) * len(chances))
