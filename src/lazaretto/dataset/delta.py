"""The admitted dataset as a Delta table: opened, created, compared, and given one commit more."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import rfc8785
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import (
    CommitFailedError,
    DeltaError,
    DeltaProtocolError,
    TableNotFoundError,
)
from deltalake.transaction import AddAction, RemoveAction

from lazaretto.errors import SystemFaultError, UsageError
from lazaretto.faults import causes_line
from lazaretto.storage.object_stores import table_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from lazaretto.values import DataFile

BATCH = "_lazaretto_batch"
RECORD = "_lazaretto_record"
SOURCE = "_lazaretto_source"
WEIGHT = "sample_weight"
FLAGS = "_lazaretto_flags"
"""Rules that a record broke and that only warn; null where there are none. Tables that were made
before there were flags have no such column: their flags are in the store and on record alone."""
ADDED = (
    pa.field(BATCH, pa.string()),
    pa.field(RECORD, pa.string()),
    pa.field(SOURCE, pa.string()),
    pa.field(WEIGHT, pa.float64()),
    pa.field(FLAGS, pa.list_(pa.string())),
)
# A trace must find what a model saw years ago: by default Delta forgets its log after 30 days.
_CONFIGURATION: dict[str, str | None] = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
# Nothing of the log ever expires, and to look for it takes longer with every commit.
_AFTER_COMMIT = PostCommitHookProperties(cleanup_expired_logs=False)
LOG = "_delta_log"
"""Folder of a table's log, inside the table's."""
# Delta has one class for a log that makes no sense and for a disk or bucket that fails while it is
# read; and it calls a table that it may not read one that is not there. The text tells them apart:
# Rust's words for an error of the system (2 is: no such file), and those of its object_store.
_STORE_FAILED = re.compile(
    r"\(os error (?!2\))\d+\)|Generic (S3|GCS|MicrosoftAzure|HTTP|LocalFileSystem) error"
    r"|PermissionDenied|Permission denied"
)


class LogUnreadableError(SystemFaultError):
    """The log of a table makes no sense; says why, in Delta's words."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of a table, as it follows from the ledger.

    Attributes:
        version: that it makes.
        apps: ids of its application transactions: one for each batch that enters, or for the rest.
        metadata: kept with it, as text.
        at: when it was put on record.
        added: data files that the version has and the one before had not.
        removed: paths of those that it has no longer, relative to the store's root.
        columns: that it has from here on, in Delta's notation; None: as before. Then either
            nothing is removed, or all that there was.
        same_rows: it has the records of the version before, in other files.
    """

    version: int
    apps: tuple[str, ...]
    metadata: Mapping[str, str]
    at: datetime
    added: Sequence[DataFile]
    removed: Sequence[str]
    columns: str | None = None
    same_rows: bool = False


def find_table(uri: str, version: int | None = None) -> DeltaTable | None:
    """Opens a table, at its newest version by default; None where there is none.

    Raises:
        LogUnreadableError: its log cannot be read, or has no such version.
        SystemFaultError: the store cannot be reached.
    """
    try:
        return DeltaTable(uri, version=version, storage_options=table_options(uri))
    except (DeltaError, DeltaProtocolError, OSError) as error:
        if isinstance(error, OSError) or _STORE_FAILED.search(str(error)):
            raise SystemFaultError(f"{uri} cannot be read: {causes_line(error)}") from error
        if isinstance(error, TableNotFoundError):
            return None
        raise LogUnreadableError(causes_line(error)) from error


def create_table(uri: str, schema: pa.Schema) -> None:
    """Creates an empty table with these columns, unless somebody else has just done it.

    Raises:
        UsageError: a column's type has no place in Delta.
        SystemFaultError: the store cannot be written.
    """
    try:
        DeltaTable.create(
            uri,
            _delta_schema(schema),
            mode="error",
            configuration=_CONFIGURATION,
            storage_options=table_options(uri),
            # Delta would create the table once more, as version 1 of the one that a rival created.
            commit_properties=CommitProperties(max_commit_retries=0),
        )
    except OSError as error:
        raise SystemFaultError(f"{uri} cannot be written: {causes_line(error)}") from error
    except DeltaError as error:
        if find_table(uri) is None:
            raise SystemFaultError(f"{uri} cannot be created: {causes_line(error)}") from error


def add_commit(table: DeltaTable, commit: Commit) -> bool:
    """Makes a commit on a table that is at the version before it, or not at all.

    Returns:
        False when somebody else made a commit of this version first.

    Raises:
        SystemFaultError: the store cannot be written.
    """
    moment = int(commit.at.timestamp() * 1000)
    other, rows = not commit.same_rows, Counter[str]()
    actions: list[AddAction | RemoveAction] = [
        RemoveAction(path.rsplit("/", 1)[-1], other, moment) for path in commit.removed
    ]
    for added in commit.added:
        rows[added.file.path] += added.rows
    for path, size in {one.file.path: one.file.size for one in commit.added}.items():
        # Counts alone: a reader skips no file for bounds that somebody could have changed.
        stats = json.dumps({"numRecords": rows[path]})
        actions.append(AddAction(path.rsplit("/", 1)[-1], size, {}, moment, other, stats))
    properties = CommitProperties(
        custom_metadata=dict(commit.metadata),
        # Never moved to a later version: the ledger says which one this is.
        max_commit_retries=0,
        app_transactions=[Transaction(app, 1) for app in commit.apps],
    )
    try:
        if commit.columns is not None:
            _grow(table, commit, actions, properties)
        else:
            table.create_write_transaction(
                actions,
                "append",
                table.schema(),
                commit_properties=properties,
                post_commithook_properties=_AFTER_COMMIT,
            )
    except CommitFailedError:
        return False
    except (DeltaError, DeltaProtocolError, OSError) as error:
        raise SystemFaultError(
            f"{table.table_uri} cannot be written: {causes_line(error)}"
        ) from error
    return True


def _grow(
    table: DeltaTable,
    commit: Commit,
    actions: Sequence[AddAction | RemoveAction],
    properties: CommitProperties,
) -> None:
    """Gives a table its new columns; with wider types, every data file is another one.

    Delta's own type widening is a feature that readers must know, and most do not.
    """
    wanted = DeltaSchema.from_json(str(commit.columns))
    before = {field.name: field.type for field in table.schema().fields}
    if all(before.get(field.name, field.type) == field.type for field in wanted.fields):
        new = [field for field in wanted.fields if field.name not in before]
        table.alter.add_columns(
            new, commit_properties=properties, post_commithook_properties=_AFTER_COMMIT
        )
        return
    table.create_write_transaction(
        # What is there before is removed by Delta itself.
        [action for action in actions if isinstance(action, AddAction)],
        "overwrite",
        wanted,
        commit_properties=properties,
        post_commithook_properties=_AFTER_COMMIT,
    )


@dataclass(frozen=True, slots=True)
class Contents:
    """What the log says that a version of a table holds.

    Attributes:
        files: size (bytes) and number of rows of each data file, by its name in the folder.
        problem: what makes it a table that admission does not write; None where nothing does.
    """

    files: dict[str, tuple[int, int | None]]
    problem: str | None


def contents_of(table: DeltaTable) -> Contents:
    """Reads a version's data files off its log, and whatever else decides what readers see."""
    actions = pa.table(table.get_add_actions(flatten=True))
    files = {
        action["path"]: (int(action["size_bytes"]), action["num_records"])
        for action in actions.select(["path", "size_bytes", "num_records"]).to_pylist()
    }
    return Contents(files, _problem(table, actions))


def _problem(table: DeltaTable, actions: pa.Table) -> str | None:
    protocol, metadata = table.protocol(), table.metadata()
    features = [*(protocol.reader_features or []), *(protocol.writer_features or [])]
    if protocol.min_reader_version > 1 or features:
        return f"it asks for reader version {protocol.min_reader_version}, features {features}"
    if metadata.partition_columns or metadata.configuration != _CONFIGURATION:
        return f"its configuration is {metadata.configuration}, by {metadata.partition_columns}"
    for name in actions.column_names:
        # Readers skip files by such bounds; admission writes none.
        if name.startswith(("min.", "max.")) and actions[name].null_count < actions.num_rows:
            return f"its log has bounds of column {name.partition('.')[2]!r}"
    return None


def arrow_schema(table: DeltaTable) -> pa.Schema:
    """Columns of a table as Arrow types."""
    return pa.schema(table.schema().to_arrow())


def as_kept(schema: pa.Schema) -> pa.Schema:
    """Columns as a table that was created with them gives them back.

    Raises:
        UsageError: a column's type has no place in Delta.
    """
    return pa.schema(_delta_schema(schema).to_arrow())


def schema_digest(table: DeltaTable) -> str:
    """sha256 (hex) of a table's columns: RFC 8785 of the schema in Delta's own notation."""
    return columns_digest(table.schema().to_json())


def columns_digest(columns: str) -> str:
    """The same of columns in Delta's notation."""
    return hashlib.sha256(rfc8785.dumps(json.loads(columns))).hexdigest()


def columns_json(schema: pa.Schema) -> str:
    """Columns in Delta's notation, as JSON.

    Raises:
        UsageError: a column's type has no place in Delta.
    """
    return str(_delta_schema(schema).to_json())


def read_columns(columns: str) -> pa.Schema:
    """Columns in Delta's notation as Arrow types."""
    return pa.schema(DeltaSchema.from_json(columns).to_arrow())


def log_entry(version: int) -> str:
    """Name of a version's commit inside the table's folder."""
    return f"{LOG}/{version:020}.json"


def _delta_schema(schema: pa.Schema) -> DeltaSchema:
    for field in schema:
        try:
            DeltaSchema.from_arrow(pa.schema([field]))
        except Exception as error:
            raise UsageError(
                f"column {field.name!r} is of type {field.type}, which Delta cannot hold: "
                "deliver it as a number, text, timestamp or list"
            ) from error
    return DeltaSchema.from_arrow(schema)
