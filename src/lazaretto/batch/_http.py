"""Opening a file by HTTP: one request to the very address that was checked, no other after it."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import IO, cast

from lazaretto.errors import DeliveryError, SystemFaultError

_SECONDS = 60


def open_http(uri: str, shown: str) -> IO[bytes]:
    """Opens what a server gives for an address.

    Args:
        uri: its address.
        shown: the same, for messages.

    Raises:
        DeliveryError: ``redirected``: the server points elsewhere; ``unreadable``: it says no.
        SystemFaultError: it fails, or cannot be reached.
    """
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        return cast("IO[bytes]", opener.open(uri, timeout=_SECONDS))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code >= 500:
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


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A checked address that leads to an unchecked one was not checked."""

    def redirect_request(self, *_: object) -> None:
        """Makes no further request; the answer is raised as `HTTPError`."""
