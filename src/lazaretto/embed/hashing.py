"""Text to vectors without any model: hashed character n-grams, if wished through an SVD."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lazaretto.embed.columns import texts
from lazaretto.embed.identity import identity_digest
from lazaretto.errors import NotFoundError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HashingEncoder:
    """Signed hashing of character n-grams inside words (Weinberger et al., 2009), L2-normalised.

    Attributes:
        columns: text columns, joined by a space.
        buckets: hash buckets; the width of the vectors when there is no projection.
        ngrams: shortest and longest n-gram.
        projection: float32 (buckets, d) of `fit_hashing`, or None.
    """

    columns: tuple[str, ...]
    buckets: int = 512
    ngrams: tuple[int, int] = (3, 5)
    projection: Floats | None = None

    @property
    def name(self) -> str:
        """Encoder name."""
        return f"hashing:{'+'.join(self.columns)}"

    @property
    def dimensions(self) -> int:
        """Width of the vectors."""
        return self.buckets if self.projection is None else self.projection.shape[1]

    @property
    def weights(self) -> str:
        """sha256 (hex) of the projection."""
        projection = b"" if self.projection is None else self.projection.tobytes()
        return hashlib.sha256(projection).hexdigest()

    @property
    def digest(self) -> str:
        """sha256 over columns, buckets, n-grams and projection."""
        options = {
            "columns": list(self.columns),
            "buckets": self.buckets,
            "ngrams": list(self.ngrams),
        }
        return identity_digest("hashing", self.weights, options)

    def encode(self, chunk: pa.RecordBatch) -> Floats:
        """Float32 (n, d). An empty text gives zeros, which screening holds."""
        return self.encode_texts(texts(chunk, self.columns))

    def encode_texts(self, values: Sequence[str]) -> Floats:
        """Float32 (n, d) of texts."""
        counts = self._vectorizer().transform(values)
        if self.projection is None:
            return np.asarray(counts.toarray(), dtype=np.float32)
        rows = np.asarray(counts @ self.projection, dtype=np.float32)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.maximum(norms, 1e-12), dtype=np.float32)

    def to_bytes(self) -> bytes:
        """The projection, as safetensors.

        Raises:
            PolicyError: there is none.
        """
        from safetensors.numpy import save

        if self.projection is None:
            raise PolicyError("there is no projection to save: name no embed.model")
        return bytes(save({"projection": np.ascontiguousarray(self.projection)}))

    def save(self, path: str | Path) -> None:
        """Writes the projection for ``embed.model``."""
        from pathlib import Path as LocalPath

        LocalPath(path).write_bytes(self.to_bytes())

    def _vectorizer(self) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(
            analyzer="char_wb", ngram_range=self.ngrams, n_features=self.buckets, norm="l2"
        )


def fit_hashing(
    values: Sequence[str],
    columns: Sequence[str],
    *,
    dimensions: int = 128,
    buckets: int = 16_384,
    ngrams: tuple[int, int] = (3, 5),
    seed: int = 0,
) -> HashingEncoder:
    """Fits the SVD projection on trusted texts (latent semantic analysis).

    Args:
        values: trusted texts.
        columns: the columns that the encoder will read.
        dimensions: width of the vectors; less where the texts span less.
        buckets: hash buckets.
        ngrams: shortest and longest n-gram.
        seed: of the randomised SVD.

    Examples:
        >>> import pyarrow as pa
        >>> encoder = fit_hashing(["good film", "bad film", "good book"], ["text"], dimensions=2)
        >>> encoder.encode(pa.record_batch({"text": ["good film"]})).shape
        (1, 2)
    """
    from sklearn.decomposition import TruncatedSVD

    plain = HashingEncoder(tuple(columns), buckets, ngrams)
    counts = plain._vectorizer().transform(values)
    width = max(1, min(dimensions, counts.shape[0] - 1))
    svd = TruncatedSVD(width, random_state=seed).fit(counts)
    projection = np.ascontiguousarray(svd.components_.T, dtype=np.float32)
    return HashingEncoder(tuple(columns), buckets, ngrams, projection)


def load_hashing(
    columns: Sequence[str], model: str | Path | None, buckets: int, ngrams: tuple[int, int]
) -> HashingEncoder:
    """The encoder of a policy.

    Args:
        columns: text columns.
        model: the file that `HashingEncoder.save` wrote; None for no projection.
        buckets: hash buckets, where there is no projection.
        ngrams: shortest and longest n-gram.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: the file holds no projection.
    """
    if model is None:
        return HashingEncoder(tuple(columns), buckets, ngrams)
    from pathlib import Path as LocalPath

    try:
        data = LocalPath(model).read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"embed.model: there is no file {str(model)!r}") from error
    return read_hashing(data, columns, ngrams, f"embed.model: {str(model)!r}")


def read_hashing(
    data: bytes, columns: Sequence[str], ngrams: tuple[int, int], name: str
) -> HashingEncoder:
    """The encoder whose projection `HashingEncoder.to_bytes` gave; `name` is for messages.

    Raises:
        PolicyError: it holds no projection.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        projection = load(data)["projection"]
        buckets, _ = projection.shape
    except (SafetensorError, KeyError, ValueError) as error:
        raise PolicyError(f"{name} holds no projection of this encoder") from error
    return HashingEncoder(tuple(columns), int(buckets), ngrams, projection)
