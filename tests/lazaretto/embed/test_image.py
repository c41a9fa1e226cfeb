"""Images to vectors: what is hostile is told apart, and nothing else suffers for it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest
from embed_policies import policy
from PIL import Image

from lazaretto.embed import load_encoder, pixels
from lazaretto.embed.image import features
from lazaretto.errors import PolicyError, ReferenceMismatchError, SystemFaultError

RNG = np.random.default_rng(0)


def file(values: np.ndarray, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(values).save(data, kind)
    return data.getvalue()


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def png(width: int, height: int, body: bytes) -> bytes:
    """A PNG file of grey pixels, by hand: it may claim any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def encode(images: list[bytes | None], **options: object) -> np.ndarray:
    chosen = policy({"encoder": "image", "columns": ["image"], "options": options})
    return load_encoder(chosen).encode(pa.record_batch({"image": pa.array(images, pa.binary())}))


GOOD = {
    "grey": file(noise(20, 31)),
    "colour": file(noise(20, 31, 3)),
    "transparent": file(noise(20, 31, 4)),
    "jpeg": file(noise(20, 31, 3), "JPEG"),
    "deep": file(RNG.integers(0, 65535, (9, 9)).astype(np.uint16)),
    "black": file(np.zeros((4, 4), np.uint8)),
    "tiny": file(noise(1, 1)),
}
BAD: dict[str, bytes | None] = {
    "none": None,
    "empty": b"",
    "text": b"not an image",
    "gif": file(noise(8, 8), "GIF"),
    "truncated": GOOD["colour"][:-40],
    "huge": png(60_000, 60_000, zlib.compress(b"\0" * 1000)),
    "a bomb": png(9_000, 9_000, zlib.compress(b"\0" * 9_001 * 9_000)),
    "a claim": png(2**31 - 1, 1, b""),
}


def test_every_kind_of_image_has_a_vector_and_nothing_else_has() -> None:
    rows = encode([*GOOD.values(), *BAD.values()], max_pixels=10_000_000)
    read = dict(zip([*GOOD, *BAD], (row.any() for row in rows), strict=True))
    assert {name for name, there in read.items() if there} == set(GOOD)
    assert np.isfinite(rows).all()
    assert rows.shape[1] == 320


def test_an_image_has_the_same_vector_alone_and_among_others() -> None:
    together = encode([*BAD.values(), *GOOD.values()])
    np.testing.assert_array_equal(together[-1:], encode([GOOD["tiny"]]))
    np.testing.assert_array_equal(encode([GOOD["grey"]] * 2000)[-1], encode([GOOD["grey"]])[0])


DEADLY = """
import json, os, sys
sys.path += json.loads(sys.argv[1])
import lazaretto.embed._pixels_child as child
decoded = child.decoded
child.decoded = lambda data, *a, **k: os._exit(9) if data == b"deadly" else decoded(data, *a, **k)
child.main()
"""


def test_an_image_that_ends_the_process_is_alone_in_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "_START", DEADLY)
    rows = encode([GOOD["grey"], b"deadly", GOOD["colour"], b"deadly", b"deadly", GOOD["jpeg"]])
    assert rows.any(1).tolist() == [True, False, True, False, False, True]
    monkeypatch.setattr(pixels, "MOST_DEATHS", 3)
    many = encode([b"deadly"] * 5 + [GOOD["grey"]])
    assert not many.any(), "what would take a process for each image is given up"


def test_what_only_the_machine_can_cause_is_no_images_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed = "import os, signal; os.write(1, b'ready\\n'); os.kill(os.getpid(), signal.SIGKILL)"
    for start in (killed, "raise SystemExit(1)"):
        monkeypatch.setattr(pixels, "_START", start)
        with pytest.raises(SystemFaultError):
            encode([GOOD["grey"]])


def test_an_image_does_not_pay_for_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large images use up the process's time; whichever is at work then is tried again."""
    large = png(9_000, 3_000, zlib.compress(b"\0" * 9_001 * 3_000))
    monkeypatch.setattr(pixels, "SECONDS", 1)
    assert encode([large] * 25 + [GOOD["deep"]]).any(1).all()


def test_what_a_process_says_that_was_taken_over_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lies = "import os; os.write(1, b'ready\\n' + b'\\x01' + b'x' * 10); os._exit(7)"
    monkeypatch.setattr(pixels, "_START", lies)
    assert not encode([GOOD["grey"]] * 40).any()


def test_a_patch_and_another_shape_are_seen() -> None:
    images = np.zeros((3, 32, 32, 3), np.uint8)
    images[1, -4:, -4:] = 255
    images[2, 8:24, 15:17] = 255
    rows = features(images)
    assert np.linalg.norm(rows[1] - rows[0]) > 0.5
    assert np.linalg.norm(rows[2] - rows[0]) > 0.5
    assert (np.linalg.norm(rows, axis=1) > 0).all()


def test_mistakes_name_the_column_and_the_key() -> None:
    chosen = policy({"encoder": "image", "columns": ["label"]})
    with pytest.raises(ReferenceMismatchError, match="'label' has type int64"):
        load_encoder(chosen).encode(pa.record_batch({"label": [1]}))
    for embed, message in (
        ({"columns": ["a", "b"]}, "reads one column, not 2"),
        ({"columns": ["a"], "options": {"size": 33}}, r"embed\.options\.size"),
        (
            {"columns": ["a"], "model": "reference"},
            "hashing, instruction, tabular, not 'image'",
        ),
    ):
        with pytest.raises(PolicyError, match=message):
            load_encoder(policy({"encoder": "image"} | embed))
