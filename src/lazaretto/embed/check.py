"""What is wrong with a policy's ``embed`` section, told without loading an encoder."""

from __future__ import annotations

import difflib
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lazaretto.detect.parts import PAIR, PREFERENCE
from lazaretto.embed.options import (
    OPTIONS,
    ContrastiveTextOptions,
    HashingOptions,
    SentenceOptions,
    TorchOptions,
    read_options,
)
from lazaretto.policy.folder import importing_from
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from lazaretto.policy import Policy

FITTED = "reference"
"""As ``embed.model``: the encoder is fitted by `reference fit`, and is a part of the reference."""

_FITTED_KINDS = (
    "contrastive",
    "contrastive_text",
    "denoising",
    "hashing",
    "instruction",
    "tabular",
)
_NEEDS_COLUMNS = {
    "contrastive": "name the column that holds the images",
    "contrastive_text": "name the text columns that it reads",
    "denoising": "name the columns that it reads",
    "hashing": "name the text columns that it reads",
    "image": "name the column that holds the images",
    "instruction": "name the columns of prompt and response, or of prompt, chosen and rejected",
    "sentence-transformers": "name the text columns that it reads",
    "tabular": "name the columns that it reads, or the model's file that knows them",
    "torch": "name the one column that holds its numbers",
}
_ONE_COLUMN = ("contrastive", "image", "torch")
_PACKAGES = {
    "sentence-transformers": ("sentence_transformers", "text"),
    "image": ("PIL", "images"),
}


def encoder_names() -> tuple[str, ...]:
    """Every name that ``embed.encoder`` may have, sorted."""
    return tuple(sorted(OPTIONS))


def check_embed(policy: Policy) -> None:
    """Checks encoder, model, columns and options; an encoder that passes can be loaded.

    What only data or the network can tell is left out: whether a batch has the columns, and what a
    file or a name on a hub holds.

    Args:
        policy: as it was read.

    Raises:
        PolicyError: the first mistake, with file and line: an encoder that does not exist; a model,
            a file or a column that is missing; an option that is unknown or of no use; a package
            that is not installed.

    Example:
        >>> check_embed(policy)
    """
    name = policy.embed.encoder
    if name not in OPTIONS:
        near = difflib.get_close_matches(name, OPTIONS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise policy.mistake(
            ("embed", "encoder"),
            f"unknown encoder {name!r}{hint} (known: {', '.join(encoder_names())})",
        )
    options = read_options(policy, OPTIONS[name])
    if policy.embed.model == "":
        raise policy.mistake(("embed", "model"), "is empty: name a model, or leave the key out")
    if name == "column":
        _check_column(policy)
        return
    if policy.embed.model == FITTED and name not in _FITTED_KINDS:
        raise policy.mistake(
            ("embed", "model"),
            f"`reference fit` fits {', '.join(_FITTED_KINDS)}, not {name!r}",
        )
    if name == "torch":
        assert isinstance(options, TorchOptions)  # noqa: S101  by its name
        _check_torch(policy, options)
    elif name == "sentence-transformers":
        _check_sentences(policy)
    elif name == "contrastive_text":
        assert isinstance(options, ContrastiveTextOptions)  # noqa: S101  by its name
        _check_by_reference(policy)
        _check_text(policy, options)
    elif name in ("contrastive", "denoising", "instruction"):
        _check_by_reference(policy)
    elif name == "image":
        if policy.embed.model is not None:
            raise policy.mistake(("embed", "model"), "encoder 'image' has no model: leave it out")
    else:
        _check_file(policy)
    _check_columns(policy)
    package, extra = _PACKAGES.get(name, (None, None))
    if package is not None and find_spec(package) is None:
        raise policy.mistake(
            ("embed", "encoder"), f"{name!r} is not installed: pip install 'lazaretto[{extra}]'"
        )


def _check_column(policy: Policy) -> None:
    if policy.columns.embedding is None:
        raise policy.mistake(
            ("columns", "embedding"),
            "name the column that holds the vectors, or choose an encoder in embed.encoder "
            f"({', '.join(name for name in encoder_names() if name != 'column')})",
        )
    for key, value in (("model", policy.embed.model), ("columns", policy.embed.columns)):
        if value:
            raise policy.mistake(
                ("embed", key),
                "is not used by encoder 'column', which reads columns.embedding: leave it out, or "
                "name an encoder in embed.encoder",
            )


def _check_columns(policy: Policy) -> None:
    name, columns = policy.embed.encoder, policy.embed.columns
    by_file = name == "tabular" and policy.embed.model not in (None, FITTED)
    if not columns and not by_file:
        raise policy.mistake(("embed", "columns"), f"encoder {name!r}: {_NEEDS_COLUMNS[name]}")
    if name in _ONE_COLUMN and len(columns) != 1:
        raise policy.mistake(
            ("embed", "columns"), f"encoder {name!r} reads one column, not {len(columns)}"
        )
    twice = next((one for one in columns if columns.count(one) > 1), None)
    if twice is not None:
        raise policy.mistake(("embed", "columns"), f"{twice[:80]!r} is there twice")


def _check_file(policy: Policy) -> None:
    """Model and options of what is fitted: by `reference fit`, or before, to a file."""
    name, model, options = policy.embed.encoder, policy.embed.model, policy.embed.options
    if model is None and name == "tabular":
        raise policy.mistake(
            ("embed", "model"),
            "is missing: write `model: reference` to have it fitted by `reference fit`, or name "
            "the file that fit_tabular(...).save(...) wrote",
        )
    if name == "hashing":
        given = read_options(policy, HashingOptions)
        if given.ngrams[0] > given.ngrams[1]:
            raise policy.mistake(("embed", "options", "ngrams"), "write [shortest, longest]")
    if model is not None and model != FITTED and not policy.file(model).is_file():
        raise policy.mistake(("embed", "model"), f"there is no file {str(policy.file(model))!r}")
    by_fit = {"hashing": ("dimensions",), "tabular": ("scaling",)}[name]
    by_file = {"hashing": ("buckets", "dimensions"), "tabular": ("scaling",)}[name]
    useless = () if model == FITTED else by_fit if model is None else by_file
    for key in useless:
        if key in options:
            raise policy.mistake(
                ("embed", "options", key),
                "is of no use here: it is for `model: reference`"
                + ("" if model is None else ", and the model's file has its own"),
            )


def _check_by_reference(policy: Policy) -> None:
    """Encoders that only a reference fits."""
    name = policy.embed.encoder
    if policy.embed.model != FITTED:
        raise policy.mistake(
            ("embed", "model"), f"encoder {name!r} is fitted: write `model: reference`"
        )
    if name == "instruction" and len(policy.embed.columns) not in (PAIR, PREFERENCE):
        raise policy.mistake(
            ("embed", "columns"),
            "encoder 'instruction' reads [prompt, response] or [prompt, chosen, rejected], in this "
            "order",
        )


def _check_torch(policy: Policy, options: TorchOptions) -> None:
    model = policy.embed.model
    place, colon, attribute = (model or "").partition(":")
    if not (place and colon and attribute):
        raise policy.mistake(("embed", "model"), "encoder 'torch' needs model package.module:name")
    try:
        with importing_from(policy.folder):
            getattr(import_module(place), attribute)
    except Exception as error:  # code of the user's may raise anything
        raise policy.mistake(
            ("embed", "model"), f"cannot import {model!r}: {error_line(error)}"
        ) from error
    if options.weights is not None and not policy.file(options.weights).is_file():
        raise policy.mistake(
            ("embed", "options", "weights"),
            f"there is no file {str(policy.file(options.weights))!r}",
        )


def _check_text(policy: Policy, options: ContrastiveTextOptions) -> None:
    """The base of ``contrastive_text``, and that no option is for the other kind of base."""
    hashed, loaded = ("buckets", "dimensions", "ngrams"), tuple(SentenceOptions.model_fields)
    for key in loaded if options.base is None else hashed:
        if key in policy.embed.options:
            text = "it is for a model in `base`" if options.base is None else "`base` has its own"
            raise policy.mistake(("embed", "options", key), f"is of no use here: {text}")
    if options.ngrams is not None and options.ngrams[0] > options.ngrams[1]:
        raise policy.mistake(("embed", "options", "ngrams"), "write [shortest, longest]")
    if options.base is None:
        return
    place = ("embed", "options", "base")
    _check_model(policy, place, options.base)
    if find_spec("sentence_transformers") is None:
        raise policy.mistake(
            place, "sentence-transformers is not installed: pip install 'lazaretto[text]'"
        )


def _check_sentences(policy: Policy) -> None:
    if policy.embed.model is None:
        raise policy.mistake(
            ("embed", "model"), "encoder 'sentence-transformers' needs a folder, or a name on a hub"
        )
    _check_model(policy, ("embed", "model"), policy.embed.model)


def _check_model(policy: Policy, place: tuple[str, ...], model: str) -> None:
    """A model of sentence-transformers that is named at a place of the policy."""
    if not model:
        raise policy.mistake(place, "is empty: name a model, or leave the key out")
    # A name on the hub is `name` or `owner/name`; anything else is a path.
    is_path = model.startswith((".", "/", "~")) or model.count("/") > 1
    folder = policy.file(model)
    if folder.is_dir():
        from lazaretto.embed.sentences import refuse_foreign_modules

        refuse_foreign_modules(folder, ".".join(place))
    elif is_path:
        raise policy.mistake(place, f"there is no folder {str(folder)!r}")
