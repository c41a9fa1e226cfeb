"""The admitted dataset as a Delta table, in which no commit is ever made twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import (
    CommitFailedError,
    DeltaError,
    DeltaProtocolError,
    TableNotFoundError,
)

from lazaretto.errors import NotFoundError, SystemFaultError, UsageError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BATCH = "_lazaretto_batch"
RECORD = "_lazaretto_record"
SOURCE = "_lazaretto_source"
WEIGHT = "sample_weight"
ADDED = (
    pa.field(BATCH, pa.string()),
    pa.field(RECORD, pa.string()),
    pa.field(SOURCE, pa.string()),
    pa.field(WEIGHT, pa.float64()),
)
_APP_KEY = "lazaretto_app"
_ATTEMPTS = 20
# A trace must find what a model saw years ago: by default Delta forgets its log after 30 days.
_CONFIGURATION: dict[str, str | None] = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}

Commit = tuple[str, dict[str, Any]]


def open_table(uri: str, version: int | None = None) -> DeltaTable:
    """Opens a table, at its newest version by default.

    Raises:
        NotFoundError: no table is there, or not that version.
        SystemFaultError: the store cannot be reached.
    """
    try:
        return DeltaTable(uri, version=version)
    except TableNotFoundError as error:
        raise NotFoundError(f"nothing has been admitted to {uri} yet") from error
    except (DeltaError, DeltaProtocolError) as error:
        if version is not None:
            raise NotFoundError(f"{uri} has no version {version}: {error_line(error)}") from error
        raise SystemFaultError(f"{uri} cannot be read: {error_line(error)}") from error
    except OSError as error:
        raise SystemFaultError(f"{uri} cannot be read: {error_line(error)}") from error


def open_or_create(uri: str, schema: pa.Schema) -> DeltaTable:
    """Opens a table, or creates an empty one with these columns; safe against others doing it too.

    Raises:
        UsageError: a column's type has no place in Delta.
        SystemFaultError: the store cannot be written.
    """
    for _ in range(_ATTEMPTS):
        try:
            return open_table(uri)
        except NotFoundError:
            try:
                DeltaTable.create(
                    uri, _delta_schema(schema), mode="error", configuration=_CONFIGURATION
                )
            except (DeltaError, CommitFailedError):
                continue  # somebody else has just created it
            except OSError as error:
                raise SystemFaultError(f"{uri} cannot be written: {error_line(error)}") from error
    raise SystemFaultError(f"{uri} can neither be opened nor created")


def commit_once(
    uri: str,
    app: str,
    metadata: dict[str, str],
    write: Callable[[DeltaTable, CommitProperties], None],
) -> int:
    """Makes a commit that carries an application transaction, unless the table has it already.

    A crash between this commit and the catalog's is mended by calling it again: the transaction is
    found in the log and nothing is written.

    Args:
        uri: of the table.
        app: application id, unique for what is written.
        metadata: kept with the commit, as text.
        write: makes one commit on the table with the properties given; called again on a conflict.

    Returns:
        The Delta version that the commit made.

    Raises:
        SystemFaultError: the store cannot be written, or others never leave it alone.
    """
    properties = CommitProperties(
        custom_metadata={**metadata, _APP_KEY: app}, app_transactions=[Transaction(app, 1)]
    )
    problem = ""
    for _ in range(_ATTEMPTS):
        table = open_table(uri)
        if table.transaction_version(app) is not None:
            return _version_of(table, app)
        try:
            write(table, properties)
        except CommitFailedError as error:
            problem = error_line(error)
        except (DeltaError, DeltaProtocolError, OSError) as error:
            raise SystemFaultError(f"{uri} cannot be written: {error_line(error)}") from error
    table = open_table(uri)
    if table.transaction_version(app) is not None:
        return _version_of(table, app)
    raise SystemFaultError(f"{uri} changed {_ATTEMPTS} times while it was written: {problem}")


def append_rows(
    table: DeltaTable,
    schema: pa.Schema,
    chunks: Iterable[pa.RecordBatch],
    properties: CommitProperties,
) -> None:
    """Appends a stream of rows as one commit; an error of the stream comes out as itself."""
    raised: list[Exception] = []

    def guarded() -> Iterable[pa.RecordBatch]:
        try:
            yield from chunks
        except Exception as error:
            raised.append(error)
            raise

    try:
        write_deltalake(
            table,
            pa.RecordBatchReader.from_batches(schema, guarded()),
            mode="append",
            commit_properties=properties,
        )
    except Exception:
        if raised:
            raise raised[0] from None
        raise


def delete_rows(table: DeltaTable, rows: pa.Table, properties: CommitProperties) -> None:
    """Removes rows by batch and record id (columns ``batch``, ``record``) as one commit."""
    (
        table.merge(
            rows,
            f"t.{BATCH} = s.batch AND t.{RECORD} = s.record",
            source_alias="s",
            target_alias="t",
            commit_properties=properties,
        )
        .when_matched_delete()
        .execute()
    )


def arrow_schema(table: DeltaTable) -> pa.Schema:
    """Columns of a table as Arrow types."""
    return pa.schema(table.schema().to_arrow())


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


def _version_of(table: DeltaTable, app: str) -> int:
    """The version whose commit brought a transaction, by the log's own word for each version.

    Delta's history numbers commits back from the table's version, so that a commit of somebody else
    between opening and reading shifts it: it gives the place to start looking, and no more.
    """
    version = table.version()
    for limit in (20, None):
        found = [commit for commit in table.history(limit) if commit.get(_APP_KEY) == app]
        if found:
            version = min(version, max(int(found[0]["version"]), 0))
            break
    while version < table.version() and not _knows(table, version, app):
        version += 1
    while version > 0 and _knows(table, version - 1, app):
        version -= 1
    return version


def _knows(table: DeltaTable, version: int, app: str) -> bool:
    """Whether the table at a version has a transaction: it stays from its own commit on."""
    try:
        return open_table(table.table_uri, version).transaction_version(app) is not None
    except NotFoundError:  # another tool cleaned the log up to a later version
        return False
