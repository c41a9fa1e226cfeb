"""Copies across batches: what a batch leaves for later ones, and what it is compared with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import rfc8785
import sqlalchemy as sa

from lazaretto.errors import ChangedFileError
from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import BatchScreened
from lazaretto.stages.companions import screenings_of
from lazaretto.stages.fingerprints import content_columns, fingerprints
from lazaretto.stages.left_out import deleted_files, left_out_told, unusable
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_numbered, read_table, write_table
from lazaretto.values import CopiesFound, Fingerprints, PoolMember, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.batch import Batch
    from lazaretto.detect.arrays import Ints
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.reference import Reference
    from lazaretto.screen import Screening
    from lazaretto.screen._copies_groups import Looked
    from lazaretto.stages.results import Reading
    from lazaretto.storage.store import Store
    from lazaretto.values import LeftOut, StoredFile

LOOKED_AT = 10
"""For each batch that is compared so many deliveries are looked at, at most: others may be of
another dataset, or may not have been screened."""
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Before:
    """A batch of the dataset that came before one.

    Attributes:
        batch: its id.
        source: who delivered it.
        seq: ledger entry of its screening.
        prints: its fingerprints.
    """

    batch: str
    source: str
    seq: int
    prints: Fingerprints


def came_before(connection: Connection, reading: Reading, received: Received) -> list[Before]:
    """The batches to compare one with, of all sources of its dataset, the newest first.

    Of each the newest screening counts that was made under a policy that counts (see `Reading`),
    whatever became of it at the gate: whoever left out what was held would not see poison that is
    held piece by piece. A content counts once, whoever delivered it, and not at all where it is the
    batch's own. So does a batch that a later one delivers again. What retention deleted is left
    out.

    Args:
        connection: of `Catalog.read`.
        reading: of the batch and the policy.
        received: the batch.

    Raises:
        LedgerError: an entry was edited.
    """
    settings = reading.policy.screen.copies
    if settings.mode == "off":
        return []
    found: list[Before] = []
    seen, again = {received.digest}, set[str]()
    for batch, source, digest, screenings in _arrivals(connection, reading, received):
        counted = _counted(connection, screenings, reading)
        if counted is None:
            continue
        seq, event = counted
        fresh = digest not in seen and batch not in again
        seen.add(digest)
        again |= set() if event.copies is None else set(event.copies.again)
        if fresh and event.prints is not None:
            found.append(Before(batch, source, seq, event.prints))
        if len(found) == settings.batches:
            break
    deleted = deleted_files(connection, [one.batch for one in found])
    return [one for one in found if one.prints.file.path not in deleted]


def _arrivals(
    connection: Connection, reading: Reading, received: Received
) -> Iterator[tuple[str, str, str, list[int]]]:
    """Batches that may be of the dataset: id, source, digest, and entries of their screenings."""
    batch, dataset = tables.batch, reading.policy.dataset
    query = sa.select(batch.c.id, batch.c.source, batch.c.digest, batch.c.seq)
    query = query.where(sa.or_(batch.c.dataset == dataset, batch.c.dataset.is_(None)))
    until, left = received.seq, LOOKED_AT * reading.policy.screen.copies.batches
    while left > 0:
        page = query.where(batch.c.seq < until).order_by(batch.c.seq.desc())
        rows = connection.execute(page.limit(min(left, _PAGE))).all()
        screened = screenings_of(connection, [row.id for row in rows])
        for row in rows:
            if row.id in screened:
                yield row.id, row.source, row.digest, screened[row.id]
        if len(rows) < min(left, _PAGE):
            return
        until, left = rows[-1].seq, left - len(rows)


def _counted(
    connection: Connection, screenings: list[int], reading: Reading
) -> tuple[int, BatchScreened] | None:
    """The newest of a batch's screenings that counts, with its entry."""
    counted = reading.counted | {reading.ref.meaning}
    for seq in screenings:
        event = entry(connection, seq).event
        if isinstance(event, BatchScreened) and event.policy.meaning in counted:
            return seq, event
    return None


@dataclass(frozen=True, slots=True)
class Copied:
    """A screening with what its batch has in common with others.

    Attributes:
        screening: with one more test; where it is enforced, with the records that it holds.
        prints: the batch's own fingerprints.
        found: what was compared, and what it showed.
    """

    screening: Screening
    prints: Fingerprints
    found: CopiesFound


def look_for_copies(
    store: Store,
    received: Received,
    data: Batch,
    screening: Screening,
    before: list[Before],
    *,
    policy: Policy,
    reference: Reference,
    encoder: str,
    vectors: StoredFile | None,
    exclude: Collection[str],
) -> Copied:
    """Writes a batch's fingerprints, and compares them with those of other batches.

    A batch whose fingerprints are gone, or are not those on record, is left out, and is named.

    Args:
        store: has the files.
        received: the batch.
        data: its records, as they were screened.
        screening: what was found so far.
        before: the other batches, the newest first.
        policy: says what is compared, and what follows.
        reference: that the batch was screened against.
        encoder: digest of the encoder.
        vectors: made earlier; None where the batch brings them.
        exclude: ids of records that were not screened.

    Raises:
        SystemFaultError: the store cannot be used.
    """
    from lazaretto.screen._copies import find_copies
    from lazaretto.screen._prints import prints_table

    names = content_columns(data, policy)
    rows, prints = fingerprints(store, data, names, policy, reference, vectors, exclude)
    ids = screening.records["record_id"].combine_chunks().take(pa.array(rows))
    path = f"batches/{received.id}/prints-{{sha256}}.parquet"
    content = hashlib.sha256(rfc8785.dumps(names)).hexdigest()
    own = Fingerprints(write_table(store, path, prints_table(ids, prints)), content, encoder)
    looked, files, left_out = _read(store, before, own)

    def names_of(number: int, places: Ints) -> list[str]:
        found = read_numbered(store, files[number][1], places.tolist(), columns=["record_id"])
        return [str(name) for name in found["record_id"].to_pylist()]

    members = [member for member, _ in files]
    screening = screening.noted(left_out_told(left_out, "the search for copies in other batches"))
    if not looked:
        found = CopiesFound(members, left_out, 0, 0, 0, 0, [], None, [], 0, 0)
        return Copied(screening, own, found)
    seen = find_copies(prints, ids, received.source, looked, reference, policy, names_of)
    found = CopiesFound(
        looked=members,
        left_out=left_out,
        reaching=seen.reaching,
        usual=seen.usual,
        named=seen.named,
        records=len(seen.reasons),
        groups=seen.groups,
        smallest=seen.smallest,
        again=seen.again,
        exact=seen.exact,
        other_columns=sum(not one.content for one in looked),
    )
    screening = replace(screening, tests=[*screening.tests, seen.test])
    if seen.test.fired:
        screening = screening.noted(f"{seen.test.name}: {seen.test.detail}")
    elif seen.again_told is not None:
        # Else filler that is sent each time would hide copies, and nobody would know.
        screening = screening.noted(f"{seen.test.name}: {seen.again_told}")
    if policy.screen.copies.mode == "enforce":
        screening = _holding(
            screening, {int(rows[row]): said for row, said in seen.reasons.items()}
        )
    return Copied(screening, own, found)


def _holding(screening: Screening, reasons: dict[int, str]) -> Screening:
    """The screening, with these records held as well, by their place among the screened."""
    if not reasons:
        return screening
    records, places = screening.records, sorted(reasons)
    held = records["held"].to_numpy().copy()
    said = records["reasons"].to_pylist()
    held[places] = True
    for place in places:
        said[place] = [*said[place], reasons[place]]
    kind = records.schema.field("reasons").type
    for name, values in (("held", pa.array(held)), ("reasons", pa.array(said, kind))):
        records = records.set_column(records.schema.get_field_index(name), name, values)
    verdict = screening.verdict
    return replace(
        screening,
        records=records,
        n_held=int(held.sum()),
        verdict=Verdict.HOLD_RECORDS if verdict is Verdict.PASS else verdict,
    )


def _read(
    store: Store, before: list[Before], own: Fingerprints
) -> tuple[list[Looked], list[tuple[PoolMember, StoredFile]], list[LeftOut]]:
    """The fingerprints that can be compared, each file checked while it is read."""
    from lazaretto.screen._copies_groups import Looked
    from lazaretto.screen._prints import NUMBERS, Prints

    looked: list[Looked] = []
    files: list[tuple[PoolMember, StoredFile]] = []
    left_out: list[LeftOut] = []
    for one in before:
        file, content = one.prints.file, one.prints.content == own.content
        near = one.prints.encoder == own.encoder
        if not content and not near:
            continue
        try:
            prints = Prints.of_table(read_table(store, file, columns=NUMBERS))
        except ChangedFileError as error:
            left_out.append(unusable(store, one.batch, one.seq, file, "fingerprints", error))
            continue
        looked.append(Looked(one.batch, one.source, prints, content, near))
        files.append((PoolMember(one.batch, one.seq, file.sha256), file))
    return looked, files, left_out
