"""Sentence embeddings by the `sentence-transformers` package (extra ``text``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lazaretto.embed.columns import texts
from lazaretto.embed.identity import identity_digest, weights_digest
from lazaretto.errors import PolicyError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """Encodes text columns, joined by a space, into L2-normalised vectors.

    Attributes:
        model: name or path.
        columns: text columns.
        transformer: the loaded `SentenceTransformer`.
        weights: sha256 (hex) of its tensors.
        dimensions: width of the vectors.
    """

    model: str
    columns: tuple[str, ...]
    transformer: Any
    weights: str
    dimensions: int

    @property
    def name(self) -> str:
        """Encoder name."""
        return f"sentence-transformers:{self.model}"

    @property
    def digest(self) -> str:
        """sha256 over weights, columns and the longest text taken."""
        options = {
            "columns": list(self.columns),
            "max_seq_length": int(self.transformer.max_seq_length or 0),
        }
        return identity_digest(self.name, self.weights, options)

    def encode(self, chunk: pa.RecordBatch) -> npt.NDArray[np.float32]:
        """Float32 (n, d). An empty text gives zeros, which screening holds."""
        values = texts(chunk, self.columns)
        encoded = self.transformer.encode(
            values, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        out = np.array(encoded, dtype=np.float32)
        out[[row for row, value in enumerate(values) if not value.strip()]] = 0
        return out


def load_sentences(model: str | None, columns: list[str]) -> SentenceEncoder:
    """The encoder of a policy.

    Raises:
        PolicyError: no model or column is named, or the package is not installed.
    """
    if model is None or not columns:
        raise PolicyError("embed: encoder 'sentence-transformers' needs a model and columns")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise PolicyError(
            "embed.encoder: 'sentence-transformers' is not installed: pip install 'lazaretto[text]'"
        ) from error
    transformer = SentenceTransformer(model, trust_remote_code=False)
    return SentenceEncoder(
        model=model,
        columns=tuple(columns),
        transformer=transformer,
        weights=weights_digest(transformer.state_dict()),
        dimensions=int(transformer.get_sentence_embedding_dimension() or 0),
    )
