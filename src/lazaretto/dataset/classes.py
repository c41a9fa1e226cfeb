"""How many of the rows that enter a dataset are of each class, counted while they are written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST = 1_000


@dataclass(slots=True)
class ClassCounts:
    """Counts rows by their label as they pass.

    Attributes:
        label: the label's column; None: there is none.
        counts: rows by label in text, of the last pass; None: there is no such column, its values
            have no text, or there are more than 1,000 classes.
    """

    label: str | None
    counts: Counter[str] | None = field(default=None)

    def counting(self, chunks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same chunks; counted anew."""
        found: Counter[str] | None = Counter()
        for chunk in chunks:
            found = None if found is None else self._add(found, chunk)
            yield chunk
        self.counts = found

    def _add(self, found: Counter[str], chunk: pa.RecordBatch) -> Counter[str] | None:
        if self.label is None or self.label not in chunk.schema.names:
            return None
        try:
            texts = chunk.column(self.label).cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None
        for each in pc.value_counts(texts).to_pylist():
            if each["values"] is not None:
                found[each["values"].replace("\x00", "\ufffd")[:512]] += each["counts"]
        return found if len(found) <= _MOST else None
