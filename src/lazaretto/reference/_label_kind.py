"""What kind of label a column holds: classes, or something that must be screened otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from lazaretto.batch._columns import MOST_LABELS
from lazaretto.errors import UsageError
from lazaretto.text import cut

if TYPE_CHECKING:
    import pyarrow as pa

DISTINCT = 0.5
"""With more different values than this share of the rows, a column holds no classes."""
FEWEST_ROWS = 30
SINGLE_SETS = 0.2
"""So many rows may have a set of labels that no other row has."""
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_LONG = 40


def require_classes(texts: pa.Array, name: str) -> None:
    """Refuses a label column that holds no classes, and says what to do instead.

    Args:
        texts: labels as text, without nulls.
        name: of the column.

    Raises:
        UsageError: it is a regression target, a text or sequence, or sets of labels that hardly
            repeat.
    """
    rows = len(texts)
    if rows < FEWEST_ROWS:
        return
    counts = pc.value_counts(texts)
    different = len(counts)
    sets = pc.mean(pc.match_substring(texts, "|")).as_py() or 0.0
    single = pc.sum(pc.equal(counts.field("counts"), 1)).as_py() or 0
    told = f"columns.label: {name!r} has {different:,} different values among {rows:,} trusted rows"
    lists = pc.max(pc.count_substring(texts, "|")).as_py() or 0
    if sets and lists >= MOST_LABELS - 1:
        raise UsageError(
            f"{told}, some with {lists + 1} or more parts: that is a sequence, not a set of "
            "labels. Leave columns.label out, and screen what the record is by its vector"
        )
    if sets > DISTINCT and single > SINGLE_SETS * rows:
        raise UsageError(
            f"{told}: sets of labels are classes of their own, and {single / rows:.0%} of the rows "
            "have one that no other row has. Name a column with one label, or leave columns.label "
            "out"
        )
    if different <= DISTINCT * rows:
        return
    if pc.all(pc.match_substring_regex(texts, _NUMBER)).as_py():
        raise UsageError(
            f"{told}, all of them numbers: that is a regression target, not a class. Leave "
            "columns.label out, and write screen.detectors: "
            f"{{knn_target: {{column: {cut(name, 80)}}}}}"
        )
    long = (pc.mean(pc.utf8_length(texts)).as_py() or 0) > _LONG
    what = "that is text, not a class" if long else "that is a key or a text, not a class"
    raise UsageError(
        f"{told}: {what}. Leave columns.label out; for prompts and responses see the policy's "
        "columns.prompt"
    )
