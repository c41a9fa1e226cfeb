"""One spelling for each name: what tools write differently and mean the same."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from lazaretto.redact import carries_credentials, safe_uri

STORE = "urn:lazaretto:store"
"""Namespace of what is in this workspace's store, wherever that lies."""
RUNS = "urn:lazaretto:run"
"""Namespace of the ticks of a stream."""
PART = "\x1f"
"""Between the name of a table and the partition that is named."""
_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
_BUCKETS = frozenset(
    {"s3", "gs", "hdfs", "abfs", "abfss", "wasb", "wasbs", "oss", "dbfs", "viewfs"}
)
_HERE = frozenset({"", "localhost", "127.0.0.1", "[::1]"})
_AUTHORITY = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.\-]*)://([^/]*)(.*)$", re.DOTALL)


class Name(NamedTuple):
    """OpenLineage's address of a dataset, in one spelling."""

    namespace: str
    name: str

    @property
    def shown(self) -> str:
        """For people: a partition behind its table."""
        return self.name.replace(PART, " partition ")


@dataclass(frozen=True, slots=True)
class Names:
    """Spells names for one workspace.

    Attributes:
        root: root of the store, as it was opened.
    """

    root: str

    def spell(self, namespace: str, name: str) -> Name:
        """The one spelling of a name.

        Args:
            namespace: OpenLineage namespace.
            name: OpenLineage name.

        Examples:
            >>> Names("/data/store").spell("s3a://Lake/", "/a//b/")
            Name(namespace='s3://lake', name='a/b')
        """
        return self._in_store(_spell(namespace, name))

    def uri(self, uri: str) -> Name:
        """The name of what is at a path or URI."""
        found = _AUTHORITY.match(uri)
        if found is None:
            return self.spell("file", uri)
        scheme, host, path = found.groups()
        if scheme.lower() == "file":
            return self.spell("file" if not host else f"file://{host}", path)
        return self.spell(f"{scheme}://{host}", path)

    def _in_store(self, name: Name) -> Name:
        for namespace, root in _roots(self.root):
            shared = name.namespace.startswith("file://") and namespace == "file"
            inside = _under(name.name, root)
            if (name.namespace == namespace or shared) and inside is not None:
                return Name(STORE, inside)
        if name.namespace == "file" and (real := _real(name.name)) != name.name:
            for namespace, root in _roots(self.root):
                inside = _under(real, root)
                if namespace == "file" and inside is not None:
                    return Name(STORE, inside)
        return name


def dataset_in_store(name: Name) -> str | None:
    """The admitted dataset that a name is of; None: it is of none."""
    return _in_folder(name, "datasets")


def source_in_store(name: Name) -> str | None:
    """The source whose batches a name is of; None: it is of none."""
    return _in_folder(name, "batches")


def _in_folder(name: Name, folder: str) -> str | None:
    if name.namespace != STORE:
        return None
    first, _, rest = name.name.partition("/")
    return rest if first == folder and rest and "/" not in rest else None


def registry(text: str) -> str:
    """The one spelling of a model registry's namespace."""
    return _spell(text, "-").namespace


@lru_cache(maxsize=8192)
def _spell(namespace: str, name: str) -> Name:
    if carries_credentials(namespace):
        namespace = safe_uri(namespace)
    found = _AUTHORITY.match(namespace)
    if found is None:
        scheme = namespace.rstrip("/").lower()
        if scheme in ("file", "file:"):
            return Name("file", _path(name))
        # A namespace that is no address, such as a registry's name: letters count.
        return Name(namespace.rstrip("/") or namespace, name.rstrip("/") or name)
    scheme, host, path = found.groups()
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower())
    host = host.lower()
    if scheme == "file":
        whole = name if name.startswith("/") or not path.strip("/") else f"{path}/{name}"
        return Name("file" if host in _HERE else f"file://{host}", _path(whole))
    tail = "/".join(part for part in path.split("/") if part)
    space = f"{scheme}://{host}" + (f"/{tail}" if tail else "")
    if scheme in _BUCKETS:
        return Name(space, _path(name).lstrip("/") or "/")
    return Name(space, name.rstrip("/") or name)


def _path(text: str) -> str:
    path = posixpath.normpath("/" + text if not text.startswith("/") else text)
    path = "/" + path.lstrip("/")
    return path if text.startswith("/") else path[1:]


def _under(path: str, root: str) -> str | None:
    start = root.rstrip("/") + "/" if root != "/" else ""
    return path[len(start) :] if path.startswith(start) and len(path) > len(start) else None


@lru_cache(maxsize=64)
def _roots(root: str) -> tuple[tuple[str, str], ...]:
    """The names of the store's root: as it was opened, and without symbolic links."""
    found = _AUTHORITY.match(root)
    if found is not None and found.group(1).lower() != "file":
        scheme, host, path = found.groups()
        name = _spell(f"{scheme}://{host}", path or "/")
        return ((name.namespace, name.name),)
    path = found.group(3) if found is not None else root
    spelled = _path(os.path.abspath(path))  # noqa: PTH100  links are kept
    return tuple(dict.fromkeys((("file", spelled), ("file", _real(spelled)))))


@lru_cache(maxsize=8192)
def _real(path: str) -> str:
    """A local path without symbolic links, as far as there is anything."""
    try:
        return os.path.realpath(path) if path.startswith("/") else path
    except ValueError:  # no path can have such characters
        return path
