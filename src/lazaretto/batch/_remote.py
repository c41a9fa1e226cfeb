"""Opening a file elsewhere: one request to the very address that was checked, and no other."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import IO, TYPE_CHECKING, cast

from lazaretto.errors import DeliveryError, SystemFaultError
from lazaretto.redact import safe_uri

if TYPE_CHECKING:
    from lazaretto.addresses import Address

_SECONDS = 60


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
            return _open_http(address.uri)
        return _open_by_fsspec(address.uri, shown)
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused_by_server(shown, error.code) from None
    except (ConnectionError, TimeoutError, urllib.error.URLError) as error:
        raise cannot_be_reached(shown, error) from None
    except ImportError:
        raise _unreadable(
            shown, f"the Python package that reads {address.scheme}:// is not installed"
        ) from None
    except FileNotFoundError:
        raise _unreadable(shown, "no such file") from None
    except DeliveryError:
        raise
    except Exception as error:
        # Every driver has its own errors, whose words may hold the address with its query.
        raise _unreadable(shown, type(error).__name__) from None


def cannot_be_reached(shown: str, error: BaseException) -> SystemFaultError:
    """The error for a machine that does not answer, which may be another thing tomorrow."""
    return SystemFaultError(f"{shown} cannot be reached now: {type(error).__name__}")


def _refused_by_server(shown: str, status: int) -> DeliveryError | SystemFaultError:
    if 300 <= status < 400:
        return DeliveryError(
            f"{shown}: the server points to another address, which is not followed: deliver by the "
            "address where the file is",
            code="redirected",
        )
    if status >= 500:
        return SystemFaultError(f"{shown} cannot be reached now: the server answers {status}")
    return _unreadable(shown, f"the server answers {status}")


def _open_http(uri: str) -> IO[bytes]:
    opener = urllib.request.build_opener(_NoRedirects)
    return cast("IO[bytes]", opener.open(uri, timeout=_SECONDS))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A checked address that leads to an unchecked one was not checked."""

    def redirect_request(self, *_: object) -> None:
        """Makes no further request; the answer is raised as `HTTPError`."""


def _open_by_fsspec(uri: str, shown: str) -> IO[bytes]:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(uri)
    if filesystem.isdir(path):
        raise DeliveryError(
            f"{shown} is a folder; a delivery is one file", code="not_a_regular_file"
        )
    return cast("IO[bytes]", filesystem.open(path, "rb"))


def _unreadable(shown: str, reason: str) -> DeliveryError:
    return DeliveryError(f"{shown} cannot be opened: {reason}", code="unreadable")
