"""What may stand in ``embed.options`` of each encoder, checked before anything is loaded."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from lazaretto.policy import Policy

Positive = Annotated[int, Field(gt=0)]


class Options(BaseModel):
    """Options of an encoder that has none; those of the others add theirs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ColumnOptions(Options):
    """Options of ``column``."""

    replay: str | None = Field(
        None,
        description="Your function that made the vectors, as `module:function`: a table of records "
        "in, vectors (n, d) out. `reference fit` keeps a few trusted records, and every screening "
        "makes their vectors again, to tell whether the function still gives them.",
    )


class HashingOptions(Options):
    """Options of ``hashing``."""

    buckets: Annotated[int, Field(ge=8, le=2**20)] | None = Field(
        None,
        description="Hash buckets. Default: 512, which is then the vectors' width; 16,384 where "
        "`reference fit` fits a projection of them.",
    )
    ngrams: Annotated[list[Positive], Field(min_length=2, max_length=2)] = Field(
        [3, 5], description="Shortest and longest sequence of characters that is counted."
    )
    dimensions: Annotated[int, Field(ge=2, le=4096)] | None = Field(
        None, description="Width of the fitted vectors, with `model: reference`. Default: 64."
    )


class InstructionOptions(Options):
    """Options of ``instruction``."""

    buckets: Annotated[int, Field(ge=8, le=2**20)] = Field(
        16_384, description="Hash buckets of the character n-grams."
    )


class TabularOptions(Options):
    """Options of ``tabular``."""

    scaling: Literal["standard", "quantile"] = Field(
        "standard",
        description="Scale of numbers, with `model: reference`. standard: by mean and spread. "
        "quantile: by rank among the trusted values, for long tails.",
    )


class DenoisingOptions(Options):
    """Options of ``denoising``."""

    dimensions: Annotated[int, Field(ge=1, le=4096)] = Field(
        32, description="Width of the vectors."
    )
    noise: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3, description="Share of each record's numbers that is masked while it is fitted."
    )
    epochs: Annotated[int, Field(ge=0, le=10_000)] = Field(
        60, description="Passes over the trusted rows, at most."
    )


class ContrastiveOptions(Options):
    """Options of ``contrastive``."""

    dimensions: Annotated[int, Field(ge=4, le=4096, multiple_of=4)] = Field(
        128, description="Width of the vectors, a multiple of 4."
    )
    shape: (
        Annotated[list[Annotated[int, Field(ge=1, le=1024)]], Field(min_length=3, max_length=3)]
        | None
    ) = Field(
        None,
        description="Channels, height and width of an image, where images are lists of numbers. "
        "Default: they are PNG or JPEG files.",
    )
    size: Literal[16, 32, 64] = Field(
        32, description="Side in pixels that each file's image is scaled to."
    )
    max_pixels: Annotated[int, Field(gt=0, le=10**9)] = Field(
        64_000_000, description="An image with more pixels is not decoded, and is held."
    )
    temperature: Annotated[float, Field(gt=0, le=10)] = Field(
        0.5, description="Of the loss. A smaller one looks at the most alike of the others only."
    )
    epochs: Annotated[int, Field(ge=0, le=10_000)] = Field(
        60, description="Passes over the trusted images."
    )
    flip: bool = Field(
        False, description="Whether an image may be mirrored: not where letters are seen."
    )


class ImageOptions(Options):
    """Options of ``image``."""

    size: Literal[16, 32, 64] = Field(
        32, description="Side in pixels that each image is scaled to before its features are taken."
    )
    max_pixels: Annotated[int, Field(gt=0, le=10**9)] = Field(
        64_000_000, description="An image with more pixels is not decoded, and is held."
    )


class TorchOptions(Options):
    """Options of ``torch``."""

    weights: str | None = Field(None, description="A safetensors file, from the policy's folder.")
    shape: list[Positive] | None = Field(
        None, description="Shape of one record's input. Default: the list of numbers as it is."
    )
    scale: float = Field(1.0, description="What the numbers are multiplied by.")
    device: str | None = Field(None, description="torch device. Default: cuda where there is one.")


class SentenceOptions(Options):
    """Options of ``sentence-transformers``."""

    revision: str | None = Field(None, description="Commit of the model on the Hub.")
    max_length: Positive | None = Field(None, description="Tokens that are taken of a text.")
    prompt: str = Field("", description="Put before every text.")
    device: str | None = Field(None, description="torch device. Default: the library's choice.")


class ContrastiveTextOptions(SentenceOptions):
    """Options of ``contrastive_text``; those of ``sentence-transformers`` are for its `base`."""

    base: str | None = Field(
        None,
        description="A model of sentence-transformers that makes the vectors to learn from: a "
        "folder, or a name on the Hugging Face Hub. Default: hashed n-grams, fitted, which need no "
        "model.",
    )
    dimensions: Annotated[int, Field(ge=2, le=4096)] | None = Field(
        None, description="Width of the vectors, without `base`. Default: 128."
    )
    buckets: Annotated[int, Field(ge=8, le=2**20)] | None = Field(
        None, description="Hash buckets, without `base`. Default: 16,384."
    )
    ngrams: (
        Annotated[list[Annotated[int, Field(gt=0, le=1000)]], Field(min_length=2, max_length=2)]
        | None
    ) = Field(
        None,
        description="Shortest and longest sequence of characters that is counted, without `base`. "
        "Default: [3, 5].",
    )
    temperature: Annotated[float, Field(gt=0, le=10)] = Field(
        0.1, description="Of the loss. A smaller one looks at the most alike of the others only."
    )
    epochs: Annotated[int, Field(ge=0, le=10_000)] = Field(
        60, description="Passes over the trusted texts."
    )
    views: Annotated[int, Field(ge=2, le=16)] = Field(
        4, description="Views of each trusted text. The base encodes each of them once."
    )
    span: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Least share of a text's words that a view is cut from."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="Most of a view's words that are left out, as a share."
    )


OPTIONS: dict[str, type[Options]] = {
    "column": ColumnOptions,
    "contrastive": ContrastiveOptions,
    "contrastive_text": ContrastiveTextOptions,
    "denoising": DenoisingOptions,
    "hashing": HashingOptions,
    "image": ImageOptions,
    "instruction": InstructionOptions,
    "sentence-transformers": SentenceOptions,
    "tabular": TabularOptions,
    "torch": TorchOptions,
}

O = TypeVar("O", bound=Options)  # noqa: E741


def read_options(policy: Policy, kind: type[O]) -> O:
    """The policy's ``embed.options``, as one encoder understands them.

    Args:
        policy: its `embed.options` are read.
        kind: the encoder's entry in `OPTIONS`.

    Raises:
        PolicyError: an option is unknown, which names the nearest and all that there are; or its
            value is of another type or out of range.
    """
    try:
        return kind.model_validate(policy.embed.options)
    except ValidationError as error:
        first = error.errors()[0]
    name = str(first["loc"][0])
    place = ("embed", "options", name)
    encoder = policy.embed.encoder
    if first["type"] != "extra_forbidden":
        raise policy.mistake(place, f"{first['msg']}, not {str(first['input'])[:80]!r}")
    known = sorted(kind.model_fields)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    there = f"it has {', '.join(known)}" if known else "it has none"
    raise policy.mistake(place, f"unknown option {name!r} of encoder {encoder!r}{hint}; {there}")
