"""Pictures for reviewers: only pixels come back, whatever a file holds beside them or does."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, PngImagePlugin

from lazaretto.embed import pixels
from lazaretto.embed.pixels import Thumbnail, read_thumbnails

SECRET = b"<script>alert(1)</script> 52.5200N 13.4050E"


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def red(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), (200, 10, 20))


def claims(width: int, height: int) -> bytes:
    """A PNG file that says that it is that large, and is a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 10_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _jpeg_with_a_place() -> bytes:
    place = Image.Exif()
    place[0x010E] = SECRET.decode()
    place[0x0112] = 6  # "turn me"
    return saved(red(60, 20), "JPEG", exif=place)


def _png_with_texts() -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", SECRET.decode(), zip=True)
    return saved(red(60, 20), pnginfo=texts)


def _animation() -> bytes:
    others = [Image.new("RGB", (60, 20), "blue")] * 3
    return saved(red(60, 20), save_all=True, append_images=others, duration=10)


GOOD = {
    "plain": saved(red(60, 20)),
    "place": _jpeg_with_a_place(),
    "texts": _png_with_texts(),
    "animation": _animation(),
    "a page as well": saved(red(60, 20)) + b"PK\x03\x04" + SECRET,
}
BAD: dict[str, bytes | None] = {
    "none": None,
    "empty": b"",
    "noise": bytes(range(256)) * 4,
    "cut off": saved(red(60, 20))[:40],
    "gif": saved(red(9, 9), "GIF"),
    "webp": saved(red(9, 9), "WEBP"),
    "tiff": saved(red(9, 9), "TIFF"),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'>" + SECRET + b"</svg>",
    "page": b"<!doctype html>" + SECRET,
    "script": b"%!PS-Adobe-3.0 EPSF-3.0\n(exec) show",
    "claims much": claims(60_000, 60_000),
    "claims more": claims(2**31 - 1, 2**31 - 1),
}


def test_only_pixels_come_back() -> None:
    found = read_thumbnails(pa.array([*GOOD.values(), *BAD.values()], pa.binary()), 32)
    for name, one in zip(GOOD, found, strict=False):
        assert isinstance(one, Thumbnail), name
        # The proportions are kept, and it is not turned as the file says.
        assert (one.width, one.height) == (32, 11), name
        rgb = np.frombuffer(one.rgb, np.uint8).reshape(11, 32, 3)
        assert np.abs(rgb.astype(int) - (200, 10, 20)).max() < 12, name
    for name, one in zip(BAD, found[len(GOOD) :], strict=True):
        assert isinstance(one, str), name
        assert ("pixels" in one) == name.startswith("claims"), (name, one)


def test_small_pictures_keep_their_size_and_long_ones_a_side() -> None:
    found = read_thumbnails(pa.array([saved(red(5, 3)), saved(red(5_000, 1))]), 64)
    sides = [(one.width, one.height) for one in found if isinstance(one, Thumbnail)]
    assert sides == [(5, 3), (64, 1)]


def test_a_picture_that_ends_the_process_is_alone_in_that(monkeypatch: pytest.MonkeyPatch) -> None:
    deadly = """
import json, os, sys
sys.path += json.loads(sys.argv[1])
import lazaretto.embed._pixels_child as child
decoded = child.decoded
child.decoded = lambda data, *a, **k: os._exit(9) if data == b"deadly" else decoded(data, *a, **k)
child.main()
"""
    monkeypatch.setattr(pixels, "_START", deadly)
    found = read_thumbnails(pa.array([GOOD["plain"], b"deadly", GOOD["place"]]), 16)
    assert [isinstance(one, Thumbnail) for one in found] == [True, False, True]
    assert "more time or memory" in str(found[1])


@pytest.mark.parametrize(
    "said",
    [
        r"b'\x01'",
        r"b'\x01\xff\xff\xff\xff' + b'x' * 99",
        r"b'\x01\x00\x00\x00\x00'",
        r"b'\x01\x02\x00\x02\x00' + b'x' * 11",
        r"b'\x07'",
    ],
)
def test_what_a_process_says_that_was_taken_over_is_bounded(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    lies = f"import os; os.write(1, b'ready\\n' + {said}); os._exit(7)"
    monkeypatch.setattr(pixels, "_START", lies)
    monkeypatch.setattr(pixels, "MOST_DEATHS", 2)
    assert all(isinstance(one, str) for one in read_thumbnails(pa.array([GOOD["plain"]] * 3), 16))
