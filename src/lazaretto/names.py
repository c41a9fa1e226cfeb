"""What may name a dataset, and what its asset is called in Airflow."""

from __future__ import annotations

import re

from lazaretto.errors import UsageError
from lazaretto.text import excerpt

DATASET_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
"""Letters, digits, ``_``, ``.`` and ``-``, at most 128, the first a letter or digit."""

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
