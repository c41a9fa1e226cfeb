"""Where a drill's copies are judged: a trial workspace of its own for each, gone afterwards."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.errors import DeliveryError, UsageError
from lazaretto.folders import working_folder
from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import BatchJudged
from lazaretto.sources.keys import keygen
from lazaretto.sources.manifest import sign_manifest
from lazaretto.sources.registry import add_key
from lazaretto.stages.embed import embed
from lazaretto.stages.gate import gate
from lazaretto.stages.policy_replay import seed as seed_trial
from lazaretto.stages.receive import receive_ours
from lazaretto.stages.replayed import FAILED, REFUSED, HeldRecords
from lazaretto.stages.screen import screen
from lazaretto.stages.validate import validate
from lazaretto.storage.trial import trial_workspace
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from lazaretto.drill.attacks.base import Copy
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace

    Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Dose:
    """One dose of one attack, and what the gate made of it.

    Attributes:
        dose: share of the copy that was to be poisoned.
        rows: of the copy.
        poisoned: records that were.
        held: of those, the ones that the gate held.
        clean_held: other records that it held.
        verdict: of the gate; the last one where there were several batches.
        reasons: held records by the signature of their first reason.
        seconds: that it took.
        screening: seconds of the screening alone.
        judging: seconds of all stages, from receiving to the verdict, the screening among them.
    """

    dose: float
    rows: int
    poisoned: int
    held: int
    clean_held: int
    verdict: str
    reasons: dict[str, int]
    seconds: float
    screening: float
    judging: float

    @property
    def recall(self) -> float:
        """Share of the poison that was held."""
        return self.held / self.poisoned if self.poisoned else 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where copies are judged: a trial workspace of its own for each.

    Attributes:
        real: the workspace that is only read.
        policy: that judges.
        source: as which a copy is delivered.
        like: a trial workspace that knows sources and references and nothing else; each copy is
            judged in one that begins like it.
        private_key: PEM, of a key that the source has there alone.
    """

    real: Workspace
    policy: Policy
    source: str
    like: Workspace
    private_key: bytes

    def judge(self, copy: Copy, chosen: Mask, batches: int, dose: float) -> Dose:
        """Delivers a copy, in one batch or in several, and counts what the gate holds of it."""
        began, screening, judging = time.perf_counter(), 0.0, 0.0
        held = np.zeros(len(chosen), bool)
        reasons: dict[str, int] = {}
        verdict = ""
        shared = self.policy.engine_options.name != "local"
        with (
            trial_workspace(self.real, like=self.like, shared=shared) as trial,
            working_folder() as folder,
        ):
            for part in np.array_split(np.arange(len(chosen)), batches):
                rows = copy.rows.take(pa.array(part))
                path = folder / f"{part[0]}.arrow"
                with pa.ipc.new_file(path, rows.schema) as writer:
                    writer.write_table(rows)
                envelope, now = self._signed(path), time.perf_counter()
                verdict, positions, told, seconds = self._deliver(trial, path, envelope, rows)
                judging += time.perf_counter() - now
                screening += seconds
                held[part[positions]] = True
                for reason, count in told.items():
                    reasons[reason] = reasons.get(reason, 0) + count
        return Dose(
            dose=dose,
            rows=len(chosen),
            poisoned=int(chosen.sum()),
            held=int((held & chosen).sum()),
            clean_held=int((held & ~chosen).sum()),
            verdict=verdict,
            reasons=reasons,
            seconds=round(time.perf_counter() - began, 3),
            screening=round(screening, 3),
            judging=round(judging, 3),
        )

    def _deliver(
        self, trial: Workspace, path: Path, envelope: bytes, rows: pa.Table
    ) -> tuple[str, npt.NDArray[np.int64], dict[str, int], float]:
        """Verdict, held positions, their reasons, and the seconds of the screening."""
        everything = np.arange(rows.num_rows)
        try:
            batch = receive_ours(trial, path, self.source, self.policy, envelope=envelope).id
        except DeliveryError as error:
            return REFUSED, everything, {error.code: rows.num_rows}, 0.0
        try:
            validate(trial, batch, self.policy)
            embed(trial, batch, self.policy)
            began = time.perf_counter()
            screen(trial, batch, self.policy)
            seconds = time.perf_counter() - began
            judgement = gate(trial, batch, self.policy)
        except UsageError as error:
            return FAILED, everything, {excerpt(error, 300): rows.num_rows}, 0.0
        with trial.catalog.read() as connection:
            event = entry(connection, judgement.seq).event
        assert isinstance(event, BatchJudged)  # noqa: S101  the policy is in force there
        if event.verdict.holds_batch:
            return event.verdict.value, everything, dict(event.reasons), seconds
        found = HeldRecords.read(trial.store, event.held_records)
        return event.verdict.value, found.positions, dict(event.reasons), seconds

    def _signed(self, path: Path) -> bytes:
        """A manifest by the key that the source has there alone."""
        now = datetime.now(UTC)
        return sign_manifest(
            path,
            source=self.source,
            private_key=self.private_key,
            collected_from=now - timedelta(hours=1),
            collected_to=now - timedelta(minutes=1),
        )


@contextmanager
def open_place(real: Workspace, policy: Policy, source: str) -> Iterator[Place]:
    """Makes a place, and removes all of it at the end.

    Args:
        real: the workspace that is only read.
        policy: that judges.
        source: as which copies are delivered.
    """
    private, public = keygen()
    with trial_workspace(real) as like:
        seed_trial(real, like)
        begin = datetime.now(UTC) - timedelta(days=1)
        add_key(like, source, public, valid_from=begin, valid_to=None)
        yield Place(real, policy, source, like, private)
