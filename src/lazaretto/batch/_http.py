"""Opening a file by HTTP: one request to the very address that was checked, no other after it."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from typing import IO, TYPE_CHECKING, cast

from lazaretto.errors import DeliveryError, NotArrivedError, SystemFaultError

if TYPE_CHECKING:
    from http.client import HTTPResponse

_SECONDS = 60.0
# Not found; and not now: the request took too long, came too early, or was one of too many.
_NOT_THERE, _NOT_NOW = 404, frozenset({408, 425, 429})


def open_http(uri: str, shown: str) -> IO[bytes]:
    """Opens what a server gives for an address.

    Args:
        uri: its address.
        shown: the same, for messages.

    Returns:
        The answer's body. Reading it raises `ConnectionError` where it is cut off, `TimeoutError`
        where nothing comes for a minute.

    Raises:
        DeliveryError: ``redirected``: the server points elsewhere; ``unreadable``: it says no.
        NotArrivedError: it has no such file.
        SystemFaultError: it fails, or cannot be reached.
    """
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        return cast("IO[bytes]", _Body(opener.open(uri, timeout=_SECONDS)))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _NOT_THERE:
            raise NotArrivedError(
                f"{shown} is not there (yet): the server answers 404. Nothing is on record: do the "
                "same again once it has arrived"
            ) from None
        if error.code >= 500 or error.code in _NOT_NOW:
            raise SystemFaultError(
                f"{shown} cannot be reached now: the server answers {error.code}"
            ) from None
        if error.code < 400:
            raise DeliveryError(
                f"{shown}: the server points to another address, which is not followed: deliver "
                "by the address where the file is",
                code="redirected",
            ) from None
        raise DeliveryError(
            f"{shown} cannot be opened: the server answers {error.code}", code="unreadable"
        ) from None
    except urllib.error.URLError as error:
        raise SystemFaultError(
            f"{shown} cannot be reached now: {type(error.reason).__name__}"
        ) from None


class _Body(io.RawIOBase):
    """A body that is whole or an error: half a delivery must not look like a damaged one."""

    def __init__(self, response: HTTPResponse) -> None:
        super().__init__()
        self._response = response

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._response.read(None if size < 0 else size)
        # What is still to come by the head; None: the head does not say.
        if not data and size and self._response.length:
            raise ConnectionError("the connection ended before the file did")
        return data

    def close(self) -> None:
        self._response.close()
        super().close()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A checked address that leads to an unchecked one was not checked."""

    def redirect_request(self, *_: object) -> None:
        """Makes no further request; the answer is raised as `HTTPError`."""
