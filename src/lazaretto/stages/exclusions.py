"""An exclusion list: the batches that a retraining leaves out, as a file says them."""

from __future__ import annotations

import json

from lazaretto.errors import UsageError

_MOST = 1_000_000
_HOW = 'one batch id in each line, or JSON: {"batches": [...]}'


def read_exclusions(data: bytes) -> list[str]:
    r"""Batch ids of an exclusion list, each once, in order.

    Args:
        data: one id in each line, or JSON with a list ``batches``.

    Raises:
        UsageError: it is neither, or names no batch.

    Examples:
        >>> read_exclusions(b"vendor/dcc5fe7e0a36bf7862b20319c79cb46f\n")
        ['vendor/dcc5fe7e0a36bf7862b20319c79cb46f']
    """
    try:
        text = data.decode("utf-8-sig").strip()
        found = _from_json(text) if text.startswith("{") else text.splitlines()
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the exclusion list cannot be read; it is {_HOW}") from error
    names = list(dict.fromkeys(name.strip() for name in found if name.strip()))
    if not names:
        raise UsageError(f"the exclusion list names no batch; it is {_HOW}")
    if len(names) > _MOST:
        raise UsageError(f"the exclusion list names {len(names):,} batches; {_MOST:,} are possible")
    return names


def _from_json(text: str) -> list[str]:
    said = json.loads(text)["batches"] if '"batches"' in text else None
    if not isinstance(said, list) or not all(isinstance(name, str) for name in said):
        raise ValueError("no list of batches")
    return said
