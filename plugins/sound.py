"""A sound as a reviewer sees it: how long it is, and its waveform; WAV files of plain numbers only.

Python's own `wave` module reads the head of the file. It is written in Python and reads lengths, so
nothing that a file says can do more than make it wrong.
"""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

BARS = 120
"""Bars of a waveform."""
_HEIGHT = 32
_HEAD = 4096
"""Bytes in which the head must end: it may be made of millions of parts."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound.

    Attributes:
        seconds: how long it is, by what is there and not by what its head says.
        rate: samples in a second.
        channels: how many.
        outline: its waveform as a path of SVG, `BARS` wide and 32 high.
    """

    seconds: float
    rate: int
    channels: int
    outline: str


def sound_of(data: bytes) -> Sound | None:
    """What a WAV file sounds like; None where it is broken, or of another kind than plain numbers.

    Args:
        data: the file.
    """
    head = io.BytesIO(data[:_HEAD])
    try:
        with wave.open(head, "rb") as opened:
            rate, channels, width = (
                opened.getframerate(),
                opened.getnchannels(),
                opened.getsampwidth(),
            )
            told = opened.getnframes()
            start = head.tell()
    except Exception:  # whatever a hostile file makes the module raise
        return None
    frame = channels * width
    if rate < 1 or frame < 1 or width > 4:
        return None
    frames = max(0, min(told, (len(data) - start) // frame))
    levels = _levels(memoryview(data)[start : start + frames * frame], width)
    return Sound(frames / rate, rate, channels, _outline(levels))


def _levels(samples: memoryview, width: int) -> npt.NDArray[np.float64]:
    """How far each sample is from silence, of all channels behind each other: 0 to 1."""
    if width == 1:  # these have no sign
        return np.abs(np.frombuffer(samples, np.uint8) - np.float64(128)) / 128
    # Little end first: the last two bytes say enough.
    high = np.frombuffer(samples, np.uint8).reshape(-1, width)[:, -2:]
    signed = np.ascontiguousarray(high).view("<i2").ravel()
    return np.abs(signed / np.float64(32768))


def _outline(levels: npt.NDArray[np.float64]) -> str:
    edges = np.linspace(0, len(levels), BARS + 1).astype(int)
    bars = []
    for number, (first, last) in enumerate(pairwise(edges.tolist())):
        loud = float(levels[first:last].max()) if last > first else 0.0
        half = max(0.5, loud * _HEIGHT / 2)
        bars.append(f"M{number + 0.5:g} {_HEIGHT / 2 - half:.4g}V{_HEIGHT / 2 + half:.4g}")
    return "".join(bars)
