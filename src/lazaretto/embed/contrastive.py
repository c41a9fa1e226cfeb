"""Images to vectors by a network that learned, without labels, which views are of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.embed.columns import image_files, is_list
from lazaretto.embed.state import Packed, pack, unpacked
from lazaretto.errors import PolicyError, ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    import pyarrow as pa
    from torch import Tensor

    Floats = npt.NDArray[np.float32]

LEAST_IMAGES = 32
"""Fewer are not learned from: most of a batch would be views of the image itself."""
_FILE_ROWS, _ROWS = 1024, 256


@dataclass(frozen=True, slots=True)
class ContrastiveEncoder(Packed):
    """What a small convolutional network says of an image, after SimCLR (Chen et al. 2020).

    Attributes:
        column: of the images.
        shape: channels, height and width that the network sees.
        files: whether the column holds PNG or JPEG files; else lists of numbers, of `shape`.
        max_pixels: a file with more is not decoded.
        tensors: float32: ``range`` (2,), least and greatest number that was fitted on, and
            ``layer0.weight`` (channels after, channels before, 3, 3), ``layer0.bias`` and so on.
    """

    column: str
    shape: tuple[int, int, int]
    files: bool
    max_pixels: int
    tensors: dict[str, Floats]

    @property
    def name(self) -> str:
        """Encoder name."""
        return f"contrastive:{self.column}"

    @property
    def dimensions(self) -> int:
        """Width of the vectors."""
        from lazaretto.embed.convolutions import CELLS

        return CELLS**2 * len(self.tensors[f"layer{len(self.tensors) // 2 - 1}.bias"])

    def to_bytes(self) -> bytes:
        """The state: a line of JSON, then safetensors."""
        head = {
            "column": self.column,
            "shape": list(self.shape),
            "files": self.files,
            "max_pixels": self.max_pixels,
        }
        return pack(head, self.tensors)

    def encode(self, chunk: pa.RecordBatch) -> Floats:
        """Float32 (n, d). What is no image that can be read gives zeros, which screening holds.

        Raises:
            ReferenceMismatchError: the column is missing, or no longer holds what it held.
            SystemFaultError: the process that decodes images cannot be started.
        """
        import torch

        from lazaretto.embed.convolutions import represent

        state = {
            name: torch.from_numpy(tensor)
            for name, tensor in self.tensors.items()
            if name != "range"
        }
        low, high = self.tensors["range"]
        out = np.zeros((chunk.num_rows, self.dimensions), np.float32)
        with torch.inference_mode():
            for start in range(0, chunk.num_rows, _FILE_ROWS):
                part = chunk.slice(start, _FILE_ROWS)
                read, usable = _images(part, self.column, self.shape, self.files, self.max_pixels)
                for rows in np.split(usable, range(_ROWS, len(usable), _ROWS)):
                    images = _scaled(torch.from_numpy(read[rows]), float(low), float(high))
                    out[start + rows] = represent(images, state).numpy()
        return out


def fit_contrastive(
    trusted: pa.Table,
    column: str,
    *,
    shape: Sequence[int] | None = None,
    dimensions: int = 128,
    size: int = 32,
    max_pixels: int = 64_000_000,
    temperature: float = 0.5,
    epochs: int = 60,
    flip: bool = False,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> ContrastiveEncoder:
    """Fits the encoder on trusted images; no label is read, so that wrong labels cannot bend it.

    In every step each image of a batch is seen in two ways: cropped, lit otherwise, blurred, noisy.
    The network learns which two views are of one image (SimCLR: Chen, Kornblith, Norouzi, Hinton
    2020, "A simple framework for contrastive learning of visual representations", section 2.1).
    Three convolutions at most: for small pictures, and for what a CPU can do.

    Args:
        trusted: rows; those without an image that can be read are left out.
        column: of PNG or JPEG files, as bytes; or of lists of numbers, with `shape`.
        shape: channels, height and width of one list of numbers; None: the column holds files.
        dimensions: width of the vectors, a multiple of 4.
        size: side in pixels that files are scaled to.
        max_pixels: a file with more is not decoded.
        temperature: of the loss, above 0; see `lazaretto.embed.contrast.nt_xent`.
        epochs: passes over the images.
        flip: whether left and right may change places in a view.
        seed: of weights, order and views.
        progress: called with a step's name, the passes done and all passes.

    Raises:
        ReferenceMismatchError: the column is missing or holds something else, or fewer than 32
            images can be read.
        PolicyError: a number is out of range.
        SystemFaultError: the process that decodes images cannot be started.

    Examples:
        >>> import numpy as np
        >>> import pyarrow as pa
        >>> random = np.random.default_rng(0)
        >>> pixels = random.random((64, 64), dtype=np.float32)
        >>> rows = pa.table({"pixels": list(pixels)})
        >>> encoder = fit_contrastive(rows, "pixels", shape=(1, 8, 8), dimensions=16, epochs=2)
        >>> encoder.encode(rows.to_batches()[0]).shape
        (64, 16)
    """
    import torch

    from lazaretto.embed.contrast import learn
    from lazaretto.embed.convolutions import CELLS, beginning, represent
    from lazaretto.embed.views import random_view

    if dimensions < 1 or dimensions % CELLS**2 or epochs < 0 or not temperature > 0:
        raise PolicyError(
            f"contrastive: dimensions a multiple of {CELLS**2}, epochs from 0, temperature above 0"
        )
    files = shape is None
    sides = (3, size, size) if shape is None else tuple(shape)
    if len(sides) != 3 or min(sides) < 1:
        raise PolicyError("contrastive: shape is channels, height and width")
    parts = []
    for chunk in trusted.to_batches(max_chunksize=_FILE_ROWS):
        read, usable = _images(chunk, column, sides, files, max_pixels)
        parts.append(read[usable])
    images = np.concatenate(parts) if parts else np.empty((0, *sides), np.float32)
    del parts
    if len(images) < LEAST_IMAGES:
        raise ReferenceMismatchError(
            f"{len(images)} images of column {column!r} can be read: too few to fit on, "
            f"{LEAST_IMAGES} are needed"
        )
    low, high = (0.0, 255.0) if files else (float(images.min()), float(images.max()))
    kept = torch.from_numpy(images)

    chance = torch.Generator().manual_seed(seed)

    def views(places: Tensor) -> tuple[Tensor, Tensor]:
        batch = _scaled(kept[places], low, high)
        one = random_view(batch, flip=flip, generator=chance)
        return one, random_view(batch, flip=flip, generator=chance)

    learned = learn(
        len(images), beginning(sides, dimensions, chance), represent, views,
        dimensions=dimensions, temperature=temperature, epochs=epochs, chance=chance,
        progress=progress,
    )  # fmt: skip
    tensors = {name: tensor.numpy() for name, tensor in learned.items()}
    tensors["range"] = np.array([low, high], np.float32)
    return ContrastiveEncoder(column, sides, files, max_pixels, tensors)


def read_contrastive(data: bytes, name: str) -> ContrastiveEncoder:
    """The encoder whose state `ContrastiveEncoder.to_bytes` gave; `name` is for messages.

    Raises:
        PolicyError: it is not such a state.
    """
    from lazaretto.embed.convolutions import layer_count

    with unpacked(data, name, "contrastive") as (said, state):
        channels, height, width = (int(side) for side in said["shape"])
        depth, before = layer_count(height, width), channels
        fits = min(channels, height, width) > 0 and len(state) == 2 * depth + 1
        fits &= state["range"].shape == (2,)
        for number in range(depth):
            weight, bias = state[f"layer{number}.weight"], state[f"layer{number}.bias"]
            fits &= weight.shape == (len(bias), before, 3, 3)
            before = len(bias)
        fits &= before > 0 and all(tensor.dtype == np.float32 for tensor in state.values())
        column, files, most = str(said["column"]), bool(said["files"]), int(said["max_pixels"])
    if not fits:
        raise PolicyError(f"{name}: its tensors do not fit together")
    return ContrastiveEncoder(column, (channels, height, width), files, most, state)


def _images(
    chunk: pa.RecordBatch, name: str, shape: tuple[int, ...], files: bool, max_pixels: int
) -> tuple[npt.NDArray[np.uint8] | Floats, npt.NDArray[np.int64]]:
    """Pixels as they are, (n, channels, height, width), and the places of those that were read."""
    kind = chunk.schema.field(name).type if name in chunk.schema.names else None
    if files:
        if kind is not None and is_list(kind):
            raise ReferenceMismatchError(
                f"embed.columns: column {name!r} holds lists of numbers: say channels, height and "
                "width of one in embed.options.shape"
            )
        from lazaretto.embed.pixels import read_pixels

        pixels, there = read_pixels(image_files(chunk, name, "contrastive"), shape[1], max_pixels)
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), np.flatnonzero(there)
    from lazaretto.batch._columns import vectors

    if kind is None or not is_list(kind):
        raise ReferenceMismatchError(
            f"embed.columns: encoder 'contrastive' with a shape reads lists of numbers, and column "
            f"{name!r} {'is missing' if kind is None else f'has type {kind}'}"
        )
    numbers = vectors(chunk.column(name), name, int(np.prod(shape)))
    usable = np.delete(np.arange(chunk.num_rows), list(numbers.problems))
    return numbers.values.reshape(-1, *shape), usable


def _scaled(images: Tensor, low: float, high: float) -> Tensor:
    """In 0..1, where they are as those that were fitted on; what is beyond stays beyond."""
    return (images.float() - low) / max(high - low, 1e-12)
