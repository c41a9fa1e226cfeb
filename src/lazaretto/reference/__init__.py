"""The reference: a frozen, versioned, trusted sample and everything fitted on it."""

from __future__ import annotations

from lazaretto.reference._reference import Reference
from lazaretto.reference._state import EncoderId

__all__ = ["EncoderId", "Reference"]
