"""Object stores: which addresses a store may have, and one place for their credentials.

Files are read and written by fsspec's drivers, and the dataset's table by Delta's own (Rust's
``object_store``). The two look for an endpoint, a region and credentials in different places. Here
the table's driver is told what the driver of the files has found, so that one setting is enough.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lazaretto.errors import UsageError
from lazaretto.faults import as_system_fault
from lazaretto.redact import safe_uri

if TYPE_CHECKING:
    from fsspec.asyn import AsyncFileSystem

_S3 = frozenset({"s3", "s3a"})
_UNTRIED = frozenset({"gs", "gcs", "az", "abfs", "abfss"})
"""Both drivers open them, and no test of ours has: the doctor says so."""
_AMAZON = ".amazonaws.com"
# Whoever sets one of these decides for himself how commits are kept apart.
_OWN_COMMITS = ("AWS_CONDITIONAL_PUT", "AWS_S3_LOCKING_PROVIDER", "AWS_S3_ALLOW_UNSAFE_RENAME")


def scheme_of(root: str) -> str:
    """The scheme of a store's address, such as ``s3``; empty for a local path."""
    scheme, separator, _ = root.partition("://")
    return scheme.lower() if separator else ""


def is_untried(root: str) -> bool:
    """Whether a store may be there, but no test of Lazaretto has run on its kind."""
    return scheme_of(root) in _UNTRIED


def require_supported(root: str) -> None:
    """Refuses a store where files could be kept, and the admitted dataset could not.

    Args:
        root: a local path, or an address such as ``s3://bucket/prefix``.

    Raises:
        UsageError: it has another scheme.

    Examples:
        >>> require_supported("s3://bucket/lazaretto")
        >>> require_supported("memory://lazaretto")
        Traceback (most recent call last):
        ...
        lazaretto.errors.UsageError: no store can be at memory://lazaretto: ...
    """
    if scheme_of(root) not in {"", "file", *_S3, *_UNTRIED}:
        raise UsageError(
            f"no store can be at {safe_uri(root)}: give a folder that all machines share, or an "
            "address that begins with s3://, gs:// or abfss://"
        )


def table_options(uri: str) -> dict[str, str] | None:
    """What Delta's driver must be told to reach what the driver of the files reaches.

    Args:
        uri: local path or address of a table.

    Returns:
        Options for `deltalake`; None where it finds by itself what it needs. They hold credentials:
        never log them.

    Raises:
        UsageError: no Python package that opens such addresses is installed.
        SystemFaultError: credentials are to come from a service that cannot be reached.
    """
    if scheme_of(uri) not in _S3:
        return None
    import fsspec

    try:
        filesystem, _ = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise UsageError(
            f"the store {safe_uri(uri)} cannot be opened: install s3fs (pip install s3fs)"
        ) from error
    with as_system_fault(f"{safe_uri(uri)} cannot be opened"):
        return _options_of(filesystem)


def _options_of(filesystem: AsyncFileSystem) -> dict[str, str]:
    """Endpoint, region and credentials of an S3 file system, as Delta's driver calls them."""
    from fsspec.asyn import sync

    filesystem.connect()
    about = filesystem.s3.meta
    options = {"AWS_REGION": str(about.region_name or "us-east-1")}
    endpoint = str(about.endpoint_url)
    if not endpoint.rsplit("://", maxsplit=1)[-1].split("/", maxsplit=1)[0].endswith(_AMAZON):
        options["AWS_ENDPOINT_URL"] = endpoint
    if endpoint.startswith("http://"):
        # Asked for by the address of the endpoint, and the files travel so already.
        options["AWS_ALLOW_HTTP"] = "true"
    if not any(name in os.environ for name in _OWN_COMMITS):
        options["AWS_CONDITIONAL_PUT"] = "etag"
    if filesystem.anon:
        return options | {"AWS_SKIP_SIGNATURE": "true"}
    found: dict[str, str] = sync(filesystem.loop, _credentials, filesystem)
    return options | found


async def _credentials(filesystem: AsyncFileSystem) -> dict[str, str]:
    """Credentials of this moment: those of a role end, and are fetched again by the session."""
    found = await filesystem.session.get_credentials()
    if filesystem.key and filesystem.secret:
        named = (filesystem.key, filesystem.secret, filesystem.token)
    elif found is None:
        return {}
    else:
        frozen = await found.get_frozen_credentials()
        named = (frozen.access_key, frozen.secret_key, frozen.token)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return {name: str(value) for name, value in zip(names, named, strict=True) if value}


def keeps_the_first(root: str, path: str, content: bytes) -> bool | None:
    """Whether a store refuses to write a file that is there, where it is asked to make a new one.

    Delta keeps two writers' commits apart by that (``If-None-Match: *``), and some servers that
    speak S3 ignore it. Asked with what the file holds already, so that nothing changes either way.

    Args:
        root: of the store.
        path: of a file in it that is there, relative to the root.
        content: what it holds.

    Returns:
        None where commits are kept apart in another way.

    Raises:
        SystemFaultError: the store cannot be reached, or may not be written.
    """
    if scheme_of(root) not in _S3 or any(name in os.environ for name in _OWN_COMMITS[1:]):
        return None
    import fsspec

    filesystem, base = fsspec.core.url_to_fs(root)
    with as_system_fault(f"cannot write in the store {safe_uri(root)}"):
        try:
            filesystem.pipe_file(f"{base.rstrip('/')}/{path}", content, mode="create")
        except FileExistsError:
            return True
    return False


def answers_ranges(root: str, path: str) -> bool | None:
    """Whether a store that is asked for a part of a file says that it gives a part.

    Delta reads the checkpoints of a log so, and refuses an answer that calls itself the whole
    (``200`` instead of ``206``), as some servers that speak S3 give: the table opens no more.

    Args:
        root: of the store.
        path: of a file in it that is there and not empty, relative to the root.

    Returns:
        None where no server is asked.

    Raises:
        SystemFaultError: the store cannot be reached.
    """
    if scheme_of(root) not in _S3:
        return None
    import fsspec

    filesystem, base = fsspec.core.url_to_fs(root)
    bucket, _, key = f"{base.rstrip('/')}/{path}".partition("/")
    with as_system_fault(f"cannot read in the store {safe_uri(root)}"):
        answer = filesystem.call_s3("get_object", Bucket=bucket, Key=key, Range="bytes=0-0")
    return bool(answer["ResponseMetadata"]["HTTPStatusCode"] == 206)
