"""The state of a fitted network as bytes: a line of JSON, then safetensors."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lazaretto.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    Tensors = dict[str, npt.NDArray[np.float32]]


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
