"""A digit as a picture that a reviewer can look at: a small PNG file.

Written here and not by Pillow: the demo needs no more than `lazaretto[airflow]`, which has no
library that writes pictures, and a grey PNG is four short parts (PNG specification, section 11).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from lazaretto.demo.digits import BRIGHTEST, SIDE, Floats

_ZOOM = 8
_WHITE = 255
_GREY_8_BIT = bytes([8, 0, 0, 0, 0])  # depth, colour, compression, filter, interlace


def draw(pixels: Floats) -> bytes:
    """The digit as a grey PNG of 64 by 64 pixels, dark on white.

    Args:
        pixels: (64,) grey values; what is outside of 0 to 16 is drawn as the nearest of them.

    Returns:
        The file's bytes; the same for the same values.
    """
    shade = np.clip(pixels / BRIGHTEST, 0, 1).reshape(SIDE, SIDE)
    image = np.kron(_WHITE * (1 - shade), np.ones((_ZOOM, _ZOOM))).astype(np.uint8)
    # Each row begins with the number of its filter: 0, none.
    rows = np.pad(image, ((0, 0), (1, 0))).tobytes()
    side = SIDE * _ZOOM
    header = struct.pack(">II", side, side) + _GREY_8_BIT
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
