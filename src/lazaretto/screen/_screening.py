"""Screens a batch against a reference: scores, p-values, held records, batch tests, one verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from lazaretto.batch import Batch
    from lazaretto.embed.reader import Tap
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._earlier import Earlier
    from lazaretto.screen._matching import Question
    from lazaretto.screen._pool import Companion
    from lazaretto.screen._result import Screening


def screen(
    batch: Batch | pa.Table | str | Path,
    reference: Reference,
    policy: Policy,
    *,
    exclude: Collection[str] = (),
    embeddings: pa.Table | None = None,
    companions: Sequence[Companion] = (),
    earlier: Sequence[Earlier] = (),
    tap: Tap | None = None,
    digest: str | None = None,
) -> Screening:
    """Screens a batch.

    Memory is bounded by the chunk size, apart from the result's own row per record.

    Args:
        batch: the records.
        reference: fitted with this policy's columns, encoder and detectors.
        policy: says at which rate, which detectors hold, and when the whole batch is held.
        exclude: ids of records that the contract holds already; they are not judged.
        embeddings: vectors made earlier (columns ``record_id``, ``embedding``), for another encoder
            than ``column``.
        companions: other small batches of the same source, screened against this reference under
            this policy, the nearest first: a batch that is too small is judged with them.
        earlier: batches of the same source before it, screened against this reference, that are
            looked at together with it (`lazaretto.stats.looks.look_back` says how many), the
            newest first.
        tap: gets every chunk as well, those of excluded records included.
        digest: of the batch, where it is known. What is drawn at random follows from it.

    Raises:
        DeliveryError: no rows, or the file cannot be read.
        ReferenceMismatchError: batch or policy does not fit the reference; it says in what.

    Examples:
        >>> from lazaretto.reference import Reference
        >>> reference = Reference.fit("trusted.parquet", policy, name="reviews")
        >>> screen("monday.parquet", reference, policy).verdict.name
        'PASS'
        >>> result = screen("tuesday.parquet", reference, policy)  # six labels are wrong
        >>> result.verdict.name, sum(result.records["held"].to_pylist())
        ('HOLD_RECORDS', 6)
    """
    from lazaretto.batch import table_digest
    from lazaretto.embed.reader import opened
    from lazaretto.screen._judge import judge
    from lazaretto.screen._matching import positions_where
    from lazaretto.screen._score import score_batch
    from lazaretto.screen._seed import seed_of

    batch = opened(batch, policy.columns, policy.read.options())
    if digest is None:
        digest = table_digest(batch) if isinstance(batch, pa.Table) else batch.digest()
    scored = score_batch(
        batch,
        reference,
        policy,
        seed=seed_of(digest, reference.digest),
        exclude=exclude,
        embeddings=embeddings,
        tap=tap,
    )

    def find(question: Question) -> npt.NDArray[np.int64]:
        return positions_where(
            batch, reference, policy, question, exclude=exclude, embeddings=embeddings
        )

    return judge(scored, reference, policy, find, companions, earlier)
