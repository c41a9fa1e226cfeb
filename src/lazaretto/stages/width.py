"""Whether the vectors that a batch brings are as wide as the reference's, asked at validation."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.compute as pc

from lazaretto.batch._plain import is_list, plain_type
from lazaretto.errors import NotFoundError
from lazaretto.registry.references import read_reference, reference_width

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.batch import Batch
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace


class Wanted(NamedTuple):
    """The width of a reference's vectors.

    Attributes:
        reference: in words.
        width: how many numbers.
    """

    reference: str
    width: int


def wanted_width(connection: Connection, workspace: Workspace, policy: Policy) -> Wanted | None:
    """The width that a batch's own vectors must have; None: it brings none, or nothing says so.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
        ChangedFileError: the reference's file in the store is gone or was changed.
    """
    brings = policy.embed.encoder == "column" and policy.columns.embedding is not None
    if not brings or not policy.screen.runs:
        return None
    try:
        stored = read_reference(connection, policy.screen.reference or policy.dataset)
    except NotFoundError:
        return None  # screening says so
    return Wanted(f"{stored.name}/{stored.version}", reference_width(workspace, stored))


def other_width(data: Batch, policy: Policy, wanted: Wanted) -> str | None:
    """Why no vector of a batch can be compared with the reference, in words; None: they can.

    Single vectors of another width than most are found by the rules for records.
    """
    name = str(policy.columns.embedding)
    if name not in data.schema.names or not is_list(plain_type(data.schema.field(name).type)):
        return None
    widths: Counter[int] = Counter()
    for chunk in data.chunks(columns=[name]):
        lengths = pc.list_value_length(chunk.column(0)).drop_null().to_numpy(zero_copy_only=False)
        found, counts = np.unique(lengths, return_counts=True)
        widths.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
    usual = widths.most_common(1)
    if not usual or usual[0][0] == wanted.width:
        return None
    return (
        f"embedding column {name!r} has {usual[0][0]} numbers, and reference {wanted.reference} "
        f"has {wanted.width}: the vectors are of another model. Deliver vectors of "
        "the reference's model, or fit a new reference"
    )
