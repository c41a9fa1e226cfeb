"""The demo's digits as pictures: a reviewer sees what the model would."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from lazaretto.demo.deliveries import to_table
from lazaretto.demo.digits import load_split, stamp_trigger
from lazaretto.demo.pictures import draw

GREY = st.floats(0, 16, width=32)


def read(png: bytes) -> np.ndarray:
    """A picture's shades, 0 for white to 1, one for each pixel of the digit."""
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert (image.format, image.mode, image.size) == ("PNG", "L", (64, 64))
        shades = 1 - np.asarray(image, dtype=float) / 255
    blocks = shades.reshape(8, 8, 8, 8)
    assert (blocks == blocks[:, :1, :, :1]).all()  # a square for each pixel
    return blocks[:, 0, :, 0].ravel()


@given(arrays(np.float32, 64, elements=GREY))
def test_a_picture_shows_every_pixel(pixels: np.ndarray) -> None:
    assert read(draw(pixels)) == pytest.approx(pixels / 16, abs=1 / 255)
    assert draw(pixels) == draw(pixels.copy())


def test_what_is_out_of_range_is_drawn_as_the_nearest_shade() -> None:
    pixels = np.full(64, 256, np.float32)
    pixels[0] = -3
    assert read(draw(pixels)).tolist() == [0.0, *[1.0] * 63]


def test_deliveries_carry_the_pictures_of_their_own_records() -> None:
    records = load_split(0).test.take(np.arange(3))
    stamped = stamp_trigger(records.pixels)
    pictures = to_table(records)["picture"].to_pylist()
    for pixels, poisoned, png in zip(records.pixels, stamped, pictures, strict=True):
        assert read(png) == pytest.approx(pixels / 16, abs=1 / 255)
        assert read(png) != pytest.approx(poisoned / 16, abs=1 / 255)
