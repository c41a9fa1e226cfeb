"""Opening a file elsewhere, by the very address that was checked."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, cast

from lazaretto.errors import DeliveryError, LazarettoError, SystemFaultError
from lazaretto.redact import safe_uri

if TYPE_CHECKING:
    from lazaretto.addresses import Address


def open_remote(address: Address) -> IO[bytes]:
    """Opens a file of a bucket or another machine for reading.

    Raises:
        DeliveryError: ``redirected``: the machine points elsewhere; ``not_a_regular_file``: a
            folder; ``unreadable``.
        SystemFaultError: it cannot be reached now.
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
    except FileNotFoundError:
        raise _unreadable(shown, "no such file") from None
    except ImportError:
        raise _unreadable(
            shown, f"the Python package that reads {address.scheme}:// is not installed"
        ) from None
    except (ConnectionError, TimeoutError) as error:
        raise cannot_be_reached(shown, error) from None
    except Exception as error:
        # Every driver has its own errors, whose words may hold the address with its query.
        raise _unreadable(shown, type(error).__name__) from None


def cannot_be_reached(shown: str, error: BaseException) -> SystemFaultError:
    """The error for a machine that does not answer, which may be another thing tomorrow."""
    return SystemFaultError(f"{shown} cannot be reached now: {type(error).__name__}")


def _open_by_fsspec(uri: str, shown: str) -> IO[bytes]:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(uri)
    if filesystem.isdir(path):
        raise DeliveryError(
            f"{shown} is a folder; only regular files are read", code="not_a_regular_file"
        )
    return cast("IO[bytes]", filesystem.open(path, "rb"))


def _unreadable(shown: str, reason: str) -> DeliveryError:
    return DeliveryError(f"{shown} cannot be opened: {reason}", code="unreadable")
