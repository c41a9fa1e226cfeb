"""A value as a reviewer sees it, by its kind: text, number, picture, sound, vector, nested, bytes.

Everything in it may come from an attacker, names included: what is shown has an end, and nothing
in it is invisible. No file that lies in a value is ever given out as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lazaretto.batch._shown import as_python
from lazaretto.plugins.short import shorten
from lazaretto.plugins.sound import Sound, sound_of
from lazaretto.plugins.words import MOST_WORDS, Piece, differing
from lazaretto.registry.trusted import file_in
from lazaretto.text import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_NAME = 100
_ITEMS = 8
_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
}
_OTHER_FILES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF8", "GIF picture"),
    (8, b"WEBP", "WebP picture"),
    (0, b"BM", "BMP picture"),
    (0, b"II*\x00", "TIFF picture"),
    (0, b"MM\x00*", "TIFF picture"),
    (4, b"ftyp", "HEIC or AVIF picture, or MP4 film"),
    (0, b"<svg", "SVG picture"),
    (0, b"<?xml", "XML, such as an SVG picture"),
    (0, b"OggS", "Ogg sound"),
    (0, b"fLaC", "FLAC sound"),
    (0, b"ID3", "MP3 sound"),
    (0, b"%PDF", "PDF file"),
    (0, b"PK\x03\x04", "ZIP archive"),
)
_SHOWN_FILES = "of pictures, PNG and JPEG are shown; of sounds, WAV"


@dataclass(frozen=True, slots=True)
class Cell:
    """What is shown of one value.

    Attributes:
        column: name of the column, cut.
        number: of the column within the file of held records, from 0.
        kind: ``text``, ``value``, ``picture``, ``sound``, ``vector``, ``nested``, ``bytes`` or
            ``missing``.
        text: the value, its beginning, or what can be said of it, in words.
        whole: whether `text` is the whole value.
        pieces: `text` with the words marked that the nearest trusted record does not have; empty
            where nothing was compared.
        wrong: the rules of the contract that this value breaks, in words.
        sound: what it sounds like.
    """

    column: str
    number: int
    kind: str
    text: str
    whole: bool = True
    pieces: list[Piece] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    sound: Sound | None = None


def cell_of(
    column: str,
    number: int,
    value: pa.Scalar,
    *,
    characters: int,
    words: int = MOST_WORDS,
    near: object = None,
    wrong: list[str] | None = None,
) -> Cell:
    """What is shown of a value.

    Args:
        column: its name.
        number: of the column.
        value: any.
        characters: most of them that are shown.
        words: most of them that are compared.
        near: the same column of the nearest trusted record; compared where both are texts.
        wrong: what the contract says against it, in words.
    """
    kind, text, whole, pieces, sound = "value", "", True, [], None
    of = value.type
    if not value.is_valid:
        kind, text = "missing", "no value"
    elif (place := file_in(of)) is not None:
        data = file_of(value, place)
        kind, text, sound = _file(data)
    elif pa.types.is_string(of) or pa.types.is_large_string(of):
        raw = value.as_py()
        kind, whole, text = "text", len(raw) <= characters, shorten(raw, characters)
        if isinstance(near, str):
            pieces = differing(cut(raw, characters), near, words)
    elif _is_vector(value):
        kind, text = "vector", _vector(value)
    elif pa.types.is_nested(of):
        kind = "nested"
        whole, text = _begun(value, characters)
    else:
        text = shorten(as_python(value), characters)
    name = shorten(column, LONGEST_NAME)
    return Cell(name, number, kind, text, whole, pieces, wrong or [], sound)


def file_of(value: pa.Scalar, place: str) -> bytes | None:
    """The file in a value; see `lazaretto.registry.trusted.file_in`."""
    if not value.is_valid:
        return None
    found = value[place] if place else value
    return found.as_py() if found.is_valid else None


def is_picture(data: bytes | None) -> bool:
    """Whether a file says that it is one that can be shown."""
    return data is not None and data.startswith(tuple(_PICTURES))


def _file(data: bytes | None) -> tuple[str, str, Sound | None]:
    """Kind, words and sound of a file."""
    if data is None:
        return "missing", "no file", None
    size = f"{len(data):,} bytes"
    for magic, name in _PICTURES.items():
        if data.startswith(magic):
            return "picture", f"{name} picture, {size}", None
    if data.startswith(b"RIFF") and data[8:12] == b"WAVE":
        sound = sound_of(data)
        if sound is None:
            return "bytes", f"WAV sound, {size}: it is broken, or not of plain numbers", None
        channels = "1 channel" if sound.channels == 1 else f"{sound.channels:,} channels"
        words = f"WAV sound of {sound.seconds:,.2f} seconds, {channels}, {sound.rate:,} Hz, {size}"
        return "sound", words, sound
    head = data[:64].lstrip()
    for at, magic, name in _OTHER_FILES:
        if head[at:].startswith(magic):
            return "bytes", f"{name}, {size}: not shown ({_SHOWN_FILES})", None
    return "bytes", size, None


def _is_vector(value: pa.Scalar) -> bool:
    """A list of numbers; a short one of whole numbers is rather a list of codes."""
    kind = value.type
    if not isinstance(value, pa.ListScalar) or pa.types.is_map(kind):
        return False
    item = kind.value_type
    return bool(
        pa.types.is_floating(item) or (pa.types.is_integer(item) and len(value.values) > _ITEMS)
    )


def _vector(value: pa.Scalar) -> str:
    """A vector in words, never number by number."""
    items = value.values
    numbers = items.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    finite = numbers[np.isfinite(numbers)]
    words = f"vector of {len(numbers):,} numbers"
    if len(finite):
        with np.errstate(over="ignore"):
            length = float(np.sqrt(np.square(finite).sum()))
        words += f", length {length:.4g}, from {finite.min():.4g} to {finite.max():.4g}"
    if len(finite) < len(numbers):
        words += f"; {len(numbers) - len(finite):,} of them are missing or not finite"
    return words


def _begun(value: pa.Scalar, characters: int) -> tuple[bool, str]:
    """The beginning of a nested value; whether it is all of it. No more is looked at than shown."""
    parts: list[str] = []
    room = characters
    for part in _walk(value):
        parts.append(part)
        room -= len(part)
        if room < 0:
            break
    return room >= 0, shorten("".join(parts), characters)


def _walk(value: pa.Scalar) -> Iterator[str]:
    kind = value.type
    if not value.is_valid:
        yield "none"
    elif pa.types.is_struct(kind):
        yield "{"
        for number, part in enumerate(kind):
            yield f"{', ' if number else ''}{cut(part.name, LONGEST_NAME)}: "
            yield from _walk(value[number])
        yield "}"
    elif pa.types.is_map(kind):
        yield from _items(value, "{", "}")
    elif _is_vector(value):
        yield _vector(value)
    elif isinstance(value, pa.ListScalar):
        yield from _items(value, "[", "]")
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        yield f"{len(value.as_buffer()):,} bytes"
    else:
        yield str(as_python(value))


def _items(value: pa.Scalar, opening: str, closing: str) -> Iterator[str]:
    yield opening
    for number, item in enumerate(islice(value.values, _ITEMS)):
        yield ", " if number else ""
        yield from _walk(item)
    count = len(value.values)
    yield f", … ({count:,} in all){closing}" if count > _ITEMS else closing


def as_scalar(value: Any) -> pa.Scalar:
    """A value that a reference keeps, which is plain, as `cell_of` takes it."""
    try:
        return pa.scalar(value)
    except (pa.ArrowException, OverflowError, TypeError):
        return pa.scalar(str(value))
