"""An earlier batch of a source: its odd records are looked at with those of a new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier batch of the same source, screened against the same reference.

    Attributes:
        batch: its id.
        suspects: its odd records, as `Screening.suspects` has them.
    """

    batch: str
    suspects: pa.Table
