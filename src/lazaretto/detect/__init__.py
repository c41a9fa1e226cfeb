"""Detectors, one per file: each scores a record from the record and the reference alone."""

from __future__ import annotations

from lazaretto.detect.base import Chunk, Detector, Split
from lazaretto.detect.registry import detector_names, make_detector

__all__ = ["Chunk", "Detector", "Split", "detector_names", "make_detector"]
