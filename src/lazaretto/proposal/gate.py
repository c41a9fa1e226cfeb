"""A proposed gate as a value: what its policy and its contract say."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person decided; None: the proposal decides. An empty name: there is none.

    Attributes:
        record_id: column of ids.
        label: column of labels.
        inputs: columns and fields that are encoded; or the one that holds vectors.
    """

    record_id: str | None = None
    label: str | None = None
    inputs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What the contract says of one column.

    Attributes:
        column: its name.
        type: polars' name of its type; None: any.
        nullable: whether a value may be missing.
        required: whether every delivery must have the column.
        unique: whether no two records may have the same value.
        lengths: least and most characters of a text.
        least: smallest number.
    """

    column: str
    type: str | None
    nullable: bool = False
    required: bool = True
    unique: bool = False
    lengths: tuple[int, int] | None = None
    least: int | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A gate for one dataset, as far as a sample can tell.

    Attributes:
        record_id: column of ids; None: ids are made of content and position.
        label: column of labels; None: there are none.
        embedding: column that holds vectors; None: an encoder makes them.
        payload: columns that a reviewer is shown.
        encoder: name of the encoder.
        model: of the encoder; None: it needs none.
        inputs: columns and fields that it reads.
        options: of the encoder.
        rules: the contract.
        left_out: columns and fields that no detector sees, and why, in words.
        signed: whether deliveries must be signed.
        notes: what to know before the first delivery.
    """

    record_id: str | None
    label: str | None
    embedding: str | None
    payload: tuple[str, ...]
    encoder: str
    model: str | None
    inputs: tuple[str, ...]
    rules: tuple[Rule, ...]
    signed: bool
    options: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


WITHOUT_SAMPLE = Proposal(
    record_id="id",
    label="label",
    embedding="embedding",
    payload=("text",),
    encoder="column",
    model=None,
    inputs=(),
    rules=(
        Rule("id", "String", unique=True),
        Rule("label", "Int64", least=0),
        Rule("text", "String", lengths=(1, 10_000)),
    ),
    signed=True,
)
"""Where there is no sample to look at: text with a label, and vectors that come along."""
