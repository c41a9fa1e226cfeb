"""The index of a dataset's records: whether an earlier one has the same, or nearly the same, text.

It follows from the dataset's data files: each file of the newest version is in it, and no other. So
what is recalled or lost leaves it, and whoever needs it brings it up to date first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import rfc8785
import sqlalchemy as sa

from lazaretto.cleaning import BANDS, Plan, contents
from lazaretto.dataset.commit import ATTEMPTS
from lazaretto.dataset.delta import ADDED, RECORD
from lazaretto.dataset.files import read_rows
from lazaretto.dataset.history import find_newest, version_files
from lazaretto.dataset.index_moves import compacted_since, moved
from lazaretto.errors import SystemFaultError
from lazaretto.storage import tables
from lazaretto.storage.bulk import bulk_insert, insert_new
from lazaretto.storage.sidecars import read_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection

    from lazaretto.policy import Cleaning, Policy
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile

_index, _file = tables.record_index, tables.indexed_file
_record, _band = tables.indexed_record, tables.indexed_band
_AT_ONCE = 20_000
_KEPT = 2
"""Indexes of a dataset: that of the policy in force, and one of a policy that is tried out."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """An index that is up to date.

    Attributes:
        id: of it.
        version: of the dataset, whose records it has.
        left_out: older records that it does not have.
    """

    id: int
    version: int
    left_out: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is put into the index for one data file."""

    ids: pa.Array
    keys: NDArray[np.int64] | None
    sketches: NDArray[np.uint8] | None
    bands: NDArray[np.int64] | None


def compares(cleaning: Cleaning | None) -> bool:
    """Whether a policy compares records with those of earlier batches."""
    rules = () if cleaning is None else (cleaning.exact_duplicates, cleaning.near_duplicates)
    return any(rule.action != "off" and rule.across for rule in rules)


def scheme_of(policy: Policy) -> str:
    """sha256 (hex) of what of a record a policy compares: another scheme is another index."""
    cleaning = policy.cleaning
    assert cleaning is not None  # noqa: S101  `compares` was asked
    exact, near = cleaning.exact_duplicates, cleaning.near_duplicates
    said = {
        "form": 1,
        "id": policy.columns.record_id,
        "exact": None if exact.action == "off" else [exact.compare, sorted(exact.columns)],
        "near": None if near.action == "off" else list(near.columns),
        "most": cleaning.index_records,
    }
    return hashlib.sha256(rfc8785.dumps(said)).hexdigest()


def catch_up(workspace: Workspace, policy: Policy) -> Indexed | None:
    """Brings the index of a policy's dataset up to its newest version.

    Args:
        workspace: catalog and store.
        policy: that compares records with earlier ones.

    Returns:
        None while nothing was admitted.

    Raises:
        ChangedFileError: a data file is gone, or its bytes are others.
        ChangedStateError: the catalog does not say what the ledger says.
        SystemFaultError: catalog or store cannot be used.

    Examples:
        >>> from lazaretto.policy import Cleaning
        >>> indexed = catch_up(workspace, policy.model_copy(update={"cleaning": Cleaning()}))
        >>> indexed.left_out
        0
    """
    scheme, dataset = scheme_of(policy), policy.dataset
    for _ in range(ATTEMPTS):
        with workspace.catalog.read() as connection:
            newest = find_newest(connection, dataset)
            if newest is None:
                return None
            version = newest.event.version
            done = _find(connection, dataset, scheme)
            if done is not None and done.version == version:
                return done
            files = version_files(connection, dataset, version)
            since = _since(connection, dataset)
            before = 0 if done is None else done.version
            compacted = compacted_since(connection, dataset, before, version)
        with workspace.catalog.transaction() as connection:
            identity = _begin(connection, dataset, scheme)
        wanted, left_out = _bounded(files, since, policy)
        for file in _missing(workspace, identity, wanted, since, compacted):
            rows = _rows(workspace, file, policy)
            with workspace.catalog.transaction() as connection:
                _add(connection, identity, file, since[file.batch, file.part], rows)
        with workspace.catalog.transaction() as connection:
            if _settle(connection, identity, wanted, version, left_out):
                return Indexed(identity, version, left_out)
    raise SystemFaultError(f"dataset {dataset!r} changed {ATTEMPTS} times while it was indexed")


def _find(connection: Connection, dataset: str, scheme: str) -> Indexed | None:
    query = sa.select(_index).where(_index.c.dataset == dataset, _index.c.scheme == scheme)
    row = connection.execute(query).one_or_none()
    return None if row is None else Indexed(row.id, row.version, row.left_out)


def _begin(connection: Connection, dataset: str, scheme: str) -> int:
    """The index's id; a new one takes the place of the oldest."""
    found = _find(connection, dataset, scheme)
    if found is not None:
        return found.id
    query = sa.select(_index.c.id).where(_index.c.dataset == dataset).order_by(_index.c.id.desc())
    for old in list(connection.scalars(query))[_KEPT - 1 :]:
        _remove(
            connection, list(connection.scalars(sa.select(_file.c.id).where(_file.c.index == old)))
        )
        connection.execute(_index.delete().where(_index.c.id == old))
    values = {"dataset": dataset, "scheme": scheme, "version": -1, "left_out": 0}
    return _inserted(connection, _index, values)


def _since(connection: Connection, dataset: str) -> dict[tuple[str, str], int]:
    """The version that admitted each part of each batch first."""
    table = tables.admission
    query = (
        sa.select(table.c.batch, table.c.part, sa.func.min(table.c.version).label("version"))
        .where(table.c.dataset == dataset)
        .group_by(table.c.batch, table.c.part)
    )
    return {(row.batch, row.part): row.version for row in connection.execute(query)}


def _bounded(
    files: Sequence[DataFile], since: Mapping[tuple[str, str], int], policy: Policy
) -> tuple[list[DataFile], int]:
    """The newest files within the index's bound, oldest first; and how many records are older."""
    most = 0 if policy.cleaning is None else policy.cleaning.index_records
    kept, records, left_out = [], 0, 0
    for file in sorted(files, key=lambda f: (since[f.batch, f.part], f.key), reverse=True):
        records += file.rows
        if records <= most:
            kept.append(file)
        else:
            left_out += file.rows
    return kept[::-1], left_out


def _missing(
    workspace: Workspace,
    identity: int,
    wanted: Sequence[DataFile],
    since: Mapping[tuple[str, str], int],
    compacted: Collection[str],
) -> list[DataFile]:
    """Files that the index does not have; those that it should not have are taken out."""
    with workspace.catalog.transaction() as connection:
        query = sa.select(_file).where(_file.c.index == identity)
        there = {row.path: row for row in connection.execute(query)}
        paths = {file.key for file in wanted}
        gone = [row for path, row in there.items() if path not in paths]
        new = [file for file in wanted if file.key not in there]
        named = moved(gone, new, since, compacted)
        _remove(connection, [row.id for row in gone if row.id not in named])
        for number, path in named.items():
            connection.execute(_file.update().where(_file.c.id == number).values(path=path))
    return [file for file in new if file.key not in set(named.values())]


def _rows(workspace: Workspace, file: DataFile, policy: Policy) -> _Rows:
    added = {column.name for column in ADDED}
    schema = read_schema(workspace.store, file.file)
    delivered = pa.schema([f for f in schema if f.name not in added])
    assert policy.cleaning is not None  # noqa: S101  `compares` was asked
    plan = Plan.of(delivered, policy.columns, policy.cleaning)
    names = list(dict.fromkeys([*plan.content, *plan.near]))
    ids, keys, parts = [], [], []
    for chunk in read_rows(workspace.store, [file], columns=[RECORD, *names]):
        key, sketch = contents(chunk, plan)
        ids.append(chunk.column(RECORD))
        keys += [] if key is None else [key]
        parts += [] if sketch is None else [sketch]
    bands = [np.where(part.there[:, None], part.bands, 0) for part in parts]
    return _Rows(
        pa.concat_arrays(ids) if ids else pa.array([], pa.string()),
        np.concatenate(keys) if keys else None,
        np.concatenate([part.bytes for part in parts]) if parts else None,
        np.concatenate(bands) if bands else None,
    )


def _add(connection: Connection, identity: int, file: DataFile, since: int, rows: _Rows) -> None:
    """Puts a file's records into the index, unless another process did."""
    path = file.key
    taken = sa.select(_file.c.id).where(_file.c.index == identity, _file.c.path == path)
    gone = connection.scalar(sa.select(_index.c.id).where(_index.c.id == identity)) is None
    if gone or connection.scalar(taken) is not None:
        return
    values = {"index": identity, "path": path, "batch": file.batch, "since": since}
    number = _inserted(connection, _file, values | {"records": len(rows.ids)})
    columns = ("file", "number", "high", "low", "record", "sketch")
    bulk_insert(connection, _record, columns, _of_records(number, rows))
    if rows.bands is not None:
        insert_new(
            connection,
            _band,
            ("index", "band", "file", "number"),
            _of_bands(identity, number, rows.bands),
        )


def _inserted(connection: Connection, table: sa.Table, values: dict[str, Any]) -> int:
    """Id of a new row."""
    query = table.insert().values(values).returning(table.c.id)
    return int(connection.execute(query).scalar_one())


def _of_records(file: int, rows: _Rows) -> Iterator[tuple[object, ...]]:
    for start in range(0, len(rows.ids), _AT_ONCE):
        ids = rows.ids.slice(start, _AT_ONCE).to_pylist()
        part = slice(start, start + len(ids))
        keys: Any = [(None, None)] * len(ids) if rows.keys is None else rows.keys[part].tolist()
        for at, (record, (high, low)) in enumerate(zip(ids, keys, strict=True), start):
            there = rows.bands is not None and rows.bands[at].any()
            sketch = rows.sketches[at].tobytes() if there and rows.sketches is not None else None
            yield file, at, high, low, record, sketch


def _of_bands(
    identity: int, file: int, bands: NDArray[np.int64]
) -> Iterator[tuple[int, int, int, int]]:
    """The first record of each band, in the order of bands: a database adds them fastest so."""
    keys, places = np.unique(bands.reshape(-1), return_index=True)
    rows = places // BANDS
    for start in range(0, len(keys), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        for key, row in zip(keys[part].tolist(), rows[part].tolist(), strict=True):
            if key:
                yield identity, key, file, row


def _remove(connection: Connection, files: Iterable[int]) -> None:
    for file in files:
        connection.execute(_record.delete().where(_record.c.file == file))
        connection.execute(_band.delete().where(_band.c.file == file))
        connection.execute(_file.delete().where(_file.c.id == file))


def _settle(
    connection: Connection, identity: int, wanted: Sequence[DataFile], version: int, left_out: int
) -> bool:
    """Says up to which version the index is complete, where it has just what it should."""
    there = set(connection.scalars(sa.select(_file.c.path).where(_file.c.index == identity)))
    if there != {file.key for file in wanted}:
        return False
    values = {"version": version, "left_out": left_out}
    done = connection.execute(_index.update().where(_index.c.id == identity).values(values))
    return bool(done.rowcount)
