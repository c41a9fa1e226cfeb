"""The process that decodes images: limits itself, decodes one after the other, ends.

It is started by `lazaretto.embed.pixels`. Its standard input is a line of JSON and the images
behind each other; its standard output a ready line, and for each image a byte. Behind 1 are its
pixels; where sizes differ, width and height before them.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import resource
import struct
import sys
import time
from typing import IO, Any

READY = b"ready\n"
CANNOT_ANSWER = os.EX_IOERR
"""Exit status when the answer cannot be written: the disk is full, or fails."""
NOT_READ, READ, TOO_MANY_PIXELS = b"\x00", b"\x01", b"\x02"
SIDES = struct.Struct("<HH")
"""Width and height before pixels of which neither is known."""
FORMATS = ("PNG", "JPEG")


def main() -> None:
    """Answers the request on standard input."""
    given, answer = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not be taken for pixels.
    os.dup2(2, 1)
    request = json.loads(given.readline())
    from PIL import Image, PngImagePlugin

    # What loading takes on a slow machine is no image's.
    seconds = math.ceil(time.process_time()) + request["seconds"]
    for kind, soft, hard in (
        (resource.RLIMIT_AS, request["memory"], request["memory"]),
        # Between the two it ends by a signal that tells why.
        (resource.RLIMIT_CPU, seconds, seconds + 5),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (soft, hard))
    Image.MAX_IMAGE_PIXELS = None  # checked below, by the policy's bound
    PngImagePlugin.MAX_TEXT_MEMORY = 2**20
    _say(answer, READY)
    for length in request["lengths"]:
        data = given.read(length)
        _say(answer, decoded(data, request["size"], request["max_pixels"], keep=request["keep"]))
    os._exit(0)


def _say(answer: IO[bytes], words: bytes) -> None:
    """What is answered stays answered if the next image ends this process."""
    try:
        answer.write(words)
        answer.flush()
    except OSError:
        os._exit(CANNOT_ANSWER)


def decoded(data: bytes, size: int, max_pixels: int, *, keep: bool) -> bytes:
    """What is answered for an image.

    Args:
        data: the file.
        size: side of the square, or, where the proportions are kept, the longer side at most.
        max_pixels: an image with more, by its header, is not decoded.
        keep: whether to keep the proportions.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                return TOO_MANY_PIXELS
            sides = _within(image.width, image.height, size) if keep else (size, size)
            # JPEG: decoded at a smaller scale where that is enough.
            image.draft("RGB", (2 * sides[0], 2 * sides[1]))
            head = SIDES.pack(*sides) if keep else b""
            return READ + head + _scaled(image, sides)
    except Exception:  # whatever a hostile file makes the library raise
        return NOT_READ


def _within(width: int, height: int, size: int) -> tuple[int, int]:
    """Sides of an image that is made as small as it must be, and never larger."""
    scale = min(1.0, size / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scaled(image: Any, sides: tuple[int, int]) -> bytes:
    """Transparent parts are shown on white, as on a page; an animation by its first picture."""
    from PIL import Image

    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    elif image.mode.startswith("I"):
        # 16 bits: converted plainly, all that is not nearly black would be white.
        image = image.point(lambda value: value / 256).convert("L")
    scaled = image.convert("RGB").resize(sides, Image.Resampling.BOX)
    return bytes(scaled.tobytes())
