"""Opening a file elsewhere, by the very address that was checked."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any, cast

from lazaretto.errors import (
    DeliveryError,
    LazarettoError,
    NotArrivedError,
    SystemFaultError,
    UsageError,
)
from lazaretto.faults import Kind, kind_of
from lazaretto.redact import safe_uri

if TYPE_CHECKING:
    from lazaretto.addresses import Address


def open_remote(address: Address) -> IO[bytes]:
    """Opens a file of a bucket or another machine for reading.

    Whose fault it is when that fails: a driver that finds nothing is asked too early; one that is
    not let in has the wrong credentials, which are this process's and not the source's; any other
    error is of the network or of the machine there.

    Raises:
        DeliveryError: ``redirected``: the machine points elsewhere; ``not_a_regular_file``: a
            folder; ``unreadable``: the machine gives it to nobody, or no file can have that name.
        NotArrivedError: it, or the bucket, is not there.
        SystemFaultError: it cannot be reached now, or this process is not let in.
        UsageError: the driver for such addresses is not installed.
    """
    shown = safe_uri(address.uri)
    try:
        if address.scheme in ("http", "https"):
            # Here, and fsspec below: the process that decodes deliveries has no use for them.
            from lazaretto.batch._http import open_http

            return open_http(address.uri, shown)
        return _open_by_fsspec(address.uri, shown)
    except LazarettoError:
        raise
    except ImportError:
        raise _no_driver(address.uri, shown) from None
    except ValueError as error:
        raise _unreadable(shown, type(error).__name__) from None
    except Exception as error:
        raise remote_fault(shown, error) from None


def cannot_be_reached(shown: str, error: BaseException) -> SystemFaultError:
    """The error for what cannot be read now, which may be another thing tomorrow.

    Every driver has its own errors, whose words may hold the address with its query: only their
    name is told.
    """
    reason = type(error).__name__
    if isinstance(error, OSError) and error.errno:
        reason = f"{reason}, {os.strerror(error.errno)}"
    return SystemFaultError(f"{shown} cannot be reached now: {reason}")


def not_arrived(shown: str) -> NotArrivedError:
    """The error for what is not there (yet)."""
    return NotArrivedError(
        f"{shown} is not there (yet). Nothing is on record: do the same again once it has arrived"
    )


def remote_fault(shown: str, error: Exception) -> SystemFaultError:
    """The error for what a driver says: not there, not allowed, or not now."""
    kind = kind_of(error)
    if kind is Kind.MISSING:
        return not_arrived(shown)
    if kind is Kind.DENIED:
        return SystemFaultError(
            f"{shown} may not be read by this process ({type(error).__name__}): give it credentials"
            " for that place"
        )
    return cannot_be_reached(shown, error)


def file_system(uri: str, shown: str) -> tuple[Any, str]:
    """The file system that fsspec has for an address, and the path in it.

    Raises:
        SystemFaultError: as `open_remote`.
        UsageError: likewise.
    """
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(uri)
    except ImportError:
        raise _no_driver(uri, shown) from None
    except Exception as error:
        raise remote_fault(shown, error) from None
    return files, str(path)


def _open_by_fsspec(uri: str, shown: str) -> IO[bytes]:
    files, path = file_system(uri, shown)
    if files.isdir(path):
        raise DeliveryError(
            f"{shown} is a folder; only regular files are read", code="not_a_regular_file"
        )
    return cast("IO[bytes]", files.open(path, "rb"))


def _no_driver(uri: str, shown: str) -> UsageError:
    return UsageError(
        f"{shown} cannot be opened: the Python package that reads {uri.partition(':')[0]}:// is "
        "not installed; fsspec's pages name it, such as s3fs, gcsfs or adlfs"
    )


def _unreadable(shown: str, reason: str) -> DeliveryError:
    return DeliveryError(f"{shown} cannot be opened: {reason}", code="unreadable")
