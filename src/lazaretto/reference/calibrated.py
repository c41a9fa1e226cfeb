"""How many calibration rows a stored reference has in each class, without reading all of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lazaretto.errors import ReferenceMismatchError
from lazaretto.reference._file import FORMAT

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Ints

_LONGEST_HEADER = 64 * 2**20


@dataclass(frozen=True, slots=True)
class CalibrationRows:
    """What p-values of records are read from, as far as their number and classes go.

    Attributes:
        rows: calibration rows of all scorers together.
        classes: label texts, sorted; empty without labels.
        labels: per scorer, int64, class of each of its calibration rows; empty without labels.
    """

    rows: int
    classes: tuple[str, ...]
    labels: tuple[Ints, ...]


def read_calibration(metadata: bytes, tensors: IO[bytes]) -> CalibrationRows:
    """Reads it from a reference's files; of the tensors only what is needed.

    Args:
        metadata: content of ``reference.json``.
        tensors: ``tensors.safetensors``, seekable, whose bytes are checked while they are read.

    Raises:
        ReferenceMismatchError: the files cannot be read, or another Lazaretto wrote them.
    """
    try:
        document = json.loads(metadata)
        if document["format"] != FORMAT:
            raise ReferenceMismatchError(
                f"the reference has format {document['format']!r}; this Lazaretto reads {FORMAT}"
            )
        header, start = _header(tensors)
        heads = [f"scorer.{part}" for part in range(document["parts"])]
        return CalibrationRows(
            rows=sum(int(header[f"{head}.calibration"]["shape"][0]) for head in heads),
            classes=tuple(document["classes"]),
            labels=tuple(
                _integers(tensors, start, header[f"{head}.calibration_label"]) for head in heads
            ),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ReferenceMismatchError(f"the reference's files cannot be read: {error!r}") from error


def _header(tensors: IO[bytes]) -> tuple[dict[str, Any], int]:
    """What safetensors says of each tensor, and where their bytes start.

    The library itself reads a whole file or one that it opens by name, unchecked.
    """
    size = int.from_bytes(tensors.read(8), "little")
    if size > _LONGEST_HEADER:
        raise ValueError(f"a header of {size} bytes")
    return json.loads(tensors.read(size)), 8 + size


def _integers(tensors: IO[bytes], start: int, said: dict[str, Any]) -> Ints:
    if said["dtype"] != "I64":
        raise ValueError(f"labels of type {said['dtype']}")
    first, end = said["data_offsets"]
    tensors.seek(start + first)
    return np.frombuffer(tensors.read(end - first), dtype="<i8").astype(np.int64)
