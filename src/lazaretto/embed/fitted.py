"""Encoders that a reference fits and keeps: their state as bytes, bound to what they were for.

The state is one line of JSON, which says for which encoder, columns and options it was fitted, and
behind it what the encoder learned: JSON of ``tabular``, safetensors of ``hashing`` and
``instruction``, both of ``denoising``, ``contrastive`` and ``contrastive_text``.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from lazaretto.embed.options import (
    ContrastiveOptions,
    ContrastiveTextOptions,
    DenoisingOptions,
    HashingOptions,
    InstructionOptions,
    TabularOptions,
    read_options,
)
from lazaretto.errors import ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from lazaretto.embed.base import Encoder
    from lazaretto.embed.sentences import SentenceEncoder
    from lazaretto.policy import Policy

FORMAT = 1


def fit(
    policy: Policy,
    trusted: pa.Table,
    seed: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Encoder, bytes]:
    """See `lazaretto.embed.registry.fit_encoder`."""
    columns = policy.embed.columns
    if policy.embed.encoder == "tabular":
        from lazaretto.embed.tabular import fit_tabular

        table = fit_tabular(trusted, columns, scaling=read_options(policy, TabularOptions).scaling)
        return table, _framed(policy, table.to_json())
    if policy.embed.encoder == "instruction":
        from lazaretto.embed.instruction import fit_instruction

        buckets = read_options(policy, InstructionOptions).buckets
        pairs = fit_instruction(trusted, columns, buckets=buckets, seed=seed)
        return pairs, _framed(policy, pairs.to_bytes())
    if policy.embed.encoder == "denoising":
        from lazaretto.embed.denoising import fit_denoising

        given = read_options(policy, DenoisingOptions)
        learned = fit_denoising(trusted, columns, seed=seed, **given.model_dump())
        return learned, _framed(policy, learned.to_bytes())
    if policy.embed.encoder == "contrastive":
        from lazaretto.embed.contrastive import fit_contrastive

        asked = read_options(policy, ContrastiveOptions)
        seen = fit_contrastive(
            trusted, columns[0], seed=seed, progress=progress, **asked.model_dump()
        )
        return seen, _framed(policy, seen.to_bytes())
    if policy.embed.encoder == "contrastive_text":
        return _fit_text(policy, trusted, seed, progress)
    from lazaretto.embed.columns import texts
    from lazaretto.embed.hashing import fit_hashing

    options = read_options(policy, HashingOptions)
    shortest, longest = options.ngrams
    values = [text for chunk in trusted.to_batches() for text in texts(chunk, columns)]
    hashing = fit_hashing(
        values,
        columns,
        dimensions=options.dimensions or 64,
        buckets=options.buckets or 16_384,
        ngrams=(shortest, longest),
        seed=seed,
    )
    return hashing, _framed(policy, hashing.to_bytes())


def restore(policy: Policy, state: bytes) -> Encoder:
    """The encoder of a state that `fit` gave.

    Raises:
        ReferenceMismatchError: it was fitted for another encoder, other columns or options, or by
            another Lazaretto.
    """
    head, _, learned = state.partition(b"\n")
    try:
        fitted_for = json.loads(head)
    except ValueError as error:
        raise ReferenceMismatchError("the encoder's state cannot be read: fit again") from error
    for key, now in _identity(policy).items():
        before = fitted_for.get(key)
        if before != now:
            place = "this Lazaretto" if key == "format" else f"embed.{key} of the policy"
            raise ReferenceMismatchError(
                f"the reference's encoder was fitted for {key} {json.dumps(before)}, and {place} "
                f"has {json.dumps(now)}: take the change back, or fit a new version of the "
                "reference"
            )
    if policy.embed.encoder == "tabular":
        from lazaretto.embed.tabular import read_tabular

        return read_tabular(learned, "the reference's encoder")
    if policy.embed.encoder == "instruction":
        from lazaretto.embed.instruction import read_instruction

        return read_instruction(learned, policy.embed.columns, "the reference's encoder")
    if policy.embed.encoder == "denoising":
        from lazaretto.embed.denoising import read_denoising

        return read_denoising(learned, "the reference's encoder")
    if policy.embed.encoder == "contrastive":
        from lazaretto.embed.contrastive import read_contrastive

        return read_contrastive(learned, "the reference's encoder")
    if policy.embed.encoder == "contrastive_text":
        from lazaretto.embed.contrastive_text import read_contrastive_text

        base = read_options(policy, ContrastiveTextOptions).base
        loads = None if base is None else partial(_base, policy)
        return read_contrastive_text(learned, "the reference's encoder", loads)
    from lazaretto.embed.hashing import read_hashing

    shortest, longest = read_options(policy, HashingOptions).ngrams
    return read_hashing(
        learned, policy.embed.columns, (shortest, longest), "the reference's encoder"
    )


def _fit_text(
    policy: Policy,
    trusted: pa.Table,
    seed: int,
    progress: Callable[[str, int, int], None] | None,
) -> tuple[Encoder, bytes]:
    from lazaretto.embed.contrastive_text import fit_contrastive_text

    options = read_options(policy, ContrastiveTextOptions)
    ours = ("dimensions", "temperature", "epochs", "views", "span", "dropout", "buckets")
    given = {key: value for key in ours if (value := getattr(options, key)) is not None}
    if options.ngrams is not None:
        given["ngrams"] = tuple(options.ngrams)
    base = None if options.base is None else _base(policy)
    encoder = fit_contrastive_text(
        trusted, policy.embed.columns, base=base, seed=seed, progress=progress, **given
    )
    return encoder, _framed(policy, encoder.to_bytes())


def _base(policy: Policy) -> SentenceEncoder:
    from lazaretto.embed.sentences import load_sentences

    options = read_options(policy, ContrastiveTextOptions)
    return load_sentences(policy, options, ("embed", "options", "base"), str(options.base))


def _framed(policy: Policy, learned: bytes) -> bytes:
    return json.dumps(_identity(policy), sort_keys=True).encode() + b"\n" + learned


def _identity(policy: Policy) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "encoder": policy.embed.encoder,
        "columns": policy.embed.columns,
        "options": policy.embed.options,
    }
