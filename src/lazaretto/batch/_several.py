"""Several files as one delivery, in one address: ``s3://bucket/drop/{monday.csv,tuesday.csv}``.

It is what a list of addresses becomes wherever one address is asked for, and what goes on record: a
folder, and paths in it between braces, sorted. A shell expands the same text to the same list.
"""

from __future__ import annotations

import hashlib
import os
import re
from itertools import pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lazaretto.addresses import BUCKETS, HOSTS, AddressError, local_path, read_address
from lazaretto.errors import DeliveryError
from lazaretto.redact import safe_uri
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.addresses import Address

_SEVERAL = re.compile(r"(.*/|)\{([^{}]*,[^{}]*)\}", re.DOTALL)
_MARKS = re.compile(r"[{},]")
_MOST_SHOWN = 1_500


class Several(NamedTuple):
    """Several files below one folder.

    Attributes:
        folder: its address.
        names: paths of the files in it.
    """

    folder: str
    names: list[str]

    @property
    def addresses(self) -> list[str]:
        """One for each file."""
        return [_behind(self.folder, name) for name in self.names]

    @property
    def shown(self) -> str:
        """One address for all of them; of very many, the first and the last, and a digest."""
        text = ",".join(self.names)
        if len(text) > _MOST_SHOWN:
            digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()
            ends = f"{excerpt(self.names[0], 200)},…,{excerpt(self.names[-1], 200)}"
            text = f"{ends},{len(self.names)}-files-{digest[:16]}"
        return _behind(self.folder, f"{{{text}}}")


def one_address(uri: str | Path | Sequence[str | Path]) -> str:
    """The address of a delivery: of one file, or of several as one.

    Args:
        uri: an address, or several of files that lie on this machine or in one bucket. Their order
            says nothing.

    Raises:
        DeliveryError: ``bad_address``: an empty list, a file twice, files of several machines, or a
            name with a brace or a comma in it.

    Examples:
        >>> one_address(["s3://bucket/drop/day=2/a.csv", "s3://bucket/drop/day=1/a.csv"])
        's3://bucket/drop/{day=1/a.csv,day=2/a.csv}'
    """
    if isinstance(uri, str | Path):
        return str(uri)
    found = [_taken_apart(str(one)) for one in uri]
    if not found:
        raise _bad("a list of no files is no delivery")
    if len(found) == 1:
        return str(uri[0])
    first = found[0]
    for one in found:
        if one.scheme in HOSTS or (one.scheme, one.host) != (first.scheme, first.host):
            raise _bad(
                f"{safe_uri(first.uri)} and {safe_uri(one.uri)}: several files are one delivery "
                "where all of them lie on this machine or in one bucket"
            )
        if any(_MARKS.search(part) for part in one.parts) or "?" in one.uri:
            raise _bad(
                f"{safe_uri(one.uri)}: a file with a brace, a comma or a question mark in its "
                "address cannot be one of several: rename it, or deliver it by itself"
            )
    levels = zip(*(one.parts[:-1] for one in found), strict=False)
    same = len(list(takewhile(lambda names: len(set(names)) == 1, levels)))
    names = sorted("/".join(one.parts[same:]) for one in found)
    twice = next((one for one, two in pairwise(names) if one == two), None)
    if twice is not None:
        raise _bad(f"{excerpt(twice, 80)!r} is named twice in one delivery")
    head = first.uri[: len(first.uri) - len("/".join(first.parts[same:]))]
    return f"{head}{{{','.join(names)}}}"


def split_several(text: str) -> Several | None:
    """Folder and files of an address such as ``drop/{monday.csv,tuesday.csv}``; None for another.

    A file of this machine that is called so is that file.

    Raises:
        DeliveryError: ``bad_address``: a path in it leads out of the folder, or is empty.
    """
    found = _SEVERAL.fullmatch(text)
    if found is None:
        return None
    try:
        path = local_path(text)
    except (AddressError, ValueError):  # whoever opens it says what is wrong
        return None
    if path is None and text.partition("://")[0].lower() not in BUCKETS:
        return None
    if path is not None and os.path.lexists(path):
        return None
    names = sorted(found[2].split(","))
    odd = any({"", ".", ".."} & set(name.split("/")) for name in names)
    if odd or len(set(names)) < len(names):
        raise _bad(
            f"{safe_uri(text)}: between the braces are paths of files in that folder, each once"
        )
    return Several(found[1].rstrip("/") or ("/" if found[1] else "."), names)


def _taken_apart(text: str) -> Address:
    try:
        return read_address(text)
    except AddressError as error:
        raise DeliveryError(str(error), code=error.code) from None


def _behind(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder != "." else name


def _bad(text: str) -> DeliveryError:
    return DeliveryError(text, code="bad_address")
