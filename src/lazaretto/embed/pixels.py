"""Decodes images in a process of its own, with limits, that hostile bytes may kill.

An image that cannot be read, is too large or ends the process is told apart from the others; no
other image suffers for it. What comes back is pixels: nothing else of a file ever does.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from lazaretto.batch._box import environment
from lazaretto.embed._pixels_child import (
    CANNOT_ANSWER,
    NOT_READ,
    READ,
    READY,
    SIDES,
    TOO_MANY_PIXELS,
)
from lazaretto.errors import SystemFaultError
from lazaretto.faults import as_system_fault
from lazaretto.folders import working_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import IO

    import numpy.typing as npt
    import pyarrow as pa

MOST_DEATHS = 16
"""From so many images of one chunk on that end the process, the rest of the chunk is not tried."""
MEMORY = 2 * 2**30
"""Address space of the process."""
SECONDS, WALL_SECONDS = 60, 120
"""Its processor time, and its time by the clock, for a chunk of a delivery."""
SHOWN_SECONDS, SHOWN_WALL_SECONDS = 10, 20
"""The same where somebody waits for a page."""
MAX_SHOWN_PIXELS = 40_000_000
"""An image with more, by its header, is not shown."""

_START = (
    "import json, sys; sys.path += json.loads(sys.argv[1]); "
    "from lazaretto.embed._pixels_child import main; main()"
)


def read_pixels(
    images: pa.Array, size: int, max_pixels: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Decodes PNG and JPEG files, and scales each to a square.

    Args:
        images: binary (n,); null is no image.
        size: side of the squares, pixels.
        max_pixels: an image with more, by its header, is not decoded.

    Returns:
        uint8 (n, size, size, 3), red, green and blue; and bool (n,), which of them could be read.

    Raises:
        SystemFaultError: the process cannot be started, the disk is full, or the machine has less
            memory than the process may use.
    """
    pixels = np.zeros((len(images), size, size, 3), dtype=np.uint8)
    there = np.zeros(len(images), dtype=bool)
    request = {"size": size, "max_pixels": max_pixels, "keep": False, "seconds": SECONDS}

    def take(start: int, answer: IO[bytes]) -> int:
        return _take(answer, pixels[start:], there[start:])

    _decode(images, request, WALL_SECONDS, take)
    return pixels, there


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """An image as it is shown: made anew of its pixels.

    Attributes:
        width: pixels.
        height: pixels.
        rgb: height x width x 3 bytes, red, green and blue.
    """

    width: int
    height: int
    rgb: bytes


def read_thumbnails(images: pa.Array, size: int) -> list[Thumbnail | str]:
    """Decodes PNG and JPEG files for people to look at; the proportions are kept.

    They are shown as the encoder ``image`` reads them: without what the file says about turning it,
    and of an animation the first picture.

    Args:
        images: binary (n,); null is no image.
        size: longer side at most, pixels, up to 65,535; a smaller image keeps its size.

    Returns:
        For each image what can be shown, or why nothing can, in words.

    Raises:
        SystemFaultError: as of `read_pixels`.
    """
    found: list[Thumbnail | str] = ["decoding it takes more time or memory than it may"] * len(
        images
    )
    request = {
        "size": size,
        "max_pixels": MAX_SHOWN_PIXELS,
        "keep": True,
        "seconds": SHOWN_SECONDS,
    }

    def take(start: int, answer: IO[bytes]) -> int:
        return _take_thumbnails(answer, size, found, start)

    _decode(images, request, SHOWN_WALL_SECONDS, take)
    return found


def _decode(
    images: pa.Array,
    request: Mapping[str, object],
    wall_seconds: int,
    take: Callable[[int, IO[bytes]], int],
) -> None:
    """Starts processes until every image had its turn.

    Args:
        images: binary.
        request: to the process.
        wall_seconds: of one process.
        take: reads an answer about the images from a place on, and says about how many it is.
    """
    start = deaths = 0
    while start < len(images) and deaths < MOST_DEATHS:
        done = _run(images.slice(start), request, wall_seconds, partial(take, start))
        # The process may have ended at an image because of those before it, which took its time:
        # that image is tried again, and only the first of a process is to blame for its end.
        deaths += done == 0
        start += max(done, 1)


def _run(
    images: pa.Array,
    request: Mapping[str, object],
    wall_seconds: int,
    take: Callable[[IO[bytes]], int],
) -> int:
    """Starts the process on some images; how many it answered for."""
    lengths = pc.fill_null(pc.binary_length(images), 0).to_pylist()
    whole = {**request, "memory": MEMORY, "lengths": lengths}
    with working_folder() as folder, as_system_fault("images cannot be decoded on this machine"):
        with (folder / "given").open("wb") as file:
            file.write(json.dumps(whole).encode() + b"\n")
            for image in images:
                file.write(image.as_py() or b"")
        ended = _wait(folder, wall_seconds)
        # Somebody else killed it, which is what a machine does that runs out of memory.
        if ended in (CANNOT_ANSWER, -signal.SIGKILL):
            raise SystemFaultError(
                "images cannot be decoded on this machine: its disk is full, or it has too little "
                f"memory for a process with {MEMORY:,} bytes"
            )
        with (folder / "answer").open("rb") as answer:
            if answer.read(len(READY)) != READY:
                raise SystemFaultError(
                    "the process that decodes images could not start: it needs Pillow "
                    f"(pip install 'lazaretto[images]') and {MEMORY:,} bytes of address space"
                )
            return take(answer)


def _wait(folder: Path, wall_seconds: int) -> int | None:
    """How the process ended; None: it was ended for its time by the clock."""
    paths = [path for path in sys.path if Path(path).is_absolute()]
    command = [sys.executable, "-I", "-B", "-c", _START, json.dumps(paths)]
    with (folder / "given").open("rb") as given, (folder / "answer").open("wb") as answer:
        try:
            return subprocess.run(
                command,
                stdin=given,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                env=environment(),
                timeout=wall_seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return None


def _take(answer: IO[bytes], pixels: npt.NDArray[np.uint8], there: npt.NDArray[np.bool_]) -> int:
    """Reads one byte for each image, and its pixels behind a 1; a process taken over may lie."""
    whole = pixels[0].nbytes if len(pixels) else 0
    for row in range(len(pixels)):
        said = answer.read(1)
        if said == READ:
            data = answer.read(whole)
            if len(data) < whole:
                return row
            pixels[row] = np.frombuffer(data, dtype=np.uint8).reshape(pixels.shape[1:])
            there[row] = True
        elif said not in (NOT_READ, TOO_MANY_PIXELS):
            return row
    return len(pixels)


def _take_thumbnails(answer: IO[bytes], size: int, found: list[Thumbnail | str], start: int) -> int:
    """The same where each has sides of its own."""
    for row in range(start, len(found)):
        said = answer.read(1)
        if said == READ:
            head = answer.read(SIDES.size)
            width, height = SIDES.unpack(head) if len(head) == SIDES.size else (0, 0)
            if not (1 <= width <= size and 1 <= height <= size):
                return row - start
            rgb = answer.read(width * height * 3)
            if len(rgb) < width * height * 3:
                return row - start
            found[row] = Thumbnail(width, height, rgb)
        elif said == TOO_MANY_PIXELS:
            found[row] = f"it has more than {MAX_SHOWN_PIXELS:,} pixels"
        elif said == NOT_READ:
            found[row] = "it is broken, or no PNG or JPEG file"
        else:
            return row - start
    return len(found) - start
