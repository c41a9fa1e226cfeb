"""Held records: whole rows with every reason, a file per case. Long: written, drawn, indexed."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch import records
from lazaretto.errors import SystemFaultError
from lazaretto.storage.sidecars import keyed_chunks, read_chunks, write_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from lazaretto.batch import Batch
    from lazaretto.policy import Columns
    from lazaretto.storage.flags import Flags
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

POSITION = "_lazaretto_position"
RECORD = "_lazaretto_record"
LABEL = "_lazaretto_label"
SCORE = "_lazaretto_score"
P_VALUE = "_lazaretto_p_value"
REASON = "_lazaretto_reason"
REASONS = "_lazaretto_reasons"
FLAGS = "_lazaretto_flags"
"""Only where the batch has flags."""
_WITH_ITS_BATCH = "batch"
_DRAWN = ("sample", "drawn at random for review: nothing speaks against it")
_GROUP = 2**20
"""Bytes of a row group of a case's file, about: of what a page of records reads at least."""
_GROUP_COLUMN = 2**16
"""The same for each of its columns."""

_ADDED = [
    (POSITION, pa.int64()),
    (RECORD, pa.string()),
    (LABEL, pa.string()),
    (SCORE, pa.float64()),
    (P_VALUE, pa.float64()),
    (REASON, pa.string()),
    (REASONS, pa.list_(pa.string())),
]
_Reason = tuple[str, str]
# Columns of `tables.held_record`, in the order of INDEX_COLUMNS behind the case.
INDEXED = ("case_id", "position", "record_id", "label", "score", "p_value", "reason")
_COPIES = "copies_elsewhere"
"""Names records that no detector need find odd, so that none of them should sign for it."""
ADDED_NAMES = frozenset([*(name for name, _ in _ADDED), FLAGS])
INDEX_COLUMNS = [name for name, _ in _ADDED if name != REASONS]
_INDEX = pa.schema(
    [
        (name, kind)
        for name, (_, kind) in zip(INDEXED[1:], _ADDED, strict=False)  # REASONS is not indexed
    ]
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Records that nothing speaks against, drawn at random for people to look at.

    Attributes:
        lot: text that decides which; the same lot draws the same records.
        share: of the records, each for itself.
    """

    lot: str
    share: float

    def draws(self) -> Callable[[int], NDArray[np.bool_]]:
        """What draws from the next so many records, from the batch's first on."""
        # The raw numbers of a bit generator are the same in every version of NumPy.
        source = np.random.PCG64(int(hashlib.sha256(self.lot.encode()).hexdigest(), 16))
        limit = min(int(self.share * 2**64), 2**64 - 1)
        return lambda rows: np.atleast_1d(source.random_raw(rows)) <= np.uint64(limit)


@dataclass(frozen=True, slots=True)
class HoldReasons:
    """Why records are held.

    Attributes:
        failures: of the contract: ``record_id``, ``position``, ``rule``, ``text``.
        scores: of the screening, one row per record that the contract did not fail, in the batch's
            order: ``record_id``, ``score``, ``p_value``, ``held``, ``reasons``, ``rank_*``; None
            when it was not screened.
        whole: why the whole batch is held, in words; empty when only records are.
        sample: what is drawn for people beside; None: nothing is.
        flags: of the contract's rules that only warn; None where there are none.
    """

    failures: pa.Table
    scores: pa.Table | None
    whole: list[str]
    sample: Sample | None = None
    flags: Flags | None = None


@dataclass(slots=True)
class Held:
    """What was written.

    Attributes:
        file: with the held rows; None while nothing is held.
        rows: held records.
        reasons: records by the signature of their first reason: ``contract:<rule>``,
            ``screen:<detector>``, ``batch`` (nothing against the record but its company), or
            ``sample`` (nothing against it: it was drawn for people).
        examples: the words of the first record of each signature.
    """

    file: StoredFile | None = None
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)


def write_held(
    store: Store, path: str, batch: Batch, columns: Columns, hold_reasons: HoldReasons
) -> Held:
    """Writes every held row of a batch, as delivered, with position, id, score and all reasons.

    Memory holds the reasons and one chunk. When no record is held, nothing is written.

    Raises:
        SystemFaultError: the store cannot be written, or scores and batch do not belong together.
    """
    held = Held()
    schema = batch.schema
    for name, kind in _ADDED:
        schema = schema.append(pa.field(name, kind))
    if hold_reasons.flags is not None:
        schema = schema.append(pa.field(FLAGS, pa.list_(pa.string())))
    chunks = _held_chunks(batch, columns, hold_reasons, held)
    first = next(chunks, None)
    if first is None:
        return held
    held.file = write_held_rows(store, path, schema, _chain(first, chunks))
    return held


def write_held_rows(
    store: Store, path: str, schema: pa.Schema, chunks: Iterable[pa.RecordBatch]
) -> StoredFile:
    """Writes the file of a case, so that a page of its records is read without the others.

    Args:
        store: where to.
        path: see `write_parquet`.
        schema: of the delivery, with the columns that are added to held records.
        chunks: the records in order of position.

    Raises:
        SystemFaultError: the store cannot be written.
    """
    return write_parquet(store, path, schema, _in_groups(chunks), bounds=[POSITION])


def _in_groups(chunks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for chunk in chunks:
        # A row group describes each column: of many columns it must be larger to be worth that.
        size = max(_GROUP, _GROUP_COLUMN * chunk.num_columns)
        rows = max(1, chunk.num_rows * size // max(1, chunk.nbytes))
        for start in range(0, chunk.num_rows, rows):
            yield chunk.slice(start, rows)


def index_chunks(
    store: Store, file: StoredFile, positions: pa.Array | None = None
) -> Iterator[pa.RecordBatch]:
    """What a case's file says for the index: its records in the columns of `INDEXED`.

    Args:
        store: where it is.
        file: as it is on record.
        positions: only these records, ascending int64; None for all.

    Returns:
        Chunks in order of position, with no NaN, which not every database can keep.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    if positions is None:
        chunks = read_chunks(store, file, columns=INDEX_COLUMNS)
    else:
        chunks = keyed_chunks(store, file, POSITION, positions, columns=INDEX_COLUMNS)
    for chunk in chunks:
        columns = [_without_nan(chunk.column(name)) for name in INDEX_COLUMNS]
        yield pa.RecordBatch.from_arrays(columns, schema=_INDEX)


def _without_nan(column: pa.Array) -> pa.Array:
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def count_held(batch: Batch, columns: Columns, hold_reasons: HoldReasons) -> Held:
    """What `write_held` would write, counted; the store is left as it is.

    Raises:
        SystemFaultError: scores and batch do not belong together.
    """
    held = Held()
    for _ in _held_chunks(batch, columns, hold_reasons, held):
        pass
    return held


def indexed_labels(chunk: pa.RecordBatch, columns: Columns) -> pa.Array:
    """Labels as text for the index; null where there are none or they have no text form."""
    name = columns.label
    if name is None or name not in chunk.schema.names:
        return pa.nulls(chunk.num_rows, pa.string())
    try:
        texts = chunk.column(name).cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(chunk.num_rows, pa.string())
    # PostgreSQL has no text with NUL in it.
    return pc.utf8_slice_codeunits(pc.replace_substring(texts, "\x00", "\ufffd"), 0, 512)


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


def _held_chunks(
    batch: Batch, columns: Columns, hold_reasons: HoldReasons, held: Held
) -> Iterator[pa.RecordBatch]:
    against = _by_record(hold_reasons.failures)
    failing_ids = pa.array(list(against), pa.string())
    offset = screened = 0
    # Of a batch that is held as a whole, people see every record anyway.
    sample = None if hold_reasons.whole else hold_reasons.sample
    draw = None if sample is None else sample.draws()
    for ids, chunk in records(batch, columns):
        failing = pc.is_in(ids, failing_ids).to_numpy(zero_copy_only=False)
        reasons = {
            row: _contract_reasons(against[ids[row].as_py()], offset + row)
            for row in np.flatnonzero(failing).tolist()
        }
        score, p_value = np.full((2, chunk.num_rows), np.nan)
        if hold_reasons.scores is not None:
            clear = np.flatnonzero(~failing)
            part = hold_reasons.scores.slice(screened, len(clear))
            screened += len(clear)
            if not part["record_id"].combine_chunks().equals(ids.take(pa.array(clear))):
                raise SystemFaultError(f"the scores do not belong to {batch.name}: screen it again")
            score[clear], p_value[clear] = part["score"].to_numpy(), part["p_value"].to_numpy()
            suspect = np.flatnonzero(part["held"].to_numpy())
            judged = part.take(pa.array(suspect)).to_pylist()
            for row, found in zip(clear[suspect].tolist(), judged, strict=True):
                reasons[row] = _screen_reasons(found)
        for row in [] if draw is None else np.flatnonzero(draw(chunk.num_rows)).tolist():
            reasons.setdefault(row, [_DRAWN])
        chosen = range(chunk.num_rows) if hold_reasons.whole else sorted(reasons)
        if chosen:
            rows = pa.array(chosen, pa.int64())
            flags = (
                None
                if hold_reasons.flags is None
                else hold_reasons.flags.of(rows.to_numpy() + offset)
            )
            why = _reasons(chosen, reasons, hold_reasons.whole, held, flags)
            added = [
                pc.add(rows, offset),
                ids.take(rows),
                indexed_labels(chunk, columns).take(rows),
                pa.array(score, from_pandas=True).take(rows),
                pa.array(p_value, from_pandas=True).take(rows),
                *why,
            ]
            names = [*chunk.schema.names, *(name for name, _ in _ADDED)]
            if flags is not None:
                added.append(flags)
                names.append(FLAGS)
            yield pa.RecordBatch.from_arrays([*chunk.take(rows).columns, *added], names=names)
        offset += chunk.num_rows


def _reasons(
    chosen: Sequence[int],
    reasons: dict[int, list[_Reason]],
    whole: list[str],
    held: Held,
    flags: pa.Array | None,
) -> tuple[pa.Array, pa.Array]:
    """First signature and all texts of the chosen rows; counts them."""
    company = [(_WITH_ITS_BATCH, text) for text in whole]
    all_of = [reasons.get(row, []) + company for row in chosen]
    first = [found[0][0] for found in all_of]
    held.rows += len(first)
    held.reasons.update(first)
    for found in all_of:
        held.examples.setdefault(*found[0])
    texts = [[text for _, text in found] for found in all_of]
    if flags is not None:
        for told, flagged in zip(texts, flags.to_pylist(), strict=True):
            told += [f"{rule}: only a warning" for rule in flagged or ()]
    return pa.array(first, pa.string()), pa.array(texts, pa.list_(pa.string()))


def _by_record(failures: pa.Table) -> dict[str, dict[int, list[_Reason]]]:
    """Contract reasons by record id and position; a duplicate id has several positions."""
    found: dict[str, dict[int, list[_Reason]]] = {}
    for row in failures.select(["record_id", "position", "rule", "text"]).to_pylist():
        reason = (f"contract:{row['rule']}", f"{row['rule']}: {row['text']}")
        found.setdefault(row["record_id"], {}).setdefault(row["position"], []).append(reason)
    return found


def _contract_reasons(found: dict[int, list[_Reason]], position: int) -> list[_Reason]:
    """The record's own reasons; of a record that only shares the id of a failing one, those."""
    return list(found.get(position) or next(iter(found.values())))


def _screen_reasons(score: dict[str, Any]) -> list[_Reason]:
    """Reasons in the detectors' words, signed by the detector that speaks first or ranks first."""
    ranks = {
        name.removeprefix("rank_"): value
        for name, value in score.items()
        if name.startswith("rank_") and value is not None
    }
    worst = max(ranks, key=lambda name: ranks[name]) if ranks else "unscored"
    texts = score["reasons"] or [f"{worst}: p = {score['p_value']}"]
    said_by = texts[0].partition(":")[0]
    worst = said_by if said_by in ranks or said_by == _COPIES else worst
    return [(f"screen:{worst}", text) for text in texts]
