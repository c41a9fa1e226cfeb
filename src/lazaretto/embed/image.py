"""Images to vectors without any model: colours on a coarse grid, and where edges run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.embed.columns import image_files
from lazaretto.embed.identity import identity_digest

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float32]

GRID = 8
"""Cells per side of the grid of colours."""
CELLS, DIRECTIONS = 4, 8
"""Cells per side, and directions, of the histograms of edges."""
_ROWS = 1024


@dataclass(frozen=True, slots=True)
class ImageEncoder:
    """A thumbnail and histograms of oriented gradients (Dalal and Triggs, CVPR 2005, section 6).

    An image is decoded in a process with limits (`lazaretto.embed.pixels`) and scaled to a square.
    Its vector is the mean colour of each cell of an 8 x 8 grid (192 numbers), and for each cell of
    a 4 x 4 grid how strong its edges are in each of 8 directions (128 numbers). So a bright patch
    in a corner shows, and so does another shape; what an object is called does not.

    Attributes:
        column: of PNG or JPEG files, as bytes.
        size: side of the square, a multiple of 8.
        max_pixels: what has more is not decoded.
    """

    column: str
    size: int = 32
    max_pixels: int = 64_000_000

    @property
    def name(self) -> str:
        """Encoder name."""
        return f"image:{self.column}"

    @property
    def dimensions(self) -> int:
        """Width of the vectors: 320."""
        return GRID * GRID * 3 + CELLS * CELLS * DIRECTIONS

    @property
    def weights(self) -> str:
        """Nothing is learned."""
        return ""

    @property
    def digest(self) -> str:
        """sha256 over column and size."""
        return identity_digest("image", "", {"column": self.column, "size": self.size})

    def encode(self, chunk: pa.RecordBatch) -> Floats:
        """Float32 (n, 320). What is no image that can be read gives zeros, which screening holds.

        Raises:
            ReferenceMismatchError: the column is missing, or does not hold bytes.
            SystemFaultError: the process that decodes images cannot be started.
        """
        from lazaretto.embed.pixels import read_pixels

        values = image_files(chunk, self.column, "image")
        out = np.zeros((len(values), self.dimensions), dtype=np.float32)
        for start in range(0, len(values), _ROWS):
            part = values.slice(start, _ROWS)
            pixels, there = read_pixels(part, self.size, self.max_pixels)
            if there.any():
                out[start : start + len(part)][there] = features(pixels[there])
        return out


def features(pixels: npt.NDArray[np.uint8]) -> Floats:
    """Vectors of images.

    Args:
        pixels: uint8 (n, size, size, 3), red, green and blue; n is at least 1, and `size` is a
            multiple of 8.

    Returns:
        Float32 (n, 320); never all zeros, not for a black image either.
    """
    images = (pixels.astype(np.float32) + 1) / 256
    count, size = images.shape[:2]
    side = size // GRID
    colours = images.reshape(count, GRID, side, GRID, side, 3).mean((2, 4)).reshape(count, -1)
    grey = images.mean(3)
    down, right = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(down, right)
    # A direction and its opposite are one edge.
    turn = (np.arctan2(down, right) % np.pi) / np.pi * DIRECTIONS
    bins = np.minimum(turn.astype(np.int64), DIRECTIONS - 1)
    edges = np.zeros((count, CELLS, CELLS, DIRECTIONS), dtype=np.float32)
    side = size // CELLS
    for direction in range(DIRECTIONS):
        of_it = np.where(bins == direction, strength, 0)
        edges[..., direction] = of_it.reshape(count, CELLS, side, CELLS, side).sum((2, 4))
    # Contrast differs from picture to picture more than shape does.
    norms = np.linalg.norm(edges, axis=3, keepdims=True)
    edges = edges / (norms + 0.1)
    return np.concatenate([colours, edges.reshape(count, -1)], axis=1, dtype=np.float32)
