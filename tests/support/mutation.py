"""Changes files in ways that break decoders: bytes, numbers, pieces; repeatable by its seed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

SEEDS = Path(__file__).parents[1] / "lazaretto" / "decode_seeds"
"""Small valid files of every format; in ``broke``, those that ever broke something."""
FORMATS = ("parquet", "arrow", "csv", "jsonl", "json")
_NUMBERS = (0, 1, 7, 127, 128, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, -1)
_TOKENS = (
    *(b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"\\"),
    *(b"{", b"}", b"[", b"]", b"{}", b"[]", b":", b"null", b"true", b"NaN", b"-", b"1e999", b"0x1"),
    *(b"99999999999999999999", b"-9223372036854775808", b"2026-02-30", b"10:00", b"\\ud800"),
    *(b'{"a":1}', b"[" * 30, b"\x1b[31m", b"\xe2\x80\xae", b" ", b"\t", b"a" * 600),
)


def seeds(kind: str) -> list[bytes]:
    """The seeds of a format, in order of name."""
    return [path.read_bytes() for path in sorted(SEEDS.glob(f"*.{kind}"))]


def mutated(kind: str, known: list[bytes], random: Random) -> bytes:
    """A seed with a few changes; what tells its format mostly stays."""
    data = bytearray(random.choice(known))
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5, 9))):
        _change(data, known, random, text=kind in ("csv", "jsonl", "json"))
    magic = {"parquet": b"PAR1", "arrow": b"ARROW1"}.get(kind)
    if magic is not None and random.random() < 0.9:
        data[: len(magic)] = magic
        data[-len(magic) :] = magic
    return bytes(data)


def _change(data: bytearray, known: list[bytes], random: Random, *, text: bool) -> None:
    size = len(data)
    at = _place(size, random)
    stop = min(size, at + random.choice((1, 2, 4, 8, 16, 64, 256)))
    # Of a binary file, more often what keeps its length: else few get past their footers.
    match random.choice("bfnitdrsz" if text else "bbbffffnnnitdrssz"):
        case "b":
            data[at : at + 1] = bytes([random.randrange(256)])
        case "f":
            if at < size:
                data[at] ^= 1 << random.randrange(8)
        case "n":
            value, width = random.choice(_NUMBERS), random.choice((4, 8))
            packed = struct.pack("<Q", value & (2**64 - 1))[:width]
            data[at : at + (0 if text else width)] = str(value).encode() if text else packed
        case "i":
            data[at:at] = random.choice(_TOKENS) if text else _varint(random)
        case "t":
            data[at:stop] = random.choice(_TOKENS) if text else _varint(random)
        case "d":
            del data[at:stop]
        case "r":
            data[at:at] = data[at:stop] * random.choice((1, 1, 2, 50))
        case "s":
            other = random.choice(known)
            start = _place(len(other), random)
            data[at:stop] = other[start : start + stop - at]
        case "z":
            data[at:stop] = bytes(0 if text else stop - at)


def _place(size: int, random: Random) -> int:
    """Anywhere; now and then near the end, where footers are."""
    if random.random() < 0.7:
        return random.randrange(size + 1)
    return max(0, size - 1 - min(int(random.expovariate(1 / 120)), size))


def _varint(random: Random) -> bytes:
    value, found = random.choice(_NUMBERS) & (2**64 - 1), bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
