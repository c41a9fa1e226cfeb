"""The encoders by name: how a policy's ``embed`` section becomes an object."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from lazaretto.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.embed.base import Encoder
    from lazaretto.policy import Policy


def encoder_names() -> tuple[str, ...]:
    """Every name that ``embed.encoder`` may have, sorted."""
    return tuple(sorted(_BUILDERS))


def load_encoder(policy: Policy) -> Encoder:
    """The encoder that the policy names, ready to encode.

    Raises:
        PolicyError: unknown encoder, or a key that it needs is missing.
        NotFoundError: a file that it names does not exist.

    Examples:
        >>> load_encoder(policy).name  # this policy takes the vectors of a column
        'column:vector'
    """
    name = policy.embed.encoder
    if name not in _BUILDERS:
        near = difflib.get_close_matches(name, _BUILDERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise PolicyError(
            f"embed.encoder: unknown encoder {name!r}{hint} (known: {', '.join(encoder_names())})"
        )
    return _BUILDERS[name](policy)


def _column(policy: Policy) -> Encoder:
    from lazaretto.embed.column import ColumnEncoder

    if policy.columns.embedding is None:
        raise PolicyError(
            "columns.embedding: name the column that holds the vectors, or choose an encoder "
            "in embed.encoder"
        )
    return ColumnEncoder(policy.columns.embedding)


def _torch(policy: Policy) -> Encoder:
    from lazaretto.embed.torch_module import load_torch

    return load_torch(policy.embed.model, policy.embed.columns, policy.embed.options)


def _sentences(policy: Policy) -> Encoder:
    from lazaretto.embed.sentences import load_sentences

    return load_sentences(policy.embed.model, policy.embed.columns, policy.embed.options)


def _tabular(policy: Policy) -> Encoder:
    from lazaretto.embed.tabular import load_tabular

    return load_tabular(policy.embed.model)


def _hashing(policy: Policy) -> Encoder:
    from lazaretto.embed.hashing import load_hashing

    if not policy.embed.columns:
        raise PolicyError("embed.columns: name the text columns of encoder 'hashing'")
    options = policy.embed.options
    shortest, longest = options.get("ngrams", (3, 5))
    return load_hashing(
        policy.embed.columns,
        policy.embed.model,
        int(options.get("buckets", 512)),
        (int(shortest), int(longest)),
    )


_BUILDERS: dict[str, Callable[[Policy], Encoder]] = {
    "column": _column,
    "torch": _torch,
    "sentence-transformers": _sentences,
    "tabular": _tabular,
    "hashing": _hashing,
}
