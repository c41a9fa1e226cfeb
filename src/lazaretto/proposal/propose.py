"""Which column is the id, which the label, what is encoded and how: a proposal, to be edited."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lazaretto.errors import UsageError
from lazaretto.proposal.examine import Kind, Sample, Seen
from lazaretto.proposal.gate import Proposal, Rule, Wishes
from lazaretto.proposal.instruction import instruction_columns
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_PAYLOAD = 6
_ID_WORDS = ("id", "uuid", "guid", "key", "pk", "rowid", "uid", "path")
_LABEL_WORDS = (
    "label", "labels", "target", "class", "y", "category", "sentiment", "outcome", "species",
    "diagnosis", "intent", "topic", "rating", "stars", "fraud", "churn", "churned", "spam",
    "default", "response", "survived", "income",
)  # fmt: skip
_VECTOR_WORDS = ("embedding", "embeddings", "vector", "vectors", "emb", "features")
POLARS_TYPES = {
    "bool": "Boolean",
    "int8": "Int8",
    "int16": "Int16",
    "int32": "Int32",
    "int64": "Int64",
    "uint8": "UInt8",
    "uint16": "UInt16",
    "uint32": "UInt32",
    "uint64": "UInt64",
    "float": "Float32",
    "double": "Float64",
    "string": "String",
    "large_string": "String",
    "date32[day]": "Date",
}
"""Types of Arrow that a contract names, and what polars calls them."""
_MOST_CLASSES, _LONGEST_ID, _LONGEST_LABEL = 200, 128, 64


def propose(sample: Sample, wishes: Wishes, *, signed: bool = False) -> Proposal:
    """Proposes a gate for data like a sample.

    Args:
        sample: as `examine` saw it.
        wishes: what a person decided already.
        signed: whether deliveries must be signed.

    Raises:
        UsageError: a wish names no column, or one that cannot play that part; or nothing in the
            sample can be encoded.

    Example:
        >>> from lazaretto.batch import open_batch
        >>> from lazaretto.proposal import Wishes, examine
        >>> proposal = propose(examine(open_batch("monday.parquet")), Wishes())
        >>> proposal.record_id, proposal.label, proposal.encoder
        ('id', 'label', 'column')
    """
    record_id = _chosen(sample, wishes.record_id, lambda: propose_id(sample), "id")
    label = _chosen(sample, wishes.label, lambda: propose_label(sample, record_id), "label")
    if record_id is not None and record_id == label:
        raise UsageError(f"column {excerpt(label)!r} cannot be both the id and the label")
    free = [one for one in sample.fields if one.path not in (record_id, label)]
    inputs, encoder = _inputs(free, wishes.inputs)
    embedding = inputs[0] if encoder == "column" else None
    fitted = encoder in ("tabular", "hashing", "instruction")
    used = {one.split(".")[0] for one in inputs} | set(inputs) | {record_id, label}
    return Proposal(
        record_id=record_id,
        label=label,
        embedding=embedding,
        payload=_payload(sample, inputs, embedding, (record_id, label)),
        encoder=encoder,
        model="reference" if fitted else None,
        inputs=() if embedding is not None else inputs,
        options={"scaling": "quantile"} if encoder == "tabular" else {},
        rules=tuple(
            rule
            for one in sample.columns
            if (rule := _rule(one, record_id, label, required=one.path in used)) is not None
        ),
        left_out={one.path: _why_not(one) for one in free if one.path not in inputs},
        signed=signed,
        notes=_notes(sample, record_id, label, encoder),
    )


def propose_id(sample: Sample) -> str | None:
    """The column that tells records apart; None where no column does."""
    able = [one for one in sample.columns if _can_be_id(one)]
    named = [one for one in able if _words(one.path) & set(_ID_WORDS)]
    if named:
        # `id` before `customer_id` before `session_key_2`.
        return min(named, key=lambda one: (len(_words(one.path)), able.index(one))).path
    first = sample.columns[0]
    return first.path if first in able else None


def propose_label(sample: Sample, record_id: str | None) -> str | None:
    """The column that says what a record is; None where none looks like it."""
    able = [one for one in sample.columns if _can_be_label(one) and one.path != record_id]
    named = [one for one in able if _words(one.path) & set(_LABEL_WORDS)]
    if named:
        return min(named, key=lambda one: (len(_words(one.path)), able.index(one))).path
    last = sample.columns[-1]
    return last.path if last in able and last.distinct == 2 else None


def _can_be_id(one: Seen) -> bool:
    text = one.kind in (Kind.NAME, Kind.CATEGORY, Kind.TEXT) and 0 < one.longest <= _LONGEST_ID
    whole = one.kind is Kind.NUMBER and _polars_type(one) not in ("Float32", "Float64", None)
    return one.unique and (text or whole)


def _can_be_label(one: Seen) -> bool:
    kinds = (Kind.CATEGORY, Kind.NUMBER)
    return (
        one.kind in kinds and 2 <= one.distinct <= _MOST_CLASSES and one.longest <= _LONGEST_LABEL
    )


def _words(name: str) -> set[str]:
    """The words of a name: `customerId`, `customer_id` and `customer-id` have the same."""
    parts = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return {word.lower() for word in re.split(r"[^A-Za-z0-9]+", parts) if word}


def _chosen(
    sample: Sample, wish: str | None, proposed: Callable[[], str | None], part: str
) -> str | None:
    if wish is None:
        return proposed()
    if not wish:
        return None
    if sample.column(wish) is None:
        raise UsageError(
            f"--{part}: the sample has no column {excerpt(wish)!r}; it has "
            f"{excerpt(', '.join(one.path for one in sample.columns), 400)}"
        )
    return wish


def _inputs(free: Sequence[Seen], wish: tuple[str, ...] | None) -> tuple[tuple[str, ...], str]:
    """What is encoded, and the encoder that fits it."""
    if wish is not None:
        known = {one.path: one for one in free}
        missing = [name for name in wish if name not in known]
        if missing:
            raise UsageError(
                f"--input: {excerpt(missing[0])!r} is no column that can be encoded; there are "
                f"{excerpt(', '.join(known), 400)}"
            )
        chosen = [known[name] for name in wish]
        return wish, _encoder_for(chosen)
    return _proposed(free)


def _proposed(free: Sequence[Seen]) -> tuple[tuple[str, ...], str]:
    """The same, where nobody said it."""
    pair = instruction_columns(free)
    if pair is not None:
        return pair, "instruction"
    vectors = [one for one in free if one.kind is Kind.VECTOR and "." not in one.path]
    if vectors:
        best = min(vectors, key=lambda one: not _words(one.path) & set(_VECTOR_WORDS))
        return (best.path,), "column"
    images = [one for one in free if one.kind is Kind.IMAGE]
    if images:
        return (images[0].path,), "image"
    return _plain(free)


def _plain(free: Sequence[Seen]) -> tuple[tuple[str, ...], str]:
    """Texts, or cells of a table."""
    texts = [one for one in free if one.kind is Kind.TEXT]
    cells = [one for one in free if one.kind in (Kind.NUMBER, Kind.CATEGORY) and not _is_key(one)]
    if texts and len(cells) <= 2 * len(texts) + 2:
        return tuple(one.path for one in texts), "hashing"
    if cells:
        return tuple(one.path for one in cells), "tabular"
    names = [one for one in free if one.kind in (Kind.TEXT, Kind.NAME)]
    if names:
        return tuple(one.path for one in names), "hashing"
    raise UsageError(
        "nothing in the sample can be encoded: beside id and label it needs numbers, categories, "
        "text, images (PNG or JPEG) or a column of vectors"
    )


def _encoder_for(chosen: Sequence[Seen]) -> str:
    kinds = {one.kind for one in chosen}
    for kind, encoder in ((Kind.VECTOR, "column"), (Kind.IMAGE, "image")):
        if kind in kinds:
            if len(chosen) > 1:
                raise UsageError(f"--input: {kind} columns are encoded alone: name one column")
            return encoder
    if Kind.OTHER in kinds:
        bad = next(one for one in chosen if one.kind is Kind.OTHER)
        raise UsageError(f"--input: column {excerpt(bad.path)!r} ({bad.type}) cannot be encoded")
    return "hashing" if kinds <= {Kind.TEXT, Kind.NAME} else "tabular"


def _is_key(one: Seen) -> bool:
    """A whole number that names something, or counts the records, says nothing as a quantity."""
    named = bool(_words(one.path) & {"id", "uuid", "guid", "pk", "zip", "zipcode", "phone"})
    whole = one.kind is Kind.NUMBER and not str(_polars_type(one)).startswith("Float")
    return (whole and (named or one.unique)) or one.distinct < 2


def _payload(
    sample: Sample,
    inputs: tuple[str, ...],
    embedding: str | None,
    others: tuple[str | None, str | None],
) -> tuple[str, ...]:
    """What a reviewer needs to see: what was encoded, else all but the vectors."""
    tops = dict.fromkeys(
        one.path
        for one in sample.columns
        if any(name == one.path or name.startswith(f"{one.path}.") for name in inputs)
    )
    if embedding is None:
        return tuple(tops)[:MOST_PAYLOAD]
    rest = [
        one.path
        for one in sample.columns
        if one.path not in others and one.kind not in (Kind.VECTOR, Kind.OTHER)
    ]
    return tuple(rest)[:MOST_PAYLOAD]


def _rule(one: Seen, record_id: str | None, label: str | None, *, required: bool) -> Rule | None:
    """What the contract says of a column; None for one whose name pandera takes for a pattern.

    Ids and labels may have any type: 007 is an id, and no number.
    """
    if one.path.startswith("^") and one.path.endswith("$"):
        return None
    lengths = None
    if one.kind is Kind.TEXT and not one.nulls:
        most = 100
        while most < 2 * one.longest:
            most *= 10
        lengths = (0, most)
    is_id = one.path == record_id
    any_type = is_id or one.path == label or _is_unknown(one)
    kind = None if any_type else _polars_type(one)
    return Rule(
        one.path, kind, nullable=one.nulls, required=required, unique=is_id, lengths=lengths
    )


def _is_unknown(one: Seen) -> bool:
    """Whether nothing was seen of a column: it may turn out to hold anything."""
    return str(one.type) == "null" or (one.nulls and one.distinct == 0)


def _polars_type(one: Seen) -> str | None:
    return POLARS_TYPES.get(str(one.type))


def _why_not(one: Seen) -> str:
    reasons = {
        Kind.TIME: "a time: every delivery has new ones",
        Kind.NAME: "differs from record to record",
        Kind.TEXT: "text, and a table is encoded",
        Kind.OTHER: f"of type {one.type}",
    }
    if one.kind in (Kind.NUMBER, Kind.CATEGORY):
        return "names something, or never changes" if _is_key(one) else "not what is encoded"
    return reasons.get(one.kind, "not what is encoded")


def _notes(
    sample: Sample, record_id: str | None, label: str | None, encoder: str
) -> tuple[str, ...]:
    notes = []
    if record_id is None:
        notes.append("no column tells records apart: ids are made of content and position")
    if label is None:
        notes.append("without a label, detectors see odd records and no wrong labels")
    if encoder == "image":
        notes.append("images need Pillow: pip install 'lazaretto[images]'")
    if sample.rows < 300:
        notes.append(
            f"the sample has {sample.rows} records; a reference of fewer than about 300 trusted "
            "records can show little"
        )
    return tuple(notes)
