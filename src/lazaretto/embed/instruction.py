"""Instruction data to vectors: prompt and response, or prompt, chosen text and rejected text."""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.parts import PAIR, PREFERENCE, TRAITS, UNIT, WIDTH
from lazaretto.embed.columns import texts
from lazaretto.embed.hashing import HashingEncoder, fit_hashing
from lazaretto.embed.identity import identity_digest
from lazaretto.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float32]

TOKENS = 2**16
"""Buckets that words are counted in."""
RAREST = 3
MOST_TOKENS = 4000
"""Words of a text that are looked at."""
_WORD = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True, slots=True)
class InstructionEncoder:
    """A block for each text: hashed n-grams through a fitted projection, and traits of its words.

    Attributes:
        columns: prompt and response; or prompt, chosen and rejected.
        hashing: encodes each text by itself.
        known: int64 (texts, `TOKENS`), how many trusted texts have a word of each bucket.
        rows: trusted texts that were counted.
    """

    columns: tuple[str, ...]
    hashing: HashingEncoder
    known: npt.NDArray[np.int64]
    rows: int

    @property
    def name(self) -> str:
        """Encoder name."""
        return f"instruction:{'+'.join(self.columns)}"

    @property
    def dimensions(self) -> int:
        """Width of the vectors."""
        return len(self.columns) * (WIDTH + len(TRAITS))

    @property
    def weights(self) -> str:
        """sha256 (hex) of what it learned."""
        counted = hashlib.sha256(self.known.tobytes()).hexdigest()
        return identity_digest(self.hashing.weights, counted, {"rows": self.rows})

    @property
    def digest(self) -> str:
        """sha256 over what it learned and the columns."""
        return identity_digest(self.name, self.weights, {"columns": list(self.columns)})

    def encode(self, chunk: pa.RecordBatch) -> Floats:
        """Float32 (n, d). A record none of whose texts has a word gives zeros, and is held."""
        parts, empty = [], np.ones(chunk.num_rows, dtype=bool)
        for number, column in enumerate(self.columns):
            values = texts(chunk, [column])
            about = np.zeros((len(values), WIDTH), dtype=np.float32)
            encoded = self.hashing.encode_texts(values)
            about[:, : encoded.shape[1]] = encoded
            parts += [about, _traits(values, self.known[number], self.rows)]
            empty &= [not value.strip() for value in values]
        rows = np.concatenate(parts, axis=1)
        rows[empty] = 0
        return rows

    def to_bytes(self) -> bytes:
        """What it learned, as safetensors."""
        from safetensors.numpy import save

        assert self.hashing.projection is not None  # noqa: S101  it was fitted
        return bytes(
            save(
                {
                    "projection": np.ascontiguousarray(self.hashing.projection),
                    "known": self.known,
                    "rows": np.array([self.rows], dtype=np.int64),
                }
            )
        )


def fit_instruction(
    trusted: pa.Table, columns: Sequence[str], *, buckets: int = 16_384, seed: int = 0
) -> InstructionEncoder:
    """Fits projection and word counts on trusted records.

    Args:
        trusted: records with the columns.
        columns: two of a pair, or three of a preference.
        buckets: of the hashed n-grams.
        seed: of the projection.

    Raises:
        PolicyError: other than two or three columns.
        ReferenceMismatchError: a column is missing or is no text.

    Examples:
        >>> import pyarrow as pa
        >>> rows = pa.table({"ask": ["sum 1 and 2", "say hi"] * 20, "answer": ["3", "hi"] * 20})
        >>> fit_instruction(rows, ["ask", "answer"]).dimensions
        72
    """
    require_texts(columns)
    values = [
        [text for chunk in trusted.to_batches() for text in texts(chunk, [column])]
        for column in columns
    ]
    together = [text for part in values for text in part]
    hashing = fit_hashing(together, columns, dimensions=WIDTH, buckets=buckets, seed=seed)
    known = np.stack([_documents(part) for part in values])
    return InstructionEncoder(tuple(columns), hashing, known, len(values[0]))


def read_instruction(data: bytes, columns: Sequence[str], name: str) -> InstructionEncoder:
    """The encoder whose `InstructionEncoder.to_bytes` gave this; `name` is for messages.

    Raises:
        PolicyError: it holds no such encoder.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(data)
        projection, known, rows = found["projection"], found["known"], int(found["rows"][0])
        buckets, _ = projection.shape
        if known.shape != (len(columns), TOKENS):
            raise ValueError(f"word counts of shape {known.shape}")
    except (SafetensorError, KeyError, ValueError, IndexError) as error:
        raise PolicyError(f"{name} holds nothing of this encoder") from error
    hashing = HashingEncoder(tuple(columns), int(buckets), (3, 5), projection)
    return InstructionEncoder(tuple(columns), hashing, known, rows)


def require_texts(columns: Sequence[str]) -> None:
    """Checks that columns are those of a pair or of a preference.

    Raises:
        PolicyError: they are not.
    """
    if len(columns) not in (PAIR, PREFERENCE):
        raise PolicyError(
            "embed.columns: encoder 'instruction' reads [prompt, response] or [prompt, chosen, "
            f"rejected], in this order, not {len(columns)} columns"
        )


def _words(text: str) -> list[int]:
    """Buckets of the words of a text, lower case; symbols that touch are one word."""
    found = _WORD.findall(text[: 20 * MOST_TOKENS].lower())[:MOST_TOKENS]
    return [zlib.crc32(word[:64].encode()) % TOKENS for word in found]


def _documents(values: Sequence[str]) -> npt.NDArray[np.int64]:
    """How many texts have a word of each bucket."""
    counts = np.zeros(TOKENS, dtype=np.int64)
    for value in values:
        counts[list(set(_words(value)))] += 1
    return counts


def _traits(values: Sequence[str], known: npt.NDArray[np.int64], rows: int) -> Floats:
    """Float32 (n, traits), in units of `UNIT`."""
    rarity = np.log((rows + 1) / (known + 1))
    found = np.zeros((len(values), len(TRAITS)), dtype=np.float32)
    for row, value in enumerate(values):
        words = _words(value)
        symbols = sum(not (one.isalnum() or one.isspace()) for one in value)
        found[row, 2:] = symbols / max(1, len(value)), np.log1p(len(value))
        if words:
            rare = np.sort(rarity[np.unique(words)])[::-1]
            found[row, 0] = rare[:RAREST].mean()
            found[row, 1] = (known[words] == 0).mean()
    return found * np.float32(UNIT)
