"""Addresses and error texts as they may be shown, logged and stored: without credentials.

Whatever stands where a user, a password, a token or a signature can stand is left out, and what
cannot be taken apart with certainty is not shown at all. A secret that is a plain part of a path
(``https://host/hook/T0KEN``) cannot be told from a folder's name, and stays.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lazaretto.text import ELLIPSIS, cut, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_URI = 8_192
_MOST_SHOWN = 2_000
_MOST_OF_A_MESSAGE = 8_000
_HIDDEN = "***"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,31}")
_AUTHORITY_ENDS = re.compile(r"[/?#\\]")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[\w.\-~$]*)(?::\d{0,5})?")
# What stands before the @ is the container in these, and so is a name of at most 63 characters.
_ACCOUNTS = frozenset({"abfs", "abfss", "wasb", "wasbs"})
_CONTAINER = re.compile(r"[a-z0-9$](?:[a-z0-9\-]{0,62})")
# Of buckets, not of hosts: no port, and an @ further back is a part of a key.
_BUCKETS = _ACCOUNTS | {"s3", "s3a", "s3n", "gs", "gcs", "az", "memory", "lazaretto"}
_IN_TEXT = re.compile(
    r"(?<![A-Za-z0-9+.\-])(?:[A-Za-z][A-Za-z0-9+.\-]*::)*[A-Za-z][A-Za-z0-9+.\-]*://[^\s<>\x00-\x1f\x7f-\x9f]+"
)
_CLOSES = "'\"`)]},.;:!"
_NAMES_A_SECRET = re.compile(
    r"(?<![\w.\-])"
    r"([\w.\-]*(?:passw|passphrase|secret|token|signature|credential|(?:api|access|account|private"
    r"|shared)[_\-.]?key)[\w.\-]*|sig|pwd|pass)"
    r"(['\"]?\s*(?:=|%3D)\s*|['\"]\s*:\s*)"
    r"('[^']*'|\"[^\"]*\"|[^\s&;,'\")\]}]+)",
    re.IGNORECASE,
)
_USER_AND_PASSWORD = re.compile(r"[^/:]*:.*@", re.DOTALL)


def safe_uri(uri: str) -> str:
    """An address without credentials, escaped and bounded: how it is shown, logged and stored.

    Left out are user and password (a container, as in ``abfs://container@account/``, stays), query
    and fragment. Of a chained address that holds an ``@`` only its first link's name is shown, and
    of one that cannot be taken apart only the scheme. A local path is shown as it is, but for the
    value of parts such as ``password=…``.

    Args:
        uri: a path, a URI, or anything that was meant to be one.

    Returns:
        One line of at most 2,000 characters.

    Examples:
        >>> safe_uri("https://bob:hush@data.example/day.csv?sig=1234")
        'https://data.example/day.csv'
    """
    if len(uri) > _LONGEST_URI:
        return f"an address of {len(uri):,} characters"
    return cut(visible(_without_values(_without_user(uri))), _MOST_SHOWN)


def carries_credentials(uri: str) -> bool:
    """Whether an address holds a user, a password, a query or a fragment, or is a chained one."""
    return "://" in uri and (
        "::" in uri or safe_uri(uri).partition("://")[2] != uri.partition("://")[2]
    )


def safe_text(text: str, *, hide: Iterable[str] = (), limit: int = _MOST_OF_A_MESSAGE) -> str:
    """A text of several lines as it may be shown: addresses without credentials, escaped, bounded.

    Args:
        text: a message, or a traceback.
        hide: known secrets, which are left out wherever they stand.
        limit: most characters of the result.
    """
    for secret in sorted(filter(None, hide), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    text = _beginning(text, limit)
    text = _IN_TEXT.sub(lambda found: _in_text(found.group()), text)
    return cut(visible(_without_values(text), keep_newlines=True), limit)


def error_line(error: BaseException, *, hide: Iterable[str] = (), limit: int = 200) -> str:
    """A foreign exception in one short line: its type, and the beginning of what it says.

    Libraries repeat addresses, statements and parts of a record in their errors: what they say is
    quoted as `safe_text`, and shortly.

    Args:
        error: any exception.
        hide: known secrets, which are left out.
        limit: most characters of what it says.
    """
    name = type(error).__name__
    try:
        said = " ".join(_beginning(str(error), 8 * limit).split())
    except Exception:  # an exception's own __str__ may fail, and there is no more to say then
        return name
    words = safe_text(said, hide=hide, limit=limit)
    return f"{name}: {words}" if words else name


def _beginning(text: str, limit: int) -> str:
    """A text without its end; of an address that is cut the @ might go that marks a password."""
    return text if len(text) <= limit else re.sub(r"\S*\Z", "", text[:limit]) + ELLIPSIS


def _without_user(uri: str) -> str:
    head, separator, rest = uri.partition("://")
    if not separator:
        return _plain_path(uri)
    bare = re.sub(r"\[[0-9A-Fa-f:.]*\]", "", uri)  # the colons of an IPv6 address chain nothing
    if "::" in bare:
        return _chain(uri)
    if not _SCHEME.fullmatch(head):
        return f"{ELLIPSIS}://{ELLIPSIS}"
    return _single(head.lower(), rest)


def _plain_path(text: str) -> str:
    """What has no scheme: a path as it is, unless it looks like a user at a host."""
    if "::" in text and "@" in text:
        return _chain(text)
    if text.startswith("//") and "@" in text:
        return _single("", text[2:]).removeprefix(":")
    return _USER_AND_PASSWORD.sub(f"{ELLIPSIS}@", text, count=1)


def _chain(text: str) -> str:
    if "@" not in text:
        links = re.split(r"[?#]", text)[0].split("::")
        return "::".join(_without_user(link) if "://" in link else link for link in links)
    first = _SCHEME.match(text)
    return f"{first.group().lower() if first else ''}::{ELLIPSIS}"


def _single(scheme: str, rest: str) -> str:
    hidden = f"{scheme}://{ELLIPSIS}"
    end = _AUTHORITY_ENDS.search(rest)
    authority, tail = (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])
    user, at, host = authority.rpartition("@")
    kept = f"{user}@" if at and scheme in _ACCOUNTS and _CONTAINER.fullmatch(user) else ""
    if not _HOST.fullmatch(host) or (scheme in _BUCKETS and ":" in host):
        return hidden
    # A password with a slash in it ends the authority too early: then its @ stands further back.
    if authority and "@" in tail:
        before = rest.rpartition("@")[0]
        if scheme not in _BUCKETS or ":" in before:
            return hidden
    return f"{scheme}://{kept}{host}{re.split(r'[?#]', tail)[0]}"


def _in_text(found: str) -> str:
    bare = found.rstrip(_CLOSES)
    return safe_uri(bare) + found[len(bare) :]


def _without_values(text: str) -> str:
    return _NAMES_A_SECRET.sub(rf"\1\2{_HIDDEN}", text)
