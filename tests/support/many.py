"""How much of what is tried many times the default suite tries; LAZARETTO_LONG=1 tries it all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
_LEAST = 8


def in_full() -> bool:
    """Whether somebody takes the time: `make test-long` does."""
    return bool(os.environ.get("LAZARETTO_LONG"))


def examples(full: int) -> int:
    """Of a property test: a tenth of `full`, but at least eight where it is as many."""
    return full if in_full() else min(full, max(_LEAST, full // 10))


def some(items: Sequence[T], every: int) -> Sequence[T]:
    """The first of `every` so many, and so on."""
    return items if in_full() else items[::every]
