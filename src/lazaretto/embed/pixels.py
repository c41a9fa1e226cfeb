"""Decodes images in a process of its own, with limits, that hostile bytes may kill.

An image that cannot be read, is too large or ends the process is told apart from the others; no
other image suffers for it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from lazaretto.batch._box import environment
from lazaretto.embed._pixels_child import CANNOT_ANSWER, READY
from lazaretto.errors import SystemFaultError
from lazaretto.faults import as_system_fault
from lazaretto.folders import working_folder

if TYPE_CHECKING:
    from typing import IO

    import numpy.typing as npt
    import pyarrow as pa

MOST_DEATHS = 16
"""From so many images of one chunk on that end the process, the rest of the chunk is not tried."""
MEMORY, SECONDS, WALL_SECONDS = 2 * 2**30, 60, 120
"""Limits of the process: address space, processor time, and time by the clock."""

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
    start = deaths = 0
    while start < len(images) and deaths < MOST_DEATHS:
        done = _run(images.slice(start), size, max_pixels, pixels[start:], there[start:])
        # The process may have ended at an image because of those before it, which took its time:
        # that image is tried again, and only the first of a process is to blame for its end.
        deaths += done == 0
        start += max(done, 1)
    return pixels, there


def _run(
    images: pa.Array,
    size: int,
    max_pixels: int,
    pixels: npt.NDArray[np.uint8],
    there: npt.NDArray[np.bool_],
) -> int:
    """Starts the process on some images; how many it answered for."""
    lengths = pc.fill_null(pc.binary_length(images), 0).to_pylist()
    request = {
        "size": size,
        "max_pixels": max_pixels,
        "memory": MEMORY,
        "seconds": SECONDS,
        "lengths": lengths,
    }
    with working_folder() as folder, as_system_fault("images cannot be decoded on this machine"):
        with (folder / "given").open("wb") as file:
            file.write(json.dumps(request).encode() + b"\n")
            for image in images:
                file.write(image.as_py() or b"")
        ended = _wait(folder)
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
            return _take(answer, pixels, there)


def _wait(folder: Path) -> int | None:
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
                timeout=WALL_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return None


def _take(answer: IO[bytes], pixels: npt.NDArray[np.uint8], there: npt.NDArray[np.bool_]) -> int:
    """Reads one byte for each image, and its pixels behind a 1; a process taken over may lie."""
    whole = pixels[0].nbytes if len(pixels) else 0
    for row in range(len(pixels)):
        said = answer.read(1)
        if said == b"\x01":
            data = answer.read(whole)
            if len(data) < whole:
                return row
            pixels[row] = np.frombuffer(data, dtype=np.uint8).reshape(pixels.shape[1:])
            there[row] = True
        elif said != b"\x00":
            return row
    return len(pixels)
