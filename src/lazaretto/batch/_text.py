"""Text of a delivery made what the readers read: UTF-8 without a mark, and without odd lines.

Every step streams, is made in the process that decodes, and counts against its limits.
"""

from __future__ import annotations

import codecs
from typing import IO, TYPE_CHECKING

from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.batch._options import TextOptions

_BLOCK = 1 << 20
_MARK = "\ufeff"


def as_utf8(source: IO[bytes], options: TextOptions, name: str) -> Iterator[bytes]:
    """The same text in UTF-8, without a byte order mark.

    Raises:
        DeliveryError: code ``unreadable``: a byte is not of the encoding; it says where.
    """
    decoder = codecs.getincrementaldecoder(options.encoding)()
    position, first = 0, True
    while True:
        block = source.read(_BLOCK)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            at = position - pending + error.start
            raise DeliveryError(
                f"{name}: byte {at:,} (0x{error.object[error.start]:02x}) is not of the encoding "
                f"{options.encoding}: say the right one as read.encoding in the policy, or deliver "
                "UTF-8",
                code="unreadable",
            ) from None
        except UnicodeError:  # of UTF-16 alone
            raise DeliveryError(
                f"{name}: it begins without a byte order mark, so it is not utf-16: say the right "
                "encoding as read.encoding in the policy, such as utf-16-le, or deliver UTF-8",
                code="unreadable",
            ) from None
        position += len(block)
        if first and text:
            text, first = text.removeprefix(_MARK), False
        if text:
            yield text.encode()
        if not block:
            return


def without_odd_lines(blocks: Iterator[bytes], options: TextOptions) -> Iterator[bytes]:
    """CSV without the first lines and the comments that the options name.

    A line inside a cell in quotes is no comment, whatever it begins with.
    """
    if not options.skip_rows and options.comment is None:
        yield from blocks
        return
    mark = None if options.comment is None else options.comment.encode()
    quote = None if options.quote is None else options.quote.encode()
    skip, inside = options.skip_rows, False
    for line in _lines(blocks):
        if skip:
            skip -= 1
            continue
        if mark is not None and not inside and line.startswith(mark):
            continue
        if quote is not None and line.count(quote) % 2:
            inside = not inside
        yield line


def _lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines with their ends."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest
