"""Drift: how far a batch's columns and vectors are from what is kept of the reference's."""

from __future__ import annotations

from lazaretto.drift._compare import (
    ColumnDrift,
    column_drift,
    divergences,
    kl_band,
    psi_band,
    vector_drift,
)
from lazaretto.drift._profile import Measured, Profile, Sample

__all__ = [
    "ColumnDrift",
    "Measured",
    "Profile",
    "Sample",
    "column_drift",
    "divergences",
    "kl_band",
    "psi_band",
    "vector_drift",
]
