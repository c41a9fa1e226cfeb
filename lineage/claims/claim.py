"""What one event, or one entry of the ledger, says of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from lazaretto.lineage.claims.bits import State


@dataclass(frozen=True, slots=True)
class Used:
    """An input or output of a run, as one event names it.

    Attributes:
        namespace: OpenLineage namespace, as it is written.
        name: OpenLineage name, as it is written.
        version: that the event names; None: it names none.
        parts: partitions that it names; of a batch dataset, batches.
        kind: what the event says that it is, bits of `Kind`; 0: nothing.
        mode: how it was written, bits of `Mode`.
        role: how it was used; a leading ``~``: only to measure.
        symlinks: other names of the same, as they are written.
        renamed_from: name that it had, as it is written.
        source: source of a batch.
        t_from: start of the interval in which a batch was collected, as the event says.
        t_to: its end.
        received_at: when the event says that it arrived.
        digest: sha256 (hex) of its content, as the event says.
        rows: number of records.
    """

    namespace: str
    name: str
    version: str | None = None
    parts: tuple[str, ...] = ()
    kind: int = 0
    mode: int = 0
    role: str = "TRAIN"
    symlinks: tuple[tuple[str, str], ...] = ()
    renamed_from: tuple[str, str] | None = None
    source: str | None = None
    t_from: datetime | None = None
    t_to: datetime | None = None
    received_at: datetime | None = None
    digest: str | None = None
    rows: int | None = None

    @property
    def size(self) -> int:
        """How many versions it names."""
        return 1 + len(self.parts) + len(self.symlinks)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one event, or one entry of the ledger, says of a run.

    Attributes:
        run: OpenLineage run id.
        state: of the event.
        at: when, as the event says.
        namespace: of the job.
        job: its name.
        producer: who made the event.
        purpose: of a training run.
        inputs: what it read.
        outputs: what it wrote.
    """

    run: str
    state: State
    at: datetime
    namespace: str
    job: str
    producer: str
    purpose: str
    inputs: tuple[Used, ...] = ()
    outputs: tuple[Used, ...] = ()

    @property
    def size(self) -> int:
        """How many versions it names."""
        return sum(used.size for used in (*self.inputs, *self.outputs))

    @property
    def measures(self) -> bool:
        """Whether the run only measured."""
        return self.purpose == "EVAL"
