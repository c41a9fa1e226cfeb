"""What may name a dataset, what its asset is called in Airflow, and how a registry is compared."""

from __future__ import annotations

import posixpath
import re

from lazaretto.errors import UsageError
from lazaretto.redact import safe_uri
from lazaretto.text import excerpt

DATASET_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
"""Letters, digits, ``_``, ``.`` and ``-``, at most 128, the first a letter or digit."""

# Marquez turns any other character of a namespace into "_", which would make a second namespace.
_NOT_IN_NAMESPACE = re.compile(r"[^a-z:/A-Z0-9\-_.@+]")
_DATASET = re.compile(DATASET_PATTERN.removesuffix("$") + r"\Z")


def check_dataset_name(name: str) -> str:
    """The name, if it can be a dataset's: one folder of its own, beside those of the others.

    Raises:
        UsageError: it is empty, too long, begins with a dot, or holds a slash or another character
            that a folder, a URI or a log line gives a meaning to.
    """
    if not _DATASET.match(name):
        raise UsageError(
            f"{excerpt(name, 80)!r} cannot name a dataset: letters, digits, '_', '.' and '-', at "
            "most 128, the first a letter or digit"
        )
    return name


def asset_name(dataset: str) -> str:
    """Name of the Airflow asset that an admitted dataset is, such as ``lazaretto-reviews``."""
    return f"lazaretto-{dataset}"


def asset_uri(dataset: str) -> str:
    """URI of the same asset, such as ``lazaretto://reviews``."""
    return f"lazaretto://{dataset}"


def namespace_text(text: str) -> str:
    """A namespace with ``_`` for each character that lineage backends do not keep."""
    return _NOT_IN_NAMESPACE.sub("_", text)


def registry_name(registry: str) -> str:
    """Namespace of a model registry as it is compared, without credentials.

    Scheme and host in capitals, slashes that are doubled or at the end, ``.`` and ``..`` make no
    other registry of it.

    Examples:
        >>> registry_name("MLflow://Models.Example:5000/")
        'mlflow://models.example:5000'
    """
    scheme, separator, rest = safe_uri(registry.strip()).partition("://")
    if not separator:
        return namespace_text(scheme.rstrip("/"))
    host, _, path = rest.partition("/")
    below = posixpath.normpath("/" + path.lstrip("/")).rstrip("/")
    return namespace_text(f"{scheme.lower()}://{host.lower()}{below}")
