"""The process that decodes images: limits itself, decodes one after the other, ends.

It is started by `lazaretto.embed.pixels`. Its standard input is a line of JSON and the images
behind each other; its standard output a ready line, and for each image a byte, and pixels behind 1.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
from typing import IO, Any

READY = b"ready\n"
CANNOT_ANSWER = os.EX_IOERR
"""Exit status when the answer cannot be written: the disk is full, or fails."""
_FORMATS = ("PNG", "JPEG")


def main() -> None:
    """Answers the request on standard input."""
    given, answer = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not be taken for pixels.
    os.dup2(2, 1)
    request = json.loads(given.readline())
    from PIL import Image, PngImagePlugin

    for kind, soft, hard in (
        (resource.RLIMIT_AS, request["memory"], request["memory"]),
        # Between the two it ends by a signal that tells why.
        (resource.RLIMIT_CPU, request["seconds"], request["seconds"] + 5),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (soft, hard))
    Image.MAX_IMAGE_PIXELS = None  # checked below, by the policy's bound
    PngImagePlugin.MAX_TEXT_MEMORY = 2**20
    _say(answer, READY)
    for length in request["lengths"]:
        pixels = decoded(given.read(length), request["size"], request["max_pixels"])
        _say(answer, b"\x00" if pixels is None else b"\x01" + pixels)
    os._exit(0)


def _say(answer: IO[bytes], words: bytes) -> None:
    """What is answered stays answered if the next image ends this process."""
    try:
        answer.write(words)
        answer.flush()
    except OSError:
        os._exit(CANNOT_ANSWER)


def decoded(data: bytes, size: int, max_pixels: int) -> bytes | None:
    """The image's pixels, `size` x `size` x 3 bytes; None where it is no image that can be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > max_pixels:
                return None
            # JPEG: decoded at a smaller scale where that is enough.
            image.draft("RGB", (2 * size, 2 * size))
            return _square(image, size)
    except Exception:  # whatever a hostile file makes the library raise
        return None


def _square(image: Any, size: int) -> bytes:
    """Transparent parts are shown on white, as on a page; the sides are scaled apart."""
    from PIL import Image

    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    elif image.mode.startswith("I"):
        # 16 bits: converted plainly, all that is not nearly black would be white.
        image = image.point(lambda value: value / 256).convert("L")
    squared = image.convert("RGB").resize((size, size), Image.Resampling.BOX)
    return bytes(squared.tobytes())
