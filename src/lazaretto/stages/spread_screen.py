"""Screening on an engine: every stretch is scored by itself, and judged with the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.engine import SIDE_BY_SIDE_ROWS
from lazaretto.errors import ReferenceMismatchError
from lazaretto.stages.spread import cut_out
from lazaretto.storage.sidecars import read_stretch, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from lazaretto.batch import Batch, Stretch
    from lazaretto.detect.arrays import Ints
    from lazaretto.drift import Sample
    from lazaretto.engine import Engine, Output, Run
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.registry.stored import StoredReference
    from lazaretto.screen import Companion, Earlier, Screening
    from lazaretto.screen._matching import Question
    from lazaretto.stages.spread import Records
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile


@dataclass(frozen=True, slots=True)
class Loaded:
    """What every stretch needs, in one process.

    Attributes:
        store: has the vectors.
        data: opens the batch; each thread reads a file of its own.
        reference: that records are compared with.
        exclude: ids of records that are not judged.
    """

    store: Store
    data: Callable[[], Batch]
    reference: Reference
    exclude: Collection[str]


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scores records against a reference.

    Attributes:
        records: of the batch.
        policy: says how.
        reference: as it is stored.
        excluded: side-car with the ids of records that are not judged.
        vectors: made earlier; None where the batch brings them.
        sample: which records drift is measured on; None where it is not.
        seed: of what is drawn at random, of the whole batch.
    """

    records: Records
    policy: Policy
    reference: StoredReference
    excluded: StoredFile
    vectors: StoredFile | None
    sample: Sample | None
    seed: int

    def open(self, store: Store) -> Run:
        """Loads the reference on another machine; see `lazaretto.engine.Job`."""
        return self.here(self.loaded(store))

    def here(self, loaded: Loaded) -> Run:
        """Scores records in this process.

        Returns:
            Gives the tables of a piece of a screening, and of what drift is measured on.
        """
        from lazaretto.screen._score import score_piece

        def run(stretch: Stretch | None) -> Output:
            offset, rows = _bounds(stretch, self.records.rows)
            vectors = self.vectors_of(loaded.store, stretch)
            tap = None if self.sample is None else self.sample.within(offset, rows)
            piece = score_piece(
                cut_out(loaded.data(), stretch),
                loaded.reference,
                self.policy,
                exclude=loaded.exclude,
                embeddings=vectors,
                tap=tap,
                offset=offset,
                seed=self.seed,
            )
            output = {name: [table] for name, table in piece.tables().items()}
            if tap is not None:
                output["compared"] = [tap.table()]
                if vectors is not None:
                    output["compared_vectors"] = [
                        vectors.select(["embedding"]).take(pa.array(tap.positions))
                    ]
            return output

        return run

    def loaded(self, store: Store) -> Loaded:
        """Loads it on another machine.

        Raises:
            ReferenceMismatchError: the reference is another one there.
        """
        from lazaretto.reference import Reference

        files = (store.read(file) for file in self.reference.files)
        reference = Reference.from_files(*files)
        if reference.digest != self.reference.digest:
            raise ReferenceMismatchError(
                f"reference {reference.name}/{reference.version} is not the one that was saved"
            )
        excluded = read_table(store, self.excluded, columns=["record_id"])
        exclude = set(excluded["record_id"].to_pylist())
        return Loaded(store, lambda: self.records.open(store), reference, exclude)

    def vectors_of(self, store: Store, stretch: Stretch | None) -> pa.Table | None:
        """Vectors of a stretch that were made earlier; None where the batch brings them."""
        if self.vectors is None:
            return None
        if stretch is None:
            return read_table(store, self.vectors)
        return read_stretch(store, self.vectors, stretch.offset, stretch.rows)


@dataclass(frozen=True, slots=True)
class Asking:
    """Finds records for which a question holds, in a second pass over the batch.

    Attributes:
        scoring: how they were scored.
        question: what is asked of each.
    """

    scoring: Scoring
    question: Question

    def open(self, store: Store) -> Run:
        """Loads the reference on another machine; see `lazaretto.engine.Job`."""
        return self.here(self.scoring.loaded(store))

    def here(self, loaded: Loaded) -> Run:
        """Looks for them here; gives their positions among a stretch's judged records."""
        from lazaretto.screen._matching import positions_where

        def run(stretch: Stretch | None) -> Output:
            found = positions_where(
                cut_out(loaded.data(), stretch),
                loaded.reference,
                self.scoring.policy,
                self.question,
                exclude=loaded.exclude,
                embeddings=self.scoring.vectors_of(loaded.store, stretch),
            )
            return {"found": [pa.table({"position": pa.array(found)})]}

        return run


def screened(
    job: Scoring,
    engine: Engine,
    loaded: Loaded,
    companions: Sequence[Companion],
    earlier: Sequence[Earlier],
) -> tuple[Screening, pa.Table | None]:
    """Screens a batch on an engine; see `lazaretto.screen.screen`.

    Args:
        job: what is done.
        engine: where.
        loaded: in this process.
        companions: other small batches of the source.
        earlier: batches of the source that are looked at together with it, the newest first.

    Returns:
        What was found, and the vectors of those records that drift is measured on, where they are
        in a side-car. The job's sample has taken its records.
    """
    from lazaretto.screen._judge import judge
    from lazaretto.screen._piece import Piece, whole
    from lazaretto.screen._score import gathered

    before, vectors = [0], list[pa.Table]()
    reference, large = loaded.reference, job.records.rows > SIDE_BY_SIDE_ROWS

    def extents() -> list[int]:
        return loaded.data().extents()

    def pieces() -> Iterator[Piece]:
        for _, output in engine.map(job, job.here(loaded), extents, side_by_side=large):
            piece = Piece.of_tables(output)
            before.append(before[-1] + piece.judged)
            if job.sample is not None:
                job.sample.put(whole(output["compared"]))
            if "compared_vectors" in output:
                vectors.append(whole(output["compared_vectors"]))
            yield piece

    def find(question: Question) -> Ints:
        asking = Asking(job, question)
        done = engine.map(asking, asking.here(loaded), extents, side_by_side=large)
        found = [
            whole(output["found"])["position"].to_numpy() + before[0 if one is None else one.number]
            for one, output in done
        ]
        return np.concatenate(found)

    scored = gathered(pieces(), reference, job.policy, seed=job.seed)
    screening = judge(scored, reference, job.policy, find, companions, earlier)
    return screening, pa.concat_tables(vectors) if vectors else None


def _bounds(stretch: Stretch | None, rows: int) -> tuple[int, int]:
    """Position of the first record, and how many there are."""
    return (0, rows) if stretch is None else (stretch.offset, stretch.rows)
