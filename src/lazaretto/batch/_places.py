"""Opens a delivery and its manifest, from where they may come. Long: files and folders alike.

What is on this machine is opened folder by folder from the place on, never through a link, and is
judged by what was opened: a name that is exchanged meanwhile changes nothing. Hard links cannot be
told from files: who may make one to a file has to be kept from it by the system's permissions (on
Linux ``fs.protected_hardlinks``).
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lazaretto.addresses import (
    BUCKETS,
    LOCAL,
    SOURCE,
    Address,
    AddressError,
    read_address,
    read_place,
    within,
)
from lazaretto.batch import _remote
from lazaretto.batch._several import split_several
from lazaretto.batch._whole import LocalFolder, RemoteFolder, Whole
from lazaretto.errors import DeliveryError, LazarettoError, SystemFaultError, UsageError
from lazaretto.redact import safe_uri
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from lazaretto.policy import Policy

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe that nobody writes to would be waited for; a terminal would become this process's own.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LINK = "link"
_NOT_REGULAR = "not_a_regular_file"
_UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Places:
    """From where a source may deliver.

    Attributes:
        places: folders and prefixes.
        own_files: any regular file of this machine, too: for a person's own shell, who could read
            it anyway.
    """

    places: tuple[Address, ...] = ()
    own_files: bool = False


OF_THIS_MACHINE = Places(own_files=True)
"""Any regular file of this machine, and nothing elsewhere."""


def places_for(policy: Policy | None, *names: str, required: bool) -> Places:
    """The places that a policy has for a source.

    Args:
        policy: None: one that names no places.
        names: of a registered source: all that it has or had.
        required: whether there must be places: nobody at a keyboard says what to read. Otherwise
            any regular file of this machine may be named as well.

    Raises:
        UsageError: none are named where they are required, or one is relative and the policy has no
            file that it could start from.
    """
    named = None if policy is None else policy.sources.places
    if named is None:
        if required:
            raise UsageError(
                "the policy does not say from where a source may deliver, and an operator reads "
                "nothing without that: add `places: [/srv/drop/{source}]`, the folders or prefixes "
                "(s3://bucket/drop/{source}) that you give to your sources, to `sources` in the "
                "policy"
            )
        return OF_THIS_MACHINE
    folder = None if policy is None else policy.folder
    relative = [text for text in named if not text.startswith("/") and "://" not in text]
    if folder is None and relative:
        raise UsageError(
            f"sources.places: {excerpt(relative[0], 80)!r} is relative, but the policy comes from "
            "no file: write the whole path"
        )
    read = tuple(read_place(text, folder=folder, source=name) for name in names for text in named)
    return Places(read, own_files=not required)


def check_address(text: str, places: Places) -> Address:
    """What an address stands for, if a delivery may come from there; nothing is opened yet.

    Of several files in one address it is the folder that all of them lie in.

    Raises:
        DeliveryError: ``outside_places``, ``chained_address``, ``unknown_scheme``, ``bad_address``.
    """
    several = split_several(text)
    if several is not None:
        for one in several.addresses:
            check_address(one, places)
        return check_address(several.folder, places)
    try:
        address = read_address(as_folder(text))
    except AddressError as error:
        raise DeliveryError(str(error), code=error.code) from None
    if places.own_files and address.scheme == LOCAL:
        return address
    if not places.places:
        raise DeliveryError(
            f"{safe_uri(text)} is not on this machine: name its prefix in the policy, as "
            f"sources.places, such as [s3://bucket/drop/{SOURCE}]",
            code="outside_places",
        )
    if _place_of(address, places.places) is None:
        raise DeliveryError(
            f"{_shown(address)} lies in none of the places that the policy has for this source "
            f"({', '.join(map(_shown, places.places))}): deliver it there, or name its place in "
            "sources.places",
            code="outside_places",
        )
    return address


def open_delivery(text: str, places: Places) -> IO[bytes]:
    """Opens a delivery or its manifest for reading from the start to the end.

    Raises:
        DeliveryError: a code of `check_address`; ``link`` or ``not_a_regular_file`` for what is
            something else than a file; ``unreadable``: its permissions, or no file can have that
            name.
        NotArrivedError: it, or the folder where it should be, is not there (yet).
        SystemFaultError: the place may not be entered, or the disk or the network fails.
    """
    address = check_address(text, places)
    if address.scheme != LOCAL:
        return _remote.open_remote(address)
    place = _place_of(address, places.places)
    shown = _shown(address)
    root, names = _start(address, place)
    try:
        return _open_local(root, names, shown)
    except OSError as error:
        raise _fault(error, root, shown) from error


def open_folder(text: str, places: Places) -> Whole | None:
    """Opens a folder that is delivered as a whole.

    Args:
        text: its address.
        places: from where it may come.

    Returns:
        A folder, to be closed. None for what is no folder: `open_delivery` opens it, or says what
        is wrong with it.

    Raises:
        DeliveryError: a code of `check_address`.
        SystemFaultError: its bucket or machine cannot be reached now.
        UsageError: the driver for such addresses is not installed.
    """
    address = check_address(text, places)
    shown = _shown(address)
    if address.scheme in ("http", "https"):  # which list nothing
        return None
    if address.scheme != LOCAL:
        return _remote_folder(address, shown)
    root, names = _start(address, _place_of(address, places.places))
    try:
        return LocalFolder(_reach(root, names, _FOLDER, shown), shown)
    except (OSError, DeliveryError):
        return None


def as_folder(text: str) -> str:
    """An address in a bucket without the slash behind it, which says that it is a folder."""
    scheme = text.partition("://")[0].lower()
    return text[:-1] if scheme in BUCKETS and text.endswith("/") else text


def _remote_folder(address: Address, shown: str) -> RemoteFolder | None:
    files, path = _remote.file_system(address.uri, shown)
    try:
        files.invalidate_cache()  # what was not there before may have come
        found = bool(files.isdir(path))
    except ValueError:  # no file can have that name: `open_delivery` says so
        return None
    except Exception as error:
        raise _remote.remote_fault(shown, error) from None
    return RemoteFolder(files, path, shown) if found else None


def _fault(error: OSError, root: str, shown: str) -> LazarettoError:
    """Whose fault it is that a file of this machine cannot be opened.

    The place is the operator's, and what lies below it is the source's. Where the system says
    anything else than that there is no such file or that it may not be read, it is the disk's.
    """
    if error.errno == errno.ENOENT:
        return _remote.not_arrived(shown)
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    if error.errno in (errno.EACCES, errno.EPERM):
        if error.filename == root:
            return SystemFaultError(
                f"{shown}: this process (user {os.geteuid()}) may not enter the folder {root}: "
                "whoever runs it must allow that"
            )
        return DeliveryError(
            f"{shown} cannot be opened: the permissions of {excerpt(str(error.filename), 80)!r} in "
            f"it do not let this process (user {os.geteuid()}) read it: whoever delivers it must "
            "allow that",
            code=_UNREADABLE,
        )
    if error.errno in (errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
        return DeliveryError(f"{shown} cannot be opened: {reason}", code=_UNREADABLE)
    return _remote.cannot_be_reached(shown, error)


def describe_kind(mode: int) -> str:
    """What a path leads to, in words, by its ``st_mode``."""
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for check, name in kinds if check(mode)), "no file")


def _place_of(address: Address, places: tuple[Address, ...]) -> Address | None:
    """The place that an address lies in, by the place's name or by where that leads today."""
    found = within(places, address)
    if found is None and address.scheme == LOCAL:
        found = within([_resolved(p) for p in places if p.scheme == LOCAL], address)
    return found


def _resolved(place: Address) -> Address:
    """Where a place leads: a link that the operator made is the operator's choice."""
    return read_address(os.path.realpath(place.uri))


def _start(address: Address, place: Address | None) -> tuple[str, tuple[str, ...]]:
    """The folder that may be reached through links, and the names from there on, which may not."""
    if place is not None:
        root, below = os.path.realpath(place.uri), address.parts[len(place.parts) :]
        # A place may be one file.
        return (root, below) if below else (str(Path(root).parent), (Path(root).name,))
    if len(address.parts) < 2:
        return "/", address.parts
    # Only the system's administrator makes links in /, such as /home or /tmp to another disk.
    return os.path.realpath("/" + address.parts[0]), address.parts[1:]


def _open_local(root: str, names: tuple[str, ...], shown: str) -> IO[bytes]:
    """Opens a file by its names below a folder, none of which may be a link."""
    file = _reach(root, names, _FILE, shown)
    try:
        kind = os.fstat(file).st_mode
        if not stat.S_ISREG(kind):
            raise DeliveryError(
                f"{shown} is {describe_kind(kind)}; only regular files are read", code=_NOT_REGULAR
            )
        return os.fdopen(file, "rb")
    except BaseException:
        os.close(file)
        raise


def _reach(root: str, names: tuple[str, ...], flags: int, shown: str) -> int:
    """Opens what the last name says, folder by folder."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names[:-1]:
            below = _step(name, _FOLDER, folder, shown)
            os.close(folder)
            folder = below
        return _step(names[-1] if names else ".", flags, folder, shown)
    finally:
        os.close(folder)


def _step(name: str, flags: int, folder: int, shown: str) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        # With O_DIRECTORY some systems call a link "not a directory".
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR) and _is_link(name, folder):
            raise DeliveryError(
                f"{shown}: {excerpt(name, 80)!r} in it is a link, and links are not followed: give "
                "the real path of the file",
                code=_LINK,
            ) from error
        if error.errno in (errno.ENXIO, errno.ENODEV):
            raise DeliveryError(
                f"{shown} is a socket or a device; only regular files are read",
                code=_NOT_REGULAR,
            ) from error
        raise


def _is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _shown(address: Address) -> str:
    return safe_uri(address.uri)
