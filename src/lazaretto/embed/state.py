"""The state of a fitted network as bytes: a line of JSON, then safetensors."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lazaretto.embed.identity import identity_digest
from lazaretto.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[np.float32]]


class Packed(ABC):
    """An encoder whose state is all that it is: its digest is that of the state, under its name."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """Encoder name."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The state, as `pack` puts it together."""

    @property
    def weights(self) -> str:
        """sha256 (hex) of the state."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def digest(self) -> str:
        """The same, under the encoder's name."""
        return identity_digest(self.name, self.weights, {})


def pack(head: Mapping[str, Any], tensors: Tensors) -> bytes:
    """The state: the same bytes for the same content.

    Args:
        head: what JSON can say.
        tensors: by name.
    """
    from safetensors.numpy import save

    return json.dumps(head).encode() + b"\n" + bytes(save(dict(sorted(tensors.items()))))


@contextmanager
def unpacked(data: bytes, name: str, encoder: str) -> Iterator[tuple[dict[str, Any], Tensors]]:
    """What `pack` put together; what is not there, or of another kind, may be met inside.

    Args:
        data: of a state.
        name: for messages.
        encoder: whose state it should be.

    Raises:
        PolicyError: it is no such state.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    head, _, tensors = data.partition(b"\n")
    try:
        yield json.loads(head), load(tensors)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise PolicyError(f"{name} is no state of the {encoder} encoder") from error
