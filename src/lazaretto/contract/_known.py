"""What is known beside a batch: handed in by who has a catalog, so that contracts need none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Asks:
    """What the rules of a contract ask for beside the batch.

    Attributes:
        listed: columns of admitted datasets, by dataset and column.
        across: whether what the dataset has counts.
        batches: of so many of the source's last batches the number of records.
    """

    listed: tuple[tuple[str, str], ...] = ()
    across: bool = False
    batches: int = 0


def _nothing(_columns: Sequence[str]) -> Iterable[pa.RecordBatch]:
    return ()


@dataclass(frozen=True, slots=True)
class Known:
    """What rules may compare a batch with.

    Attributes:
        arrived: when the batch was received, UTC.
        volumes: records of the source's last admitted batches, the newest first.
        listed: values of columns of admitted datasets, by dataset and column; or in words why they
            are not known.
        admitted: gives columns of what the dataset has of other batches.
        without_catalog: there is no catalog: rules that ask for more than the time of arrival are
            not judged.
    """

    arrived: datetime
    volumes: Sequence[int] = ()
    listed: Mapping[tuple[str, str], pa.Array | str] = field(default_factory=dict)
    admitted: Callable[[Sequence[str]], Iterable[pa.RecordBatch]] = _nothing
    without_catalog: bool = False
