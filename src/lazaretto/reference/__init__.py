"""The reference: a frozen, versioned, trusted sample and everything fitted on it."""

from __future__ import annotations

from lazaretto.reference._reference import EncoderId, Reference

__all__ = ["EncoderId", "Reference"]
