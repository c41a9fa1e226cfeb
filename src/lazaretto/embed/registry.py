"""How a policy's ``embed`` section becomes an encoder: loaded, or fitted with a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.embed.check import FITTED, check_embed
from lazaretto.embed.options import (
    HashingOptions,
    ImageOptions,
    SentenceOptions,
    TabularOptions,
    TorchOptions,
    read_options,
)
from lazaretto.errors import NotFoundError, ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from lazaretto.embed.base import Encoder
    from lazaretto.policy import Policy


def load_encoder(
    policy: Policy, state: bytes | None = None, *, digest: str | None = None
) -> Encoder:
    """The encoder that the policy names, ready to encode.

    Args:
        policy: its ``embed`` section is read; relative paths start at the policy's folder.
        state: what `fit_encoder` gave, where the reference has the model (``model: reference``).
        digest: of the same encoder on the machine that gave the work to this one; None: any.

    Raises:
        PolicyError: see `lazaretto.embed.check.check_embed`.
        NotFoundError: the reference has the model, and `state` is None.
        ReferenceMismatchError: the model was fitted for other columns or options, or is another one
            on this machine.

    Examples:
        >>> load_encoder(policy).name  # this policy takes the vectors of a column
        'column:vector'
    """
    encoder = _load(policy, state)
    if digest is not None and encoder.digest != digest:
        raise ReferenceMismatchError(
            f"encoder {encoder.name} has other weights on this worker: give all nodes the same "
            "files"
        )
    return encoder


def _load(policy: Policy, state: bytes | None) -> Encoder:
    check_embed(policy)
    if policy.embed.model != FITTED:
        return _BUILDERS[policy.embed.encoder](policy)
    if state is None:
        raise NotFoundError(
            "embed.model: reference: the encoder is fitted by `lazaretto reference fit`, and this "
            "reference was fitted without: fit a new version"
        )
    from lazaretto.embed.fitted import restore

    return restore(policy, state)


def fit_encoder(
    policy: Policy,
    trusted: pa.Table,
    *,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Encoder, bytes]:
    """Fits the encoder of a policy with ``model: reference``.

    Args:
        policy: names encoder, columns and options.
        trusted: trusted rows that the reference does not calibrate on: an encoder fits the rows
            that it has seen better than new ones.
        seed: of what is left to chance.
        progress: called with a step's name, how much of it is done, and how much there is.

    Returns:
        The encoder, and its state as `load_encoder` takes it.

    Raises:
        PolicyError: see `lazaretto.embed.check.check_embed`.
        ReferenceMismatchError: a column is missing, or of a kind that cannot be encoded.

    Example:
        >>> import pyarrow.parquet as pq
        >>> embed = {"encoder": "hashing", "model": "reference", "columns": ["text"]}
        >>> texts = {"version": 1, "dataset": "d", "columns": {"record_id": "id"}, "embed": embed}
        >>> trusted = pq.read_table("trusted.parquet")
        >>> encoder, state = fit_encoder(type(policy).model_validate(texts), trusted)
        >>> encoder.name
        'hashing:text'
    """
    check_embed(policy)
    from lazaretto.embed.fitted import fit

    return fit(policy, trusted, seed, progress)


def is_fitted(policy: Policy) -> bool:
    """Whether the reference has the encoder's model.

    Example:
        >>> is_fitted(policy)  # it takes the vectors of a column
        False
    """
    return policy.embed.model == FITTED


def _column(policy: Policy) -> Encoder:
    from lazaretto.embed.column import ColumnEncoder

    return ColumnEncoder(str(policy.columns.embedding))


def _torch(policy: Policy) -> Encoder:
    from lazaretto.embed.torch_module import load_torch

    return load_torch(policy, read_options(policy, TorchOptions))


def _sentences(policy: Policy) -> Encoder:
    from lazaretto.embed.sentences import load_sentences

    options, model = read_options(policy, SentenceOptions), str(policy.embed.model)
    return load_sentences(policy, options, ("embed", "model"), model)


def _tabular(policy: Policy) -> Encoder:
    from lazaretto.embed.tabular import load_tabular

    read_options(policy, TabularOptions)
    return load_tabular(policy.file(str(policy.embed.model)))


def _hashing(policy: Policy) -> Encoder:
    from lazaretto.embed.hashing import load_hashing

    options = read_options(policy, HashingOptions)
    shortest, longest = options.ngrams
    model = policy.embed.model
    return load_hashing(
        policy.embed.columns,
        None if model is None else policy.file(model),
        options.buckets or 512,
        (shortest, longest),
    )


def _image(policy: Policy) -> Encoder:
    from lazaretto.embed.image import ImageEncoder

    options = read_options(policy, ImageOptions)
    return ImageEncoder(policy.embed.columns[0], options.size, options.max_pixels)


def _instruction(policy: Policy) -> Encoder:
    # `check_embed` lets it be fitted by a reference only.
    raise policy.mistake(("embed", "model"), "write `model: reference`")


_BUILDERS: dict[str, Callable[[Policy], Encoder]] = {
    "column": _column,
    "hashing": _hashing,
    "image": _image,
    "instruction": _instruction,
    "sentence-transformers": _sentences,
    "tabular": _tabular,
    "torch": _torch,
}
