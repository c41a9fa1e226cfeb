"""Routine cleaning: deceiving characters, damaged texts, copies and odd lengths, as findings.

Functions from Arrow columns to findings. What earlier batches tell comes from whoever calls.
"""

from __future__ import annotations

from lazaretto.cleaning._findings import findings_schema
from lazaretto.cleaning._keys import content_keys
from lazaretto.cleaning._lengths import needed
from lazaretto.cleaning._near import BANDS, HASHES, similarity, sketches
from lazaretto.cleaning._plan import Plan, contents
from lazaretto.cleaning._report import CleaningReport, Known, Original, report
from lazaretto.cleaning._scan import FIXES, Scan, scan

__all__ = [
    "BANDS",
    "FIXES",
    "HASHES",
    "CleaningReport",
    "Known",
    "Original",
    "Plan",
    "Scan",
    "content_keys",
    "contents",
    "findings_schema",
    "needed",
    "report",
    "scan",
    "similarity",
    "sketches",
]
