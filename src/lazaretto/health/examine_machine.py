"""The doctor's look at this machine: versions, libraries, room on its disks."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from lazaretto.health.examined import cannot_say, failure, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.health.examined import Line
    from lazaretto.storage.workspace import Workspace

PACKAGE = "lazaretto"
_SHOWN = (
    "sqlalchemy",
    "pyarrow",
    "deltalake",
    "pydantic",
    "numpy",
    "openlineage-python",
    "torch",
    "faiss-cpu",
    "apache-airflow",
)
_FULL = 64 * 2**20
"""Bytes of room below which no delivery can be decoded."""
_LITTLE = 2**30
"""Bytes of room below which one soon cannot."""


def versions() -> Iterator[Line]:
    """Versions of Lazaretto and of Python."""
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    try:
        own = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        yield cannot_say(
            "lazaretto", f"it is not installed as a package; {python}", "install it with pip"
        )
        return
    wanted = str(metadata.metadata(PACKAGE)["Requires-Python"] or "")
    if wanted and not _fits(platform.python_version(), wanted):
        todo = f"use a Python {wanted}"
        yield failure("lazaretto", f"{own}, {python}: made for Python {wanted}", todo)
        return
    yield ok("lazaretto", f"{own}, {python}")


def libraries() -> Iterator[Line]:
    """Versions of what it is built on, and requirements that this installation does not meet."""
    known = {name: _version(name) for name in _SHOWN}
    told = ", ".join(f"{name} {version or 'not installed'}" for name, version in known.items())
    unmet = list(_unmet())
    if unmet:
        yield failure("libraries", f"{told}. Not met: {'; '.join(unmet)}", "run `pip check`")
    else:
        yield ok("libraries", told)


def disk(workspace: Workspace | None) -> Iterator[Line]:
    """Room where deliveries are decoded, and where catalog and store are on this machine."""
    places: dict[Path, list[str]] = {}
    for path, what in _places(workspace):
        places.setdefault(_existing(path), []).append(what)
    devices: dict[int, tuple[Path, list[str]]] = {}
    for path, whats in places.items():
        first = devices.setdefault(path.stat().st_dev, (path, []))
        first[1].extend(whats)
    for path, whats in devices.values():
        free = shutil.disk_usage(path).free
        found = f"{free / 2**30:,.1f} GiB free for {' and '.join(whats)} ({path})"
        todo = f"make room there, or move the {whats[0]} to a larger disk"
        if free < _FULL:
            yield failure("disk", found, todo)
        elif free < _LITTLE:
            yield warning("disk", found, todo)
        else:
            yield ok("disk", found)
    if workspace is not None and workspace.store.is_local and not _may_write(workspace):
        yield failure(
            "disk",
            f"this user may not write to the store {workspace.store.root}",
            "give the user that runs Lazaretto the right to write there",
        )


def _places(workspace: Workspace | None) -> Iterator[tuple[Path, str]]:
    yield Path(tempfile.gettempdir()), "decoding"
    if workspace is None:
        return
    url = workspace.catalog.engine.url
    if url.get_backend_name() == "sqlite":
        yield Path(str(url.database)).absolute().parent, "catalog"
    if workspace.store.is_local:
        yield Path(workspace.store.root), "store"


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(place for place in (path, *path.parents) if place.exists())


def _may_write(workspace: Workspace) -> bool:
    return os.access(_existing(Path(workspace.store.root)), os.W_OK | os.X_OK)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _unmet() -> Iterator[str]:
    """Requirements that are not met: of the base install, and of what is installed besides."""
    from packaging.requirements import Requirement

    for text in metadata.requires(PACKAGE) or []:
        wanted = Requirement(text)
        if wanted.name == PACKAGE:
            continue
        # With every extra in turn: what an extra asks for matters where it is installed.
        base = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        found = _version(wanted.name)
        if found is None:
            if base:
                yield f"{wanted.name} is missing"
        elif (base or _of_an_extra(text)) and not wanted.specifier.contains(
            found, prereleases=True
        ):
            yield f"{wanted.name} {found} is not {wanted.specifier}"


def _of_an_extra(text: str) -> bool:
    """Whether it is of an extra that an operator installs, rather than of a developer's."""
    return "extra ==" in text and not any(name in text for name in ('"dev"', '"bench"', "'dev'"))


def _fits(version: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version, prereleases=True)
