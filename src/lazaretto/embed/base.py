"""What an encoder is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


@runtime_checkable
class Encoder(Protocol):
    """Turns records into vectors, each from that record alone.

    Attributes:
        name: the policy's name of it, with its model.
        digest: sha256 (hex) over name, weights and preprocessing; two encoders with one digest
            give the same vectors.
        weights: sha256 (hex) of what it learned; empty where it learned nothing.
        dimensions: width of the vectors; 0 where the data decides.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def digest(self) -> str: ...  # noqa: D102

    @property
    def weights(self) -> str: ...  # noqa: D102

    @property
    def dimensions(self) -> int: ...  # noqa: D102

    def encode(self, chunk: pa.RecordBatch) -> npt.NDArray[np.float32]:
        """Float32 (n, d), one row per record in the chunk's order."""
        ...
